"""Compaction: states keep what they hold, those nobody refers to go, the file gets smaller."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from dtnode.errors import StoreError
from dtnode.store import Store
from tests.store.samples import add_event, add_room


def with_states(
    store: Store, rng: Random, groups: int = 300
) -> dict[int, dict[tuple[str, str], str]]:
    """A chain with branches; every few groups an event refers to. The states of those groups."""
    room = add_room(store)
    kept: dict[int, dict[tuple[str, str], str]] = {}
    made = [0]
    with store.transaction():
        for number in range(groups):
            base = made[-1] if rng.random() < 0.8 else rng.choice(made)
            key = ("m.room.member", f"@{rng.randrange(40)}:a.test")
            value = None if rng.random() < 0.1 else f"${number}"
            group = store.state_groups.derive(base, {key: value})
            made.append(group)
            if group and rng.random() < 0.3:
                add_event(store, room, number, group=group)
                kept[group] = dict(store.state_groups.state(group))
        store.rooms.set_current_group(room.nid, group)
        kept[group] = dict(store.state_groups.state(group))
    return kept


def count_groups(store: Store) -> int:
    return int(store._db.execute("SELECT count(*) FROM state_groups").fetchone()[0])


@pytest.mark.parametrize("seed", range(20))
def test_states_stay_what_they_are(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    path = tmp_path / "node.db"
    with closing(Store(path)) as store:
        kept = with_states(store, rng)
        before = count_groups(store)
        done = store.compact()
        after = count_groups(store)
        assert done.groups_dropped == before - after > 0
        assert len(kept) <= after < before * 0.7
        assert {group: store.state_groups.state(group) for group in kept} == kept
        assert store.compact().groups_dropped == 0
    with closing(Store(path)) as store:
        assert {group: store.state_groups.state(group) for group in kept} == kept
        with store.transaction():  # and goes on from there
            last = max(kept)
            more = store.state_groups.derive(last, {("m.room.topic", ""): "$topic"})
        assert store.state_groups.state(more) == {**kept[last], ("m.room.topic", ""): "$topic"}


def test_a_base_of_many_isnt_repeated_in_each(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "node.db")) as store:
        room = add_room(store)
        with store.transaction():
            large = {("m.room.member", f"@{n}:a.test"): f"${n}" for n in range(500)}
            base = store.state_groups.derive(0, large)
            for number in range(20):
                group = store.state_groups.derive(base, {("m.room.topic", ""): f"${number}"})
                add_event(store, room, number, group=group)
        assert store.compact().groups_dropped == 0


def test_room_on_the_disk_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with closing(Store(path)) as store:
        room = add_room(store)
        with store.transaction():
            for number in range(2000):
                add_event(store, room, number, content={"body": "x" * 500})
        with store.transaction():
            for event in list(store.events.in_nid_order(room.nid)):
                store.events.drop_body(event)
        done = store.compact()
        assert done.before_bytes > 1_400_000
        assert done.after_bytes < done.before_bytes - 900_000
        assert store.events.counts(room.nid)[0] == 2000
    assert path.stat().st_size == done.after_bytes


def test_a_store_in_memory_can_be_compacted_too() -> None:
    store = Store(None)
    assert store.compact().after_bytes == 0


def test_a_damaged_file_isnt_compacted(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with closing(Store(path)) as store:
        room = add_room(store)
        with store.transaction():
            for number in range(2000):
                add_event(store, room, number)
    data = bytearray(path.read_bytes())
    data[4096 * 20 : 4096 * 21] = os.urandom(4096)
    path.write_bytes(data)
    store = Store(path)
    with pytest.raises(StoreError, match="damaged"):
        store.compact()
    store._db.close()
    assert path.read_bytes()[4096 * 20 : 4096 * 21] == data[4096 * 20 : 4096 * 21]
