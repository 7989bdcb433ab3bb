"""A clock an hour off its peers' is told (DESIGN section 1): in the log once, and in `status`."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import trio

from dtnode.node.links import LinkManager
from dtnode.node.peer_clocks import MAX_PEERS, PeerClocks
from dtnode.node.status import status
from tests.node.harness import World

HOUR_MS = 3_600_000


async def clock_of(world: World, name: str) -> tuple[bool, str | None]:
    node = world.nodes[name]
    found = await status(node, LinkManager(node, world.nursery), "")
    return found["clock"]["trusted"], found["clock"]["note"]


@pytest.mark.parametrize(
    ("offset_h", "own", "peers"),
    [
        (0, None, None),
        (0.9, None, None),
        (-0.9, None, None),
        (2, "2 h ahead of that of the one peer", "2 h behind that of the one peer"),
        (-2, "2 h behind that of the one peer", "2 h ahead of that of the one peer"),
        (-240, "10 days behind that of the one peer", "10 days ahead of that of the one peer"),
    ],
)
async def test_one_s_own_clock_is_told_ahead_as_well_as_behind(
    offset_h: float,
    own: str | None,
    peers: str | None,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        world.add("a", offset_ms=int(offset_h * HOUR_MS))
        world.add("b")
        await world.know("a", "b")
        for _ in range(3):
            world.connect("a", "b")
            await trio.sleep(5)
            for name, expected in (("a", own), ("b", peers)):
                trusted, note = await clock_of(world, name)
                assert trusted is (expected is None)
                if expected is None:
                    assert note is None
                else:
                    assert note is not None
                    assert expected in note
            world.cut("a", "b")
            await trio.sleep(5)
        logged = [r.getMessage() for r in caplog.records if "clock" in r.getMessage()]
        assert len(logged) == (0 if own is None else 2)  # once at each
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("offsets_h", "trusted", "expected"),
    [
        ([0, 0, 0], True, None),
        ([0, 0, 5], True, "5 h behind that of 1 of 3 peers: theirs may be wrong"),
        ([0, -5, -5], False, "5 h ahead of that of 2 of 3 peers: set it"),
        ([5, 5, 5], False, "5 h behind that of 3 of 3 peers: set it"),
    ],
)
async def test_it_says_with_how_many_it_disagrees(
    offsets_h: Sequence[int],
    trusted: bool,
    expected: str | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        world.add("a")
        for number, offset_h in enumerate(offsets_h):
            world.add(f"p{number}", offset_ms=offset_h * HOUR_MS)
            await world.know("a", f"p{number}")
            world.connect("a", f"p{number}")
        await world.settle(lambda: len(world.nodes["a"].connections) == len(offsets_h))
        found = await clock_of(world, "a")
        assert found[0] is trusted
        assert found[1] == (expected and f"this machine's clock is {expected}")
        nursery.cancel_scope.cancel()


class SetClock:
    ms = 1_780_000_000_000

    def now_ms(self) -> int:
        return self.ms + int(trio.current_time() * 1000)


async def test_when_this_clock_is_set_it_is_right_again(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """While the sessions go on; and if it goes wrong again, that is told again."""
    clock = SetClock()
    clocks = PeerClocks(clock)
    clocks.told("p", 2 * 3_600)
    await trio.sleep(10 * 3_600)
    note = clocks.note()
    assert note is not None
    assert "2 h behind" in note
    clock.ms += 2 * HOUR_MS
    assert clocks.note() is None
    assert not clocks.is_doubtful
    clocks.told("p", 0)
    clocks.told("p", -3 * 3_600)
    assert len(caplog.records) == 2


async def test_what_is_kept_of_peers_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks(SetClock())
    for number in range(2 * MAX_PEERS):
        clocks.told(f"p{number}", 7_200 if number < MAX_PEERS else 0)
    assert clocks.note() is None
    clocks.told("last", 7_200)
    note = clocks.note()
    assert note is not None
    assert f"1 of {MAX_PEERS} peers" in note
