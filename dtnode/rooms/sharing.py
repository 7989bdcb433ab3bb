"""Who gets what (DESIGN section 6), and what two nodes lack of each other.

A server with joined members gets the whole DAG of a room, messages it may not read in redacted
form. A server that was removed gets its removal, what led to it, and what it could see on its side
of a partition; one that the room's ACL denies gets nothing. Anyone else learns not even that the
room exists. Called for one authenticated peer at a time.

Over a link that others can read this holds for permitted rooms alone (`Sharing.over`); every other
room is none that is shared there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dtnode.link_info import CipherPolicy
from dtnode.matrix.history_visibility import server_may_read, visibility_of
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import Pdu
from dtnode.rooms.cards import make_card
from dtnode.rooms.join_rules import RESTRICTED, authorisers, join_rule, lets_server_in
from dtnode.rooms.membership import is_removal, own_chain, standing
from dtnode.rooms.permission import clear_links
from dtnode.rooms.state import RoomStates
from dtnode.store import HeldEvent, RoomKind, RoomRecord, Store, StoredEvent
from dtnode.wire.messages import CardKind, RoomCard, Tips, Want
from dtnode.wire.messages import RoomKind as WireRoomKind

MAX_DIFFERENCE = 20_000  # events queued for a peer at once; the rest follows after another Tips
MAX_TIPS = 200  # named in one message; more are found by the walk from the others
_WHOLE_ROOM = 2**62  # no limit: which events a server may have must be known exactly
_LOCATOR_STEPS = 24  # exponential steps back: reaches 2**24 levels
_MAX_OWN_USERS = 10  # of a peer's, shown to it in a card; dtnode's have one
_MAX_REMOVALS_IN_A_ROW = 50  # kick, ban, unban, ban ...: followed back this far


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a peer lacks of a room, parents first. cut: there is more than was counted. unknown:
    tips of the peer's that aren't here."""

    room_id: str
    to_send: tuple[str, ...] = ()
    cut: bool = False
    unknown: tuple[str, ...] = ()


