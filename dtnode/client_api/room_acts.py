"""Calls that change rooms: creating, joining, inviting, moderating, sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from dtnode.client_api.api import Api
from dtnode.client_api.requests import (
    Call,
    JsonObject,
    bad_json,
    bad_parameter,
    forbidden,
    optional,
    required,
    texts,
    user_id_of,
)
from dtnode.client_api.room_permission import unpermitted_links
from dtnode.client_api.routes import CLIENT, Route, post, put
from dtnode.client_api.snapshots import FORGOTTEN
from dtnode.errors import ClientApiError
from dtnode.matrix.identifiers import is_user_id, server_name_of
from dtnode.matrix.pdu import MAX_PDU_BYTES
from dtnode.matrix.room_versions import DEFAULT_ROOM_VERSION, ROOM_VERSIONS
from dtnode.rooms.local import NewRoom, RoomNotHere
from dtnode.rooms.upgrade import Upgrade

Json = dict[str, Any]

_PRESETS = ("private_chat", "trusted_private_chat", "public_chat")


# --- creating


async def create_room(api: Api, call: Call) -> Json:
    """`org.dtnode.clear_links`: true to permit the room for links that others can read."""
    body = await call.json()
    new = _new_room(body)
    clear_links = optional(body, "org.dtnode.clear_links", bool) or False

    def work() -> str:
        room_id = api.rooms.create_room(new)
        if clear_links:
            api.rooms.permit_clear(room_id, True)
        return room_id

    return {"room_id": await api.host.run(work)}


def _new_room(body: JsonObject) -> NewRoom:
    if optional(body, "room_alias_name", str) is not None:
        raise bad_parameter("rooms have no aliases on this server: give the room a name")
    if optional(body, "invite_3pid", list):
        raise bad_parameter("people can be invited by user id only")
    version = optional(body, "room_version", str) or DEFAULT_ROOM_VERSION
    _check_version(version)
    preset = _preset(body)
    invite = texts(body, "invite") or []
    for user_id in invite:
        if not is_user_id(user_id):
            raise bad_parameter(f"{user_id[:80]!r} is not a user id; one looks like @name:server")
    return NewRoom(
        name=optional(body, "name", str),
        topic=optional(body, "topic", str),
        version=version,
        public=preset == "public_chat",
        invite=tuple(invite),
        trusted_invitees=preset == "trusted_private_chat",
        is_direct=optional(body, "is_direct", bool) or False,
        creation_content=_creation_content(body),
        initial_state=_initial_state(body),
        power_levels=optional(body, "power_level_content_override", dict) or {},
    )


def _check_version(version: str) -> None:
    if version not in ROOM_VERSIONS:
        known = ", ".join(ROOM_VERSIONS)
        raise ClientApiError(
            400, "M_UNSUPPORTED_ROOM_VERSION", f"room version {version!r:.20}: choose {known}"
        )


def _preset(body: JsonObject) -> str:
    """Client-server API, "Creation": without a preset the visibility decides."""
    visibility = optional(body, "visibility", str) or "private"
    if visibility not in ("public", "private"):
        raise bad_json('visibility has to be "public" or "private"')
    default = "public_chat" if visibility == "public" else "private_chat"
    preset = optional(body, "preset", str) or default
    if preset not in _PRESETS:
        raise bad_json(f"preset has to be one of {', '.join(_PRESETS)}")
    return preset


def _creation_content(body: JsonObject) -> JsonObject:
    content = optional(body, "creation_content", dict) or {}
    creators = texts(content, "additional_creators") or []
    if not all(is_user_id(user_id) for user_id in creators):
        raise bad_json("additional_creators has to be an array of user ids")
    return content


def _initial_state(body: JsonObject) -> tuple[JsonObject, ...]:
    events = optional(body, "initial_state", list) or []
    for event in events:
        if type(event) is not dict:
            raise bad_json("initial_state has to be an array of state events")
        required(event, "type", str)
        required(event, "content", dict)
        optional(event, "state_key", str)
    return tuple({key: event[key] for key in event if event[key] is not None} for event in events)


async def upgrade(api: Api, call: Call) -> Json:
    """`org.dtnode.invite`: true to ask the members of the old room into the new one."""
    body, room_id = await call.json(), call.params["room_id"]
    version = required(body, "new_version", str)
    _check_version(version)
    creators = texts(body, "additional_creators") or []
    if not all(is_user_id(user_id) for user_id in creators):
        raise bad_json("additional_creators has to be an array of user ids")
    wanted = Upgrade(
        version=version,
        additional_creators=creators,
        invite=optional(body, "org.dtnode.invite", bool) or False,
    )
    return {"replacement_room": await api.host.run(lambda: api.rooms.upgrade(room_id, wanted))}


# --- membership


async def join(api: Api, call: Call) -> Json:
    await call.json()
    room_id = await _joinable_room(api, call)
    await api.host.join(room_id)

    def successor() -> str | None:
        return api.rooms.names.successor(api.room(room_id))

    replaced_by = await api.host.read(successor)
    more = {} if replaced_by is None else {"org.dtnode.replaced_by": replaced_by}
    return {"room_id": room_id, **more, **await _not_told(api, room_id)}


async def knock(api: Api, call: Call) -> Json:
    reason = _reason(await call.json())
    room_id = await _joinable_room(api, call)
    await api.host.knock(room_id, reason)
    return {"room_id": room_id, **await _not_told(api, room_id)}


async def _not_told(api: Api, room_id: str, to: str | None = None) -> Json:
    """`org.dtnode.unpermitted_links`: why who should hear of it doesn't yet."""
    links = await unpermitted_links(api, room_id, to)
    return {"org.dtnode.unpermitted_links": links} if links else {}


