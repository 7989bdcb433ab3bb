"""State resolution by the letter of the specification: version 2, and 2.1 for room version 12.

Part of the second implementation (literal.py), which shares no code with dtnode. Whole auth chains
are walked and kept as sets; nothing is clever. Quotations are of rooms/v12.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from tests.hostile.literal_auth import Key, auth_types, check_in_state
from tests.hostile.literal_events import Event
from tests.hostile.literal_levels import Level, Powers, Rejected, as_level

State: TypeAlias = Mapping[Key, str]

POWER_LEVELS: Key = ("m.room.power_levels", "")
CREATE: Key = ("m.room.create", "")


class Resolver:
    """events: every judged event of one room by id. is_rejected: whether the event of an id was."""

    def __init__(
        self, events: Mapping[str, Event], is_rejected: Callable[[str], bool], n: int
    ) -> None:
        self.events = events
        self.is_rejected = is_rejected
        self.n = n
        self.conflicts = 0
        self.conflicted_keys = 0
        self._chains: dict[str, frozenset[str]] = {}

    def resolve(self, states: Sequence[State]) -> dict[Key, str]:
        # "If a given key K is present in every S_i with the same value V in each state map, then
        # the pair (K, V) belongs to the unconflicted state map. Otherwise, V belongs to the
        # conflicted state set."
        unconflicted: dict[Key, str] = {}
        conflicted_keys: set[Key] = set()
        for key in {key for state in states for key in state}:
            values = {state.get(key) for state in states}
            value = values.pop()
            if values or value is None:
                conflicted_keys.add(key)
            else:
                unconflicted[key] = value
        if not conflicted_keys:
            return unconflicted
        self.conflicts += 1
        self.conflicted_keys += len(conflicted_keys)
        conflicted = {state[key] for state in states for key in conflicted_keys if key in state}
        # "The full conflicted set is the union of the conflicted state set, the conflicted state
        # subgraph [version 12], and the auth difference."
        full = conflicted | self.auth_difference(states)
        if self.n >= 12:
            full |= self.conflicted_state_subgraph(conflicted)
        # What is no state event only gets here through the auth_events of a second create event,
        # which no rule looks at.
        full = {event_id for event_id in full if self.events[event_id].is_state}
        # "1. Select the set X of all power events that appear in the full conflicted set. For each
        # such power event P, enlarge X by adding the events in the auth chain of P which also
        # belong to the full conflicted set."
        power_events = self.enlarged({i for i in full if self.is_power_event(i)}, full)
        # "Sort X into a list using the reverse topological power ordering."
        ordered = self.reverse_topological_power_ordering(power_events)
        # "2. Apply the iterative auth checks algorithm, starting from" the unconflicted state map,
        # in version 12 "an empty state map, to the list of events from the previous step".
        partial = {} if self.n >= 12 else dict(unconflicted)
        self.iterative_auth_checks(partial, ordered)
        # "3. Take all remaining events that weren't picked in step 1 and order them by the mainline
        # ordering based on the power level in the partially resolved state obtained in step 2."
        remaining = self.mainline_ordering(full - power_events, partial.get(POWER_LEVELS))
        # "4. Apply the iterative auth checks algorithm on the partial resolved state and the list
        # of events from the previous step."
        self.iterative_auth_checks(partial, remaining)
        # "5. Update the result by replacing any event with the event with the same key from the
        # unconflicted state map, if such an event exists, to get the final resolved state."
        return {**partial, **unconflicted}

    # --- definitions

    def auth_chain(self, event_id: str) -> frozenset[str]:
        """ "All of E's auth events, all of their auth events, and so on recursively", and E."""
        known = self._chains.get(event_id)
        if known is None:
            known = frozenset({event_id}).union(
                *(self.auth_chain(auth_id) for auth_id in self.events[event_id].auth_ids)
            )
            self._chains[event_id] = known
        return known

    def auth_difference(self, states: Sequence[State]) -> set[str]:
        """ "Calculating the full auth chain for each state S_i, that is the union of the auth
        chains for each event in S_i, and then taking every event that doesn't appear in every auth
        chain." Deployed servers count the events of S_i to it."""
        chains: list[set[str]] = [
            set[str]().union(*(self.auth_chain(event_id) for event_id in state.values()))
            for state in states
        ]
        return chains[0].union(*chains) - chains[0].intersection(*chains)

    def conflicted_state_subgraph(self, conflicted: set[str]) -> set[str]:
        """ "Starting from an event in the conflicted state set and following auth_events edges may
        lead to another event in the conflicted state set. The union of all such paths between any
        pair of events in the conflicted state set (including endpoints)": what one of them reaches
        and what reaches one of them."""
        reached = set[str]().union(*(self.auth_chain(event_id) for event_id in conflicted))
        return {event_id for event_id in reached if self.auth_chain(event_id) & conflicted}

    def is_power_event(self, event_id: str) -> bool:
        """ "A state event with type m.room.power_levels or m.room.join_rules, or a state event with
        type m.room.member where the membership is leave or ban and the sender does not match the
        state_key." Deployed servers take the first two with an empty state_key only, and the create
        event too."""
        event = self.events[event_id]
        if event.key in (POWER_LEVELS, ("m.room.join_rules", ""), CREATE):
            return True
        return (
            event.type == "m.room.member"
            and event.membership in ("leave", "ban")
            and event.sender != event.key[1]
        )

    def enlarged(self, power_events: set[str], full: set[str]) -> set[str]:
        """Deployed servers follow auth chains as long as they stay in the full conflicted set."""
        found = set(power_events)
        todo = list(power_events)
        while todo:
            for auth_id in self.events[todo.pop()].auth_ids:
                if auth_id in full and auth_id not in found:
                    found.add(auth_id)
                    todo.append(auth_id)
        return found

    # --- orderings

    def reverse_topological_power_ordering(self, event_ids: set[str]) -> list[str]:
        """ "Sorting the events using Kahn's algorithm for topological sorting, and at each step
        selecting, among all the candidate vertices, the smallest vertex using" the comparison: "x's
        sender has greater power level than y's sender, when looking at their respective
        auth_events; [then] origin_server_ts is less; [then] event_id is less"."""
        smallness = {event_id: self.power_order(event_id) for event_id in event_ids}
        left, ordered = set(event_ids), list[str]()
        while left:
            candidates = [i for i in left if not left.intersection(self.events[i].auth_ids)]
            smallest = min(candidates, key=smallness.__getitem__)
            left.remove(smallest)
            ordered.append(smallest)
        return ordered

    def power_order(self, event_id: str) -> tuple[Level, int, str]:
        event = self.events[event_id]
        return -self.sender_power(event), event.json["origin_server_ts"], event_id

    def auth_event(self, event: Event, key: Key) -> Event | None:
        for auth_id in event.auth_ids:
            found = self.events[auth_id]
            if found.is_state and found.key == key:
                return found
        return None

    def sender_power(self, event: Event) -> Level:
        create, levels = self.auth_event(event, CREATE), self.auth_event(event, POWER_LEVELS)
        try:
            return Powers(create, levels, self.n).of(event.sender)
        except Rejected:
            # Levels that were rejected get here through the auth_events of a second create event.
            # Deployed servers read them as before version 10, or can't resolve the state at all.
            assert levels is not None
        users = levels.content.get("users", {})
        level = users.get(event.sender) if isinstance(users, dict) else None
        try:
            return as_level(levels.content.get("users_default") if level is None else level, 3)
        except Rejected:
            return 0

    def mainline_ordering(self, event_ids: set[str], power_levels: str | None) -> list[str]:
        """ "x < y if the mainline position of x is greater than the mainline position of y; or
        [then] origin_server_ts is less; or [then] event_id is less"."""
        mainline = [] if power_levels is None else [self.events[power_levels]]
        while mainline and (older := self.auth_event(mainline[-1], POWER_LEVELS)) is not None:
            mainline.append(older)
        ids = [event.event_id for event in mainline]

        def order(event_id: str) -> tuple[float, int, str]:
            event = self.events[event_id]
            return -self.mainline_position(event, ids), event.json["origin_server_ts"], event_id

        return sorted(event_ids, key=order)

    def mainline_position(self, event: Event, mainline: list[str]) -> float:
        """ "Find the smallest index j >= 1 for which e_j belongs to the mainline of P. If such a j
        exists, then e_j = P_i [...]. Otherwise set i = infinity." """
        following = self.auth_event(event, POWER_LEVELS)
        while following is not None:
            if following.event_id in mainline:
                return mainline.index(following.event_id)
            following = self.auth_event(following, POWER_LEVELS)
        return math.inf

    # --- iterative auth checks

    def iterative_auth_checks(self, state: dict[Key, str], event_ids: Iterable[str]) -> None:
        """ "Applying the state event to the room state if the state event is allowed by the
        authorisation rules. [...] If a (event_type, state_key) key that is required for checking
        the authorisation rules is not present in the state, then the appropriate state event from
        the event's auth_events is used if the auth event is not rejected." """
        for event_id in event_ids:
            # "Rejected auth events are deliberately excluded from use in the iterative auth
            # checks". They get here like what is no state event.
            if self.is_rejected(event_id):
                continue
            event = self.events[event_id]
            required = auth_types(event, self.n)

            def lookup(
                type_: str, state_key: str, event: Event = event, required: set[Key] = required
            ) -> Event | None:
                key = (type_, state_key)
                if key not in required:
                    return None
                if key in state:
                    return self.events[state[key]]
                return self.auth_event(event, key)

            try:
                check_in_state(event, lookup, self.n)
            except Rejected:
                continue
            state[event.key] = event_id
