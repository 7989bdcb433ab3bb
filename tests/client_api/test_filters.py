"""Filters alone: which events they let through, and what is no filter."""

from __future__ import annotations

from typing import Any

import pytest

from dtnode.client_api.filters import MAX_LIMIT, parse_event_filter, parse_sync_filter
from dtnode.errors import ClientApiError
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS

Json = dict[str, Any]


def event(type_: str = "m.room.message", sender: str = "@a:b", **content: object) -> Pdu:
    json: Json = {
        "type": type_,
        "sender": sender,
        "room_id": "!r:b",
        "content": content,
        "prev_events": [],
        "auth_events": [],
        "depth": 1,
        "origin_server_ts": 1,
    }
    return Pdu(json, "$e", ROOM_VERSIONS["11"], redacted=False)


@pytest.mark.parametrize(
    ("json", "allowed", "refused"),
    [
        ({}, event(), None),
        ({"types": []}, None, event()),
        ({"types": ["m.room.*"]}, event(), event("m.reaction")),
        ({"types": ["*"], "not_types": ["m.r*n"]}, event(), event("m.reaction")),
        ({"types": ["a[b]?"]}, event("a[b]?"), event("ab1")),
        ({"types": ["*[b]?"]}, event("xa[b]?"), event("xab1")),
        ({"senders": ["@a:b"]}, event(), event(sender="@c:d")),
        ({"senders": ["@a:b"], "not_senders": ["@a:b"]}, None, event()),
        ({"contains_url": True}, event(url="mxc://x"), event(url=1)),
        ({"contains_url": False}, event(), event(url="mxc://x")),
    ],
)
def test_what_passes(json: Json, allowed: Pdu | None, refused: Pdu | None) -> None:
    only = parse_event_filter(json)
    assert allowed is None or only.allows(allowed)
    assert refused is None or not only.allows(refused)


def test_limits_are_bounded() -> None:
    assert parse_event_filter({"limit": 10**9}).limit == MAX_LIMIT
    assert parse_event_filter({"limit": 0}).limit == 0


@pytest.mark.parametrize(
    "json",
    [
        {"event_format": "federation"},
        {"room": []},
        {"room": {"timeline": 1}},
        {"room": {"timeline": {"limit": -1}}},
        {"room": {"timeline": {"limit": "1"}}},
        {"room": {"rooms": "!r"}},
        {"room": {"state": {"types": [1]}}},
        {"room": {"include_leave": 1}},
        {"presence": {"types": {}}},
        {"account_data": {"types": ["x"] * 501}},
    ],
)
def test_what_is_no_filter(json: Json) -> None:
    with pytest.raises(ClientApiError) as caught:
        parse_sync_filter(json)
    assert caught.value.status == 400
