"""Open links: what is permitted goes out to all who listen, nothing else, and nothing echoes."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
import trio

from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.node.broadcasts import Broadcasts
from dtnode.testing.rooms_builder import signer_for
from tests.node.air import Air, AirLink, permit
from tests.node.harness import World
from tests.node.raw_peer import put_room, room_of

NAMES = ("a", "b", "c", "d")
PACKET = LinkInfo(mtu_bytes=222, bitrate_bps=1_200, reliable=False, cipher=CipherPolicy.OPEN)


@asynccontextmanager
async def listeners(
    seed: int, *, info: LinkInfo = PACKET, loss: float = 0.0
) -> AsyncIterator[tuple[World, Air, str, dict[str, Broadcasts]]]:
    """a, b and c on the air, d behind c by a sealed link; all in one room."""
    async with trio.open_nursery() as nursery:
        rng = random.Random(seed)
        world = World(nursery, rng)
        room = room_of(*NAMES)
        for name in NAMES:
            world.add(name, signer=signer_for(name))
            await put_room(world, name, room)
        await world.know("c", "d")
        world.connect("c", "d")
        await world.settle(lambda: bool(world.nodes["d"].connections))
        air = Air(info, rng, loss)
        open_links = {}
        for name in NAMES[:3]:
            open_links[name] = world.nodes[name].broadcast_over(air.tune_in(), link_id="open")
            nursery.start_soon(open_links[name].run)
        assert room.room_id is not None
        yield world, air, room.room_id, open_links
        nursery.cancel_scope.cancel()


def sent_by(air: Air, station: AirLink) -> int:
    return sum(sender is station for sender, _ in air.frames)


@pytest.mark.parametrize("mtu_bytes", [20, 51, 222, 1_500])
@pytest.mark.parametrize("checked", [False, True])
async def test_events_of_a_permitted_room_reach_all_who_listen(
    mtu_bytes: int, checked: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """And those behind them, over sealed links."""
    info = LinkInfo(
        mtu_bytes=mtu_bytes,
        bitrate_bps=9_600,
        reliable=False,
        checked=checked,
        cipher=CipherPolicy.OPEN,
    )
    async with listeners(1, info=info) as (world, _, room_id, links):
        for name in NAMES:
            await permit(world, name, room_id)
        await world.settle(lambda: world.equal(room_id, *NAMES), within_s=600)
        for name in ("a", "b", "c", "a"):
            await world.send(name, room_id, f"by {name}")
            await trio.sleep(60)
        for name in NAMES:
            assert world.texts(name, room_id) == ["by a", "by b", "by c", "by a"]
        await world.send("d", room_id, "by d")  # c brings it to the others
        await world.settle(lambda: world.equal(room_id, *NAMES), within_s=600)
        assert "by d" in world.texts("a", room_id)
        assert all(link.close_reason is None for link in links.values())


async def test_of_a_room_that_is_not_permitted_nothing_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with listeners(2) as (world, air, room_id, _):
        for name in NAMES:
            await world.send(name, room_id, f"by {name}")
        await trio.sleep(300)
        assert air.frames == []
        assert world.texts("b", room_id) == ["by b"]
        assert sorted(world.texts("d", room_id)) == ["by c", "by d"]
        # Where only b permits it, only b sends, and not what it has from before.
        await permit(world, "b", room_id)
        await trio.sleep(60)
        before = len(air.frames)
        await world.send("a", room_id, "not by a")
        await trio.sleep(60)
        assert len(air.frames) == before
        await world.send("b", room_id, "again by b")
        await trio.sleep(60)
        assert {sender for sender, _ in air.frames} == {air.stations[1]}


async def test_an_encrypted_room_is_not_sent_though_it_was_permitted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with listeners(3) as (world, air, room_id, _):
        await permit(world, "a", room_id)
        encryption = {"algorithm": "m.megolm.v1.aes-sha2"}
        await world.act(
            "a", lambda node: node.rooms.send(room_id, "m.room.encryption", encryption, "")
        )
        await trio.sleep(60)
        before = len(air.frames)
        await world.send("a", room_id, "ciphertext")
        await trio.sleep(60)
        assert len(air.frames) == before


async def test_nothing_echoes(autojump_clock: trio.testing.MockClock) -> None:
    """Each event is sent by one station alone, however many hear it, and once."""
    async with listeners(4) as (world, air, room_id, links):
        for name in NAMES:
            await permit(world, name, room_id)
        await trio.sleep(300)
        out = {name: link.traffic.events_out for name, link in links.items()}
        before = [sent_by(air, station) for station in air.stations]
        for number in range(20):
            await world.send("a", room_id, f"{number}")
        await trio.sleep(600)
        assert [link.traffic.events_out - out[name] for name, link in links.items()] == [20, 0, 0]
        after = [sent_by(air, station) for station in air.stations]
        assert after[0] > before[0]
        assert after[1:] == before[1:]
        for name in NAMES:
            assert len(world.texts(name, room_id)) == 20


@pytest.mark.parametrize("seed", range(5))
async def test_what_gets_lost_comes_another_way(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    """A third of all frames is; links with sessions bring what the air didn't."""
    async with listeners(seed, loss=0.3) as (world, _, room_id, _):
        for name in NAMES:
            await permit(world, name, room_id)
        for number in range(20):
            await world.send(("a", "b", "c")[number % 3], room_id, f"{number}")
            await trio.sleep(5)
        await trio.sleep(300)
        assert not world.equal(room_id, *NAMES)
        for one, other in (("a", "d"), ("b", "d")):
            await world.know(one, other)
            world.connect(one, other)
        await world.settle(lambda: world.equal(room_id, *NAMES))
        for name in NAMES:
            assert len(world.texts(name, room_id)) == 20


