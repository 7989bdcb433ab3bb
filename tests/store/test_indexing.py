"""What is made of events that were judged before there were tables for it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from dtnode.errors import StoreError
from dtnode.rooms.rooms import key_of_name
from dtnode.rooms.verify import check_store
from dtnode.store import Store, indexing
from tests.rooms.nodes import Node, make_room, meet
from tests.store.indexes import forget_indexes, tables


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
