"""Who gets what (DESIGN section 6), seen from the wire.

A stranger learns nothing at all, a known peer outside a room not even that it exists, an invited
one only the card, a removed one its removal.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

import pytest
import trio

from dtnode.session.opening import HandshakeKind
from dtnode.session.transfer import FrameKind, handshake_frames, kind_of
from dtnode.session.transfer.frames import Flag
from dtnode.store import PeerRecord
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from dtnode.wire.messages import (
    Ack,
    CardAck,
    CardKind,
    CardRequest,
    Events,
    Message,
    NotHere,
    Ping,
    RoomCard,
    RoomKind,
    Tips,
    Want,
)
from tests.node.harness import World
from tests.node.raw_peer import RawPeer, a_and_b, assert_talks, meet, put_room, room_of

MALLORY = signer_for("mallory")
NOWHERE = "!" + "N" * 43


def texts_of(world: World, room: RoomBuilder) -> list[str]:
    """What nobody outside should ever see: names, ids, user ids, what was said."""
    found = [room.room_id or "", *room.pdus]
    for name, node in world.nodes.items():
        found += [node.rooms.own_name, node.rooms.user_id, f"@{name}:"]
    return found


def assert_tells_nothing(messages: Sequence[Message], texts: Sequence[str]) -> None:
    told = repr(messages)
    assert not [text for text in texts if text in told]


# --- strangers


async def test_a_stranger_learns_nothing(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one byte, and the operator reads at once who it was."""
    caplog.set_level(logging.INFO)
    async with a_and_b() as (world, _):
        began = trio.current_time()
        peer = await meet(world, "a", MALLORY, known=False)
        await peer.until(lambda: f"'dtnode peer add {MALLORY.server_name}'" in caplog.text, 5)
        await peer.until(peer.ended.is_set)
        assert 29 < trio.current_time() - began < 35
        assert not peer.proved.is_set()
        assert peer.frames == []
        assert caplog.text.count("'dtnode peer add") == 1


FRAMES = {
    "a byte": b"x",
    "rubbish": b"\xff" * 1_000,
    "sealed data": bytes([Flag.START | Flag.END]) + b"x" * 70,
    "data of the answering end": bytes([Flag.START | Flag.END | Flag.RESPONDER]) + b"x" * 70,
    "an acknowledgement": b"\x80" + b"x" * 12,
    "a broadcast": b"\xc0" + b"x" * 70,
    "pieces of a broadcast": b"\xc1" + b"abcd" + b"\x00\x02" + b"x" * 70,
    **{
        f"{kind.name} of {size} bytes": handshake_frames(kind, 7, b"n" * size, mtu_bytes=1_500)[0]
        for kind in HandshakeKind
        for size in (1, 48, 64, 96, 400)
    },
    "half a handshake": handshake_frames(HandshakeKind.KK_FIRST, 7, b"n" * 96, mtu_bytes=60)[0],
}


