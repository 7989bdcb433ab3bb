"""Frames that carry a handshake message, before there are keys; any MTU from 10 bytes.

    first byte 101kkkkm (kind k, m: in pieces), tag, [index, last piece: + 0x80], piece, [CRC-32]

The tag is one random byte of the caller's: it keeps the pieces of two handshakes apart, and proves
nothing. Nothing here repeats what was lost; a repetition under the same tag completes what came
before. A message in one frame has no checksum: its own tag shows damage. Called by LinkSession.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from dtnode.errors import LocalProtocolError
from dtnode.session.transfer.frames import (
    CRC_BYTES,
    HANDSHAKE_BITS,
    FrameKind,
    add_crc,
    kind_of,
    strip_crc,
)

MAX_HANDSHAKE_BYTES: Final = 400
"""The largest message (an IK first message with the longest domain has 285 bytes) and some room."""

MAX_KIND: Final = 15

MAX_PARTIAL_HANDSHAKES: Final = 8
"""In pieces at once: as many first messages as a dialler sends that doesn't know whom it meets.
Together at most 3 kB and their bookkeeping; the oldest goes first."""

SINGLE_HEADER_BYTES: Final = 2
PIECE_HEADER_BYTES: Final = 3

_IN_PIECES: Final = 0x01
_LAST: Final = 0x80
_MAX_PIECES: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeFrame:
    """A whole handshake message as it came: unproved."""

    kind: int
    tag: int
    message: bytes


@dataclass(slots=True)
class _Partial:
    count: int | None = None
    pieces: dict[int, bytes] = field(default_factory=dict)


def handshake_frames(
    kind: int, tag: int, message: bytes, *, mtu_bytes: int, crc: bool = False
) -> list[bytes]:
    """Frames for a message of 1 to MAX_HANDSHAKE_BYTES; kind 0 to 15, tag 0 to 255.

    Raises LocalProtocolError for any other, or an MTU that 128 pieces don't suffice for.
    """
    if not 0 <= kind <= MAX_KIND or not 0 < len(message) <= MAX_HANDSHAKE_BYTES:
        raise LocalProtocolError(f"no handshake message: kind {kind}, {len(message)} bytes")
    first = HANDSHAKE_BITS | kind << 1
    if SINGLE_HEADER_BYTES + len(message) <= mtu_bytes:
        return [bytes((first, tag)) + message]
    room = mtu_bytes - PIECE_HEADER_BYTES - (CRC_BYTES if crc else 0)
    if room * _MAX_PIECES < len(message):
        raise LocalProtocolError(f"frames of {mtu_bytes} bytes are too small for a handshake")
    pieces = [message[at : at + room] for at in range(0, len(message), room)]
    frames: list[bytes] = []
    for index, piece in enumerate(pieces):
        last = _LAST if index == len(pieces) - 1 else 0
        frame = bytes((first | _IN_PIECES, tag, index | last)) + piece
        frames.append(add_crc(frame) if crc else frame)
    return frames


def is_in_pieces(frame: bytes) -> bool:
    return bool(frame[0] & _IN_PIECES)


def handshake_kind(frame: bytes) -> int:
    return frame[0] >> 1 & MAX_KIND


def piece_index(frame: bytes) -> tuple[int, bool]:
    """Of a frame in pieces: which, and whether it is the last."""
    return frame[2] & ~_LAST, bool(frame[2] & _LAST)


class HandshakeAssembler:
    """Handshake frames in any order, of several handshakes, to messages; bounded memory.

    Anyone can send such frames, so nothing raises: what doesn't fit is dropped, and pieces that
    contradict each other are forgotten together, for the repetition to bring them again.
    """

    def __init__(self, *, crc: bool = False) -> None:
        self._crc = crc
        self._partials: OrderedDict[tuple[int, int], _Partial] = OrderedDict()

    def __len__(self) -> int:
        return len(self._partials)

    def receive(self, frame: bytes) -> HandshakeFrame | None:
        """The message that `frame` completes; None if there is none, or it is no such frame."""
        if not frame or frame[0] >= 0xC0 or kind_of(frame) is not FrameKind.HANDSHAKE:
            return None
        if not is_in_pieces(frame):
            if not SINGLE_HEADER_BYTES < len(frame) <= SINGLE_HEADER_BYTES + MAX_HANDSHAKE_BYTES:
                return None
            message = frame[SINGLE_HEADER_BYTES:]
            return HandshakeFrame(kind=handshake_kind(frame), tag=frame[1], message=message)
        stripped = strip_crc(frame) if self._crc else frame
        if stripped is None or not 0 < len(stripped) - PIECE_HEADER_BYTES <= MAX_HANDSHAKE_BYTES:
            return None
        return self._receive_piece(stripped)

    def _receive_piece(self, frame: bytes) -> HandshakeFrame | None:
        key = (handshake_kind(frame), frame[1])
        index, is_last = piece_index(frame)
        partial = self._partials.setdefault(key, _Partial())
        self._partials.move_to_end(key)
        if is_last and partial.count is None:
            partial.count = index + 1
        piece = partial.pieces.setdefault(index, frame[PIECE_HEADER_BYTES:])
        size = sum(len(piece) for piece in partial.pieces.values())
        contradicts = piece != frame[PIECE_HEADER_BYTES:] or size > MAX_HANDSHAKE_BYTES
        if partial.count is not None:
            contradicts |= is_last and partial.count != index + 1
            contradicts |= max(partial.pieces) >= partial.count
        if contradicts:
            del self._partials[key]
            return None
        if partial.count == len(partial.pieces):
            del self._partials[key]
            message = b"".join(piece for _, piece in sorted(partial.pieces.items()))
            return HandshakeFrame(kind=key[0], tag=key[1], message=message)
        if len(self._partials) > MAX_PARTIAL_HANDSHAKES:
            self._partials.popitem(last=False)
        return None
