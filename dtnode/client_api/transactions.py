"""Transaction ids: a repeated request sends once (client-server API, "Transaction identifiers").

They are kept per session and written in the same transaction as the event, so that neither is there
without the other.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import orjson

from dtnode.client_api.sessions import Session, scopes_of
from dtnode.store import Store

KEPT = 2_000  # per session: a client repeats its last few requests, a script perhaps a batch
_PRUNE_EVERY = 250


class Transactions:
    """Methods run on the store's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._since_pruned: dict[str, int] = {}

    def once(self, session: Session, path: str, txn_id: str, send: Callable[[], str]) -> str:
        """The event id of `send()`, called only if `txn_id` is new to this session and path."""
        by_path, by_event = scopes_of(session)
        values = self._store.client_values
        key = sha256(f"{path}\0{txn_id}".encode()).hexdigest()
        known = values.get(by_path, key)
        if known is not None:
            return str(orjson.loads(known)[1])
        event_id = send()
        values.put(by_path, key, orjson.dumps([self._store.events.last_position(), event_id]))
        values.put(by_event, event_id, txn_id.encode())
        self._prune(session)
        return event_id

    def of_event(self, session: Session, event_id: str) -> str | None:
        """The transaction id with which this session sent the event."""
        value = self._store.client_values.get(scopes_of(session)[1], event_id)
        return None if value is None else value.decode()

    def _prune(self, session: Session) -> None:
        count = self._since_pruned.get(session.key, 0) + 1
        self._since_pruned[session.key] = count % _PRUNE_EVERY
        if count < _PRUNE_EVERY:
            return
        by_path, by_event = scopes_of(session)
        values = self._store.client_values
        entries = sorted((*orjson.loads(value), key) for key, value in values.items(by_path))
        for _, event_id, key in entries[:-KEPT]:
            values.remove(by_path, key)
            values.remove(by_event, event_id)
