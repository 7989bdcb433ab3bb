"""State resolution word by word from the specification ("State resolution" of versions 2 and 12).

Slow and plain, as a reference for the events that made_conflicts.py makes (versions 10 and later):
it shares no code with dtnode.matrix.state_resolution, only the authorisation rules. Whole auth
chains are walked, nothing is remembered between look-ups, the mainline is searched for every event.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from dtnode.errors import AuthRuleError
from dtnode.matrix.event_auth import check_state_dependent_auth_rules
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.room_versions import StateResolutionVersion

Events = Mapping[str, Pdu]
State = Mapping[StateKey, str]

_POWER_LEVELS: StateKey = ("m.room.power_levels", "")
_INFINITE = 2**53


def resolve(states: Sequence[State], events: Events) -> dict[StateKey, str]:
    """The resolved state; `events` holds the whole auth chains of all states."""
    keys = {key for state in states for key in state}
    unconflicted = {
        key: states[0][key]
        for key in keys
        if all(key in state for state in states) and len({state[key] for state in states}) == 1
    }
    conflicted = {
        state[key] for state in states for key in keys if key in state and key not in unconflicted
    }
    if not conflicted:
        return unconflicted
    chains = [_full_chain(state.values(), events) for state in states]
    full = conflicted | {e for e in set().union(*chains) if any(e not in chain for chain in chains)}
    version = events[next(iter(conflicted))].version
    start = dict(unconflicted)
    if version.state_resolution is StateResolutionVersion.V2_1:
        full |= _subgraph(conflicted, events)
        start = {}
    power = {event_id for event_id in full if _is_power_event(events[event_id])}
    for event_id in list(power):
        power |= _chain_inside(event_id, full, events)
    partial = _auth_checks(_power_ordering(power, events), start, events)
    rest = _mainline_ordering(full - power, partial.get(_POWER_LEVELS), events)
    resolved = _auth_checks(rest, partial, events)
    return {**resolved, **unconflicted}


def _full_chain(event_ids: Iterable[str], events: Events) -> set[str]:
    """The events and all they are authorised by, directly or not."""
    found: set[str] = set()
    todo = list(event_ids)
    while todo:
        event_id = todo.pop()
        if event_id not in found:
            found.add(event_id)
            todo += events[event_id].auth_event_ids
    return found


def _chain_inside(event_id: str, inside: set[str], events: Events) -> set[str]:
    found: set[str] = set()
    todo = [event_id]
    while todo:
        for auth_id in events[todo.pop()].auth_event_ids:
            if auth_id in inside and auth_id not in found:
                found.add(auth_id)
                todo.append(auth_id)
    return found


def _subgraph(conflicted: set[str], events: Events) -> set[str]:
    """Events that are both at or above and at or below a conflicted one, by auth events."""
    above = _full_chain(conflicted, events)
    below = set(conflicted)
    grown = True
    while grown:
        more = {e for e in above - below if not below.isdisjoint(events[e].auth_event_ids)}
        below |= more
        grown = bool(more)
    return below


def _is_power_event(pdu: Pdu) -> bool:
    if pdu.key in (("m.room.create", ""), _POWER_LEVELS, ("m.room.join_rules", "")):
        return True
    return (
        pdu.type == "m.room.member"
        and pdu.content.get("membership") in ("leave", "ban")
        and pdu.sender != pdu.state_key
    )


def _auth(pdu: Pdu, events: Events) -> dict[StateKey, Pdu]:
    return {events[event_id].key: events[event_id] for event_id in pdu.auth_event_ids}


def _power_of_sender(pdu: Pdu, events: Events) -> int:
    auth = _auth(pdu, events)
    create = auth.get(("m.room.create", ""), pdu)
    if create.type != "m.room.create":
        return 0
    creators = {create.sender, *create.content.get("additional_creators", ())}
    if pdu.version.privileged_creators and pdu.sender in creators:
        return _INFINITE
    levels = auth.get(_POWER_LEVELS)
    if levels is None:
        is_creator = not pdu.version.privileged_creators and pdu.sender == create.sender
        return 100 if is_creator else 0
    users: dict[str, int] = levels.content.get("users", {})
    default: int = levels.content.get("users_default", 0)
    return users.get(pdu.sender, default)


def _power_ordering(power: set[str], events: Events) -> list[str]:
    """Reverse topological power ordering."""
    blocked = {e: power.intersection(events[e].auth_event_ids) for e in power}

    def rank(event_id: str) -> tuple[int, int, str]:
        pdu = events[event_id]
        return -_power_of_sender(pdu, events), pdu.origin_server_ts, event_id

    ready = [rank(event_id) for event_id, behind in blocked.items() if not behind]
    heapq.heapify(ready)
    ordered: list[str] = []
    while ready:
        first = heapq.heappop(ready)[2]
        ordered.append(first)
        for event_id, behind in blocked.items():
            if first in behind:
                behind.discard(first)
                if not behind:
                    heapq.heappush(ready, rank(event_id))
    return ordered


def _mainline_ordering(rest: set[str], levels: str | None, events: Events) -> list[str]:
    mainline: list[str] = []
    while levels is not None:
        mainline.append(levels)
        levels = _power_levels_of(levels, events)

    def position(event_id: str | None) -> int:
        while event_id is not None:
            if event_id in mainline:
                return mainline.index(event_id)
            event_id = _power_levels_of(event_id, events)
        return _INFINITE

    return sorted(rest, key=lambda e: (-position(e), events[e].origin_server_ts, e))


def _power_levels_of(event_id: str, events: Events) -> str | None:
    found = _auth(events[event_id], events).get(_POWER_LEVELS)
    return None if found is None else found.event_id


def _auth_checks(ordered: list[str], start: State, events: Events) -> dict[StateKey, str]:
    """Iterative auth checks."""
    state = dict(start)
    for event_id in ordered:
        pdu = events[event_id]
        auth = _auth(pdu, events)

        def look_up(type_: str, key: str, auth: Mapping[StateKey, Pdu] = auth) -> Pdu | None:
            held = state.get((type_, key))
            return auth.get((type_, key)) if held is None else events[held]

        try:
            check_state_dependent_auth_rules(pdu, look_up)
        except AuthRuleError:
            continue
        state[pdu.key] = event_id
    return state
