"""The sending half of a datagram session: units cut into frames, which are kept until acknowledged.

It knows what is in flight and what is missing; not when to send (datagram.py, timing.py), nor what
a frame looks like on the air (frames.py). A frame is made once and repeated as the same bytes.

A unit is **unhurried** if it is one frame with an acknowledgement inside and one message that
nobody has to answer (is_unhurried_unit; both ends see it). Acknowledging it can wait: if it is lost
the peer, who lacks what was inside, will repeat something, and that shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dtnode.errors import LimitError
from dtnode.session.transfer.acks import Ack, pack_inside
from dtnode.session.transfer.frames import (
    CRC_BYTES,
    DATA_HEADER_BYTES,
    MAX_UNIT_FRAMES,
    SEAL_FIRST_MTU_BYTES,
    WHOLE_UNIT,
    Flag,
    add_crc,
    unit_header,
)
from dtnode.session.transfer.packing import MessagePacker
from dtnode.session.transfer.seals import SEAL_BYTES, Sealer
from dtnode.wire.codec import is_unhurried

REORDERED_FRAMES: Final = 3
"""A frame is taken for lost when one sent this many later has arrived (as TCP does, RFC 5681)."""

_LEAST_UNIT_BYTES: Final = 2 * SEAL_BYTES
"""Of a unit that more waits behind: below, it would be mostly tag."""

_NEVER: Final = -1


@dataclass(slots=True)
class Packet:
    """A frame on its way. `turn` is when it was last handed out, counted in frames; _NEVER: it is
    to be."""

    number: int
    frame: bytes
    turn: int = _NEVER
    first_turn: int = _NEVER
    acked: bool = False
    unhurried: bool = False

    @property
    def was_sent(self) -> bool:
        return self.first_turn != _NEVER


_UNHURRIED_FLAGS: Final = WHOLE_UNIT | Flag.LONE | Flag.ACK


def is_unhurried_unit(flags: Flag, message: bytes) -> bool:
    """flags: of the unit's last frame; message: its plaintext without the acknowledgement."""
    return flags & _UNHURRIED_FLAGS == _UNHURRIED_FLAGS and is_unhurried(message)


