"""Keeps cards within what one message carries: a room can outgrow it, and its invites must go on.

Called where cards are looked up for a peer (dtnode.node.peer_work). What is in a card otherwise is
dtnode.rooms.cards' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dtnode.store import Store, StoredEvent
from dtnode.wire.limits import MAX_CARD_PDUS, MAX_CARD_PDUS_BYTES, MAX_CARD_SERVERS, MAX_PDU_BYTES
from dtnode.wire.messages import RoomCard

_LEFT_OUT_FIRST = (
    "m.room.topic",
    "m.room.canonical_alias",
    "m.room.name",
    "m.room.history_visibility",
    "m.room.server_acl",
)
"""The rest a card is no use, or dangerous, without: whoever joined by one that lacks the room's
m.room.encryption would write in the clear."""


def fitting(store: Store, card: RoomCard) -> RoomCard | None:
    """`card`, or where it is too large one that shows less of the room's state, the least needed
    left out first; None where even the rest doesn't fit.

    The receiver still checks it from the root. It has the whole state once it is in the room.
    """
    left_out: set[str] = set()
    for type_ in (None, *_LEFT_OUT_FIRST):
        if type_ is not None:
            left_out.add(type_)
            card = _without(store, card, left_out)
        if _fits(card):
            return card
    return None


def _fits(card: RoomCard) -> bool:
    return (
        len(card.pdus) <= MAX_CARD_PDUS
        and len(card.state) <= MAX_CARD_PDUS
        and len(card.servers) <= MAX_CARD_SERVERS
        and sum(map(len, card.pdus)) <= MAX_CARD_PDUS_BYTES
        and all(len(pdu) <= MAX_PDU_BYTES for pdu in card.pdus)
    )


def _without(store: Store, card: RoomCard, left_out: Iterable[str]) -> RoomCard:
    kept = [
        event
        for event_id in card.state
        if (event := _stored(store, event_id)).pdu.type not in left_out
    ]
    found: dict[str, StoredEvent] = {}
    todo = [_stored(store, card.event_id), *kept]
    while todo:
        event = todo.pop()
        if event.event_id not in found:
            found[event.event_id] = event
            todo += [_stored(store, event_id) for event_id in event.pdu.auth_event_ids]
    in_order = sorted(found.values(), key=lambda event: event.nid)
    return replace(
        card,
        pdus=tuple(event.pdu.canonical() for event in in_order),
        state=tuple(event.event_id for event in kept),
    )


def _stored(store: Store, event_id: str) -> StoredEvent:
    event = store.events.get(event_id)
    assert event is not None, "a card is made of stored events"
    return event
