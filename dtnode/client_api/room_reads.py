"""Calls that read rooms: sync, messages, members, state, single events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dtnode.client_api.accounts import joined_rooms_of
from dtnode.client_api.answers import encode_json
from dtnode.client_api.api import Api, Look, poll
from dtnode.client_api.filters import (
    EventFilter,
    SyncFilter,
    parse_event_filter,
    parse_sync_filter,
)
from dtnode.client_api.pages import page_back, page_forward
from dtnode.client_api.requests import Call, bad_parameter, not_found, parse_object
from dtnode.client_api.routes import CLIENT, Route, get
from dtnode.client_api.snapshots import StreamToken, parse_token
from dtnode.client_api.sync import SyncAnswer, SyncRequest, build_sync
from dtnode.matrix.pdu import Pdu

Json = dict[str, Any]

_MESSAGES_LIMIT = 10  # the specification's default
_MAX_TIMEOUT_MS = 600_000


# --- sync


async def sync(api: Api, call: Call) -> Json:
    since = call.query("since")
    request = SyncRequest(
        session=call.session,
        only=await _sync_filter(api, call.query("filter")),
        since=parse_token(since) if since else None,
        full_state=call.query("full_state") == "true",
    )
    timeout_s = call.query_int("timeout", 0, 0, _MAX_TIMEOUT_MS) / 1000
    if request.since is None or request.full_state:
        timeout_s = 0.0

    async def look() -> tuple[Json, Look]:
        answer = await _look(api, request)
        return answer.json, Look(position=answer.token.position, news=answer.news)

    if timeout_s == 0:
        return (await look())[0]
    return await poll(api, call.request, timeout_s, look)


async def _look(api: Api, request: SyncRequest) -> SyncAnswer:
    """Only what changed the rooms' looks has to be written down; messages don't."""
    now_ms = api.host.now_ms()

    def look_only() -> SyncAnswer | None:
        if api.snapshots.are_behind:
            return None
        return build_sync(api.sync_sources, request, now_ms)

    def write_and_look() -> SyncAnswer:
        api.snapshots.write_present()
        return build_sync(api.sync_sources, request, now_ms)

    answer = await api.host.read(look_only)
    return await api.host.run(write_and_look) if answer is None else answer


async def _sync_filter(api: Api, text: str | None) -> SyncFilter:
    """An id or JSON."""
    if not text:
        return SyncFilter()
    if text.startswith("{"):
        return parse_sync_filter(parse_object(text))
    return await api.host.read(lambda: api.account_data.sync_filter(text))


# --- messages and single events


async def messages(api: Api, call: Call) -> Json:
    """Pages by position; tokens are those of sync."""
    direction = call.query("dir") or "b"
    if direction not in ("b", "f"):
        raise bad_parameter('dir has to be "b" or "f"')
    limit = call.query_int("limit", _MESSAGES_LIMIT, 0, 1_000)
    json = parse_object(text) if (text := call.query("filter")) else {}
    only = parse_event_filter({**json, "limit": limit})
    start, end = _token(call, "from"), _token(call, "to")
    now_ms = api.host.now_ms()

    def work() -> Json:
        if direction == "b":
            return _page_back(api, call, start, end, only, now_ms)
        return _page_forward(api, call, start, end, only, now_ms)

    return await api.host.read(work)


def _token(call: Call, name: str) -> int | None:
    text = call.query(name)
    return parse_token(text).position if text else None


def _page_back(
    api: Api, call: Call, start: int | None, end: int | None, only: EventFilter, now_ms: int
) -> Json:
    room = api.room(call.params["room_id"])
    upto = api.rooms.store.events.last_position()
    if start is not None:
        upto = min(upto, start)
    page = page_back(api.rooms, room, after=end or 0, upto=upto, only=only)
    json: Json = {
        "start": str(StreamToken(position=upto)),
        "chunk": [
            api.renderer.event(room, event, now_ms=now_ms, session=call.session)
            for event in reversed(page.events)
        ],
        "state": [],
    }
    if page.more:
        json["end"] = str(StreamToken(position=page.low))
    return json


def _page_forward(
    api: Api, call: Call, start: int | None, end: int | None, only: EventFilter, now_ms: int
) -> Json:
    room = api.room(call.params["room_id"])
    after = start or 0
    upto = api.rooms.store.events.last_position()
    if end is not None:
        upto = min(upto, end)
    page = page_forward(api.rooms, room, after=after, upto=upto, only=only)
    json: Json = {
        "start": str(StreamToken(position=after)),
        "chunk": [
            api.renderer.event(room, event, now_ms=now_ms, session=call.session)
            for event in page.events
        ],
        "state": [],
    }
    if page.more or page.events:
        json["end"] = str(StreamToken(position=page.high))
    return json


async def one_event(api: Api, call: Call) -> Json:
    event_id, now_ms = call.params["event_id"], api.host.now_ms()

    def work() -> Json:
        room = api.room(call.params["room_id"])
        event = api.rooms.timeline.one(room, event_id)
        if event is None:
            raise not_found(f"event {event_id[:60]} is not here, or not in this room")
        return api.renderer.event(room, event, now_ms=now_ms, session=call.session)

    return await api.host.read(work)


# --- state and members


async def joined_rooms(api: Api, _call: Call) -> Json:
    return {"joined_rooms": await api.host.read(lambda: joined_rooms_of(api))}


async def state(api: Api, call: Call) -> bytes:
    """All of it, as an array."""
    now_ms = api.host.now_ms()

    def work() -> list[Json]:
        room = api.room(call.params["room_id"])
        return [
            api.renderer.state_event(room, pdu, now_ms=now_ms)
            for pdu in api.rooms.state(room).values()
        ]

    return encode_json(await api.host.read(work))


async def one_state(api: Api, call: Call) -> Json:
    """The content; with format=event the event."""
    type_, state_key = call.params["type"], call.params.get("state_key", "")
    whole, now_ms = call.query("format") == "event", api.host.now_ms()

    def work() -> Json:
        room = api.room(call.params["room_id"])
        pdu = api.rooms.state(room).get((type_, state_key))
        if pdu is None:
            raise not_found(f"the room has no {type_[:100]} with the key {state_key[:100]!r}")
        event = api.renderer.state_event(room, pdu, now_ms=now_ms)
        content: Json = event["content"]
        return event if whole else content

    return await api.host.read(work)


async def members(api: Api, call: Call) -> Json:
    wanted, unwanted = call.query("membership"), call.query("not_membership")
    now_ms = api.host.now_ms()

    def work() -> list[Json]:
        room = api.room(call.params["room_id"])
        return [
            api.renderer.state_event(room, pdu, now_ms=now_ms)
            for (type_, _), pdu in api.rooms.state(room).items()
            if type_ == "m.room.member"
            and wanted in (None, pdu.membership)
            and (unwanted is None or pdu.membership != unwanted)
        ]

    return {"chunk": await api.host.read(work)}


async def joined_members(api: Api, call: Call) -> Json:
    def work() -> dict[str, Json]:
        room = api.room(call.params["room_id"])
        return {
            state_key: _profile(pdu)
            for (type_, state_key), pdu in api.rooms.state(room).items()
            if type_ == "m.room.member" and pdu.membership == "join"
        }

    return {"joined": await api.host.read(work)}


def _profile(member: Pdu) -> Json:
    names = {"displayname": "display_name", "avatar_url": "avatar_url"}
    return {
        name: value
        for field, name in names.items()
        if isinstance(value := member.content.get(field), str)
    }


_ROOM = f"{CLIENT}/rooms/{{room_id}}"

ROUTES: Sequence[Route] = (
    get(f"{CLIENT}/sync", sync),
    get(f"{CLIENT}/joined_rooms", joined_rooms),
    get(f"{_ROOM}/messages", messages),
    get(f"{_ROOM}/event/{{event_id}}", one_event),
    get(f"{_ROOM}/members", members),
    get(f"{_ROOM}/joined_members", joined_members),
    get(f"{_ROOM}/state", state),
    get(f"{_ROOM}/state/{{type}}", one_state),
    get(f"{_ROOM}/state/{{type}}/{{state_key}}", one_state),
)
