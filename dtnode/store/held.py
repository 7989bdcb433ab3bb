"""Events that can't be judged yet because parents or auth events are missing (DESIGN section 2).

They passed the checks an event passes alone (format, signature, hash). They are durable, since they
cost airtime, and bounded, since anyone with a key can sign events with unknown parents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dtnode.matrix.pdu import Pdu, stored_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.store.database import Database

MAX_HELD_PER_ROOM = 20_000  # about 20 MB: two rooms' worth of catch-up that arrived upside down
MAX_HELD_PER_SOURCE = 5_000  # of one room from one peer, so that one liar can't push out the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldEvent:
    nid: int
    room_nid: int
    pdu: Pdu
    source: str
    received_ms: int
    position: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingEvent:
    """An id that held events name and nobody delivered: a gap."""

    event_id: str
    needed_by: tuple[str, ...]
    since_ms: int


_FIELDS = (
    "h.held_nid, h.room_nid, h.event_id, h.redacted, h.source, h.received_ms, h.position, h.pdu,"
    " r.version"
)


class Held:
    def __init__(self, db: Database) -> None:
        self._db = db

    def add(
        self,
        room_nid: int,
        pdu: Pdu,
        missing: Iterable[str],
        *,
        source: str,
        now_ms: int,
        position: int | None = None,
    ) -> None:
        """Holds `pdu`. A whole copy replaces a redacted one, never the other way round."""
        known = self.get(pdu.event_id)
        if known is not None:
            if known.pdu.redacted and not pdu.redacted:
                self._db.execute(
                    "UPDATE held SET redacted = 0, pdu = ? WHERE held_nid = ?",
                    (pdu.canonical(), known.nid),
                )
            return
        nid = self._db.execute(
            "INSERT INTO held (event_id, room_nid, redacted, source, received_ms, position, pdu)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (pdu.event_id, room_nid, pdu.redacted, source, now_ms, position, pdu.canonical()),
        ).lastrowid
        self._db.executemany(
            "INSERT OR IGNORE INTO held_missing (missing_id, held_nid) VALUES (?, ?)",
            [(missing_id, nid) for missing_id in missing],
        )

    def get(self, event_id: str) -> HeldEvent | None:
        found = self._select("h.event_id = ?", event_id)
        return found[0] if found else None

    def has(self, event_id: str) -> bool:
        row = self._db.execute("SELECT 1 FROM held WHERE event_id = ?", (event_id,)).fetchone()
        return row is not None

    def ids_starting(self, room_nid: int, text: str) -> list[str]:
        """Ids of the room's held events that start with `text` (ASCII): three at most."""
        rows = self._db.execute(
            "SELECT event_id FROM held WHERE event_id >= ? AND event_id < ? AND room_nid = ?"
            " LIMIT 3",
            (text, text + "\x7f", room_nid),
        )
        return [row[0] for row in rows.fetchall()]

    def of_room(self, room_nid: int, *, source: str | None = None) -> list[HeldEvent]:
        """In order of arrival; only those that came from `source` if given."""
        if source is None:
            return self._select("h.room_nid = ? ORDER BY h.held_nid", room_nid)
        return self._select("h.room_nid = ? AND h.source = ? ORDER BY h.held_nid", room_nid, source)

    def newest(self, room_nid: int, limit: int) -> list[HeldEvent]:
        """The last `limit` to arrive, in order of arrival."""
        return self._select("h.room_nid = ? ORDER BY h.held_nid DESC LIMIT ?", room_nid, limit)[
            ::-1
        ]

    def own(self, room_nid: int) -> list[HeldEvent]:
        """This node's own events (those with a position), in the order they were made."""
        return self._select(
            "h.room_nid = ? AND h.position IS NOT NULL ORDER BY h.held_nid", room_nid
        )

    def after_position(self, room_nid: int, after: int, upto: int) -> list[HeldEvent]:
        return self._select(
            "h.room_nid = ? AND h.position > ? AND h.position <= ? ORDER BY h.position",
            room_nid,
            after,
            upto,
        )

    def ids_with_prefix(self, room_nid: int, prefix: str, limit: int) -> list[str]:
        """Ids of events held in the room, and of missing ones they name, that begin so; `prefix` is
        ASCII."""
        end = prefix + "\x7f"
        rows = self._db.execute(
            "SELECT event_id FROM held WHERE event_id >= ? AND event_id < ? AND room_nid = ?"
            " UNION SELECT missing_id FROM held_missing JOIN held USING (held_nid)"
            " WHERE missing_id >= ? AND missing_id < ? AND room_nid = ? LIMIT ?",
            (prefix, end, room_nid, prefix, end, room_nid, limit),
        )
        return [row[0] for row in rows.fetchall()]

    def naming(self, room_nid: int, missing_id: str, limit: int) -> tuple[str, ...]:
        """Ids of held events that wait for a missing one, oldest first."""
        rows = self._db.execute(
            "SELECT event_id FROM held_missing JOIN held USING (held_nid)"
            " WHERE missing_id = ? AND room_nid = ? ORDER BY held_nid LIMIT ?",
            (missing_id, room_nid, limit),
        )
        return tuple(row[0] for row in rows.fetchall())

    def count(self, room_nid: int) -> int:
        row = self._db.execute("SELECT count(*) FROM held WHERE room_nid = ?", (room_nid,))
        return int(row.fetchone()[0])

    def any_in(self, room_nid: int) -> bool:
        row = self._db.execute("SELECT 1 FROM held WHERE room_nid = ? LIMIT 1", (room_nid,))
        return row.fetchone() is not None

    def waiting_for(self, room_nid: int, event_id: str) -> list[HeldEvent]:
        """Held events of the room that name `event_id` and now wait for nothing else."""
        nids = [
            row[0]
            for row in self._db.execute(
                "SELECT held_nid FROM held_missing JOIN held USING (held_nid)"
                " WHERE missing_id = ? AND room_nid = ? ORDER BY held_nid",
                (event_id, room_nid),
            ).fetchall()
        ]
        if not nids:
            return []
        self._db.executemany(
            "DELETE FROM held_missing WHERE missing_id = ? AND held_nid = ?",
            [(event_id, nid) for nid in nids],
        )
        return [
            held
            for nid in nids
            if self._db.execute("SELECT 1 FROM held_missing WHERE held_nid = ?", (nid,)).fetchone()
            is None
            for held in self._select("h.held_nid = ?", nid)
        ]

    def remove(self, held: HeldEvent) -> None:
        self._db.execute("DELETE FROM held WHERE held_nid = ?", (held.nid,))

    def evict_over_bounds(self, room_nid: int, source: str, own_name: str) -> list[str]:
        """Drops the oldest events over the bounds, of `source` and, if the room is full, of whoever
        filled it most; returns their ids. Own events are never dropped."""
        counts = dict(
            self._db.execute(
                "SELECT source, count(*) FROM held WHERE room_nid = ? AND source != ?"
                " GROUP BY source",
                (room_nid, own_name),
            ).fetchall()
        )
        evicted: list[str] = []
        if counts.get(source, 0) > MAX_HELD_PER_SOURCE:
            excess = counts[source] - MAX_HELD_PER_SOURCE
            evicted += self._evict(room_nid, source, excess)
            counts[source] -= excess
        while (excess := sum(counts.values()) - MAX_HELD_PER_ROOM) > 0:
            fullest = max(counts, key=lambda name: counts[name])
            others = sorted(counts.values())[:-1]
            # Down to the second fullest at most, so that two who fill it share the loss.
            excess = min(excess, max(1, counts[fullest] - max(others, default=0)))
            evicted += self._evict(room_nid, fullest, excess)
            counts[fullest] -= excess
        return evicted

    def _evict(self, room_nid: int, source: str, count: int) -> list[str]:
        rows = self._db.execute(
            "SELECT held_nid, event_id FROM held WHERE room_nid = ? AND source = ?"
            " ORDER BY held_nid LIMIT ?",
            (room_nid, source, count),
        ).fetchall()
        self._db.executemany("DELETE FROM held WHERE held_nid = ?", [(nid,) for nid, _ in rows])
        return [event_id for _, event_id in rows]

    def missing(self, room_nid: int, limit: int) -> list[MissingEvent]:
        """Gaps: ids named by held events that are neither judged nor held, longest known first."""
        rows = self._db.execute(
            "SELECT m.missing_id, min(h.received_ms), group_concat(h.event_id, ' ')"
            " FROM held_missing m JOIN held h USING (held_nid)"
            " WHERE h.room_nid = ?"
            "   AND NOT EXISTS (SELECT 1 FROM held g WHERE g.event_id = m.missing_id)"
            " GROUP BY m.missing_id ORDER BY 2, 1 LIMIT ?",
            (room_nid, limit),
        ).fetchall()
        return [
            MissingEvent(event_id=event_id, needed_by=tuple(needed.split(" ")), since_ms=since)
            for event_id, since, needed in rows
        ]

    def _select(self, where: str, *values: object) -> list[HeldEvent]:
        rows = self._db.execute(
            f"SELECT {_FIELDS} FROM held h JOIN rooms r USING (room_nid) WHERE {where}",  # noqa: S608
            values,
        ).fetchall()
        return [_held_event(row) for row in rows]


def _held_event(row: tuple[Any, ...]) -> HeldEvent:
    nid, room_nid, event_id, redacted, source, received_ms, position, pdu, version = row
    return HeldEvent(
        nid=nid,
        room_nid=room_nid,
        pdu=stored_pdu(pdu, event_id, ROOM_VERSIONS[version], redacted=bool(redacted)),
        source=source,
        received_ms=received_ms,
        position=position,
    )
