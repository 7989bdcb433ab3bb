"""Which events were removed by an m.room.redaction, so that clients get them without content.

The store keeps events whole, since their hashes are over the whole; what is shown is decided here.
The redactions of a room are found by going through its events once, and from then on through what
is new; how far that got is kept, so that a restart doesn't begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from dtnode.matrix.event_auth import redaction_applies
from dtnode.matrix.pdu import Pdu
from dtnode.rooms import Rooms
from dtnode.store import RoomRecord

_SCOPE = "redactions"
_CHUNK = 1_000  # events in memory at a time
_WORTH_SAVING = 2_000  # events to go through again after a restart: some tens of milliseconds


@dataclass(slots=True)
class _Found:
    """upto: position. unsaved: events gone through since it was saved. redactions: target -> ids,
    oldest first."""

    upto: int = 0
    unsaved: int = 0
    redactions: dict[str, list[str]] = field(default_factory=dict)


class Redactions:
    """Methods run on the store's thread."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._store = rooms.store
        self._found: dict[int, _Found] = {}
        rooms.store.on_rollback(self._found.clear)

    def redaction_of(self, room: RoomRecord, pdu: Pdu) -> Pdu | None:
        """The redaction that takes effect on `pdu`, if there is one."""
        for event_id in self._catch_up(room).redactions.get(pdu.event_id, ()):
            stored = self._store.events.get(event_id)
            if stored is None or stored.rejected or stored.soft_failed:
                continue
            if redaction_applies(stored.pdu, pdu, self._rooms.states.lookup(stored.before)):
                return stored.pdu
        return None

    def _catch_up(self, room: RoomRecord) -> _Found:
        found = self._found.get(room.nid)
        if found is None:
            found = self._found[room.nid] = self._load(room)
        upto = self._store.events.last_position()
        while found.upto < upto:
            events = self._store.events.between_positions(
                room.nid, found.upto, upto, _CHUNK, newest=False
            )
            after = found.upto
            found.upto = (events[-1].position or upto) if len(events) == _CHUNK else upto
            found.unsaved += len(events)
            # own events keep the position they had while they were held
            held = self._store.held.after_position(room.nid, after, found.upto)
            for pdu in (*(event.pdu for event in events), *(event.pdu for event in held)):
                if pdu.redacts is not None:
                    found.redactions.setdefault(pdu.redacts, []).append(pdu.event_id)
        return found

    def _load(self, room: RoomRecord) -> _Found:
        value = self._store.client_values.get(_SCOPE, room.room_id)
        if value is None:
            return _Found()
        upto, redactions = orjson.loads(value)
        return _Found(upto=upto, redactions=redactions)

    @property
    def worth_saving(self) -> bool:
        return any(found.unsaved >= _WORTH_SAVING for found in self._found.values())

    def save(self) -> None:
        for nid, found in self._found.items():
            if found.unsaved >= _WORTH_SAVING:
                value = orjson.dumps([found.upto, found.redactions])
                self._store.client_values.put(_SCOPE, self._store.rooms.by_nid(nid).room_id, value)
                found.unsaved = 0
