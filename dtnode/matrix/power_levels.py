"""Power levels: one m.room.power_levels content parsed once, and who a room's creators are.

The rules that use the numbers are in event_auth. Pdu.power_levels caches the parsed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtnode.errors import AuthRuleError
from dtnode.matrix.room_versions import RoomVersion

CREATOR_POWER = 2**53
"""The infinite power of creators (version 12): above every integer of canonical JSON, and one
level for all of them."""

LEVEL_NAMES = (
    "users_default",
    "events_default",
    "state_default",
    "ban",
    "redact",
    "kick",
    "invite",
)
_DEFAULTS: Mapping[str, int] = {"state_default": 50, "ban": 50, "redact": 50, "kick": 50}


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLevels:
    """The levels of one m.room.power_levels event, defaults not filled in.

    levels: those of LEVEL_NAMES that are present. users, events, notifications: by user id, event
    type and notification key.
    """

    levels: Mapping[str, int]
    users: Mapping[str, int]
    events: Mapping[str, int]
    notifications: Mapping[str, int]

    def level(self, name: str) -> int:
        """One of LEVEL_NAMES, or its default (server-server API, "Definitions")."""
        level = self.levels.get(name)
        return _DEFAULTS.get(name, 0) if level is None else level

    def user_level(self, user_id: str) -> int:
        level = self.users.get(user_id)
        return self.levels.get("users_default", 0) if level is None else level

    def send_level(self, event_type: str, *, is_state: bool) -> int:
        """The required power level of an event type."""
        level = self.events.get(event_type)
        if level is None:
            level = self.level("state_default" if is_state else "events_default")
        return level


NO_POWER_LEVELS = PowerLevels(levels={}, users={}, events={}, notifications={})
"""The levels of a room without an m.room.power_levels event; users then have their default as
`event_auth` says (the creator 100)."""


def parse_power_levels(content: Mapping[str, Any]) -> PowerLevels:
    """AuthRuleError: not the integers that the auth rules from room version 10 on demand."""
    levels: dict[str, int] = {}
    # "If any of the properties users_default, events_default, state_default, ban, redact, kick, or
    # invite in content are present and not an integer, reject."
    for name in LEVEL_NAMES:
        if name in content:
            level = content[name]
            if type(level) is not int:
                raise AuthRuleError(f"power level {name!r} is not an integer but {level!r:.40}")
            levels[name] = level
    return PowerLevels(
        levels=levels,
        users=_parse_users(content),
        events=_parse_level_map(content, "events"),
        notifications=_parse_level_map(content, "notifications"),
    )


def _parse_level_map(content: Mapping[str, Any], name: str) -> Mapping[str, int]:
    # "If either of the properties events or notifications in content are present and not an object
    # with values that are integers, reject."
    entries = content.get(name, {})
    if type(entries) is not dict:
        raise AuthRuleError(f"{name!r} in the power levels is not an object")
    for key, level in entries.items():
        if type(level) is not int:
            raise AuthRuleError(f"power level of {name} {key!r:.60} is not an integer")
    return entries


def _parse_users(content: Mapping[str, Any]) -> Mapping[str, int]:
    # "If the users property in content is not an object with keys that are valid user IDs with
    # values that are integers, reject." Valid is what deployed servers check: sigil and colon.
    users = _parse_level_map(content, "users")
    for user_id in users:
        if not user_id.startswith("@") or ":" not in user_id:
            raise AuthRuleError(f"the power levels name {user_id!r:.60}, which is no user id")
    return users


def room_creators(version: RoomVersion, sender: str, content: Mapping[str, Any]) -> frozenset[str]:
    """The creators that an m.room.create event with this sender and content names."""
    if not version.implicit_room_creator:
        creator = content.get("creator")
        return frozenset({creator} if type(creator) is str else ())
    if not version.privileged_creators:
        return frozenset({sender})
    additional = content.get("additional_creators")
    named = additional if type(additional) is list else ()
    return frozenset({sender, *(user_id for user_id in named if type(user_id) is str)})
