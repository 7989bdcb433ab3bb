"""What is made of events that were judged before there were tables for it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dtnode.errors import StoreError
from dtnode.rooms.rooms import key_of_name
from dtnode.rooms.verify import check_store
from dtnode.store import Store, indexing
from tests.rooms.nodes import Node, make_room, meet
from tests.store.indexes import forget_indexes, tables
from tests.store.samples import add_event, add_room


def busy_room() -> Node:
    """With power levels changed on both sides, redactions, and what is rejected for them."""
    room_id, (alice, bob) = make_room("alice", "bob")
    levels = {"users": {bob.user_id: 50}, "state_default": 50}
    alice.set_state(room_id, "m.room.power_levels", levels)
    meet(alice, bob)
    for number in range(6):
        said = alice.say(room_id, f"{number}")
        bob.set_state(room_id, "m.room.topic", {"topic": f"{number}"})
        alice.set_state(room_id, "m.room.power_levels", {**levels, "kick": number})
        alice.rooms.send(room_id, "m.room.redaction", {}, redacts=said)
        if number % 2:
            meet(alice, bob)
    return alice


@pytest.mark.parametrize("step", [1, 7, 2_000])
def test_it_is_as_if_it_had_been_kept(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_STEP_EVENTS", step)
    monkeypatch.setattr(indexing, "_SPARSE", 1)
    store = busy_room().store
    before = tables(store)
    marked = store.inspection.seeing_all(1)
    assert all(before.values())
    forget_indexes(store)
    store.indexes.catch_up()
    assert tables(store) == before
    assert store.inspection.seeing_all(1) == marked
    assert store.indexes.waiting_from() is None
    assert check_store(store, key_of_name, lambda _: None).findings == ()


def test_broken_off_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_STEP_EVENTS", 5)
    store = busy_room().store
    before = tables(store)
    forget_indexes(store)
    take = store.indexes.take
    taken: list[int] = []

    def fail_at_twelve(event: object) -> None:
        taken.append(1)
        if len(taken) == 12:
            raise ZeroDivisionError
        take(event)  # type: ignore[arg-type]

    monkeypatch.setattr(store.indexes, "take", fail_at_twelve)
    with pytest.raises(ZeroDivisionError):
        store.indexes.catch_up()
    assert 0 < (store.indexes.waiting_from() or 0) < store.events.last_nid()
    store.indexes.catch_up()
    assert tables(store) == before
    assert check_store(store, key_of_name, lambda _: None).findings == ()


def test_reading_alone_doesnt_do_it(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with closing(Store(path)) as store:
        forget_indexes(store)
    with pytest.raises(StoreError, match="start the node once"):
        Store(path, read_only=True)
    Store(path).close()
    Store(path, read_only=True).close()


def test_counts_follow_verdicts_and_rollbacks() -> None:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        add_event(store, room, 1)
        add_event(store, room, 2, rejected=True)
        judged_again = add_event(store, room, 3, soft_failed=True)
        assert store.events.counts(room.nid) == (2, 1, 1)
    with store.transaction():
        store.events.replace(replace(judged_again, rejected=True, soft_failed=False))
    assert store.events.counts(room.nid) == (1, 2, 0)

    def fail() -> None:
        with store.transaction():
            add_event(store, room, 4)
            store.events.replace(replace(judged_again, soft_failed=False))
            raise ZeroDivisionError

    with store.transaction():
        add_event(store, room, 5)
        with pytest.raises(ZeroDivisionError):
            fail()
    assert store.events.counts(room.nid) == (2, 2, 0)


def test_redactions_are_of_one_room_and_count_when_they_are_accepted() -> None:
    store = Store(None)
    room, other = add_room(store), add_room(store, "!other:a.test")
    with store.transaction():
        events = (
            add_event(store, room, 1),
            add_event(store, other, 2),
            add_event(store, room, 3, rejected=True),
            add_event(store, room, 4, soft_failed=True),
            add_event(store, room, 5),
        )
        nids = [event.nid for event in events]
        for nid in reversed(nids):
            for _ in range(2):
                store.indexes.redactions.add("$target", nid)
        assert store.indexes.redactions.of("$target", room.nid) == [nids[0], nids[4]]
        assert store.indexes.redactions.of("$target", other.nid) == [nids[1]]
        assert store.indexes.redactions.of("$else", room.nid) == []
