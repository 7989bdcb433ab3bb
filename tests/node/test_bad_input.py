"""Bad input from a peer, on whole nodes (issue: "Bad input"): refused with a reason in the log,
bounded in memory and time, while an honest peer on the same node goes on talking.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

import pytest
import trio

from dtnode.errors import LocalProtocolError
from dtnode.session.transfer.frames import Flag
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from dtnode.wire.limits import MAX_BATCH_NUMBER, MAX_MESSAGE_BYTES, MAX_PDUS_BYTES
from dtnode.wire.messages import (
    Ack,
    CardAck,
    CardKind,
    Events,
    NotHere,
    Ping,
    RoomCard,
    RoomKind,
    Tips,
    Want,
)
from dtnode.wire.packed import PackedCard, PackedEvents
from tests.node.harness import World
from tests.node.raw_peer import RawPeer, a_and_b, assert_talks, meet, raw_batch

MALLORY = signer_for("mallory")
ENDED = (trio.BrokenResourceError, LocalProtocolError)  # what sending to a node that has left gives


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def events(room: RoomBuilder, *pdus: bytes, batch: int = 1, more: bool = False) -> Events:
    assert room.room_id is not None
    return Events(batch=batch, room_id=room.room_id, room_version="12", pdus=pdus, more=more)


async def garbage(peer: RawPeer) -> None:
    await peer.send_frame(b"\xff" * 1_000)


async def wrong_tag(peer: RawPeer) -> None:
    await peer.send_frame(bytes([Flag.START | Flag.END]) + b"x" * 70)


async def own_echo(peer: RawPeer) -> None:
    await peer.until_heard(Tips)
    await peer.send_frame(peer.frames[-1])


async def replay(peer: RawPeer) -> None:
    await peer.send(Ping(reply=False))
    await peer.send_frame(peer.sent[-1])


async def short(peer: RawPeer) -> None:
    await peer.send_frame(bytes([Flag.START | Flag.END]))


async def unknown_type(peer: RawPeer) -> None:
    await peer.send_payload(b"\x63garbage")


async def nested(peer: RawPeer) -> None:
    await peer.send_payload(b"\x03" + b"\x81" * 50_000)


async def endless_array(peer: RawPeer) -> None:
    await peer.send_payload(b"\x03\x9b" + b"\xff" * 8)


async def many_items(peer: RawPeer) -> None:
    await peer.send_payload(b"\x03\x99\xff\xff" + b"\x00" * 65_535)


async def oversized(peer: RawPeer) -> None:
    await peer.send_piece(Flag.START, b"x" * 59_000)
    for _ in range(MAX_MESSAGE_BYTES // 59_000):
        await peer.send_piece(Flag(0), b"x" * 59_000)


async def disagreeing_pieces(peer: RawPeer) -> None:
    for _ in range(2):
        await peer.send_piece(Flag.START, b"x" * 100)


async def rubbish_batch(peer: RawPeer) -> None:
    await peer.send(PackedEvents(batch=1, room_id="!r", room_version="12", data=b"\xff" * 100))


async def rubbish_card(peer: RawPeer) -> None:
    card = PackedCard(
        kind=CardKind.INVITE,
        room_id="!r",
        room_version="12",
        data=raw_batch(b"{}"),
        event=0,
        state=(),
        state_hash=bytes(32),
    )
    await peer.send(card)


async def unnamed_room(peer: RawPeer) -> None:
    await peer.send_payload(b"\x07\x18\xff")


async def unknown_room_version(peer: RawPeer) -> None:
    await peer.send(PackedEvents(batch=1, room_id="!r", room_version="99", data=b"\x00"))


PROTOCOL_ATTACKS: dict[str, tuple[Callable[[RawPeer], Awaitable[None]], str]] = {
    "garbage frame": (garbage, "0xff, which names no kind"),
    "not sealed by the peer": (wrong_tag, "wrong tag"),
    "echo": (own_echo, "own side came back"),
    "replay": (replay, "wrong tag"),
    "frame without a tag": (short, "less than its tag"),
    "not a message": (unknown_type, "message type 99 is unknown"),
    "nested CBOR": (nested, "nested deeper"),
    "endless array": (endless_array, "cut off"),
    "many items": (many_items, "items"),
    "oversized message": (oversized, f"more than {MAX_MESSAGE_BYTES} bytes"),
    "disagreeing pieces": (disagreeing_pieces, "don't follow each other"),
    "rubbish batch": (rubbish_batch, "batch"),
    "rubbish card": (rubbish_card, "a card holds what is no event"),
    "a room never named": (unnamed_room, "was never named"),
    "another room version": (unknown_room_version, "update it"),
}


@pytest.mark.parametrize("attack", PROTOCOL_ATTACKS)
async def test_a_broken_protocol_ends_that_link_alone(
    attack: str, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    do, reason = PROTOCOL_ATTACKS[attack]
    async with a_and_b("mallory") as (world, room):
        peer = await meet(world, "a", MALLORY)
        await do(peer)
        await peer.until(peer.ended.is_set)
        (refusal,) = [r for r in caplog.records if "was refused" in r.getMessage()]
        assert refusal.levelno == logging.WARNING
        assert MALLORY.server_name in refusal.getMessage()
        assert any(part in refusal.getMessage() for part in reason.split("|"))
        assert peer.closed is not None
        assert room.room_id is not None
        await assert_talks(world, room.room_id, attack)
        again = await meet(world, "a", MALLORY)  # and may come back
        await again.send(Ping(reply=True))
        await again.until_heard(Ping)


async def put_in(world: World, peer: RawPeer, room: RoomBuilder, *pdus: bytes) -> Ack:
    acked = len(peer.of(Ack))
    await peer.send(events(room, *pdus, batch=(acked + 1) % (MAX_BATCH_NUMBER + 1)))
    return await peer.until_heard(Ack, acked + 1)


def logged(caplog: pytest.LogCaptureFixture, *parts: str) -> bool:
    return any(
        all(part in record.getMessage() for part in parts) and record.levelno == logging.WARNING
        for record in caplog.records
    )


def altered(pdu: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(pdu), **fields}).encode()


async def test_bad_signatures_and_forged_senders_are_dropped_with_a_reason(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        forged = room.make(
            "b",
            "m.room.message",
            {"msgtype": "m.text", "body": "forged"},
            signers=[signer_for("mallory")],
        )
        good = room.make("mallory", "m.room.message", {"msgtype": "m.text", "body": "x"})
        signatures = json.loads(good.canonical())["signatures"]
        ((server, keys),) = signatures.items()
        bad = altered(good.canonical(), signatures={server: dict.fromkeys(keys, "A" * 86)})
        unsigned = altered(good.canonical(), signatures={})
        await put_in(world, peer, room, forged.canonical(), bad, unsigned, b"{}", b"[" * 5_000)
        assert world.texts("a", room_id) == []
        assert logged(caplog, "dropped", forged.event_id, "not signed by")
        assert logged(caplog, "dropped", good.event_id, "signature")
        assert logged(caplog, "dropped", "event None of")
        await assert_talks(world, room_id, "unharmed")
        assert world.tips("a", room_id) == world.tips("b", room_id)


async def test_altered_content_with_the_right_id_is_told_and_never_shown(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The signature covers the hashes, not the content: what is left of the event is kept, and the
    whole copy is fetched from somebody else, here from b."""
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        world.cut("a", "b")
        await trio.sleep(1)
        said = await world.send("b", room_id, "what b said")
        event = world.nodes["b"].rooms.store.events.get(said)
        assert event is not None
        lie = altered(event.pdu.canonical(), content={"msgtype": "m.text", "body": "a lie"})
        await put_in(world, peer, room, lie)
        assert logged(caplog, "altered", said, "not what its hash says")
        assert world.texts("a", room_id) == ["None"]
        world.connect("a", "b")
        await world.settle(lambda: world.texts("a", room_id) == ["what b said"], within_s=30)
        await put_in(world, peer, room, lie)
        assert world.texts("a", room_id) == ["what b said"]


