"""Events that can't be unpacked, or come out wrong, come again: EXPLICIT, then RAW, and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from dtnode.node.peer_work import PeerWork
from dtnode.rooms.known_events import RoomEvents
from dtnode.testing.rooms_builder import signer_for
from dtnode.wire.messages import Ack, Events, Form
from dtnode.wire.packed import PackedEvents
from dtnode.wire.packing import PackedMessage, PduMessage
from dtnode.wire.pdus import KnownEvent, NothingKnown
from dtnode.wire.pdus.batch import _EXPLICIT_BATCH, _RAW_EVENT
from tests.node.harness import World
from tests.node.raw_peer import RawPeer, a_and_b, assert_talks, meet

MALLORY = signer_for("mallory")


def form_of(data: bytes) -> Form:
    return {_EXPLICIT_BATCH: Form.EXPLICIT, _RAW_EVENT: Form.RAW}.get(data[0], Form.COMPACT)


class Received:
    """What b unpacks of a's batches, counted by form. `spoil` looks at each before b does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        self.forms: Counter[Form] = Counter()
        self.spoil: Callable[[Form, Events], Events] = lambda _form, events: events
        real = PeerWork.unpack
        here = world.server("b")

        def unpack(work: PeerWork, message: PackedMessage) -> PduMessage:
            unpacked = real(work, message)
            if work._rooms.own_name != here or not isinstance(message, PackedEvents):
                return unpacked
            assert isinstance(unpacked, Events)
            form = form_of(message.data)
            self.forms[form] += 1
            return self.spoil(form, unpacked)

        monkeypatch.setattr(PeerWork, "unpack", unpack)


def lies_about(known: KnownEvent | None) -> KnownEvent | None:
    return known and KnownEvent(
        depth=known.depth + 1, origin_server_ts=known.origin_server_ts + 5_000
    )


async def talk_apart(world: World, room_id: str) -> None:
    """Both write while the link is cut, so that a's events name some of b's and its own."""
    world.cut("a", "b")
    await trio.sleep(1)
    for number in range(5):
        await world.send("a", room_id, f"a {number}")
    world.connect("a", "b")
    await world.settle(lambda: len(world.texts("b", room_id)) >= 5, within_s=30)


async def test_as_a_rule_everything_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with a_and_b() as (world, room):
        assert room.room_id is not None
        received = Received(monkeypatch, world)
        await assert_talks(world, room.room_id, "before")
        await talk_apart(world, room.room_id)
        assert set(received.forms) == {Form.COMPACT}


async def test_what_a_receiver_lacks_comes_explicit(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The sender names events by what the peer acknowledged; the peer's disk was wiped since."""
    async with a_and_b() as (world, room):
        assert room.room_id is not None
        received = Received(monkeypatch, world)
        here = world.server("b")
        real = PeerWork._known_events
        monkeypatch.setattr(
            PeerWork,
            "_known_events",
            lambda work, room_id: (
                NothingKnown() if work._rooms.own_name == here else real(work, room_id)
            ),
        )
        await talk_apart(world, room.room_id)
        assert received.forms[Form.COMPACT] >= 1
        assert received.forms[Form.EXPLICIT] >= 1
        assert received.forms[Form.RAW] == 0
        await world.settle(lambda: world.equal(room.room_id or "", "a", "b"), within_s=10)
        assert "dropped" not in caplog.text


async def test_what_comes_out_with_a_wrong_signature_comes_explicit(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """The receiver's copy of what the sender counts on says something else."""
    async with a_and_b() as (world, room):
        assert room.room_id is not None
        received = Received(monkeypatch, world)
        real = RoomEvents.find

        def find(self: RoomEvents, event_id: str, /) -> KnownEvent | None:
            found = real(self, event_id)
            return lies_about(found) if self._store is store else found

        store = world.nodes["b"].rooms.store
        monkeypatch.setattr(RoomEvents, "find", find)
        await talk_apart(world, room.room_id)
        assert received.forms[Form.EXPLICIT] >= 1
        assert received.forms[Form.RAW] == 0
        await world.settle(lambda: world.equal(room.room_id or "", "a", "b"), within_s=10)


async def test_what_no_form_but_json_brings_comes_as_that(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """A fault of either codec costs bytes, not events."""
    async with a_and_b() as (world, room):
        room_id = room.room_id
        assert room_id is not None
        received = Received(monkeypatch, world)

        def unread(form: Form, events: Events) -> Events:
            if form is Form.RAW:
                return events
            return replace(events, pdus=(), unread=tuple(range(len(events.pdus))))

        received.spoil = unread
        await talk_apart(world, room_id)
        assert all(received.forms[form] >= 1 for form in Form)
        await world.settle(lambda: world.equal(room_id, "a", "b"), within_s=10)


async def test_only_what_was_unread_comes_again(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with a_and_b() as (world, room):
        room_id = room.room_id
        assert room_id is not None
        received = Received(monkeypatch, world)
        again: list[int] = []

        def third_unread(form: Form, events: Events) -> Events:
            if form is not Form.COMPACT:
                again.append(len(events.pdus))
                return events
            if len(events.pdus) < 3:
                return events
            return replace(events, pdus=(*events.pdus[:2], *events.pdus[3:]), unread=(2,))

        received.spoil = third_unread
        await talk_apart(world, room_id)
        assert again == [1]
        await world.settle(lambda: world.equal(room_id, "a", "b"), within_s=10)


# --- liars


async def all_unread(peer: RawPeer, seen: int) -> int:
    """Says of all batches heard since that none of their events could be read."""
    heard = peer.of(Events)
    for message in heard[seen:]:
        places = tuple(range(len(message.pdus)))
        await peer.send(Ack(batch=message.batch, unread=places))
    return len(heard)


async def test_a_peer_that_lies_about_it_gets_each_event_three_times(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        for number in range(10):
            await world.send("a", room_id, f"{number}")
        seen = 0
        for _ in range(100):
            seen = await all_unread(peer, seen)
            await trio.sleep(1)
        times = Counter(pdu for message in peer.of(Events) for pdu in message.pdus)
        assert len(times) >= 10
        assert max(times.values()) <= 3
        assert peer.connection.close_reason is None
        await assert_talks(world, room_id, "unharmed")


async def test_places_that_no_batch_has_are_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        await world.send("a", room_id, "said")
        message = await peer.until_heard(Events)
        before = len(peer.of(Events))
        await peer.send(
            Ack(batch=message.batch, unread=(50, 99)),
            Ack(batch=message.batch, unread=(0,)),  # acknowledged already
            Ack(batch=23, unread=(0, 1)),
        )
        await trio.sleep(100)
        assert len(peer.of(Events)) == before
        assert peer.connection.close_reason is None
        await assert_talks(world, room_id, "unharmed")
