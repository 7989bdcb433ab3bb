"""Whom a node knows, and its handshakes' numbers: none counts twice, whatever befalls the disk."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from dtnode.errors import LocalProtocolError, StoreError
from dtnode.node import contacts as contacts_module
from dtnode.node.contacts import (
    MAX_REMEMBERED,
    NUMBERS_AT_ONCE,
    Acquaintances,
    LinkContacts,
    WhoIsWho,
    reserve_numbers,
    who_is_who,
)
from dtnode.rooms import Rooms
from dtnode.session.opening import MAX_NUMBER
from dtnode.store import PeerRecord, Store
from dtnode.store.peers import Peers
from dtnode.testing.rooms_builder import signer_for
from tests.node.harness import START_MS, World
from tests.node.raw_peer import assert_talks, put_room, room_of, strangers

ALICE, BOB, CAROL, DAN = (signer_for(name).server_name for name in ("alice", "bob", "carol", "dan"))


class SetClock:
    def __init__(self, now_ms: int) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms


def rooms_of(store: Store, clock: SetClock) -> Rooms:
    return Rooms(store, signer_for("alice"), f"@alice:{ALICE}", clock, random.Random(1).randbytes)


def reserve(path: Path, clock: SetClock) -> range:
    """As at each start of the node."""
    store = Store(path)
    with store.transaction():
        first = reserve_numbers(rooms_of(store, clock))
    store.close()
    return range(first, first + NUMBERS_AT_ONCE)


# --- numbers


def test_numbers_grow_over_restarts_whatever_the_clock_says(tmp_path: Path) -> None:
    clock = SetClock(START_MS)
    lives = []
    for step_ms in (0, 1, 500, -86_400_000, 0, 3_600_000, 10):
        clock.ms += step_ms
        lives.append(reserve(tmp_path / "store", clock))
    for before, after in pairwise(lives):
        assert before.stop <= after.start


def test_after_a_restore_the_clock_lifts_them(tmp_path: Path) -> None:
    """Over all that were used since the backup, if the clock went on."""
    clock = SetClock(START_MS)
    reserve(tmp_path / "store", clock)
    shutil.copy(tmp_path / "store", tmp_path / "backup")
    used = []
    for _ in range(5):
        clock.ms += 60_000
        used.append(reserve(tmp_path / "store", clock))
    clock.ms += 60_000
    assert reserve(tmp_path / "backup", clock).start >= used[-1].stop


def test_one_number_is_given_once_until_none_is_left() -> None:
    known = strangers(signer_for("alice"))
    known.reserved(START_MS)
    numbers = [known.next_number((BOB, CAROL)[n % 2]) for n in range(NUMBERS_AT_ONCE)]
    assert numbers == list(range(START_MS, START_MS + NUMBERS_AT_ONCE))
    with pytest.raises(LocalProtocolError, match="disk full"):
        known.next_number(BOB)
    known.reserved(START_MS + 2 * NUMBERS_AT_ONCE)
    assert known.next_number(BOB) == START_MS + 2 * NUMBERS_AT_ONCE


def test_a_peer_that_took_later_ones_is_dialled_by_still_later_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = strangers(signer_for("alice"))
    known.reserved(START_MS)
    ahead = START_MS + 10**9
    known.outdated(BOB, ahead)
    assert [known.next_number(BOB) for _ in range(3)] == [ahead + 1, ahead + 2, ahead + 3]
    known.outdated(BOB, ahead + 10)
    assert known.next_number(BOB) == ahead + 11
    assert known.next_number(CAROL) < START_MS + 10
    assert caplog.text.count("a copy of this node is running elsewhere") == 1


def test_a_liar_s_number_does_not_run_over() -> None:
    known = strangers(signer_for("alice"))
    known.outdated(BOB, MAX_NUMBER - 1)
    assert [known.next_number(BOB) for _ in range(3)] == [MAX_NUMBER] * 3


async def test_a_node_whose_disk_is_full_starts_and_dials_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = Peers.reserve_handshakes
    full = True

    def reserve_handshakes(self: Peers, at_least: int, count: int) -> int:
        if full:
            raise StoreError("as if the disk were full")
        return real(self, at_least, count)

    monkeypatch.setattr(Peers, "reserve_handshakes", reserve_handshakes)
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        for name in ("a", "b"):
            world.add(name)
        await world.know("a", "b")
        world.connect("a", "b")
        await trio.sleep(60)
        assert "no handshake numbers could be reserved: as if the disk were full" in caplog.text
        assert not world.nodes["a"].connections
        full = False
        await world.settle(lambda: bool(world.nodes["a"].connections), within_s=30)
        nursery.cancel_scope.cancel()


async def test_more_numbers_are_reserved_before_they_run_out(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(contacts_module, "NUMBERS_AT_ONCE", 8)
    monkeypatch.setattr("dtnode.node.node.RESERVE_BELOW", 4)
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        for name in ("a", "b"):
            world.add(name)
        await world.know("a", "b")
        for _ in range(30):  # each contact takes one
            world.connect("a", "b")
            await world.settle(lambda: bool(world.nodes["b"].connections), within_s=30)
            world.cut("a", "b")
            await world.settle(lambda: not world.nodes["b"].connections, within_s=30)
        nursery.cancel_scope.cancel()


async def test_a_restored_node_gets_in_again_though_its_clock_is_behind(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """b tells it the highest number taken, and that is told the operator."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        store = Store(tmp_path / "store")
        world.add("b", signer=signer_for("b"))
        room = room_of("a", "b")
        room_id = await put_room(world, "b", room)
        for life, offset_ms in enumerate((0, 600_000, -86_400_000)):
            if life == 1:
                shutil.copy(tmp_path / "store", tmp_path / "backup")
            if life == 2:
                store = Store(tmp_path / "backup")
            async with trio.open_nursery() as lifetime:
                alive = World(lifetime, world.rng, nodes=world.nodes)
                alive.add("a", signer=signer_for("a"), store=store, offset_ms=offset_ms)
                if life == 0:
                    await put_room(alive, "a", room)
                    await alive.know("a", "b")
                told = "a copy of this node is running elsewhere" in caplog.text
                assert not told
                alive.connect("a", "b")
                await alive.settle(partial(bool, alive.nodes["a"].connections), within_s=60)
                await assert_talks(alive, room_id, f"life {life}")
                lifetime.cancel_scope.cancel()
            store.close()
            store = Store(tmp_path / "store")
            await world.settle(lambda: not world.nodes["b"].connections)
        assert "a copy of this node is running elsewhere" in caplog.text
        nursery.cancel_scope.cancel()
        store.close()


