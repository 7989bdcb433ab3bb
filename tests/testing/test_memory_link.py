"""Faults of memory links happen as asked for, repeat with their seed, and end with the link."""

from __future__ import annotations

import random

import pytest
import trio

from dtnode.link import Link
from dtnode.link_info import LinkInfo
from dtnode.testing import LinkFaults, MemoryLink, memory_link_pair

INFO = LinkInfo(mtu_bytes=100, reliable=False)


async def arrivals(
    link: Link, other: MemoryLink, count: int = 200
) -> list[tuple[float, int]]:  # (seconds, number) of each frame
    """Send `count` numbered frames, one a second, and take what comes out."""
    found: list[tuple[float, int]] = []

    async def take() -> None:
        async for frame in other:
            found.append((trio.current_time(), int.from_bytes(frame, "big")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        for number in range(count):
            await link.send(number.to_bytes(2, "big"))
            await trio.sleep(1)
        await link.aclose()
    return found


def bad_pair(seed: int, **faults: float) -> tuple[MemoryLink, MemoryLink]:
    return memory_link_pair(INFO, faults=LinkFaults(**faults), random=random.Random(seed).random)


async def test_loss(autojump_clock: trio.testing.MockClock) -> None:
    found = [number for _, number in await arrivals(*bad_pair(1, loss=0.3))]
    assert found == sorted(set(found))
    assert 120 <= len(found) <= 160


async def test_duplication(autojump_clock: trio.testing.MockClock) -> None:
    found = [number for _, number in await arrivals(*bad_pair(1, duplication=0.5))]
    assert found == sorted(found)
    assert set(found) == set(range(200))
    assert 280 <= len(found) <= 320


async def test_reordering(autojump_clock: trio.testing.MockClock) -> None:
    found = [n for _, n in await arrivals(*bad_pair(1, reordering=0.5, reordering_delay_s=5.0))]
    assert sorted(found) == list(range(200))
    assert found != sorted(found)
    assert all(abs(place - number) <= 5 for place, number in enumerate(found))


async def test_the_same_seed_gives_the_same_faults(autojump_clock: trio.testing.MockClock) -> None:
    faults = {"loss": 0.2, "duplication": 0.2, "reordering": 0.3, "reordering_delay_s": 3.0}
    runs = []
    for seed in (1, 1, 2):
        started_at = trio.current_time()
        found = await arrivals(*bad_pair(seed, **faults))
        runs.append([(round(at - started_at, 6), number) for at, number in found])
    assert runs[0] == runs[1] != runs[2]


async def test_delay_and_airtime(autojump_clock: trio.testing.MockClock) -> None:
    info = LinkInfo(mtu_bytes=100, bitrate_bps=80)
    a, b = memory_link_pair(info, faults=LinkFaults(delay_s=2.0))
    async with a, b:
        started_at = trio.current_time()
        for _ in range(3):
            await a.send(bytes(10))
        times = []
        for _ in range(3):
            await b.receive()
            times.append(trio.current_time() - started_at)
        assert times == pytest.approx([3.0, 4.0, 5.0])
        assert (a.frames_sent, a.bytes_sent) == (3, 30)


async def test_an_unreliable_link_loses_what_is_too_much() -> None:
    a, b = memory_link_pair(INFO, buffer_frames=3)
    async with a, b:
        for number in range(10):
            await a.send(bytes([number]))
        await a.aclose()
        assert [frame[0] async for frame in b] == [0, 1, 2]


async def test_closing_wakes_who_waits_for_a_frame_on_its_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    a, b = memory_link_pair(INFO, faults=LinkFaults(delay_s=1000.0), buffer_frames=1)
    await a.send(b"x")

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await b.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        await b.aclose()
    assert trio.current_time() < 1000
    await a.aclose()


@pytest.mark.parametrize(
    ("info", "source", "why"),
    [
        (INFO, None, "need random"),
        (LinkInfo(mtu_bytes=100), random.Random(1).random, "not reliable"),
    ],
)
def test_faults_that_contradict_the_link(info: LinkInfo, source: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        memory_link_pair(info, faults=LinkFaults(loss=0.5), random=source)  # type: ignore[arg-type]
