"""The other end of a link, driven by the test: a LinkSession with a key of its own, or bare frames.

It says what no honest node says, and keeps all it hears, as messages and as bytes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import trio

from dtnode.errors import RemoteProtocolError
from dtnode.link import Link
from dtnode.link_info import LinkInfo
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.node.connection import Connection
from dtnode.node.contacts import NUMBERS_AT_ONCE, Acquaintances, LinkContacts, WhoIsWho
from dtnode.rooms.known_events import RoomEvents
from dtnode.session import (
    LinkSession,
    MessageReceived,
    SessionClosed,
    SessionState,
)
from dtnode.session.transfer.frames import Flag
from dtnode.session.transfer.stream import StreamTransfer
from dtnode.signer import Ed25519Signer
from dtnode.store import PeerRecord, RoomKind
from dtnode.testing import memory_link_pair
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from dtnode.wire.messages import Ack, CardAck, Events, Message, RoomCard
from dtnode.wire.packed import LinkMessage, PackedEvents
from dtnode.wire.packing import PackedMessage, Packer, PduMessage
from dtnode.wire.pdus import KnownEvents, NothingKnown
from dtnode.wire.pdus.batch import _RAW_EVENT, _said_raw
from dtnode.wire.pdus.tables import Tables
from dtnode.wire.pdus.writer import Writer
from dtnode.wire.text_model import TextModel
from tests.node.harness import START_MS, World

M = TypeVar("M")
MTU_BYTES = 60_000


_first_numbers = itertools.count(START_MS, NUMBERS_AT_ONCE)


def strangers(signer: Ed25519Signer, *met: str) -> Acquaintances:
    """Of somebody who knows nobody: it dials whom it is told to, and introduces itself unless they
    have `met`."""
    nobody = WhoIsWho(
        names=(), keys=frozenset(), blocked=frozenset(), met=frozenset(met), handshakes={}
    )
    found = Acquaintances(signer, nobody)
    found.reserved(next(_first_numbers))
    return found


def raw_batch(*pdus: bytes) -> bytes:
    """A batch of any bytes in place of events."""
    writer = Writer(ROOM_VERSIONS["12"], Tables(()), None, NothingKnown(), None)
    for pdu in pdus:
        writer.out.append(_RAW_EVENT)
        writer.sized(pdu)
    return bytes(writer.out)


class RawPeer:
    """known: what it is taken to hold of a room, all that the node does.

    heard: messages of the node. frames: all it sent, sent: all that went there. closed: the reason
    of its Bye. fault: what in the node's messages ended this end.
    """

    def __init__(
        self,
        link: Link,
        signer: Ed25519Signer,
        connection: Connection,
        dials: str,
        known: Callable[[str], KnownEvents],
        contacts: Acquaintances,
    ) -> None:
        self.signer = signer
        self.connection = connection
        self.heard: list[Message] = []
        self.frames: list[bytes] = []
        self.sent: list[bytes] = []
        self.closed: str | None = None
        self.fault: RemoteProtocolError | None = None
        self.proved = trio.Event()
        self.ended = trio.Event()
        self.answering = False
        self.reading = True
        self._link = link
        self._sending = trio.Lock()
        self._known = known
        self._packer = Packer(TextModel(), used=False, servers=(signer.server_name, dials))
        self._session = LinkSession(
            contacts=LinkContacts(contacts, expected=dials),
            entropy=random.Random(signer.server_name).randbytes,
            info=link.info,
            initiator=True,
            wall_ms=lambda: START_MS,
        )

    async def record(self) -> None:
        """Instead of `run`: says nothing by itself."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for frame in self._link:
                self.frames.append(frame)
        self.ended.set()
        await self._link.aclose()

    async def run(self) -> None:
        self._session.start(trio.current_time())
        try:
            await self.flush()
            async for frame in self._link:
                self.frames.append(frame)
                for event in self._session.receive_frame(frame, trio.current_time()):
                    match event:
                        case MessageReceived(message=message):
                            heard = self._unpacked(message)
                            self.heard.append(heard)
                            await self._answer(heard)
                        case SessionClosed(reason=reason):
                            self.closed = reason
                await self.flush()
                if self._session.state is SessionState.AUTHENTICATED:
                    self.proved.set()
                while not self.reading:
                    await trio.sleep(1)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except RemoteProtocolError as error:
            self.fault = error
        self.ended.set()
        await self._link.aclose()

    async def flush(self) -> None:
        for frame in self._session.frames_to_send(trio.current_time()):
            await self.send_frame(frame)

    async def _answer(self, message: Message) -> None:
        """What an honest node would acknowledge, if `answering`."""
        if self.answering and isinstance(message, Events):
            await self.send(Ack(batch=message.batch))
        if self.answering and isinstance(message, RoomCard):
            await self.send(CardAck(room_id=message.room_id, event_id=message.event_id))

    def _unpacked(self, message: LinkMessage) -> Message:
        if isinstance(message, PackedMessage):
            return self._packer.unpack(message, self._known(message.room_id))
        return message

    def _packed(self, message: Message | LinkMessage) -> LinkMessage:
        """Events as they are, whatever they are: not every node's are valid."""
        if isinstance(message, Events):
            version = ROOM_VERSIONS.get(message.room_version, ROOM_VERSIONS["12"])
            for pdu in message.pdus:  # the node may name them to this end from now on
                said = _said_raw(pdu, version)
                self._packer._encoder.tables.carried_alone(message.room_id, said)
            return PackedEvents(
                batch=message.batch,
                room_id=message.room_id,
                room_version=message.room_version,
                data=raw_batch(*message.pdus),
                more=message.more,
            )
        if isinstance(message, PduMessage):
            return self._packer.pack(message, NothingKnown())
        return message

    async def send(self, *messages: Message | LinkMessage) -> None:
        for message in messages:
            self._session.send(self._packed(message))
            await self.flush()

    async def send_payload(self, payload: bytes) -> None:
        """Any bytes as a message of the session."""
        live = self._session._live
        assert live is not None
        live.transfer.send(payload)
        await self.flush()

    async def send_piece(self, flags: Flag, piece: bytes) -> None:
        """A sealed frame with flags and a piece of a message that the session wouldn't make."""
        live = self._session._live
        assert live is not None
        transfer = live.transfer
        assert isinstance(transfer, StreamTransfer)
        header = bytes((flags | transfer._side,))
        await self.send_frame(
            header + transfer._keys.data_sealer.seal(transfer._sent, header, piece)
        )
        transfer._sent += 1

    async def send_frame(self, frame: bytes) -> None:
        async with self._sending:
            await self._link.send(frame)
        self.sent.append(frame)

    def of(self, kind: type[M]) -> list[M]:
        return [message for message in self.heard if isinstance(message, kind)]

    def heard_any(self, *kinds: type[Message]) -> bool:
        return any(isinstance(message, kinds) for message in self.heard)

    async def until(self, done: Callable[[], object], within_s: float = 60) -> None:
        with trio.fail_after(within_s):
            while not done():
                await trio.sleep(0.1)

    async def until_heard(self, kind: type[M], count: int = 1) -> M:
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    async def hang_up(self) -> None:
        await self._link.aclose()


