"""Calls about the account: versions, log-in, capabilities, profile, filters, account data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hmac import compare_digest
from math import ceil
from typing import Any

from dtnode.client_api.api import Api
from dtnode.client_api.push_rules import push_rules
from dtnode.client_api.requests import (
    Call,
    JsonObject,
    bad_parameter,
    forbidden,
    not_found,
    optional,
    required,
)
from dtnode.client_api.routes import CLIENT, Route, get, post, put
from dtnode.errors import ClientApiError, PduError
from dtnode.matrix.identifiers import is_user_id
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import DEFAULT_ROOM_VERSION, ROOM_VERSIONS
from dtnode.rooms.profile import own_displayname, set_own_displayname

_VERSIONS = ("r0.6.1", *(f"v1.{minor}" for minor in range(1, 12)))
_MAX_NAME_CHARS = 256  # of a display name or device id

Json = dict[str, Any]


# --- about the server


async def versions(_api: Api, _call: Call) -> Json:
    return {"versions": list(_VERSIONS), "unstable_features": {}}


async def well_known(_api: Api, call: Call) -> Json:
    """Where the client API is: here, by the address with which the client came."""
    url = call.request.url
    return {"m.homeserver": {"base_url": f"{url.scheme}://{url.netloc}"}}


async def capabilities(_api: Api, _call: Call) -> Json:
    off = {"enabled": False}
    return {
        "capabilities": {
            "m.room_versions": {
                "default": DEFAULT_ROOM_VERSION,
                "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
            },
            "m.change_password": off,
            "m.set_displayname": {"enabled": True},
            "m.set_avatar_url": off,
            "m.3pid_changes": off,
            "m.get_login_token": off,
        }
    }


async def get_push_rules(api: Api, _call: Call) -> Json:
    return push_rules(api.user_id)


async def get_global_push_rules(api: Api, _call: Call) -> Json:
    rules: Json = push_rules(api.user_id)["global"]
    return rules


# --- logging in and out


class TooManyAttempts(ClientApiError):
    """retry_after_ms: how long a client shall wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(
            429, "M_LIMIT_EXCEEDED", f"too many wrong passwords: wait {ceil(wait_s)} s"
        )
        self.retry_after_ms = ceil(wait_s * 1000)


async def login_flows(_api: Api, _call: Call) -> Json:
    return {"flows": [{"type": "m.login.password"}]}


async def login(api: Api, call: Call) -> Json:
    body = await call.json()
    if required(body, "type", str) != "m.login.password":
        raise ClientApiError(400, "M_UNKNOWN", "only m.login.password is offered here")
    user, password = _login_user(body), required(body, "password", str)
    device_id = optional(body, "device_id", str)
    if device_id is not None and not 0 < len(device_id) <= _MAX_NAME_CHARS:
        raise bad_parameter(f"device_id has 1 to {_MAX_NAME_CHARS} characters")
    wait_s = api.attempts.wait_s()
    if wait_s > 0:
        raise TooManyAttempts(wait_s)
    right = compare_digest(password.encode(), api.password().encode())
    if not right or user not in (api.user_id, api.user_id[1:].partition(":")[0]):
        api.attempts.failed()
        raise forbidden("wrong user or password; the password is shown by: dtnode password")
    store = api.rooms.store
    token, session = await api.host.run(lambda: api.sessions.log_in(store, device_id))
    return {
        "user_id": api.user_id,
        "access_token": token,
        "device_id": session.device_id,
        "home_server": api.server_name,
    }


def _login_user(body: JsonObject) -> str:
    identifier = optional(body, "identifier", dict)
    if identifier is None:
        return required(body, "user", str)
    if required(identifier, "type", str) != "m.id.user":
        raise ClientApiError(400, "M_UNKNOWN", "only identifiers of type m.id.user are known here")
    return required(identifier, "user", str)


async def logout(api: Api, call: Call) -> Json:
    if api.sessions.is_own(call.session):
        raise forbidden("this is the command line's token; it lives as long as the data folder")
    await api.host.run(lambda: api.sessions.log_out(api.rooms.store, call.session))
    return {}


async def logout_all(api: Api, _call: Call) -> Json:
    await api.host.run(lambda: api.sessions.log_out_all(api.rooms.store))
    return {}


async def whoami(api: Api, call: Call) -> Json:
    return {"user_id": api.user_id, "device_id": call.session.device_id, "is_guest": False}


# --- profile


def tell_displayname(api: Api, room_id: str) -> None:
    """Says in a joined room what this user is called, if it was said otherwise or not at all.
    PduError: the room doesn't allow it. On the store's thread."""
    room = api.room(room_id)
    standing = api.rooms.standing(room)
    if standing.membership != "join" or standing.event is None:
        return
    name = own_displayname(api.rooms.store)
    if standing.event.content.get("displayname") == name:
        return
    content = {key: value for key, value in standing.event.content.items() if key != "displayname"}
    if name is not None:
        content["displayname"] = name
    api.rooms.send(room_id, "m.room.member", content, api.user_id)


