"""What redaction keeps in each room version."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from dtnode.matrix.redaction import redact
from dtnode.matrix.room_versions import DEFAULT_ROOM_VERSION, ROOM_VERSIONS

TOP = {
    "type": "m.room.message",
    "room_id": "!r",
    "sender": "@a:a",
    "state_key": "",
    "hashes": {},
    "signatures": {},
    "depth": 1,
    "prev_events": [],
    "auth_events": [],
    "origin_server_ts": 1,
}


def redacted_content(version: str, event_type: str, content: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = redact(
        {**TOP, "type": event_type, "content": content}, ROOM_VERSIONS[version]
    )["content"]
    return result


def test_the_versions_there_are() -> None:
    assert list(ROOM_VERSIONS) == ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]
    assert DEFAULT_ROOM_VERSION == "12"
    assert all(ROOM_VERSIONS[name].identifier == name for name in ROOM_VERSIONS)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_top_level_keys(version: str) -> None:
    old = {"origin": "a", "membership": "join", "prev_state": []}
    json = {**TOP, **old, "content": {"body": "x"}, "redacts": "$x", "unsigned": {}, "extra": 1}
    kept = {**TOP, "content": {}} | (old if int(version) < 11 else {})
    assert redact(json, ROOM_VERSIONS[version]) == kept


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_create_events(version: str) -> None:
    content = {"creator": "@a:a", "room_version": "x", "m.federate": False}
    json = {**TOP, "type": "m.room.create", "content": content}
    redacted = redact(json, ROOM_VERSIONS[version])
    assert redacted["content"] == ({"creator": "@a:a"} if int(version) < 11 else content)
    assert ("room_id" in redacted) == (version != "12")


@pytest.mark.parametrize(
    ("event_type", "content", "kept", "kept_from_11"),
    [
        ("m.room.message", {"body": "x"}, {}, {}),
        ("m.room.history_visibility", {"history_visibility": "x", "y": 1}, None, None),
        (
            "m.room.power_levels",
            {"ban": 1, "invite": 1, "users": {}, "notifications": {}},
            {"ban": 1, "users": {}},
            {"ban": 1, "invite": 1, "users": {}},
        ),
        ("m.room.redaction", {"redacts": "$x", "reason": "x"}, {}, {"redacts": "$x"}),
        (
            "m.room.member",
            {
                "membership": "invite",
                "displayname": "x",
                "join_authorised_via_users_server": "@a:a",
                "third_party_invite": {"signed": {"token": "x"}, "display_name": "y"},
            },
            {"membership": "invite", "join_authorised_via_users_server": "@a:a"},
            {
                "membership": "invite",
                "join_authorised_via_users_server": "@a:a",
                "third_party_invite": {"signed": {"token": "x"}},
            },
        ),
        (
            "m.room.member",
            {"third_party_invite": {"display_name": "y"}},
            {},
            {"third_party_invite": {}},
        ),
        ("m.room.member", {"third_party_invite": "y"}, {}, {}),
    ],
)
def test_content_keys(
    event_type: str,
    content: dict[str, Any],
    kept: dict[str, Any] | None,
    kept_from_11: dict[str, Any] | None,
) -> None:
    if kept is None or kept_from_11 is None:
        kept = kept_from_11 = {key: value for key, value in content.items() if key != "y"}
    assert redacted_content("10", event_type, content) == kept
    assert redacted_content("11", event_type, content) == kept_from_11
    assert redacted_content("12", event_type, content) == kept_from_11


@pytest.mark.parametrize(
    ("event_type", "key", "kept_in"),
    [
        ("m.room.aliases", "aliases", range(3, 6)),
        ("m.room.join_rules", "allow", range(8, 13)),
        ("m.room.join_rules", "join_rule", range(3, 13)),
        ("m.room.member", "join_authorised_via_users_server", range(9, 13)),
        ("m.room.member", "membership", range(3, 13)),
        ("m.room.member", "displayname", ()),
        ("m.room.create", "creator", range(3, 13)),
        ("m.room.create", "m.federate", range(11, 13)),
        ("m.room.power_levels", "events", range(3, 13)),
        ("m.room.power_levels", "invite", range(11, 13)),
        ("m.room.power_levels", "notifications", ()),
        ("m.room.redaction", "redacts", range(11, 13)),
    ],
)
def test_which_versions_keep_a_key(event_type: str, key: str, kept_in: Collection[int]) -> None:
    for version in ROOM_VERSIONS:
        kept = {key: 1} if int(version) in kept_in else {}
        assert redacted_content(version, event_type, {key: 1}) == kept, version