class Sharing:
    """cipher: of the link that it is about."""

    def __init__(
        self,
        store: Store,
        states: RoomStates,
        own_name: str,
        user_id: str,
        cipher: CipherPolicy = CipherPolicy.SEALED,
    ) -> None:
        self._store = store
        self._states = states
        self._own_name = own_name
        self._user_id = user_id
        self._cipher = cipher

    def over(self, cipher: CipherPolicy) -> Sharing:
        """What is shared over a link of that policy."""
        return Sharing(self._store, self._states, self._own_name, self._user_id, cipher)

    # --- which rooms, which peers

    def permits(self, room: RoomRecord) -> bool:
        """Whether anything of the room may go over this link, whoever is at its other end."""
        return self._cipher is CipherPolicy.SEALED or self._is_readable(room)

    def _is_readable(self, room: RoomRecord) -> bool:
        return clear_links(self._store, self._states, room, self._user_id).is_permitted

    def known_servers(self) -> frozenset[str]:
        """Servers this node talks to: added ones, members' and invited users' of its rooms, those
        that must still learn of their removal; without the blocked."""
        found: set[str] = set()
        for room in self._store.rooms:
            if room.kind is RoomKind.INVITED:
                found |= self._store.rooms.servers_of_cards(room.nid)
            table = self._states.member_table(room.current_group)
            found |= table.joined_servers
            for user_id, member in table.by_user.items():
                if member.membership in ("invite", "knock") or (
                    member.membership in ("leave", "ban")
                    and self._must_be_told(room, user_id, member.sender)
                ):
                    found.add(server_name_of(user_id))
        for peer in self._store.peers.all():
            if peer.added:
                found.add(peer.server_name)
            if peer.blocked:
                found.discard(peer.server_name)
        return frozenset(found - {self._own_name})

    def _must_be_told(self, room: RoomRecord, user_id: str, sender: str) -> bool:
        """Whether a member who is out, by whom so ever, still has to learn of being removed."""
        if sender == user_id:
            return False
        event = self._states.event(room.current_group, "m.room.member", user_id)
        assert event is not None, "who has left has a membership event"
        server = server_name_of(user_id)
        return not self._is_told(server, event.event_id) and self._took_part(event)

    def is_shared(self, room: RoomRecord, peer: str) -> bool:
        """Whether the peer takes part in the room, as this node sees it, and may over this link."""
        if not self.permits(room):
            return False
        if room.kind is RoomKind.INVITED:
            joined = standing(self._store, self._states, room, self._user_id).membership == "join"
            if joined and peer in self._store.rooms.servers_of_cards(room.nid):
                return True
        group = room.current_group
        return peer in self._states.joined_servers(group) and self._states.acl_allows(group, peer)

    def shared_rooms(self, peer: str) -> list[RoomRecord]:
        return [room for room in self._store.rooms if self.is_shared(room, peer)]

    def _is_told(self, server: str, event_id: str) -> bool:
        return self._store.peers.delivered_alone(server, event_id)

    # --- tips and what they show

    def tips_message(self, room: RoomRecord, *, reply: bool) -> Tips:
        """What this node holds of the room. Events that wait for their parents don't count."""
        newest = sorted(self._store.rooms.tips(room.nid), reverse=True)[:MAX_TIPS]
        return Tips(
            room_id=room.room_id,
            room_version=room.version.identifier,
            kind=WireRoomKind(int(room.kind)),
            tips=tuple(self._store.events.ids_of(newest)),
            locator=tuple(self._store.events.ids_of(self._locator(newest))),
            reply=reply,
        )

    def _locator(self, tips: Sequence[int]) -> list[int]:
        """Accepted events 1, 2, 4, 8 ... levels of the DAG below the newest tip, and the root,
        which whoever knows the room shares."""
        newest = self._store.events.by_nid(tips[0]) if tips else None
        if newest is None:
            return []
        levels = [newest.topo - 2**step for step in range(_LOCATOR_STEPS)]
        found: list[int] = []
        for level in [*(level for level in levels if level > 1), 1]:
            nid = self._store.events.accepted_at(newest.room_nid, level)
            if nid is not None and nid not in tips and nid not in found:
                found.append(nid)
        return found

    def compare(self, peer: str, tips: Tips) -> Comparison:
        """What the peer lacks, by its Tips. Remembers what it has."""
        nothing = Comparison(room_id=tips.room_id)
        room = self._store.rooms.get(tips.room_id)
        if room is None or not self.is_shared(room, peer):
            return nothing
        nids = {id_: self._nid_in(room, id_) for id_ in (*tips.tips, *tips.locator)}
        known = [nid for nid in nids.values() if nid is not None]
        if known:
            self._store.peers.set_frontier(room.nid, peer, known)
        to_send = self._store.events.difference(
            self._store.rooms.tips(room.nid), known, MAX_DIFFERENCE + 1
        )
        ids = self._store.events.ids_of(to_send[:MAX_DIFFERENCE])
        return Comparison(
            room_id=room.room_id,
            to_send=(*ids, *self._unjudged_own(room, peer)),
            cut=len(to_send) > MAX_DIFFERENCE,
            unknown=tuple(id_ for id_ in tips.tips if nids[id_] is None),
        )

    def speculate(self, peer: str, room_id: str) -> Comparison:
        """What a peer lacks that tells no Tips, by what is known of it: what it acknowledged and
        what it wrote. It may have to learn from this that this server is in the room."""
        room = self._store.rooms.get(room_id)
        if room is None or not self.is_shared(room, peer):
            return Comparison(room_id=room_id)
        newest = self._store.events.newest_of_server(room.nid, peer, witness=True)
        known = [*self._store.peers.frontier(room.nid, peer), *newest]
        to_send = self._store.events.difference(
            self._store.rooms.tips(room.nid), known, MAX_DIFFERENCE + 1
        )
        ids = self._store.events.ids_of(to_send[:MAX_DIFFERENCE])
        return Comparison(
            room_id=room_id,
            to_send=(*ids, *self._unjudged_own(room, peer)),
            cut=len(to_send) > MAX_DIFFERENCE,
        )

    def _nid_in(self, room: RoomRecord, event_id: str) -> int | None:
        event = self._store.events.get(event_id)
        return event.nid if event is not None and event.room_nid == room.nid else None

    def _unjudged_own(self, room: RoomRecord, peer: str) -> list[str]:
        """Own events on a card (join, messages) that the peer hasn't acknowledged."""
        return [
            held.pdu.event_id
            for held in self._store.held.own(room.nid)
            if not self._is_told(peer, held.pdu.event_id)
        ]

    def offer(self, peer: str, room: RoomRecord) -> tuple[str, ...]:
        """Own unjudged events for a peer that, by the card, is in the room."""
        own = tuple(self._unjudged_own(room, peer))
        if own and (self.is_shared(room, peer) or self._takes_knock(room, peer)):
            return own
        return ()

    def _takes_knock(self, room: RoomRecord, peer: str) -> bool:
        """Whether the peer is a member, by the card, of a room that this user has asked to be let
        into (or doesn't ask any more)."""
        return (
            room.kind is RoomKind.INVITED
            and self.permits(room)
            and peer in self._store.rooms.servers_of_cards(room.nid)
            and any(
                held.pdu.membership == "knock"
                for held in own_chain(self._store, room, self._user_id)
            )
        )

    # --- answering wants

    def serve(self, peer: str, want: Want) -> tuple[list[str], list[str]]:
        """(events to send, parents first; wanted ids that are not here or not for this peer)"""
        room = self._store.rooms.get(want.room_id)
        if room is None:
            return [], list(want.event_ids)
        wanted = {id_: self._nid_in(room, id_) for id_ in want.event_ids}
        have = [nid for id_ in want.have if (nid := self._nid_in(room, id_)) is not None]
        roots = [nid for nid in wanted.values() if nid is not None]
        # What is asked for by name is sent whatever the peer has: it may be whole here and redacted
        # there, and it may lie beyond the oldest MAX_DIFFERENCE.
        found = self._store.events.difference(roots, have, MAX_DIFFERENCE)
        found = sorted({*found, *roots})
        if not self.is_shared(room, peer):
            found = self._left_to(room, peer, found)
        allowed = set(found)
        refused = [id_ for id_, nid in wanted.items() if nid is None or nid not in allowed]
        held = [id_ for id_ in refused if self._offers_held(room, peer, id_)]
        ids = self._store.events.ids_of(found)
        return [*ids, *held], [id_ for id_ in refused if id_ not in held]

    def _offers_held(self, room: RoomRecord, peer: str, event_id: str) -> bool:
        """Held events are passed on to members: another node may know what they build on."""
        return self.is_shared(room, peer) and self._held(room, event_id) is not None

    def _held(self, room: RoomRecord, event_id: str) -> HeldEvent | None:
        held = self._store.held.get(event_id)
        return held if held is not None and held.room_nid == room.nid else None

    def _left_to(self, room: RoomRecord, peer: str, nids: Sequence[int]) -> list[int]:
        """Of `nids`, what a server that is no longer in the room may still get: its removal and
        what led to it, and events in whose state it was joined. Nothing if it never was, or if the
        room's ACL denies it."""
        if not self.permits(room) or not self._states.acl_allows(room.current_group, peer):
            return []
        removals = [
            nid
            for event in self._removals(room, peer)
            if (nid := self._nid_in(room, event.event_id)) is not None
            and self._was_joined(event, peer)
        ]
        apart = set(self._store.events.difference(nids, removals, _WHOLE_ROOM))
        return [nid for nid in nids if nid not in apart or self._joined_at(nid, peer)]

    def _was_joined(self, removal: Pdu, peer: str) -> bool:
        event = self._store.events.get(removal.event_id)
        return event is not None and peer in self._states.joined_servers(event.before)

    def _joined_at(self, nid: int, peer: str) -> bool:
        event = self._store.events.by_nid(nid)
        return event is not None and peer in self._states.joined_servers(event.before)

    def load(self, peer: str, room_id: str, event_ids: Iterable[str]) -> list[tuple[str, bytes]]:
        """(id, PDU) as this peer may have them now, without what it may not have or is gone."""
        room = self._store.rooms.get(room_id)
        if room is None:
            return []
        shared = self.is_shared(room, peer)
        passes_held = shared or self._takes_knock(room, peer)
        stored: list[StoredEvent] = []
        found: list[tuple[str, bytes]] = []
        for event_id in event_ids:
            event = self._store.events.get(event_id)
            if event is not None and event.room_nid == room.nid:
                stored.append(event)
            elif passes_held and (held := self._held(room, event_id)) is not None:
                found.append((event_id, held.pdu.canonical()))
        nids = [event.nid for event in stored]
        allowed = set(nids if shared else self._left_to(room, peer, nids))
        return [
            (event.event_id, self._as_readable(event, peer).canonical())
            for event in stored
            if event.nid in allowed
        ] + found

    def _as_readable(self, event: StoredEvent, peer: str) -> Pdu:
        return event.pdu if self.may_read(event, peer) else event.pdu.redacted_form()

    def may_read(self, event: StoredEvent, server: str) -> bool:
        """History visibility and the server's membership in the state at the event."""
        visibility = visibility_of(self._states.event(event.before, "m.room.history_visibility"))
        memberships: dict[str, str] = {}
        if visibility in ("invited", "joined") or event.pdu.type == "m.room.history_visibility":
            members = self._states.members_of_server(event.before, server)
            memberships = {
                user_id: member.membership
                for user_id, member in members.items()
                if member.membership is not None
            }
        return event.pdu.is_state or server_may_read(
            event.pdu, server, visibility=visibility, memberships=memberships
        )

    # --- cards

    def cards_for(self, peer: str) -> list[RoomCard]:
        """Invites and removals of the peer's users that it hasn't acknowledged. Nobody is told of
        being removed from a room in which it had no part, nor invited past the room's ACL."""
        cards = []
        for room in self._store.rooms:
            if room.kind is not RoomKind.COMPLETE or not self.permits(room):
                continue
            for event in self._states.members_of_server(room.current_group, peer).values():
                kind = _card_kind(event)
                if kind is None or self._is_told(peer, event.event_id):
                    continue
                if kind is CardKind.INVITE:
                    concerned = self._states.acl_allows(room.current_group, peer)
                else:
                    concerned = self._took_part(event)
                if concerned:
                    stored = self._store.events.get(event.event_id)
                    assert stored is not None, "a state names stored events only"
                    cards.append(make_card(self._store, self._states, room, stored, kind))
        return cards

    def _took_part(self, removal: Pdu) -> bool:
        """Whether its user was invited, knocked or joined before, other removals in between."""
        event: Pdu | None = removal
        for _ in range(_MAX_REMOVALS_IN_A_ROW):
            stored = None if event is None else self._store.events.get(event.event_id)
            if stored is None:
                return False
            event = self._states.event(stored.before, *removal.key)
            if event is not None and event.membership in ("join", "invite", "knock"):
                return True
        return False

    def _removals(self, room: RoomRecord, peer: str) -> list[Pdu]:
        members = self._states.members_of_server(room.current_group, peer).values()
        return [event for event in members if is_removal(event)]

    def public_card(self, room_id: str, peer: str) -> RoomCard | None:
        """For a peer who knows the id of a room that its users may join, or ask to; None where they
        may not. A restricted room's is for members of the rooms it admits alone."""
        room = self._store.rooms.get(room_id)
        if room is None or room.kind is not RoomKind.COMPLETE or not self.permits(room):
            return None
        look = self._states.lookup(room.current_group)
        rule = join_rule(room.version, look)
        if rule == "invite" or not self._states.acl_allows(room.current_group, peer):
            return None
        if rule == "restricted" and not lets_server_in(self._store, self._states, look, peer):
            return None
        event = self._store.events.by_nid(
            max(self._store.rooms.forward_extremities(room.nid), default=0)
        )
        if event is None:
            return None
        users = sorted(self._states.members_of_server(event.after, peer))[:_MAX_OWN_USERS]
        if rule in RESTRICTED:
            members = self._states.members(event.after)
            users += authorisers(self._states.lookup(event.after), members, self._user_id)
        also = [("m.room.member", user_id) for user_id in users]
        return make_card(self._store, self._states, room, event, CardKind.PUBLIC, also)

    # --- to nobody in particular

    def broadcast(self, room_id: str, event_ids: Iterable[str]) -> list[tuple[str, bytes]]:
        """(id, PDU) of those events that an open link may carry: of a permitted room, own ones, and
        accepted ones of others from while this server was in the room. Whole ones; a redacted copy
        would be a gap to whoever hears it."""
        room = self._store.rooms.get(room_id)
        if room is None or not self._is_readable(room):
            return []
        found = []
        for event_id in event_ids:
            event = self._store.events.get(event_id)
            if event is None:
                held = self._held(room, event_id)
                pdu = held.pdu if held is not None and held.position is not None else None
            else:
                pdu = event.pdu if self._is_for_all(room, event) else None
            if pdu is not None and not pdu.redacted:
                found.append((event_id, pdu.canonical()))
        return found

    def _is_for_all(self, room: RoomRecord, event: StoredEvent) -> bool:
        is_good = event.room_nid == room.nid and event.accepted and not event.soft_failed
        is_own = event.pdu.sender_server == self._own_name
        return is_good and (is_own or self._own_name in self._states.joined_servers(event.before))

    # --- acknowledgements

    def acknowledged(self, peer: str, room_id: str, event_ids: Iterable[str]) -> None:
        """The peer has these events durably."""
        event_ids = list(event_ids)
        alone = [id_ for id_ in event_ids if self._store.events.nid_of(id_) is None]
        self._store.peers.mark_delivered_alone(peer, alone)
        self.brought(peer, room_id, event_ids)

    def brought(self, peer: str, room_id: str, event_ids: Iterable[str]) -> None:
        """The peer has these events; those not judged here don't count. What they stand on it is
        known to have only if it was known before, or is among them: it may hold them until their
        parents come."""
        room = self._store.rooms.get(room_id)
        if room is None:
            return
        found = (self._store.events.get(event_id) for event_id in event_ids)
        old = set(self._store.peers.frontier(room.nid, peer))
        mine = [event for event in found if event is not None and event.room_nid == room.nid]
        whole = self._whole(mine, old)
        covered = {parent for event in whole for parent in event.parents}
        new = {event.nid for event in whole if event.accepted}
        if new:
            self._store.peers.set_frontier(room.nid, peer, (old | new) - covered)

    def _whole(self, events: Sequence[StoredEvent], frontier: Iterable[int]) -> list[StoredEvent]:
        """Of `events`, those new to someone with `frontier` who by them has all their ancestors."""
        by_nid = {event.nid: event for event in events}
        incomplete: set[int] = set()
        whole: list[StoredEvent] = []
        for nid in self._store.events.difference(by_nid, frontier, _WHOLE_ROOM):
            event = by_nid.get(nid)
            if event is None or not incomplete.isdisjoint(event.parents):
                incomplete.add(nid)
            else:
                whole.append(event)
        return whole

    def told(self, peer: str, event_id: str) -> None:
        """The peer has acknowledged the card for `event_id`."""
        self._store.peers.mark_delivered_alone(peer, [event_id])


def _card_kind(event: Pdu) -> CardKind | None:
    if event.membership == "invite":
        return CardKind.INVITE
    return CardKind.REMOVAL if is_removal(event) else None
