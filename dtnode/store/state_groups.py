"""Room states as delta chains (state groups). Group 0 is the empty state.

A group is immutable. Events that don't change the state share their parent's group, so a message
costs no state at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from dtnode.errors import StoreError
from dtnode.matrix.pdu import StateKey
from dtnode.store.database import Database
from dtnode.store.lru import Lru

EMPTY_GROUP = 0
_CACHED_GROUPS = 64  # full maps; a map of 1000 members is about 100 KiB, most entries shared
_MAX_HOPS = 64  # reading a group follows at most this many deltas

State = Mapping[StateKey, str]
Delta = Mapping[StateKey, str | None]
"""Changes against a base; None removes the key."""


class StateGroups:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: Lru[int, dict[StateKey, str]] = Lru(_CACHED_GROUPS)
        self._hops: Lru[int, int] = Lru(4 * _CACHED_GROUPS)
        self._next: int | None = None
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._cache.clear()
        self._hops.clear()
        self._next = None

    def state(self, group: int) -> dict[StateKey, str]:
        """(type, state_key) -> event id. Shared: never change it."""
        chain: list[Delta] = []
        base = group
        while base != EMPTY_GROUP:
            cached = self._cache.get(base)
            if cached is not None:
                break
            base, delta = self._read(base)
            chain.append(delta)
        state = self._cache.get(base) or {} if base != EMPTY_GROUP else {}
        if not chain:
            return state
        state = dict(state)
        for delta in reversed(chain):
            _apply(state, delta)
        self._cache.put(group, state)
        return state

    def _read(self, group: int) -> tuple[int, Delta]:
        row = self._db.execute(
            "SELECT base_group, delta FROM state_groups WHERE group_nid = ?", (group,)
        ).fetchone()
        if row is None:
            raise StoreError(f"state group {group} is missing: the store is damaged")
        return row[0], {(type_, key): event_id for type_, key, event_id in orjson.loads(row[1])}

    def derive(self, base: int, delta: Delta) -> int:
        """The group of `base` with `delta` applied; `base` itself if that changes nothing."""
        before = self.state(base)
        delta = {key: value for key, value in delta.items() if before.get(key) != value}
        if not delta:
            return base
        state = dict(before)
        _apply(state, delta)
        hops = self._hops_of(base) + 1
        if hops > _MAX_HOPS:
            base, delta, hops = EMPTY_GROUP, state, 1
        return self._add(base, hops, delta, state)

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