async def test_garbage_is_harmless(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Anyone can send anything: noise, frames of others with a bit changed, halves of them."""
    caplog.set_level(logging.INFO)
    async with listeners(6) as (world, air, room_id, links):
        for name in NAMES:
            await permit(world, name, room_id)
        liar = air.tune_in()
        rng = random.Random(6)
        await world.send("a", room_id, "x" * 400)
        await trio.sleep(60)
        real = [frame for _, frame in air.frames]
        for number in range(300):
            frame = bytearray(rng.choice(real))
            match number % 4:
                case 0:
                    frame = bytearray(rng.randbytes(rng.randrange(1, 222)))
                case 1:
                    frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
                case 2:
                    del frame[rng.randrange(1, len(frame) + 1) :]
                case _:
                    frame = bytearray(b"\xc0" + rng.randbytes(rng.randrange(1, 200)))
            await liar.send(bytes(frame))
        await liar.aclose()
        await trio.sleep(60)
        assert len(caplog.records) < 400
        await world.send("a", room_id, "unharmed")
        await world.settle(lambda: "unharmed" in world.texts("c", room_id), within_s=60)
        for name in NAMES:
            assert world.texts(name, room_id) == ["x" * 400, "unharmed"]
        assert all(link.close_reason is None for link in links.values())


async def test_forgeries_are_judged_like_all_events(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A stranger to the room broadcasts an event of its own for it, rightly signed."""
    async with listeners(7) as (world, air, room_id, _):
        for name in NAMES:
            await permit(world, name, room_id)
        mallory = World(world.nursery, random.Random(7))
        room = room_of(*NAMES)
        assert room.room_id == room_id
        room.user("mallory")
        mallory.add("mallory", signer=signer_for("mallory"))
        await put_room(mallory, "mallory", room)
        said = room.make("mallory", "m.room.message", {"body": "forged"})
        node = mallory.nodes["mallory"]
        link = node.broadcast_over(air.tune_in(), link_id="open")
        world.nursery.start_soon(link.run)

        def broadcast(room_id: str, event_ids: Iterable[str]) -> list[tuple[str, bytes]]:
            return [(said.event_id, said.canonical())]

        node.rooms.sharing.broadcast = broadcast  # type: ignore[method-assign]
        before = len(air.frames)
        link._waiting.append((room_id, said.event_id))
        link._news.set()
        await trio.sleep(60)
        assert len(air.frames) > before
        for name in NAMES:
            assert world.texts(name, room_id) == []
        await world.send("a", room_id, "unharmed")
        await world.settle(lambda: world.texts("c", room_id) == ["unharmed"], within_s=60)


async def test_frames_too_small_for_an_event_end_nothing(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    info = LinkInfo(mtu_bytes=10, reliable=False, checked=False, cipher=CipherPolicy.OPEN)
    async with listeners(8, info=info) as (world, air, room_id, links):
        await permit(world, "a", room_id)
        await world.send("a", room_id, "x")
        await trio.sleep(10)
        assert "can't be sent" in caplog.text
        assert air.frames == []
        assert links["a"].close_reason is None
        assert links["a"] in world.nodes["a"].broadcasts


async def test_a_link_that_ends_is_taken_out(autojump_clock: trio.testing.MockClock) -> None:
    async with listeners(9) as (world, air, _, links):
        await air.stations[0].aclose()
        links["b"].close("this link is being removed")
        await trio.sleep(1)
        assert not world.nodes["a"].broadcasts
        assert not world.nodes["b"].broadcasts
        assert "the link broke" in (links["a"].close_reason or "")
        assert links["b"].close_reason == "this link is being removed"
        assert len(air.stations) == 1
