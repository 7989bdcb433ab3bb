"""Pages of a room's timeline by position: the newest ones, backwards and forwards.

Positions are the order in which events became visible here, so every event is on exactly one page,
whenever it arrived. Called on the store's thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.client_api.filters import EventFilter
from dtnode.rooms import Rooms
from dtnode.rooms.timeline import TimelineEvent
from dtnode.store import RoomRecord

_CHUNK = 200  # events looked at together
_MAX_LOOKED_AT = (
    5_000  # per page; a filter that lets little through gets a short page, not a long wait
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """events: in rising position. low, high: positions around them: everything with
    low < position <= high was looked at. more: there may be more beyond the page."""

    events: tuple[TimelineEvent, ...]
    low: int
    high: int
    more: bool


def page_back(rooms: Rooms, room: RoomRecord, *, after: int, upto: int, only: EventFilter) -> Page:
    """The newest `only.limit` matching events with after < position <= upto."""
    found: list[TimelineEvent] = []
    low, looked_at = upto, 0
    while low > after and looked_at < _MAX_LOOKED_AT:
        chunk = rooms.timeline.since(room, after, low, _CHUNK)
        looked_at += len(chunk)
        for event in reversed(chunk):
            if only.allows(event.pdu):
                if len(found) >= only.limit:
                    return _page(found[::-1], low, upto, more=True)
                found.append(event)
            low = _position(event) - 1
        if len(chunk) < _CHUNK:
            return _page(found[::-1], after, upto, more=False)
    return _page(found[::-1], low, upto, more=low > after)


def page_forward(
    rooms: Rooms, room: RoomRecord, *, after: int, upto: int, only: EventFilter
) -> Page:
    """The oldest `only.limit` matching events with after < position <= upto."""
    found: list[TimelineEvent] = []
    high, looked_at = after, 0
    while high < upto and looked_at < _MAX_LOOKED_AT:
        chunk = _oldest(rooms, room, high, upto)
        looked_at += len(chunk)
        for event in chunk:
            if only.allows(event.pdu):
                if len(found) >= only.limit:
                    return _page(found, after, high, more=True)
                found.append(event)
            high = _position(event)
        if len(chunk) < _CHUNK:
            return _page(found, after, upto, more=False)
    return _page(found, after, high, more=high < upto)


def _oldest(rooms: Rooms, room: RoomRecord, after: int, upto: int) -> list[TimelineEvent]:
    """The oldest _CHUNK events after a position; Timeline gives the newest up to one."""
    store = rooms.store
    stored = store.events.between_positions(room.nid, after, upto, _CHUNK, newest=False)
    held = store.held.after_position(room.nid, after, upto)
    known = [*(event.position for event in stored), *(event.position for event in held)]
    positions = sorted(position for position in known if position is not None)
    if len(positions) >= _CHUNK:
        upto = positions[_CHUNK - 1]
    return rooms.timeline.since(room, after, upto, _CHUNK)


def _page(events: list[TimelineEvent], low: int, high: int, *, more: bool) -> Page:
    return Page(events=tuple(events), low=low, high=high, more=more)


def _position(event: TimelineEvent) -> int:
    assert event.position is not None, "since() gives events that have a position"
    return event.position
