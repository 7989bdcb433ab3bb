"""Numbers of 7 bits a byte, lowest first (LEB128, DWARF 5 section 7.6). Pure."""

from __future__ import annotations

from dtnode.errors import DecodeError


def leb128(value: int) -> bytes:
    """1 byte up to 127, 2 up to 16,383 ..."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def parse_leb128(data: bytes | bytearray, start: int, max_bytes: int) -> tuple[int, int] | None:
    """The number at `start` and where it ends; None if not all of it is here.

    Raises DecodeError if it takes more than `max_bytes`.
    """
    value = 0
    for index in range(max_bytes):
        if start + index >= len(data):
            return None
        byte = data[start + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, start + index + 1
    raise DecodeError(f"a number takes more than {max_bytes} bytes")
