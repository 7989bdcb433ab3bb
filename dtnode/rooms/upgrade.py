"""Room upgrades: a new room of another version in place of an old one, and the way from the old to
the new (client-server API, "Room Upgrades").

The old room stays open: who is out of reach goes on talking there until the tombstone reaches them,
and what they say isn't soft-failed, as it would be if the power levels were raised against it.
Called by dtnode.rooms.rooms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtnode.errors import AuthRuleError, FormatError
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import DEFAULT_ROOM_VERSION, ROOM_VERSIONS, RoomVersion
from dtnode.rooms.local import LocalRooms, NewRoom
from dtnode.rooms.state import RoomStates, StateLookup
from dtnode.rooms.succession import successor
from dtnode.store import RoomKind, RoomRecord, Store

_COPIED = (
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
)
"""As the specification recommends; power levels and bans come after them."""
_NOT_KEPT = ("room_version", "creator", "predecessor", "additional_creators")  # of m.room.create
_MAX_BANS, _MAX_INVITES = 500, 200  # copied: a second or two of signing on a small machine
_TOMBSTONE_POWER = 150  # the default of rooms whose creators stand above all levels
_FOUNDER_POWER = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """additional_creators: only from version 12 on. invite: ask the members of the old room into
    the new one."""

    version: str = DEFAULT_ROOM_VERSION
    additional_creators: Sequence[str] = ()
    invite: bool = False


def upgrade_room(
    store: Store,
    states: RoomStates,
    local: LocalRooms,
    room: RoomRecord,
    user_id: str,
    upgrade: Upgrade,
) -> str:
    """The new room's id. Within the caller's transaction. PduError, with nothing stored: the user
    may not replace this room, or it can't be."""
    version = ROOM_VERSIONS.get(upgrade.version)
    if version is None:
        known = ", ".join(ROOM_VERSIONS)
        raise FormatError(f"room version {upgrade.version!r:.20} isn't known here: choose {known}")
    if upgrade.additional_creators and not version.privileged_creators:
        raise FormatError(f"rooms of version {version.identifier} have no additional creators")
    if room.kind is not RoomKind.COMPLETE:
        raise AuthRuleError("the room's history isn't here yet: upgrade it when it is")
    look = states.lookup(room.current_group)
    replaced_by = successor(look)
    if replaced_by is not None:
        raise AuthRuleError(f"this room was replaced by {replaced_by} already")
    new = local.begin_room(
        user_id,
        version,
        NewRoom(
            version=version.identifier,
            creation_content=_creation_content(store, room, look, upgrade),
        ),
    )
    members = states.members(room.current_group)
    _copy_state(local, new.room_id, user_id, version, look)
    for banned, event in _with_membership(members, "ban")[:_MAX_BANS]:
        reason = event.content.get("reason")
        text = reason if isinstance(reason, str) else None
        local.send(new.room_id, user_id, "m.room.member", _ban(text), banned)
    creators = {user_id, *upgrade.additional_creators}
    levels = _power_levels(look, version, creators, user_id)
    local.send(new.room_id, user_id, "m.room.power_levels", levels, "")
    tombstone = {"body": "This room has been replaced", "replacement_room": new.room_id}
    local.send(room.room_id, user_id, "m.room.tombstone", tombstone, "")
    if upgrade.invite:
        for member, _ in _with_membership(members, "join")[:_MAX_INVITES]:
            if member != user_id:
                local.set_membership(new.room_id, user_id, member, "invite")
    return new.room_id


def _creation_content(
    store: Store, room: RoomRecord, look: StateLookup, upgrade: Upgrade
) -> dict[str, Any]:
    create = look("m.room.create", "")
    assert create is not None, "a complete room has a create event"
    newest = store.events.by_nid(max(store.rooms.forward_extremities(room.nid)))
    assert newest is not None, "a forward extremity is a stored event"
    content = {key: value for key, value in create.content.items() if key not in _NOT_KEPT}
    content["predecessor"] = {"room_id": room.room_id, "event_id": newest.event_id}
    if upgrade.additional_creators:
        content["additional_creators"] = list(upgrade.additional_creators)
    return content


def _copy_state(
    local: LocalRooms, room_id: str, user_id: str, version: RoomVersion, look: StateLookup
) -> None:
    for type_ in _COPIED:
        event = look(type_, "")
        if event is None or event.redacted:
            continue
        content: Mapping[str, Any] = event.content
        if type_ == "m.room.join_rules" and content.get("join_rule") not in version.join_rules:
            content = {"join_rule": "invite"}
        local.send(room_id, user_id, type_, content, "")


def _ban(reason: str | None) -> dict[str, Any]:
    return {"membership": "ban"} if reason is None else {"membership": "ban", "reason": reason}


def _with_membership(members: Mapping[str, Pdu], membership: str) -> list[tuple[str, Pdu]]:
    return sorted(
        (user, event) for user, event in members.items() if event.membership == membership
    )


def _power_levels(
    look: StateLookup, version: RoomVersion, creators: Collection[str], user_id: str
) -> dict[str, Any]:
    """The old room's; nobody gains by the upgrade but who creates a room whose creators stand above
    all levels. Creators of such an old room have the power of founders in the new one."""
    event, old_create = look("m.room.power_levels", ""), look("m.room.create", "")
    content = {"users": {user_id: _FOUNDER_POWER}} if event is None else _as_integers(event.content)
    users: dict[str, int] = dict(content.get("users", {}))
    if old_create is not None and old_create.version.privileged_creators:
        founders = max([_FOUNDER_POWER, *users.values()])
        users |= dict.fromkeys(old_create.creators, founders)
    if version.privileged_creators:
        users = {user: level for user, level in users.items() if user not in creators}
        events = dict(content.get("events", {}))
        events["m.room.tombstone"] = max(_TOMBSTONE_POWER, events.get("m.room.tombstone", 0))
        content["events"] = events
    return {**content, "users": users}


def _as_integers(content: Mapping[str, Any]) -> dict[str, Any]:
    """Levels as integers, as versions from 10 on want them. What was no level is left out."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            levels = {key: _integer(level) for key, level in value.items()}
            found[name] = {key: level for key, level in levels.items() if level is not None}
        elif (level := _integer(value)) is not None:
            found[name] = level
    return found


def _integer(value: object) -> int | None:
    if type(value) is int:
        return value
    if not isinstance(value, str | float):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None
