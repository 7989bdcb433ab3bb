"""State groups against plain dictionaries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtnode.store import Store
from dtnode.store.state_groups import EMPTY_GROUP

Key = tuple[str, str]

KEYS = st.tuples(st.sampled_from(["m.room.member", "m.room.name", "x"]), st.sampled_from("abc"))
VALUES = st.sampled_from(["$1", "$2", "$3"])
DELTAS = st.dictionaries(KEYS, st.none() | VALUES, max_size=4)
STATES = st.dictionaries(KEYS, VALUES, max_size=6)


def applied(state: dict[Key, str], delta: dict[Key, str | None]) -> dict[Key, str]:
    merged: dict[Key, str | None] = {**state, **delta}
    return {key: value for key, value in merged.items() if value is not None}


def reread(store: Store, group: int) -> dict[Key, str]:
    """As a node that was started again reads it."""
    store.state_groups.forget()
    return dict(store.state_groups.state(group))


@given(steps=st.lists(st.tuples(st.integers(0, 100), DELTAS), max_size=30))
def test_deriving_agrees_with_dictionaries(steps: list[tuple[int, dict[Key, str | None]]]) -> None:
    store = Store(None)
    model: dict[int, dict[Key, str]] = {EMPTY_GROUP: {}}
    for pick, delta in steps:
        base = sorted(model)[pick % len(model)]
        expected = applied(model[base], delta)
        group = store.state_groups.derive(base, delta)
        assert (group == base) == (expected == model[base])
        model[group] = expected
        assert dict(store.state_groups.state(group)) == expected
    for group, expected in model.items():
        assert reread(store, group) == expected


@given(states=st.lists(STATES, min_size=1, max_size=12), picks=st.lists(st.integers(0, 99)))
def test_groups_of_whole_states(states: list[dict[Key, str]], picks: list[int]) -> None:
    store = Store(None)
    model: dict[int, dict[Key, str]] = {EMPTY_GROUP: {}}
    for state in states:
        near = [sorted(model)[pick % len(model)] for pick in picks[:3]]
        group = store.state_groups.group_of(state, near)
        if any(model[other] == state for other in near):
            assert model[group] == state  # nothing new was made
        model[group] = state
    for group, expected in model.items():
        assert reread(store, group) == expected


def test_long_chains_are_read_in_few_steps_and_stay_small() -> None:
    """A room of 60 members that changed 1,000 times."""
    store = Store(None)
    group, changes, members = EMPTY_GROUP, 1_000, 60
    for number in range(changes):
        group = store.state_groups.derive(group, {("n", str(number % members)): f"${number}"})
        if number % 97 == 0:
            assert steps_to_read(store, group) <= changes.bit_length()
    expected = {("n", str(n % members)): f"${n}" for n in range(changes - members, changes)}
    assert reread(store, group) == expected
    entries = store._db.execute("SELECT sum(json_array_length(delta)) FROM state_groups")
    assert entries.fetchone()[0] <= changes * (2 + members.bit_length() / 2)


def steps_to_read(store: Store, group: int) -> int:
    steps = 0
    while group != EMPTY_GROUP:
        row = store._db.execute("SELECT base_group FROM state_groups WHERE group_nid = ?", (group,))
        group = row.fetchone()[0]
        steps += 1
    return steps


def test_what_hangs_on_a_whole_state_does_not_repeat_it() -> None:
    store = Store(None)
    whole = {("m.room.member", f"@{number}"): f"${number}" for number in range(500)}
    group = store.state_groups.group_of(whole, [])
    for number in range(40):
        group = store.state_groups.derive(group, {("topic", ""): f"$t{number}"})
    longest = store._db.execute("SELECT max(length(delta)) FROM state_groups WHERE hops > 1")
    assert longest.fetchone()[0] < 100
    assert reread(store, group) == {**whole, ("topic", ""): "$t39"}


def test_chains_of_single_steps_go_on() -> None:
    """As stores from before the skip list hold them."""
    store = Store(None)
    group = EMPTY_GROUP
    for number in range(10):
        delta = f'[["n", "{number}", "${number}"]]'.encode()
        store._db.execute(
            "INSERT INTO state_groups (group_nid, base_group, hops, delta) VALUES (?, ?, ?, ?)",
            (number + 1, number, number + 1, delta),
        )
        group = number + 1
    for number in range(10, 40):
        group = store.state_groups.derive(group, {("n", str(number)): f"${number}"})
    assert reread(store, group) == {("n", str(n)): f"${n}" for n in range(40)}
    assert steps_to_read(store, group) <= 12


def test_origins_of_new_groups_are_known() -> None:
    store = Store(None)
    first = store.state_groups.derive(EMPTY_GROUP, {("a", ""): "$1"})
    second = store.state_groups.derive(first, {("a", ""): "$1", ("b", ""): "$2"})
    assert store.state_groups.origin(second) == (first, {("b", ""): "$2"})
    store.state_groups.forget()
    assert store.state_groups.origin(second) is None


def test_a_delta_that_changes_nothing_costs_nothing() -> None:
    store = Store(None)
    group = store.state_groups.derive(EMPTY_GROUP, {("a", ""): "$1"})
    assert store.state_groups.derive(group, {("a", ""): "$1", ("b", ""): None}) == group
    assert store.state_groups.derive(group, {}) == group
    assert store.state_groups.group_of({("a", ""): "$1"}, [group]) == group


def test_rolled_back_groups_are_forgotten() -> None:
    store = Store(None)
    with store.transaction():
        kept = store.state_groups.derive(EMPTY_GROUP, {("a", ""): "$1"})
    lost = EMPTY_GROUP
    try:
        with store.transaction():
            lost = store.state_groups.derive(kept, {("a", ""): "$2"})
            assert store.state_groups.state(lost) == {("a", ""): "$2"}
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    again = store.state_groups.derive(kept, {("a", ""): "$3"})
    assert again == lost  # the number is given again, and stands for what it stands for now
    assert store.state_groups.state(again) == {("a", ""): "$3"}
    assert store.state_groups.state(kept) == {("a", ""): "$1"}
