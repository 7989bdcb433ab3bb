"""What a running node does by itself now and then."""

from __future__ import annotations

import random

import trio

from dtnode.node.node import Node
from dtnode.node.upkeep import FIRST_LIMIT_S, LIMIT_EVERY_S
from dtnode.testing.rooms_builder import signer_for
from tests.node.harness import World
from tests.node.raw_peer import put_room, room_of


def whole(node: Node, room_id: str) -> list[str]:
    """Texts that are still here."""
    room = node.rooms.room(room_id)
    assert room is not None
    events = node.rooms.timeline.newest(room, 100)
    return [event.pdu.content["body"] for event in events if "body" in event.pdu.content]


async def test_history_limits_are_applied_daily(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        node = world.add("a", signer=signer_for("a"))
        world.add("b", signer=signer_for("b"))
        room = room_of("a", "b")
        room_id = await put_room(world, "a", room)
        await put_room(world, "b", room)
        await world.know("a", "b")
        world.connect("a", "b")
        for number in range(3):
            await world.send("b", room_id, f"b{number}")
        await world.settle(lambda: len(whole(node, room_id)) == 3)
        nid = node.rooms.store.rooms.get(room_id).nid  # type: ignore[union-attr]
        await node.worker.run(
            lambda: node.rooms.store.rooms.set_limit(nid, keep_events=2, keep_days=None)
        )
        assert whole(node, room_id) == ["b0", "b1", "b2"]
        await trio.sleep(FIRST_LIMIT_S)
        assert whole(node, room_id) == ["b1", "b2"]
        await world.send("b", room_id, "b3")
        await world.settle(lambda: len(whole(node, room_id)) == 3)
        await trio.sleep(LIMIT_EVERY_S)
        assert whole(node, room_id) == ["b2", "b3"]
        assert whole(world.nodes["b"], room_id) == ["b0", "b1", "b2", "b3"]
        nursery.cancel_scope.cancel()