@pytest.mark.parametrize("what", FRAMES)
async def test_nor_does_one_that_says_anything_else(
    what: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with a_and_b() as (world, room):
        peer = await meet(world, "a", MALLORY, known=False, bare=True)
        for _ in range(3):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await peer.send_frame(FRAMES[what])
                await trio.sleep(1)
        await peer.until(peer.ended.is_set)
        assert peer.frames == []
        assert room.room_id is not None
        await assert_talks(world, room.room_id, "unharmed")


async def test_a_replayed_handshake_leads_nowhere(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Mallory heard all that b said when it dialled a, and says it again to a, which tells b under
    b's key that this number was taken before: bytes that say nothing to Mallory."""
    async with a_and_b() as (world, room):
        b = await meet(world, "a", signer_for("b"), known=False)
        await b.until(b.proved.is_set)
        await b.send(Ping(reply=True))
        kinds = [kind_of(frame) for frame in b.sent]
        assert {kinds[0], kinds[-1]} == {FrameKind.HANDSHAKE, FrameKind.DATA}
        for chosen in (b.sent, b.sent[-3:], [f for f in b.sent if kind_of(f) is kinds[0]]):
            peer = await meet(world, "a", MALLORY, known=False, bare=True)
            for frame in chosen:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await peer.send_frame(frame)
                    await trio.sleep(1)
            await peer.until(peer.ended.is_set)
            assert {kind_of(frame) for frame in peer.frames} <= {FrameKind.HANDSHAKE}
            assert len(peer.frames) <= 1
            assert peer.connection.peer is None
        assert room.room_id is not None
        await assert_talks(world, room.room_id, "unharmed")


async def test_another_s_name_needs_the_other_s_key(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A wrong key for a known peer: b's name, Mallory's key."""
    async with a_and_b() as (world, room):
        forger = await meet(
            world, "a", MALLORY, known=False, named=signer_for("b").server_name, introduces=False
        )
        await forger.until(forger.ended.is_set)
        assert not forger.proved.is_set()
        assert forger.frames == []
        assert room.room_id is not None
        await assert_talks(world, room.room_id, "unharmed")


@pytest.mark.parametrize("introduces", [False, True])
async def test_a_known_peer_on_a_link_kept_for_another_learns_nothing(
    introduces: bool, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with a_and_b() as (world, _):
        await world.put_peer("a", PeerRecord(server_name=MALLORY.server_name, added=True))
        expected = signer_for("b").server_name
        peer = await meet(
            world, "a", MALLORY, known=False, expected_peer=expected, introduces=introduces
        )
        await peer.until(peer.ended.is_set)
        assert not peer.proved.is_set()
        assert peer.frames == []
        assert (f"{expected} was expected" in caplog.text) is introduces


async def test_a_stranger_gets_in_once_added(autojump_clock: trio.testing.MockClock) -> None:
    async with a_and_b() as (world, _):
        refused = await meet(world, "a", MALLORY, known=False)
        await refused.until(refused.ended.is_set)
        peer = await meet(world, "a", MALLORY)
        assert peer.proved.is_set()


async def test_even_while_it_dials(autojump_clock: trio.testing.MockClock) -> None:
    async with a_and_b() as (world, _):
        peer = await meet(world, "a", MALLORY, known=False)
        await trio.sleep(10)
        assert peer.frames == []
        await world.put_peer("a", PeerRecord(server_name=MALLORY.server_name, added=True))
        await peer.flush()
        await peer.until(peer.proved.is_set, within_s=5)


async def test_and_once_invited(autojump_clock: trio.testing.MockClock) -> None:
    async with a_and_b() as (world, room):
        room_id = room.room_id
        assert room_id is not None
        user_id = f"@mallory:{MALLORY.server_name}"
        await world.act("a", lambda node: node.rooms.set_membership(room_id, user_id, "invite"))
        peer = await meet(world, "a", MALLORY, known=False)
        card = await peer.until_heard(RoomCard)
        assert (card.kind, card.room_id) == (CardKind.INVITE, room_id)


async def test_a_blocked_peer_is_closed_at_once_whatever_domain_it_adds(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, _):
        peer = await meet(world, "a", MALLORY)
        blocked = PeerRecord(server_name=MALLORY.server_name, added=True, blocked=True)
        await world.put_peer("a", blocked)
        with trio.fail_after(1):
            await peer.ended.wait()
        assert peer.closed == "this node doesn't talk to you any more"
        name = f"{MALLORY.server_name}.mesh.example.org"
        disguised = signer_for("mallory")
        disguised.server_name = name
        for anyone in (False, True):
            again = await meet(world, "a", disguised, known=False, anyone=anyone)
            await again.until(again.ended.is_set)
            assert not again.proved.is_set()
            assert again.frames == []
        assert "peer add" not in caplog.text


async def test_a_peer_blocked_in_the_middle_of_its_handshake_does_not_get_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Between the answer and the first frame under the new keys, which proves that it was read."""
    async with a_and_b("mallory") as (world, _):
        await world.put_peer("a", PeerRecord(server_name=MALLORY.server_name, added=True))
        peer = await meet(world, "a", MALLORY, known=False)
        real_send = peer.send_frame
        kinds: list[FrameKind] = []

        async def late_proof(frame: bytes) -> None:
            kinds.append(kind_of(frame))
            if kinds[-1] is FrameKind.DATA:
                blocked = PeerRecord(server_name=MALLORY.server_name, blocked=True)
                await world.put_peer("a", blocked)
            await real_send(frame)

        peer.send_frame = late_proof  # type: ignore[method-assign]
        await peer.until(peer.ended.is_set)
        assert kinds[-1] is FrameKind.DATA
        assert peer.heard == []
        assert peer.connection not in world.nodes["a"].connections


# --- known, but not in the room


def questions(room_id: str, ids: tuple[str, ...], pdus: tuple[bytes, ...]) -> list[Message]:
    """All that a peer can ask or say about a room."""
    return [
        Tips(room_id=room_id, room_version="12", kind=RoomKind.COMPLETE, tips=ids, reply=True),
        Tips(room_id=room_id, room_version="12", kind=RoomKind.INVITED, tips=(), reply=False),
        Want(room_id=room_id, event_ids=ids, have=ids[:1]),
        Want(room_id=room_id, event_ids=(*ids, *ids)),
        CardRequest(room_id=room_id),
        Events(batch=1, room_id=room_id, room_version="12", pdus=pdus),
        Events(batch=2, room_id=room_id, room_version="12", pdus=pdus, more=True),
        Events(batch=3, room_id=room_id, room_version="11", pdus=pdus),
        NotHere(room_id=room_id, event_ids=()),
        NotHere(room_id=room_id, event_ids=ids),
        CardAck(room_id=room_id, event_id=ids[0]),
        Ack(batch=1),
        Ack(batch=2, refused=ids),
    ]


async def answers(
    peer: RawPeer, room_id: str, ids: tuple[str, ...], pdus: tuple[bytes, ...]
) -> list[str]:
    """The node's answer to each question, with the room's id taken out."""
    found: list[str] = []
    for question in questions(room_id, ids, pdus):
        before = len(peer.heard)
        pings = len(peer.of(Ping))
        await peer.send(question, Ping(reply=True))
        await peer.until(lambda pings=pings: len(peer.of(Ping)) > pings)  # type: ignore[misc]
        found.append(repr(peer.heard[before:]).replace(room_id, "ROOM"))
    return found


def own_events(room_id: str) -> tuple[bytes, ...]:
    """Events that somebody who only guesses a room's id can make and sign."""
    room = RoomBuilder("mallory", version="12")
    room.room_id = room_id
    made = [
        room.make("mallory", "m.room.message", {"body": "x"}, parents=["$" + "A" * 43], auth=[]),
        room.make("mallory", "m.room.message", {"body": "y"}, parents=[], auth=[]),
        room.make(
            "mallory",
            "m.room.member",
            {"membership": "join"},
            room.user("mallory"),
            parents=["$" + "B" * 43],
            auth=["$" + "C" * 43],
        ),
    ]
    return (*(pdu.canonical() for pdu in made), b"{}")


@pytest.mark.parametrize("join_rule", ["invite", "restricted"])
async def test_a_guessed_room_answers_like_one_that_is_not_there(
    join_rule: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Message by message, the second time as the first."""
    async with a_and_b(join_rule="public") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        await world.act(
            "a",
            lambda node: node.rooms.send(
                room_id, "m.room.join_rules", {"join_rule": join_rule, "allow": []}, ""
            ),
        )
        peer = await meet(world, "a", MALLORY)
        guesses = ("$" + "G" * 43, "$" + "H" * 43)
        real_ids = tuple(room.pdus)[:3]
        for ids in (guesses, real_ids):
            for _ in range(2):
                here = await answers(peer, room_id, ids, own_events(room_id))
                nowhere = await answers(peer, NOWHERE, ids, own_events(NOWHERE))
                assert here == nowhere
        assert not peer.heard_any(RoomCard, Events, Tips, Want)
        asked = {room_id, world.server("a"), *real_ids}
        texts = [text for text in texts_of(world, room) if text not in asked]
        assert_tells_nothing(peer.heard, texts)
        await assert_talks(world, room_id, "unharmed")


async def test_what_happens_in_a_room_is_not_told_to_peers_outside(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b(join_rule="invite") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        for number in range(5):
            await assert_talks(world, room_id, f"{number}")
        await world.act(
            "a", lambda node: node.rooms.send(room_id, "m.room.topic", {"topic": "x"}, "")
        )
        await trio.sleep(50)
        assert peer.heard == []


async def test_events_of_other_members_show_that_the_room_is_known(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever brings what only members can have signed is answered as a member: it may have joined
    by an invite that hasn't come this way yet."""
    async with a_and_b(join_rule="invite") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        room.member("b", "mallory", "invite")
        room.join("mallory")
        said = room.message("mallory", "by invite of b")
        peer = await meet(world, "a", MALLORY)
        news = [pdu.canonical() for pdu in list(room.pdus.values())[-3:]]
        await peer.send(Events(batch=1, room_id=room_id, room_version="12", pdus=tuple(news)))
        await peer.until_heard(Ack)
        await world.settle(lambda: world.texts("b", room_id) == ["by invite of b"], within_s=10)
        assert said.event_id in world.tips("a", room_id)
        assert peer.of(NotHere) == []
        await peer.until_heard(Tips)  # shared from now on


# --- invited


async def test_an_invited_peer_gets_the_card_and_nothing_else(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b(join_rule="invite") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        peer.answering = True
        user_id = f"@mallory:{MALLORY.server_name}"
        await world.act("a", lambda node: node.rooms.set_membership(room_id, user_id, "invite"))
        card = await peer.until_heard(RoomCard)
        await assert_talks(world, room_id, "not for mallory")
        ids = (*room.pdus, *world.tips("a", room_id), card.event_id)
        await peer.send(
            Want(room_id=room_id, event_ids=ids),
            Tips(room_id=room_id, room_version="12", kind=RoomKind.INVITED, tips=(), reply=True),
        )
        refused = await peer.until_heard(NotHere)
        assert set(refused.event_ids) == set(ids)
        await trio.sleep(50)
        assert len(peer.of(RoomCard)) == 1
        assert not peer.heard_any(Tips, Events, Want)
        assert_tells_nothing(peer.heard, ["not for mallory"])
        again = await meet(world, "a", MALLORY)
        await trio.sleep(30)
        assert again.heard == []  # the card was acknowledged


# --- removed


async def test_a_removed_peer_gets_its_removal_and_nothing_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory", join_rule="invite") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        peer.answering = True
        await peer.until_heard(Tips)
        await world.send("a", room_id, "while it was there")
        await peer.until_heard(Events)
        user_id = f"@mallory:{MALLORY.server_name}"
        ban = await world.act("a", lambda node: node.rooms.set_membership(room_id, user_id, "ban"))
        card = await peer.until_heard(RoomCard)
        assert (card.kind, card.event_id) == (CardKind.REMOVAL, ban)
        heard = len(peer.heard)
        await assert_talks(world, room_id, "later")
        later = tuple(world.tips("a", room_id))
        pings = len(peer.of(Ping))
        await peer.send(
            Want(room_id=room_id, event_ids=later),
            Tips(room_id=room_id, room_version="12", kind=RoomKind.COMPLETE, tips=(), reply=True),
            CardRequest(room_id=room_id),
            Ping(reply=True),
        )
        await peer.until(lambda: len(peer.of(Ping)) > pings)
        await trio.sleep(50)
        told = peer.heard[heard:]
        assert not any(isinstance(message, (Tips, RoomCard)) for message in told)
        assert [m.event_ids for m in told if isinstance(m, NotHere)] == [later, ()]
        # What led to its removal it may have again, up to that.
        again = [pdu for m in told if isinstance(m, Events) for pdu in m.pdus]
        event = world.nodes["a"].rooms.store.events.get(ban)
        assert event is not None
        assert again[-1] == event.pdu.canonical()
        assert again[: len(room.pdus)] == room.canonical()
        assert len(again) == len(room.pdus) + 2
        assert_tells_nothing(peer.heard, ["later"])


async def test_loading_meets_the_removal(autojump_clock: trio.testing.MockClock) -> None:
    """What was queued for a peer before it was removed isn't sent after."""
    async with a_and_b("mallory", join_rule="invite") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        await peer.until_heard(Tips)
        tips = Tips(room_id=room_id, room_version="12", kind=RoomKind.COMPLETE, tips=room.heads)
        await peer.send(tips)
        for number in range(10):  # four batches fly, unacknowledged; the rest is queued
            await world.send("a", room_id, f"early {number}")
        await peer.until_heard(Events, 4)
        user_id = f"@mallory:{MALLORY.server_name}"
        await world.act("a", lambda node: node.rooms.set_membership(room_id, user_id, "ban"))
        await world.send("a", room_id, "secret")
        for events in peer.of(Events):
            await peer.send(Ack(batch=events.batch))
        await trio.sleep(30)
        for events in peer.of(Events):
            await peer.send(Ack(batch=events.batch))
        await trio.sleep(30)
        assert_tells_nothing(peer.heard, ["secret"])
        assert peer.of(RoomCard)


async def test_a_server_the_acl_denies_gets_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        await world.act(
            "a",
            lambda node: node.rooms.send(
                room_id,
                "m.room.server_acl",
                {"allow": ["*"], "deny": [MALLORY.server_name]},
                "",
            ),
        )
        peer = await meet(world, "a", MALLORY)
        await peer.send(
            Tips(room_id=room_id, room_version="12", kind=RoomKind.COMPLETE, tips=(), reply=True),
            Want(room_id=room_id, event_ids=tuple(room.pdus)),
            Ping(reply=True),
        )
        await peer.until_heard(Ping)
        assert not peer.heard_any(Tips, Events)
        assert len(peer.of(NotHere)) == 1


async def test_two_rooms_are_kept_apart(autojump_clock: trio.testing.MockClock) -> None:
    """A member of one room learns nothing of the other, nor through ids of its events."""
    async with a_and_b("mallory") as (world, room):
        other = room_of("a", "b", join_rule="invite", version="11")
        other_id = await put_room(world, "a", other)
        peer = await meet(world, "a", MALLORY)
        assert room.room_id is not None
        await peer.until_heard(Tips)
        await peer.send(
            Want(room_id=room.room_id, event_ids=tuple(other.pdus)),
            Want(room_id=other_id, event_ids=tuple(other.pdus)),
            Ping(reply=True),
        )
        await peer.until_heard(Ping)
        assert {tips.room_id for tips in peer.of(Tips)} == {room.room_id}
        assert [set(m.event_ids) for m in peer.of(NotHere)] == [set(other.pdus)] * 2
        assert peer.of(Events) == []
