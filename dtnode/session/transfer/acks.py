"""Acknowledgements: what they say and their bytes, alone in a frame or inside a unit. No windows.

Alone:  first byte 100ffxns, n and s as in data frames
        x=0: number up to which all is delivered (low 8 bits), tag                        10 bytes
        x=1: round, that number, bitmap sealed with tag                            from 12 bytes on
             ff=00 whole; 10 and 11 its first and second half, where it doesn't fit (MTU below 18)
        ff=01 whole, and more frames of mine follow (else: over to you)
Inside a unit: the number (whole, LEB128: a unit that is repeated much later still says what was
true when it was sealed, and low bits could be read as another number), bytes of bitmap, bitmap.

Bit i of the bitmap (little-endian) stands for frame `up_to + i`. The tag's counter is
256 x up_to + round, where the round counts the different bitmaps told for the same `up_to`: it
names what is said, so a repetition is the same bytes, and the higher one is the newer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dtnode.errors import DecodeError
from dtnode.session.transfer.frames import ACK_BITS, WINDOW_FRAMES
from dtnode.session.transfer.leb128 import leb128, parse_leb128
from dtnode.session.transfer.seals import SEAL_BYTES, Opener, Sealer

MAX_ROUND: Final = 255
"""In the last round nothing is told about later frames, until `up_to` moves: all in the window are
repeated then. Only a flood of forged pieces makes a receiver take back so much."""

MAX_BITMAP_BYTES: Final = WINDOW_FRAMES // 8

MAX_NUMBER_BYTES: Final = 8
"""Of a frame's number in LEB128: 2**56, which counters of 64 bits have room for."""

_SELECTIVE: Final = 0x04
_SIDE_BITS: Final = 0x03
_FORM_SHIFT: Final = 3
_FORM_BITS: Final = 0x18
WHOLE, MORE_FOLLOWS, FIRST_HALF, SECOND_HALF = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """All frames before `up_to` are delivered; of later ones those of `bitmap` are here, so far."""

    up_to: int
    bitmap: int = 0
    round: int = 0

    @property
    def counter(self) -> int:
        return self.up_to << 8 | self.round


def bitmap_bytes_for(mtu_bytes: int) -> int:
    """The longest bitmap that an acknowledgement can carry (in halves if need be)."""
    whole = mtu_bytes - 3 - SEAL_BYTES
    halves = 2 * (mtu_bytes - 2) - 1 - SEAL_BYTES
    return min(MAX_BITMAP_BYTES, whole if mtu_bytes >= 18 else halves)


def ack_frames(ack: Ack, sealer: Sealer, side: int, mtu_bytes: int) -> list[bytes]:
    """One frame, or two halves; `side` is the first byte's last two bits."""
    number = ack.up_to & 0xFF
    if ack.round == 0:
        header = bytes((ACK_BITS | side, number))
        return [header + sealer.seal(ack.counter, header, b"")]
    first = ACK_BITS | _SELECTIVE | side
    header = bytes((first, ack.round, number))
    frame = header + sealer.seal(ack.counter, header, _bitmap_bytes(ack.bitmap))
    if len(frame) <= mtu_bytes:
        return [frame]
    body = frame[2:]
    middle = len(body) // 2
    return [
        bytes((_with_form(first, FIRST_HALF), ack.round)) + body[:middle],
        bytes((_with_form(first, SECOND_HALF), ack.round)) + body[middle:],
    ]


def with_more_following(frame: bytes) -> bytes:
    """A whole acknowledgement, marked as not the end of what this end sends now."""
    return bytes((_with_form(frame[0], MORE_FOLLOWS),)) + frame[1:]


def form_of(frame: bytes) -> int:
    return (frame[0] & _FORM_BITS) >> _FORM_SHIFT


def is_selective(frame: bytes) -> bool:
    return bool(frame[0] & _SELECTIVE)


class AckReader:
    """Acknowledgement frames to Acks; holds at most one half."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._half: bytes | None = None

    def join(self, frame: bytes) -> bytes | None:
        """The whole frame, its form bits cleared; None while the other half is missing."""
        form = form_of(frame)
        whole = bytes((frame[0] & ~_FORM_BITS,)) + frame[1:]
        if form in (WHOLE, MORE_FOLLOWS):
            return whole
        if not is_selective(frame):
            return None
        if form == FIRST_HALF:
            self._half = whole
            return None
        half, self._half = self._half, None
        if half is None or half[:2] != whole[:2]:
            return None
        return half + whole[2:]

    def open(self, frame: bytes, base: int) -> Ack:
        """What a joined frame says; `base` is the highest `up_to` known so far.

        Raises RemoteProtocolError if it is not the peer's, or not about frames from `base` on.
        """
        header_bytes = 3 if is_selective(frame) else 2
        if not SEAL_BYTES <= len(frame) - header_bytes <= SEAL_BYTES + MAX_BITMAP_BYTES:
            raise DecodeError("acknowledgement has a length that none can have")
        header = frame[:header_bytes]
        up_to = nearest_from(base, header[-1])
        number = header[1] if is_selective(frame) else 0
        counter = up_to << 8 | number
        bitmap = self._opener.open(counter, header, frame[header_bytes:])
        return Ack(up_to=up_to, bitmap=int.from_bytes(bitmap, "little"), round=number)


def pack_inside(ack: Ack) -> bytes:
    """As the beginning of a unit's plaintext."""
    bitmap = _bitmap_bytes(ack.bitmap)
    return leb128(ack.up_to) + bytes((len(bitmap),)) + bitmap


def unpack_inside(plaintext: bytes) -> tuple[Ack, bytes]:
    """The acknowledgement at the beginning of a unit, and the rest. Raises DecodeError."""
    up_to, at = parse_leb128(plaintext, 0, MAX_NUMBER_BYTES) or (0, len(plaintext))
    end = at + 1 + (plaintext[at] if at < len(plaintext) else 0)
    if not at < end <= len(plaintext) or end - at - 1 > MAX_BITMAP_BYTES:
        raise DecodeError("the acknowledgement inside a unit is cut off or too long")
    bitmap = int.from_bytes(plaintext[at + 1 : end], "little")
    return Ack(up_to=up_to, bitmap=bitmap), plaintext[end:]


def nearest_from(base: int, low: int) -> int:
    """The number from `base` on (up to 255 more) whose low 8 bits are `low`."""
    return base + ((low - base) & 0xFF)


def _bitmap_bytes(bitmap: int) -> bytes:
    return bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little")


def _with_form(first: int, form: int) -> int:
    return first & ~_FORM_BITS | form << _FORM_SHIFT
