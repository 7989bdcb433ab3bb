"""Taking cards in: invites, removals and public rooms from peers."""

from __future__ import annotations

from dtnode.errors import FormatError
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.signing import KeyLookup
from dtnode.rooms.cards import CheckedCard, check_card, membership_subject
from dtnode.rooms.receive import Receiver
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomKind, RoomRecord, Store
from dtnode.store.rooms import CardRecord
from dtnode.wire.messages import CardKind, RoomCard

MAX_INVITED_ROOMS = 500  # rooms known only by a card; a peer could invite without end


class CardTaker:
    def __init__(
        self,
        store: Store,
        states: RoomStates,
        receiver: Receiver,
        keys: KeyLookup,
        own_name: str,
    ) -> None:
        self._store = store
        self._states = states
        self._receiver = receiver
        self._keys = keys
        self._own_name = own_name

    def take(self, card: RoomCard, *, source: str, now_ms: int) -> bool:
        """Verifies a card and keeps it. True: something is new for the person.

        PduError: the card is forged, broken, about somebody else, or too many are here already.
        """
        checked = check_card(card, self._keys)
        if card.kind is CardKind.PUBLIC:
            _check_public(checked)
        else:
            membership_subject(checked, self._own_name)
        room = self._store.rooms.get(card.room_id)
        if room is not None and self._is_old_news(room, checked):
            return False
        if room is None:
            if card.kind is CardKind.REMOVAL:
                return False  # from a room this node never heard of: nothing to take away
            room = self._new_room(checked)
        self._warn_if_described_differently(room, card)
        position = self._store.events.next_position()
        self._store.rooms.put_card(room.nid, _record(card, source, now_ms, position))
        if card.kind is CardKind.REMOVAL:
            self._note_removal(room, checked.event)
        elif room.kind is RoomKind.COMPLETE or room.anchor != card.event_id:
            self._store.rooms.set_kind(room.nid, RoomKind.INVITED, card.event_id)
            self._store.rooms.set_note(room.nid, None)
        self._judge_if_possible(room, checked, source, now_ms)
        return True

    def _is_old_news(self, room: RoomRecord, checked: CheckedCard) -> bool:
        event_id, kind = checked.event.event_id, checked.card.kind
        if self._store.events.has(event_id):
            return True
        records = self._store.rooms.cards(room.nid)
        if kind is CardKind.PUBLIC:
            return room.kind is RoomKind.COMPLETE or bool(records)
        if any(record.event_id == event_id for record in records):
            known = next(record for record in records if record.event_id == event_id)
            return known.state_hash == checked.card.state_hash
        # A newer card carries what it answers in its auth chain.
        return any(event_id.encode() in pdu for record in records for pdu in record.pdus)

    def _new_room(self, checked: CheckedCard) -> RoomRecord:
        invited = sum(room.kind is RoomKind.INVITED for room in self._store.rooms)
        if invited >= MAX_INVITED_ROOMS:
            raise FormatError(
                f"{invited} invites wait here already: join or leave some, then meet it again"
            )
        return self._store.rooms.add(
            checked.card.room_id,
            checked.event.version,
            RoomKind.INVITED,
            anchor=checked.event.event_id,
        )

    def _warn_if_described_differently(self, room: RoomRecord, card: RoomCard) -> None:
        for record in self._store.rooms.cards(room.nid):
            if record.event_id == card.event_id and record.state_hash != card.state_hash:
                self._store.rooms.set_note(
                    room.nid,
                    "two members describe this room differently: one of them may hide something,"
                    " or hasn't everything yet",
                )

    def _note_removal(self, room: RoomRecord, event: Pdu) -> None:
        if event.membership == "ban":
            what = "banned you"
        elif room.kind is RoomKind.INVITED:
            what = "revoked your invite"
        else:
            what = "removed you"
        reason = event.content.get("reason")
        text = f"{event.sender} {what}"
        if isinstance(reason, str) and reason:
            text += f": {reason[:200]}"
        self._store.rooms.set_note(room.nid, text)

    def _judge_if_possible(
        self, room: RoomRecord, checked: CheckedCard, source: str, now_ms: int
    ) -> None:
        """In a room whose history is here the event itself goes through the pipeline too: judged
        now, or held as a gap to be filled."""
        if self._store.rooms.forward_extremities(room.nid):
            self._receiver.receive(room, [checked.event.canonical()], source=source, now_ms=now_ms)


def _check_public(checked: CheckedCard) -> None:
    rules = checked.state.get(("m.room.join_rules", ""))
    if rules is None or rules.content.get("join_rule") != "public":
        raise FormatError("the card is of a room that isn't public")


def _record(card: RoomCard, source: str, now_ms: int, position: int) -> CardRecord:
    return CardRecord(
        event_id=card.event_id,
        kind=int(card.kind),
        source=source,
        received_ms=now_ms,
        position=position,
        state_hash=card.state_hash,
        servers=card.servers,
        state=card.state,
        pdus=card.pdus,
    )
