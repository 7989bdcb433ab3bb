"""Taking cards in: invites, removals and public rooms from peers."""

from __future__ import annotations

from dtnode.errors import AuthRuleError, FormatError
from dtnode.matrix.event_auth import check_state_dependent_auth_rules
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.signing import KeyLookup
from dtnode.rooms.cards import CheckedCard, check_card, check_subject
from dtnode.rooms.join_rules import join_rule
from dtnode.rooms.membership import is_removal, own_chain, standing
from dtnode.rooms.receive import Receiver
from dtnode.rooms.state import RoomStates
from dtnode.store import HeldEvent, RoomKind, RoomRecord, Store
from dtnode.store.rooms import CardRecord
from dtnode.wire.messages import CardKind, RoomCard

MAX_INVITED_ROOMS = 500  # unanswered invites; a peer could invite without end
MAX_CARDS_PER_ROOM = 20  # invites and removals in turn; only the newest of each matter

DESCRIBED_DIFFERENTLY = (
    "two members describe this room differently: one of them may hide something, or hasn't"
    " everything yet"
)


class CardTaker:
    def __init__(
        self,
        store: Store,
        states: RoomStates,
        receiver: Receiver,
        keys: KeyLookup,
        user_id: str,
    ) -> None:
        self._store = store
        self._states = states
        self._receiver = receiver
        self._keys = keys
        self._user_id = user_id

    def take(self, card: RoomCard, *, source: str, now_ms: int) -> bool:
        """Verifies a card and keeps it. True: something is new for the person.

        PduError: the card is forged, broken, about somebody else, or too many are here already.
        """
        checked = check_card(card, self._keys)
        if card.kind is CardKind.PUBLIC:
            _check_public(checked)
        else:
            check_subject(checked, self._user_id)
        room = self._store.rooms.get(card.room_id)
        if room is None:
            if card.kind is CardKind.REMOVAL:
                return False  # from a room this node never heard of: nothing to take away
            room = self._new_room(checked)
        elif self._is_old_news(room, checked):
            return self._is_described_differently(room, card)
        if self._is_outdated(room, checked):
            self._judge_if_possible(room, checked, source, now_ms)
            return False
        new_start = self._is_new_start(room, checked)
        self._make_place(room)
        position = self._store.events.next_position()
        self._store.rooms.put_card(room.nid, _record(card, source, now_ms, position))
        if card.kind is CardKind.REMOVAL:
            self._note_removal(room, checked.event)
        elif new_start:
            self._store.rooms.set_kind(room.nid, RoomKind.INVITED, card.event_id)
            self._store.rooms.set_note(room.nid, None)
        self._judge_if_possible(room, checked, source, now_ms)
        return True

    def _is_old_news(self, room: RoomRecord, checked: CheckedCard) -> bool:
        event_id = checked.event.event_id
        if self._store.events.has(event_id):
            return True
        if checked.card.kind is CardKind.PUBLIC:
            if not self._is_new_start(room, checked):
                return not self._shows_more(room, checked)
            return False
        # A newer card carries what it answers in its auth chain.
        records = self._store.rooms.cards(room.nid)
        return any(
            event_id == record.event_id or any(event_id.encode() in pdu for pdu in record.pdus)
            for record in records
        )

    def _is_outdated(self, room: RoomRecord, checked: CheckedCard) -> bool:
        """Whether the card rests on an act whose author had the power for it once and, by what is
        known here, no more: check 6 for what this node can't place yet.

        A card proves its event by its auth events alone. Without this a moderator of old could
        remove people from their rooms for ever, by an event whose parents nobody has. What rests on
        acts unknown here may be news.
        """
        if room.kind is not RoomKind.COMPLETE or checked.card.kind is CardKind.PUBLIC:
            return False
        current = self._states.lookup(room.current_group)
        for event in checked.events.values():
            auth = [self._store.events.get(event_id) for event_id in event.auth_event_ids]
            if self._store.events.has(event.event_id) or None in auth:
                continue
            if any(known is not None and known.rejected for known in auth):
                return True
            try:
                check_state_dependent_auth_rules(event, current)
            except AuthRuleError:
                return True
        return False

    def _shows_more(self, room: RoomRecord, checked: CheckedCard) -> bool:
        """Whether a second member's card of the place where the room is known from names members
        whom the first one didn't: one of them may be in reach, and let this user in."""
        if room.anchor != checked.event.event_id:
            return False
        known = next(r for r in self._store.rooms.cards(room.nid) if r.event_id == room.anchor)
        return known.state_hash == checked.card.state_hash and not set(known.state).issuperset(
            checked.card.state
        )

    def _is_new_start(self, room: RoomRecord, checked: CheckedCard) -> bool:
        """Whether the user would join by this card from now on.

        An invite doesn't change the footing of somebody who is in the room, or anyone who ever had
        the power to invite could pull them out of it with an old one; but for one that answers
        their removal.
        """
        if checked.card.kind is CardKind.REMOVAL or room.anchor == checked.event.event_id:
            return False
        membership = standing(self._store, self._states, room, self._user_id).membership
        if checked.card.kind is CardKind.PUBLIC:
            return membership not in ("join", "invite", "knock")
        answered = (checked.events[event_id] for event_id in checked.event.auth_event_ids)
        return membership != "join" or any(
            event.state_key == self._user_id and is_removal(event) for event in answered
        )

    def _make_place(self, room: RoomRecord) -> None:
        """Bounds the cards of a room: the oldest goes, but not the one the room rests on."""
        records = self._store.rooms.cards(room.nid)
        spare = [record for record in records if record.event_id != room.anchor]
        if len(records) >= MAX_CARDS_PER_ROOM:
            self._store.rooms.drop_card(room.nid, spare[0].event_id)

    def _new_room(self, checked: CheckedCard) -> RoomRecord:
        invited = sum(
            room.kind is RoomKind.INVITED and not self._store.held.own(room.nid)
            for room in self._store.rooms
        )
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

    def _is_described_differently(self, room: RoomRecord, card: RoomCard) -> bool:
        """Notes that a second member's card of the same event shows another state. True: that is
        new. Which of them is right only the room's history can tell."""
        differs = any(
            record.event_id == card.event_id and record.state_hash != card.state_hash
            for record in self._store.rooms.cards(room.nid)
        )
        if not differs or room.note == DESCRIBED_DIFFERENTLY:
            return False
        self._store.rooms.set_note(room.nid, DESCRIBED_DIFFERENTLY)
        return True

    def _note_removal(self, room: RoomRecord, event: Pdu) -> None:
        if event.membership == "ban":
            what = "banned you"
        elif any(held.pdu.membership == "knock" for held in self._own_chain(room)):
            what = "turned you down"
        elif room.kind is RoomKind.INVITED:
            what = "revoked your invite"
        else:
            what = "removed you"
        reason = event.content.get("reason")
        text = f"{event.sender} {what}"
        if isinstance(reason, str) and reason:
            text += f": {reason[:200]}"
        self._store.rooms.set_note(room.nid, text)

    def _own_chain(self, room: RoomRecord) -> list[HeldEvent]:
        return own_chain(self._store, room, self._user_id)

    def _judge_if_possible(
        self, room: RoomRecord, checked: CheckedCard, source: str, now_ms: int
    ) -> None:
        """In a room whose history is here the event itself goes through the pipeline too: judged
        now, or held as a gap to be filled."""
        if self._store.rooms.forward_extremities(room.nid):
            self._receiver.receive(room, [checked.event.canonical()], source=source, now_ms=now_ms)


def _check_public(checked: CheckedCard) -> None:
    rule = join_rule(checked.event.version, lambda type_, key: checked.state.get((type_, key)))
    if rule == "invite":
        raise FormatError("the card is of a room that only invited people join")


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
