"""State resolution v2 (room versions 2 to 11) and v2.1 (version 12).

Pure functions over state maps and an EventSource; what state an event has before it, and where
states are kept, is the caller's business (dtnode.rooms). Where the specification leaves room, this
follows the deployed servers, so that resolutions agree: power events grow only along auth chains
inside the full conflicted set, and a state's auth chain includes its own events.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol, TypeAlias

from dtnode.errors import AuthRuleError
from dtnode.matrix.canonical_json import encode_canonical_json
from dtnode.matrix.event_auth import check_state_dependent_auth_rules
from dtnode.matrix.membership_rules import AuthState
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.room_versions import RoomVersion, StateResolutionVersion

StateMap: TypeAlias = Mapping[StateKey, str]
"""(type, state_key) -> event id"""

_CREATE: StateKey = ("m.room.create", "")
_POWER_LEVELS: StateKey = ("m.room.power_levels", "")
_POWER_KEYS = frozenset({_CREATE, _POWER_LEVELS, ("m.room.join_rules", "")})


_NOT_ON_MAINLINE = 2**63  # "a sentinel value greater than any integer"


class EventSource(Protocol):
    """The events of one room that states name, and their auth chains, by id."""

    def event(self, event_id: str, /) -> Pdu:
        """KeyError: not here."""
        ...

    def order(self, event_id: str, /) -> int:
        """A topological number: its parents and auth events have smaller ones."""
        ...

    def rejected(self, event_id: str, /) -> bool:
        """Whether it was rejected. Only the auth events of a second create event can be, which no
        rule looks at (before version 12)."""
        ...


def state_hash(state: StateMap) -> str:
    """Hex SHA-256 of the canonical JSON of the sorted list of [type, state_key, event_id]."""
    entries = sorted([*key, event_id] for key, event_id in state.items())
    return sha256(encode_canonical_json(entries)).hexdigest()


@dataclass(slots=True, kw_only=True)
class ResolutionTrace:
    """How one resolution went, for whoever has to explain it.

    base: the state that the iterative auth checks started from. checked: (event id, None or why it
    wasn't allowed) in the order of the checks. sender_power: of the power events, by their own auth
    events. mainline: of the others, the position of the power levels they rest on, 0 the newest,
    None: not on the mainline. All empty where there was no conflict.
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
) -> dict[StateKey, str]:
    """The resolution of the states after an event's parents ("State resolution", "Algorithm").

    All events in the state sets, and their auth chains, are accepted and in `events` (KeyError).
    trace: is filled in.
    """
    unconflicted, conflicted = _separate(state_sets)
    if not conflicted:
        return unconflicted
    difference = _auth_difference(state_sets, unconflicted, conflicted, events, exact=False)
    # What is no state event only gets here through the auth events of a second create event.
    full_conflicted = conflicted | {
        event_id for event_id in difference if events.event(event_id).is_state
    }
    base: dict[StateKey, str] = dict(unconflicted)
    if version.state_resolution is StateResolutionVersion.V2_1:
        full_conflicted |= conflicted_state_subgraph(conflicted, events)
        # "The iterative auth checks algorithm [...] now starts with an empty state map."
        base = {}
    resolution = _Resolution(events, full_conflicted)
    power_events = resolution.power_events()
    ordered = resolution.reverse_topological_power_order(power_events)
    note = None if trace is None else trace.note
    if trace is not None:
        trace.base = dict(base)
    resolution.iterative_auth_checks(ordered, base, note)
    remaining = resolution.mainline_order(full_conflicted - power_events, base.get(_POWER_LEVELS))
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


def auth_chain_difference(state_sets: Sequence[StateMap], events: EventSource) -> set[str]:
    """The events in the auth chain of some state sets but not of all ("Auth difference"), a state's
    own events counting as part of its chain."""
    unconflicted, conflicted = _separate(state_sets)
    return _auth_difference(state_sets, unconflicted, conflicted, events, exact=True)