async def test_events_no_rule_allows_are_rejected_with_a_reason(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, room):
        assert room.room_id is not None
        peer = await meet(world, "a", MALLORY)
        power = room.make("mallory", "m.room.power_levels", {"users": {}}, "")
        await put_in(world, peer, room, power.canonical())
        assert logged(caplog, "rejected", power.event_id)
        await assert_talks(world, room.room_id, "unharmed")


async def test_events_of_unknown_rooms_are_not_kept(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, room):
        peer = await meet(world, "a", MALLORY)
        other = RoomBuilder("mallory")
        assert other.room_id is not None
        await peer.send(events(other, *other.canonical()))
        answer = await peer.until_heard(NotHere)
        assert answer == NotHere(room_id=other.room_id, event_ids=())
        assert logged(caplog, "unknown here", other.room_id)
        assert [r.room_id for r in world.nodes["a"].rooms.store.rooms] == [room.room_id]


async def test_a_room_id_can_not_forge_log_lines(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, _):
        peer = await meet(world, "a", MALLORY)
        room_id = "!x\nWARNING all is lost"
        await peer.send(Events(batch=1, room_id=room_id, room_version="11", pdus=(b"{}",)))
        await peer.until_heard(NotHere)
        await peer.send(Events(batch=1, room_id=room_id, room_version="1\n2", pdus=(b"{}",)))
        await peer.until(peer.ended.is_set)
        assert sum("WARNING all is lost" in record.getMessage() for record in caplog.records) == 1
        assert not any("\n" in record.getMessage() for record in caplog.records)


