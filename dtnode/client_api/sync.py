"""The sync response: what is new for a client since its token (client-server API, "Syncing").

One consistent view: the upper position is taken first, and everything is read up to it on the
store's thread without a break. How the state section is made is in sync_state, what a token
remembers in snapshots. Called by the sync handler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dtnode.client_api.account_data import AccountData
from dtnode.client_api.filters import SyncFilter
from dtnode.client_api.pages import page_back
from dtnode.client_api.render import Renderer, stripped
from dtnode.client_api.sessions import Session
from dtnode.client_api.snapshots import RoomView, Snapshots, StateIds, StreamToken
from dtnode.client_api.sync_state import Reconciled, reconcile
from dtnode.matrix.pdu import Pdu
from dtnode.rooms import Rooms
from dtnode.rooms.timeline import TimelineEvent
from dtnode.store import RoomKind, RoomRecord

_INVITE_STATE = frozenset(
    {
        "m.room.create",
        "m.room.name",
        "m.room.avatar",
        "m.room.topic",
        "m.room.join_rules",
        "m.room.canonical_alias",
        "m.room.encryption",
    }
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """since None: an initial sync."""

    session: Session
    only: SyncFilter
    since: StreamToken | None = None
    full_state: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAnswer:
    """token: what the client will have seen. news: there is something in it."""

    token: StreamToken
    json: Json
    news: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSources:
    rooms: Rooms
    snapshots: Snapshots
    renderer: Renderer
    account_data: AccountData


def build_sync(sources: SyncSources, request: SyncRequest, now_ms: int) -> SyncAnswer:
    """Runs on the store's thread and only reads; the snapshots must not be behind."""
    number = sources.snapshots.number
    token = StreamToken(position=sources.rooms.store.events.last_position(), number=number)
    since = request.since
    if since is not None and (since.position > token.position or (since.number or 0) > number):
        since = None  # from a time that a restored backup doesn't know: begin anew
    response = _Response(sources, request, since, token, now_ms)
    for room in sources.rooms.store.rooms:
        if request.only.allows_room(room.room_id):
            response.add_room(room)
    account_data = sources.account_data.changed_since(
        "", None if since is None else since.number, request.only.account_data
    )
    json: Json = {
        "next_batch": str(token),
        "rooms": response.sections,
        "account_data": {"events": account_data},
        "presence": {"events": []},
        "to_device": {"events": []},
        "device_lists": {"changed": [], "left": []},
        "device_one_time_keys_count": {},
    }
    if not response.sections["knock"]:  # rare: the others are always there, as clients expect
        del response.sections["knock"]
    news = bool(account_data) or any(response.sections.values())
    return SyncAnswer(token=token, json=json, news=news)


