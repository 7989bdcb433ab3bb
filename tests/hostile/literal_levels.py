"""Power levels by the letter of the specification: what they are, and who may change them.

Part of the second implementation (literal.py), which shares no code with dtnode; used by
literal_auth and literal_resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.hostile.literal_events import Event, Json

Level: TypeAlias = int | float
"""Infinity is a creator's (version 12)."""

NAMED = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")


class Rejected(Exception):
    """An authorisation rule says so."""


def reject_if(condition: object, why: str) -> None:
    if condition:
        raise Rejected(why)


def as_level(value: Any, n: int) -> int:
    """One level. From version 10 an integer; before, also text: "a single base 10 integer",
    "optionally with any number of leading zeroes", "optionally prefixed with a single - or +",
    "optionally with any number of leading or trailing whitespace characters"; before version 6
    also a float: "the value is truncated at the decimal point". Deployed servers read all text
    there that Python's `int` does ("5_0", "\u0665"), and true and false as 1 and 0."""
    if type(value) is int:
        return value
    if n <= 9 and isinstance(value, bool):
        return int(value)
    if n <= 9 and isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise Rejected(f"{value!r:.40} is no power level") from None
    if n <= 5 and isinstance(value, float) and math.isfinite(value):
        return math.trunc(value)
    raise Rejected(f"{value!r:.40} is no power level")


@dataclass(frozen=True)
class Powers:
    """Levels in a state: `levels` is its m.room.power_levels event, if any. create: None only where
    the auth_events of a second create event are all there is to look at."""

    create: Event | None
    levels: Event | None
    n: int

    def part(self, name: str) -> Json:
        found = self.levels.content.get(name, {}) if self.levels else {}
        reject_if(not isinstance(found, dict), f"{name} is no object")
        return found

    def named(self, name: str, default: int) -> int:
        """ "The invite level defaults to 0 if unspecified. The kick level, ban level and redact
        level each default to 50 if unspecified." """
        value = self.levels.content.get(name) if self.levels else None
        return default if value is None else as_level(value, self.n)

    def creators(self) -> list[object]:
        """The sender of the create event (from version 11; before, content.creator), and from
        version 12 "any user IDs contained in the additional_creators array"."""
        if self.create is None:
            return []
        if self.n <= 10:
            return [self.create.content.get("creator")]
        if self.n == 11:
            return [self.create.sender]
        return [self.create.sender, *self.create.content.get("additional_creators", [])]

    def of(self, user_id: str) -> Level:
        # "The power level of 'room creators' is infinitely high."
        if self.n >= 12 and user_id in self.creators():
            return math.inf
        # "If there is no m.room.power_levels event in the room, the room's creator has 100, all
        # others 0" (client-server API).
        if self.levels is None:
            return 100 if user_id in self.creators() else 0
        level = self.part("users").get(user_id)
        return self.named("users_default", 0) if level is None else as_level(level, self.n)

    def required(self, event: Event) -> int:
        """ "The event type is either listed explicitly in the events section or given by either
        state_default or events_default depending on if the event is a state event or not." """
        level = self.part("events").get(event.type)
        if level is not None:
            return as_level(level, self.n)
        name, default = ("state_default", 50) if event.is_state else ("events_default", 0)
        # Before version 10 a level can be null, and only here that isn't the same as no level:
        # deployed servers fail.
        value = self.levels.content.get(name, default) if self.levels else default
        return as_level(value, self.n)


# --- the rules for m.room.power_levels