async def meet(
    world: World,
    name: str,
    signer: Ed25519Signer,
    *,
    known: bool = True,
    expected_peer: str | None = None,
    anyone: bool = False,
    buffer_frames: int = 64,
    bare: bool = False,
    introduces: bool = True,
    named: str | None = None,
) -> RawPeer:
    """A new link on which `signer`'s owner dials the node; known: added there as a peer. bare:
    without a session, frames are all the test's. introduces: by IK. named: by another name."""
    if known:
        await world.put_peer(name, PeerRecord(server_name=signer.server_name, added=True))
    here, there = memory_link_pair(LinkInfo(mtu_bytes=MTU_BYTES), buffer_frames=buffer_frames)
    connection = world.nodes[name].connection(
        there, link_id="raw", initiator=False, expected_peer=expected_peer, anyone=anyone
    )
    store = world.nodes[name].rooms.store

    def all_of_it(room_id: str) -> KnownEvents:
        room = store.rooms.get(room_id)
        return NothingKnown() if room is None else RoomEvents(store, room)

    dials = world.server(name)
    contacts = strangers(signer) if introduces else strangers(signer, dials)
    contacts.secrets.own_name = named or signer.server_name
    peer = RawPeer(here, signer, connection, dials, all_of_it, contacts)
    world.nursery.start_soon(connection.run)
    world.nursery.start_soon(peer.record if bare else peer.run)
    if known:
        with trio.fail_after(60):
            await peer.proved.wait()
    return peer


async def put_room(world: World, name: str, room: RoomBuilder) -> str:
    """The builder's room, whole, on a node; its id."""
    assert room.room_id is not None
    rooms, room_id = world.nodes[name].rooms, room.room_id

    def put() -> None:
        rooms.store.rooms.add(room_id, room.version, RoomKind.COMPLETE)
        received = rooms.receive(room_id, room.canonical(), source="test")
        assert len(received.accepted) == len(room.pdus)

    await world.nodes[name].worker.run(put)
    return room_id


def room_of(creator: str, *others: str, **options: str) -> RoomBuilder:
    """A room that all have joined, invited by the creator."""
    room = RoomBuilder(creator, **options)  # type: ignore[arg-type]
    for name in others:
        room.member(creator, name, "invite")
        room.join(name)
    return room


@asynccontextmanager
async def a_and_b(*others: str, **options: str) -> AsyncIterator[tuple[World, RoomBuilder]]:
    """Nodes a and b, linked, in one room with a's raw neighbours `others`."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(7))
        for name in ("a", "b"):
            world.add(name, signer=signer_for(name))
        room = room_of("a", "b", *others, **options)
        for name in ("a", "b"):
            await put_room(world, name, room)
        await world.know("a", "b")
        world.connect("a", "b")
        await world.settle(lambda: bool(world.nodes["a"].connections))
        yield world, room
        nursery.cancel_scope.cancel()


async def assert_talks(world: World, room_id: str, text: str, within_s: float = 10) -> None:
    """What b says arrives at a, and the other way round."""
    for name, other in (("b", "a"), ("a", "b")):
        said = f"{text} by {name}"
        await world.send(name, room_id, said)
        await world.settle(lambda: said in world.texts(other, room_id), within_s=within_s)  # noqa: B023