async def test_a_room_of_another_version_is_another_room(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, room):
        assert room.room_id is not None
        peer = await meet(world, "a", MALLORY)
        pdu = room.message("mallory").canonical()
        await peer.send(Events(batch=1, room_id=room.room_id, room_version="11", pdus=(pdu,)))
        await peer.until_heard(NotHere)
        assert logged(caplog, "of version 11", "not kept")
        assert world.texts("a", room.room_id) == []
        await assert_talks(world, room.room_id, "unharmed")


async def test_an_endless_chain_of_unknown_parents_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Mallory, a member, signs events on parents that aren't there, and answers every Want with
    one more. The node stops asking, b is hardly bothered, and its events go on coming."""
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        content = {"msgtype": "m.text", "body": "x"}
        chain = [room.make("mallory", "m.room.message", content, parents=["$" + "A" * 43])]
        for _ in range(200):
            parents = [chain[-1].event_id]
            chain.append(room.make("mallory", "m.room.message", content, parents=parents))
        answered = 0
        await peer.send(events(room, chain.pop().canonical()))
        while chain:
            with trio.move_on_after(30):
                await peer.until_heard(Want, answered + 1)
            if len(peer.of(Want)) == answered:
                break
            answered += 1
            await peer.send(events(room, chain.pop().canonical(), batch=answered % 8))
        assert answered == 64
        await assert_talks(world, room_id, "meanwhile")
        a = world.nodes["a"].rooms
        record = a.room(room_id)
        assert record is not None
        assert a.store.held.count(record.nid) == 65
        assert world.tips("a", room_id) == world.tips("b", room_id)


async def test_invented_parents_do_not_keep_a_real_gap_from_being_filled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Ids that Mallory made up are older gaps than the one that b can fill."""
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        content = {"msgtype": "m.text", "body": "x"}
        for batch in range(80):
            parents = [f"${batch:04}{n:04}" + "A" * 35 for n in range(20)]
            pdu = room.make("mallory", "m.room.message", content, parents=parents)
            await peer.send(events(room, pdu.canonical(), batch=batch % 24))
        await peer.until_heard(Ack, 80)
        # b is at "third"; a hears of it without the two before.
        world.cut("a", "b")
        await trio.sleep(1)
        for text in ("first", "second"):
            await world.send("b", room_id, text)
        third = await world.send("b", room_id, "third")
        b = await meet(world, "a", signer_for("b"), known=False)
        await b.until(b.proved.is_set)
        event = world.nodes["b"].rooms.store.events.get(third)
        assert event is not None
        await b.send(events(room, event.pdu.canonical(), batch=7))
        inventions, want = await b.until_heard(Want), await b.until_heard(Want, 2)
        assert len(inventions.event_ids) == 250
        assert want.event_ids == event.pdu.prev_events