def _auth_difference(
    state_sets: Sequence[StateMap],
    unconflicted: StateMap,
    conflicted: set[str],
    events: EventSource,
    *,
    exact: bool,
) -> set[str]:
    """exact: False where the caller adds the conflicted events anyway, so that those among them
    that every chain has may be left in."""
    in_all = (1 << len(state_sets)) - 1
    shared = set(unconflicted.values())
    masks = _masks_of(conflicted, state_sets)
    seeds = {event_id: mask for event_id, mask in masks.items() if event_id not in shared}
    candidates = _walk_down(seeds, dict.fromkeys(shared, in_all), in_all, events)
    # Events below shared state are in every chain. Mostly there is nothing left to exclude and the
    # shared state, which may be large, needn't be ordered.
    doubtful = candidates if exact else candidates - conflicted
    if not doubtful:
        return candidates
    lowest = min(events.order(event_id) for event_id in doubtful)
    for event_id in shared:
        if events.order(event_id) > lowest:
            seeds[event_id] = in_all
    return _walk_down(seeds, dict.fromkeys(shared, in_all), in_all, events)


def _masks_of(conflicted: set[str], state_sets: Sequence[StateMap]) -> dict[str, int]:
    """For every conflicted event a bit for each state set it is in."""
    masks = dict.fromkeys(conflicted, 0)
    for bit, state in enumerate(state_sets):
        for event_id in conflicted.intersection(state.values()):
            masks[event_id] |= 1 << bit
    return masks


def _walk_down(
    seeds: Mapping[str, int], known: Mapping[str, int], in_all: int, events: EventSource
) -> set[str]:
    """Walks auth events by decreasing order from `seeds`, an event's mask being final when it is
    reached; gives those whose mask isn't `in_all`. Stops when nothing but full masks is queued.

    known: masks of events that need no walk if a walk comes upon them.
    """
    masks = dict(seeds)
    queue = [(-events.order(event_id), event_id) for event_id in seeds]
    heapq.heapify(queue)
    partial = sum(1 for mask in seeds.values() if mask != in_all)
    difference: set[str] = set()
    while partial:
        _, event_id = heapq.heappop(queue)
        mask = masks[event_id]
        if mask != in_all:
            difference.add(event_id)
            partial -= 1
        for auth_id in events.event(event_id).auth_event_ids:
            before = masks.get(auth_id)
            if before is None:
                if auth_id in known:
                    continue
                masks[auth_id] = mask
                heapq.heappush(queue, (-events.order(auth_id), auth_id))
                partial += mask != in_all
            elif before != in_all:
                masks[auth_id] = before | mask
                partial -= before | mask == in_all
    return difference


def conflicted_state_subgraph(conflicted: set[str], events: EventSource) -> set[str]:
    """All events on auth paths between two conflicted events, endpoints included (version 12)."""
    if not conflicted:
        return set()
    lowest = min(events.order(event_id) for event_id in conflicted)
    chain: dict[str, tuple[str, ...]] = {}
    queue = list(conflicted)
    while queue:
        event_id = queue.pop()
        if event_id in chain:
            continue
        above = tuple(
            auth_id
            for auth_id in events.event(event_id).auth_event_ids
            if events.order(auth_id) >= lowest
        )
        chain[event_id] = above
        queue += above
    subgraph = set(conflicted)
    for event_id in sorted(chain, key=events.order):
        if not subgraph.isdisjoint(chain[event_id]):
            subgraph.add(event_id)
    return subgraph