async def get_profile(api: Api, call: Call) -> Json:
    user_id = call.params["user_id"]
    profile = await api.host.read(lambda: _profile_of(api, user_id))
    if profile is None:
        raise not_found(f"nothing is known here of {user_id[:100]}")
    return profile


async def get_displayname(api: Api, call: Call) -> Json:
    profile = await get_profile(api, call)
    return {key: value for key, value in profile.items() if key == "displayname"}


def _profile_of(api: Api, user_id: str) -> Json | None:
    """From what this user set, or from the newest membership event in a room."""
    if user_id == api.user_id:
        name = own_displayname(api.rooms.store)
        return {} if name is None else {"displayname": name}
    newest: Pdu | None = None
    for room in api.rooms.store.rooms:
        event = api.rooms.state(room).get(("m.room.member", user_id))
        if (
            event is not None
            and event.membership in ("join", "invite")
            and (newest is None or event.origin_server_ts > newest.origin_server_ts)
        ):
            newest = event
    if newest is None:
        return None
    fields = ("displayname", "avatar_url")
    return {name: value for name in fields if isinstance(value := newest.content.get(name), str)}


async def put_displayname(api: Api, call: Call) -> Json:
    """Joined rooms are told; a room that doesn't allow it keeps the old name."""
    _own_user(api, call)
    name = optional(await call.json(), "displayname", str) or ""
    if len(name) > _MAX_NAME_CHARS:
        raise bad_parameter(f"a display name has at most {_MAX_NAME_CHARS} characters")
    await api.host.run(lambda: set_own_displayname(api.rooms.store, name))
    for room_id in await api.host.read(lambda: joined_rooms_of(api)):
        try:
            await api.host.run(partial(tell_displayname, api, room_id))
        except PduError:
            continue
    return {}


def joined_rooms_of(api: Api) -> list[str]:
    """On the store's thread."""
    return [
        room.room_id
        for room in api.rooms.store.rooms
        if api.snapshots.standing(room).membership == "join"
    ]


# --- filters and account data


def _own_user(api: Api, call: Call) -> None:
    user_id = call.params["user_id"]
    if not is_user_id(user_id):
        raise bad_parameter(f"{user_id[:80]!r} is not a user id")
    if user_id != api.user_id:
        raise forbidden(f"you are {api.user_id}: what belongs to others can't be had or changed")


async def post_filter(api: Api, call: Call) -> Json:
    _own_user(api, call)
    json = await call.json()
    return {"filter_id": await api.host.run(lambda: api.account_data.write_filter(json))}


async def get_filter(api: Api, call: Call) -> Json:
    _own_user(api, call)
    filter_id = call.params["filter_id"]
    return await api.host.read(lambda: api.account_data.filter_json(filter_id))


async def get_account_data(api: Api, call: Call) -> Json:
    _own_user(api, call)
    room_id, type_ = call.params.get("room_id", ""), call.params["type"]
    return await api.host.read(lambda: api.account_data.get(room_id, type_))


async def put_account_data(api: Api, call: Call) -> Json:
    _own_user(api, call)
    room_id, type_ = call.params.get("room_id", ""), call.params["type"]
    content = await call.json()

    def write() -> None:
        if room_id:
            api.room(room_id)
        api.account_data.write(room_id, type_, content)

    await api.host.run(write)
    return {}


ROUTES: Sequence[Route] = (
    get("/_matrix/client/versions", versions, open_=True),
    get("/.well-known/matrix/client", well_known, open_=True),
    get(f"{CLIENT}/capabilities", capabilities),
    get(f"{CLIENT}/pushrules/", get_push_rules),
    get(f"{CLIENT}/pushrules", get_push_rules),
    get(f"{CLIENT}/pushrules/global/", get_global_push_rules),
    get(f"{CLIENT}/login", login_flows, open_=True),
    post(f"{CLIENT}/login", login, open_=True),
    post(f"{CLIENT}/logout", logout),
    post(f"{CLIENT}/logout/all", logout_all),
    get(f"{CLIENT}/account/whoami", whoami),
    get(f"{CLIENT}/profile/{{user_id}}", get_profile),
    get(f"{CLIENT}/profile/{{user_id}}/displayname", get_displayname),
    put(f"{CLIENT}/profile/{{user_id}}/displayname", put_displayname),
    post(f"{CLIENT}/user/{{user_id}}/filter", post_filter),
    get(f"{CLIENT}/user/{{user_id}}/filter/{{filter_id}}", get_filter),
    get(f"{CLIENT}/user/{{user_id}}/account_data/{{type}}", get_account_data),
    put(f"{CLIENT}/user/{{user_id}}/account_data/{{type}}", put_account_data),
    get(f"{CLIENT}/user/{{user_id}}/rooms/{{room_id}}/account_data/{{type}}", get_account_data),
    put(f"{CLIENT}/user/{{user_id}}/rooms/{{room_id}}/account_data/{{type}}", put_account_data),
)
