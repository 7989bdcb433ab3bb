"""The receiving half of a datagram session: frames in any order to units in order, opened.

It keeps what came early (bounded), opens what is whole, and knows what to acknowledge. Not timers,
not when to acknowledge (datagram.py), not what units hold (packing.py).

What someone without keys can do: a frame that is a whole unit must pass its tag before it counts. A
piece of a unit counts unproved; a forged or damaged one spoils its unit, which is then forgotten
and, since acknowledgements of pieces can be taken back until the unit is opened, sent again. So a
forged frame costs at most MAX_UNIT_FRAMES repeated ones, never a wrong message.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from dtnode.errors import RemoteProtocolError
from dtnode.session.transfer.acks import MAX_ROUND, Ack
from dtnode.session.transfer.frames import (
    DATA_HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_UNIT_FRAMES,
    WHOLE_UNIT,
    WINDOW_FRAMES,
    Flag,
    needs_crc,
    strip_crc,
    unit_header,
)
from dtnode.session.transfer.seals import SEAL_BYTES, Opener

MAX_HELD_BYTES: Final = 2 << 20
"""Frames that came early, together: a sender's whole window (sending.py) with room to spare. What
doesn't fit is dropped and comes again."""


class Arrival(enum.Enum):
    """What became of a data frame."""

    NEW = "new"
    REPEATED = "repeated"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The plaintext of one unit, with its last frame's flags."""

    flags: Flag
    plaintext: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A frame that waits for earlier ones: opened (a whole unit) or a piece as it came."""

    flags: Flag
    data: bytes

    @property
    def is_whole(self) -> bool:
        return self.flags & WHOLE_UNIT == WHOLE_UNIT


class ReceiveWindow:
    """Frames of one direction of one session.

    crc: pieces carry a checksum, the link has none.
    """

    def __init__(self, opener: Opener, *, crc: bool) -> None:
        self._opener = opener
        self._crc = crc
        self._base = 0
        self._held: dict[int, _Held] = {}
        self._held_bytes = 0
        self._told = Ack(up_to=0)
        self.spoiled_units = 0

    @property
    def held_bytes(self) -> int:
        """Memory that waits for missing frames, at most MAX_HELD_BYTES."""
        return self._held_bytes

    @property
    def has_gap(self) -> bool:
        """Whether a frame before one that is here is missing."""
        return bool(self._held) and len(self._held) <= max(self._held) - self._base

    def receive(self, frame: bytes) -> tuple[Arrival, list[Unit]]:
        """Take a data frame; the units that are next in order now."""
        if not DATA_HEADER_BYTES < len(frame) <= MAX_FRAME_BYTES:
            return Arrival.DROPPED, []
        flags = Flag(frame[0])
        if self._crc and needs_crc(flags):
            stripped = strip_crc(frame)
            if stripped is None or len(stripped) <= DATA_HEADER_BYTES:
                return Arrival.DROPPED, []
            frame = stripped
        ahead = (frame[1] - self._base) & 0xFF
        number = self._base + ahead
        before = self._held.get(number)
        if ahead >= WINDOW_FRAMES or (before is not None and before.is_whole):
            return Arrival.REPEATED, []
        held = self._checked(flags & ~Flag.POLL, number, frame[DATA_HEADER_BYTES:])
        if held is None or self._held_bytes + len(held.data) > MAX_HELD_BYTES:
            return Arrival.DROPPED, []
        if before is not None:
            if before == held:
                return Arrival.REPEATED, []
            # One of the two is forged or damaged. What comes later counts, so that a repetition of
            # the unit puts it right.
            self._forget(number, number + 1)
        self._held[number] = held
        self._held_bytes += len(held.data)
        return Arrival.NEW, self._units_in_order()

    def acknowledgement(self, bitmap_bytes: int) -> Ack:
        """What is here now, for the peer; the same Ack until that changes."""
        bits = 0
        for number in self._held:
            if number - self._base < 8 * bitmap_bytes:
                bits |= 1 << (number - self._base)
        told = self._told
        if told.up_to != self._base:
            self._told = Ack(up_to=self._base, bitmap=bits, round=1 if bits else 0)
        elif told.bitmap != bits and told.round < MAX_ROUND:
            last = told.round + 1 == MAX_ROUND
            self._told = Ack(up_to=self._base, bitmap=0 if last else bits, round=told.round + 1)
        return self._told

    def _checked(self, flags: Flag, number: int, body: bytes) -> _Held | None:
        if flags & WHOLE_UNIT != WHOLE_UNIT:
            return _Held(flags=flags, data=body)
        try:
            plaintext = self._opener.open(number, unit_header(flags, number), body)
        except RemoteProtocolError:
            return None
        return _Held(flags=flags, data=plaintext)

    def _units_in_order(self) -> list[Unit]:
        units: list[Unit] = []
        while (first := self._held.get(self._base)) is not None:
            if first.is_whole:
                units.append(Unit(flags=first.flags, plaintext=first.data))
                self._forget(self._base, self._base + 1)
                self._base += 1
                continue
            end = self._end_of_unit()
            if end is None:
                break
            unit = self._opened(end)
            self._forget(self._base, end)
            if unit is None:
                self.spoiled_units += 1
                break
            units.append(unit)
            self._base = end
        return units

    def _end_of_unit(self) -> int | None:
        """One past the last piece of the unit at `base`; None if pieces are missing.

        Pieces that can't be a unit end where that shows: _opened() then finds no unit in them.
        """
        for number in range(self._base, self._base + MAX_UNIT_FRAMES):
            held = self._held.get(number)
            if held is None:
                return None
            begins = bool(held.flags & Flag.START)
            if begins != (number == self._base):
                # The odd one goes too, unless it is proved, or it would spoil the next try as well.
                return number if held.is_whole else number + 1
            if held.flags & Flag.END:
                return number + 1
        return self._base + MAX_UNIT_FRAMES

    def _opened(self, end: int) -> Unit | None:
        flags = self._held[end - 1].flags
        sealed = b"".join(self._held[number].data for number in range(self._base, end))
        if not flags & Flag.END or len(sealed) <= SEAL_BYTES:
            return None
        try:
            plaintext = self._opener.open(self._base, unit_header(flags, self._base), sealed)
        except RemoteProtocolError:
            return None
        return Unit(flags=flags, plaintext=plaintext)

    def _forget(self, start: int, end: int) -> None:
        for number in range(start, end):
            self._held_bytes -= len(self._held.pop(number).data)
