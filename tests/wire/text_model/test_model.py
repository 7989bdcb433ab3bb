"""Texts come back as they were; garbage is refused; the tables are the ones that are named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, LocalProtocolError
from dtnode.wire.text_model import TABLE_VERSION, TextModel

MODEL = TextModel(TABLE_VERSION)


def there_and_back(text: bytes) -> None:
    short = MODEL.compress(text)
    if short is not None:
        assert len(short) < len(text)
        assert MODEL.decompress(short, len(text)) == text
        with pytest.raises(DecodeError):
            MODEL.decompress(short, len(text) - 1)


@given(st.text(max_size=60))
def test_any_unicode_comes_back(text: str) -> None:
    there_and_back(text.encode())


@given(st.binary(max_size=60))
def test_any_bytes_come_back(text: bytes) -> None:
    there_and_back(text)


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_is_the_one_form_of_a_text(data: bytes) -> None:
    try:
        text = MODEL.decompress(data, 4_096)
    except DecodeError:
        return
    assert MODEL.compress(text) == data


def test_another_version_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="text model"):
        TextModel(TABLE_VERSION + 1)
