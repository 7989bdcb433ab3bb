"""Where this node's user stands in a room, also in rooms it knows only by a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dtnode.matrix.pdu import Pdu, StateKey, read_pdu
from dtnode.matrix.signing import check_content_hash
from dtnode.rooms.cards import CheckedCard, join_state
from dtnode.rooms.state import RoomStates
from dtnode.store import HeldEvent, RoomKind, RoomRecord, Store
from dtnode.store.rooms import CardRecord
from dtnode.wire.messages import CardKind, RoomCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """membership: as m.room.member's, or None: never was in the room. event: what says so.
    provisional: this node can't judge it yet (it rests on a card or a held event)."""

    membership: str | None
    event: Pdu | None
    provisional: bool


def standing(store: Store, states: RoomStates, room: RoomRecord, user_id: str) -> Standing:
    """In a complete room the current state says it, unless a removal card is ahead of it; else the
    newest of card and own events."""
    removal = pending_removal(store, room, user_id)
    if room.kind is RoomKind.COMPLETE:
        event = states.event(room.current_group, "m.room.member", user_id)
        if removal is not None:
            return Standing(membership=removal.membership, event=removal, provisional=True)
        membership = None if event is None else event.membership
        return Standing(membership=membership, event=event, provisional=False)
    if removal is not None:
        return Standing(membership=removal.membership, event=removal, provisional=True)
    card = anchor_card(store, room)
    latest = None if card is None else _shown_member(card, user_id)
    for held in own_chain(store, room, user_id):
        if held.pdu.type == "m.room.member" and held.pdu.state_key == user_id:
            latest = held.pdu
    membership = None if latest is None else latest.membership
    return Standing(membership=membership, event=latest, provisional=True)


def _shown_member(card: CheckedCard, user_id: str) -> Pdu | None:
    """An invite is about this user; a public room's card may show how they once left it."""
    if card.card.kind is CardKind.INVITE:
        return card.event
    return card.state.get(("m.room.member", user_id))


def pending_removal(store: Store, room: RoomRecord, user_id: str) -> Pdu | None:
    """The event of a removal card of `user_id` that hasn't been judged and isn't answered by a
    newer invite."""
    cards = [stored_card(record, room) for record in store.rooms.cards(room.nid)]
    removals = [
        card
        for card in cards
        if card.card.kind is CardKind.REMOVAL
        and card.event.state_key == user_id
        and store.events.nid_of(card.event.event_id) is None
    ]
    for removal in reversed(removals):
        superseded = any(
            removal.event.event_id in card.events and card is not removal for card in cards
        )
        if not superseded:
            return removal.event
    return None


def is_removal(event: Pdu) -> bool:
    """Whether a membership event is a kick, ban, unban or revoked invite: done by somebody else."""
    return event.membership in ("leave", "ban") and event.sender != event.state_key


def stored_card(record: CardRecord, room: RoomRecord) -> CheckedCard:
    """A card as it was checked before it was stored; nothing is verified again."""
    parsed = [read_pdu(data, room.version) for data in record.pdus]
    events = {pdu.event_id: check_content_hash(pdu) for pdu in parsed}
    state: dict[StateKey, Pdu] = {events[id_].key: events[id_] for id_ in record.state}
    card = RoomCard(
        kind=CardKind(record.kind),
        room_id=room.room_id,
        room_version=room.version.identifier,
        event_id=record.event_id,
        pdus=record.pdus,
        state=record.state,
        state_hash=record.state_hash,
        servers=record.servers,
    )
    return CheckedCard(card=card, event=events[record.event_id], events=events, state=state)


def anchor_card(store: Store, room: RoomRecord) -> CheckedCard | None:
    """The card an INVITED room rests on."""
    for record in store.rooms.cards(room.nid):
        if record.event_id == room.anchor:
            return stored_card(record, room)
    return None


def own_chain(store: Store, room: RoomRecord, user_id: str) -> list[HeldEvent]:
    """Own events on the anchor that can't be judged here yet, in order. What hangs on an earlier
    invite (declined, say, or revoked) doesn't count."""
    chain: list[HeldEvent] = []
    on_anchor = {room.anchor}
    for held in store.held.own(room.nid):
        if held.pdu.sender == user_id and on_anchor.issuperset(held.pdu.prev_events):
            on_anchor.add(held.pdu.event_id)
            chain.append(held)
    return chain


def chain_state(card: CheckedCard, chain: list[HeldEvent]) -> Mapping[StateKey, str]:
    """What authorises the next own event in a room known by a card."""
    state = join_state(card)
    for held in chain:
        if held.pdu.is_state:
            state[held.pdu.key] = held.pdu.event_id
    return state


def shown_state(card: CheckedCard, chain: list[HeldEvent]) -> dict[StateKey, Pdu]:
    """What a person may be shown of a room known by a card: its state, the invite, own state."""
    state = dict(card.state)
    if card.event.is_state:
        state[card.event.key] = card.event
    for held in chain:
        if held.pdu.is_state:
            state[held.pdu.key] = held.pdu
    return state
