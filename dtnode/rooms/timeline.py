"""Events as people read them: DAG order, with what is known of each (client events, not PDUs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtnode.matrix.pdu import Pdu
from dtnode.rooms.delivery import servers_with
from dtnode.rooms.membership import is_removal
from dtnode.rooms.state import RoomStates
from dtnode.store import HeldEvent, RoomRecord, Store, StoredEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """known_at: other members' servers known to have an own event. members: how many other members'
    servers there are. dropped: its body isn't kept here any more (history limit). apart: concurrent
    with its sender's removal from the room (can't be told from backdating). provisional: held, this
    node can't judge it yet."""

    pdu: Pdu
    position: int | None
    soft_failed: bool = False
    dropped: bool = False
    apart: bool = False
    provisional: bool = False
    known_at: frozenset[str] | None = None
    members: int = 0


class Timeline:
    def __init__(self, store: Store, states: RoomStates, own_name: str) -> None:
        self._store = store
        self._states = states
        self._own_name = own_name

    def newest(self, room: RoomRecord, limit: int) -> list[TimelineEvent]:
        """The last `limit` events in DAG order, oldest first; what waits for parents comes last."""
        held = self._store.held.newest(room.nid, limit)
        stored = self._store.events.newest_in_order(room.nid, limit - len(held))
        return [*self._judged(room, stored), *self._held(held)]

    def since(self, room: RoomRecord, after: int, upto: int, limit: int) -> list[TimelineEvent]:
        """What became visible here with after < position <= upto, in that order; the newest
        `limit` of it."""
        stored = self._store.events.between_positions(room.nid, after, upto, limit, newest=True)
        held = self._store.held.after_position(room.nid, after, upto)
        found = [*self._judged(room, stored), *self._held(held)]
        found.sort(key=lambda event: event.position or 0)
        return found[max(0, len(found) - limit) :]

    def before(self, room: RoomRecord, upto: int, limit: int) -> list[TimelineEvent]:
        """The `limit` newest with position <= upto, oldest first (for paging back)."""
        return self.since(room, 0, upto, limit)

    def one(self, room: RoomRecord, event_id: str) -> TimelineEvent | None:
        stored = self._store.events.get(event_id)
        if stored is not None:
            mine = stored.room_nid == room.nid and stored.accepted
            return self._judged(room, [stored])[0] if mine else None
        held = self._store.held.get(event_id)
        if held is None or held.room_nid != room.nid:
            return None
        return self._held([held])[0]

    def _judged(self, room: RoomRecord, events: Sequence[StoredEvent]) -> list[TimelineEvent]:
        own = [event for event in events if event.pdu.sender_server == self._own_name]
        known_at = servers_with(self._store, self._states, room, own, self._own_name)
        members = len(self._states.joined_servers(room.current_group) - {self._own_name})
        apart = self.sent_apart(room, events)
        return [
            TimelineEvent(
                pdu=event.pdu,
                position=event.position,
                soft_failed=event.soft_failed,
                dropped=event.dropped,
                apart=event.nid in apart,
                known_at=known_at.get(event.event_id),
                members=members,
            )
            for event in events
        ]

    def _held(self, events: Sequence[HeldEvent]) -> list[TimelineEvent]:
        found = []
        for held in events:
            mine = held.pdu.sender_server == self._own_name
            servers = self._store.peers.servers_with(held.pdu.event_id) if mine else None
            found.append(
                TimelineEvent(
                    pdu=held.pdu,
                    position=held.position,
                    provisional=True,
                    known_at=None if servers is None else frozenset(servers),
                )
            )
        return found

    def sent_apart(self, room: RoomRecord, events: Sequence[StoredEvent]) -> set[int]:
        """Numbers of those concurrent with their sender's removal by the tip state: on every node
        alike."""
        by_sender: dict[str, list[int]] = {}
        for event in events:
            by_sender.setdefault(event.pdu.sender, []).append(event.nid)
        return self.apart_of(room, by_sender)

    def apart_of(self, room: RoomRecord, by_sender: Mapping[str, Sequence[int]]) -> set[int]:
        """`sent_apart` for numbers of accepted events by sender, at least one each."""
        found: set[int] = set()
        tip_group = self._states.tip_group(room.nid) if by_sender else 0
        for sender, nids in by_sender.items():
            removal = self._states.event(tip_group, "m.room.member", sender)
            if removal is None or not is_removal(removal):
                continue
            at = self._store.events.nid_of(removal.event_id)
            assert at is not None, "a state names stored events only"
            before = self._store.ancestry.of(at, min(nids))
            found.update(nid for nid in nids if not before.has(nid))
        return found


def client_event(pdu: Pdu) -> dict[str, Any]:
    """Client-server API, "Room event format" (without `unsigned`)."""
    event: dict[str, Any] = {
        "event_id": pdu.event_id,
        "type": pdu.type,
        "room_id": pdu.room_id,
        "sender": pdu.sender,
        "origin_server_ts": pdu.origin_server_ts,
        "content": pdu.content,
    }
    if pdu.state_key is not None:
        event["state_key"] = pdu.state_key
    if pdu.redacts is not None:
        event["redacts"] = pdu.redacts
    return event


def marks(event: TimelineEvent) -> dict[str, Any]:
    """What dtnode adds under `unsigned`: only what is there to say."""
    found: dict[str, Any] = {}
    if event.known_at is not None:
        found["known_at"] = len(event.known_at)
        found["members"] = event.members
    for name in ("apart", "soft_failed", "provisional", "dropped"):
        if getattr(event, name):
            found[name] = True
    if event.pdu.redacted:
        found["redacted"] = True
    return found
