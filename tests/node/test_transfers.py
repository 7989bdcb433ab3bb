"""What is under way when something else happens: restarts, slow links, large cards, goodbyes."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest
import trio

from dtnode.errors import LocalProtocolError
from dtnode.link_info import LinkInfo
from dtnode.node import card_sizes
from dtnode.node.card_sizes import fitting
from dtnode.node.connection import Connection
from dtnode.rooms.cards import check_card
from dtnode.rooms.rooms import key_of_name
from dtnode.store import Store
from dtnode.testing import memory_link_pair
from dtnode.testing.rooms_builder import signer_for
from dtnode.wire.codec import MessageEncoder
from dtnode.wire.limits import (
    MAX_CARD_PDUS,
    MAX_CARD_PDUS_BYTES,
    MAX_CARD_SERVERS,
    MAX_MESSAGE_BYTES,
    MAX_PDU_BYTES,
)
from dtnode.wire.messages import Bye, CardKind, Events, Ping, RoomCard, Tips
from dtnode.wire.packed import PackedCard
from tests.node.harness import World
from tests.node.raw_peer import a_and_b, assert_talks, meet, put_room, room_of

MALLORY = signer_for("mallory")
MALLORY_ID = f"@mallory:{MALLORY.server_name}"


def say(world: World, name: str, room_id: str, count: int) -> None:
    for number in range(count):
        world.nodes[name].rooms.send(room_id, "m.room.message", {"body": f"{name} {number}"})


def has_more(world: World, room_id: str, count: int) -> bool:
    return len(world.texts("b", room_id)) >= count


@pytest.mark.parametrize("seed", range(4))
async def test_a_node_restarted_in_the_middle_of_a_transfer_goes_on(
    seed: int, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """b takes a large room in over a slow link and is killed now and then."""
    rng = random.Random(seed)
    path = tmp_path / "store"
    async with trio.open_nursery() as nursery:
        world = World(nursery, rng)
        world.add("a", signer=signer_for("a"))
        room = room_of("a", "b")
        room_id = await put_room(world, "a", room)
        await world.nodes["a"].worker.run(partial(say, world, "a", room_id, 700))
        store = Store(path)
        for life in range(4):
            async with trio.open_nursery() as lifetime:
                alive = World(lifetime, rng, nodes=world.nodes, bitrate_bps=100_000)
                alive.add("b", signer=signer_for("b"), store=store)
                if life == 0:
                    await put_room(alive, "b", room)
                await alive.know("a", "b")
                alive.connect("a", "b")
                if life == 3:
                    await alive.settle(partial(alive.equal, room_id, "a", "b"))
                    assert len(alive.texts("b", room_id)) == 700
                else:
                    had = len(alive.texts("b", room_id))
                    await alive.settle(partial(has_more, alive, room_id, had + 100))
                    assert not alive.equal(room_id, "a", "b")
                lifetime.cancel_scope.cancel()
            store.close()
            store = Store(path)
        nursery.cancel_scope.cancel()
    store.close()


async def test_a_large_card_on_a_slow_link_is_no_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It takes longer than the silence after which a peer counts as gone."""
    info = LinkInfo(mtu_bytes=1_000, bitrate_bps=1_200)
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        for name in ("a", "b"):
            world.add(name, signer=signer_for(name))
        await world.know("a", "b")
        long = {"name": "n" * 40_000}
        room_id = await world.create(
            "a", initial_state=[{"type": "m.room.name", "state_key": "", "content": long}]
        )
        await world.member("a", room_id, "b", "invite")
        ended: list[str | None] = []

        async def run(connection: Connection) -> None:
            await connection.run()
            ended.append(connection.close_reason)

        pair = memory_link_pair(info)
        for name, link, initiator in (("a", pair[0], True), ("b", pair[1], False)):
            connection = world.nodes[name].connection(link, link_id="slow", initiator=initiator)
            nursery.start_soon(run, connection)
        began = trio.current_time()
        await world.settle(lambda: world.membership("b", room_id) == "invite")
        assert trio.current_time() - began > 200
        assert ended == []
        nursery.cancel_scope.cancel()


# --- cards that are too large


def card_of(world: World, room_id: str) -> RoomCard:
    (card,) = world.nodes["a"].rooms.sharing.cards_for(MALLORY.server_name)
    assert card.room_id == room_id
    return card


