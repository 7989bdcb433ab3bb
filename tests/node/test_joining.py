"""Joining a public room by its id alone: a card from a peer in reach, or a quick and clear no."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from dtnode.errors import StoreError
from dtnode.node.contacts import WhoIsWho
from dtnode.node.node import CARD_PATIENCE_S
from dtnode.rooms.local import RoomNotHere
from dtnode.testing.rooms_builder import signer_for
from dtnode.wire.messages import CardAck, CardKind, CardRequest, NotHere, RoomCard
from tests.node.harness import World
from tests.node.raw_peer import meet


@asynccontextmanager
async def a_b_c() -> AsyncIterator[World]:
    """c between a and b, all known to their neighbours."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(5))
        for name in ("a", "b", "c"):
            world.add(name, signer=signer_for(name))
        for other in ("a", "b"):
            await world.know("c", other)
            world.connect("c", other)
        await world.settle(lambda: len(world.nodes["c"].connections) == 2)
        await trio.sleep(1)
        yield world
        nursery.cancel_scope.cancel()


async def test_a_public_room_is_joined_through_any_neighbour_that_has_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_b_c() as world:
        room_id = await world.create("a", name="open", public=True)
        began = trio.current_time()
        await world.nodes["c"].join(room_id)
        assert trio.current_time() - began < 2
        await world.settle(lambda: world.equal(room_id, "a", "c"), within_s=10)
        await world.send("c", room_id, "hello")
        await world.settle(lambda: world.texts("a", room_id) == ["hello"], within_s=10)


async def test_nobody_in_reach_has_it(autojump_clock: trio.testing.MockClock) -> None:
    """All neighbours say so, both at once: no need to wait for anything further."""
    async with a_b_c() as world:
        began = trio.current_time()
        with pytest.raises(RoomNotHere, match="no node in reach"):
            await world.nodes["c"].join("!" + "x" * 43)
        assert trio.current_time() - began < 2


async def test_a_private_room_is_not_told_apart_from_none(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_b_c() as world:
        room_id = await world.create("a", name="closed")
        with pytest.raises(RoomNotHere):
            await world.nodes["c"].join(room_id)
        assert world.nodes["c"].rooms.room(room_id) is None


async def test_a_neighbour_that_never_answers_is_not_waited_for_longer_than_people_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_b_c() as world:
        mute = await meet(world, "c", signer_for("mallory"))
        began = trio.current_time()
        with pytest.raises(RoomNotHere):
            await world.nodes["c"].join("!" + "x" * 43)
        assert trio.current_time() - began == pytest.approx(CARD_PATIENCE_S, abs=1)
        assert len(mute.of(CardRequest)) == 1


async def test_a_neighbour_that_says_no_many_times_speaks_for_itself_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_b_c() as world:
        world.add("d", signer=signer_for("d"))
        room_id = await world.create("d", name="open", public=True)
        card = world.nodes["d"].rooms.sharing.public_card(room_id, world.server("c"))
        assert card is not None
        honest = await meet(world, "c", signer_for("carol"))
        liar = await meet(world, "c", signer_for("mallory"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.nodes["c"].join, room_id)
            await liar.until_heard(CardRequest)
            for _ in range(10):
                await liar.send(NotHere(room_id=room_id, event_ids=()))
            await trio.sleep(5)
            await honest.send(card)
        assert world.nodes["c"].rooms.room(room_id) is not None


async def test_a_public_card_nobody_asked_for_puts_no_room_here(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_b_c() as world:
        room_id = await world.create("a", name="open", public=True)
        card = world.nodes["a"].rooms.sharing.public_card(room_id, world.server("c"))
        assert card is not None
        assert card.kind is CardKind.PUBLIC
        pushy = await meet(world, "b", signer_for("mallory"))
        await pushy.send(card)
        assert (await pushy.until_heard(CardAck)).room_id == room_id
        assert world.nodes["b"].rooms.room(room_id) is None
        assert pushy.of(RoomCard) == []


async def test_who_is_known_is_looked_up_again_after_the_store_failed(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_b_c() as world:
        node = world.nodes["c"]
        real = node._who_is_who
        failing = True

        def who_is_who() -> WhoIsWho:
            if failing:
                raise StoreError("as if the disk were full")
            return real()

        room_id = await world.create("c", name="x")
        await trio.sleep(1)
        monkeypatch.setattr(node, "_who_is_who", who_is_who)
        user_id = f"@mallory:{signer_for('mallory').server_name}"
        await world.act("c", lambda node: node.rooms.set_membership(room_id, user_id, "invite"))
        await trio.sleep(20)
        assert "who is known can't be looked up: as if the disk were full" in caplog.text
        assert not node.knows(signer_for("mallory").server_name)
        failing = False
        await world.settle(lambda: node.knows(signer_for("mallory").server_name), within_s=10)


async def test_news_that_could_not_be_looked_up_come_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_b_c() as world:
        room_id = await world.create("a", name="open", public=True)
        await world.nodes["c"].join(room_id)
        await world.settle(lambda: world.equal(room_id, "a", "c"), within_s=10)
        worker = world.nodes["a"].worker
        real = worker._news

        def fail() -> None:
            raise StoreError("as if a page couldn't be read")

        monkeypatch.setattr(worker, "_news", fail)
        await world.send("a", room_id, "first")  # stored: no error for who sent it
        assert "what is new can't be looked up" in caplog.text
        monkeypatch.setattr(worker, "_news", real)
        await world.send("a", room_id, "second")
        await world.settle(lambda: world.texts("c", room_id) == ["first", "second"], within_s=10)
