"""Events: rows, numbers, order, and walks over the DAG against plain sets."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dtnode.store import Store
from tests.store.samples import add_event, add_room, sample_id, sample_pdu

Dag = list[list[int]]
"""For each event (numbers from 1) the numbers of its parents."""


@st.composite
def dags(draw: st.DrawFn) -> Dag:
    size = draw(st.integers(1, 25))
    dag: Dag = []
    for number in range(1, size + 1):
        dag.append(
            draw(st.lists(st.integers(1, number - 1), max_size=3, unique=True))
            if number > 1
            else []
        )
    return dag


def store_of(dag: Dag) -> Store:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        for number, parents in enumerate(dag, 1):
            assert add_event(store, room, number, parents).nid == number
    return store


def below(dag: Dag, nids: set[int]) -> set[int]:
    """`nids` and their ancestors."""
    found: set[int] = set()
    todo = list(nids)
    while todo:
        nid = todo.pop()
        if nid not in found:
            found.add(nid)
            todo += dag[nid - 1]
    return found


@given(dag=dags(), data=st.data())
def test_difference_agrees_with_sets(dag: Dag, data: st.DataObject) -> None:
    store = store_of(dag)
    numbers = st.sets(st.integers(1, len(dag)), max_size=4)
    of, known = data.draw(numbers), data.draw(numbers)
    limit = data.draw(st.integers(0, 30))
    expected = sorted(below(dag, of) - below(dag, known))
    assert store.events.difference(of, known, 1000) == expected
    assert store.events.difference(list(of) * 2, known, limit) == expected[:limit]


@given(dag=dags(), data=st.data())
def test_ancestry_agrees_with_sets(dag: Dag, data: st.DataObject) -> None:
    store = store_of(dag)
    older, newer = data.draw(st.integers(1, len(dag))), data.draw(st.integers(1, len(dag)))
    expected = older in below(dag, set(dag[newer - 1]))
    assert store.events.is_ancestor(older, newer) == expected


@given(dag=dags())
def test_levels_and_display_order(dag: Dag) -> None:
    store = store_of(dag)
    levels = [0]
    for parents in dag:
        levels.append(1 + max((levels[parent] for parent in parents), default=0))
    events = list(store.events.in_nid_order(1))
    assert [event.topo for event in events] == levels[1:]
    shown = store.events.newest_in_order(1, 1000)
    assert [event.display_order for event in shown] == sorted(e.display_order for e in events)
    newest = store.events.newest_in_order(1, 5)
    assert [event.nid for event in newest] == [event.nid for event in shown[-5:]]
    for level in range(1, max(levels) + 2):
        nid = store.events.accepted_at(1, level)
        assert nid is not None
        assert levels[nid] == min(level, max(levels))
    assert store.events.accepted_at(1, 0) is None


def test_a_walk_visits_the_difference_and_not_the_room() -> None:
    store = store_of([[number] if number else [] for number in range(2000)])
    visited: list[int] = []
    walk = store.events.parents_of

    def walk_visibly(nid: int) -> tuple[int, ...]:
        visited.append(nid)
        return walk(nid)

    store.events.parents_of = walk_visibly  # type: ignore[method-assign]
    assert store.events.difference([2000], [1990], 1000) == list(range(1991, 2001))
    assert len(visited) <= 11


def test_what_is_buffered_is_seen_by_every_lookup() -> None:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        first = add_event(store, room, 1)
        second = add_event(store, room, 2, [1], rejected=True)
        assert store.events.get(sample_id(1)) is first
        assert store.events.by_nid(2) is second
        assert store.events.nid_of(sample_id(2)) == 2
        assert store.events.ids_of([2, 1]) == [sample_id(2), sample_id(1)]
        assert store.events.parents_of(2) == (1,)
        assert store.events.counts(room.nid) == (1, 1, 0)
        assert [event.nid for event in store.events.newest_in_order(room.nid, 10)] == [1]
    assert store.events.get("$nothing") is None
    assert store.events.by_nid(99) is None
    assert not store.events.has("$nothing")


def test_rows_come_back_as_they_went_in() -> None:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        added = [
            add_event(store, room, 1, sender="@bob:b.test", ts=2**53 - 1),
            add_event(store, room, 2, [1], soft_failed=True, group=0),
            add_event(store, room, 3, [1, 2], rejected=True, redacted=True),
        ]
    store.events._forget()
    for old in added:
        for new in (store.events.get(old.event_id), store.events.by_nid(old.nid)):
            assert new is not None
            assert new is not old
            for name in ("nid", "room_nid", "topo", "rejected", "soft_failed", "before", "after"):
                assert getattr(new, name) == getattr(old, name)
            assert (new.parents, new.position, new.reason) == (
                old.parents,
                old.position,
                old.reason,
            )
            assert new.pdu.canonical() == old.pdu.canonical()
            assert new.pdu.redacted == old.pdu.redacted
    assert [event.nid for event in store.events.redacted_copies(room.nid)] == [3]


def test_positions_are_given_once_and_in_order() -> None:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        for number in range(1, 11):
            add_event(store, room, number, rejected=number % 3 == 0)
    assert store.events.last_position() == 7
    shown = store.events.between_positions(room.nid, 2, 6, 100, newest=True)
    assert [event.position for event in shown] == [3, 4, 5, 6]
    newest = store.events.between_positions(room.nid, 0, 7, 2, newest=True)
    assert [event.position for event in newest] == [6, 7]
    oldest = store.events.between_positions(room.nid, 0, 7, 2, newest=False)
    assert [event.position for event in oldest] == [1, 2]
    assert store.news_since(5) == {room.nid: [sample_id(8), sample_id(10)]}


def test_positions_of_held_events_count_too() -> None:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        position = store.events.next_position()
        held = sample_pdu("own", ["$missing"])
        store.held.add(room.nid, held, ["$missing"], source="me", now_ms=0, position=position)
    store.events._forget()
    assert store.events.last_position() == 1
    assert store.events.next_position() == 2


def test_a_rollback_takes_everything_back() -> None:
    """Events, numbers, positions, tips, forward extremities, current group, held events: also with
    caches warm, buffered rows flushed or not, and from within an inner transaction."""
    store = Store(None)
    room = add_room(store)

    def step(label: int, parents: list[int]) -> None:
        event = add_event(store, room, label, parents)
        store.rooms.set_tips(room.nid, [event.nid])
        store.rooms.set_forward_extremities(room.nid, [event.nid])
        group = store.state_groups.derive(0, {("n", ""): f"${label}"})
        store.rooms.set_current_group(room.nid, group)
        store.held.add(room.nid, sample_pdu(f"held {label}"), ["$x"], source="peer", now_ms=label)
        store.set_meta("last", label)

    def seen() -> list[object]:
        current = store.rooms.by_nid(room.nid)
        return [
            store.events.last_position(),
            [event.event_id for event in store.events.in_nid_order(room.nid)],
            [store.events.nid_of(sample_id(number)) for number in (1, 2, 3, 4)],
            store.rooms.tips(room.nid),
            store.rooms.forward_extremities(room.nid),
            dict(store.state_groups.state(current.current_group)),
            [held.pdu.event_id for held in store.held.of_room(room.nid)],
            store.meta("last"),
        ]

    class Undo(Exception):
        pass

    with store.transaction():
        step(1, [])
    after_first = seen()
    for flush in (False, True):
        try:
            with store.transaction():
                step(2, [1])
                if flush:
                    store.flush()
                step(3, [2])
                raise Undo
        except Undo:
            pass
        assert seen() == after_first
    with store.transaction():
        step(2, [1])
        after_second = seen()
        try:
            with store.transaction():
                step(3, [2])
                with store.transaction():
                    step(4, [3])
                raise Undo
        except Undo:
            pass
        assert seen() == after_second
        step(4, [2])
        after_fourth = seen()
    assert seen() == after_fourth
    event = store.events.get(sample_id(4))
    assert event is not None
    assert event.nid == 3


def test_two_rooms_dont_mix() -> None:
    store = Store(None)
    one, two = add_room(store), add_room(store, "!two:a.test")
    rng = random.Random(5)
    with store.transaction():
        for number in range(1, 40):
            add_event(store, rng.choice((one, two)), number)
    ids = [{event.event_id for event in store.events.in_nid_order(room.nid)} for room in (one, two)]
    assert ids[0].isdisjoint(ids[1])
    assert len(ids[0] | ids[1]) == 39
    for room in (one, two):
        assert {one.nid for one in store.events.newest_first(room.nid, 0)} == set(
            store.events.nids_of_room(room.nid)
        )
