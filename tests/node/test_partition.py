"""The partition of the demo in one process, 200 times over: random links, random order of acts.

Loss, duplication and reordering are the link's; every run ends with equal tips and tip state on all
who are still in the room, everything said is everywhere, and the banned node gets nothing later.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise

import pytest
import trio

from dtnode.node.node import Node
from dtnode.testing import LinkFaults
from tests.node.harness import World

SEEDS = 200
LEFT, RIGHT = ("a", "b", "c"), ("d", "e", "f")
EVERYBODY = LEFT + RIGHT


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_all_agree_after_a_partition(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    rng = random.Random(seed)
    async with trio.open_nursery() as nursery:
        world = World(nursery, rng)
        if seed % 4:  # every fourth run has perfect links
            world.reliable = False
            world.faults = LinkFaults(
                loss=rng.choice((0.0, 0.05, 0.2)),
                duplication=rng.choice((0.0, 0.1)),
                reordering=rng.choice((0.0, 0.2)),
                delay_s=rng.choice((0.0, 0.05, 1.0)),
            )
        await _run(world, rng)
        nursery.cancel_scope.cancel()


async def _run(world: World, rng: random.Random) -> None:
    for name in EVERYBODY:
        world.add(name, offset_ms=rng.choice((0, -7_200_000, 60_000)))
    line = list(pairwise(EVERYBODY))
    for one, other in line:
        await world.know(one, other)
        world.connect(one, other)
    room_id = await _everybody_joins(world)
    said = await _talk(world, rng, room_id, EVERYBODY, "together")
    await world.settle(lambda: world.equal(room_id, *EVERYBODY))

    world.cut("c", "d")
    await _moderate_apart(world, rng, room_id)
    said += await _talk(world, rng, room_id, EVERYBODY, "apart")
    await world.settle(
        lambda: world.equal(room_id, *LEFT) and world.equal(room_id, *RIGHT), within_s=3600
    )
    assert not world.equal(room_id, "a", "f")

    world.connect("c", "d")
    remaining = LEFT + RIGHT[:-1]
    await world.settle(
        lambda: world.equal(room_id, *remaining) and world.membership("f", room_id) == "ban",
        within_s=3600,
    )
    for name in remaining:
        assert sorted(world.texts(name, room_id)) == sorted(said), name
    await _nothing_later(world, room_id, remaining)


async def _everybody_joins(world: World) -> str:
    room_id = await world.create("a", name="partition")
    for name in EVERYBODY[1:]:
        await world.member("a", room_id, name, "invite")
    await world.act("a", partial(_power, world, room_id, {"b": 50, "d": 50}))
    for name in EVERYBODY[1:]:
        await world.settle(lambda name=name: world.membership(name, room_id) == "invite")  # type: ignore[misc]
        await world.act(name, lambda node: node.rooms.join(room_id))
    await world.settle(lambda: world.equal(room_id, *EVERYBODY), within_s=3600)
    return room_id


def _power(world: World, room_id: str, levels: dict[str, int], node: Node) -> str:
    rooms = world.nodes["a"].rooms
    room = rooms.room(room_id)
    assert room is not None
    content = dict(rooms.states.content(room.current_group, "m.room.power_levels"))
    content["users"] = {world.nodes[name].rooms.user_id: level for name, level in levels.items()}
    return rooms.send(room_id, "m.room.power_levels", content, "")


async def _moderate_apart(world: World, rng: random.Random, room_id: str) -> None:
    """Conflicts on purpose: the topic on both sides; a moderator is demoted on one side and bans
    someone on the other; f is banned on the left while it talks on the right."""
    acts: list[Callable[[], Awaitable[str]]] = [
        lambda: world.act("b", partial(_topic, room_id, "left topic")),
        lambda: world.act("d", partial(_topic, room_id, "right topic")),
        lambda: world.act("a", partial(_power, world, room_id, {"b": 50})),  # d is demoted
        lambda: world.member("d", room_id, "c", "ban"),
        lambda: world.member("a", room_id, "f", "ban"),
    ]
    rng.shuffle(acts)
    for act in acts:
        await act()
        await trio.sleep(rng.random() * 5)


def _topic(room_id: str, topic: str, node: Node) -> str:
    return node.rooms.send(room_id, "m.room.topic", {"topic": topic}, "")


async def _talk(
    world: World, rng: random.Random, room_id: str, names: tuple[str, ...], when: str
) -> list[str]:
    said = []
    for number in range(12):
        name = rng.choice(names)
        text = f"{name} {when} {number}"
        await world.send(name, room_id, text)
        said.append(text)
        await trio.sleep(rng.random() * 3)
    return said


async def _nothing_later(world: World, room_id: str, remaining: tuple[str, ...]) -> None:
    """What is said after the ban is known never reaches the banned node."""
    before = set(world.texts("f", room_id))
    for name in ("a", "e"):
        await world.send(name, room_id, f"later by {name}")
    await world.settle(lambda: world.equal(room_id, *remaining), within_s=3600)
    await trio.sleep(120)
    assert not {text for text in world.texts("f", room_id) if text.startswith("later")}
    assert set(world.texts("f", room_id)) >= before
