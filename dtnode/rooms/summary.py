"""One room in a few figures, for `status`, `room list` and comparisons between nodes."""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.matrix.state_resolution import state_hash
from dtnode.rooms.gaps import gaps_of
from dtnode.rooms.membership import standing
from dtnode.rooms.names import Names, state_to_show
from dtnode.rooms.permission import clear_links, is_encrypted
from dtnode.rooms.sharing import Sharing
from dtnode.rooms.state import RoomStates
from dtnode.store import ClearLinks, RoomKind, RoomRecord, Store

_CLEAR_LINKS = {
    ClearLinks.NO: "no",
    ClearLinks.PERMITTED: "yes",
    ClearLinks.ALTHOUGH_ENCRYPTED: "yes",
    ClearLinks.ENDED: "ended",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSummary:
    """events, tips, tip_state: order-independent, comparable between nodes (DESIGN section 2).
    held: events that wait for their parents. states_differ: the tip state isn't the state over the
    forward extremities, i.e. something tries to come in from behind. members: joined ones. knocks:
    people who ask to be let in. successor: the room that a tombstone names in place of this one.
    predecessor: the one that this room says it replaces. clear_links: whether it may go over links
    that others can read, "no", "yes", or "ended" because it became encrypted. encrypted: by its
    current state."""

    room_id: str
    name: str
    version: str
    kind: str
    membership: str | None
    events: int
    rejected: int
    soft_failed: int
    tips: tuple[str, ...]
    tip_state: str
    gaps: int
    held: int
    members: int
    states_differ: bool
    note: str | None
    knocks: int
    successor: str | None
    predecessor: str | None
    clear_links: str
    encrypted: bool


def summarise(
    store: Store,
    states: RoomStates,
    sharing: Sharing,
    names: Names,
    room: RoomRecord,
    *,
    user_id: str,
    own_name: str,
) -> RoomSummary:
    accepted, rejected, soft_failed = store.events.counts(room.nid)
    tip_group = states.tip_group(room.nid)
    tip_state = store.state_groups.state(tip_group)
    current = store.state_groups.state(room.current_group)
    return RoomSummary(
        room_id=room.room_id,
        name=names.room_name(room),
        version=room.version.identifier,
        kind="invited" if room.kind is RoomKind.INVITED else "complete",
        membership=standing(store, states, room, user_id).membership,
        events=accepted,
        rejected=rejected,
        soft_failed=soft_failed,
        tips=tuple(sorted(store.events.ids_of(store.rooms.tips(room.nid)))),
        tip_state=state_hash(tip_state),
        gaps=len(gaps_of(store, sharing, room, own_name)),
        held=store.held.count(room.nid),
        members=_members(store, states, room, user_id, "join"),
        states_differ=tip_state != current,
        note=room.note,
        knocks=_members(store, states, room, user_id, "knock"),
        successor=names.successor(room),
        predecessor=names.predecessor(room),
        clear_links=_CLEAR_LINKS[clear_links(store, states, room, user_id)],
        encrypted=is_encrypted(store, states, room, user_id),
    )


def _members(
    store: Store, states: RoomStates, room: RoomRecord, user_id: str, membership: str
) -> int:
    """How many members there are with that membership, as far as this node may show it."""
    if room.kind is RoomKind.COMPLETE:
        members = states.member_table(room.current_group).by_user.values()
        return sum(member.membership == membership for member in members)
    shown = state_to_show(store, states, room, user_id)
    return sum(event.membership == membership for event in shown.values())
