"""The Store: one object per file that holds the tables together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from dtnode.store.ancestry import Ancestry
from dtnode.store.arrivals import Arrivals
from dtnode.store.client_values import ClientValues
from dtnode.store.compaction import Compacted, compact
from dtnode.store.database import Database
from dtnode.store.events import Events
from dtnode.store.held import Held
from dtnode.store.indexing import Indexes
from dtnode.store.inspection import Inspection
from dtnode.store.peers import Peers
from dtnode.store.rooms import RoomTable
from dtnode.store.state_groups import StateGroups

_CLEAN = "closed_clean"


class Store:
    """A node's durable state; `Store(None)` keeps it in memory (tests, simulations, audits).

    One thread at a time. Nothing is durable before the outermost `transaction()` has ended. Raises
    StoreError when the file is damaged, newer than this dtnode, in use or not a store.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._db = Database(path, read_only=read_only)
        self._read_only = read_only
        self.events = Events(self._db)
        self.ancestry = Ancestry(self._db)
        self.indexes = Indexes(self._db, self.events)
        self.arrivals = Arrivals(self._db)
        self.state_groups = StateGroups(self._db)
        self.rooms = RoomTable(self._db)
        self.held = Held(self._db)
        self.peers = Peers(self._db)
        self.client_values = ClientValues(self._db)
        self.inspection = Inspection(self._db)
        if read_only:
            self.indexes.refuse_to_wait()
        else:
            self._check_after_crash()
            self.indexes.catch_up()

    def _check_after_crash(self) -> None:
        """A file that wasn't closed properly is read through once, so that damage is reported now
        and not when a message is looked for."""
        if self._db.path is not None and self.meta(_CLEAN) == 0:
            self._db.quick_check()
        with self.transaction():
            self.set_meta(_CLEAN, 0)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing; durable (fsync) once the outermost one is left. Nests."""
        return self._db.transaction()

    def on_rollback(self, callback: Callable[[], None]) -> None:
        """`callback` runs after any rollback: numbers handed out in it are handed out again."""
        self._db.on_rollback(callback)

    def flush(self) -> None:
        """Writes buffered rows out, within the transaction."""
        self._db.flush()

    def compact(self) -> Compacted:
        """Gives disk back. Takes as long as copying the file; outside of transactions."""
        self.state_groups.forget()
        return compact(self._db)

    def news_since(self, position: int) -> dict[int, list[str]]:
        """room number -> ids of events that became visible after `position`, in that order."""
        self.flush()
        found: dict[int, list[str]] = {}
        for room_nid, event_id, _ in self._db.execute(
            "SELECT room_nid, event_id, position AS p FROM events"
            " WHERE position > ? AND NOT rejected"
            " UNION ALL SELECT room_nid, event_id, position FROM held WHERE position > ?"
            " ORDER BY p",
            (position, position),
        ).fetchall():
            found.setdefault(room_nid, []).append(event_id)
        return found

    def meta(self, key: str) -> int | str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, key: str, value: int | str | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def close(self) -> None:
        if not self._read_only:
            with self.transaction():
                self.set_meta(_CLEAN, 1)
        self._db.close()
