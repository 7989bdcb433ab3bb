"""What a peer makes a node do by batches: no guessing of what it holds, no long reading in vain.

The bounds themselves are tests/wire/pdus/test_effort.py's.
"""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing

from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.matrix.pdu import Pdu
from dtnode.session.transfer import broadcast_frames
from dtnode.testing import memory_link_pair
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from dtnode.wire.codec import MessageEncoder
from dtnode.wire.effort import Effort
from dtnode.wire.messages import Ack, Events, NotHere
from dtnode.wire.packed import PackedEvents
from dtnode.wire.packing import Packer
from dtnode.wire.pdus import BatchEncoder, NothingKnown
from dtnode.wire.text_model import TextModel
from tests.node.harness import World
from tests.node.raw_peer import meet, put_room, room_of
from tests.wire.pdus.known import KnownRoom

M = signer_for("m")


def naming(room: RoomBuilder, secret: Pdu, *, held: bool) -> PackedEvents:
    """An event of m's whose content names `secret`, by four bytes if it is `held`."""
    assert room.room_id is not None
    pdu = room.make("m", "x.guess", {"is": secret.event_id})
    parents = [pdu for pdu in room.pdus.values() if pdu.event_id != secret.event_id]
    known = KnownRoom([*parents, secret] if held else parents)
    names = (M.server_name, signer_for("a").server_name)
    data, _ = BatchEncoder(None, names).encode(room.room_id, room.version, [pdu], known)
    return PackedEvents(batch=0, room_id=room.room_id, room_version="12", data=data)


@pytest.mark.parametrize("membership", ["ban", "knock", "invite", "join"])
async def test_prefixes_are_resolved_for_members_alone(
    membership: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Or whoever was in a room could find out by guesses what is said there now."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        world.add("a", signer=signer_for("a"))
        room = RoomBuilder("a", join_rule="knock")
        if membership in ("ban", "join"):
            room = room_of("a", "m")
        if membership != "join":
            room.member("m" if membership == "knock" else "a", "m", membership)
        secret = room.message("a", "said where m is not")
        await put_room(world, "a", room)
        peer = await meet(world, "a", M)
        await trio.sleep(2)
        found = [naming(room, secret, held=True)]
        assert len(found[0].data) < len(naming(room, secret, held=False).data)
        await peer.send(*found)
        await peer.until_heard(Ack)
        assert peer.of(Ack)[-1].unread == (() if membership == "join" else (0,))
        nursery.cancel_scope.cancel()


class Counting(TextModel):
    read = 0

    def decompress(self, data: bytes, max_bytes: int, effort: Effort | None = None) -> bytes:
        self.read += 1
        return super().decompress(data, max_bytes, effort)


def with_texts(room: RoomBuilder) -> PackedEvents:
    assert room.room_id is not None
    pdus = [room.message("m", f"see you tomorrow at {hour}").canonical() for hour in range(8, 12)]
    events = Events(batch=0, room_id=room.room_id, room_version="12", pdus=tuple(pdus))
    packed = Packer(TextModel(), used=True).pack(events, NothingKnown())
    assert isinstance(packed, PackedEvents)
    return packed


async def test_texts_of_unknown_rooms_are_not_read(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        node = world.add("a", signer=signer_for("a"))
        model = node._text_coder = Counting()
        peer = await meet(world, "a", M)
        await peer.send(with_texts(RoomBuilder("m")))
        await peer.until_heard(NotHere)
        assert model.read == 0
        here, there = memory_link_pair(LinkInfo(mtu_bytes=2_000, cipher=CipherPolicy.OPEN))
        broadcasts = node.broadcast_over(there, link_id="open")
        nursery.start_soon(broadcasts.run)
        data = MessageEncoder().encode(with_texts(RoomBuilder("m")))
        for frame in broadcast_frames(b"abcd", data, mtu_bytes=2_000):
            await here.send(frame)
        await trio.sleep(2)
        assert broadcasts.traffic.bytes_in > len(data)
        assert model.read == 0
        nursery.cancel_scope.cancel()
