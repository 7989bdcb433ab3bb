"""Events as clients get them: the room event format with `unsigned`, redactions applied, and the
stripped form of invites."""

from __future__ import annotations

from typing import Any

from dtnode.client_api.redactions import Redactions
from dtnode.client_api.sessions import Session
from dtnode.client_api.snapshots import StateIds
from dtnode.client_api.transactions import Transactions
from dtnode.matrix.pdu import Pdu
from dtnode.rooms import Rooms
from dtnode.rooms.timeline import TimelineEvent, client_event, marks
from dtnode.store import RoomRecord

OWN = "org.dtnode"  # the key of what dtnode adds under `unsigned`


class Renderer:
    """Methods run on the store's thread."""

    def __init__(self, rooms: Rooms, redactions: Redactions, transactions: Transactions) -> None:
        self._rooms = rooms
        self._store = rooms.store
        self._redactions = redactions
        self._transactions = transactions

    def event(
        self,
        room: RoomRecord,
        event: TimelineEvent,
        *,
        now_ms: int,
        session: Session | None = None,
        label: str | None = None,
    ) -> dict[str, Any]:
        """session: whose transaction ids are shown. label: what the sender is called here."""
        json, unsigned = self._with_unsigned(room, event.pdu, now_ms)
        own = _marks(event)
        if label is not None:
            own["label"] = label
        if "redacted_because" in unsigned:
            own["redacted"] = True
        if own:
            unsigned[OWN] = own
        if session is not None and event.pdu.sender == self._rooms.user_id:
            txn_id = self._transactions.of_event(session, event.pdu.event_id)
            if txn_id is not None:
                unsigned["transaction_id"] = txn_id
        return json

    def state_event(self, room: RoomRecord, pdu: Pdu, *, now_ms: int) -> dict[str, Any]:
        """For state sections: without what only a timeline tells."""
        return self._with_unsigned(room, pdu, now_ms)[0]

    def _with_unsigned(
        self, room: RoomRecord, pdu: Pdu, now_ms: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        because = self._redactions.redaction_of(room, pdu)
        json = client_event(pdu if because is None else pdu.redacted_form())
        unsigned: dict[str, Any] = {"age": max(0, now_ms - pdu.origin_server_ts)}
        if because is not None:
            unsigned["redacted_because"] = client_event(because)
        earlier = self._replaced(pdu) if pdu.is_state else None
        if earlier is not None and because is None:
            unsigned["prev_content"] = earlier.content
            unsigned["replaces_state"] = earlier.event_id
        json["unsigned"] = unsigned
        return json, unsigned

    def state_before(self, event_id: str) -> StateIds:
        """{} for events that can't be judged yet."""
        stored = self._store.events.get(event_id)
        return {} if stored is None else self._store.state_groups.state(stored.before)

    def _replaced(self, pdu: Pdu) -> Pdu | None:
        earlier = self.state_before(pdu.event_id).get(pdu.key)
        if earlier is None or earlier == pdu.event_id:
            return None
        stored = self._store.events.get(earlier)
        return None if stored is None else stored.pdu

    def undone(self, room: RoomRecord, pdu: Pdu, *, now_ms: int) -> dict[str, Any]:
        """State that was told and doesn't count any more, with nothing in its place: Matrix has no
        words for that. The event that set it is told again, empty and marked; a membership that
        never came to be is a `leave`."""
        json = self.state_event(room, pdu, now_ms=now_ms)
        json["content"] = {"membership": "leave"} if pdu.type == "m.room.member" else {}
        json["unsigned"][OWN] = {"undone": True}
        return json


def _marks(event: TimelineEvent) -> dict[str, Any]:
    """As dtnode.rooms has them, but counting this node among those that have an own event: "here
    only" is 1."""
    found = marks(event)
    if "known_at" in found:
        found["known_at"] += 1
        found["members"] = max(found["members"] + 1, found["known_at"])
    return found


def stripped(pdu: Pdu) -> dict[str, Any]:
    """Client-server API, "Stripped state"."""
    return {
        "type": pdu.type,
        "state_key": pdu.state_key or "",
        "sender": pdu.sender,
        "content": pdu.content,
    }
