"""Room versions as data (specification, "Room Versions"), each made from the one before.

The rules that read these flags stand in redaction, pdu, event_auth and state_resolution.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


class StateResolutionVersion(enum.Enum):
    V2 = "2"
    V2_1 = "2.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomVersion:
    """What one room version does differently from another.

    redaction_keys: top-level keys a redacted event keeps; `content` is always among them.
    redaction_content_keys: event type -> keys of `content` kept; other types keep none.
    redaction_keeps_create_content: m.room.create keeps all of its content (version 11).
    redaction_keeps_third_party_signed: m.room.member keeps third_party_invite.signed (11).
    redacts_in_content: a redaction names its target in content.redacts (11).
    implicit_room_creator: the creator is the create event's sender; content.creator means
        nothing and may be missing (11).
    strict_byte_limits: an id, type or state_key over 255 bytes, not only over 255 code points, is
        no valid event (11); before, such an event was rejected and stayed part of the DAG.
    room_id_is_create_hash: the room id is the create event's id with `!`, so the create event has
        no room_id and stands in nobody's auth_events (12).
    privileged_creators: creators, content.additional_creators among them, have infinite power and
        can't be named in power levels (12).
    """

    identifier: str
    redaction_keys: frozenset[str]
    redaction_content_keys: Mapping[str, frozenset[str]]
    redaction_keeps_create_content: bool
    redaction_keeps_third_party_signed: bool
    redacts_in_content: bool
    implicit_room_creator: bool
    strict_byte_limits: bool
    room_id_is_create_hash: bool
    privileged_creators: bool
    state_resolution: StateResolutionVersion


_REDACTION_KEYS_V10 = frozenset(
    {
        "auth_events",
        "content",
        "depth",
        "event_id",
        "hashes",
        "membership",
        "origin",
        "origin_server_ts",
        "prev_events",
        "prev_state",
        "room_id",
        "sender",
        "signatures",
        "state_key",
        "type",
    }
)
_POWER_LEVEL_KEYS_V10 = frozenset(
    {
        "ban",
        "events",
        "events_default",
        "kick",
        "redact",
        "state_default",
        "users",
        "users_default",
    }
)
_REDACTION_CONTENT_V10: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "m.room.member": frozenset({"membership", "join_authorised_via_users_server"}),
        "m.room.create": frozenset({"creator"}),
        "m.room.join_rules": frozenset({"join_rule", "allow"}),
        "m.room.power_levels": _POWER_LEVEL_KEYS_V10,
        "m.room.history_visibility": frozenset({"history_visibility"}),
    }
)

V10 = RoomVersion(
    identifier="10",
    redaction_keys=_REDACTION_KEYS_V10,
    redaction_content_keys=_REDACTION_CONTENT_V10,
    redaction_keeps_create_content=False,
    redaction_keeps_third_party_signed=False,
    redacts_in_content=False,
    implicit_room_creator=False,
    strict_byte_limits=False,
    room_id_is_create_hash=False,
    privileged_creators=False,
    state_resolution=StateResolutionVersion.V2,
)

V11 = replace(
    V10,
    identifier="11",
    redaction_keys=_REDACTION_KEYS_V10 - {"prev_state", "origin", "membership"},
    redaction_content_keys=MappingProxyType(
        {
            **_REDACTION_CONTENT_V10,
            "m.room.power_levels": _POWER_LEVEL_KEYS_V10 | {"invite"},
            "m.room.redaction": frozenset({"redacts"}),
        }
    ),
    redaction_keeps_create_content=True,
    redaction_keeps_third_party_signed=True,
    redacts_in_content=True,
    implicit_room_creator=True,
    strict_byte_limits=True,
)

V12 = replace(
    V11,
    identifier="12",
    room_id_is_create_hash=True,
    privileged_creators=True,
    state_resolution=StateResolutionVersion.V2_1,
)

ROOM_VERSIONS: Mapping[str, RoomVersion] = MappingProxyType(
    {version.identifier: version for version in (V10, V11, V12)}
)
DEFAULT_ROOM_VERSION = "12"

KNOWN_ROOM_VERSION_IDS = frozenset(str(number) for number in range(1, 13))
"""What the auth rules call a recognised version, whether or not this node can take part in it."""
