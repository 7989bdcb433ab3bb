"""Two ends of a link inside one process, perfect or as bad as asked for.

For tests and the simulator. Everything is decided by trio's clock and the caller's random numbers,
so a run under trio.testing.MockClock with a seeded source repeats exactly.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

import trio

from dtnode.link import Link, check_frame
from dtnode.link_info import LinkInfo

BUFFER_FRAMES = 64
"""Frames on their way in one direction. With that many a reliable link makes send() wait; any other
loses the frame, as a medium does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFaults:
    """Faults of an unreliable link, the same in both directions.

    loss, duplication, reordering: probabilities per frame, 0 to 1.
    delay_s: of every frame. reordering_delay_s: what is added at most where reordering strikes.
    """

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay_s: float = 0.0
    reordering_delay_s: float = 0.5


def memory_link_pair(
    info: LinkInfo,
    *,
    faults: LinkFaults | None = None,
    random: Callable[[], float] | None = None,
    buffer_frames: int = BUFFER_FRAMES,
) -> tuple[MemoryLink, MemoryLink]:
    """Two connected links that both describe themselves by `info`.

    If `info.bitrate_bps` is given, frames take that long, one after the other. faults: need
    `random` (numbers from 0 up to 1, such as random.Random(seed).random) and, except for a delay
    alone, an `info` that isn't reliable. buffer_frames: on their way in one direction, at most.
    """
    faults = faults or LinkFaults()
    if faults.loss or faults.duplication or faults.reordering:
        if random is None:
            raise ValueError("faults need random, a source of numbers from 0 up to 1")
        if info.reliable:
            raise ValueError("a link with faults is not reliable: give a LinkInfo that says so")
    there = _Direction(info, faults, random, buffer_frames)
    back = _Direction(info, faults, random, buffer_frames)
    return MemoryLink("a", info, out=there, into=back), MemoryLink("b", info, out=back, into=there)


class MemoryLink(Link):
    """One end of a pair; `frames_sent` and `bytes_sent` count what send() took."""

    def __init__(self, name: str, info: LinkInfo, *, out: _Direction, into: _Direction) -> None:
        self._name = name
        self._info = info
        self._out = out
        self._into = into
        self._sending = False
        self._receiving = False
        self.frames_sent = 0
        self.bytes_sent = 0

    def __repr__(self) -> str:
        return f"<memory link, end {self._name}>"

    @property
    def info(self) -> LinkInfo:
        return self._info

    async def send(self, value: bytes) -> None:
        check_frame(self._info, value)
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this link")
        self._sending = True
        try:
            await self._out.send(bytes(value))
        finally:
            self._sending = False
        self.frames_sent += 1
        self.bytes_sent += len(value)

    async def receive(self) -> bytes:
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving on this link")
        self._receiving = True
        try:
            return await self._into.receive()
        finally:
            self._receiving = False

    async def aclose(self) -> None:
        self._out.sender.close()
        self._out.closed_by_sender = True
        self._into.receiver.close()
        self._into.closed_by_receiver.set()
        await trio.lowlevel.checkpoint()


class _Direction:
    """Frames one way: a memory channel, then, at the receiver, a heap by time of arrival."""

    def __init__(
        self,
        info: LinkInfo,
        faults: LinkFaults,
        random: Callable[[], float] | None,
        buffer_frames: int,
    ) -> None:
        self._info = info
        self._faults = faults
        self._random = random
        self._buffer_frames = buffer_frames
        self._busy_until = -math.inf
        self._sequence = 0
        self._arriving: list[tuple[float, int, bytes]] = []
        self._ended = False
        self.closed_by_sender = False
        self.closed_by_receiver = trio.Event()
        self.sender, self.receiver = trio.open_memory_channel[tuple[float, int, bytes]](
            buffer_frames
        )

    async def send(self, frame: bytes) -> None:
        if self.closed_by_sender:
            raise trio.ClosedResourceError("this link was closed here")
        if self.closed_by_receiver.is_set():
            raise trio.BrokenResourceError("the other end was closed")
        arrives_at = self._arrival(len(frame))
        if self._strikes(self._faults.loss):
            await trio.lowlevel.checkpoint()
            return
        copies = 2 if self._strikes(self._faults.duplication) else 1
        for _ in range(copies):
            late_s = 0.0
            if self._random is not None and self._strikes(self._faults.reordering):
                late_s = self._random() * self._faults.reordering_delay_s
            self._sequence += 1
            await self._put((arrives_at + late_s, self._sequence, frame))

    async def _put(self, item: tuple[float, int, bytes]) -> None:
        if self._info.reliable:
            await self.sender.send(item)
            return
        await trio.lowlevel.checkpoint()
        try:
            self.sender.send_nowait(item)
        except trio.WouldBlock:
            return  # lost

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self.closed_by_receiver.is_set():
            self._take_what_is_there()
            if self._arriving and self._arriving[0][0] <= trio.current_time():
                return heapq.heappop(self._arriving)[2]
            if self._ended and not self._arriving:
                raise trio.EndOfChannel
            await self._wait()
        raise trio.ClosedResourceError("this link was closed here")

    def _take_what_is_there(self) -> None:
        """Move frames to the heap, no more than the buffer of a sender that should wait."""
        while not self._ended and len(self._arriving) < self._buffer_frames:
            try:
                heapq.heappush(self._arriving, self.receiver.receive_nowait())
            except trio.WouldBlock:
                return
            except trio.EndOfChannel:
                self._ended = True

    async def _wait(self) -> None:
        """Until the first frame has arrived or another one, perhaps faster, is sent."""
        due_at = self._arriving[0][0] if self._arriving else math.inf
        with trio.move_on_at(due_at):
            if self._ended or len(self._arriving) >= self._buffer_frames:
                await self.closed_by_receiver.wait()
                return
            try:
                heapq.heappush(self._arriving, await self.receiver.receive())
            except trio.EndOfChannel:
                self._ended = True

    def _arrival(self, size_bytes: int) -> float:
        starts_at = max(trio.current_time(), self._busy_until)
        airtime_s = 0.0
        if self._info.bitrate_bps is not None:
            airtime_s = 8 * size_bytes / self._info.bitrate_bps
        self._busy_until = starts_at + airtime_s
        return self._busy_until + self._faults.delay_s

    def _strikes(self, probability: float) -> bool:
        return self._random is not None and probability > 0 and self._random() < probability
