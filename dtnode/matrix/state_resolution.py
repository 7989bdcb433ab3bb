"""State resolution v2 (room versions 2 to 11) and v2.1 (version 12).

Pure functions over state maps and an EventSource; what state an event has before it, and where
states are kept, is the caller's business (dtnode.rooms). Where the specification leaves room, this
follows the deployed servers, so that resolutions agree: power events grow only along auth chains
inside the full conflicted set, and a state's auth chain includes its own events.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias

from dtnode.errors import AuthRuleError
from dtnode.matrix.auth_chains import (
    AuthChains,
    EventSource,
    PlainChains,
    auth_difference,
    conflicted_state_subgraph,
)
from dtnode.matrix.canonical_json import encode_canonical_json
from dtnode.matrix.event_auth import check_state_dependent_auth_rules
from dtnode.matrix.membership_rules import AuthState
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.power_levels import written_user_level
from dtnode.matrix.room_versions import RoomVersion, StateResolutionVersion

StateMap: TypeAlias = Mapping[StateKey, str]
"""(type, state_key) -> event id"""

_CREATE: StateKey = ("m.room.create", "")
_POWER_LEVELS: StateKey = ("m.room.power_levels", "")
_POWER_TYPES = frozenset({"m.room.create", "m.room.power_levels", "m.room.join_rules"})


_NOT_ON_MAINLINE = -1  # older than all that is on it


def state_hash(state: StateMap) -> str:
    """Hex SHA-256 of the canonical JSON of the sorted list of [type, state_key, event_id]."""
    entries = sorted([*key, event_id] for key, event_id in state.items())
    return sha256(encode_canonical_json(entries)).hexdigest()


@dataclass(slots=True, kw_only=True)
class ResolutionTrace:
    """How one resolution went, for whoever has to explain it.

    base: the state that the iterative auth checks started from. checked: (event id, None or why it
    wasn't allowed) in the order of the checks. sender_power: of the power events, by their own auth
    events. mainline: of the others, the order of the power levels on the mainline that they rest
    on, None: on none of them. All empty where there was no conflict.
    """

    base: dict[StateKey, str] = field(default_factory=dict)
    checked: list[tuple[str, str | None]] = field(default_factory=list)
    sender_power: dict[str, int] = field(default_factory=dict)
    mainline: dict[str, int | None] = field(default_factory=dict)

    def note(self, event_id: str, reason: str | None) -> None:
        self.checked.append((event_id, reason))


def resolve(
    version: RoomVersion,
    state_sets: Sequence[StateMap],
    events: EventSource,
    trace: ResolutionTrace | None = None,
    chains: AuthChains | None = None,
) -> dict[StateKey, str]:
    """The resolution of the states after an event's parents ("State resolution", "Algorithm").

    All events in the state sets, and their auth chains, are accepted and in `events` (KeyError).
    trace: is filled in. chains: an index of their auth chains, without which those are walked.
    """
    unconflicted, conflicted = _separate(state_sets)
    if not conflicted:
        return unconflicted
    if chains is None:
        chains = PlainChains(events)
    full_conflicted = auth_difference(state_sets, unconflicted, conflicted, events, chains)
    base: dict[StateKey, str] = dict(unconflicted)
    if version.state_resolution is StateResolutionVersion.V2_1:
        subgraph = conflicted_state_subgraph(conflicted, full_conflicted, events, chains)
        full_conflicted |= dict.fromkeys(subgraph)
        # "The iterative auth checks algorithm [...] now starts with an empty state map."
        base = {}
    resolution = _Resolution(events, full_conflicted, chains)
    power_events = resolution.power_events()
    ordered = resolution.reverse_topological_power_order(power_events)
    note = None if trace is None else trace.note
    if trace is not None:
        trace.base = dict(base)
    resolution.iterative_auth_checks(ordered, base, note)
    others = [event_id for event_id in full_conflicted if event_id not in power_events]
    remaining = resolution.mainline_order(others, base.get(_POWER_LEVELS))
    if trace is not None:
        trace.sender_power = {event_id: resolution.sender_power(event_id) for event_id in ordered}
        trace.mainline = {event_id: resolution.mainline_of(event_id) for event_id in remaining}
    resolution.iterative_auth_checks(remaining, base, note)
    base.update(unconflicted)
    return base


def _separate(state_sets: Sequence[StateMap]) -> tuple[dict[StateKey, str], set[str]]:
    """The unconflicted state map and the ids of the conflicted state set."""
    if not state_sets:
        return {}, set()
    first, *others = state_sets
    conflicted_keys: set[StateKey] = set()
    for other in others:
        conflicted_keys.update(key for key, _ in first.items() ^ other.items())
    unconflicted = dict(first)
    conflicted: set[str] = set()
    for key in conflicted_keys:
        unconflicted.pop(key, None)
        conflicted.update(state[key] for state in state_sets if key in state)
    return unconflicted, conflicted


class _Resolution:
    """One run over one full conflicted set; remembers what it looked up."""

    __slots__ = ("_chains", "_events", "_full_conflicted", "_positions")

    def __init__(
        self, events: EventSource, full_conflicted: Collection[str], chains: AuthChains
    ) -> None:
        self._events = events
        self._full_conflicted = full_conflicted
        self._chains = chains
        self._positions: dict[str, int] = {}

    def _auth_event(self, pdu: Pdu, event_type: str, state_key: str) -> Pdu | None:
        """Its auth event of that key, the last if it has several."""
        # Neither these nor dictionaries of them are kept: each event is checked once, and thousands
        # of them push the rest out of the processor's cache.
        for auth_id in reversed(pdu.auth_event_ids):
            auth = self._events.event(auth_id)
            if auth.type == event_type and auth.state_key == state_key:
                return auth
        return None

    def power_events(self) -> dict[str, None]:
        """Step 1, an ordered set: the power events, with their auth chains as far as those are
        conflicted."""
        queue = [
            event_id
            for event_id in self._full_conflicted
            if _is_power_event(self._events.event(event_id))
        ]
        found = dict.fromkeys(queue)
        while queue:
            for auth_id in self._events.event(queue.pop()).auth_event_ids:
                if auth_id in self._full_conflicted and auth_id not in found:
                    found[auth_id] = None
                    queue.append(auth_id)
        return found

    def reverse_topological_power_order(self, event_ids: Collection[str]) -> list[str]:
        """Kahn's algorithm over auth events, ties by (-power, origin_server_ts, event_id)."""
        waiting: dict[str, int] = {}
        dependants: dict[str, list[str]] = {}
        ready: list[tuple[int, int, str]] = []
        for event_id in event_ids:
            pdu = self._events.event(event_id)
            needed = {auth_id for auth_id in pdu.auth_event_ids if auth_id in event_ids}
            for auth_id in needed:
                dependants.setdefault(auth_id, []).append(event_id)
            if needed:
                waiting[event_id] = len(needed)
            else:
                ready.append(self._power_order(pdu))
        heapq.heapify(ready)
        ordered: list[str] = []
        while ready:
            event_id = heapq.heappop(ready)[2]
            ordered.append(event_id)
            for dependant in dependants.get(event_id, ()):
                waiting[dependant] -= 1
                if waiting[dependant] == 0:
                    heapq.heappush(ready, self._power_order(self._events.event(dependant)))
        assert len(ordered) == len(event_ids), "auth events form a cycle"
        return ordered

    def _power_order(self, pdu: Pdu) -> tuple[int, int, str]:
        return -self._sender_power(pdu), pdu.origin_server_ts, pdu.event_id

    def sender_power(self, event_id: str) -> int:
        return self._sender_power(self._events.event(event_id))

    def _sender_power(self, pdu: Pdu) -> int:
        """The sender's power "when looking at their respective auth_events"."""
        create = self._auth_event(pdu, *_CREATE)
        levels = self._auth_event(pdu, *_POWER_LEVELS)
        try:
            if create is None:  # a create event has none among its own, whoever sent it
                return levels.power_levels.user_level(pdu.sender) if levels else 0
            state = AuthState(
                create=create,
                power_levels=levels.power_levels if levels else None,
                lookup=lambda _type, _state_key: None,
            )
            return state.user_power(pdu.sender)
        except AuthRuleError:
            # Below version 10 a level in force can be unreadable, and a second create event can
            # list levels that were rejected.
            return written_user_level(levels.content, pdu.sender) if levels else 0

    def iterative_auth_checks(
        self,
        event_ids: Iterable[str],
        state: dict[StateKey, str],
        note: Callable[[str, str | None], None] | None = None,
    ) -> None:
        """Applies to `state` each event that it, or else the event's auth events, authorises.

        note: called with each event and why it isn't authorised, None if it is.
        """
        event = self._events.event
        for event_id in event_ids:
            if self._events.rejected(event_id):
                continue
            pdu = event(event_id)

            def look_up(event_type: str, state_key: str, pdu: Pdu = pdu) -> Pdu | None:
                resolved = state.get((event_type, state_key))
                if resolved is None:
                    return self._auth_event(pdu, event_type, state_key)
                return event(resolved)

            try:
                check_state_dependent_auth_rules(pdu, look_up)
            except AuthRuleError as error:
                if note is not None:
                    note(event_id, error.reason)
                continue
            if note is not None:
                note(event_id, None)
            state[pdu.key] = event_id

    def mainline_order(self, event_ids: Iterable[str], power_levels: str | None) -> list[str]:
        """Step 3: by position on the mainline of `power_levels`, origin_server_ts and event_id."""
        if power_levels is None:  # common in v2.1; no chain leads to a mainline that isn't there
            return sorted(event_ids, key=self._time_order)
        rests_on = {
            event_id: _power_levels_of(self._events.event(event_id), self._events)
            for event_id in event_ids
        }
        mainline = _Mainline(power_levels, self._events, self._chains)
        mainline.look_ahead(filter(None, rests_on.values()))
        self._positions = {
            event_id: mainline.position(levels) for event_id, levels in rests_on.items()
        }
        return sorted(rests_on, key=self._mainline_order)

    def mainline_of(self, event_id: str) -> int | None:
        """After `mainline_order`: by which position it was sorted; None: not on the mainline."""
        position = self._positions.get(event_id, _NOT_ON_MAINLINE)
        return None if position == _NOT_ON_MAINLINE else position

    def _time_order(self, event_id: str) -> tuple[int, str]:
        return self._events.event(event_id).origin_server_ts, event_id

    def _mainline_order(self, event_id: str) -> tuple[int, int, str]:
        timestamp = self._events.event(event_id).origin_server_ts
        return self._positions[event_id], timestamp, event_id


class _Mainline:
    """The mainline of some power levels: they, those that they rest on, and so on. A position on it
    is the order of the power levels that stand there. A room's can be long; of each chain of the
    index it has all up to some event, so it is told from one event a chain."""

    def __init__(self, power_levels: str, events: EventSource, chains: AuthChains) -> None:
        self._events = events
        self._chains = chains
        self._positions = {power_levels: events.order(power_levels)}
        self._highest: dict[int, int] = {}  # chain -> order of the last that is on the mainline
        self._lowest = events.order(power_levels)
        self._next = _power_levels_of(events.event(power_levels), events)
        self._known: dict[str, int] = {}

    def look_ahead(self, event_ids: Iterable[str]) -> None:
        """These power levels will be asked for."""
        self._known.update(self._chains.chains_of(set(event_ids)))

    def position(self, power_levels: str | None) -> int:
        """Of the nearest power levels on the mainline, these included."""
        passed: list[str] = []
        while power_levels is not None and power_levels not in self._positions:
            passed.append(power_levels)
            if self._has(power_levels):
                self._positions[power_levels] = self._events.order(power_levels)
            else:
                power_levels = _power_levels_of(self._events.event(power_levels), self._events)
        position = _NOT_ON_MAINLINE if power_levels is None else self._positions[power_levels]
        self._positions.update(dict.fromkeys(passed, position))
        return position

    def _has(self, power_levels: str) -> bool:
        order = self._events.order(power_levels)
        while self._next is not None and order < self._lowest:
            self._follow(self._next)
        return order <= self._highest.get(self._chain_of(power_levels), -1)

    def _follow(self, power_levels: str) -> None:
        chain = self._chain_of(power_levels)
        first = self._chains.first(chain)
        self._highest[chain] = self._events.order(power_levels)
        self._lowest = self._events.order(first)
        self._next = _power_levels_of(self._events.event(first), self._events)

    def _chain_of(self, power_levels: str) -> int:
        """All that are asked for here are auth events of some state event."""
        chain = self._known.get(power_levels)
        if chain is None:
            chain = self._chains.chains_of((power_levels,))[power_levels]
            self._known[power_levels] = chain
        return chain


def _power_levels_of(pdu: Pdu, events: EventSource) -> str | None:
    """The power levels among its auth events."""
    for auth_id in pdu.auth_event_ids:
        auth = events.event(auth_id)
        if auth.type == "m.room.power_levels" and auth.state_key == "":
            return auth_id
    return None


def _is_power_event(pdu: Pdu) -> bool:
    """Power levels, join rules, kicks and bans; the create event goes with them."""
    if pdu.type in _POWER_TYPES and pdu.state_key == "":
        return True
    return pdu.membership in ("leave", "ban") and pdu.sender != pdu.state_key
