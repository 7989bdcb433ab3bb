"""Judged events as dtnode.matrix asks for them: by id, whatever the room."""

from __future__ import annotations

from dtnode.matrix.pdu import Pdu
from dtnode.store.events import Events


class StoredEvents:
    """dtnode.matrix.auth_chains.EventSource over the table of events."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def event(self, event_id: str, /) -> Pdu:
        found = self._events.get(event_id)
        if found is None:
            raise KeyError(event_id)
        return found.pdu

    def rejected(self, event_id: str, /) -> bool:
        found = self._events.get(event_id)
        return found is not None and found.rejected

    def order(self, event_id: str, /) -> int:
        nid = self._events.nid_of(event_id)
        if nid is None:
            raise KeyError(event_id)
        return nid
