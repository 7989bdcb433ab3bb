"""What is looked up of judged events by other things than their ids: auth chains and redactions.

Kept as events are judged; for those judged before there were such tables it is made when the store
is opened, in steps of one transaction each, going on where a start that was broken off ended.
"""

from __future__ import annotations

from collections.abc import Iterator

from dtnode.errors import StoreError
from dtnode.store.auth_chains import AuthChainTable
from dtnode.store.database import Database
from dtnode.store.event_rows import StoredEvent, unpack_numbers
from dtnode.store.event_source import StoredEvents
from dtnode.store.events import Events
from dtnode.store.redactions import RedactionTable

_STEP_EVENTS = 2_000  # looked at in one transaction: about a tenth of a second
_SPARSE = 50  # events from one that is marked to the next: walks are as long, at the most
_UPTO = "indexed_upto"  # in `meta`, while events wait


class Indexes:
    """source: the events as the index of auth chains looks them up, for whoever resolves by it."""

    def __init__(self, db: Database, events: Events) -> None:
        self._db = db
        self._events = events
        self.source = StoredEvents(events)
        self.auth_chains = AuthChainTable(db, self.source, events.id_of)
        self.redactions = RedactionTable(db)
        db.on_rollback(self.source.forget)

    def take(self, event: StoredEvent) -> None:
        """A judged event: it was added, or has another verdict or a whole copy now."""
        self.source.take(event)
        pdu = event.pdu
        if pdu.state_key is None:
            if pdu.redacts is not None:
                self.redactions.add(pdu.redacts, event.nid)
        elif not event.rejected:
            self.auth_chains.cover(pdu.auth_event_ids)

    # --- events of an older store

    def waiting_from(self) -> int | None:
        """The number of the last event looked at; None where nothing waits."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (_UPTO,)).fetchone()
        return None if row is None else int(row[0])

    def refuse_to_wait(self) -> None:
        """StoreError: something is left to do that reading alone doesn't."""
        if self.waiting_from() is not None:
            raise StoreError(
                f"{self._db.path} was last used by an older dtnode: start the node once, which"
                " brings it up to date (dtnode run)"
            )

    def catch_up(self) -> None:
        upto = self.waiting_from()
        if upto is None:
            return
        tips = _Tips()
        for room_nid, nid, parents in self._accepted(0, upto):
            tips.add(room_nid, nid, parents)
        last = self._events.last_nid()
        while upto < last:
            after, upto = upto, min(last, upto + _STEP_EVENTS)
            with self._db.transaction():
                self._step(after, upto, tips)
                self._db.execute("UPDATE meta SET value = ? WHERE key = ?", (upto, _UPTO))
        self._db.execute("DELETE FROM meta WHERE key = ?", (_UPTO,))

    def _step(self, after: int, upto: int, tips: _Tips) -> None:
        for nid in self._worth_reading(after, upto):
            event = self._events.by_nid(nid)
            assert event is not None, "it was found a moment ago"
            self.take(event)
        marked: list[tuple[object, ...]] = [
            (nid,)
            for room_nid, nid, parents in self._accepted(after, upto)
            if tips.add(room_nid, nid, parents)
        ]
        self._db.executemany("UPDATE events SET sees_all = 1 WHERE event_nid = ?", marked)

    def _worth_reading(self, after: int, upto: int) -> list[int]:
        """Accepted state events (each of them changes the state), and what may be a redaction."""
        rows = self._db.execute(
            "SELECT event_nid FROM events WHERE event_nid > ? AND event_nid <= ? AND"
            " (after_group != before_group OR instr(pdu, CAST('\"m.room.redaction\"' AS BLOB)))"
            " ORDER BY event_nid",
            (after, upto),
        )
        return [row[0] for row in rows.fetchall()]

    def _accepted(self, after: int, upto: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """(room number, event number, parents)"""
        rows = self._db.execute(
            "SELECT room_nid, event_nid, parents FROM events"
            " WHERE event_nid > ? AND event_nid <= ? AND NOT rejected ORDER BY event_nid",
            (after, upto),
        )
        for room_nid, nid, parents in rows:
            yield room_nid, nid, unpack_numbers(parents)


class _Tips:
    """The tips of rooms as they were after each event, events coming in rising number."""

    def __init__(self) -> None:
        self._of: dict[int, set[int]] = {}
        self._marked: dict[int, int] = {}

    def add(self, room_nid: int, nid: int, parents: tuple[int, ...]) -> bool:
        """Whether the event is to be marked as one that has all before it as ancestors."""
        tips = self._of.setdefault(room_nid, set())
        sees_all = tips.issubset(parents)
        tips.difference_update(parents)
        tips.add(nid)
        if not sees_all or nid - self._marked.get(room_nid, -_SPARSE) < _SPARSE:
            return False
        self._marked[room_nid] = nid
        return True
