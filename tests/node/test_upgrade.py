"""Room upgrades between whole nodes: the tombstone travels, members follow it."""

from __future__ import annotations

import random
from functools import partial

import pytest
import trio

from dtnode.rooms.upgrade import Upgrade
from dtnode.testing import LinkFaults

from .harness import World
from .test_admission import join_all, rule


def successor(world: World, name: str, room_id: str) -> str | None:
    rooms = world.nodes[name].rooms
    room = rooms.room(room_id)
    assert room is not None
    return rooms.summary(room).successor


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("join_rule", ["invite", "public", "restricted"])
async def test_members_follow_over_the_links(
    join_rule: str, bad: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """c, who is apart during the upgrade, talks on in the old room and follows later."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(7))
        if bad:
            world.reliable = False
            world.faults = LinkFaults(loss=0.2, duplication=0.1, reordering=0.2, delay_s=0.2)
        for name in "abc":
            world.add(name)
        for one, other in ("ab", "bc"):
            await world.know(one, other)
            world.connect(one, other)
        hall = await world.create("a", name="hall")
        await join_all(world, hall, "a", "b", "c")
        allowed = (hall,) if join_rule == "restricted" else ()
        old = await world.create("a", name="hut", initial_state=rule(join_rule, *allowed))
        await join_all(world, old, "a", "b", "c")

        world.cut("b", "c")
        await world.send("c", old, "apart")
        upgrade = Upgrade(invite=join_rule == "invite")
        new = await world.act("a", lambda node: node.rooms.upgrade(old, upgrade))
        await world.settle(lambda: successor(world, "b", old) == new, within_s=3600)
        if join_rule == "invite":
            await world.settle(lambda: world.membership("b", new) == "invite", within_s=3600)
        await world.nodes["b"].join(new)
        await world.settle(lambda: world.equal(new, "a", "b"), within_s=3600)

        if join_rule == "restricted":  # b may not let c in: a has to be met
            await world.know("a", "c")
            world.connect("a", "c")
        world.connect("b", "c")
        await world.settle(lambda: successor(world, "c", old) == new, within_s=3600)
        assert world.texts("c", old)[0] == "apart"
        if join_rule == "invite":
            await world.settle(lambda: world.membership("c", new) == "invite", within_s=3600)
        if join_rule == "restricted":
            await world.settle(partial(_in_reach, world, "c", "a"), within_s=3600)
        await world.nodes["c"].join(new)
        await world.settle(lambda: world.equal(new, "a", "b", "c"), within_s=3600)
        await world.settle(lambda: world.equal(old, "a", "b", "c"), within_s=3600)
        assert world.texts("a", old)[0] == "apart"
        nursery.cancel_scope.cancel()


def _in_reach(world: World, name: str, other: str) -> bool:
    return bool(world.nodes[name].connections_to(world.server(other)))
