"""The push rules that every account starts with (client-server API, "Predefined Rules").

They are data that clients read to decide themselves what to notify of; this node pushes nothing and
keeps no changes to them.
"""

from __future__ import annotations

from typing import Any

_NOTIFY: list[Any] = ["notify"]
_SOUND: dict[str, str] = {"set_tweak": "sound", "value": "default"}
_HIGHLIGHT: dict[str, str] = {"set_tweak": "highlight"}


def _matches(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _is(key: str, value: object) -> dict[str, Any]:
    return {"kind": "event_property_is", "key": key, "value": value}


def _rule(
    rule_id: str, conditions: list[dict[str, Any]], actions: list[Any], *, enabled: bool = True
) -> dict[str, Any]:
    return {
        "rule_id": rule_id,
        "default": True,
        "enabled": enabled,
        "conditions": conditions,
        "actions": actions,
    }


_TWO_MEMBERS: dict[str, Any] = {"kind": "room_member_count", "is": "2"}
_MAY_NOTIFY_ROOM: dict[str, Any] = {"kind": "sender_notification_permission", "key": "room"}


def push_rules(user_id: str) -> dict[str, Any]:
    """The account's rules by scope, as GET /pushrules/ and the account data m.push_rules have
    them."""
    return {"global": {"override": _override(user_id), **_OTHERS}}


def _override(user_id: str) -> list[dict[str, Any]]:
    return [
        _rule(".m.rule.master", [], [], enabled=False),
        _rule(".m.rule.suppress_notices", [_matches("content.msgtype", "m.notice")], []),
        _rule(
            ".m.rule.invite_for_me",
            [
                _matches("type", "m.room.member"),
                _matches("content.membership", "invite"),
                _matches("state_key", user_id),
            ],
            ["notify", _SOUND],
        ),
        _rule(".m.rule.member_event", [_matches("type", "m.room.member")], []),
        _rule(
            ".m.rule.is_user_mention",
            [
                {
                    "kind": "event_property_contains",
                    "key": "content.m\\.mentions.user_ids",
                    "value": user_id,
                }
            ],
            ["notify", _SOUND, _HIGHLIGHT],
        ),
        _rule(
            ".m.rule.is_room_mention",
            [_is("content.m\\.mentions.room", True), _MAY_NOTIFY_ROOM],
            ["notify", _HIGHLIGHT],
        ),
        _rule(
            ".m.rule.tombstone",
            [_matches("type", "m.room.tombstone"), _matches("state_key", "")],
            ["notify", _HIGHLIGHT],
        ),
        _rule(".m.rule.reaction", [_matches("type", "m.reaction")], []),
        _rule(
            ".m.rule.room.server_acl",
            [_matches("type", "m.room.server_acl"), _matches("state_key", "")],
            [],
        ),
        _rule(
            ".m.rule.suppress_edits",
            [_is("content.m\\.relates_to.rel_type", "m.replace")],
            [],
        ),
    ]


_OTHERS: dict[str, Any] = {
    "content": [],
    "room": [],
    "sender": [],
    "underride": [
        _rule(
            ".m.rule.call",
            [_matches("type", "m.call.invite")],
            ["notify", {"set_tweak": "sound", "value": "ring"}],
        ),
        _rule(
            ".m.rule.encrypted_room_one_to_one",
            [_TWO_MEMBERS, _matches("type", "m.room.encrypted")],
            ["notify", _SOUND],
        ),
        _rule(
            ".m.rule.room_one_to_one",
            [_TWO_MEMBERS, _matches("type", "m.room.message")],
            ["notify", _SOUND],
        ),
        _rule(".m.rule.message", [_matches("type", "m.room.message")], _NOTIFY),
        _rule(".m.rule.encrypted", [_matches("type", "m.room.encrypted")], _NOTIFY),
    ],
}