async def _joinable_room(api: Api, call: Call) -> str:
    room_id = call.params["room_id"]
    if room_id.startswith("#"):
        return await api.host.read(lambda: _room_with_alias(api, room_id))
    return room_id


def _room_with_alias(api: Api, alias: str) -> str:
    for room in api.rooms.store.rooms:
        event = api.rooms.state(room).get(("m.room.canonical_alias", ""))
        if event is not None and event.content.get("alias") == alias:
            return room.room_id
    raise RoomNotHere(f"no room here is known as {alias[:100]}: join it by its id, or by an invite")


async def invite(api: Api, call: Call) -> Json:
    """`org.dtnode.signed`: the block with mxid, token and signatures that redeems a third-party
    invite of this user's; with other servers an identity server brings it."""
    body = await call.json()
    if "medium" in body or "address" in body or "id_server" in body:
        raise ClientApiError(
            400,
            "M_THREEPID_DENIED",
            "there is no identity server here that would know whose address that is: invite people"
            " by their user id (@name:server)",
        )
    signed, user_id = optional(body, "org.dtnode.signed", dict), user_id_of(body)
    answer = await _set_membership(api, call, body, user_id, "invite", signed=signed)
    return answer | await _not_told(api, call.params["room_id"], server_name_of(user_id))


async def leave(api: Api, call: Call) -> Json:
    """Leaving, or declining an invite; leaving twice is leaving once."""
    room_id, reason = call.params["room_id"], _reason(await call.json())

    def work() -> None:
        standing = api.rooms.standing(api.room(room_id))
        if standing.membership not in (None, "leave"):
            api.rooms.set_membership(room_id, api.user_id, "leave", reason=reason)

    await api.host.run(work)
    return {}


async def kick(api: Api, call: Call) -> Json:
    body = await call.json()
    return await _set_membership(
        api, call, body, user_id_of(body), "leave", only_if=("join", "invite", "knock")
    )


async def ban(api: Api, call: Call) -> Json:
    body = await call.json()
    return await _set_membership(api, call, body, user_id_of(body), "ban")


async def unban(api: Api, call: Call) -> Json:
    body = await call.json()
    return await _set_membership(api, call, body, user_id_of(body), "leave", only_if=("ban",))


async def _set_membership(
    api: Api,
    call: Call,
    body: JsonObject,
    user_id: str,
    membership: str,
    *,
    only_if: Sequence[str] = (),
    signed: JsonObject | None = None,
) -> Json:
    """only_if: memberships of the user from which this is a step at all; empty: any."""
    room_id, reason = call.params["room_id"], _reason(body)

    def work() -> None:
        present = api.rooms.standing(api.room(room_id), user_id).membership
        if only_if and present not in only_if:
            what = {"ban": "is banned", "join": "is in it"}.get(
                present or "", "is not in this room"
            )
            raise forbidden(f"{user_id} {what}, so that can't be done")
        api.rooms.set_membership(room_id, user_id, membership, reason=reason, signed=signed)

    await api.host.run(work)
    return {}


def _reason(body: JsonObject) -> str | None:
    return optional(body, "reason", str)


