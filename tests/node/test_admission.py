"""Knocks and restricted joins between whole nodes, over good links and bad ones."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio

from dtnode.errors import AuthRuleError
from dtnode.rooms.local import RoomNotHere
from dtnode.testing import LinkFaults
from tests.node.harness import World

BAD = LinkFaults(loss=0.3, duplication=0.1, reordering=0.2, delay_s=0.2)


@asynccontextmanager
async def world_of(*names: str, seed: int = 1, bad: bool = False) -> AsyncIterator[World]:
    """Nodes in a line that know their neighbours."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(seed))
        if bad:
            world.reliable, world.faults = False, BAD
        for name in names:
            world.add(name)
        for one, other in pairwise(names):
            await world.know(one, other)
            world.connect(one, other)
        yield world
        nursery.cancel_scope.cancel()


def rule(join_rule: str, *allowed: str) -> list[dict[str, Any]]:
    content: dict[str, Any] = {"join_rule": join_rule}
    if allowed:
        content["allow"] = [{"type": "m.room_membership", "room_id": id_} for id_ in allowed]
    return [{"type": "m.room.join_rules", "content": content}]


async def join_all(world: World, room_id: str, inviter: str, *names: str) -> None:
    for name in names:
        await world.member(inviter, room_id, name, "invite")
        await world.settle(partial(_is, world, name, room_id, "invite"), within_s=3600)
        await world.nodes[name].join(room_id)
    await world.settle(lambda: world.equal(room_id, inviter, *names), within_s=3600)


def _is(world: World, name: str, room_id: str, membership: str | None) -> bool:
    return world.membership(name, room_id) == membership


def seen(world: World, where: str, who: str, room_id: str) -> str | None:
    """Membership of `who` by the node of `where`."""
    rooms = world.nodes[where].rooms
    room = rooms.room(room_id)
    assert room is not None
    return rooms.standing(room, world.nodes[who].rooms.user_id).membership


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_a_knock_travels_and_the_invite_comes_back(
    bad: bool, seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    """c knocks at b's node; the moderator a is two hops away."""
    async with world_of("a", "b", "c", seed=seed, bad=bad) as world:
        room_id = await world.create("a", name="hut", initial_state=rule("knock"))
        await join_all(world, room_id, "a", "b")
        await world.settle(lambda: bool(world.nodes["c"].connections), within_s=600)
        await world.nodes["c"].knock(room_id, "it rains")
        await world.settle(lambda: seen(world, "a", "c", room_id) == "knock", within_s=3600)
        assert world.texts("c", room_id) == []
        await world.member("a", room_id, "c", "invite")
        await world.settle(partial(_is, world, "c", room_id, "invite"), within_s=3600)
        await world.nodes["c"].join(room_id)
        await world.send("c", room_id, "thanks")
        await world.settle(lambda: world.equal(room_id, "a", "b", "c"), within_s=3600)
        assert world.texts("a", room_id) == ["thanks"]


async def test_a_knock_is_turned_down(autojump_clock: trio.testing.MockClock) -> None:
    async with world_of("a", "b") as world:
        room_id = await world.create("a", initial_state=rule("knock"))
        await world.settle(lambda: bool(world.nodes["b"].connections))
        with pytest.raises(AuthRuleError, match="dtnode room knock"):
            await world.nodes["b"].join(room_id)
        await world.nodes["b"].knock(room_id, None)
        await world.settle(lambda: seen(world, "a", "b", room_id) == "knock")
        await world.member("a", room_id, "b", "leave")
        await world.settle(partial(_is, world, "b", room_id, "leave"))
        await world.nodes["b"].knock(room_id, "again")  # with another card
        await world.settle(lambda: seen(world, "a", "b", room_id) == "knock")


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("version", ["8", "10", "12"])
async def test_a_restricted_join_is_signed_over_the_link(
    version: str, bad: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with world_of("a", "b", seed=int(version), bad=bad) as world:
        hall = await world.create("a", name="hall")
        await join_all(world, hall, "a", "b")
        club = await world.create(
            "a", name="club", version=version, initial_state=rule("restricted", hall)
        )
        await world.send("a", club, "welcome")
        await world.nodes["b"].join(club)
        assert world.membership("b", club) == "join"
        await world.send("b", club, "thanks")
        await world.settle(lambda: world.equal(club, "a", "b"), within_s=3600)
        assert world.texts("b", club) == ["welcome", "thanks"]
        assert seen(world, "a", "b", club) == "join"


async def test_the_third_member_takes_the_signed_join(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """d meets only c, who may not invite; b may, and d meets b later."""
    async with world_of("a", "b", "c", "d") as world:
        hall = await world.create("a")
        await join_all(world, hall, "a", "b", "c", "d")
        club = await world.create("a", initial_state=rule("restricted", hall))
        await join_all(world, club, "a", "b", "c")
        await world.act("a", partial(_moderator, world, club, "b"))
        await world.settle(lambda: world.equal(club, "a", "b", "c"))
        with pytest.raises(RoomNotHere, match="when one of them is in reach"):
            await world.nodes["d"].join(club)
        await world.know("b", "d")
        world.connect("b", "d")
        await world.settle(lambda: len(world.nodes["d"].connections) == 2)
        await world.nodes["d"].join(club)
        await world.settle(lambda: world.equal(club, "a", "b", "c", "d"))
        assert seen(world, "c", "d", club) == "join"


def _moderator(world: World, room_id: str, who: str, node: Any) -> str:
    content = {"users": {world.nodes[who].rooms.user_id: 50}, "invite": 50}
    event_id: str = node.rooms.send(room_id, "m.room.power_levels", content, "")
    return event_id


async def test_who_isnt_in_the_allowed_room_stays_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world_of("a", "b") as world:
        hall = await world.create("a")
        await world.settle(lambda: bool(world.nodes["b"].connections))
        club = await world.create("a", initial_state=rule("restricted", hall))
        with pytest.raises(RoomNotHere, match="no node in reach lets you in"):
            await world.nodes["b"].join(club)
        assert world.nodes["b"].rooms.room(club) is None  # not even that it exists


async def test_a_refusal_is_told(autojump_clock: trio.testing.MockClock) -> None:
    """b's card is old: meanwhile the club lets nobody in."""
    async with world_of("a", "b") as world:
        hall = await world.create("a")
        await join_all(world, hall, "a", "b")
        club = await world.create("a", initial_state=rule("restricted", hall))
        card = world.nodes["a"].rooms.sharing.public_card(club, world.server("b"))
        assert card is not None
        node = world.nodes["b"]
        await node.worker.run(lambda: node.rooms.take_card(card, source=world.server("a")))
        await world.act("a", partial(_set_rule, club, "invite"))
        with pytest.raises(AuthRuleError, match=r"who could let you in didn't: it doesn't know"):
            await node.join(club)


def _set_rule(room_id: str, join_rule: str, node: Any) -> str:
    event_id: str = node.rooms.send(room_id, "m.room.join_rules", {"join_rule": join_rule}, "")
    return event_id
