"""dtnode's own calls, under /_dtnode/v1: what the command line needs beyond the Matrix API.

The command line is written against these answers: fields may be added to them, none taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from dtnode.client_api import imports, link_trace, room_limits, room_permission
from dtnode.client_api.answers import encode_json
from dtnode.client_api.api import Api, Look, poll
from dtnode.client_api.filters import EventFilter
from dtnode.client_api.pages import page_forward
from dtnode.client_api.requests import (
    Call,
    bad_parameter,
    not_found,
    optional,
    required,
)
from dtnode.client_api.room_acts import send_many
from dtnode.client_api.routes import OWN, Route, delete, get, post
from dtnode.client_api.snapshots import StreamToken, parse_token
from dtnode.matrix.identifiers import split_user_id
from dtnode.matrix.server_names import key_from_server_name
from dtnode.rooms.summary import RoomSummary
from dtnode.rooms.timeline import TimelineEvent
from dtnode.store import PeerRecord, RoomRecord

MAX_EVENTS = 100_000  # of one answer; the command line's --limit
_MAX_NAME_CHARS = 100
_MIN_KEY_PREFIX = 4

Json = dict[str, Any]


# --- the node


async def status(api: Api, _call: Call) -> Json:
    return await api.host.status()


async def reload_links(api: Api, _call: Call) -> Json:
    return {"links": await api.host.reload_links()}


async def shutdown(api: Api, _call: Call) -> Json:
    api.host.shutdown()
    return {}


# --- names


async def resolve(api: Api, call: Call) -> Json:
    """NameNotFound, NameAmbiguous."""
    room, user = call.query("room"), call.query("user")
    if room is not None:
        found = await api.host.read(lambda: api.rooms.names.resolve_room(room))
        return {"room_id": found.room_id}
    if user is not None:
        person = await api.host.read(lambda: api.rooms.names.resolve_user(user))
        return {"user_id": person.user_id, "label": person.label}
    raise bad_parameter("say what to look for: ?room=TEXT or ?user=TEXT")


async def people(api: Api, _call: Call) -> Json:
    found = await api.host.read(api.rooms.names.people)
    return {"people": [{"user_id": one.user_id, "label": one.label} for one in found]}


# --- rooms


def room_object(summary: RoomSummary) -> Json:
    """A room as `status` and GET /rooms show it."""
    return asdict(summary)


async def rooms(api: Api, _call: Call) -> Json:
    def work() -> list[Json]:
        return [room_object(api.rooms.summary(room)) for room in api.rooms.store.rooms]

    return {"rooms": await api.host.read(work)}


async def gaps(api: Api, call: Call) -> Json:
    room_id = call.params["room_id"]

    def work() -> Json:
        room = api.room(room_id)
        found = [
            {
                "event_id": gap.event_id,
                "kind": gap.kind.value,
                "needed_by": list(gap.needed_by),
                "since_ms": gap.since_ms,
            }
            for gap in api.rooms.gaps(room)
        ]
        return {
            "room_id": room_id,
            "kind": room.kind.name.lower(),
            "gaps": found,
            "held": api.rooms.store.held.count(room.nid),
        }

    answer = await api.host.read(work)
    asked = await api.host.asked(room_id)
    for gap in answer["gaps"]:
        gap["asked"] = list(asked.get(gap["event_id"], ()))
    return answer


async def events(api: Api, call: Call) -> bytes:
    """The newest in DAG order, or with `after` what became visible since: at once if there is
    something, else as soon as there is, within timeout_ms."""
    limit = call.query_int("limit", 50, 1, MAX_EVENTS)
    after = call.query("after")
    if after is None:
        return (await _newest(api, call, limit))[0]
    position = parse_token(after).position
    timeout_s = call.query_int("timeout_ms", 0, 0, 600_000) / 1000

    async def look() -> tuple[bytes, Look]:
        return await _since(api, call, position, limit)

    if timeout_s == 0:
        return (await look())[0]
    return await poll(api, call.request, timeout_s, look)


async def _newest(api: Api, call: Call, limit: int) -> tuple[bytes, Look]:
    def work() -> tuple[bytes, Look]:
        room = api.room(call.params["room_id"])
        upto = api.rooms.store.events.last_position()
        found = api.rooms.timeline.newest(room, limit)
        return _events_answer(api, call, room, found, upto)

    return await api.host.read(work)


async def _since(api: Api, call: Call, after: int, limit: int) -> tuple[bytes, Look]:
    def work() -> tuple[bytes, Look]:
        room = api.room(call.params["room_id"])
        upto = api.rooms.store.events.last_position()
        only = EventFilter(limit=limit)
        page = page_forward(api.rooms, room, after=min(after, upto), upto=upto, only=only)
        return _events_answer(api, call, room, page.events, page.high)

    return await api.host.read(work)


def _events_answer(
    api: Api, call: Call, room: RoomRecord, found: Sequence[TimelineEvent], position: int
) -> tuple[bytes, Look]:
    """Encoded event by event: 100,000 of them as objects would take half a gigabyte."""
    now_ms, labels = api.host.now_ms(), api.rooms.names.labels() if found else {}
    encoded = [
        encode_json(
            api.renderer.event(
                room,
                event,
                now_ms=now_ms,
                session=call.session,
                label=labels.get(event.pdu.sender),
            )
        )
        for event in found
    ]
    cursor = encode_json(str(StreamToken(position=position)))
    data = b'{"events":[' + b",".join(encoded) + b'],"cursor":' + cursor + b"}"
    return data, Look(position=position, news=bool(encoded))


# --- peers


async def peers(api: Api, _call: Call) -> Json:
    return {"peers": (await api.host.status())["peers"]}


async def add_peer(api: Api, call: Call) -> Json:
    body = await call.json()
    text, name = required(body, "peer", str).strip(), _peer_name(body)

    def work() -> str:
        server_name, user_id = _peer_to_add(api, text)
        old = api.rooms.store.peers.get(server_name) or PeerRecord(server_name=server_name)
        api.rooms.store.peers.put(
            replace(old, added=True, user_id=user_id or old.user_id, name=name or old.name)
        )
        return server_name

    return await _changed(api, await api.host.run(work))


def _peer_to_add(api: Api, text: str) -> tuple[str, str | None]:
    """(server name, user id if that is known)"""
    server_name, user_id = text, None
    if text.startswith("@"):
        user_id, server_name = text, split_user_id(text)[1]
    elif key_from_server_name(text) is None:
        user_id = api.rooms.names.resolve_user(text).user_id
        server_name = split_user_id(user_id)[1]
    if key_from_server_name(server_name) is None:
        raise bad_parameter(
            f"{server_name[:80]!r} is no dtnode's server name: that is a key of 52 characters,"
            " shown by `dtnode status` on the other machine"
        )
    if server_name == api.server_name:
        raise bad_parameter("that is this node itself")
    return server_name, user_id


async def change_peer(api: Api, call: Call) -> Json:
    body = await call.json()
    name, blocked = _peer_name(body), optional(body, "blocked", bool)
    if "name" not in body and blocked is None:
        raise bad_parameter('say what to change: {"name": TEXT} or {"blocked": true or false}')

    def work() -> str:
        old = _peer(api, call.params["peer"])
        new = replace(
            old,
            name=name if "name" in body else old.name,
            blocked=old.blocked if blocked is None else blocked,
        )
        api.rooms.store.peers.put(new)
        return new.server_name

    return await _changed(api, await api.host.run(work))


async def remove_peer(api: Api, call: Call) -> Json:
    """Not added any more; a block stays, and so does what a member of a room is called."""

    def work() -> str:
        old = _peer(api, call.params["peer"])
        new = replace(old, added=False, user_id=None)
        if new == PeerRecord(server_name=old.server_name):
            api.rooms.store.peers.remove(old.server_name)
        else:
            api.rooms.store.peers.put(new)
        return old.server_name

    return await _changed(api, await api.host.run(work))


def _peer(api: Api, text: str) -> PeerRecord:
    """By server name, given name or the beginning of the key; also one not in the table yet."""
    stored = {peer.server_name: peer for peer in api.rooms.store.peers.all()}
    known = {name: PeerRecord(server_name=name) for name in api.rooms.sharing.known_servers()}
    known.update(stored)
    if text in known:
        return known[text]
    found = [peer for peer in stored.values() if peer.name == text]
    if not found and len(text) >= _MIN_KEY_PREFIX:
        found = [peer for name, peer in known.items() if name.startswith(text)]
    key = key_from_server_name(text)
    if not found and key is not None:  # whatever the domain: it is the same node
        found = [peer for name, peer in known.items() if key_from_server_name(name) == key]
    if not found and key is not None and key != key_from_server_name(api.server_name):
        return PeerRecord(server_name=text)  # a stranger can be blocked before it is ever met
    if not found:
        raise not_found(f"no peer is called {text[:80]!r}; see: dtnode peer list")
    if len(found) > 1:
        names = ", ".join(peer.server_name for peer in found)
        raise bad_parameter(f"{len(found)} peers fit {text[:80]!r}, use a server name: {names}")
    return found[0]


def _peer_name(body: Json) -> str | None:
    name = optional(body, "name", str)
    if name is None:
        return None
    name = name.strip()
    if not 0 < len(name) <= _MAX_NAME_CHARS or not name.isprintable() or name.startswith("@"):
        raise bad_parameter(
            f"a peer's name has 1 to {_MAX_NAME_CHARS} printable characters, the first not @"
        )
    return name


async def _changed(api: Api, server_name: str) -> Json:
    """Tells the node; the peer's object."""
    await api.host.peers_changed()
    for peer in (await api.host.status())["peers"]:
        if peer["server_name"] == server_name:
            found: Json = peer
            return found
    return {
        "server_name": server_name,
        "user_id": None,
        "name": None,
        "added": False,
        "blocked": False,
        "connected": False,
        "via": [],
        "last_contact_ms": None,
        "lacks": None,
    }


ROUTES: Sequence[Route] = (
    *imports.ROUTES,
    *link_trace.ROUTES,
    *room_limits.ROUTES,
    *room_permission.ROUTES,
    get(f"{OWN}/status", status),
    get(f"{OWN}/rooms", rooms),
    get(f"{OWN}/resolve", resolve),
    get(f"{OWN}/people", people),
    get(f"{OWN}/peers", peers),
    post(f"{OWN}/peers", add_peer),
    post(f"{OWN}/peers/{{peer}}", change_peer),
    delete(f"{OWN}/peers/{{peer}}", remove_peer),
    post(f"{OWN}/links/reload", reload_links),
    get(f"{OWN}/rooms/{{room_id}}/events", events),
    get(f"{OWN}/rooms/{{room_id}}/gaps", gaps),
    post(f"{OWN}/rooms/{{room_id}}/send", send_many),
    post(f"{OWN}/shutdown", shutdown),
)
