"""Two whole nodes over one memory link in virtual time: every byte of every frame is counted.

Real rooms, packers, sessions and timers of dtnode.node; keys, clocks and random numbers are the
same each time; only which of two tasks comes first isn't. Called by wire.py; tests/fuzz takes
conversations from here.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import trio
import trio.testing

from dtnode.link import Link
from dtnode.link_info import Duplex, LinkInfo
from dtnode.matrix.pdu import Pdu
from dtnode.node.connection import Connection
from dtnode.session.transfer import FrameKind, kind_of
from dtnode.session.transfer.timing import UNHURRIED_S
from dtnode.testing import memory_link_pair
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from dtnode.wire.packed import LinkMessage
from dtnode_transports.tcp import _length_bytes
from tests.benchmarks.wire_texts import LINES
from tests.node.harness import START_MS, World
from tests.node.raw_peer import put_room, room_of

PEOPLE = ("alice", "bob", "carol", "dave", "erin")
MTUS = (20, 51, 126, 222, 512)
STREAM = LinkInfo(mtu_bytes=65_535)
SLOW_BPS = 9_600
"""Slow enough for the text model, fast enough for a batch of 100 in one burst."""

FAST_BPS = 50_000
"""No text model."""

TALK_GAP_S = 5.0
ALONE_S = 20.0

QUIET_S = 20.0
"""Nothing is owed any longer than that on a stream; its keepalives come once a minute."""

DATAGRAM_QUIET_S = UNHURRIED_S + 20.0
"""On the others the last acknowledgement may be owed for minutes."""


def link_of(mtu: int | None, *, model: bool) -> LinkInfo:
    """mtu None: a stream, as TCP. Others: a half-duplex radio that drops damaged frames itself."""
    bitrate = SLOW_BPS if model else FAST_BPS
    if mtu is None:
        return replace(STREAM, bitrate_bps=bitrate if model else None)
    return LinkInfo(
        mtu_bytes=mtu,
        bitrate_bps=bitrate,
        duplex=Duplex.HALF,
        reliable=False,
        turnaround_s=0.1,
    )


@dataclass
class Counted(Link):
    """One end of a memory link; remembers what it sent."""

    inner: Link
    frames: list[bytes] = field(default_factory=list)

    @property
    def info(self) -> LinkInfo:
        return self.inner.info

    @property
    def bytes_sent(self) -> int:
        """On a stream with the length that TCP needs before each frame."""
        prefixes = 0
        if self.info.reliable:
            prefixes = sum(len(_length_bytes(len(frame))) for frame in self.frames)
        return prefixes + sum(map(len, self.frames))

    async def send(self, value: bytes) -> None:
        await self.inner.send(value)
        self.frames.append(value)

    async def receive(self) -> bytes:
        return await self.inner.receive()

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass(kw_only=True)
class Contact:
    """Alice's and Bob's ends of a live link; both hold a room of five people on as many servers."""

    world: World
    room: RoomBuilder
    ends: tuple[Counted, Counted]
    messages: tuple[list[LinkMessage], list[LinkMessage]] = field(default_factory=lambda: ([], []))
    message_bytes: int = 0  # of messages sent, before they were sealed and cut up

    def count_messages_of(self, end: int, connection: Connection) -> None:
        session = connection._session
        send = session.send

        def counted(message: LinkMessage) -> int:
            size_bytes = send(message)
            self.message_bytes += size_bytes
            self.messages[end].append(message)
            return size_bytes

        session.send = counted  # type: ignore[method-assign]

    @property
    def bytes_both_ways(self) -> int:
        return sum(end.bytes_sent for end in self.ends)

    @property
    def handshake_bytes(self) -> int:
        frames = [frame for end in self.ends for frame in end.frames]
        return sum(len(frame) for frame in frames if kind_of(frame) is FrameKind.HANDSHAKE)

    async def quiet(self) -> None:
        """Until nothing has been said for a while."""
        before = -1
        while self.bytes_both_ways != before:
            before = self.bytes_both_ways
            await trio.sleep(QUIET_S if self.ends[0].info.reliable else DATAGRAM_QUIET_S)

    async def say(self, name: str, line: str) -> None:
        await self.world.send(name, self.room_id, line)

    async def take(self, name: str, pdus: Sequence[Pdu]) -> None:
        """The node gets these from somewhere else, at once."""
        node, data = self.world.nodes[name], [pdu.canonical() for pdu in pdus]
        received = await node.worker.run(
            lambda: node.rooms.receive(self.room_id, data, source="elsewhere")
        )
        assert len(received.accepted) == len(pdus)

    @property
    def room_id(self) -> str:
        assert self.room.room_id is not None
        return self.room.room_id

    def assert_in_step(self) -> None:
        assert self.world.equal(self.room_id, *PEOPLE[:2])


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[World, RoomBuilder]]:
    """Alice and Bob, in the same room with three others. To be used under Trio's MockClock."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        room = room_of(*PEOPLE)
        for name in PEOPLE[:2]:
            world.add(name, signer=signer_for(name))
            await put_room(world, name, room)
        await world.know(*PEOPLE[:2])
        yield world, room
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def contact(world: World, room: RoomBuilder, info: LinkInfo) -> AsyncIterator[Contact]:
    """Both know whom they meet; entered when they have said all they had to say."""
    pair = memory_link_pair(info, buffer_frames=1_000)
    ends = (Counted(pair[0]), Counted(pair[1]))
    dialling = world.nodes["alice"].connection(
        ends[0], link_id="measured", initiator=True, expected_peer=world.server("bob")
    )
    answering = world.nodes["bob"].connection(
        ends[1], link_id="measured", initiator=False, expected_peer=world.server("alice")
    )
    made = Contact(world=world, room=room, ends=ends)
    async with trio.open_nursery() as nursery:
        for end, connection in enumerate((dialling, answering)):
            made.count_messages_of(end, connection)
            nursery.start_soon(connection.run)
        await made.quiet()
        yield made
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Bytes on one link, both ways, everything included.

    handshake, contact: of peers that have met before, with nothing new; contact is all of it.
    alone: a message, with its acknowledgement by itself. talk: one of a conversation. batch: one of
    100 in a catch-up. goodput: the share of messages in the link's bytes, alone and in the batch.
    """

    handshake: int
    contact: int
    alone: float
    talk: float
    batch: float
    goodput_alone: float
    goodput_batch: float


def measure(info: LinkInfo, *, lines: int = len(LINES), batch: int = 100) -> Measured:
    return trio.run(
        partial(_measure, info, LINES[:lines], batch),
        clock=trio.testing.MockClock(autojump_threshold=0),
    )


async def _measure(info: LinkInfo, lines: Sequence[str], batch: int) -> Measured:
    async with two_nodes() as (world, room):
        async with contact(world, room, info):
            pass
        async with contact(world, room, info) as link:
            handshake, whole = link.handshake_bytes, link.bytes_both_ways
            rng = random.Random(2)
            for name in PEOPLE[:2]:  # so that each is in the other's tables
                await link.say(name, "hello")
                await link.quiet()
            alone, alone_goodput = await _alone(link, lines, rng)
            talk = await _talk(link, lines, rng)
            batched, batch_goodput = await _batch(link, batch, rng)
            link.assert_in_step()
    return Measured(
        handshake=handshake,
        contact=whole,
        alone=alone,
        talk=talk,
        batch=batched,
        goodput_alone=alone_goodput,
        goodput_batch=batch_goodput,
    )


async def _alone(link: Contact, lines: Sequence[str], rng: random.Random) -> tuple[float, float]:
    """Bytes and goodput of messages after each of which nothing is said for a while."""
    before, before_inside = link.bytes_both_ways, link.message_bytes
    for line in lines:
        await link.say("alice", line)
        await trio.sleep(ALONE_S * (1 + rng.random()))
    await link.quiet()
    spent = link.bytes_both_ways - before
    return spent / len(lines), (link.message_bytes - before_inside) / spent


async def _talk(link: Contact, lines: Sequence[str], rng: random.Random) -> float:
    """Two people, in turn, a few seconds apart."""
    await link.quiet()
    before = link.bytes_both_ways
    for number, line in enumerate(lines):
        await link.say(PEOPLE[number % 2], line)
        await trio.sleep(rng.expovariate(1 / TALK_GAP_S))
    await link.quiet()
    return (link.bytes_both_ways - before) / len(lines)


async def _batch(link: Contact, count: int, rng: random.Random) -> tuple[float, float]:
    """What five people wrote within two hours comes to Alice's node at once."""
    await link.quiet()
    before, before_inside = link.bytes_both_ways, link.message_bytes
    stamps = sorted(rng.randrange(7_200_000) for _ in range(count))
    start = START_MS + int(trio.current_time() * 1_000) - 7_200_000
    pdus = [
        link.room.message(PEOPLE[i * 7 % 5], LINES[i % len(LINES)], ts=start + stamp)
        for i, stamp in enumerate(stamps)
    ]
    await link.take("alice", pdus)
    await link.quiet()
    await link.quiet()
    spent = link.bytes_both_ways - before
    return spent / count, (link.message_bytes - before_inside) / spent