class SendWindow:
    """Frames of one direction of one session.

    side: the session and responder bits of the first byte.
    window_frames, unit_frames: bounds from the link (timing.py).
    """

    def __init__(
        self,
        sealer: Sealer,
        *,
        side: Flag,
        mtu_bytes: int,
        crc: bool,
        window_frames: int,
        unit_frames: int,
    ) -> None:
        assert 2 * unit_frames <= window_frames or unit_frames == 1
        self._sealer = sealer
        self._side = side
        self._crc = crc
        self._window_frames = window_frames
        self._unit_frames = (
            min(unit_frames, MAX_UNIT_FRAMES) if mtu_bytes <= SEAL_FIRST_MTU_BYTES else 1
        )
        self._room = mtu_bytes - DATA_HEADER_BYTES
        self._piece_room = self._room - (CRC_BYTES if crc else 0)
        self._least_unit_frames = min(self._unit_frames, -(-_LEAST_UNIT_BYTES // self._piece_room))
        self.packer = MessagePacker()
        self._base = 0
        self._next = 0
        self._packets: dict[int, Packet] = {}
        self._turn = 0
        self._lost_below = 0

    @property
    def base(self) -> int:
        """The oldest frame that isn't acknowledged for good."""
        return self._base

    @property
    def next_number(self) -> int:
        return self._next

    @property
    def in_flight_bytes(self) -> int:
        """Of frames that are awaited: not of unhurried ones."""
        return sum(
            len(packet.frame)
            for packet in self._packets.values()
            if not (packet.acked or packet.unhurried)
        )

    @property
    def has_unacknowledged(self) -> bool:
        return bool(self._packets)

    @property
    def has_work(self) -> bool:
        """Whether there is something to send, or to send again."""
        return self.can_make() or bool(self.unsent() or self.lost())

    def lost(self) -> list[Packet]:
        """Frames to repeat, oldest first."""
        return [
            packet
            for packet in self._packets.values()
            if not packet.acked and _NEVER < packet.turn < self._lost_below
        ]

    def unsent(self) -> list[Packet]:
        """Frames that were made and not handed out yet."""
        return [packet for packet in self._packets.values() if packet.turn == _NEVER]

    def can_make(self) -> bool:
        """Whether make() has something to cut and a place in the window."""
        return self.packer.queued_bytes > 0 and self._free_frames() >= self._frames_wanted(0)

    def fits_inside(self, ack: Ack) -> bool:
        """Whether an acknowledgement may ride in the next unit: one frame that arrives or doesn't,
        and no message that would take two frames for its sake."""
        if not self.can_make():
            return False
        capacity = self._room - SEAL_BYTES
        inside = len(pack_inside(ack))
        waiting = self.packer.lone_bytes
        if waiting + inside <= capacity:
            return True
        return self._unit_frames == 1 and waiting > capacity >= 2 * inside

    def make(self, ack: Ack | None = None) -> list[Packet]:
        """The next unit's frames, with `ack` inside (if fits_inside)."""
        assert self.can_make()
        prefix = b"" if ack is None else pack_inside(ack)
        count = self._frames_wanted(len(prefix))
        capacity = self._room if count == 1 else count * self._piece_room
        piece, lone = self.packer.take(capacity - SEAL_BYTES - len(prefix))
        flags = self._side
        flags |= Flag.LONE if lone else Flag(0)
        flags |= Flag(0) if ack is None else Flag.ACK
        sealed = self._sealer.seal(self._next, unit_header(flags, self._next), prefix + piece)
        packets = self._cut(flags, sealed)
        packets[-1].unhurried = is_unhurried_unit(Flag(packets[-1].frame[0]), piece)
        return packets

    def mark_sent(self, packet: Packet) -> None:
        packet.turn = self._turn
        if not packet.was_sent:
            packet.first_turn = self._turn
        self._turn += 1

    def acknowledge(self, ack: Ack, *, takes_back: bool) -> list[Packet]:
        """Take what the peer says it has; the frames of which that is news.

        takes_back: `ack` is newer than all before, so pieces that it doesn't name are missing.
        Raises LimitError if it has delivered frames that were never sent: only a liar seals that.
        The bitmap may name some, where pieces were forged or damaged on the way to an honest peer.
        """
        if ack.up_to > self._next:
            raise LimitError(
                f"peer acknowledges {ack.up_to} frames, but only {self._next} were sent"
            )
        news: list[Packet] = []
        for number in range(self._base, ack.up_to):
            packet = self._packets.pop(number)
            if not packet.acked:
                news.append(packet)
        self._base = max(self._base, ack.up_to)
        taken_back = False
        for packet in self._packets.values():
            bit = packet.number - ack.up_to
            has = bit >= 0 and bool(ack.bitmap >> bit & 1)
            if has and not packet.acked:
                news.append(packet)
            taken_back |= packet.acked and not has and takes_back
            packet.acked = has or (packet.acked and not takes_back)
        if ack.up_to == self._base and self._first_unit_is_stuck():
            taken_back = True
        if taken_back:
            # Pieces get forged or damaged: smaller units lose less, those of one frame nothing.
            self._unit_frames = max(self._least_unit_frames, self._unit_frames // 2)
        return news

    def lose_overtaken(self, news: list[Packet]) -> None:
        """On links that may reorder a little: what was sent well before what arrived is lost."""
        newest = max((packet.turn for packet in news), default=0)
        self._lost_below = max(self._lost_below, newest - REORDERED_FRAMES + 1)
        for packet in self._packets.values():
            # An unhurried one ended a transmission: what came later was sent well after it.
            if packet.unhurried and not packet.acked and packet.turn < newest:
                self._lost_below = max(self._lost_below, packet.turn + 1)

    def lose_all(self, before: int | None = None) -> None:
        """All that was handed out (before turn `before`) and is unacknowledged is lost."""
        self._lost_below = max(self._lost_below, self._turn if before is None else before)

    def probe(self) -> Packet | None:
        """The frame to repeat when nothing is heard: the oldest that the peer seems to lack."""
        sent = [packet for packet in self._packets.values() if packet.turn != _NEVER]
        if sent and all(packet.acked for packet in sent):
            # It told so and then had to take a spoiled unit back, and that news got lost.
            for packet in sent:
                packet.acked = False
        return next((packet for packet in sent if not packet.acked), None)

    def _first_unit_is_stuck(self) -> bool:
        """The peer has a piece for each number of it and can't open it: one is forged or damaged.
        All are to be sent again, then, whenever they were sent last."""
        unit: list[Packet] = []
        for packet in self._packets.values():
            unit.append(packet)
            if not packet.acked:
                return False
            if packet.frame[0] & Flag.END:
                break
        for packet in unit:
            packet.acked = False
            packet.turn = _NEVER
        return bool(unit)

    def _free_frames(self) -> int:
        return self._base + self._window_frames - self._next

    def _frames_wanted(self, prefix_bytes: int) -> int:
        size = prefix_bytes + self.packer.lone_bytes + SEAL_BYTES
        if size <= self._room or self._unit_frames == 1:
            return 1
        return min(self._unit_frames, -(-size // self._piece_room))

    def _cut(self, flags: Flag, sealed: bytes) -> list[Packet]:
        pieces = [sealed]
        if len(sealed) > self._room:
            room = self._piece_room
            pieces = [sealed[at : at + room] for at in range(0, len(sealed), room)]
        packets: list[Packet] = []
        for index, piece in enumerate(pieces):
            last = index == len(pieces) - 1
            first_byte = flags | Flag.END if last else self._side
            first_byte |= Flag.START if index == 0 else Flag(0)
            frame = bytes((first_byte, self._next & 0xFF)) + piece
            if self._crc and len(pieces) > 1:
                frame = add_crc(frame)
            packets.append(Packet(number=self._next, frame=frame))
            self._packets[self._next] = packets[-1]
            self._next += 1
        return packets