async def forget(api: Api, call: Call) -> Json:
    """A room that was left isn't shown to clients any more, until a new invite or join."""
    room_id = call.params["room_id"]

    def work() -> None:
        standing = api.rooms.standing(api.room(room_id))
        if standing.membership not in ("leave", "ban") or standing.event is None:
            raise ClientApiError(400, "M_UNKNOWN", "leave the room first, then forget it")
        value = standing.event.event_id.encode()
        api.rooms.store.client_values.put(FORGOTTEN, room_id, value)

    await api.host.run(work)
    return {}


# --- sending


async def send(api: Api, call: Call) -> Json:
    type_, content = call.params["type"], _content(await call.json())
    return await _send_once(
        api, call, f"send/{type_}", lambda room_id: api.rooms.send(room_id, type_, content)
    )


async def redact(api: Api, call: Call) -> Json:
    event_id, reason = call.params["event_id"], _reason(await call.json())
    content = {} if reason is None else {"reason": reason}

    def work(room_id: str) -> str:
        if api.rooms.timeline.one(api.room(room_id), event_id) is None:
            raise ClientApiError(404, "M_NOT_FOUND", f"event {event_id[:60]} is not in this room")
        return api.rooms.send(room_id, "m.room.redaction", content, redacts=event_id)

    return await _send_once(api, call, f"redact/{event_id}", work)


async def _send_once(api: Api, call: Call, path: str, work: Callable[[str], str]) -> Json:
    room_id, txn_id = call.params["room_id"], call.params["txn_id"]
    event_id = await api.host.run(
        lambda: api.transactions.once(
            call.session, f"{room_id}/{path}", txn_id, lambda: work(room_id)
        )
    )
    return {"event_id": event_id}


async def put_state(api: Api, call: Call) -> Json:
    room_id, type_ = call.params["room_id"], call.params["type"]
    state_key, content = call.params.get("state_key", ""), _content(await call.json())
    event_id = await api.host.run(lambda: api.rooms.send(room_id, type_, content, state_key))
    return {"event_id": event_id}


async def send_many(api: Api, call: Call) -> Json:
    """dtnode's own: several events in one transaction, so with one wait for the disk."""
    room_id, body = call.params["room_id"], await call.json()
    events = required(body, "events", list)
    if not 1 <= len(events) <= MAX_EVENTS_AT_ONCE:
        raise bad_parameter(f"1 to {MAX_EVENTS_AT_ONCE} events at once")
    parsed: list[tuple[str, Mapping[str, Any]]] = []
    for event in events:
        if type(event) is not dict:
            raise bad_json("'events' has to be an array of objects with type and content")
        content = _content(required(event, "content", dict))
        parsed.append((required(event, "type", str), content))

    def work() -> list[str]:
        with api.rooms.store.transaction():
            return [api.rooms.send(room_id, type_, content) for type_, content in parsed]

    return {"event_ids": await api.host.run(work)}


MAX_EVENTS_AT_ONCE = 1_000  # about a second of signing and judging on a small machine


def _content(content: JsonObject) -> JsonObject:
    """ClientApiError 413 for what no event could hold; what is just over fails later, as 400."""
    size = len(orjson.dumps(content))
    if size > MAX_PDU_BYTES:
        raise ClientApiError(
            413, "M_TOO_LARGE", f"{size} bytes; an event has at most {MAX_PDU_BYTES} with its frame"
        )
    return content


_ROOM = f"{CLIENT}/rooms/{{room_id}}"

ROUTES: Sequence[Route] = (
    post(f"{CLIENT}/createRoom", create_room),
    post(f"{_ROOM}/upgrade", upgrade),
    post(f"{CLIENT}/join/{{room_id}}", join),
    post(f"{_ROOM}/join", join),
    post(f"{CLIENT}/knock/{{room_id}}", knock),
    post(f"{_ROOM}/invite", invite),
    post(f"{_ROOM}/leave", leave),
    post(f"{_ROOM}/kick", kick),
    post(f"{_ROOM}/ban", ban),
    post(f"{_ROOM}/unban", unban),
    post(f"{_ROOM}/forget", forget),
    put(f"{_ROOM}/send/{{type}}/{{txn_id}}", send),
    put(f"{_ROOM}/redact/{{event_id}}/{{txn_id}}", redact),
    put(f"{_ROOM}/state/{{type}}", put_state),
    put(f"{_ROOM}/state/{{type}}/{{state_key}}", put_state),
)
