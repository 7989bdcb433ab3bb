"""Judged events of all rooms: cache, order, queries, and the walks over the room DAG.

Only events whose parents and auth events are here have a row; others wait in dtnode.store.held.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from dtnode.matrix.pdu import Pdu
from dtnode.store.database import Database
from dtnode.store.event_rows import (
    COLUMNS,
    DROPPED,
    Authorship,
    DisplayOrder,
    EventOutline,
    StoredEvent,
    event_of,
    row_of,
    unpack_numbers,
)
from dtnode.store.lru import WeighedLru

# Of events' JSON, about five times that in memory: the auth events and newest messages of busy
# rooms, and no more if somebody sends the largest events there can be.
_CACHED_BYTES = 2_000_000
_PENDING_ROWS = 2_000  # rows buffered within a transaction before they are written out


class Events:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache: WeighedLru[str, StoredEvent] = WeighedLru(_CACHED_BYTES, _weight)
        self._pending: dict[str, StoredEvent] = {}
        self._pending_nids: dict[int, StoredEvent] = {}
        self._pending_counts: dict[int, list[int]] = {}
        self._absent: set[str] = set()
        self._next_nid: int | None = None
        self._next_position: int | None = None
        db.before_commit(self.flush)
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._cache.clear()
        self._pending.clear()
        self._pending_nids.clear()
        self._pending_counts.clear()
        self._next_nid = None
        self._next_position = None

    # --- numbers

    def next_nid(self) -> int:
        number = self.last_nid() + 1
        self._next_nid = number + 1
        return number

    def last_nid(self) -> int:
        """The highest number given to an event, 0 at first."""
        if self._next_nid is None:
            row = self._db.execute("SELECT coalesce(max(event_nid), 0) FROM events").fetchone()
            self._next_nid = int(row[0]) + 1
        return self._next_nid - 1

    def next_position(self) -> int:
        if self._next_position is None:
            self._next_position = self.last_position() + 1
        number = self._next_position
        self._next_position = number + 1
        return number

    def last_position(self) -> int:
        """The highest position given to anything a client may see, 0 at first."""
        if self._next_position is not None:
            return self._next_position - 1
        row = self._db.execute(
            "SELECT max(coalesce((SELECT max(position) FROM events), 0),"
            " coalesce((SELECT max(position) FROM held), 0),"
            " coalesce((SELECT max(position) FROM cards), 0))"
        ).fetchone()
        return int(row[0])

    # --- rows

    def add(self, event: StoredEvent) -> None:
        """Buffered until the next flush; visible to every lookup by id at once."""
        self._pending[event.event_id] = event
        self._pending_nids[event.nid] = event
        self._count(event.room_nid, event.rejected, event.soft_failed, 1)
        self._absent.discard(event.event_id)
        self._cache.put(event.event_id, event)
        if len(self._pending) >= _PENDING_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            rows: list[tuple[object, ...]] = [row_of(event) for event in self._pending.values()]
            marks = ", ".join("?" * len(COLUMNS.split(", ")))
            self._db.executemany(f"INSERT INTO events ({COLUMNS}) VALUES ({marks})", rows)  # noqa: S608
            self._pending.clear()
            self._pending_nids.clear()
        for room_nid, counts in self._pending_counts.items():
            self._db.execute(
                "UPDATE rooms SET accepted = accepted + ?, rejected = rejected + ?,"
                " soft_failed = soft_failed + ? WHERE room_nid = ?",
                (*counts, room_nid),
            )
        self._pending_counts.clear()

    def _count(self, room_nid: int, rejected: bool, soft_failed: bool, by: int) -> None:
        counts = self._pending_counts.setdefault(room_nid, [0, 0, 0])
        counts[1 if rejected else 0] += by
        counts[2] += by * soft_failed

    def get(self, event_id: str) -> StoredEvent | None:
        found = self._pending.get(event_id) or self._cache.get(event_id)
        if found is None and event_id not in self._absent:
            found = self._one("event_id = ?", event_id)
        return found

    def look_ahead(self, event_ids: Iterable[str]) -> None:
        """Finds out at once which of these aren't here, so that `get` needn't ask for each: mostly
        all of a batch that just came."""
        wanted = {
            event_id
            for event_id in event_ids
            if event_id not in self._pending and self._cache.get(event_id) is None
        }
        rows = self._db.execute(
            "SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each(?))",
            (orjson.dumps(list(wanted)).decode(),),
        ).fetchall()
        self._absent = wanted.difference(row[0] for row in rows)

    def read_fields(self, event_ids: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """(event id, its JSON), for many of which little is wanted: nothing is cached."""
        self.flush()
        rows = self._db.execute(
            "SELECT event_id, pdu FROM events WHERE event_id IN (SELECT value FROM json_each(?))",
            (orjson.dumps(list(event_ids)).decode(),),
        )
        for event_id, pdu in rows:
            yield event_id, json.loads(pdu)

    def by_nid(self, nid: int) -> StoredEvent | None:
        return self._pending_nids.get(nid) or self._one("event_nid = ?", nid)

    def ids_of(self, nids: Iterable[int]) -> list[str]:
        """Event ids in the order given; every number must exist."""
        out = []
        for nid in nids:
            pending = self._pending_nids.get(nid)
            if pending is not None:
                out.append(pending.event_id)
                continue
            row = self._db.execute("SELECT event_id FROM events WHERE event_nid = ?", (nid,))
            out.append(row.fetchone()[0])
        return out

    def id_of(self, nid: int) -> str:
        return self.ids_of((nid,))[0]

    def nid_of(self, event_id: str) -> int | None:
        found = self._pending.get(event_id) or self._cache.get(event_id)
        if found is not None:
            return found.nid
        row = self._db.execute(
            "SELECT event_nid FROM events WHERE event_id = ?", (event_id,)
        ).fetchone()
        return None if row is None else int(row[0])

    def ids_starting(self, room_nid: int, text: str) -> list[str]:
        """Ids of the room's events that start with `text` (ASCII): three at most."""
        rows = self._db.execute(
            "SELECT event_id FROM events WHERE event_id >= ? AND event_id < ? AND room_nid = ?"
            " LIMIT 3",
            (text, text + "\x7f", room_nid),
        )
        found = [row[0] for row in rows.fetchall()]
        for event_id, event in self._pending.items():
            if event_id.startswith(text) and event.room_nid == room_nid and event_id not in found:
                found.append(event_id)
        return found

    def has(self, event_id: str) -> bool:
        return self.nid_of(event_id) is not None

    def replace_redacted(self, event: StoredEvent, pdu: Pdu) -> StoredEvent:
        """A good copy of an event kept only in redacted form so far takes its place."""
        self.flush()
        self._db.execute(
            "UPDATE events SET redacted = 0, pdu = ? WHERE event_nid = ?",
            (pdu.canonical(), event.nid),
        )
        event.pdu = pdu
        event.dropped = False
        self._cache.put(pdu.event_id, event)
        return event

    def drop_body(self, event: StoredEvent) -> None:
        """Keeps only the redacted form of an event, for good (a room's history limit)."""
        pdu = event.pdu.redacted_form()
        self._db.execute(
            "UPDATE events SET redacted = ?, pdu = ? WHERE event_nid = ?",
            (DROPPED, pdu.canonical(), event.nid),
        )
        cached = self._cache.get(event.event_id)
        for known in (event,) if cached is None else (event, cached):
            known.pdu = pdu
            known.dropped = True

    def whole_before(
        self, room_nid: int, upto: DisplayOrder, upto_nid: int, after_nid: int, limit: int
    ) -> list[StoredEvent]:
        """Events kept whole with after_nid < number < upto_nid that come before `upto` in DAG
        order, in rising number."""
        return list(
            self._select(
                "room_nid = ? AND event_nid > ? AND event_nid < ? AND redacted = 0"
                " AND (topo, ts, event_id) < (?, ?, ?) ORDER BY event_nid LIMIT ?",
                room_nid,
                after_nid,
                upto_nid,
                *upto,
                limit,
            )
        )

    def nth_newest(self, room_nid: int, number: int) -> DisplayOrder | None:
        """Where the event stands that is the `number`th from the end in DAG order (1: the last
        one); None if there are fewer."""
        self.flush()
        row = self._db.execute(
            "SELECT topo, ts, event_id FROM events WHERE room_nid = ?"
            " ORDER BY topo DESC, ts DESC, event_id DESC LIMIT 1 OFFSET ?",
            (room_nid, number - 1),
        ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def replace(self, event: StoredEvent) -> None:
        """An event judged again: the new verdict and states; what it is stays."""
        self.flush()
        rejected, soft_failed = self._db.execute(
            "SELECT rejected, soft_failed FROM events WHERE event_nid = ?", (event.nid,)
        ).fetchone()
        self._count(event.room_nid, rejected, soft_failed, -1)
        self._count(event.room_nid, event.rejected, event.soft_failed, 1)
        self._db.execute(
            "UPDATE events SET rejected = ?, soft_failed = ?, before_group = ?, after_group = ?,"
            " position = ?, reason = ?, sees_all = ? WHERE event_nid = ?",
            (
                event.rejected,
                event.soft_failed,
                event.before,
                event.after,
                event.position,
                event.reason,
                event.sees_all,
                event.nid,
            ),
        )
        self._cache.put(event.event_id, event)

    def _one(self, where: str, value: object) -> StoredEvent | None:
        row = self._db.execute(
            f"SELECT {COLUMNS}, (SELECT version FROM rooms WHERE rooms.room_nid = events.room_nid)"  # noqa: S608
            f" FROM events WHERE {where}",
            (value,),
        ).fetchone()
        return None if row is None else self._read(row)

    def _read(self, row: tuple[Any, ...]) -> StoredEvent:
        event = event_of(row)
        cached = self._cache.get(event.event_id)
        if cached is not None:
            return cached
        self._cache.put(event.event_id, event)
        return event

    def _select(self, where: str, *values: object) -> Iterator[StoredEvent]:
        self.flush()
        rows = self._db.execute(
            f"SELECT {COLUMNS}, (SELECT version FROM rooms WHERE rooms.room_nid = events.room_nid)"  # noqa: S608
            f" FROM events WHERE {where}",
            values,
        )
        for row in rows:
            yield event_of(row)

    # --- queries of one room

    def outlines(self, room_nid: int, first: int, last: int) -> Iterator[EventOutline]:
        """The room's events with first <= number <= last, in rising number."""
        self.flush()
        rows = self._db.execute(
            "SELECT event_nid, before_group, after_group, rejected, soft_failed, parents"
            " FROM events WHERE room_nid = ? AND event_nid BETWEEN ? AND ? ORDER BY event_nid",
            (room_nid, first, last),
        )
        for nid, before, after, rejected, soft_failed, parents in rows:
            yield EventOutline(
                nid, before, after, bool(rejected), bool(soft_failed), unpack_numbers(parents)
            )

    def ids_with_prefix(self, room_nid: int, prefix: str, limit: int) -> list[str]:
        """Ids of the room's events that begin so; `prefix` is ASCII."""
        self.flush()
        rows = self._db.execute(
            "SELECT event_id FROM events WHERE event_id >= ? AND event_id < ? AND room_nid = ?"
            " LIMIT ?",
            (prefix, prefix + "\x7f", room_nid, limit),
        )
        return [row[0] for row in rows.fetchall()]

    def counts(self, room_nid: int) -> tuple[int, int, int]:
        """(accepted, rejected, soft-failed) events."""
        self.flush()
        accepted, rejected, soft_failed = self._db.execute(
            "SELECT accepted, rejected, soft_failed FROM rooms WHERE room_nid = ?", (room_nid,)
        ).fetchone()
        return accepted, rejected, soft_failed

    def newest_in_order(self, room_nid: int, limit: int) -> list[StoredEvent]:
        """The last `limit` accepted events in DAG order, oldest first."""
        found = list(
            self._select(
                "room_nid = ? AND NOT rejected ORDER BY topo DESC, ts DESC, event_id DESC LIMIT ?",
                room_nid,
                limit,
            )
        )
        return found[::-1]

    def accepted_at(self, room_nid: int, level: int) -> int | None:
        """The number of an accepted event at this level of the DAG (`topo`), or of the next one
        below it."""
        self.flush()
        row = self._db.execute(
            "SELECT event_nid FROM events WHERE room_nid = ? AND topo <= ? AND NOT rejected"
            " ORDER BY topo DESC LIMIT 1",
            (room_nid, level),
        ).fetchone()
        return None if row is None else int(row[0])

    def between_positions(
        self, room_nid: int, after: int, upto: int, limit: int, *, newest: bool
    ) -> list[StoredEvent]:
        """Accepted events with after < position <= upto, at most `limit` of the newest (or the
        oldest) of them, in rising position."""
        found = list(
            self._select(
                "room_nid = ? AND position > ? AND position <= ? AND NOT rejected"
                f" ORDER BY position {'DESC' if newest else 'ASC'} LIMIT ?",
                room_nid,
                after,
                upto,
                limit,
            )
        )
        return found[::-1] if newest else found

    def in_nid_order(self, room_nid: int, after_nid: int = 0) -> Iterator[StoredEvent]:
        """Every event of the room, parents before children."""
        return self._select(
            "room_nid = ? AND event_nid > ? ORDER BY event_nid", room_nid, after_nid
        )

    def nids_of_room(self, room_nid: int) -> list[int]:
        """Rising, so parents before children."""
        self.flush()
        rows = self._db.execute(
            "SELECT event_nid FROM events WHERE room_nid = ? ORDER BY event_nid", (room_nid,)
        )
        return [row[0] for row in rows.fetchall()]

    def newest_first(self, room_nid: int, down_to: int, start: int = 2**62) -> Iterator[Authorship]:
        """The room's events from number `start` (the newest) down to number `down_to`."""
        self.flush()
        rows = self._db.execute(
            "SELECT event_nid, sender_server, witness, parents FROM events"
            " WHERE room_nid = ? AND event_nid BETWEEN ? AND ? ORDER BY event_nid DESC",
            (room_nid, down_to, start),
        )
        for nid, sender_server, witness, parents in rows:
            yield Authorship(nid, sender_server, bool(witness), unpack_numbers(parents))

    def servers(self, room_nid: int) -> list[str]:
        """Every server that wrote in the room, sorted."""
        self.flush()
        rows = self._db.execute(
            "SELECT DISTINCT sender_server FROM events WHERE room_nid = ? ORDER BY 1", (room_nid,)
        )
        return [row[0] for row in rows.fetchall()]

    def newest_of_server(
        self, room_nid: int, server_name: str, *, witness: bool = False
    ) -> list[int]:
        """The number of the newest event that a server wrote in a room, if there is one; with
        `witness` the newest that shows it to have had all before it."""
        self.flush()
        row = self._db.execute(
            "SELECT event_nid FROM events WHERE room_nid = ? AND sender_server = ? AND witness >= ?"
            " ORDER BY event_nid DESC LIMIT 1",
            (room_nid, server_name, witness),
        ).fetchone()
        return [] if row is None else [int(row[0])]

    def newest_foreign_timestamp(self, own_name: str, after: int) -> int | None:
        """The highest origin_server_ts over `after` in another server's newest events, if any."""
        self.flush()
        row = self._db.execute(
            "SELECT max(ts) FROM (SELECT ts, sender_server FROM events ORDER BY event_nid DESC"
            " LIMIT 1000) WHERE ts > ? AND sender_server != ?",
            (after, own_name),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def redacted_copies(self, room_nid: int) -> list[StoredEvent]:
        """Those whose content hash failed or that came so; not those whose body was dropped."""
        return list(self._select("room_nid = ? AND redacted = 1", room_nid))

    # --- walks

    def parents_of(self, nid: int) -> tuple[int, ...]:
        pending = self._pending_nids.get(nid)
        if pending is not None:
            return pending.parents
        row = self._db.execute("SELECT parents FROM events WHERE event_nid = ?", (nid,)).fetchone()
        return unpack_numbers(row[0])

    def difference(self, of: Iterable[int], known: Iterable[int], limit: int) -> list[int]:
        """Events that are `of` or ancestors of `of`, and neither `known` nor ancestors of `known`.

        Rising numbers, parents first; of more than `limit` the oldest, so that a next call can go
        on from there.
        """
        found = list(self._difference(of, known))
        found.reverse()
        return found[:limit]

    def difference_size(self, of: Iterable[int], known: Iterable[int], limit: int) -> int:
        """How many events `difference` would give; `limit` if there are more."""
        return sum(1 for _ in islice(self._difference(of, known), limit))

    def _difference(self, of: Iterable[int], known: Iterable[int]) -> Iterator[int]:
        """Newest first. The walk goes over both sets at once and stops when only known events are
        left in it: its cost follows the difference, not the room."""
        wanted, have = 1, 2
        marks: dict[int, int] = {}
        heap: list[int] = []
        unresolved = 0
        for nids, mark in ((of, wanted), (known, have)):
            for nid in nids:
                if nid not in marks:
                    heapq.heappush(heap, -nid)
                    marks[nid] = 0
                marks[nid] |= mark
        unresolved = sum(mark == wanted for mark in marks.values())
        while heap and unresolved:
            nid = -heapq.heappop(heap)
            mark = marks.pop(nid)
            if mark == wanted:
                unresolved -= 1
                yield nid
            for parent in self.parents_of(nid):
                before = marks.get(parent)
                if before is None:
                    heapq.heappush(heap, -parent)
                    marks[parent] = mark & have or wanted
                    unresolved += not mark & have
                elif before == wanted and mark & have:
                    marks[parent] = wanted | have
                    unresolved -= 1

    def is_ancestor(self, older: int, newer: int) -> bool:
        """Is `older` among the ancestors of `newer`?"""
        heap, seen = [-newer], {newer}
        while heap:
            nid = -heapq.heappop(heap)
            for parent in self.parents_of(nid):
                if parent == older:
                    return True
                if parent > older and parent not in seen:
                    seen.add(parent)
                    heapq.heappush(heap, -parent)
        return False


def _weight(event: StoredEvent) -> int:
    return len(event.pdu.canonical())
