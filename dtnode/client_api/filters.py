"""Filters of sync and messages (client-server API, "Filtering"), parsed once into predicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dtnode.client_api.requests import (
    JsonObject,
    bad_json,
    bad_parameter,
    optional,
    texts,
)
from dtnode.matrix.pdu import Pdu

DEFAULT_LIMIT = 100  # events of one room in one answer
MAX_LIMIT = 1_000  # at most about 64 MB, if each has the largest size; usually half a megabyte
MAX_NAMES = 500  # in one list of a filter


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """None: everything. Types may hold * for any text."""

    limit: int = DEFAULT_LIMIT
    types: tuple[str, ...] | None = None
    not_types: tuple[str, ...] = ()
    senders: frozenset[str] | None = None
    not_senders: frozenset[str] = frozenset()
    rooms: frozenset[str] | None = None
    not_rooms: frozenset[str] = frozenset()
    contains_url: bool | None = None

    def allows_room(self, room_id: str) -> bool:
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)

    def allows_type(self, type_: str) -> bool:
        if any(_fits(type_, pattern) for pattern in self.not_types):
            return False
        return self.types is None or any(_fits(type_, pattern) for pattern in self.types)

    def allows(self, event: Pdu) -> bool:
        """By type, sender and content; rooms are the caller's."""
        if event.sender in self.not_senders:
            return False
        if self.senders is not None and event.sender not in self.senders:
            return False
        if self.contains_url is not None:
            has_url = isinstance(event.content.get("url"), str)
            if has_url != self.contains_url:
                return False
        return self.allows_type(event.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFilter:
    """room: which rooms at all. include_leave: also rooms left long ago."""

    room: EventFilter = field(default_factory=EventFilter)
    timeline: EventFilter = field(default_factory=EventFilter)
    state: EventFilter = field(default_factory=EventFilter)
    account_data: EventFilter = field(default_factory=EventFilter)
    room_account_data: EventFilter = field(default_factory=EventFilter)
    include_leave: bool = False

    def allows_room(self, room_id: str) -> bool:
        return self.room.allows_room(room_id)


def parse_event_filter(json: Mapping[str, Any], default_limit: int = DEFAULT_LIMIT) -> EventFilter:
    """RoomEventFilter. ClientApiError 400: something is of the wrong type."""
    limit = optional(json, "limit", int)
    if limit is not None and limit < 0:
        raise bad_json("'limit' can't be negative")
    types = _names(json, "types")
    senders, rooms = _names(json, "senders"), _names(json, "rooms")
    return EventFilter(
        limit=min(default_limit if limit is None else limit, MAX_LIMIT),
        types=types,
        not_types=_names(json, "not_types") or (),
        senders=None if senders is None else frozenset(senders),
        not_senders=frozenset(_names(json, "not_senders") or ()),
        rooms=None if rooms is None else frozenset(rooms),
        not_rooms=frozenset(_names(json, "not_rooms") or ()),
        contains_url=optional(json, "contains_url", bool),
    )


def parse_sync_filter(json: JsonObject) -> SyncFilter:
    """ClientApiError 400: something is of the wrong type, or federation format is asked for."""
    if json.get("event_format", "client") != "client":
        raise bad_parameter('event_format can only be "client" on this server')
    room = optional(json, "room", dict) or {}
    part = {
        name: parse_event_filter(optional(room, name, dict) or {})
        for name in ("timeline", "state", "account_data", "ephemeral")
    }
    parse_event_filter(optional(json, "presence", dict) or {})
    return SyncFilter(
        room=parse_event_filter({key: room.get(key) for key in ("rooms", "not_rooms")}),
        timeline=part["timeline"],
        state=part["state"],
        account_data=parse_event_filter(optional(json, "account_data", dict) or {}),
        room_account_data=part["account_data"],
        include_leave=optional(room, "include_leave", bool) or False,
    )


def _names(json: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    found = texts(json, name)
    if found is not None and len(found) > MAX_NAMES:
        raise bad_json(f"{name!r} has more than {MAX_NAMES} entries")
    return None if found is None else tuple(found)


def _fits(type_: str, pattern: str) -> bool:
    if "*" not in pattern:
        return type_ == pattern
    escaped = pattern.replace("[", "[[]").replace("?", "[?]")
    return fnmatchcase(type_, escaped)
