"""Walks the heads of a CBOR sequence (RFC 8949, 8742) before anything is built of it.

Only what messages consist of is let through: shortest-form unsigned integers, byte and text
strings, booleans, definite arrays; counts, nesting and lengths within their limits. Called by
dtnode.wire.codec.
"""

from __future__ import annotations

from typing import Final

from dtnode.errors import DecodeError, LimitError
from dtnode.wire import limits

_UNSIGNED: Final = 0
_BYTES: Final = 2
_TEXT: Final = 3
_ARRAY: Final = 4
_SIMPLE: Final = 7
_FALSE: Final = 20
_TRUE: Final = 21
_KIND_NAMES: Final = ("", "a negative number", "", "", "", "a map", "a tag", "a float or null")
_SHORTEST: Final = {24: (1, 24), 25: (2, 1 << 8), 26: (4, 1 << 16), 27: (8, 1 << 32)}
"""Additional information -> bytes of argument, smallest argument needing them (RFC 8949, 4.2.1)."""


def count_items(data: bytes) -> int:
    """The items at the top of the sequence `data`. DecodeError, LimitError."""
    size = len(data)
    position = items = top = 0
    open_arrays: list[int] = []  # items still to come, per level
    while position < size or open_arrays:
        while open_arrays and open_arrays[-1] == 0:
            open_arrays.pop()
        if open_arrays:
            open_arrays[-1] -= 1
        elif position == size:
            break
        else:
            top += 1
        items += 1
        if items > limits.MAX_CBOR_ITEMS:
            raise LimitError(f"message has more than {limits.MAX_CBOR_ITEMS} items")
        major, argument, position = _read_head(data, position)
        if major in (_BYTES, _TEXT):
            position += argument
            if position > size:
                raise DecodeError("message ends inside a string")
        elif major == _ARRAY:
            if len(open_arrays) >= limits.MAX_CBOR_DEPTH:
                raise LimitError(f"message is nested deeper than {limits.MAX_CBOR_DEPTH} arrays")
            open_arrays.append(argument)
    return top


def _read_head(data: bytes, position: int) -> tuple[int, int, int]:
    """Major type, argument and the position after the head (RFC 8949, section 3)."""
    if position >= len(data):
        raise DecodeError("message is cut off")
    initial = data[position]
    position += 1
    major, info = initial >> 5, initial & 31
    if major == _SIMPLE and info in (_FALSE, _TRUE):
        return major, info, position
    if major not in (_UNSIGNED, _BYTES, _TEXT, _ARRAY):
        raise DecodeError(f"message has {_KIND_NAMES[major]}, which no field has")
    if info < 24:
        return major, info, position
    if info not in _SHORTEST:
        raise DecodeError("message has an item of indefinite or reserved length")
    width, least = _SHORTEST[info]
    end = position + width
    if end > len(data):
        raise DecodeError("message is cut off")
    argument = int.from_bytes(data[position:end], "big")
    if argument < least:
        raise DecodeError("message has a number or length that is not in its shortest form")
    return major, argument, end
