"""Which events were removed by an m.room.redaction, so that clients get them without content.

The store keeps events whole, since their hashes are over the whole; what is shown is decided here.
"""

from __future__ import annotations

from dtnode.matrix.event_auth import redaction_applies
from dtnode.matrix.pdu import Pdu
from dtnode.rooms import Rooms
from dtnode.store import RoomRecord


class Redactions:
    """Methods run on the store's thread."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._store = rooms.store

    def redaction_of(self, room: RoomRecord, pdu: Pdu) -> Pdu | None:
        """The redaction that takes effect on `pdu`, if there is one: the first that came."""
        for nid in self._store.indexes.redactions.of(pdu.event_id, room.nid):
            stored = self._store.events.by_nid(nid)
            assert stored is not None, "the table names stored events only"
            if redaction_applies(stored.pdu, pdu, self._rooms.states.lookup(stored.before)):
                return stored.pdu
        return None