async def test_a_flood_of_bad_events_ends_the_link_and_fills_no_log(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, room):
        assert room.room_id is not None
        peer = await meet(world, "a", MALLORY)
        flood = (events(room, *[b"{}"] * 100, batch=batch % 24) for batch in range(1_000))
        with trio.move_on_after(60), pytest.raises(ENDED):
            await peer.send(*flood)
        await peer.until(peer.ended.is_set)
        assert logged(caplog, "events in a row were no good")
        assert len(caplog.records) < 200
        await assert_talks(world, room.room_id, "unharmed")


async def test_a_flood_of_bad_cards_ends_the_link(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_and_b("mallory") as (world, room):
        assert room.room_id is not None
        peer = await meet(world, "a", MALLORY)
        elsewhere = room.message("mallory")
        with trio.move_on_after(60):
            for number in range(50):
                await peer.send(
                    RoomCard(
                        kind=CardKind.INVITE,
                        room_id=f"!{number}",
                        room_version="12",
                        event_id=elsewhere.event_id,
                        pdus=(elsewhere.canonical(),),
                        state=(),
                        state_hash=bytes(32),
                    )
                )
        await peer.until(peer.ended.is_set)
        assert len(peer.of(CardAck)) <= 21
        assert logged(caplog, "cards were no good")
        await assert_talks(world, room.room_id, "unharmed")


async def test_a_peer_that_asks_and_does_not_read_is_closed(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Every Want gives a NotHere; none of them is taken."""
    async with a_and_b("mallory") as (world, room):
        assert room.room_id is not None
        peer = await meet(world, "a", MALLORY, buffer_frames=4)
        peer.reading = False
        ids = tuple(f"${n:043}" for n in range(500))
        highest = 0

        async def ask() -> None:
            nonlocal highest
            while True:
                await peer.send(Want(room_id="!no", event_ids=ids))
                highest = max(highest, peer.connection._session.queued_bytes)

        with trio.move_on_after(600), pytest.raises(ENDED):
            await ask()
        assert 1 << 20 < highest <= 8 << 20
        assert peer.connection.close_reason is not None
        assert "doesn't take them" in peer.connection.close_reason
        await assert_talks(world, room.room_id, "unharmed")


async def test_a_peer_that_takes_nothing_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Full buffers on the way to it: nothing is said, nothing grows, minutes later it is over."""
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY, buffer_frames=2)
        peer.reading = False
        text = "x" * 50_000
        for _ in range(150):
            await world.send("a", room_id, text)
        await trio.sleep(10)
        assert peer.connection._session.queued_bytes <= 5 << 20
        await assert_talks(world, room_id, "meanwhile", within_s=60)
        await peer.until(lambda: peer.connection.close_reason, within_s=1_000)
        assert peer.connection.close_reason is not None
        assert "took nothing for 180 s" in peer.connection.close_reason
        await peer.until(lambda: peer.connection not in world.nodes["a"].connections)


async def test_large_batches_are_judged_within_limits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As large as messages get, and none of it an event."""
    async with a_and_b("mallory") as (world, room):
        assert room.room_id is not None
        peer = await meet(world, "a", MALLORY)
        junk = b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
        await put_in(world, peer, room, *[junk] * (MAX_PDUS_BYTES // len(junk)))
        await assert_talks(world, room.room_id, "unharmed")


async def test_the_same_things_doubled_and_in_disorder_change_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        said = [room.message("mallory", f"{n}") for n in range(20)]
        for pdu in reversed(said):
            await put_in(world, peer, room, pdu.canonical())
        for pdu in said:
            await put_in(world, peer, room, pdu.canonical(), pdu.canonical())
        tips = Tips(room_id=room_id, room_version="12", kind=RoomKind.COMPLETE, tips=room.heads)
        await peer.send(tips, tips, Ack(batch=1), Ack(batch=1), Ack(batch=23))
        await world.settle(lambda: len(world.texts("b", room_id)) == 20)
        assert world.texts("a", room_id) == [f"{n}" for n in range(20)]
        await assert_talks(world, room_id, "unharmed")
        assert world.equal(room_id, "a", "b")
