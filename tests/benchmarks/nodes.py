"""Two whole nodes in this process, over a memory link, with store files: what a contact after an
outage costs, and how long a sent message takes to be durable.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from dtnode.link_info import LinkInfo
from dtnode.node.node import Node
from dtnode.node.system import SystemClock
from dtnode.node.worker import in_thread
from dtnode.rooms.local import NewRoom
from dtnode.store import PeerRecord, Store
from dtnode.testing import MemoryLink, memory_link_pair
from dtnode.testing.rooms_builder import signer_for, user_id_for
from tests.benchmarks.made_rooms import text_of
from tests.benchmarks.report import Table, median, milliseconds, per_second

_PATIENCE_S = 120.0


def catch_up_table(messages: int = 1_000, repeats: int = 5) -> Table:
    runs = [trio.run(partial(_catch_up, messages)) for _ in range(repeats)]
    taken, sent = median(run[0] for run in runs), median(run[1] for run in runs)
    return Table(
        title="Catch-up after an outage, two nodes in one process",
        columns=("missed messages", "time", "rate", "bytes on the link, both ways", "per event"),
        rows=[
            [
                f"{messages:,}",
                milliseconds(taken),
                per_second(messages / taken),
                f"{sent:,.0f}",
                f"{sent / messages:,.0f} B",
            ]
        ],
        note="From the first frame to the receiver's fsync of the last event; both nodes share the"
        " processor. The plain wire format: PDUs travel as JSON.",
    )


def send_table(messages: int = 300) -> Table:
    alone, together = trio.run(partial(_send_latency, messages))
    return Table(
        title="Sending, until durable (in process, no HTTP)",
        columns=("how", "median", "95th percentile", "rate"),
        rows=[
            [
                "one after the other",
                milliseconds(median(alone)),
                milliseconds(sorted(alone)[int(len(alone) * 0.95)]),
                per_second(len(alone) / sum(alone)),
            ],
            ["all at once (group commit)", "", "", per_second(messages / together)],
        ],
    )


async def _catch_up(messages: int) -> tuple[float, int]:
    """(seconds, bytes)"""
    async with _two_nodes() as (alice, bob):
        room_id = await _shared_room(alice, bob)
        last = await _talk(alice, room_id, messages)
        start = time.perf_counter()
        async with _connected(alice, bob) as links:
            await _has(bob, last)
            taken = time.perf_counter() - start
            return taken, sum(link.bytes_sent for link in links)


async def _send_latency(messages: int) -> tuple[list[float], float]:
    async with _two_nodes() as (alice, bob):
        room_id = await _shared_room(alice, bob)
        rng = random.Random(1)
        alone = []
        for _ in range(messages):
            start = time.perf_counter()
            await _send(alice, room_id, text_of(rng))
            alone.append(time.perf_counter() - start)
        start = time.perf_counter()
        await _talk(alice, room_id, messages)
        return alone, time.perf_counter() - start


@asynccontextmanager
async def _two_nodes() -> AsyncIterator[tuple[Node, Node]]:
    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery:
            nodes = []
            for name in ("alice", "bob"):
                store = Store(Path(folder) / f"{name}.sqlite")
                node = Node(
                    store=store,
                    signer=signer_for(name),
                    user_id=user_id_for(name),
                    clock=SystemClock(),
                    entropy=os.urandom,
                    run_blocking=in_thread(),
                )
                nursery.start_soon(node.run)
                nodes.append(node)
            for node, other in (nodes, nodes[::-1]):
                peer = PeerRecord(server_name=other.rooms.own_name, added=True)
                await node.worker.run(partial(node.rooms.store.peers.put, peer))
                await node.peers_changed()
            yield nodes[0], nodes[1]
            nursery.cancel_scope.cancel()
        for node in nodes:
            node.rooms.store.close()


@asynccontextmanager
async def _connected(one: Node, other: Node) -> AsyncIterator[tuple[MemoryLink, MemoryLink]]:
    links = memory_link_pair(LinkInfo(mtu_bytes=60_000))
    async with trio.open_nursery() as nursery:
        for node, link, initiator in ((one, links[0], True), (other, links[1], False)):
            connection = node.connection(link, link_id="memory", initiator=initiator)
            nursery.start_soon(connection.run)
        yield links
        nursery.cancel_scope.cancel()


async def _shared_room(alice: Node, bob: Node) -> str:
    """Alice's room with both in it and everything known to both; not connected any more."""
    new = NewRoom(name="Bench", invite=(bob.rooms.user_id,))
    room_id = await alice.worker.run(lambda: alice.rooms.create_room(new))
    async with _connected(alice, bob):
        while await bob.worker.run(lambda: bob.rooms.room(room_id)) is None:
            await bob.wait_for_news(0, 0.01)
        joined = await bob.worker.run(lambda: bob.rooms.join(room_id))
        await _has(alice, joined)
    return room_id


async def _talk(node: Node, room_id: str, messages: int) -> str:
    """Many at once, so that they share commits; the id of the last in the room's order."""
    rng = random.Random(2)
    async with trio.open_nursery() as nursery:
        for _ in range(messages - 1):
            nursery.start_soon(_send, node, room_id, text_of(rng))
    return await _send(node, room_id, "that was all")


async def _send(node: Node, room_id: str, text: str) -> str:
    content = {"msgtype": "m.text", "body": text}
    return await node.worker.run(lambda: node.rooms.send(room_id, "m.room.message", content))


async def _has(node: Node, event_id: str) -> None:
    """Waits until the event is judged and durable at the node."""
    store = node.rooms.store
    with trio.fail_after(_PATIENCE_S):
        while not await node.worker.run(lambda: store.events.has(event_id)):
            await node.wait_for_news(store.events.last_position(), 0.02)
