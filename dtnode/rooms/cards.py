"""Room cards: what lets someone outside a room check an invite, a removal or a public room from the
root, and act on it without a round trip (DESIGN section 7).

Making cards reads the store; checking one is a pure function of its PDUs. A card can be aged or
incomplete by whoever made it, never forged: every event in it stands on its auth chain, down to the
create event that the room id names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dtnode.errors import AuthRuleError, FormatError, PduError
from dtnode.matrix.event_auth import (
    auth_state,
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
)
from dtnode.matrix.pdu import Pdu, StateKey, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.signing import KeyLookup, check_content_hash, verify_pdu
from dtnode.matrix.state_resolution import state_hash
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomRecord, Store, StoredEvent
from dtnode.wire.messages import CardKind, RoomCard

_WORTH_KNOWING: tuple[StateKey, ...] = (
    ("m.room.create", ""),
    ("m.room.power_levels", ""),
    ("m.room.join_rules", ""),
    ("m.room.name", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.topic", ""),
    ("m.room.encryption", ""),
    ("m.room.history_visibility", ""),
    ("m.room.server_acl", ""),
)
_MAX_SERVERS = 100  # joined servers named in a card, so that the invited node knows whom to meet


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCard:
    """A card whose every event was verified from the root.

    event: the invite, removal or parent of a public join. state: what it shows of the room's state.
    """

    card: RoomCard
    event: Pdu
    events: Mapping[str, Pdu]
    state: Mapping[StateKey, Pdu]


def make_card(
    store: Store,
    states: RoomStates,
    room: RoomRecord,
    event: StoredEvent,
    kind: CardKind,
    also: Iterable[StateKey] = (),
) -> RoomCard:
    """A card for `event` of a complete room: that event, the state worth knowing, auth chains.

    PUBLIC cards show the state after their event, the others the state before it. also: further
    state to show, as far as there is any.
    """
    group = event.after if kind is CardKind.PUBLIC else event.before
    state = store.state_groups.state(group)
    shown = [state[key] for key in dict.fromkeys((*_WORTH_KNOWING, *also)) if key in state]
    roots = [event, *(_stored(store, event_id) for event_id in shown)]
    pdus = sorted(_with_auth_chains(store, roots), key=lambda stored: stored.nid)
    return RoomCard(
        kind=kind,
        room_id=room.room_id,
        room_version=room.version.identifier,
        event_id=event.event_id,
        pdus=tuple(stored.pdu.canonical() for stored in pdus),
        state=tuple(shown),
        state_hash=bytes.fromhex(state_hash(state)),
        servers=tuple(sorted(states.joined_servers(group))[:_MAX_SERVERS]),
    )


def _with_auth_chains(store: Store, roots: Iterable[StoredEvent]) -> list[StoredEvent]:
    found: dict[str, StoredEvent] = {}
    todo = list(roots)
    while todo:
        event = todo.pop()
        if event.event_id not in found:
            found[event.event_id] = event
            todo += [_stored(store, event_id) for event_id in event.pdu.auth_event_ids]
    return list(found.values())


def _stored(store: Store, event_id: str) -> StoredEvent:
    event = store.events.get(event_id)
    assert event is not None, "states and auth chains name stored events"
    return event


def check_card(card: RoomCard, keys: KeyLookup) -> CheckedCard:
    """Verifies a card from the root. PduError: which event fails and why."""
    version = ROOM_VERSIONS.get(card.room_version)
    if version is None:
        raise FormatError(f"room version {card.room_version!r:.20} is not known here")
    events: dict[str, Pdu] = {}
    for data in card.pdus:
        pdu = read_pdu(data, version)
        if pdu.room_id != card.room_id:
            raise FormatError(f"event {pdu.event_id} belongs to another room than the card")
        verify_pdu(pdu, keys)
        pdu = check_content_hash(pdu)
        if pdu.type == "m.room.create":
            check_version_of_create(pdu)
        _check_from_auth_events(pdu, events)
        events[pdu.event_id] = pdu
    event = events.get(card.event_id)
    if event is None:
        raise FormatError("the card lacks the event it is about")
    state: dict[StateKey, Pdu] = {}
    for event_id in card.state:
        shown = events.get(event_id)
        if shown is None or not shown.is_state:
            raise FormatError("the card names state it doesn't hold")
        state[shown.key] = shown
    return CheckedCard(card=card, event=event, events=events, state=state)


def check_version_of_create(create: Pdu) -> None:
    """FormatError: the create event makes a room of another version than it was read as. Whoever
    brings a room first says which version it has; the room itself must agree."""
    declared = create.content.get("room_version", "1")
    if declared != create.version.identifier:
        raise FormatError(
            f"the room says it has version {declared!r:.20}, whoever brought it says"
            f" {create.version.identifier}"
        )


def _check_from_auth_events(pdu: Pdu, events: Mapping[str, Pdu]) -> None:
    """Check 4, with nothing but the card's earlier events."""
    missing = [event_id for event_id in pdu.auth_event_ids if event_id not in events]
    if missing:
        raise AuthRuleError(f"the card lacks {missing[0]}, an auth event of {pdu.event_id}")
    auth = [events[event_id] for event_id in pdu.auth_event_ids]
    try:
        check_state_independent_auth_rules(pdu, auth, lambda _: False)
        check_state_dependent_auth_rules(pdu, auth_state(auth))
    except PduError as exc:
        raise AuthRuleError(f"event {pdu.event_id} in the card: {exc.reason}") from exc


def check_subject(checked: CheckedCard, user_id: str) -> None:
    """FormatError: an INVITE or REMOVAL card that isn't about `user_id`'s invite or removal."""
    event, kind = checked.event, checked.card.kind
    if event.type != "m.room.member" or event.state_key != user_id:
        raise FormatError("the card is about nobody on this node")
    wanted = {"invite"} if kind is CardKind.INVITE else {"leave", "ban"}
    if event.membership not in wanted:
        raise FormatError(f"the card's event says {event.membership!r:.20}, not {sorted(wanted)}")
    if kind is CardKind.REMOVAL and event.sender == user_id:
        raise FormatError("the card's event is the user's own leaving, no removal")


def join_state(checked: CheckedCard) -> dict[StateKey, str]:
    """The state that a join and what follows it are authorised by.

    For an invite: its own auth events (DESIGN section 7), and the invite. For a public room: what
    the card shows.
    """
    if checked.card.kind is CardKind.PUBLIC:
        return {key: pdu.event_id for key, pdu in checked.state.items()}
    auth = [checked.events[event_id] for event_id in checked.event.auth_event_ids]
    state = {pdu.key: pdu.event_id for pdu in auth}
    state[checked.event.key] = checked.event.event_id
    return state
