"""Frames for all who listen, without a session: a message in pieces that stand for themselves.

    first byte 110000wm, then unless m=0 (one frame): id (4 bytes), index, count; piece, [CRC-32]
    w: index and count take two bytes each instead of one

Not sealed and not acknowledged: what is inside proves itself (events are signed), or doesn't.
Receivers put pieces together in any order, of several senders at once; a repetition, as a carousel
makes them, fills what was lost. There is no tag, so where the link has no checksum every frame has
CRC-32. Called by LinkSession on `open` links.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from dtnode.errors import LocalProtocolError
from dtnode.session.transfer.frames import (
    BROADCAST_BITS,
    CRC_BYTES,
    FrameKind,
    add_crc,
    kind_of,
    strip_crc,
)

ID_BYTES: Final = 4

MAX_BROADCAST_BYTES: Final = 65_536
"""One message: nobody asks again for what is missing, so it had better be small; a whole event
fits."""

MAX_PARTIAL_BROADCASTS: Final = 16
"""In pieces at once, from all senders in reach; the one that stood still longest goes first."""

MAX_PARTIAL_BYTES: Final = 1 << 20
"""Their memory together, bookkeeping included: a message of the largest size at the smallest MTU
(21,846 pieces) would take 3 MB and is not worth it, 7,000 such pieces (20 kB) are."""

RECENT_BROADCASTS: Final = 256
"""Delivered ones remembered, so that a carousel's next round gives nothing twice."""

_PIECE_COST_BYTES: Final = 128
_IN_PIECES: Final = 0x01
_WIDE: Final = 0x02
_MAX_COUNT: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One parsed frame; `id` is None for a message in one frame."""

    id: bytes | None
    index: int
    count: int
    data: bytes


@dataclass(slots=True)
class _Partial:
    pieces: dict[int, bytes] = field(default_factory=dict)
    cost_bytes: int = 0
    piece_bytes: int | None = None


def broadcast_frames(
    message_id: bytes, message: bytes, *, mtu_bytes: int, crc: bool = False
) -> list[bytes]:
    """Frames for a message of 1 to MAX_BROADCAST_BYTES; message_id: 4 random bytes.

    Raises LocalProtocolError: too long, or the MTU too small for it.
    """
    assert len(message_id) == ID_BYTES
    if not 0 < len(message) <= MAX_BROADCAST_BYTES:
        raise LocalProtocolError(
            f"a broadcast has 1 to {MAX_BROADCAST_BYTES} bytes, this one has {len(message)}"
        )
    trailer_bytes = CRC_BYTES if crc else 0
    if 1 + len(message) + trailer_bytes <= mtu_bytes:
        frames = [bytes((BROADCAST_BITS,)) + message]
    else:
        frames = _pieces(message_id, message, mtu_bytes - trailer_bytes)
    return [add_crc(frame) for frame in frames] if crc else frames


def parse_broadcast(frame: bytes, *, crc: bool) -> Piece | None:
    """None: damaged, or not such a frame."""
    if not frame or frame[0] not in range(BROADCAST_BITS, BROADCAST_BITS + 4):
        return None
    assert kind_of(frame) is FrameKind.BROADCAST
    body = strip_crc(frame) if crc else frame
    if body is None:
        return None
    if not body[0] & _IN_PIECES:
        whole = 1 < len(body) <= 1 + MAX_BROADCAST_BYTES and not body[0] & _WIDE
        return Piece(id=None, index=0, count=1, data=body[1:]) if whole else None
    width = 2 if body[0] & _WIDE else 1
    start = 1 + ID_BYTES + 2 * width
    index = int.from_bytes(body[1 + ID_BYTES : start - width])
    count = int.from_bytes(body[start - width : start])
    size = len(body) - start
    if size < 1 or not index < count or (index < count - 1 and size * count > _largest(size)):
        return None
    return Piece(id=body[1 : 1 + ID_BYTES], index=index, count=count, data=body[start:])


class BroadcastAssembler:
    """Broadcast frames of any senders to messages, each once; bounded memory. Nothing raises:
    anyone can send anything here."""

    def __init__(self, *, crc: bool = False) -> None:
        self._crc = crc
        self._partials: OrderedDict[tuple[bytes, int], _Partial] = OrderedDict()
        self._cost_bytes = 0
        self._recent: OrderedDict[bytes, None] = OrderedDict()

    @property
    def cost_bytes(self) -> int:
        """Memory for messages in pieces, estimated; at most MAX_PARTIAL_BYTES."""
        return self._cost_bytes

    def __len__(self) -> int:
        return len(self._partials)

    def receive(self, frame: bytes) -> bytes | None:
        """The message that `frame` completes, if it wasn't delivered lately."""
        piece = parse_broadcast(frame, crc=self._crc)
        if piece is None:
            return None
        if piece.id is None:
            return self._deliver(piece.data)
        key = (piece.id, piece.count)
        partial = self._partials.setdefault(key, _Partial())
        self._partials.move_to_end(key)
        if not self._add(partial, piece):
            self._forget(key)
            return None
        if len(partial.pieces) == piece.count:
            self._forget(key)
            return self._deliver(b"".join(partial.pieces[i] for i in range(piece.count)))
        while len(self._partials) > MAX_PARTIAL_BROADCASTS or self._cost_bytes > MAX_PARTIAL_BYTES:
            self._forget(next(iter(self._partials)))
        return None

    def _add(self, partial: _Partial, piece: Piece) -> bool:
        """False: these pieces are not of one message, or one is a forgery; begin anew."""
        before = partial.pieces.setdefault(piece.index, piece.data)
        if before is not piece.data:
            return before == piece.data
        cost = len(piece.data) + _PIECE_COST_BYTES
        partial.cost_bytes += cost
        self._cost_bytes += cost
        if piece.index == piece.count - 1:
            return True
        if partial.piece_bytes is None:
            partial.piece_bytes = len(piece.data)
        return partial.piece_bytes == len(piece.data)

    def _deliver(self, message: bytes) -> bytes | None:
        digest = blake2b(message, digest_size=16).digest()
        if digest in self._recent:
            self._recent.move_to_end(digest)
            return None
        self._recent[digest] = None
        if len(self._recent) > RECENT_BROADCASTS:
            self._recent.popitem(last=False)
        return message

    def _forget(self, key: tuple[bytes, int]) -> None:
        self._cost_bytes -= self._partials.pop(key).cost_bytes


def _pieces(message_id: bytes, message: bytes, room: int) -> list[bytes]:
    for wide in (False, True):
        width = 2 if wide else 1
        piece_room = room - 1 - ID_BYTES - 2 * width
        count = -(-len(message) // piece_room) if piece_room > 0 else _MAX_COUNT + 1
        if count <= (_MAX_COUNT if wide else 0xFF):
            first = BROADCAST_BITS | _IN_PIECES | (_WIDE if wide else 0)
            return [
                bytes((first,))
                + message_id
                + index.to_bytes(width)
                + count.to_bytes(width)
                + message[index * piece_room : (index + 1) * piece_room]
                for index in range(count)
            ]
    raise LocalProtocolError(
        f"a broadcast of {len(message)} bytes doesn't fit into {_MAX_COUNT} frames of this link"
    )


def _largest(piece_bytes: int) -> int:
    """Bytes that all pieces may have together: the last one may be shorter than the others."""
    return MAX_BROADCAST_BYTES + piece_bytes - 1
