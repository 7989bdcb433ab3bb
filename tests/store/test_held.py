"""Held events: what they wait for, their release in any order, and their bounds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.store import RoomRecord, Store
from dtnode.store import held as held_module
from tests.store.samples import add_event, add_room, sample_id, sample_pdu


def hold(
    store: Store, room: RoomRecord, label: object, missing: list[str], **options: object
) -> None:
    merged = {"source": "peer", "now_ms": 0, **options}
    pdu = sample_pdu(label, missing, redacted=bool(merged.pop("redacted", False)))
    store.held.add(room.nid, pdu, missing, **merged)  # type: ignore[arg-type]


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=25), seed=st.integers(0, 1_000_000))
def test_any_order_of_arrival_releases_everything_after_its_parents(
    sizes: list[int], seed: int
) -> None:
    """The pipeline's loop over a random DAG that arrives shuffled."""
    rng = random.Random(seed)
    parents = {
        number: rng.sample(range(number), min(size, number)) for number, size in enumerate(sizes)
    }
    store = Store(None)
    room = add_room(store)
    order = list(parents)
    rng.shuffle(order)
    judged: list[int] = []
    numbers = {sample_id(number): number for number in parents}

    def judge(number: int) -> None:
        add_event(store, room, number)
        judged.append(number)

    with store.transaction():
        for seen, number in enumerate(order, 1):
            missing = [sample_id(p) for p in parents[number] if not store.events.has(sample_id(p))]
            if missing:
                hold(store, room, number, missing)
            else:
                judge(number)
                todo = [number]
                while todo:
                    for held in store.held.waiting_for(room.nid, sample_id(todo.pop())):
                        store.held.remove(held)
                        judge(numbers[held.pdu.event_id])
                        todo.append(judged[-1])
            arrived = set(order[:seen])
            waiting = arrived - set(judged)
            assert store.held.count(room.nid) == len(waiting)
            # Gaps: exactly what waiting events name and neither is here nor waits itself.
            named = {p for n in waiting for p in parents[n]} - arrived
            gaps = store.held.missing(room.nid, 1000)
            assert {numbers[gap.event_id] for gap in gaps} == named
            for gap in gaps:
                needed = {numbers[event_id] for event_id in gap.needed_by}
                assert needed == {n for n in waiting if numbers[gap.event_id] in parents[n]}
    assert sorted(judged) == sorted(parents)
    assert all(judged.index(p) < judged.index(n) for n in parents for p in parents[n])


def test_gaps_are_listed_longest_known_first_and_bounded() -> None:
    store = Store(None)
    room = add_room(store)
    for number in range(10):
        hold(store, room, number, [f"$missing {9 - number}"], now_ms=100 - number)
    assert [gap.since_ms for gap in store.held.missing(room.nid, 3)] == [91, 92, 93]


def test_held_twice_is_held_once() -> None:
    store = Store(None)
    room = add_room(store)
    hold(store, room, 1, ["$x"], redacted=True)
    hold(store, room, 1, ["$x"])
    hold(store, room, 1, ["$x"], redacted=True)
    (held,) = store.held.of_room(room.nid)
    assert not held.pdu.redacted  # the whole copy stays
    assert held.pdu.content == {"body": "1"}


def test_other_rooms_events_release_nothing() -> None:
    store = Store(None)
    one, two = add_room(store), add_room(store, "!two:a.test")
    hold(store, one, 1, ["$x"])
    assert store.held.waiting_for(two.nid, "$x") == []
    assert [held.pdu.event_id for held in store.held.waiting_for(one.nid, "$x")] == [sample_id(1)]
    assert store.held.waiting_for(one.nid, "$x") == []


def test_bounds_of_a_source_and_of_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "MAX_HELD_PER_SOURCE", 4)
    monkeypatch.setattr(held_module, "MAX_HELD_PER_ROOM", 8)
    store = Store(None)
    room = add_room(store)

    def add(source: str, count: int) -> list[str]:
        for _ in range(count):
            hold(
                store, room, f"{source} {store.held.count(room.nid)} {count}", ["$x"], source=source
            )
        return store.held.evict_over_bounds(room.nid, source, "me")

    def counts() -> dict[str, int]:
        found: dict[str, int] = {}
        for held in store.held.of_room(room.nid):
            found[held.source] = found.get(held.source, 0) + 1
        return found

    assert add("me", 6) == []  # own events are never dropped and don't count
    assert len(add("a", 7)) == 3
    assert add("b", 4) == []
    evicted = add("c", 2)
    assert len(evicted) == 2
    assert counts() == {"me": 6, "a": 3, "b": 3, "c": 2}
    assert not any(store.held.has(event_id) for event_id in evicted)
    assert len(store.held.missing(room.nid, 100)) == 1
    add("d", 1)
    assert counts()["d"] == 1
    assert sum(counts().values()) == 6 + 8


def test_the_oldest_go_first() -> None:
    store = Store(None)
    room = add_room(store)
    for number in range(held_module.MAX_HELD_PER_SOURCE + 2):
        hold(store, room, number, ["$x"])
    assert store.held.evict_over_bounds(room.nid, "peer", "me") == [sample_id(0), sample_id(1)]


def test_own_events_and_the_newest() -> None:
    store = Store(None)
    room = add_room(store)
    for number in range(6):
        hold(store, room, number, ["$x"], position=number or None)
    assert [held.position for held in store.held.own(room.nid)] == [1, 2, 3, 4, 5]
    assert [held.position for held in store.held.newest(room.nid, 2)] == [4, 5]
    assert store.held.newest(room.nid, 0) == []
    assert [held.position for held in store.held.after_position(room.nid, 2, 4)] == [3, 4]
