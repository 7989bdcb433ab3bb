"""Canonical JSON (specification, appendices, "Canonical JSON"): strict as room versions 6 and later
want it (integers within 53 bits, no floats, valid Unicode), or relaxed for events of earlier ones.

Strict: one walk checks what the encoder wouldn't refuse by itself; orjson does the rest. Relaxed:
floats and long integers too, written as the reference implementation (Python's json) writes them.
It is not a general JSON library: clients' requests and configuration don't come through here.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
from canonicaljson import encode_canonical_json as encode_relaxed_json

from dtnode.errors import FormatError

MAX_INTEGER = 2**53 - 1
MIN_INTEGER = -MAX_INTEGER

MAX_NESTING = 127
"""Objects and arrays inside each other, the outermost included. serde_json, and with it the event
parser of current Synapse, stops there; orjson encodes 254 levels."""

MAX_INTEGER_DIGITS = 4300
"""Of relaxed JSON: what Python, and so Synapse, reads unless told otherwise."""

_RELAXED_LIMIT = 10**MAX_INTEGER_DIGITS

_SCALARS = frozenset({str, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})


def parse_json_object(data: bytes | str, *, strict: bool = True) -> dict[str, Any]:
    """Parses one JSON object. FormatError: not JSON (RFC 8259; NaN isn't), not an object.

    strict: integers beyond 64 bits come back as floats, which `check_canonical_json` refuses as it
    does every float. Else numbers come back exactly, and lone surrogates are left to the encoder.
    """
    try:
        value = orjson.loads(data) if strict else _parse_relaxed(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from None
    if type(value) is not dict:
        raise FormatError("not a JSON object")
    return value


def _parse_relaxed(data: bytes | str) -> Any:
    text = data if isinstance(data, str) else data.decode()  # json would also guess UTF-16
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def encode_canonical_json(value: object, *, strict: bool = True) -> bytes:
    """Canonical JSON of `value` as UTF-8.

    FormatError: a float, an integer beyond +-(2**53 - 1), a key that is not text, a lone
    surrogate, more than MAX_NESTING levels, or a type JSON doesn't have. Not strict: floats are
    allowed if finite, integers of up to MAX_INTEGER_DIGITS.
    """
    check_canonical_json(value, strict=strict)
    return encode_checked_json(value, strict=strict)


def encode_checked_json(value: object, *, strict: bool = True) -> bytes:
    """As `encode_canonical_json` for a value that (or whose parent) passed the check before."""
    try:
        if strict:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return encode_relaxed_json(value)
    except (TypeError, UnicodeEncodeError) as error:  # only a lone surrogate is left to refuse
        raise FormatError(f"not canonical JSON: {error}") from None


def check_canonical_json(value: object, *, strict: bool = True) -> None:
    """FormatError where `value` has no canonical form; lone surrogates are left to the encoder."""
    if strict:
        _check(value, MAX_NESTING)
    else:
        _check_relaxed(value, MAX_NESTING)


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


def _check_relaxed(value: Any, levels: int) -> None:
    kind = type(value)
    if kind in _CONTAINERS:
        if levels == 0:
            raise FormatError(f"JSON nested deeper than {MAX_NESTING} levels")
        if isinstance(value, dict):
            for key in value:
                if type(key) is not str:
                    raise FormatError(f"object key {key!r} is not text")
            value = value.values()
        for item in value:
            _check_relaxed(item, levels - 1)
    elif kind is int:
        if not -_RELAXED_LIMIT < value < _RELAXED_LIMIT:
            raise FormatError(f"an integer has more than {MAX_INTEGER_DIGITS} digits")
    elif kind is float:
        if not math.isfinite(value):
            raise FormatError("a number is beyond the range of floating-point numbers")
    elif kind not in _SCALARS:
        raise FormatError(f"{kind.__name__} is not a JSON type")
