"""What state resolution asks about auth chains: the auth difference of states, and the conflicted
state subgraph. Not the resolution itself (dtnode.matrix.state_resolution, which calls this).

Nothing here walks a whole auth chain. An index divides the events that others name as auth events
into chains, each event of one having the one before it as an auth event: so a chain is in an auth
chain up to some event, and what is shared since long is told from a few such marks.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from dtnode.matrix.pdu import Pdu, StateKey


class EventSource(Protocol):
    """The events of one room that states name, and their auth chains, by id."""

    def event(self, event_id: str, /) -> Pdu:
        """KeyError: not here."""
        ...

    def order(self, event_id: str, /) -> int:
        """A topological number, not negative: its parents and auth events have smaller ones."""
        ...

    def rejected(self, event_id: str, /) -> bool:
        """Whether it was rejected. Only the auth events of a second create event can be, which no
        rule looks at (before version 12)."""
        ...


class AuthChains(Protocol):
    """An index of the auth chains of one room's state events. Chains are disjoint, and their events
    have rising orders; all of a chain but the first have the one before them as an auth event, of
    the same type and state key."""

    def chains_of(self, event_ids: Iterable[str], /) -> Mapping[str, int]:
        """The chain of each that a state event names as auth event; the others are left out."""
        ...

    def links(self, chain: int, upto: int, /) -> Iterable[tuple[int, int]]:
        """(other chain, the highest order in it) for what the events of `chain` up to that order
        name as auth events; what follows from other links may be left out."""
        ...

    def first(self, chain: int, /) -> str:
        """The event that a chain begins with."""
        ...


class PlainChains:
    """AuthChains without an index: every event is a chain. For small rooms in memory."""

    def __init__(self, events: EventSource) -> None:
        self._events = events
        self._met: dict[int, str] = {}

    def chains_of(self, event_ids: Iterable[str], /) -> Mapping[str, int]:
        return {event_id: self._chain(event_id) for event_id in event_ids}

    def links(self, chain: int, _upto: int, /) -> Iterable[tuple[int, int]]:
        auth_ids = self._events.event(self._met[chain]).auth_event_ids
        return [(self._chain(auth_id), self._events.order(auth_id)) for auth_id in auth_ids]

    def first(self, chain: int, /) -> str:
        return self._met[chain]

    def _chain(self, event_id: str) -> int:
        order = self._events.order(event_id)
        self._met[order] = event_id
        return order


def auth_difference(
    state_sets: Sequence[Mapping[StateKey, str]],
    unconflicted: Mapping[StateKey, str],
    conflicted: Collection[str],
    events: EventSource,
    chains: AuthChains,
) -> dict[str, None]:
    """The full conflicted set: the events in the auth chain of some state sets but not of all
    ("Auth difference"), a state's own events counting as part of its chain, and `conflicted`.

    An ordered set, the newest first mostly: events that came together lie together in memory, and
    thousands of them met in random order cost a multiple.
    """
    walk = _Walk(state_sets, unconflicted, conflicted, events, chains)
    difference = walk.run()
    doubtful = [event_id for event_id in difference if event_id not in conflicted]
    if doubtful:
        for event_id in _covered_by(unconflicted.values(), doubtful, events, chains):
            del difference[event_id]
    for event_id in conflicted:
        difference.setdefault(event_id)
    return difference


def _covered_by(
    shared: Iterable[str], doubtful: Sequence[str], events: EventSource, chains: AuthChains
) -> list[str]:
    """Those of `doubtful`, which come by falling order, that are in the auth chains of `shared`."""
    order = events.order
    lowest = order(doubtful[-1])
    of_doubtful = chains.chains_of(doubtful)
    reach = _Reach(chains)
    reach.add_events((event_id for event_id in shared if order(event_id) > lowest), events)
    return [
        event_id
        for event_id in doubtful
        if event_id in of_doubtful and reach.covers(of_doubtful[event_id], order(event_id))
    ]


class _Walk:
    """From the conflicted events down by falling order, an event's mask (a bit for each state set
    that has it in its chain) being final when it is reached. What every chain has is not followed:
    the index tells what lies below it."""

    def __init__(
        self,
        state_sets: Sequence[Mapping[StateKey, str]],
        unconflicted: Mapping[StateKey, str],
        conflicted: Collection[str],
        events: EventSource,
        chains: AuthChains,
    ) -> None:
        self._unconflicted = unconflicted
        self._conflicted = conflicted
        self._shared = set(unconflicted.values())
        self._events = events
        self._chains = chains
        self._in_all = (1 << len(state_sets)) - 1
        self._masks = _masks_of(self._shared, conflicted, state_sets)
        self._full: list[str] = []
        self._below_full = _Reach(chains)

    def run(self) -> dict[str, None]:
        """Those that some chains have and others don't, conflicted or not, by falling order; among
        them events that only the unconflicted state shows to be in all of them. State events: what
        is none only gets into a chain through the auth events of a second create event."""
        masks, in_all, shared = self._masks, self._in_all, self._shared
        event, order = self._events.event, self._events.order
        queue = [(-order(event_id), event_id) for event_id in masks]
        heapq.heapify(queue)
        partial = len(queue)
        difference: dict[str, None] = {}
        while partial:
            at, event_id = heapq.heappop(queue)
            mask = masks[event_id]
            if mask == in_all:
                self._full.append(event_id)
                continue
            partial -= 1
            if event_id not in self._conflicted and self._is_in_all(event_id, -at):
                continue
            pdu = event(event_id)
            if pdu.state_key is not None:
                difference[event_id] = None
            for auth_id in pdu.auth_event_ids:
                before = masks.get(auth_id)
                if before is None:
                    if auth_id not in shared:
                        masks[auth_id] = mask
                        heapq.heappush(queue, (-order(auth_id), auth_id))
                        partial += 1
                elif before != in_all:
                    masks[auth_id] = before | mask
                    partial -= before | mask == in_all
        return difference

    def _is_in_all(self, event_id: str, order: int) -> bool:
        chain = self._chains.chains_of((event_id,)).get(event_id)
        if chain is None:
            return False
        if self._has_shared_successor(event_id, order, chain):
            return True
        if self._full:
            self._below_full.add_events(self._full, self._events)
            self._full.clear()
        return self._below_full.covers(chain, order)

    def _has_shared_successor(self, event_id: str, order: int, chain: int) -> bool:
        """Whether it was replaced, in the same chain, by what the unconflicted state holds."""
        pdu = self._events.event(event_id)
        successor = self._unconflicted.get(pdu.key) if pdu.is_state else None
        if successor is None or self._events.order(successor) <= order:
            return False
        return self._chains.chains_of((successor,)).get(successor) == chain


def _masks_of(
    shared: Collection[str],
    conflicted: Iterable[str],
    state_sets: Sequence[Mapping[StateKey, str]],
) -> dict[str, int]:
    """For every conflicted event a bit for each state set it is in."""
    masks = {event_id: 0 for event_id in conflicted if event_id not in shared}
    for bit, state in enumerate(state_sets):
        for event_id in masks.keys() & state.values():
            masks[event_id] |= 1 << bit
    return masks


class _Reach:
    """The auth chains of some events, those included: of each chain the highest order in them.
    Asked by falling orders it looks no further down than it is asked, at each chain once."""

    def __init__(self, chains: AuthChains) -> None:
        self._chains = chains
        self._highest: dict[int, int] = {}
        self._queue: list[tuple[int, int]] = []

    def add_events(self, event_ids: Iterable[str], events: EventSource) -> None:
        found = list(event_ids)
        chains = self._chains.chains_of(found)
        for event_id in found:
            chain = chains.get(event_id)
            if chain is not None:
                self._add(chain, events.order(event_id))
                continue
            auth_ids = events.event(event_id).auth_event_ids  # no state event names this one
            for auth_id, auth_chain in self._chains.chains_of(auth_ids).items():
                self._add(auth_chain, events.order(auth_id))

    def _add(self, chain: int, order: int) -> None:
        if order > self._highest.get(chain, -1):
            self._highest[chain] = order
            heapq.heappush(self._queue, (-order, chain))

    def covers(self, chain: int, order: int) -> bool:
        highest, queue = self._highest, self._queue
        while queue and highest.get(chain, -1) < order < -queue[0][0]:
            at, passed = heapq.heappop(queue)
            if highest[passed] == -at:  # else it was followed from a higher event
                for link in self._chains.links(passed, -at):
                    self._add(*link)
        return highest.get(chain, -1) >= order


def conflicted_state_subgraph(
    conflicted: Collection[str],
    difference: Collection[str],
    events: EventSource,
    chains: AuthChains,
) -> set[str]:
    """All events on auth paths between two conflicted events, endpoints included (version 12).

    difference: events that are followed without a look at the index, `conflicted` at the least.
    """
    if not conflicted:
        return set()
    leading = _Leading(conflicted, events, chains)
    above = {event_id: events.event(event_id).auth_event_ids for event_id in difference}
    met = set(above)
    queue = [auth_id for auth_ids in above.values() for auth_id in auth_ids]
    while queue:
        event_id = queue.pop()
        if event_id in met:
            continue
        met.add(event_id)
        if leading.has(event_id):
            above[event_id] = events.event(event_id).auth_event_ids
            queue += above[event_id]
    subgraph = set(conflicted)
    for event_id in sorted(above, key=events.order):
        if not subgraph.isdisjoint(above[event_id]):
            subgraph.add(event_id)
    return subgraph


class _Leading:
    """Which events have a conflicted one in their auth chains; by chain, since whatever comes later
    in a chain has that as well."""

    def __init__(
        self, conflicted: Collection[str], events: EventSource, chains: AuthChains
    ) -> None:
        self._events = events
        self._chains = chains
        self._targets: dict[int, int] = {}
        for event_id, chain in chains.chains_of(conflicted).items():
            order = events.order(event_id)
            self._targets[chain] = min(order, self._targets.get(chain, order))
        self._lowest = min(self._targets.values(), default=-1)
        self._leading: dict[int, int] = {}  # from this order on they lead to one
        self._not_leading: dict[int, int] = {}  # up to this order they don't

    def has(self, event_id: str) -> bool:
        order = self._events.order(event_id)
        if not self._targets or order < self._lowest:
            return False
        chain = self._chains.chains_of((event_id,)).get(event_id)
        if chain is None:
            return False
        if order >= self._leading.get(chain, order + 1):
            return True
        if not self._search(chain, order):
            return False
        self._leading[chain] = order
        return True

    def _search(self, chain: int, order: int) -> bool:
        seen: dict[int, int] = {}
        queue = [(chain, order)]
        while queue:
            at, upto = queue.pop()
            if upto <= max(self._not_leading.get(at, -1), seen.get(at, -1)):
                continue
            if upto >= self._targets.get(at, upto + 1) or upto >= self._leading.get(at, upto + 1):
                return True
            seen[at] = upto
            queue += (link for link in self._chains.links(at, upto) if link[1] >= self._lowest)
        self._not_leading.update(seen)
        return False
