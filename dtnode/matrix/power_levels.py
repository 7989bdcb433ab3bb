"""Power levels: one m.room.power_levels content parsed once, and who a room's creators are.

The rules that use the numbers are in event_auth. Pdu.power_levels caches the parsed form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
    odd: below version 10, `events` and `notifications` that are no objects, as they stand there
    (see `comparable_entries`).
    unreadable: entries (property, key; property "" for LEVEL_NAMES) that are no levels and can be
    in force below version 10, where only `users` are checked. Whatever needs one fails.
    flaw: why these levels can't be compared with others (an unreadable entry, or null), or None.
    """

    levels: Mapping[str, int]
    users: Mapping[str, int]
    events: Mapping[str, int]
    notifications: Mapping[str, int]
    odd: Mapping[str, Any] = field(default_factory=dict)
    unreadable: frozenset[tuple[str, str]] = frozenset()
    flaw: str | None = None

    def check_comparable(self) -> None:
        """AuthRuleError: there is an entry that is no level."""
        if self.flaw is not None:
            raise AuthRuleError(self.flaw)

    def entries(self, name: str) -> Any:
        """`events` or `notifications`: levels by key, or whatever stands there instead."""
        levels = self.events if name == "events" else self.notifications
        return self.odd.get(name, levels)

    def level(self, name: str) -> int:
        """One of LEVEL_NAMES, or its default (server-server API, "Definitions").

        AuthRuleError, as for the other levels: it is there, but is no level.
        """
        level = self.levels.get(name)
        if level is None:
            self._check_readable("", name)
            return _DEFAULTS.get(name, 0)
        return level

    def user_level(self, user_id: str) -> int:
        level = self.users.get(user_id)
        return self.level("users_default") if level is None else level

    def send_level(self, event_type: str, *, is_state: bool) -> int:
        """The required power level of an event type."""
        level = self.events.get(event_type)
        if level is None:
            self._check_readable("events", event_type)
            level = self.level("state_default" if is_state else "events_default")
        return level

    def _check_readable(self, name: str, key: str) -> None:
        if name in self.odd or (name, key) in self.unreadable:
            raise AuthRuleError(f"power level {f'{name} {key}'.strip()!r:.300} is no integer")


NO_POWER_LEVELS = PowerLevels(levels={}, users={}, events={}, notifications={})
"""The levels of a room without an m.room.power_levels event; users then have their default as
`event_auth` says (the creator 100)."""


def parse_power_levels(version: RoomVersion, content: Mapping[str, Any]) -> PowerLevels:
    """AuthRuleError: not what the auth rules of the room version demand of every such event."""
    return _parse_integers(content) if version.integer_power_levels else _parse(version, content)


def _parse_integers(content: Mapping[str, Any]) -> PowerLevels:
    """Version 10 and later."""
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


def _parse(version: RoomVersion, content: Mapping[str, Any]) -> PowerLevels:
    """Versions before 10: text and, before 6, floats count too; of what is neither, deployed
    servers accept all but `users` and then fail wherever they need it."""
    parsed: dict[str, dict[str, int]] = {"": {}, "users": {}, "events": {}, "notifications": {}}
    unreadable: set[tuple[str, str]] = set()
    odd: dict[str, Any] = {}
    flaw: str | None = None
    present = {"": {name: content[name] for name in LEVEL_NAMES if name in content}}
    names = ("users", "events", "notifications")
    for name in names if version.notifications_need_power else names[:2]:
        entries = content.get(name, {})
        if type(entries) is dict:
            present[name] = entries
        else:
            odd[name] = entries
    for name, entries in present.items():
        for key, value in entries.items():
            level = _as_level(value)
            if level is not None:
                parsed[name][key] = level
                continue
            flaw = f"power level {f'{name} {key}'.strip()!r:.300} is no integer but {value!r:.40}"
            # null is as if it weren't there, until levels are compared; but not these two.
            if value is not None or (not name and key in ("state_default", "events_default")):
                unreadable.add((name, key))
    # "If the users property in content is not an object with keys that are valid user IDs with
    # values that are integers (or a string that is an integer), reject."
    users = parsed["users"]
    _check_user_ids(users)
    if "users" in odd:
        raise AuthRuleError("'users' in the power levels is not an object")
    if len(users) != len(present["users"]):
        raise AuthRuleError(str(flaw))
    return PowerLevels(
        levels=parsed[""],
        users=users,
        events=parsed["events"],
        notifications=parsed["notifications"],
        odd=odd,
        unreadable=frozenset(unreadable),
        flaw=flaw,
    )


def _as_level(value: Any) -> int | None:
    """A level as versions before 10 write it, None if it isn't one ("Deprecated event content
    schemas": text with spaces, sign and leading zeros; floats are cut off at the point).

    Deployed servers read more, all that Python's `int` does: true and false, "5_0" and the digits
    and spaces of every script; but no text of more than 4300 digits (canonical_json's limit).
    """
    if type(value) not in (int, float, bool, str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def written_user_level(content: Mapping[str, Any], user_id: str) -> int:
    """A user's level by contents that break the rules, as deployed servers read them in state
    resolution: in every version like before 10. 0 where it isn't even that."""
    users = content.get("users")
    level = users.get(user_id) if type(users) is dict else None
    if level is None:
        level = content.get("users_default")
    return _as_level(level) or 0


def comparable_entries(
    old: PowerLevels, new: PowerLevels, name: str
) -> tuple[Mapping[Any, int], Mapping[Any, int]]:
    """The `events` or `notifications` of two contents, as far as the rules about changes see them.

    Below version 10 no rule says that these are objects, and deployed servers accept what Python
    iterates and indexes like one: an empty text and an empty array have no entries, an array of
    integers has those that it has itself as indices. AuthRuleError: it can't be read like that.
    """
    before, after = old.entries(name), new.entries(name)
    if name not in old.odd and name not in new.odd:
        return before, after
    try:
        keys = dict.fromkeys([*before, *after])
        return (
            {key: int(before[key]) for key in keys if key in before},
            {key: int(after[key]) for key in keys if key in after},
        )
    except (TypeError, ValueError, IndexError):
        raise AuthRuleError(f"{name!r} in the power levels is not an object") from None


def _parse_level_map(content: Mapping[str, Any], name: str) -> Mapping[str, int]:
    # "If either of the properties events or notifications in content are present and not an object
    # with values that are integers, reject."
    entries = content.get(name, {})
    if type(entries) is not dict:
        raise AuthRuleError(f"{name!r} in the power levels is not an object")
    for key, level in entries.items():
        if type(level) is not int:
            raise AuthRuleError(f"power level of {name} {key!r:.300} is not an integer")
    return entries


def _parse_users(content: Mapping[str, Any]) -> Mapping[str, int]:
    # "If the users property in content is not an object with keys that are valid user IDs with
    # values that are integers, reject."
    users = _parse_level_map(content, "users")
    _check_user_ids(users)
    return users


def _check_user_ids(users: Iterable[str]) -> None:
    # Valid is what deployed servers check: sigil and colon.
    for user_id in users:
        if not user_id.startswith("@") or ":" not in user_id:
            raise AuthRuleError(f"the power levels name {user_id!r:.300}, which is no user id")


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
