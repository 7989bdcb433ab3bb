"""Room states as delta chains (state groups). Group 0 is the empty state.

A group is immutable. Events that don't change the state share their parent's group, so a message
costs no state at all.

A chain is built like a skip list: the group at step n stands on the group at step n minus the
lowest bit of n (a Fenwick tree), so that reading one follows at most log2(n) deltas however old the
room is, and a change of state costs about log2(members) entries on disk; no group repeats the whole
state but the few at high powers of two.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from dtnode.errors import StoreError
from dtnode.matrix.pdu import StateKey
from dtnode.store.database import Database
from dtnode.store.lru import Lru, WeighedLru

EMPTY_GROUP = 0
_CACHED_ENTRIES = 50_000  # of all full maps together, about 10 MB: 50 states of 1,000 members
_CACHED_ORIGINS = 256  # what groups were derived from: a batch's worth

State = Mapping[StateKey, str]
Delta = Mapping[StateKey, str | None]
"""Changes against a base; None removes the key."""


class _Row(NamedTuple):
    """hops: 1 + its step; the group at step 0 stands on the empty state."""

    base: int
    hops: int
    delta: Delta


class StateGroups:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: WeighedLru[int, dict[StateKey, str]] = WeighedLru(_CACHED_ENTRIES, _weight)
        self._origins: Lru[int, tuple[int, Delta]] = Lru(_CACHED_ORIGINS)
        self._hops: Lru[int, int] = Lru(_CACHED_ORIGINS)
        self._next: int | None = None
        db.on_rollback(self.forget)

    def forget(self) -> None:
        """What was remembered may be untrue: after a rollback or a compaction."""
        self._cache.clear()
        self._origins.clear()
        self._hops.clear()
        self._next = None

    def state(self, group: int) -> dict[StateKey, str]:
        """(type, state_key) -> event id. Shared: never change it."""
        chain: list[Delta] = []
        base = group
        state: dict[StateKey, str] = {}
        while base != EMPTY_GROUP:
            cached = self._cache.get(base)
            if cached is not None:
                state = cached
                break
            base, _, delta = self._read(base)
            chain.append(delta)
        if not chain:
            return state
        state = dict(state)
        for delta in reversed(chain):
            _apply(state, delta)
        self._cache.put(group, state)
        return state

    def origin(self, group: int) -> tuple[int, Delta] | None:
        """(the group that `group` was derived from, what that changed), if it was made lately: for
        caches of what follows from a state."""
        return self._origins.get(group)

    def _read(self, group: int) -> _Row:
        row = self._db.execute(
            "SELECT base_group, hops, delta FROM state_groups WHERE group_nid = ?", (group,)
        ).fetchone()
        if row is None or not 0 <= row[0] < group:  # a ring would be followed for ever
            what = "is missing" if row is None else "stands on none before it"
            raise StoreError(
                f"state group {group} {what}: the store is damaged. Stop the node and run: dtnode"
                " check"
            )
        intern = sys.intern  # the states in memory have most of their keys and ids in common
        delta = {
            (intern(type_), intern(key)): None if event_id is None else intern(event_id)
            for type_, key, event_id in orjson.loads(row[2])
        }
        return _Row(row[0], row[1], delta)

    def derive(self, base: int, delta: Delta) -> int:
        """The group of `base` with `delta` applied; `base` itself if that changes nothing."""
        before = self.state(base)
        delta = {key: value for key, value in delta.items() if before.get(key) != value}
        if not delta:
            return base
        state = dict(before)
        _apply(state, delta)
        hops = self._hops_of(base) + 1
        group = self._add(*self._skip(base, hops, delta), state)
        self._origins.put(group, (base, delta))
        return group

    def _skip(self, base: int, hops: int, delta: Delta) -> tuple[int, int, Delta]:
        """(base, hops, delta) of a new group on `base`: against the group that its step stands on,
        which is on the way from `base` down."""
        step = hops - 1
        target = 1 + (step & (step - 1))
        passed = [delta]
        while base != EMPTY_GROUP and self._hops_of(base) > target:
            base, _, older = self._read(base)
            passed.append(older)
        whole: dict[StateKey, str | None] = {}
        for part in reversed(passed):
            whole.update(part)
        return base, hops, whole

    def group_of(self, state: State, near: Sequence[int]) -> int:
        """A group that holds exactly `state`: one of `near` if equal, else the smallest delta."""
        best_base, best_delta = EMPTY_GROUP, _delta({}, state)
        for group in near:
            delta = _delta(self.state(group), state)
            if not delta:
                return group
            if len(delta) < len(best_delta):
                best_base, best_delta = group, delta
        return self.derive(best_base, best_delta)

    def _add(self, base: int, hops: int, delta: Delta, state: dict[StateKey, str]) -> int:
        if self._next is None:
            row = self._db.execute("SELECT coalesce(max(group_nid), 0) FROM state_groups")
            self._next = int(row.fetchone()[0]) + 1
        group = self._next
        self._next = group + 1
        data = orjson.dumps([[type_, key, value] for (type_, key), value in delta.items()])
        self._db.execute(
            "INSERT INTO state_groups (group_nid, base_group, hops, delta) VALUES (?, ?, ?, ?)",
            (group, base, hops, data),
        )
        self._cache.put(group, state)
        self._hops.put(group, hops)
        return group

    def _hops_of(self, group: int) -> int:
        if group == EMPTY_GROUP:
            return 0
        hops = self._hops.get(group)
        if hops is None:
            row = self._db.execute(
                "SELECT hops FROM state_groups WHERE group_nid = ?", (group,)
            ).fetchone()
            hops = int(row[0])
            self._hops.put(group, hops)
        return hops


def _weight(state: State) -> int:
    return 1 + len(state)


def _apply(state: dict[StateKey, str], delta: Delta) -> None:
    for key, value in delta.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value


def _delta(before: State, after: State) -> dict[StateKey, str | None]:
    delta: dict[StateKey, str | None] = {
        key: value for key, value in after.items() if before.get(key) != value
    }
    delta.update((key, None) for key in before if key not in after)
    return delta
