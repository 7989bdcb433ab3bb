"""The bytes of every frame: first byte, headers, checksum. Pure; no windows, no timers.

    first byte      frame                           then
    0SELAPns        data: a piece of a unit         number (low 8 bits), piece, [CRC-32]
                    the same on a reliable link     sealed piece of a message
    100ffxns        acknowledgement                 see acks.py
    101kkkms        handshake, kind k               see handshake_frames.py
    1100000m ...    broadcast                       see broadcast.py

S start and E end of a unit, L one whole message without a length, A an acknowledgement is inside,
P over to you (poll), n parity of the session (so that late frames of a replaced one don't spoil
units), s sent by the responder (so that an echo shows). The poll bit alone may change when a frame
is repeated; no tag and no checksum covers it.

A **unit** is what is sealed at once. Above SEAL_FIRST_MTU_BYTES it is one frame; up to there it may
be up to MAX_UNIT_FRAMES frames, which spares tags. Its counter is its first frame's number.
Where is a checksum needed? A frame that is a whole unit has a tag, which finds damage as well as
any CRC. A piece of a unit has none: one damaged piece would cost the repetition of the whole unit.
So CRC-32 goes on pieces (of units, handshakes) and on broadcasts, and only where the link has none.
"""

from __future__ import annotations

import enum
import zlib
from typing import Final

from dtnode.errors import DecodeError

MIN_MTU_BYTES: Final = 10
"""2 bytes of header and 8 of payload: an acknowledgement of a tag alone."""

MIN_MTU_WITH_CRC_BYTES: Final = 14
"""The same where each piece carries CRC-32."""

MAX_FRAME_BYTES: Final = 65_536
"""The largest MTU; a longer frame is dropped."""

SEAL_FIRST_MTU_BYTES: Final = 128
"""Up to here a tag per frame costs 6% or more, and units are sealed before they are cut up."""

MAX_UNIT_FRAMES: Final = 32
"""Frames that one bad piece can spoil, and that must be here before anything in them is delivered.
The tag is then 3% of what it protects at an MTU of 10 and 0.5% at 51."""

WINDOW_FRAMES: Final = 128
"""Unacknowledged frames at most: half of what 8 bits can number, so that a frame from before and
one from ahead are never mistaken for each other, after any outage."""

CRC_BYTES: Final = 4


class Flag(enum.IntFlag):
    """Bits of a data frame's first byte."""

    START = 0x40
    END = 0x20
    LONE = 0x10
    ACK = 0x08
    POLL = 0x04
    SESSION = 0x02
    RESPONDER = 0x01


class FrameKind(enum.Enum):
    DATA = "data"
    ACK = "ack"
    HANDSHAKE = "handshake"
    BROADCAST = "broadcast"


ACK_BITS: Final = 0x80
HANDSHAKE_BITS: Final = 0xA0
BROADCAST_BITS: Final = 0xC0

WHOLE_UNIT: Final = Flag.START | Flag.END
SEALED_FLAGS: Final = Flag.LONE | Flag.ACK | Flag.SESSION | Flag.RESPONDER
"""What a unit's tag covers of its last frame's flags: START and END show in where it was cut."""

DATA_HEADER_BYTES: Final = 2


def kind_of(frame: bytes) -> FrameKind:
    """What a frame is, by its first byte. Raises DecodeError for none that we know."""
    if not frame:
        raise DecodeError("frame is empty")
    first = frame[0]
    if first < ACK_BITS:
        return FrameKind.DATA
    if first < HANDSHAKE_BITS:
        return FrameKind.ACK
    if first < BROADCAST_BITS:
        return FrameKind.HANDSHAKE
    if first < BROADCAST_BITS + 4:
        return FrameKind.BROADCAST
    raise DecodeError(f"first byte of a frame is 0x{first:02x}, which names no kind")


def needs_crc(flags: Flag) -> bool:
    """Whether a data frame carries a checksum where the link has none."""
    return flags & WHOLE_UNIT != WHOLE_UNIT


def add_crc(frame: bytes) -> bytes:
    """`frame` with CRC-32 (IEEE 802.3, big-endian) behind it."""
    return frame + zlib.crc32(_unpolled(frame)).to_bytes(CRC_BYTES)


def strip_crc(frame: bytes) -> bytes | None:
    """`frame` without its checksum; None if it doesn't fit: damaged."""
    body = frame[:-CRC_BYTES]
    if len(body) < 1 or zlib.crc32(_unpolled(body)).to_bytes(CRC_BYTES) != frame[-CRC_BYTES:]:
        return None
    return body


def polled(frame: bytes) -> bytes:
    """A data frame with its poll bit set."""
    return bytes((frame[0] | Flag.POLL,)) + frame[1:]


def unit_header(flags: Flag, number: int) -> bytes:
    """What a unit's tag covers beside its counter: flags of its last frame, its first number."""
    return bytes((flags & SEALED_FLAGS, number & 0xFF))


def _unpolled(frame: bytes) -> bytes:
    if frame[0] < ACK_BITS and frame[0] & Flag.POLL:
        return bytes((frame[0] & ~Flag.POLL,)) + frame[1:]
    return frame
