"""When events were judged here, by this node's clock: what "since yesterday" means.

One row a second at most, for the first event judged in it. The clock may have been wrong or set
back; event numbers only rise, so rows are read in their order.
"""

from __future__ import annotations

from dtnode.store.database import Database

STEP_MS = 1_000  # how exact arrival times are; a row has about 12 bytes


class Arrivals:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._last_ms: int | None = None
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._last_ms = None

    def note(self, first_nid: int, now_ms: int) -> None:
        """Events from number `first_nid` on were judged at `now_ms`."""
        if self._last_ms is None:
            row = self._db.execute("SELECT ms FROM arrivals ORDER BY event_nid DESC LIMIT 1")
            found = row.fetchone()
            self._last_ms = None if found is None else int(found[0])
        if self._last_ms is not None and 0 <= now_ms - self._last_ms < STEP_MS:
            return
        self._db.execute("INSERT OR REPLACE INTO arrivals VALUES (?, ?)", (first_nid, now_ms))
        self._last_ms = now_ms

    def of(self, nid: int) -> int | None:
        """About when the event of this number was judged (at most STEP_MS early); None where no
        time was kept."""
        return self._one("SELECT max(event_nid), ms FROM arrivals WHERE event_nid <= ?", nid, 1)

    def first_since(self, ms: int) -> int | None:
        """The number of the first event that may have been judged at `ms` or later, if there is
        one. Events judged while the clock was behind an earlier reading may have been."""
        first = self._one("SELECT min(event_nid) FROM arrivals WHERE ms > ?", ms - STEP_MS)
        # The latest reading before that is the last one known to be too early.
        too_early = self._one(
            "SELECT event_nid FROM arrivals WHERE event_nid < ?"
            " ORDER BY ms DESC, event_nid DESC LIMIT 1",
            2**62 if first is None else first,
        )
        if too_early is None:
            return first
        return self._one("SELECT min(event_nid) FROM arrivals WHERE event_nid > ?", too_early)

    def _one(self, sql: str, value: int, column: int = 0) -> int | None:
        row = self._db.execute(sql, (value,)).fetchone()
        return None if row is None or row[column] is None else int(row[column])
