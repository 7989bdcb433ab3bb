"""Peers: who was added or blocked, when they were last met, and what they are known to have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dtnode.store.database import Database

MAX_MERELY_MET = 1_000  # servers that nobody added, named or blocked: those met last
_NEXT_HANDSHAKE = "next_handshake"
MAX_FRONTIER = 32  # events a peer's frontier in a room is described by; more would be noise


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRecord:
    """user_id: set when the peer was added by one. name: given by this node's user."""

    server_name: str
    user_id: str | None = None
    name: str | None = None
    added: bool = False
    blocked: bool = False
    last_contact_ms: int | None = None


class Peers:
    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[PeerRecord]:
        return self._select("1")

    def get(self, server_name: str) -> PeerRecord | None:
        found = self._select("server_name = ?", server_name)
        return found[0] if found else None

    def put(self, peer: PeerRecord) -> None:
        self._db.execute(
            "INSERT INTO peers (server_name, user_id, name, added, blocked, last_contact_ms)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET user_id = excluded.user_id,"
            " name = excluded.name, added = excluded.added, blocked = excluded.blocked,"
            " last_contact_ms = excluded.last_contact_ms",
            (
                peer.server_name,
                peer.user_id,
                peer.name,
                peer.added,
                peer.blocked,
                peer.last_contact_ms,
            ),
        )

    def remove(self, server_name: str) -> None:
        self._db.execute("DELETE FROM peers WHERE server_name = ?", (server_name,))

    def contacted(self, server_name: str, now_ms: int) -> None:
        self._db.execute(
            "INSERT INTO peers (server_name, last_contact_ms) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET last_contact_ms = excluded.last_contact_ms",
            (server_name, now_ms),
        )
        merely_met = "NOT added AND NOT blocked AND name IS NULL AND user_id IS NULL"
        self._db.execute(
            "DELETE FROM peers WHERE server_name IN (SELECT server_name FROM peers WHERE"  # noqa: S608
            f" {merely_met} ORDER BY last_contact_ms DESC LIMIT -1 OFFSET ?)",
            (MAX_MERELY_MET,),
        )

    # --- numbers of handshakes, so that none counts twice

    def handshakes(self) -> dict[str, int]:
        """server name -> the highest number of a handshake accepted from it."""
        rows = self._db.execute(
            "SELECT server_name, handshake FROM peers WHERE handshake IS NOT NULL"
        )
        return dict(rows.fetchall())

    def set_handshake(self, server_name: str, number: int) -> None:
        """Never lowers it."""
        self._db.execute(
            "INSERT INTO peers (server_name, handshake) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET handshake = excluded.handshake"
            " WHERE handshake IS NULL OR handshake < excluded.handshake",
            (server_name, number),
        )

    def reserve_handshakes(self, at_least: int, count: int) -> int:
        """The first of `count` numbers for own handshakes, all of them higher than any that was
        reserved before, and not below `at_least`. Good to use once the transaction is durable."""
        row = self._db.execute(
            "SELECT value FROM meta WHERE key = ?", (_NEXT_HANDSHAKE,)
        ).fetchone()
        first = at_least if row is None else max(int(row[0]), at_least)
        self._db.execute(
            "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
            (_NEXT_HANDSHAKE, first + count),
        )
        return first

    def _select(self, where: str, *values: object) -> list[PeerRecord]:
        rows = self._db.execute(
            "SELECT server_name, user_id, name, added, blocked, last_contact_ms"  # noqa: S608
            f" FROM peers WHERE {where} ORDER BY server_name",
            values,
        ).fetchall()
        return [
            PeerRecord(
                server_name=server_name,
                user_id=user_id,
                name=name,
                added=bool(added),
                blocked=bool(blocked),
                last_contact_ms=last_contact_ms,
            )
            for server_name, user_id, name, added, blocked, last_contact_ms in rows
        ]

    # --- what a peer has: these events of a room and all their ancestors

    def frontier(self, room_nid: int, server_name: str) -> list[int]:
        rows = self._db.execute(
            "SELECT event_nid FROM peer_frontier WHERE room_nid = ? AND server_name = ?",
            (room_nid, server_name),
        ).fetchall()
        return [row[0] for row in rows]

    def frontiers(self, room_nid: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for server_name, nid in self._db.execute(
            "SELECT server_name, event_nid FROM peer_frontier WHERE room_nid = ?", (room_nid,)
        ).fetchall():
            found.setdefault(server_name, []).append(nid)
        return found

    def set_frontier(self, room_nid: int, server_name: str, nids: Iterable[int]) -> None:
        """Keeps the newest MAX_FRONTIER of them."""
        kept = sorted(set(nids))[-MAX_FRONTIER:]
        self._db.execute(
            "DELETE FROM peer_frontier WHERE room_nid = ? AND server_name = ?",
            (room_nid, server_name),
        )
        self._db.executemany(
            "INSERT INTO peer_frontier (room_nid, server_name, event_nid) VALUES (?, ?, ?)",
            [(room_nid, server_name, nid) for nid in kept],
        )

    # --- single events a peer acknowledged outside any known history: cards, unjudged own events

    def mark_delivered_alone(self, server_name: str, event_ids: Iterable[str]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO delivered_alone (server_name, event_id) VALUES (?, ?)",
            [(server_name, event_id) for event_id in event_ids],
        )

    def delivered_alone(self, server_name: str, event_id: str) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM delivered_alone WHERE server_name = ? AND event_id = ?",
            (server_name, event_id),
        ).fetchone()
        return row is not None

    def servers_with(self, event_id: str) -> set[str]:
        rows = self._db.execute(
            "SELECT server_name FROM delivered_alone WHERE event_id = ?", (event_id,)
        ).fetchall()
        return {row[0] for row in rows}
