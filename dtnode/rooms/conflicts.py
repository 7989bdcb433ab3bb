"""Why state resolution chose another event than a given one, exactly, from a trace of it.

Nothing is decided here: the resolution is run again with dtnode.matrix.state_resolution. Called by
explain and changes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.state_resolution import ResolutionTrace, StateMap
from dtnode.rooms.grounds import NO_OBSTACLE, Obstacle, power_in_words, what_forbids
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomRecord, Store

_POWER_LEVELS: StateKey = ("m.room.power_levels", "")


class LossReason(enum.StrEnum):
    """What decided, by the steps of the algorithm (specification, "State resolution")."""

    NOT_ALLOWED = "not_allowed"  # iterative auth checks
    SETTLED_FIRST = "settled_first"  # power events come before all others
    BUILDS_ON = "builds_on"  # reverse topological power ordering: auth events come first
    LESS_POWER_LATER = "less_power_later"  # the same: falling power of the senders
    LATER_TIME = "later_time"  # both orderings: origin_server_ts
    EVENT_ID = "event_id"  # both orderings: the last resort
    NEWER_POWER_LEVELS = "newer_power_levels"  # mainline ordering


_RULES = {
    LossReason.NOT_ALLOWED: (
        "the iterative auth checks: power levels, join rules, kicks and bans are settled first;"
        " what the state so far doesn't allow falls away"
    ),
    LossReason.SETTLED_FIRST: (
        "power levels, join rules, kicks and bans are settled first, all else after them"
    ),
    LossReason.BUILDS_ON: (
        "the reverse topological power ordering: an event comes after those that authorise it"
    ),
    LossReason.LESS_POWER_LATER: (
        "the reverse topological power ordering: events come by falling power of their senders, and"
        " of two that are allowed the last one stays"
    ),
    LossReason.LATER_TIME: "of two that are equal in all else the later one stays",
    LossReason.EVENT_ID: "of two that are equal in all else, time too, the greater event id stays",
    LossReason.NEWER_POWER_LEVELS: (
        "the mainline ordering: events come by the age of the power levels that they rest on,"
        " oldest first, and of two that are allowed the last one stays; clocks don't count"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """winner: what the state holds in place of the event, None: nothing. why: what decided, in
    words. rule: of state resolution. obstacle: the events that `why` rests on."""

    winner: str | None
    reason: LossReason
    why: str
    rule: str
    obstacle: Obstacle = NO_OBSTACLE

    def event_ids(self) -> tuple[str, ...]:
        winner = () if self.winner is None else (self.winner,)
        return (*winner, *self.obstacle.event_ids())


class Conflicts:
    """For one report: resolutions are remembered, and events may not arrive in between."""

    def __init__(self, store: Store, states: RoomStates, room: RoomRecord) -> None:
        self._store = store
        self._states = states
        self._room = room
        self._traces: dict[frozenset[int], tuple[StateMap, ResolutionTrace]] = {}

    def state(self, groups: Iterable[int]) -> StateMap:
        return self._trace(frozenset(groups))[0]

    def _trace(self, groups: frozenset[int]) -> tuple[StateMap, ResolutionTrace]:
        known = self._traces.get(groups)
        if known is None:
            known = self._traces[groups] = self._states.trace(self._room.version, groups)
        return known

    def loss(self, event: Pdu, groups: Iterable[int]) -> Loss | None:
        """Why the resolution of these groups' states, one of which holds `event`, doesn't. None:
        none of them does, or the resolution does."""
        distinct = frozenset(groups)
        state, trace = self._trace(distinct)
        winner = state.get(event.key)
        checked = {event_id: at for at, (event_id, _) in enumerate(trace.checked)}
        if winner == event.event_id or event.event_id not in checked:
            return None
        at = checked[event.event_id]
        forbidden = trace.checked[at][1]
        if forbidden is not None:
            return self._not_allowed(event, forbidden, trace, at, winner)
        assert winner is not None, "an applied event gives way to another only"
        return self._outdone(event, self._pdu(winner), trace)

    def _pdu(self, event_id: str) -> Pdu:
        stored = self._store.events.get(event_id)
        assert stored is not None, "state and auth events are stored"
        return stored.pdu

    def _not_allowed(
        self, event: Pdu, why: str, trace: ResolutionTrace, at: int, winner: str | None
    ) -> Loss:
        """The checks read the state so far and, where that has nothing, the event's auth events."""
        own = {auth.key: auth for auth in map(self._pdu, event.auth_event_ids)}
        so_far = dict(trace.base)
        for event_id, forbidden in trace.checked[:at]:
            if forbidden is None:
                so_far[self._pdu(event_id).key] = event_id

        def seen(type_: str, state_key: str) -> Pdu | None:
            resolved = so_far.get((type_, state_key))
            return own.get((type_, state_key)) if resolved is None else self._pdu(resolved)

        obstacle = what_forbids(event, seen, lambda type_, key: own.get((type_, key)))
        return _loss(winner, LossReason.NOT_ALLOWED, why, obstacle)

    def _outdone(self, event: Pdu, winner: Pdu, trace: ResolutionTrace) -> Loss:
        """Both were allowed, and the winner was checked after the event."""
        powers = trace.sender_power
        if event.event_id not in powers:
            return self._later_on_mainline(event, winner, trace)
        if winner.event_id not in powers:
            why = f"{event.sender}'s is settled first; {winner.sender}'s comes after it, is allowed"
            return _loss(winner.event_id, LossReason.SETTLED_FIRST, f"{why} and replaces it")
        if self._rests_on(winner, event, powers):
            why = f"{winner.sender}'s rests on {event.sender}'s, and so comes after it"
            return _loss(winner.event_id, LossReason.BUILDS_ON, why)
        mine, theirs = powers[event.event_id], powers[winner.event_id]
        if mine > theirs:
            why = (
                f"{event.sender} has {power_in_words(mine)}, {winner.sender}"
                f" {power_in_words(theirs)}: the change of the one with less comes later, is still"
                " allowed and replaces the other"
            )
            levels = self._power_levels_of(event, winner)
            return _loss(winner.event_id, LossReason.LESS_POWER_LATER, why, levels)
        if mine == theirs and _time_order(event) < _time_order(winner):
            return _later(event, winner, f"both senders have {power_in_words(mine)}")
        # The winner would have come first, but for something else that it rests on.
        why = f"{winner.sender}'s rests on other changes that come after {event.sender}'s"
        return _loss(winner.event_id, LossReason.BUILDS_ON, why)

    def _later_on_mainline(self, event: Pdu, winner: Pdu, trace: ResolutionTrace) -> Loss:
        mine = trace.mainline[event.event_id]
        theirs = trace.mainline.get(winner.event_id)
        if mine == theirs:
            return _later(event, winner, "both rest on the same power levels")
        why = f"{winner.sender}'s rests on newer power levels than {event.sender}'s"
        if mine is None:
            why += ", whose aren't among those that led to the present ones"
        levels = self._power_levels_of(winner, event)
        return _loss(winner.event_id, LossReason.NEWER_POWER_LEVELS, why, levels)

    def _rests_on(self, newer: Pdu, older: Pdu, power_events: Mapping[str, int]) -> bool:
        """Through the power events of the resolution only: they are what is ordered."""
        todo, seen = [newer.event_id], set[str]()
        while todo:
            for auth_id in self._pdu(todo.pop()).auth_event_ids:
                if auth_id == older.event_id:
                    return True
                if auth_id in power_events and auth_id not in seen:
                    seen.add(auth_id)
                    todo.append(auth_id)
        return False

    def _power_levels_of(self, *pdus: Pdu) -> Obstacle:
        """The power levels among their auth events, in that order."""
        auth_events = (self._pdu(auth_id) for pdu in pdus for auth_id in pdu.auth_event_ids)
        found = [auth.event_id for auth in auth_events if auth.key == _POWER_LEVELS]
        return Obstacle(because_of=tuple(dict.fromkeys(found)))


def _time_order(pdu: Pdu) -> tuple[int, str]:
    return pdu.origin_server_ts, pdu.event_id


def _later(event: Pdu, winner: Pdu, equal: str) -> Loss:
    if event.origin_server_ts != winner.origin_server_ts:
        why = f"{equal}, and {winner.sender}'s carries the later time"
        return _loss(winner.event_id, LossReason.LATER_TIME, why)
    why = f"{equal} and the same time, and the id of {winner.sender}'s is greater"
    return _loss(winner.event_id, LossReason.EVENT_ID, why)


def _loss(
    winner: str | None, reason: LossReason, why: str, obstacle: Obstacle = NO_OBSTACLE
) -> Loss:
    return Loss(
        winner=winner,
        reason=reason,
        why=why,
        rule=_RULES[reason],
        obstacle=obstacle,
    )
