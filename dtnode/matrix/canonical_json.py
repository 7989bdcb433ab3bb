"""Canonical JSON (specification, appendices, "Canonical JSON"), in the strict form of room versions
6 and later: integers within 53 bits, no floats, valid Unicode.

One walk checks what the encoder wouldn't refuse by itself; orjson does the rest. It is not a
general JSON library: clients' requests and configuration don't come through here.
"""

from __future__ import annotations

from typing import Any

import orjson

from dtnode.errors import FormatError

MAX_INTEGER = 2**53 - 1
MIN_INTEGER = -MAX_INTEGER

MAX_NESTING = 127
"""Objects and arrays inside each other, the outermost included. serde_json, and with it the event
parser of current Synapse, stops there; orjson encodes 254 levels."""

_SCALARS = frozenset({str, bool, type(None)})


def parse_json_object(data: bytes | str) -> dict[str, Any]:
    """Parses one JSON object.

    Integers beyond 64 bits come back as floats, which `check_canonical_json` refuses as it does
    every float. FormatError: not JSON (RFC 8259; NaN and lone surrogates aren't), not an object.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise FormatError(f"not JSON: {error}") from None
    if type(value) is not dict:
        raise FormatError("not a JSON object")
    return value


def encode_canonical_json(value: object) -> bytes:
    """Canonical JSON of `value` as UTF-8.

    FormatError: a float, an integer beyond +-(2**53 - 1), a key that is not text, a lone
    surrogate, more than MAX_NESTING levels, or a type JSON doesn't have.
    """
    check_canonical_json(value)
    return encode_checked_json(value)


def encode_checked_json(value: object) -> bytes:
    """As `encode_canonical_json` for a value that (or whose parent) passed the check before."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:  # the only thing left to refuse is a lone surrogate
        raise FormatError(f"not canonical JSON: {error}") from None


def check_canonical_json(value: object) -> None:
    """FormatError where `value` has no canonical form; lone surrogates are left to the encoder."""
    _check(value, MAX_NESTING)


def _check(value: object, levels: int) -> None:
    kind = type(value)
    if kind is dict:
        if levels == 0:
            raise FormatError(f"JSON nested deeper than {MAX_NESTING} levels")
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str:
                raise FormatError(f"object key {key!r} is not text")
            if type(item) is not str:
                _check(item, levels - 1)
    elif kind is list or kind is tuple:
        if levels == 0:
            raise FormatError(f"JSON nested deeper than {MAX_NESTING} levels")
        for item in value:  # type: ignore[attr-defined]
            if type(item) is not str:
                _check(item, levels - 1)
    elif kind is int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]
            raise FormatError("an integer is outside the range of canonical JSON, +-(2**53 - 1)")
    elif kind is float:
        raise FormatError("a number is not an integer within the range of canonical JSON")
    elif kind not in _SCALARS:
        raise FormatError(f"{kind.__name__} is not a JSON type")
