"""Canonical JSON against the specification's vectors and the reference implementation."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import canonicaljson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import FormatError
from dtnode.matrix.canonical_json import (
    MAX_INTEGER,
    MAX_INTEGER_DIGITS,
    MAX_NESTING,
    MIN_INTEGER,
    encode_canonical_json,
    parse_json_object,
)
from tests.matrix.vector_pipeline import VECTORS

BOTH = pytest.mark.parametrize("strict", [True, False])

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
        relaxed = parse_json_object(vector["input"], strict=False)
        reference = canonicaljson.encode_canonical_json(json.loads(vector["input"]))
        assert encode_canonical_json(relaxed, strict=False) == reference
        return
    parsed = parse_json_object(vector["input"])
    assert encode_canonical_json(parsed) == vector["canonical"].encode()


early_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
early_values = st.recursive(
    scalars | early_numbers,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


@given(values)
def test_as_the_reference_has_it(value: Any) -> None:
    assert encode_canonical_json(value) == canonicaljson.encode_canonical_json(value)


@given(st.dictionaries(texts, values, max_size=5))
def test_what_is_encoded_parses_to_the_same(value: dict[str, Any]) -> None:
    assert parse_json_object(encode_canonical_json(value)) == value


@given(early_values)
def test_relaxed_as_the_reference_has_it(value: Any) -> None:
    assert encode_canonical_json(value, strict=False) == canonicaljson.encode_canonical_json(value)


@given(values)
def test_strict_and_relaxed_agree_on_what_is_strict(value: Any) -> None:
    encoded = encode_canonical_json({"": value})
    assert encode_canonical_json({"": value}, strict=False) == encoded
    assert parse_json_object(encoded, strict=False) == parse_json_object(encoded)


@given(st.dictionaries(texts, early_values, max_size=5))
def test_relaxed_numbers_come_back_exactly(value: dict[str, Any]) -> None:
    encoded = encode_canonical_json(value, strict=False)
    parsed = parse_json_object(encoded, strict=False)
    assert parsed == value
    assert repr(json.loads(encoded)) == repr(parsed)  # 1, 1.0 and True differ
    assert encode_canonical_json(parsed, strict=False) == encoded


@given(st.booleans(), st.binary(max_size=200) | texts)
def test_parsing_garbage_gives_an_object_or_a_format_error(strict: bool, data: bytes | str) -> None:
    with contextlib.suppress(FormatError):
        assert type(parse_json_object(data, strict=strict)) is dict


@pytest.mark.parametrize(
    "text",
    ["1.5", "1e3", "-0.0", "9007199254740992", "-9007199254740992", "18446744073709551616", "1e99"],
)
def test_numbers_that_are_no_canonical_integers(text: str) -> None:
    with pytest.raises(FormatError, match="integer"):
        encode_canonical_json(parse_json_object(f'{{"n": [{text}]}}'))


@pytest.mark.parametrize(
    "number", ["1.5", "1e3", "-0.0", "1e16", "1e-7", "9007199254740992", "1" * MAX_INTEGER_DIGITS]
)
def test_relaxed_numbers(number: str) -> None:
    parsed = parse_json_object(f'{{"n": [{number}]}}', strict=False)
    assert repr(parsed["n"][0]) == repr(json.loads(number))
    written = encode_canonical_json(parsed, strict=False)
    assert written == canonicaljson.encode_canonical_json(parsed)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * (MAX_INTEGER_DIGITS + 1), "NaN"])
def test_relaxed_is_not_boundless(number: str) -> None:
    with pytest.raises(FormatError):
        encode_canonical_json(parse_json_object(f'{{"n": [{number}]}}', strict=False), strict=False)


def test_relaxed_limits_of_values() -> None:
    for value in (float("inf"), float("nan"), 10**MAX_INTEGER_DIGITS, -(10**MAX_INTEGER_DIGITS)):
        with pytest.raises(FormatError, match=r"number|digits"):
            encode_canonical_json([value], strict=False)


@BOTH
@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "[]", '"x"', "", "{}{}", "\ufeff{}", '{"a": "\n"}', "[" * 100_000]
)
def test_not_a_json_object(text: str, strict: bool) -> None:
    with pytest.raises(FormatError):
        parse_json_object(text, strict=strict)


@BOTH
@pytest.mark.parametrize("data", ['{"a": 1}'.encode("utf-16"), b'{"a": "\xff"}', b"\xef\xbb\xbf{}"])
def test_only_utf_8(data: bytes, strict: bool) -> None:
    with pytest.raises(FormatError):
        parse_json_object(data, strict=strict)


@BOTH
def test_lone_surrogates_get_nowhere(strict: bool) -> None:
    with pytest.raises(FormatError):
        encode_canonical_json(parse_json_object('{"a": "\\ud800"}', strict=strict), strict=strict)


@BOTH
@pytest.mark.parametrize(
    "value",
    [{1: 2}, {"a": float("nan")}, {"a": b"x"}, {"a": {"b"}}, {"a": "\ud800"}, {"\udfff": 1}],
)
def test_not_json(value: object, strict: bool) -> None:
    with pytest.raises(FormatError):
        encode_canonical_json(value, strict=strict)


@BOTH
@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"": inner}])
def test_nesting_is_bounded(wrap: Any, strict: bool) -> None:
    value: Any = 1
    for _ in range(MAX_NESTING):
        value = wrap(value)
    encode_canonical_json(value, strict=strict)
    with pytest.raises(FormatError, match="nested"):
        encode_canonical_json(wrap(value), strict=strict)
