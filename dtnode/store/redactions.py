"""Which m.room.redaction events name an event, whatever became of them. Whether one takes effect is
dtnode.client_api's business."""

from __future__ import annotations

from dtnode.store.database import Database


class RedactionTable:
    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, target: str, nid: int) -> None:
        """nid: of the redaction, which may be there already."""
        self._db.execute(
            "INSERT OR IGNORE INTO redactions (target, event_nid) VALUES (?, ?)", (target, nid)
        )

    def of(self, target: str, room_nid: int) -> list[int]:
        """Numbers of the accepted redactions in this room that name an event and aren't
        soft-failed, in rising order."""
        self._db.flush()
        rows = self._db.execute(
            "SELECT r.event_nid FROM redactions r JOIN events e ON e.event_nid = r.event_nid"
            " WHERE r.target = ? AND e.room_nid = ? AND NOT e.rejected AND NOT e.soft_failed"
            " ORDER BY r.event_nid",
            (target, room_nid),
        ).fetchall()
        return [row[0] for row in rows]
