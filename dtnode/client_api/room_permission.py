"""/_dtnode/v1/rooms/{id}/permission: whether a room may go over links that others can read; and
what a person who joins is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dtnode.client_api.api import Api
from dtnode.client_api.requests import Call, optional, required
from dtnode.client_api.routes import OWN, Route, get, post
from dtnode.link_info import CipherPolicy
from dtnode.rooms.permission import clear_links

Json = dict[str, Any]


async def room_permission(api: Api, call: Call) -> Json:
    return await api.host.read(lambda: _permission(api, call.params["room_id"]))


async def set_room_permission(api: Api, call: Call) -> Json:
    """{"clear_links": true or false, "although_encrypted": true}; takes effect on live links at
    once. RoomIsEncrypted."""
    body, room_id = await call.json(), call.params["room_id"]
    permitted = required(body, "clear_links", bool)
    knowingly = optional(body, "although_encrypted", bool) or False

    def work() -> Json:
        api.room(room_id)
        api.rooms.permit_clear(room_id, permitted, although_encrypted=knowingly)
        return _permission(api, room_id)

    answer = await api.host.run(work)
    await api.host.permissions_changed()
    return answer


def _permission(api: Api, room_id: str) -> Json:
    summary = api.rooms.summary(api.room(room_id))
    return {
        "room_id": room_id,
        "clear_links": summary.clear_links,
        "encrypted": summary.encrypted,
    }


async def unpermitted_links(api: Api, room_id: str, to: str | None = None) -> list[str]:
    """Ids of the links that lead to the room's other servers, or to one server, where each of them
    is one that others can read and the room isn't permitted for those: nothing of it leaves this
    node. While no such server is connected all links are meant."""

    def work() -> frozenset[str] | None:
        room, rooms = api.room(room_id), api.rooms
        if clear_links(rooms.store, rooms.states, room, rooms.user_id).is_permitted:
            return None
        if to is not None:
            return frozenset({to})
        by_cards = rooms.store.rooms.servers_of_cards(room.nid)
        return by_cards | rooms.states.joined_servers(room.current_group)

    servers = await api.host.read(work)
    if servers is None:
        return []
    links = api.host.links()
    leading = [link for link in links if servers.intersection(link["peers"])] or links
    if any(link["cipher"] == CipherPolicy.SEALED.value for link in leading):
        return []
    return [link["id"] for link in leading]


ROUTES: Sequence[Route] = (
    get(f"{OWN}/rooms/{{room_id}}/permission", room_permission),
    post(f"{OWN}/rooms/{{room_id}}/permission", set_room_permission),
)
