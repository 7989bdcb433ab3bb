"""Capital letters as marks before small ones, so that the model knows a word in either form.

Bytes to bytes, exactly reversible for any bytes. Not the model, not compression by itself. Called
by dtnode.wire.text_model.model and priming.

Marks are bytes that never occur in UTF-8; where the text has them as bytes, or has the zero byte
(which ends a text), LITERAL stands before them. `encode` has one result for a text, and `decode`
undoes only that one (the model checks it by encoding anew).
"""

from __future__ import annotations

import re

from dtnode.errors import DecodeError

END = 0x00
"""Ends a text in the model's alphabet."""
LITERAL = 0xFF
CAPITAL = 0xFE
CAPITALS = 0xFD
"""The following letters up to the next other byte are capitals."""

_MARKED = re.compile(rb"[\x00\xfd-\xff]|[A-Z]{2,}(?![a-z])|[A-Z]")
_MARKS = re.compile(rb"(?s)\xff(.?)|\xfe(.?)|\xfd([a-z]*)")
_SPECIAL = bytes((END, CAPITALS, CAPITAL, LITERAL))


def encode(text: bytes) -> bytes:
    """`text` with marks instead of capital letters; never holds END unmarked."""
    return _MARKED.sub(_mark, text)


def decode(marked: bytes) -> bytes:
    """The text whose `encode` is `marked`.

    Raises:
        DecodeError: a mark stands before what it can't stand before.
    """
    return _MARKS.sub(_unmark, marked)


def _mark(match: re.Match[bytes]) -> bytes:
    found = match[0]
    if found in _SPECIAL:
        return bytes((LITERAL,)) + found
    mark = CAPITAL if len(found) == 1 else CAPITALS
    return bytes((mark,)) + found.lower()


def _unmark(match: re.Match[bytes]) -> bytes:
    literal, capital, capitals = match.groups()
    if literal is not None:
        if literal in _SPECIAL and literal:
            return literal
    elif capital is not None:
        if capital.isalpha() and capital.islower():
            return capital.upper()
    elif len(capitals) > 1:
        return capitals.upper()
    raise DecodeError("compressed text with a mark that marks nothing: refuse it")