async def test_a_card_too_large_goes_with_less_of_the_state(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_and_b() as (world, room):
        room_id = room.room_id
        assert room_id is not None
        for type_, content in (
            ("m.room.topic", {"topic": "t" * 3_000}),
            ("m.room.name", {"name": "n" * 3_000}),
            ("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}),
        ):
            await world.act(
                "a",
                lambda node, t=type_, c=content: node.rooms.send(room_id, t, c, ""),  # type: ignore[misc]
            )
        await world.act("a", lambda node: node.rooms.set_membership(room_id, MALLORY_ID, "invite"))
        whole = card_of(world, room_id)
        size = sum(map(len, whole.pdus))
        monkeypatch.setattr(card_sizes, "MAX_CARD_PDUS_BYTES", size - 1)
        peer = await meet(world, "a", MALLORY)
        card = await peer.until_heard(RoomCard)
        assert set(card.state) < set(whole.state)
        assert sum(map(len, card.pdus)) < size - 3_000
        shown = check_card(card, key_of_name).state
        assert ("m.room.topic", "") not in shown
        assert {("m.room.name", ""), ("m.room.encryption", "")} <= shown.keys()
        assert caplog.text.count("it goes with less of the room's state") == 1
        await assert_talks(world, room_id, "unharmed")


async def test_what_protects_the_invited_is_never_left_out(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with a_and_b() as (world, room):
        room_id = room.room_id
        assert room_id is not None
        encryption = {"algorithm": "m.megolm.v1.aes-sha2"}
        await world.act(
            "a", lambda node: node.rooms.send(room_id, "m.room.encryption", encryption, "")
        )
        await world.act("a", lambda node: node.rooms.set_membership(room_id, MALLORY_ID, "invite"))
        card = card_of(world, room_id)
        store = world.nodes["a"].rooms.store
        sizes: list[int] = []
        smaller: RoomCard | None = card
        for limit in range(len(card.pdus), 0, -1):
            monkeypatch.setattr(card_sizes, "MAX_CARD_PDUS", limit)
            smaller = fitting(store, card)
            if smaller is None:
                break
            sizes.append(len(smaller.pdus))
            types = {type_ for type_, _ in check_card(smaller, key_of_name).state}
            assert types >= {"m.room.create", "m.room.power_levels", "m.room.encryption"}
        assert smaller is None
        assert sizes[0] == len(card.pdus) > sizes[-1]


async def test_a_card_that_can_not_fit_is_told_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(card_sizes, "MAX_CARD_PDUS", 2)
    async with a_and_b() as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        await world.act("a", lambda node: node.rooms.set_membership(room_id, MALLORY_ID, "invite"))
        await assert_talks(world, room_id, "unharmed")
        await peer.send(Ping(reply=True))
        await peer.until_heard(Ping)
        assert peer.of(RoomCard) == []
        assert caplog.text.count("its server can't be told") == 1


def packed_badly(card: RoomCard) -> bytes:
    """The message where no event could be packed, and each is JSON with its kind and length."""
    heads = 5 * len(card.pdus)
    return MessageEncoder().encode(
        PackedCard(
            kind=card.kind,
            room_id=card.room_id,
            room_version=card.room_version,
            data=b"x" * (sum(map(len, card.pdus)) + heads),
            event=0,
            state=tuple(range(len(card.state))),
            state_hash=card.state_hash,
            servers=card.servers,
        )
    )


def test_a_card_at_its_limits_is_a_message() -> None:
    """The sizes checked here are the codec's."""
    at_limit = RoomCard(
        kind=CardKind.INVITE,
        room_id="!r",
        room_version="12",
        event_id="$e",
        pdus=(b"x" * MAX_PDU_BYTES,) * 10 + (b"x" * 45,) * (MAX_CARD_PDUS - 10),
        state=("$s",) * MAX_CARD_PDUS,
        state_hash=bytes(32),
        servers=("s",) * MAX_CARD_SERVERS,
    )
    assert MAX_CARD_PDUS_BYTES - sum(map(len, at_limit.pdus)) in range(100)
    store = Store(None)
    assert fitting(store, at_limit) is at_limit
    assert len(packed_badly(at_limit)) < MAX_MESSAGE_BYTES
    over = RoomCard(
        kind=CardKind.INVITE,
        room_id="!r",
        room_version="12",
        event_id="$e",
        pdus=(b"x",) * (MAX_CARD_PDUS + 1),
        state=("$s",) * (MAX_CARD_PDUS + 1),
        state_hash=bytes(32),
    )
    assert not card_sizes._fits(over)
    with pytest.raises(LocalProtocolError):
        packed_badly(over)


async def test_many_invites_arrive_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """More than are under way at a time; the rest follows without any news."""
    monkeypatch.setattr("dtnode.sync.cards.MAX_FLYING_BYTES", 20_000)
    monkeypatch.setattr("dtnode.node.peer_work.MAX_FLYING_BYTES", 20_000)
    async with a_and_b() as (world, _):
        for number in range(30):
            await trio.sleep(0.01)
            room_id = await world.create("a", name=f"{number}")
            await world.act(
                "a",
                lambda node, r=room_id: node.rooms.set_membership(r, MALLORY_ID, "invite"),  # type: ignore[misc]
            )
        peer = await meet(world, "a", MALLORY, known=False)
        await peer.until_heard(RoomCard)
        first = len(peer.of(RoomCard))
        assert first < 10
        peer.answering = True
        for card in peer.of(RoomCard):
            await peer._answer(card)
        await peer.until(lambda: len({c.room_id for c in peer.of(RoomCard)}) == 30)


# --- ends


async def test_a_bye_ends_the_link_with_its_reason(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        peer = await meet(world, "a", MALLORY)
        await peer.send(Bye(reason="going home"))
        await peer.until(peer.ended.is_set)
        assert peer.connection.close_reason == "the peer closed: going home"
        assert room.room_id is not None
        await assert_talks(world, room.room_id, "unharmed")


async def test_what_was_said_before_hanging_up_counts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        for number in range(10):
            pdu = room.message("mallory", f"{number}").canonical()
            events = Events(batch=number, room_id=room_id, room_version="12", pdus=(pdu,))
            await peer.send(events)
        await peer.hang_up()
        await world.settle(lambda: len(world.texts("b", room_id)) == 10, within_s=5)


async def test_closing_says_why_even_when_much_is_queued(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY)
        await peer.until_heard(Tips)
        for _ in range(50):
            await world.send("a", room_id, "x" * 50_000)
        peer.connection.close("this node is being stopped")
        await peer.until(peer.ended.is_set, within_s=5)
        assert peer.closed == "this node is being stopped"


async def test_closing_does_not_wait_for_a_peer_that_takes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b("mallory") as (world, room):
        room_id = room.room_id
        assert room_id is not None
        peer = await meet(world, "a", MALLORY, buffer_frames=1)
        peer.reading = False
        for _ in range(50):
            await world.send("a", room_id, "x" * 50_000)
        peer.connection.close("this node is being stopped")
        with trio.fail_after(5):
            while peer.connection in world.nodes["a"].connections:
                await trio.sleep(0.1)


async def test_a_link_closed_before_it_began_just_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b() as (world, _):
        here, there = memory_link_pair(LinkInfo(mtu_bytes=1_000))
        connection = world.nodes["a"].connection(there, link_id="x", initiator=False)
        connection.close("changed its mind")
        with trio.fail_after(5):
            await connection.run()
        assert connection.close_reason == "changed its mind"
        with pytest.raises(trio.EndOfChannel):
            await here.receive()


async def test_a_silent_dialler_is_let_go_after_half_a_minute(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b() as (world, _):
        peer = await meet(world, "a", MALLORY, known=False, bare=True)
        began = trio.current_time()
        await peer.until(peer.ended.is_set)
        assert 29 <= trio.current_time() - began <= 35
        assert "did not prove its key within 30 s" in (peer.connection.close_reason or "")


async def test_rooms_of_one_id_and_two_versions_leave_each_other_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A lying creator made both; neither node takes the other's events, and other rooms go on."""
    async with a_and_b() as (world, room):
        assert room.room_id is not None
        names = {"10": "a", "11": "b"}
        made = {version: room_of("a", "b", version=version) for version in names}
        ids = {await put_room(world, names[v], made[v]) for v in names}
        assert len(ids) == 1
        (split_id,) = ids
        world.cut("a", "b")
        world.connect("a", "b")
        await trio.sleep(100)
        await assert_talks(world, room.room_id, "unharmed")
        for name in ("a", "b"):
            await world.send(name, split_id, f"by {name}")
        await trio.sleep(100)
        assert world.texts("a", split_id) == ["by a"]
        assert world.texts("b", split_id) == ["by b"]