class _Resolution:
    """One run over one full conflicted set; remembers what it looked up."""

    __slots__ = (
        "_events",
        "_full_conflicted",
        "_mainline_end",
        "_mainline_length",
        "_mainline_positions",
    )

    def __init__(self, events: EventSource, full_conflicted: set[str]) -> None:
        self._events = events
        self._full_conflicted = full_conflicted
        self._mainline_positions: dict[str, int] = {}
        self._mainline_length = 0
        self._mainline_end: Pdu | None = None

    def _auth_events(self, pdu: Pdu) -> dict[StateKey, Pdu]:
        # Not remembered: each event is checked once, and thousands of these push the rest out of
        # the processor's cache.
        event = self._events.event
        return {auth.key: auth for auth in map(event, pdu.auth_event_ids) if auth.is_state}

    def _power_levels_of(self, pdu: Pdu) -> Pdu | None:
        """The power levels among its auth events."""
        for auth_id in pdu.auth_event_ids:
            auth = self._events.event(auth_id)
            if auth.type == "m.room.power_levels" and auth.state_key == "":
                return auth
        return None

    def power_events(self) -> set[str]:
        """Step 1: the power events, with their auth chains as far as those are conflicted."""
        queue = [
            event_id
            for event_id in self._full_conflicted
            if _is_power_event(self._events.event(event_id))
        ]
        found = set(queue)
        while queue:
            for auth_id in self._events.event(queue.pop()).auth_event_ids:
                if auth_id in self._full_conflicted and auth_id not in found:
                    found.add(auth_id)
                    queue.append(auth_id)
        return found

    def reverse_topological_power_order(self, event_ids: set[str]) -> list[str]:
        """Kahn's algorithm over auth events, ties by (-power, origin_server_ts, event_id)."""
        waiting: dict[str, int] = {}
        dependants: dict[str, list[str]] = {}
        ready: list[tuple[int, int, str]] = []
        for event_id in event_ids:
            pdu = self._events.event(event_id)
            needed = event_ids.intersection(pdu.auth_event_ids)
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
        auth = self._auth_events(pdu)
        create, levels = auth.get(_CREATE), auth.get(_POWER_LEVELS)
        try:
            if create is None:  # a create event has none among its own, whoever sent it
                return levels.power_levels.user_level(pdu.sender) if levels else 0
            state = AuthState(
                create=create,
                power_levels=levels.power_levels if levels else None,
                lookup=lambda _type, _state_key: None,
            )
            return state.user_power(pdu.sender)
        except AuthRuleError:  # below version 10 a level in force can be unreadable
            return 0

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
            auth = self._auth_events(pdu)

            def look_up(
                event_type: str, state_key: str, auth: Mapping[StateKey, Pdu] = auth
            ) -> Pdu | None:
                resolved = state.get((event_type, state_key))
                return auth.get((event_type, state_key)) if resolved is None else event(resolved)

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
        self._mainline_end = self._events.event(power_levels)
        self._mainline_positions = {power_levels: 0}
        self._mainline_length = 0
        return sorted(event_ids, key=self._mainline_order_key)

    def mainline_of(self, event_id: str) -> int | None:
        """After `mainline_order`: by which position it was sorted; None: not on the mainline."""
        if not self._mainline_positions:
            return None
        position = self._mainline_position(self._events.event(event_id))
        return None if position == _NOT_ON_MAINLINE else position

    def _time_order(self, event_id: str) -> tuple[int, str]:
        return self._events.event(event_id).origin_server_ts, event_id

    def _mainline_order_key(self, event_id: str) -> tuple[int, int, str]:
        pdu = self._events.event(event_id)
        return -self._mainline_position(pdu), pdu.origin_server_ts, event_id

    def _mainline_position(self, pdu: Pdu) -> int:
        """Of the nearest power levels on the mainline, the newest being 0; every power levels event
        on the way there remembers it."""
        positions = self._mainline_positions
        passed: list[str] = []
        current: Pdu | None = pdu
        position = _NOT_ON_MAINLINE
        while current is not None:
            self._follow_mainline(self._events.order(current.event_id))
            if current.event_id in positions:
                position = positions[current.event_id]
                break
            passed.append(current.event_id)
            current = self._power_levels_of(current)
        positions.update(dict.fromkeys(passed, position))
        return position

    def _follow_mainline(self, order: int) -> None:
        """As far back as `order`: a room's mainline can be long, and mostly its newest end does."""
        while (
            self._mainline_end is not None
            and self._events.order(self._mainline_end.event_id) > order
        ):
            self._mainline_end = self._power_levels_of(self._mainline_end)
            if self._mainline_end is not None:
                self._mainline_length += 1
                self._mainline_positions[self._mainline_end.event_id] = self._mainline_length


def _is_power_event(pdu: Pdu) -> bool:
    """Power levels, join rules, kicks and bans; the create event goes with them."""
    if pdu.key in _POWER_KEYS:
        return True
    return pdu.membership in ("leave", "ban") and pdu.sender != pdu.state_key
