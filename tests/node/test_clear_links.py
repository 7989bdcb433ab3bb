"""Whole nodes over a link that others can read: rooms that both permit, and nothing else.

Needs in the harness: `World.cipher: CipherPolicy = SEALED`, given to LinkInfo in `_keep`.
"""

from __future__ import annotations

import random

import trio

from dtnode.link_info import CipherPolicy
from dtnode.node.host import NodeHost
from dtnode.node.links import LinkManager
from tests.node.harness import World


async def permit(world: World, name: str, room_id: str, permitted: bool) -> None:
    """As the own API does."""
    node = world.nodes[name]
    links = LinkManager(node, world.nursery)
    host = NodeHost(node, links, api_url="", read_links=lambda: (), stop=trio.Event())
    await host.run(lambda: node.rooms.permit_clear(room_id, permitted))
    await host.permissions_changed()


async def test_only_permitted_rooms_go_over_a_clear_link(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1), cipher=CipherPolicy.CLEAR)
        for name in ("alice", "bob"):
            world.add(name)
        await world.know("alice", "bob")
        world.connect("alice", "bob")
        bob = world.nodes["bob"].rooms
        room_id = await world.create("alice", name="boat", invite=[bob.user_id])
        await trio.sleep(60)
        assert bob.room(room_id) is None  # not even invited
        await permit(world, "alice", room_id, True)
        await world.settle(lambda: bob.room(room_id) is not None)
        await world.nodes["bob"].join(room_id)
        await world.send("bob", room_id, "hello")
        await trio.sleep(100)
        assert world.texts("alice", room_id) == []
        await permit(world, "bob", room_id, True)
        await world.settle(lambda: world.texts("alice", room_id) == ["hello"])
        await world.send("alice", room_id, "hi")
        await world.settle(lambda: world.texts("bob", room_id) == ["hello", "hi"])

        await permit(world, "alice", room_id, False)
        await world.send("alice", room_id, "private")
        await trio.sleep(300)
        assert "private" not in world.texts("bob", room_id)
        await permit(world, "alice", room_id, True)
        await world.settle(lambda: "private" in world.texts("bob", room_id))

        encryption = {"algorithm": "m.megolm.v1.aes-sha2"}
        await world.act(
            "alice", lambda node: node.rooms.send(room_id, "m.room.encryption", encryption, "")
        )
        await world.send("alice", room_id, "secret")
        await trio.sleep(300)
        assert "secret" not in world.texts("bob", room_id)
        nursery.cancel_scope.cancel()
