"""A room's past, from the order in which its events were judged here: the forward extremities at an
earlier moment, and what became of state events. Only reads; called by explain and changes.

Each function goes through the room's events once, without their contents: about 2 us an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dtnode.matrix.pdu import StateKey
from dtnode.store import RoomRecord, Store

MAX_LISTED = 5  # of the places where one event gave way; more tell a person nothing


def extremities_before(store: Store, room: RoomRecord, nid: int) -> frozenset[int]:
    """The room's forward extremities when the event of this number was about to be judged."""
    edges: set[int] = set()
    passed_through: dict[int, tuple[int, ...]] = {}
    for event in store.events.outlines(room.nid, 0, nid - 1):
        if event.rejected or event.soft_failed:
            passed_through[event.nid] = event.parents
            continue
        todo, seen = list(event.parents), set[int]()
        while todo:
            parent = todo.pop()
            if parent not in seen:
                seen.add(parent)
                todo += passed_through.get(parent, ())
        edges -= seen
        edges.add(event.nid)
    return frozenset(edges)


@dataclass(slots=True, kw_only=True)
class Fate:
    """Where a state event ended to be part of the state, by event numbers. superseded_by: events
    that replaced it knowingly. lost_at: events that build on it and on others, where the resolution
    of their states chose another."""

    superseded_by: list[int] = field(default_factory=list)
    lost_at: list[int] = field(default_factory=list)


def fates(
    store: Store, room: RoomRecord, targets: Mapping[str, StateKey], first_nid: int
) -> dict[str, Fate]:
    """targets: ids of state events, all with numbers >= first_nid."""
    found = {event_id: Fate() for event_id in targets}
    keys = frozenset(targets.values())  # far fewer, where some settings changed often
    present: dict[int, frozenset[str]] = {}  # by state group
    state_after: dict[int, int] = {}
    told: set[tuple[str, frozenset[int]]] = set()

    def present_in(group: int) -> frozenset[str]:
        known = present.get(group)
        if known is None:
            state = store.state_groups.state(group)
            known = frozenset(
                id_ for key in keys if (id_ := state.get(key)) is not None and id_ in targets
            )
            present[group] = known
        return known

    for event in store.events.outlines(room.nid, first_nid, store.events.last_nid()):
        state_after[event.nid] = event.after
        groups = frozenset(state_after[p] for p in event.parents if p in state_after)
        if groups != {event.before}:
            alive = frozenset[str]().union(*map(present_in, groups))
            for event_id in alive - present_in(event.before):
                if (event_id, groups) not in told and len(found[event_id].lost_at) < MAX_LISTED:
                    told.add((event_id, groups))
                    found[event_id].lost_at.append(event.nid)
        if event.after != event.before:
            for event_id in present_in(event.before) - present_in(event.after):
                if len(found[event_id].superseded_by) < MAX_LISTED:
                    found[event_id].superseded_by.append(event.nid)
    return found
