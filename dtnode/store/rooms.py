"""Rooms: what kind of copy this node holds, its tips, forward extremities and cards."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import orjson

from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.store.database import Database


class RoomKind(enum.IntEnum):
    """DESIGN section 2. INVITED: may join and send, judges nobody. COMPLETE: everything back to the
    create event is here. The numbers are those of dtnode.wire.messages.RoomKind."""

    INVITED = 0
    COMPLETE = 1


class ClearLinks(enum.IntEnum):
    """Whether a room may go over links that others can read (dtnode.rooms.permission).

    PERMITTED: until it is encrypted; then ENDED. ALTHOUGH_ENCRYPTED: it was encrypted when its user
    permitted it, who was told what that means.
    """

    NO = 0
    PERMITTED = 1
    ALTHOUGH_ENCRYPTED = 2
    ENDED = 3

    @property
    def is_permitted(self) -> bool:
        return self in (ClearLinks.PERMITTED, ClearLinks.ALTHOUGH_ENCRYPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomRecord:
    """anchor: while INVITED, the event id of the invite (or of a public join's parent).
    keep_events, keep_days: the room's history limit (dtnode.rooms.history_limit), None where it has
    none."""

    nid: int
    room_id: str
    version: RoomVersion
    kind: RoomKind
    current_group: int
    anchor: str | None
    note: str | None
    keep_events: int | None = None
    keep_days: int | None = None
    clear_links: ClearLinks = ClearLinks.NO

    @property
    def is_limited(self) -> bool:
        return self.keep_events is not None or self.keep_days is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRecord:
    """A stored RoomCard (dtnode.wire.messages); `pdus` are canonical JSON, parents first. position:
    what clients count by, as for events."""

    event_id: str
    kind: int
    source: str
    received_ms: int
    position: int
    state_hash: bytes
    servers: tuple[str, ...]
    state: tuple[str, ...]
    pdus: tuple[bytes, ...]


class RoomTable:
    """Cached whole: a node has tens or hundreds of rooms, not millions."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_id: dict[str, RoomRecord] = {}
        self._by_nid: dict[int, RoomRecord] = {}
        self._edges: dict[tuple[str, int], frozenset[int]] = {}
        self._dirty: set[tuple[str, int]] = set()
        self._dirty_groups: dict[int, int] = {}
        self._loaded = False
        db.before_commit(self.flush)
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._by_id.clear()
        self._by_nid.clear()
        self._edges.clear()
        self._dirty.clear()
        self._dirty_groups.clear()
        self._loaded = False

    def _load(self) -> None:
        if self._loaded:
            return
        rows = self._db.execute(
            "SELECT room_nid, room_id, version, kind, current_group, anchor, note, keep_events,"
            " keep_days, clear_links FROM rooms"
        ).fetchall()
        for nid, room_id, version, kind, group, anchor, note, events, days, clear_links in rows:
            self._remember(
                RoomRecord(
                    nid=nid,
                    room_id=room_id,
                    version=ROOM_VERSIONS[version],
                    kind=RoomKind(kind),
                    current_group=group,
                    anchor=anchor,
                    note=note,
                    keep_events=events,
                    keep_days=days,
                    clear_links=ClearLinks(clear_links),
                )
            )
        self._loaded = True

    def _remember(self, room: RoomRecord) -> RoomRecord:
        self._by_id[room.room_id] = room
        self._by_nid[room.nid] = room
        return room

    # --- records

    def add(
        self, room_id: str, version: RoomVersion, kind: RoomKind, anchor: str | None = None
    ) -> RoomRecord:
        self._load()
        nid = self._db.execute(
            "INSERT INTO rooms (room_id, version, kind, anchor) VALUES (?, ?, ?, ?)",
            (room_id, version.identifier, int(kind), anchor),
        ).lastrowid
        assert nid is not None
        return self._remember(
            RoomRecord(
                nid=nid,
                room_id=room_id,
                version=version,
                kind=kind,
                current_group=0,
                anchor=anchor,
                note=None,
            )
        )

    def get(self, room_id: str) -> RoomRecord | None:
        self._load()
        return self._by_id.get(room_id)

    def by_nid(self, nid: int) -> RoomRecord:
        self._load()
        return self._by_nid[nid]

    def __iter__(self) -> Iterator[RoomRecord]:
        self._load()
        return iter(sorted(self._by_id.values(), key=lambda room: room.nid))

    def set_kind(self, nid: int, kind: RoomKind, anchor: str | None) -> RoomRecord:
        self._db.execute(
            "UPDATE rooms SET kind = ?, anchor = ? WHERE room_nid = ?", (int(kind), anchor, nid)
        )
        return self._remember(replace(self.by_nid(nid), kind=kind, anchor=anchor))

    def set_note(self, nid: int, note: str | None) -> None:
        self._db.execute("UPDATE rooms SET note = ? WHERE room_nid = ?", (note, nid))
        self._remember(replace(self.by_nid(nid), note=note))

    def set_limit(self, nid: int, *, keep_events: int | None, keep_days: int | None) -> RoomRecord:
        self._db.execute(
            "UPDATE rooms SET keep_events = ?, keep_days = ? WHERE room_nid = ?",
            (keep_events, keep_days, nid),
        )
        room = replace(self.by_nid(nid), keep_events=keep_events, keep_days=keep_days)
        return self._remember(room)

    def set_clear_links(self, nid: int, clear_links: ClearLinks) -> RoomRecord:
        self._db.execute(
            "UPDATE rooms SET clear_links = ? WHERE room_nid = ?", (int(clear_links), nid)
        )
        return self._remember(replace(self.by_nid(nid), clear_links=clear_links))

    def set_current_group(self, nid: int, group: int) -> None:
        room = self.by_nid(nid)
        if room.current_group != group:
            self._dirty_groups[nid] = group
            self._remember(replace(room, current_group=group))

    # --- tips and forward extremities: sets of event numbers, written at commit

    def forward_extremities(self, nid: int) -> frozenset[int]:
        return self._edge_set("forward_extremities", nid)

    def set_forward_extremities(self, nid: int, events: Collection[int]) -> None:
        self._set_edges("forward_extremities", nid, events)

    def tips(self, nid: int) -> frozenset[int]:
        return self._edge_set("tips", nid)

    def set_tips(self, nid: int, events: Collection[int]) -> None:
        self._set_edges("tips", nid, events)

    def _edge_set(self, table: str, nid: int) -> frozenset[int]:
        found = self._edges.get((table, nid))
        if found is None:
            rows = self._db.execute(
                f"SELECT event_nid FROM {table} WHERE room_nid = ?",  # noqa: S608
                (nid,),
            ).fetchall()
            found = self._edges[(table, nid)] = frozenset(row[0] for row in rows)
        return found

    def _set_edges(self, table: str, nid: int, events: Collection[int]) -> None:
        self._edges[(table, nid)] = frozenset(events)
        self._dirty.add((table, nid))

    def flush(self) -> None:
        for table, nid in self._dirty:
            self._db.execute(f"DELETE FROM {table} WHERE room_nid = ?", (nid,))  # noqa: S608
            self._db.executemany(
                f"INSERT INTO {table} (room_nid, event_nid) VALUES (?, ?)",  # noqa: S608
                [(nid, event) for event in self._edges[(table, nid)]],
            )
        self._dirty.clear()
        for nid, group in self._dirty_groups.items():
            self._db.execute("UPDATE rooms SET current_group = ? WHERE room_nid = ?", (group, nid))
        self._dirty_groups.clear()

    # --- cards

    def put_card(self, room_nid: int, card: CardRecord) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO cards (room_nid, event_id, kind, source, received_ms, position,"
            " state_hash, servers, state, pdus) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                room_nid,
                card.event_id,
                card.kind,
                card.source,
                card.received_ms,
                card.position,
                card.state_hash,
                orjson.dumps(card.servers).decode(),
                orjson.dumps(card.state).decode(),
                orjson.dumps([pdu.decode() for pdu in card.pdus]),
            ),
        )

    def cards(self, room_nid: int) -> list[CardRecord]:
        """Oldest first."""
        rows = self._db.execute(
            "SELECT event_id, kind, source, received_ms, position, state_hash, servers, state, pdus"
            " FROM cards WHERE room_nid = ? ORDER BY position",
            (room_nid,),
        ).fetchall()
        return [
            CardRecord(
                event_id=event_id,
                kind=kind,
                source=source,
                received_ms=received_ms,
                position=position,
                state_hash=state_hash,
                servers=tuple(orjson.loads(servers)),
                state=tuple(orjson.loads(state)),
                pdus=tuple(pdu.encode() for pdu in orjson.loads(pdus)),
            )
            for (
                event_id,
                kind,
                source,
                received_ms,
                position,
                state_hash,
                servers,
                state,
                pdus,
            ) in rows
        ]

    def count_cards(self, room_nid: int) -> int:
        row = self._db.execute("SELECT count(*) FROM cards WHERE room_nid = ?", (room_nid,))
        return int(row.fetchone()[0])

    def servers_of_cards(self, room_nid: int) -> frozenset[str]:
        """Servers that, by the cards here, have joined members; whoever brought a card included."""
        found: set[str] = set()
        for source, servers in self._db.execute(
            "SELECT source, servers FROM cards WHERE room_nid = ?", (room_nid,)
        ).fetchall():
            found.add(source)
            found.update(orjson.loads(servers))
        return frozenset(found)

    def drop_card(self, room_nid: int, event_id: str) -> None:
        self._db.execute(
            "DELETE FROM cards WHERE room_nid = ? AND event_id = ?", (room_nid, event_id)
        )
