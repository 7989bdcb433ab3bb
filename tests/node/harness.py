"""Whole nodes in one process, under Trio's MockClock and over memory links, for the tests here."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.matrix.server_names import server_name_from_key
from dtnode.matrix.state_resolution import state_hash
from dtnode.node.connection import Connection
from dtnode.node.node import Node
from dtnode.node.worker import RunBlocking, inline
from dtnode.rooms.local import NewRoom
from dtnode.signer import Ed25519Signer
from dtnode.store import PeerRecord, Store
from dtnode.testing import LinkFaults, memory_link_pair

START_MS = 1_780_000_000_000


class TrioClock:
    """Wall time that follows Trio's, off by `offset_ms`."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return START_MS + self.offset_ms + int(trio.current_time() * 1000)


@dataclass
class World:
    """Nodes and the links between them. faults: of every link from now on."""

    nursery: trio.Nursery
    rng: random.Random
    faults: LinkFaults = field(default_factory=LinkFaults)
    reliable: bool = True
    cipher: CipherPolicy = CipherPolicy.SEALED
    bitrate_bps: int | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    _links: dict[tuple[str, str], trio.CancelScope] = field(default_factory=dict)

    def add(
        self,
        name: str,
        *,
        offset_ms: int = 0,
        signer: Ed25519Signer | None = None,
        store: Store | None = None,
        run_blocking: RunBlocking = inline,
    ) -> Node:
        """signer: another than a new one, such as that of a RoomBuilder's person."""
        if signer is None:
            seed = self.rng.randbytes(32)
            key = Ed25519Signer(seed, "").public_key
            signer = Ed25519Signer(seed, server_name_from_key(key))
        node = Node(
            store=store or Store(None),
            signer=signer,
            user_id=f"@{name}:{signer.server_name}",
            clock=TrioClock(offset_ms),
            entropy=self.rng.randbytes,
            run_blocking=run_blocking,
        )
        self.nodes[name] = node
        self.nursery.start_soon(node.run)
        return node

    async def know(self, one: str, other: str) -> None:
        await self.put_peer(one, PeerRecord(server_name=self.server(other), added=True))
        await self.put_peer(other, PeerRecord(server_name=self.server(one), added=True))

    async def put_peer(self, name: str, record: PeerRecord) -> None:
        node = self.nodes[name]
        await node.worker.run(partial(node.rooms.store.peers.put, record))
        await node.peers_changed()

    def server(self, name: str) -> str:
        return self.nodes[name].rooms.own_name

    def connect(self, one: str, other: str) -> None:
        """A link that comes back by itself half a second after it broke, until `cut`."""
        scope = self._links[(one, other)] = trio.CancelScope()
        self.nursery.start_soon(self._keep, one, other, scope)

    async def _keep(self, one: str, other: str, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                info = LinkInfo(
                    mtu_bytes=60_000, reliable=self.reliable, bitrate_bps=self.bitrate_bps
                )
                pair = memory_link_pair(
                    info,
                    faults=None if self.reliable else self.faults,
                    random=self.rng.random,
                )
                async with trio.open_nursery() as nursery:
                    for name, link, initiator in ((one, pair[0], True), (other, pair[1], False)):
                        connection = self.nodes[name].connection(
                            link,
                            link_id=f"{one}-{other}",
                            initiator=initiator,
                            cipher=self.cipher,
                        )
                        nursery.start_soon(_run_then_cancel, connection, nursery.cancel_scope)
                await trio.sleep(0.5)

    def cut(self, one: str, other: str) -> None:
        self._links.pop((one, other)).cancel()

    async def settle(self, done: Callable[[], bool], *, within_s: float = 600) -> None:
        with trio.fail_after(within_s):
            while not done():
                await trio.sleep(0.25)

    # --- what people do

    async def create(self, who: str, **what: object) -> str:
        node = self.nodes[who]
        return await node.worker.run(
            lambda: node.rooms.create_room(NewRoom(**what))  # type: ignore[arg-type]
        )

    async def send(self, name: str, room_id: str, text: str) -> str:
        return await self.act(
            name, lambda node: node.rooms.send(room_id, "m.room.message", _text(text))
        )

    async def act(self, name: str, work: Callable[[Node], str]) -> str:
        node = self.nodes[name]
        return await node.worker.run(lambda: work(node))

    async def member(self, name: str, room_id: str, who: str, membership: str) -> str:
        user_id = self.nodes[who].rooms.user_id
        return await self.act(
            name, lambda node: node.rooms.set_membership(room_id, user_id, membership)
        )

    # --- what can be compared

    def tips(self, name: str, room_id: str) -> list[str]:
        store = self.nodes[name].rooms.store
        room = store.rooms.get(room_id)
        return [] if room is None else sorted(store.events.ids_of(store.rooms.tips(room.nid)))

    def tip_state(self, name: str, room_id: str) -> str:
        rooms = self.nodes[name].rooms
        room = rooms.store.rooms.get(room_id)
        assert room is not None
        return state_hash(rooms.store.state_groups.state(rooms.states.tip_group(room.nid)))

    def texts(self, name: str, room_id: str) -> list[str]:
        rooms = self.nodes[name].rooms
        room = rooms.room(room_id)
        if room is None:
            return []
        return [
            str(event.pdu.content.get("body"))
            for event in rooms.timeline.newest(room, 10_000)
            if event.pdu.type == "m.room.message"
        ]

    def membership(self, name: str, room_id: str) -> str | None:
        rooms = self.nodes[name].rooms
        room = rooms.room(room_id)
        return None if room is None else rooms.standing(room).membership

    def equal(self, room_id: str, *names: str) -> bool:
        first = names[0]
        return all(
            self.tips(name, room_id) == self.tips(first, room_id)
            and self.tip_state(name, room_id) == self.tip_state(first, room_id)
            for name in names[1:]
        )


def _text(text: str) -> dict[str, str]:
    return {"msgtype": "m.text", "body": text}


async def _run_then_cancel(connection: Connection, scope: trio.CancelScope) -> None:
    await connection.run()
    scope.cancel()
