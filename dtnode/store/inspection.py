"""What `dtnode check` reads: rows as they lie in the file, and what the tables say of each other.

Nothing here trusts what it reads or repairs anything; dtnode.rooms.verify judges events again.
"""

from __future__ import annotations

import sqlite3
import struct
from typing import NamedTuple

from dtnode.errors import StoreError
from dtnode.store.database import Database, expected_schema, schema_of

_MAX_DAMAGES = 100  # of one kind told: beyond that the file is lost anyway


_LOST_INDEX = " (nothing is lost with it, but the node gets slow)"


class StoredRow(NamedTuple):
    """One row of `events`; see dtnode.store.event_rows.StoredEvent. pdu: the bytes, not parsed."""

    nid: int
    event_id: str
    topo: int
    ts: int
    rejected: bool
    redacted: bool
    before: int
    after: int
    parents: tuple[int, ...]
    sender_server: str
    pdu: bytes


class HeldRow(NamedTuple):
    """One row of `held`. missing: the ids it is said to wait for."""

    event_id: str
    redacted: bool
    pdu: bytes
    missing: frozenset[str]


class Inspection:
    def __init__(self, db: Database) -> None:
        self._db = db

    def damage(self) -> list[str]:
        """What SQLite itself finds wrong, and rows that refer to nothing. Reads the whole file."""
        found: list[str] = []
        looks = (
            self._damaged_pages,
            self._altered_schema,
            self._lost_references,
            self._odd_positions,
            self._double_positions,
        )
        for look in looks:
            try:
                found += look()
            except (StoreError, sqlite3.Error) as exc:
                found.append(str(exc))
        return found

    def _damaged_pages(self) -> list[str]:
        rows = self._db.execute(f"PRAGMA integrity_check({_MAX_DAMAGES})").fetchall()
        found = [str(row[0]) for row in rows if row[0] != "ok"]
        for table, rowid, parent, _ in self._db.execute("PRAGMA foreign_key_check").fetchall():
            found.append(f"row {rowid} of {table} refers to a row of {parent} that isn't there")
        return found[:_MAX_DAMAGES]

    def _altered_schema(self) -> list[str]:
        """Tables and indexes that the store has to have and hasn't, or has in another form."""
        found = []
        here = schema_of(self._db)
        for name, (kind, form) in expected_schema().items():
            if name not in here:
                found.append(f"the {kind} {name} is missing{_LOST_INDEX * (kind == 'index')}")
            elif here[name] != (kind, form):
                found.append(f"the {kind} {name} has another form than this dtnode made it in")
        return found

    def _odd_positions(self) -> list[str]:
        """Clients see an accepted event by its position, counted from 1."""
        rows = self._db.execute(
            "SELECT event_id, position FROM events WHERE position < 1"
            " OR (position IS NULL AND NOT rejected) LIMIT ?",
            (_MAX_DAMAGES,),
        ).fetchall()
        return [
            f"event {event_id} was accepted and has no position: no client sees it"
            if position is None
            else f"event {event_id} has the position {position}: they are counted from 1"
            for event_id, position in rows
        ]

    def _lost_references(self) -> list[str]:
        found = []
        for table in ("tips", "forward_extremities", "peer_frontier"):
            rows = self._db.execute(
                f"SELECT t.room_nid, t.event_nid FROM {table} t LEFT JOIN events e"  # noqa: S608
                " ON e.event_nid = t.event_nid AND e.room_nid = t.room_nid"
                " WHERE e.event_nid IS NULL LIMIT ?",
                (_MAX_DAMAGES,),
            ).fetchall()
            found += [f"{table} of room {room} name event {nid}, not there" for room, nid in rows]
        for table in ("auth_chains", "auth_links", "redactions"):
            rows = self._db.execute(
                f"SELECT DISTINCT event_nid FROM {table} LEFT JOIN events e USING (event_nid)"  # noqa: S608
                " WHERE e.event_id IS NULL LIMIT ?",
                (_MAX_DAMAGES,),
            ).fetchall()
            found += [f"{table} name event {nid}, not there" for [nid] in rows]
        rows = self._db.execute(
            "SELECT g.group_nid, g.base_group FROM state_groups g LEFT JOIN state_groups b"
            " ON b.group_nid = g.base_group WHERE g.base_group >= g.group_nid"
            " OR (g.base_group != 0 AND b.group_nid IS NULL) LIMIT ?",
            (_MAX_DAMAGES,),
        ).fetchall()
        return found + [f"state group {group} stands on {base}, not there" for group, base in rows]

    def _double_positions(self) -> list[str]:
        """Clients count by them: one given twice would hide an event."""
        rows = self._db.execute(
            "SELECT p, count(*) FROM (SELECT position AS p FROM events WHERE position IS NOT NULL"
            " UNION ALL SELECT position FROM held WHERE position IS NOT NULL"
            " UNION ALL SELECT position FROM cards) GROUP BY p HAVING count(*) > 1 LIMIT ?",
            (_MAX_DAMAGES,),
        ).fetchall()
        return [f"position {position} was given {times} times" for position, times in rows]

    def count_events(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM events").fetchone()[0])

    def rows(self, room_nid: int, after_nid: int, limit: int) -> list[StoredRow]:
        """The room's judged events over a number, in rising number: the order of judging."""
        found = self._db.execute(
            "SELECT event_nid, event_id, topo, ts, rejected, redacted, before_group, after_group,"
            " parents, sender_server, pdu FROM events WHERE room_nid = ? AND event_nid > ?"
            " ORDER BY event_nid LIMIT ?",
            (room_nid, after_nid, limit),
        ).fetchall()
        return [
            StoredRow(
                nid=nid,
                event_id=event_id,
                topo=topo,
                ts=ts,
                rejected=bool(rejected),
                redacted=bool(redacted),
                before=before,
                after=after,
                parents=_numbers(parents),
                sender_server=sender_server,
                pdu=_bytes(pdu),
            )
            for (
                nid,
                event_id,
                topo,
                ts,
                rejected,
                redacted,
                before,
                after,
                parents,
                sender_server,
                pdu,
            ) in found
        ]

    def redactions(self, room_nid: int) -> list[tuple[str, int]]:
        """(the id that it names, its number) of what is listed as redactions in the room."""
        return self._db.execute(
            "SELECT target, event_nid FROM redactions JOIN events USING (event_nid)"
            " WHERE room_nid = ?",
            (room_nid,),
        ).fetchall()

    def seeing_all(self, room_nid: int) -> set[int]:
        """Numbers of events that are marked as having all earlier ones as ancestors."""
        rows = self._db.execute(
            "SELECT event_nid FROM events WHERE room_nid = ? AND sees_all", (room_nid,)
        )
        return {row[0] for row in rows.fetchall()}

    def auth_chains(self, room_nid: int) -> list[tuple[int, int]]:
        """(event number, chain)"""
        return self._db.execute(
            "SELECT event_nid, chain FROM auth_chains JOIN events USING (event_nid)"
            " WHERE room_nid = ?",
            (room_nid,),
        ).fetchall()

    def auth_links(self, room_nid: int) -> list[tuple[int, int, int, int]]:
        """(chain, the other chain, event number, number of the auth event in the other)"""
        return self._db.execute(
            "SELECT chain, target_chain, event_nid, target_nid FROM auth_links"
            " JOIN events USING (event_nid) WHERE room_nid = ?",
            (room_nid,),
        ).fetchall()

    def held_rows(self, room_nid: int) -> list[HeldRow]:
        found = self._db.execute(
            "SELECT event_id, redacted, pdu, (SELECT group_concat(missing_id, ' ') FROM"
            " held_missing m WHERE m.held_nid = h.held_nid) FROM held h WHERE room_nid = ?"
            " ORDER BY held_nid",
            (room_nid,),
        ).fetchall()
        return [
            HeldRow(event_id, bool(redacted), _bytes(pdu), frozenset((missing or "").split()))
            for event_id, redacted, pdu, missing in found
        ]


def _numbers(data: bytes) -> tuple[int, ...]:
    """8 bytes each; what is over counts as one that no event has."""
    whole = len(data) // 8
    numbers = struct.unpack(f"<{whole}q", data[: 8 * whole])
    return numbers if len(data) == 8 * whole else (*numbers, -1)


def _bytes(value: object) -> bytes:
    """SQLite gives whatever lies there."""
    return value if isinstance(value, bytes) else str(value).encode()