def check_power_levels(event: Event, powers: Powers, n: int) -> None:
    reject_if(not event.is_state, "power levels that are no state")
    new = event.content
    if n >= 10:
        check_integers(new, n)
    # "If the users property in content is not an object with keys that are valid user IDs with
    # values that are integers, reject." (Before version 10: "or a string that is an integer".)
    # Deployed servers look for the sigil and a colon only.
    users = new.get("users", {})
    reject_if(not isinstance(users, dict), "users is no object")
    for user_id, level in users.items():
        reject_if(not user_id.startswith("@") or ":" not in user_id, "users has no user id")
        as_level(level, n)
    # "If the users property in content contains the sender of the m.room.create event or any of the
    # additional_creators array (if present) [...], reject."
    reject_if(n >= 12 and any(user_id in powers.creators() for user_id in users), "a creator")
    # "If there is no previous m.room.power_levels event in the room, allow." There is none for
    # another state_key than the empty one: it is not part of what is looked up.
    if powers.levels is None or event.state_key != "":
        return
    power = powers.of(event.sender)
    old = powers.levels.content
    # "For the properties users_default, events_default, [...] check if they were added, changed or
    # removed. For each found alteration: If the current value is higher than the sender's current
    # power level, reject. If the new value is higher than the sender's current power level,
    # reject."
    check_alterations(pick(old, NAMED), pick(new, NAMED), power, n)
    # "For each entry being changed in, or removed from, the events or [from version 6]
    # notifications properties: If the current value is greater than [...]"; "for each entry being
    # added to, or changed in, [...]: If the new value is greater than [...]".
    for name in ("events", "notifications") if n >= 6 else ("events",):
        before, after = old.get(name, {}), new.get(name, {})
        if n <= 9 and not (isinstance(before, dict) and isinstance(after, dict)):
            check_odd_alterations(before, after, power, n)
        else:
            check_alterations(before, after, power, n)
    # "For each entry being added to, or changed in, the users property: If the new value is greater
    # than the sender's current power level, reject."
    old_users = old.get("users", {})
    check_alterations(old_users, users, power, n)
    # "For each entry being changed in, or removed from, the users property, other than the sender's
    # own entry: If the current value is greater than or equal to the sender's current power level,
    # reject."
    for user_id, level in old_users.items():
        changed = user_id not in users or as_level(users[user_id], n) != as_level(level, n)
        reject_if(
            changed and user_id != event.sender and as_level(level, n) >= power,
            "a user of the same power",
        )


def check_integers(content: Json, n: int) -> None:
    # "If any of the properties users_default, events_default, [...] in content are present and not
    # an integer, reject."
    for name in NAMED:
        if name in content:
            as_level(content[name], n)
    # "If either of the properties events or notifications in content are present and not an object
    # with values that are integers, reject."
    for name in ("events", "notifications"):
        found = content.get(name, {})
        reject_if(not isinstance(found, dict), f"{name} is no object")
        for level in found.values():
            as_level(level, n)


def pick(content: Json, names: Iterable[str]) -> Json:
    return {name: content[name] for name in names if name in content}


def check_odd_alterations(old: Any, new: Any, power: Level, n: int) -> None:
    """Of `events` or `notifications` where one of them is no object, which no rule forbids before
    version 10. Deployed servers ask both for what either gives when it is iterated: an array has
    the entry x if x is in it, with the level at index x. An empty text has no entries, but it can
    be asked for text only, and the empty text is in it, with no level."""
    for form in (old, new):
        reject_if(not isinstance(form, (dict, list, str)), "no object, array or text")
    asked: list[Any] = []
    for x in (*old, *new):
        if x not in asked:
            reject_if(not isinstance(x, (str, int)), "an array with something else than integers")
            asked.append(x)
    check_alterations(entries_asked(old, asked), entries_asked(new, asked), power, n)


def entries_asked(form: Any, asked: list[Any]) -> dict[Any, Any]:
    if isinstance(form, str):
        reject_if(not all(isinstance(x, str) and x not in form for x in asked), "in a text")
        return {}
    if isinstance(form, list):
        for x in form:
            reject_if(isinstance(x, str), "an array with text")
            reject_if(not -len(form) <= x < len(form), "an array without that index")
    return {x: form[x] for x in asked if x in form}


def check_alterations(old: dict[Any, Any], new: dict[Any, Any], power: Level, n: int) -> None:
    for name in {*old, *new}:
        before = as_level(old[name], n) if name in old else None
        after = as_level(new[name], n) if name in new else None
        if before == after:
            continue
        reject_if(before is not None and before > power, f"{name} was higher")
        reject_if(after is not None and after > power, f"{name} would be higher")
