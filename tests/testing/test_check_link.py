"""The conformance kit passes good links and finds each broken promise it looks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

from dtnode.link import Link
from dtnode.link_info import Duplex, LinkInfo
from dtnode.testing import LinkFaults, MemoryLink, check_link, memory_link_pair
from dtnode.testing.memory_link import BUFFER_FRAMES

INFO = LinkInfo(mtu_bytes=300)


def maker(
    info: LinkInfo = INFO, faults: LinkFaults | None = None, kind: type[MemoryLink] = MemoryLink
) -> Callable[[], Awaitable[tuple[Link, Link]]]:
    async def make() -> tuple[Link, Link]:
        a, b = memory_link_pair(info, faults=faults)
        a.__class__ = b.__class__ = kind
        return a, b

    return make


@pytest.mark.parametrize(
    "info",
    [
        LinkInfo(mtu_bytes=64),
        LinkInfo(mtu_bytes=65_536),
        LinkInfo(mtu_bytes=64, duplex=Duplex.HALF, bitrate_bps=1200),
        LinkInfo(mtu_bytes=200, bitrate_bps=300, turnaround_s=2.0),
    ],
)
async def test_memory_links_conform(info: LinkInfo, autojump_clock: trio.testing.MockClock) -> None:
    await check_link(maker(info), timeout_s=3600)  # 80 kB at 300 bit/s take 36 minutes


async def test_a_delay_changes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    await check_link(maker(faults=LinkFaults(delay_s=30.0)), timeout_s=3600)


class Joins(MemoryLink):
    """A stream that forgot its framing."""

    __slots__ = ()

    async def receive(self) -> bytes:
        first = await super().receive()
        with trio.move_on_after(0.001):
            return first + await super().receive()
        return first


class Swallows(MemoryLink):
    """Forgets a frame when receive() is cancelled after taking it."""

    __slots__ = ()

    async def receive(self) -> bytes:
        try:
            return await super().receive()
        except trio.Cancelled:
            with suppress(trio.WouldBlock):
                self._into.receiver.receive_nowait()
            raise


class TakesAnything(MemoryLink):
    __slots__ = ()

    async def send(self, value: bytes) -> None:
        await super().send(value[: self.info.mtu_bytes] or b"0")


class GivesBytearrays(MemoryLink):
    __slots__ = ()

    async def receive(self) -> bytes:
        return bytearray(await super().receive())  # type: ignore[return-value]


class ForgetsToClose(MemoryLink):
    __slots__ = ()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        await super().aclose()


class NeverWaits(MemoryLink):
    __slots__ = ()

    async def send(self, value: bytes) -> None:
        if self._out.sender.statistics().current_buffer_used < BUFFER_FRAMES:
            await super().send(value)
        else:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (Joins, "altered"),
        (Swallows, "still waiting"),
        (TakesAnything, "over the MTU"),
        (GivesBytearrays, "not bytes"),
        (NeverWaits, "never waits"),
    ],
)
async def test_broken_promises_are_found(
    kind: type[MemoryLink], promise: str, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(AssertionError, match=promise):
        await check_link(maker(LinkInfo(mtu_bytes=60_000), kind=kind), timeout_s=3000)


async def test_a_close_that_a_cancellation_prevents_is_found(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(AssertionError, match="cancelled aclose"):
        await check_link(maker(kind=ForgetsToClose))
