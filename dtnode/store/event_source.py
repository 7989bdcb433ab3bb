"""Judged events as dtnode.matrix asks for them: by id, whatever the room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dtnode.matrix.pdu import Pdu
from dtnode.store.event_rows import StoredEvent
from dtnode.store.events import Events

# One resolution looks at the same events a dozen times, in orders that miss a cache which holds not
# quite all of them at every look. 6 MB of JSON are about 30 MB in memory while it lasts, and some
# 8,000 usual state events; those beyond are read at each look, so a larger one slows down by them.
_KEPT_BYTES = 6_000_000
_KEPT_ORDERS = 50_000  # ids and numbers: about 8 MB


class StoredEvents:
    """dtnode.matrix.auth_chains.EventSource over the table of events."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._keeping = 0  # how deep
        self._kept: dict[str, StoredEvent] = {}
        self._kept_bytes = 0
        self._orders: dict[str, int] = {}

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Until the outermost one is left, what was looked up stays at hand, up to a bound."""
        self._keeping += 1
        try:
            yield
        finally:
            self._keeping -= 1
            if not self._keeping:
                self.forget()

    def take(self, event: StoredEvent) -> None:
        """It has another verdict or a whole copy now, or is new."""
        if event.event_id in self._kept:
            self._kept[event.event_id] = event

    def forget(self) -> None:
        self._kept = {}
        self._kept_bytes = 0
        self._orders = {}

    def event(self, event_id: str, /) -> Pdu:
        found = self._find(event_id)
        if found is None:
            raise KeyError(event_id)
        return found.pdu

    def rejected(self, event_id: str, /) -> bool:
        found = self._find(event_id)
        return found is not None and found.rejected

    def _find(self, event_id: str) -> StoredEvent | None:
        found = self._kept.get(event_id)
        if found is None:
            found = self._events.get(event_id)
            if found is not None and self._keeping and self._kept_bytes < _KEPT_BYTES:
                self._kept[event_id] = found
                self._kept_bytes += len(found.pdu.canonical())
        return found

    def order(self, event_id: str, /) -> int:
        kept = self._kept.get(event_id)
        if kept is not None:
            return kept.nid
        nid = self._orders.get(event_id)
        if nid is None:
            nid = self._events.nid_of(event_id)
            if nid is None:
                raise KeyError(event_id)
            if self._keeping and len(self._orders) < _KEPT_ORDERS:
                self._orders[event_id] = nid
        return nid
