"""Events in words; content of any shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.cli.describe import event_lines
from dtnode.cli.output import printable

LABELS = {"@alice:a": "alice", "@bob:b": "bob"}


def said(event_type: str, content: Any, *, own: Any = None, **fields: Any) -> list[str]:
    event = {
        "event_id": "$1",
        "type": event_type,
        "sender": "@alice:a",
        "origin_server_ts": 1_764_000_000_000,
        "content": content,
        **fields,
    }
    if own is not None:
        event.setdefault("unsigned", {})["org.dtnode"] = own
    lines = event_lines(event, LABELS)
    assert lines[0].startswith("2025-11-2")
    return [lines[0][len("2025-11-24 16:00  ") :], *lines[1:]]


def message(body: str, msgtype: str = "m.text", **more: Any) -> list[str]:
    return said("m.room.message", {"msgtype": msgtype, "body": body}, **more)


def test_a_message() -> None:
    assert message("hello") == ["alice  hello"]
    assert message("waves", "m.emote") == ["alice  * waves"]
    assert message("chart.png", "m.image") == ["alice  [image] chart.png"]


def test_no_message_can_pass_for_two() -> None:
    assert message("hi\r\n2025-11-24 16:00  bob  I agree") == [
        "alice  hi",
        "    | 2025-11-24 16:00  bob  I agree",
    ]


def test_nothing_harmful_reaches_the_terminal() -> None:
    assert message("\x1b[2J\u202egpj") == ["alice  \\x1b[2J\\u202egpj"]
    assert said("m.room.topic", {"topic": "\x1b]0;x\x07"}, state_key="") == [
        'alice  * set the topic to "\\x1b]0;x\\x07"'
    ]


@pytest.mark.parametrize(
    ("own", "marks"),
    [
        ({"known_at": 1, "members": 4}, "  (here only)"),
        ({"known_at": 2, "members": 4}, "  (2 of 4)"),
        ({"apart": True}, "  (sent while apart)"),
        ({"provisional": True}, "  (provisional)"),
        ({"soft_failed": True, "apart": True}, "  (sent while apart)  (soft-failed)"),
        ({}, ""),
    ],
)
def test_marks(own: dict[str, Any], marks: str) -> None:
    assert message("hello", own=own) == [f"alice  hello{marks}"]


def test_the_nodes_label_comes_first() -> None:
    assert message("hello", own={"label": "alice (abcd)"}) == ["alice (abcd)  hello"]


@pytest.mark.parametrize(
    ("event_type", "content", "words"),
    [
        ("m.room.create", {"room_version": "12"}, "created the room (version 12)"),
        ("m.room.name", {"name": "boat"}, 'named the room "boat"'),
        ("m.room.topic", {}, "cleared the topic"),
        ("m.room.join_rules", {"join_rule": "public"}, "opened the room to anyone"),
        ("m.room.join_rules", {"join_rule": []}, "set the join rule to []"),
        ("m.room.power_levels", {"users": {}}, "changed who may do what"),
        ("org.example", {"a": 1}, 'set org.example to {"a":1}'),
    ],
)
def test_state_in_words(event_type: str, content: Any, words: str) -> None:
    assert said(event_type, content, state_key="") == [f"alice  * {words}"]


@pytest.mark.parametrize(
    ("target", "membership", "previous", "words"),
    [
        ("@alice:a", "join", None, "joined as Al"),
        ("@alice:a", "join", "join", "changed their profile as Al"),
        ("@alice:a", "leave", "join", "left"),
        ("@alice:a", "leave", "invite", "declined the invite"),
        ("@bob:b", "invite", None, "invited bob"),
        ("@bob:b", "leave", "join", "removed bob"),
        ("@bob:b", "leave", "ban", "lifted the ban of bob"),
        ("@bob:b", "leave", "invite", "withdrew the invite of bob"),
        ("@bob:b", "ban", "join", "banned bob"),
        ("@alice:a", "knock", None, "asked to join"),
        ("@bob:b", "odd", None, "set the membership of bob to odd"),
    ],
)
def test_membership_in_words(
    target: str, membership: str, previous: str | None, words: str
) -> None:
    unsigned = {"prev_content": {"membership": previous}} if previous else {}
    content = {"membership": membership, "displayname": "Al"}
    assert said("m.room.member", content, state_key=target, unsigned=unsigned) == [
        f"alice  * {words}"
    ]


def test_a_reason_is_shown() -> None:
    content = {"membership": "ban", "reason": "spam"}
    assert said("m.room.member", content, state_key="@bob:b") == ["alice  * banned bob: spam"]


def test_what_is_not_text() -> None:
    assert said("m.room.message", {}) == ["alice  [content removed]"]
    assert said("m.room.encrypted", {}) == ["alice  [encrypted: read it in a Matrix client]"]
    assert said("org.example", {"a": 1}) == ['alice  [org.example] {"a":1}']
    assert said("m.room.redaction", {"redacts": "$2"}) == ["alice  * removed the message $2"]
    assert said("m.reaction", {"m.relates_to": {"key": "👍"}}) == ["alice  * reacted with 👍"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["membership", "body", "reason", "join_rule"]), inner)
    ),
    max_leaves=6,
)
FIELDS = ["body", "msgtype", "name", "topic", "membership", "join_rule", "room_version"]


@given(
    event_type=st.sampled_from(
        ["m.room.message", "m.room.member", "m.room.name", "m.room.join_rules", "m.reaction"]
    )
    | st.text(),
    content=anything
    | st.dictionaries(st.sampled_from([*FIELDS, "m.relates_to", "redacts"]), anything),
    state_key=st.none() | st.text(),
    unsigned=anything,
    ts=anything,
)
def test_content_of_any_shape_becomes_safe_lines(
    event_type: str, content: Any, state_key: str | None, unsigned: Any, ts: Any
) -> None:
    event = {
        "event_id": "$1",
        "type": event_type,
        "sender": "@alice:a",
        "origin_server_ts": ts,
        "content": content,
        "unsigned": unsigned,
    }
    if state_key is not None:
        event["state_key"] = state_key
    lines = event_lines(event, LABELS)
    assert lines
    assert [printable(line) for line in lines] == lines
