"""Ancestors of an event without a walk through the room's past: where one is met that has all
earlier events as ancestors (`sees_all`), what lies below it is known."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import orjson

from dtnode.store.database import Database
from dtnode.store.event_rows import unpack_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestors:
    """Of some accepted events, those included. met: numbers, down to `floor` or to where they were
    asked for. floor: every accepted event of the room up to this number is among them."""

    met: frozenset[int]
    floor: int

    def has(self, nid: int) -> bool:
        """nid: of an accepted event, not below where they were asked for."""
        return nid <= self.floor or nid in self.met


class Ancestry:
    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, nid: int, down_to: int) -> Ancestors:
        """The event's ancestors with at least the number `down_to`."""
        self._db.flush()
        heap, met = [-nid], {nid}
        while heap and -heap[0] >= down_to:
            at = -heapq.heappop(heap)
            parents, sees_all = self._db.execute(
                "SELECT parents, sees_all FROM events WHERE event_nid = ?", (at,)
            ).fetchone()
            if sees_all:
                return Ancestors(met=frozenset(met), floor=at)
            for parent in unpack_numbers(parents):
                if parent not in met:
                    met.add(parent)
                    heapq.heappush(heap, -parent)
        return Ancestors(met=frozenset(met), floor=0)

    def first_that_sees_all(self, room_nid: int, nid: int) -> int | None:
        """The first event from number `nid` on that has all earlier ones as ancestors."""
        self._db.flush()
        row = self._db.execute(
            "SELECT event_nid FROM events WHERE room_nid = ? AND event_nid >= ? AND sees_all"
            " ORDER BY event_nid LIMIT 1",
            (room_nid, nid),
        ).fetchone()
        return None if row is None else int(row[0])

    def newest_witnesses(
        self, room_nid: int, servers: Collection[str], after: int
    ) -> dict[str, int]:
        """server -> the number, over `after`, of its newest event that shows it to have had all
        before it. Costs by the number of servers, whatever came since."""
        self._db.flush()
        rows = self._db.execute(
            "SELECT value, (SELECT event_nid FROM events WHERE room_nid = ? AND sender_server ="
            " value AND event_nid > ? AND witness ORDER BY event_nid DESC LIMIT 1) AS newest"
            " FROM json_each(?) WHERE newest IS NOT NULL",
            (room_nid, after, orjson.dumps(list(servers)).decode()),
        )
        return dict(rows.fetchall())

    def having(self, nid: int, among: Iterable[int]) -> set[int]:
        """Of events after number `nid`, those that have its event and all before it as ancestors;
        by what they tell of themselves, so that some may be left out."""
        self._db.flush()
        rows = self._db.execute(
            "SELECT event_nid FROM events WHERE event_nid IN (SELECT value FROM json_each(?))"
            " AND event_nid > ? AND sees_all",
            (orjson.dumps(list(among)).decode(), nid),
        )
        return {row[0] for row in rows.fetchall()}