class _Response:
    """The rooms of one response as it is put together."""

    def __init__(
        self,
        sources: SyncSources,
        request: SyncRequest,
        since: StreamToken | None,
        token: StreamToken,
        now_ms: int,
    ) -> None:
        self._sources = sources
        self._rooms = sources.rooms
        self._snapshots = sources.snapshots
        self._request = request
        self._since = since
        self._upto = token.position
        self._now_ms = now_ms
        self.sections: dict[str, dict[str, Json]] = {
            "join": {},
            "invite": {},
            "knock": {},
            "leave": {},
        }

    def add_room(self, room: RoomRecord) -> None:
        now = self._snapshots.present(room)
        told = None if self._since is None else self._snapshots.at(room, self._since.number)
        part: Json | None = None
        if now.section == "join":
            part = self._joined(room, told, now)
        elif now.section == "invite":
            part = self._invited(room, told, now)
        elif now.section == "knock":
            part = self._knocked(room, told, now)
        elif now.section == "leave":
            part = self._left(room, told, now)
        if part is not None:
            self.sections[now.section][room.room_id] = part

    # --- invite, knock

    def _invited(self, room: RoomRecord, told: RoomView | None, now: RoomView) -> Json | None:
        if told is not None and (told.section, told.event) == ("invite", now.event):
            return None
        return {"invite_state": {"events": self._stripped_state(room)}}

    def _knocked(self, room: RoomRecord, told: RoomView | None, now: RoomView) -> Json | None:
        if told is not None and (told.section, told.event) == ("knock", now.event):
            return None
        return {"knock_state": {"events": self._stripped_state(room)}}

    def _stripped_state(self, room: RoomRecord) -> list[Json]:
        """What somebody outside sees of a room: the invite or knock last."""
        own = self._snapshots.standing(room).event
        assert own is not None, "an invite or a knock is an event"
        state = self._rooms.state(room)
        shown = [pdu for (type_, _), pdu in state.items() if type_ in _INVITE_STATE]
        inviter = state.get(("m.room.member", own.sender))
        if inviter is not None and own.sender != self._rooms.user_id:
            shown.append(inviter)
        return [stripped(pdu) for pdu in (*shown, own)]

    # --- join

    def _joined(self, room: RoomRecord, told: RoomView | None, now: RoomView) -> Json | None:
        is_new = self._is_newly_joined(told, now)
        after = 0 if is_new or self._since is None else self._since.position
        believed = None if is_new or self._request.full_state else told
        only = self._request.only
        page = page_back(self._rooms, room, after=after, upto=self._upto, only=only.timeline)
        found = reconcile(
            self._snapshots.state_of(believed),
            self._snapshots.state_of(now),
            page.events,
            self._sources.renderer.state_before,
            limited=page.more,
        )
        account_data = self._sources.account_data.changed_since(
            room.room_id,
            None if is_new or self._since is None else self._since.number,
            only.room_account_data,
        )
        state = self._state_events(room, found)
        if not (is_new or self._request.full_state or found.timeline or state or account_data):
            return None
        part: Json = {
            "timeline": {
                "events": self._events(room, found.timeline),
                "limited": page.more,
                "prev_batch": str(StreamToken(position=page.low)),
            },
            "state": {"events": state},
            "ephemeral": {"events": []},
            "account_data": {"events": account_data},
        }
        if is_new or _tells_members(found, state):
            part["summary"] = self._summary(room)
        return part

    def _is_newly_joined(self, told: RoomView | None, now: RoomView) -> bool:
        """Whether the client shall get the room as if it had never seen it."""
        if self._since is None or (told is not None and told.section != "join"):
            return True
        if told is not None:
            return False
        position = self._position_of(now.event)  # the view at the token isn't known any more
        return position is None or position > self._since.position

    def _position_of(self, event_id: str | None) -> int | None:
        store = self._rooms.store
        if event_id is None:
            return None
        found = store.events.get(event_id) or store.held.get(event_id)
        return None if found is None else found.position

    def _state_events(self, room: RoomRecord, found: Reconciled) -> list[Json]:
        events: list[Json] = []
        renderer, only = self._sources.renderer, self._request.only.state
        for event_id in found.state:
            pdu = self._snapshots.state_event(room, event_id)
            if pdu is not None and only.allows(pdu):
                events.append(renderer.state_event(room, pdu, now_ms=self._now_ms))
        for event_id in found.undone:
            pdu = self._snapshots.state_event(room, event_id)
            if pdu is not None and only.allows(pdu):
                events.append(renderer.undone(room, pdu, now_ms=self._now_ms))
        return events

    def _events(self, room: RoomRecord, events: Sequence[TimelineEvent]) -> list[Json]:
        return [
            self._sources.renderer.event(
                room, event, now_ms=self._now_ms, session=self._request.session
            )
            for event in events
        ]

    def _summary(self, room: RoomRecord) -> Json:
        heroes = self._rooms.names.heroes(room)
        return {
            "m.heroes": list(heroes.user_ids),
            "m.joined_member_count": heroes.joined,
            "m.invited_member_count": heroes.invited,
        }

    # --- leave

    def _left(self, room: RoomRecord, told: RoomView | None, now: RoomView) -> Json | None:
        if not self._tells_leaving(told, now):
            return None
        was_joined = told is not None and told.section == "join"
        found = Reconciled(timeline=(), state=(), undone=())
        low, more = self._upto, False
        if self._since is None or was_joined:
            after = 0 if self._since is None else self._since.position
            page = page_back(
                self._rooms, room, after=after, upto=self._upto, only=self._request.only.timeline
            )
            low, more = page.low, page.more
            found = reconcile(
                self._snapshots.state_of(told),
                self._state_here(room),
                page.events,
                self._sources.renderer.state_before,
                limited=page.more,
            )
        removal = self._removal(room, now, found.timeline)
        return {
            "timeline": {
                "events": self._events(room, (*found.timeline, *removal)),
                "limited": more,
                "prev_batch": str(StreamToken(position=low)),
            },
            "state": {"events": self._state_events(room, found)},
            "account_data": {"events": []},
        }

    def _tells_leaving(self, told: RoomView | None, now: RoomView) -> bool:
        if self._since is None:
            return self._request.only.include_leave
        if told is None:
            return self._since.number is not None
        return told.section != "leave" or told.event != now.event

    def _state_here(self, room: RoomRecord) -> StateIds:
        if room.kind is RoomKind.COMPLETE:
            return self._rooms.store.state_groups.state(room.current_group)
        return {key: pdu.event_id for key, pdu in self._rooms.state(room).items()}

    def _removal(
        self, room: RoomRecord, now: RoomView, timeline: Sequence[TimelineEvent]
    ) -> list[TimelineEvent]:
        """What took this user out, where the timeline doesn't have it: it came by a card, or the
        client never saw more of the room than an invite."""
        if any(event.pdu.event_id == now.event for event in timeline):
            return []
        event: Pdu | None = self._snapshots.standing(room).event
        if event is None:
            return []
        known = self._rooms.timeline.one(room, event.event_id)
        return [known or TimelineEvent(pdu=event, position=None, provisional=True)]


def _tells_members(found: Reconciled, state: Sequence[Json]) -> bool:
    return any(event["type"] == "m.room.member" for event in state) or any(
        event.pdu.type == "m.room.member" for event in found.timeline
    )
