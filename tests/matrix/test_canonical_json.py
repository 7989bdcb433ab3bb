"""Canonical JSON against the specification's vectors and the reference implementation."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import canonicaljson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vector_pipeline import VECTORS

from dtnode.errors import FormatError
from dtnode.matrix.canonical_json import (
    MAX_INTEGER,
    MAX_NESTING,
    MIN_INTEGER,
    encode_canonical_json,
    parse_json_object,
)

SPEC: dict[str, Any] = json.loads((VECTORS / "matrix_spec.json").read_text())

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(MIN_INTEGER, MAX_INTEGER) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.parametrize("vector", SPEC["canonical_json"], ids=lambda v: v["canonical"][:30])
def test_vectors_of_the_specification(vector: dict[str, str]) -> None:
    if "1e10" in vector["input"]:
        # The specification's own example; servers refuse what isn't written as an integer.
        with pytest.raises(FormatError, match="not an integer"):
            encode_canonical_json(parse_json_object(vector["input"]))
        return
    parsed = parse_json_object(vector["input"])
    assert encode_canonical_json(parsed) == vector["canonical"].encode()


@given(values)
def test_as_the_reference_has_it(value: Any) -> None:
    assert encode_canonical_json(value) == canonicaljson.encode_canonical_json(value)


@given(st.dictionaries(texts, values, max_size=5))
def test_what_is_encoded_parses_to_the_same(value: dict[str, Any]) -> None:
    assert parse_json_object(encode_canonical_json(value)) == value


@given(st.binary(max_size=200) | texts)
def test_parsing_garbage_gives_an_object_or_a_format_error(data: bytes | str) -> None:
    with contextlib.suppress(FormatError):
        assert type(parse_json_object(data)) is dict


@pytest.mark.parametrize(
    "text",
    ["1.5", "1e3", "-0.0", "9007199254740992", "-9007199254740992", "18446744073709551616", "1e99"],
)
def test_numbers_that_are_no_canonical_integers(text: str) -> None:
    with pytest.raises(FormatError, match="integer"):
        encode_canonical_json(parse_json_object(f'{{"n": [{text}]}}'))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[]", '"x"', "", '{"a": "\\ud800"}', "{}{}"])
def test_not_a_json_object(text: str) -> None:
    with pytest.raises(FormatError):
        parse_json_object(text)


@pytest.mark.parametrize(
    "value",
    [{1: 2}, {"a": float("nan")}, {"a": b"x"}, {"a": {"b"}}, {"a": "\ud800"}, {"\udfff": 1}],
)
def test_not_json(value: object) -> None:
    with pytest.raises(FormatError):
        encode_canonical_json(value)


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"": inner}])
def test_nesting_is_bounded(wrap: Any) -> None:
    value: Any = 1
    for _ in range(MAX_NESTING):
        value = wrap(value)
    encode_canonical_json(value)
    with pytest.raises(FormatError, match="nested"):
        encode_canonical_json(wrap(value))