async def test_numbers_that_were_taken_stay_so_after_a_restart(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        store = Store(tmp_path / "store")
        world.add("a")
        b = world.add("b", store=store)
        await world.know("a", "b")
        world.connect("a", "b")
        await world.settle(lambda: bool(b.connections) and bool(world.nodes["a"].connections))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    again = who_is_who(b.rooms)
    taken = again.handshakes[world.server("a")]
    assert START_MS <= taken < START_MS + 600_000
    known = Acquaintances(signer_for("b"), again)
    assert known.highest_accepted(world.server("a")) == taken
    store.close()


# --- who


def whom(**records: PeerRecord) -> WhoIsWho:
    store = Store(None)
    with store.transaction():
        for record in records.values():
            store.peers.put(record)
    return who_is_who(rooms_of(store, SetClock(START_MS)))


def test_who_was_met_last_is_tried_first() -> None:
    who = whom(
        bob=PeerRecord(server_name=BOB, added=True),
        carol=PeerRecord(server_name=CAROL, added=True, last_contact_ms=10),
        dan=PeerRecord(server_name=DAN, added=True, last_contact_ms=20),
    )
    assert who.names == (DAN, CAROL, BOB)
    assert who.met == {DAN, CAROL}
    known = Acquaintances(signer_for("alice"), who)
    assert list(LinkContacts(known).to_dial()) == [DAN, CAROL, BOB]
    assert list(LinkContacts(known).candidates()) == [DAN, CAROL, BOB]


def test_the_blocked_are_nobody_by_any_name() -> None:
    disguise = f"{CAROL}.mesh.example.org"
    who = whom(
        bob=PeerRecord(server_name=BOB, added=True),
        carol=PeerRecord(server_name=CAROL, added=True, blocked=True),
        disguised=PeerRecord(server_name=disguise, added=True),
    )
    assert who.names == (BOB,)
    known = Acquaintances(signer_for("alice"), who)
    for name in (CAROL, disguise):
        assert not known.knows(name)
        for anyone in (False, True):
            for expected in (None, name):
                link = LinkContacts(known, anyone=anyone, expected=expected)
                assert not link.welcome(name)
                assert name not in link.to_dial()
    assert LinkContacts(known).welcome(BOB)


def test_a_link_kept_for_one_peer_is_for_nobody_else() -> None:
    with_domain = f"{BOB}.mesh.example.org"
    who = whom(
        bob=PeerRecord(server_name=with_domain, added=True),
        carol=PeerRecord(server_name=CAROL, added=True),
    )
    known = Acquaintances(signer_for("alice"), who)
    reasons: list[str] = []
    for anyone in (False, True):
        link = LinkContacts(known, expected=BOB, anyone=anyone)
        link.turned_away = reasons.append
        assert link.to_dial() == [BOB]
        assert list(link.candidates()) == [BOB, with_domain]
        assert link.welcome(BOB)
        assert link.welcome(with_domain)
        assert not link.welcome(CAROL)
    assert reasons == [f"{BOB} was expected on this link, not {CAROL}"] * 2


def test_strangers_are_turned_away_with_the_way_to_let_them_in() -> None:
    known = Acquaintances(signer_for("alice"), whom())
    link = LinkContacts(known)
    reasons: list[str] = []
    link.turned_away = reasons.append
    assert not link.welcome(BOB)
    assert reasons == [f"{BOB} is not known here: 'dtnode peer add {BOB}' lets it in"]
    assert LinkContacts(known, anyone=True).welcome(BOB)


# --- introductions


def test_whom_it_never_met_it_tells_its_name() -> None:
    known = strangers(signer_for("alice"))
    for _ in range(5):
        assert known.introduces(BOB)
        known.next_number(BOB)
    known.met(BOB)
    assert not known.introduces(BOB)


def test_whom_it_met_only_when_there_is_no_answer() -> None:
    """The peer may have lost its memory, or taken this node out of it."""
    known = strangers(signer_for("alice"), BOB)
    asked = []
    for _ in range(4):
        asked.append(known.introduces(BOB))
        known.next_number(BOB)
    assert asked == [False, False, True, True]
    known.met(BOB)
    assert not known.introduces(BOB)


def test_what_strangers_leave_here_is_bounded() -> None:
    known = strangers(signer_for("alice"))
    known.who = replace(known.who, names=(BOB,))
    known.accept(BOB, 7)
    for number in range(3 * MAX_REMEMBERED):
        known.met(f"stranger {number}")
        known.accept(f"stranger {number}", number + 1)
        known.outdated(f"stranger {number}", 5)
    tables = (known._accepted, known._unanswered, known._outdated)
    assert all(len(table) <= MAX_REMEMBERED + 1 for table in tables)
    assert known.highest_accepted(BOB) == 7
