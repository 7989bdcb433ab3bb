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
    """What one room version does differently from another; in brackets since which version.

    strict_canonical_json: an event that is no canonical JSON is dropped (6); before, "servers MUST
        NOT strictly enforce" it: floats and integers beyond 53 bits are events' too.
    url_safe_event_ids: the reference hash in URL-safe Base64 (4); in 3 with + and /.
    aliases_by_server: m.room.aliases are each server's own state, by a rule of their own and kept
        by redaction (until 5).
    notifications_need_power: the `notifications` of power levels are guarded as `events` are (6).
    integer_power_levels: nothing but integers (10); before, text and floats were levels too.
    join_rules: the values of join_rule by which anyone joins; "knock" (7) brings knocking,
        "restricted" (8) join_authorised_via_users_server, "knock_restricted" (10) both.
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
    strict_canonical_json: bool
    url_safe_event_ids: bool
    aliases_by_server: bool
    notifications_need_power: bool
    integer_power_levels: bool
    join_rules: frozenset[str]
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


_REDACTION_KEYS_V3 = frozenset(
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
_POWER_LEVEL_KEYS_V3 = frozenset(
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
_REDACTION_CONTENT_V6: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "m.room.member": frozenset({"membership"}),
        "m.room.create": frozenset({"creator"}),
        "m.room.join_rules": frozenset({"join_rule"}),
        "m.room.power_levels": _POWER_LEVEL_KEYS_V3,
        "m.room.history_visibility": frozenset({"history_visibility"}),
    }
)
_REDACTION_CONTENT_V9: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **_REDACTION_CONTENT_V6,
        "m.room.member": frozenset({"membership", "join_authorised_via_users_server"}),
        "m.room.join_rules": frozenset({"join_rule", "allow"}),
    }
)

V3 = RoomVersion(
    identifier="3",
    strict_canonical_json=False,
    url_safe_event_ids=False,
    aliases_by_server=True,
    notifications_need_power=False,
    integer_power_levels=False,
    join_rules=frozenset({"public", "invite"}),
    redaction_keys=_REDACTION_KEYS_V3,
    redaction_content_keys=MappingProxyType(
        {**_REDACTION_CONTENT_V6, "m.room.aliases": frozenset({"aliases"})}
    ),
    redaction_keeps_create_content=False,
    redaction_keeps_third_party_signed=False,
    redacts_in_content=False,
    implicit_room_creator=False,
    strict_byte_limits=False,
    room_id_is_create_hash=False,
    privileged_creators=False,
    state_resolution=StateResolutionVersion.V2,
)

V4 = replace(V3, identifier="4", url_safe_event_ids=True)

# Version 5 has keys expire ("Signing key validity period"). A server name that is a key has no
# expiry; for other names whoever gives the key (signing.KeyLookup) answers for its validity.
V5 = replace(V4, identifier="5")

V6 = replace(
    V5,
    identifier="6",
    strict_canonical_json=True,
    aliases_by_server=False,
    notifications_need_power=True,
    redaction_content_keys=_REDACTION_CONTENT_V6,
)

V7 = replace(V6, identifier="7", join_rules=V6.join_rules | {"knock"})

V8 = replace(
    V7,
    identifier="8",
    join_rules=V7.join_rules | {"restricted"},
    redaction_content_keys=MappingProxyType(
        {**_REDACTION_CONTENT_V6, "m.room.join_rules": frozenset({"join_rule", "allow"})}
    ),
)

V9 = replace(V8, identifier="9", redaction_content_keys=_REDACTION_CONTENT_V9)

V10 = replace(
    V9,
    identifier="10",
    integer_power_levels=True,
    join_rules=V9.join_rules | {"knock_restricted"},
)

V11 = replace(
    V10,
    identifier="11",
    redaction_keys=_REDACTION_KEYS_V3 - {"prev_state", "origin", "membership"},
    redaction_content_keys=MappingProxyType(
        {
            **_REDACTION_CONTENT_V9,
            "m.room.power_levels": _POWER_LEVEL_KEYS_V3 | {"invite"},
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
    {version.identifier: version for version in (V3, V4, V5, V6, V7, V8, V9, V10, V11, V12)}
)
"""Versions 1 and 2 stay out: there the sender chooses an event's id, it is not the event's hash, so
that two servers can hold different events of one id (and version 1 resolves state another way)."""

DEFAULT_ROOM_VERSION = "12"

KNOWN_ROOM_VERSION_IDS = frozenset(str(number) for number in range(1, 13))
"""What the auth rules call a recognised version, whether or not this node can take part in it."""
