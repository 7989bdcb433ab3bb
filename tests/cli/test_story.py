"""`room explain` and `room diff`: what is asked of the node, what is printed."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.cli.story_text import diff_lines, explain_lines
from dtnode.cli.times import milliseconds
from tests.cli.conftest import ALICE, BOB, Command, FakeNode

EXPLAIN = "/_dtnode/v1/rooms/!boat/explain"
DIFF = "/_dtnode/v1/rooms/!boat/diff"
LABELS = {ALICE: "alice", BOB: "bob"}
NOTHING: dict[str, Any] = {"because_of": [], "lacks": []}


def event(
    event_id: str, type_: str, content: Any, sender: str = ALICE, **more: Any
) -> dict[str, Any]:
    unsigned = {"org.dtnode": {"verdict": "accepted"}, **more.pop("unsigned", {})}
    return {
        "event_id": event_id,
        "type": type_,
        "sender": sender,
        "origin_server_ts": 1_764_000_000_000,
        "content": content,
        "unsigned": unsigned,
        **more,
    }


EVENTS = {
    found["event_id"]: found
    for found in (
        event("$ban", "m.room.member", {"membership": "ban"}, BOB, state_key=ALICE),
        event("$said", "m.room.message", {"msgtype": "m.text", "body": "hi\nthere"}),
        event("$joined", "m.room.member", {"membership": "join"}, state_key=ALICE),
        event(
            "$levels",
            "m.room.power_levels",
            {"users": {BOB: 0}},
            state_key="",
            unsigned={"prev_content": {"users": {BOB: 50}}},
        ),
        event("$old", "m.room.topic", {"topic": "old"}, state_key=""),
        event("$new", "m.room.topic", {"topic": "new\x1b[31m"}, BOB, state_key=""),
        event("$banned", "m.room.member", {"membership": "ban", "reason": "x"}, state_key=BOB),
        event("$was", "m.room.member", {"membership": "join"}, BOB, state_key=BOB),
    )
}
LOSS = {
    "winner": "$joined",
    "reason": "not_allowed",
    "why": f"{BOB} has power 0, needs 50 to ban {ALICE}",
    "rule": "the iterative auth checks",
    "obstacle": {"because_of": ["$levels"], "lacks": []},
}


def check(name: str, outcome: str = "ok", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"check": name, "outcome": outcome, "reason": None, "grounds": []}
    return {**found, "against": [], "obstacle": NOTHING, **more}


EXPLANATION: dict[str, Any] = {
    "room_id": "!boat",
    "event_id": "$ban",
    "verdict": "soft-failed",
    "reason": f"{BOB} has power 0, needs 50 to ban {ALICE}",
    "arrived_ms": 1_764_000_005_000,
    "source": None,
    "content": "whole",
    "apart": False,
    "allowed_now": False,
    "checks": [
        check("format"),
        check("auth_events", grounds=[{"text": f"{BOB} is here", "event_ids": ["$was"]}]),
        check(
            "current_state",
            "failed",
            reason=f"{BOB} has power 0",
            obstacle={"because_of": ["$levels"], "lacks": ["$was"]},
            against=["$said"],
        ),
    ],
    "parents": [{"event_id": "$said", "verdict": "accepted"}],
    "auth_events": [{"event_id": "$was", "verdict": "rejected"}],
    "state": {
        "in_current": False,
        "in_tips": False,
        "holds": "$joined",
        "superseded_by": [],
        "lost": [{"where": "tip state", "event_id": None, "loss": LOSS}],
    },
    "waits_for": [],
    "needed_by": [],
    "asked": {},
    "events": EVENTS,
}
CHANGES: dict[str, Any] = {
    "room_id": "!boat",
    "kind": "complete",
    "since_event": "$said",
    "since_ms": None,
    "new_events": 9,
    "other_events": 1,
    "members": [{"type": "m.room.member", "state_key": BOB, "before": "$was", "after": "$banned"}],
    "settings": [{"type": "m.room.topic", "state_key": "", "before": "$old", "after": "$new"}],
    "powers": [
        {"kind": "user", "name": BOB, "before": 50, "after": 0},
        {"kind": "level", "name": "ban", "before": 50, "after": 60},
        {"kind": "event", "name": "m.room.name", "before": None, "after": 70},
    ],
    "powers_event": "$levels",
    "messages": [{"sender": BOB, "count": 3, "apart": 2, "soft_failed": 1}],
    "conflicts": [{"event_id": "$ban", "at": None, "loss": LOSS}],
    "conflict_count": 3,
    "rejected": [{"event_id": "$gone", "reason": f"{BOB} is not in the room"}],
    "rejected_count": 1,
    "soft_failed": [],
    "soft_failed_count": 0,
    "held": 2,
    "gaps": {"missing": 1, "content": 0},
    "events": EVENTS,
}


def test_explain_asks_for_the_event_as_typed(run: Command, node: FakeNode) -> None:
    node.on("GET", EXPLAIN, EXPLANATION)
    assert json.loads(run("room", "explain", "boat", "$ban12", "--json").stdout) == EXPLANATION
    assert node.requests[-1].query == {"event": "$ban12"}
    run("room", "explain", "boat", "--", "-dash")
    assert {"event": "-dash"} in [request.query for request in node.requests]


def test_explain_in_words(run: Command, node: FakeNode) -> None:
    node.on("GET", EXPLAIN, EXPLANATION)
    node.on("GET", "/_dtnode/v1/people", {"people": people()})
    result = run("room", "explain", "boat", "$ban12")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "bob banned alice  $ban"
    assert "soft-failed: bob has power 0, needs 50 to ban alice" in lines
    assert "  The room's present state doesn't allow it either." in lines
    assert "      bob is here" in lines
    assert "        by: bob joined  $was" in lines
    levels = "alice changed who may do what (bob 50 -> 0)  $levels"
    assert f"        because of: {levels}" in lines
    assert "        not in that state: bob joined  $was" in lines
    assert '        newest then: alice said "hi ..."  $said' in lines
    assert "  bob joined  $was  (rejected)" in lines
    assert "  It is not in the room's state; there stands: alice joined  $joined" in lines
    assert "    to: alice joined  $joined" in lines
    assert "    why: bob has power 0, needs 50 to ban alice" in lines
    assert f"      because of: {levels}" in lines
    assert "\x1b" not in result.stdout, "no colour where it isn't to a terminal"


def people() -> list[dict[str, str]]:
    return [{"user_id": user_id, "label": label} for user_id, label in LABELS.items()]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"allowed_now": True}, "  The room's present state would allow it by now."),
        ({"apart": True}, "  It was sent while apart: it doesn't build on"),
        ({"content": "gap"}, "  Only a redacted copy came; whole ones are looked for."),
        ({"content": "dropped"}, "  Its content was dropped here by the room's history limit."),
        ({"content": "redacted copy"}, "  Only a redacted copy is here"),
        ({"verdict": "rejected"}, "  It is kept only because others may build on it"),
        ({"verdict": "held", "source": "them"}, "  came here 2025-"),
        ({"waits_for": ["$x"]}, "  (not here)  $x  (nobody was asked yet)"),
        ({"waits_for": ["$x"], "asked": {"$x": ["s1", "s2"]}}, "  (not here)  $x  (asked: s1 s2)"),
        ({"needed_by": ["$said"]}, '  alice said "hi ..."  $said'),
    ],
)
def test_explain_says_also(changed: dict[str, Any], line: str) -> None:
    before = explain_lines(EXPLANATION, LABELS)
    after = explain_lines({**EXPLANATION, **changed}, LABELS)
    assert [text for text in after if text.startswith(line)]
    assert after != before


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"in_current": True}, ["It is in the room's state.", "It is not in the tip state"]),
        ({"in_tips": True}, ["It is not in the room's state", "It is in the tip state"]),
        ({"holds": None}, ["It is not in the room's state; nothing stands there"]),
        (
            {"superseded_by": ["$new"]},
            ["", 'Replaced by: bob set the topic to "new\\x1b[31m"  $new'],
        ),
        (
            {"lost": [{"where": "merge", "event_id": "$said", "loss": {**LOSS, "winner": None}}]},
            [
                "",
                'Lost a conflict where both sides came together: alice said "hi ..."',
                "  to nothing",
            ],
        ),
    ],
)
def test_explain_of_state(changed: dict[str, Any], expected: list[str]) -> None:
    answer = {**EXPLANATION, "state": {**EXPLANATION["state"], "lost": [], **changed}}
    lines = explain_lines(answer, LABELS)
    told = lines[lines.index("What became of it") + 1 :]
    for line, start in zip(told, expected, strict=False):
        assert line.startswith(f"  {start}")
    assert len(told) >= len(expected)


def test_a_time_of_diff_that_is_none(run: Command, node: FakeNode) -> None:
    node.on("GET", DIFF, (404, "M_NOT_FOUND", "no such event"))
    result = run("room", "diff", "boat", "--since", "never")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no such event\nNor is 'never' a time.")
    assert run("room", "diff", "boat", "--since", "$never").stderr == "Error: no such event\n"


def test_diff_in_words(run: Command, node: FakeNode) -> None:
    node.on("GET", DIFF, CHANGES)
    node.on("GET", "/_dtnode/v1/people", {"people": people()})
    assert json.loads(run("room", "diff", "boat", "--since", "$said1", "--json").stdout) == CHANGES
    lines = run("room", "diff", "boat", "--since", "$said1").stdout.splitlines()
    assert lines == [
        '9 events new since alice said "hi ..."  $said',
        "",
        "People",
        "  bob was banned by alice, was a member before: x",
        "",
        "Settings",
        '  topic: "old" -> "new\\x1b[31m"  (bob)',
        "",
        "Powers",
        "  bob: 50 -> 0  (alice)",
        "  to ban: 50 -> 60  (alice)",
        "  to send m.room.name: as others -> 70  (alice)",
        "",
        "Messages",
        "  3 from bob  (2 sent while apart, 1 soft-failed)",
        "  1 other event, such as reactions",
        "",
        "Conflicts",
        "  lost: bob banned alice  $ban",
        "    to: alice joined  $joined",
        "    why: bob has power 0, needs 50 to ban alice",
        "      because of: alice changed who may do what (bob 50 -> 0)  $levels",
        "    rule: the iterative auth checks",
        "  and 2 more",
        "",
        "Rejected",
        "  (not here)  $gone",
        "    why: bob is not in the room",
        "",
        "Not here yet",
        "  1 event that others build on; see: dtnode gaps ROOM",
        "  2 events held until then",
    ]


QUIET = {
    **{name: [] for name in ("members", "settings", "powers", "messages", "conflicts", "rejected")},
    **dict.fromkeys(("new_events", "other_events", "conflict_count", "rejected_count", "held"), 0),
    "gaps": {"missing": 0, "content": 0},
}


def test_diff_of_nothing() -> None:
    (line,) = diff_lines({**CHANGES, **QUIET, "since_event": None, "since_ms": 1}, LABELS)
    assert line.startswith("No events new since 1970-")
    assert line.endswith("; nothing changed")
    (line,) = diff_lines({**CHANGES, **QUIET, "kind": "invited"}, LABELS)
    assert "history isn't here yet" in line


MEMBERSHIPS = [
    (None, "join", BOB, "bob joined"),
    ("invite", "join", BOB, "bob joined"),
    (None, "invite", ALICE, "bob was invited by alice"),
    ("join", "leave", BOB, "bob left"),
    ("invite", "leave", BOB, "bob declined the invite"),
    ("invite", "leave", ALICE, "bob was uninvited by alice"),
    ("join", "leave", ALICE, "bob was removed by alice"),
    ("ban", "leave", ALICE, "bob is banned no more, the ban was lifted by alice"),
    ("ban", "ban", ALICE, "bob is still banned (alice)"),
    ("leave", "leave", ALICE, "bob is still not in the room (alice)"),
    ("leave", "ban", ALICE, "bob was banned by alice, was not in the room before"),
    (None, "knock", BOB, "bob asked to join"),
    ("join", None, None, "bob is not in the room any more, was a member"),
    ("join", "odd\x07", ALICE, "bob has the membership odd\\x07 by alice"),
]


@pytest.mark.parametrize(("before", "after", "by", "expected"), MEMBERSHIPS)
def test_people(before: str | None, after: str | None, by: str | None, expected: str) -> None:
    events = {
        event_id: event(event_id, "m.room.member", {"membership": value}, by or BOB, state_key=BOB)
        for event_id, value in (("$1", before), ("$2", after))
        if value is not None
    }
    change = {
        "type": "m.room.member",
        "state_key": BOB,
        "before": "$1" if before else None,
        "after": "$2" if after else None,
    }
    answer = {**CHANGES, **QUIET, "members": [change], "events": events}
    assert f"  {expected}" in diff_lines(answer, LABELS)


def test_names_people_gave_themselves() -> None:
    contents = [{"membership": "join", "displayname": name} for name in ("Bob", "Bo\nb")]
    events = {
        id_: event(id_, "m.room.member", content, BOB, state_key=BOB)
        for id_, content in zip(("$1", "$2"), contents, strict=True)
    }
    change = {"type": "m.room.member", "state_key": BOB, "before": "$1", "after": "$2"}
    answer = {**CHANGES, **QUIET, "members": [change], "events": events}
    assert '  bob is called "Bo\\nb" now, was "Bob"' in diff_lines(answer, LABELS)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
fields = st.sampled_from(["membership", "displayname", "reason", "topic", "users", "body", "name"])


@given(
    st.dictionaries(fields, odd),
    st.dictionaries(fields, odd),
    st.sampled_from(["m.room.member", "m.room.power_levels", "m.room.topic", "x"]),
)
def test_any_content_is_told_and_escaped(before: Any, after: Any, type_: str) -> None:
    events = {
        "$1": event("$1", type_, before, state_key=BOB),
        "$2": event("$2", type_, after, state_key=BOB, unsigned={"prev_content": before}),
    }
    change = {"type": type_, "state_key": "", "before": "$1", "after": "$2"}
    name = "members" if type_ == "m.room.member" else "settings"
    answer = {**CHANGES, **QUIET, name: [change], "events": events, "since_event": "$2"}
    lines = diff_lines(answer, LABELS)
    lines += explain_lines(
        {
            **EXPLANATION,
            "event_id": "$2",
            "parents": [{"event_id": "$1", "verdict": "held"}],
            "events": events,
        },
        LABELS,
    )
    for line in lines:
        assert "\n" not in line
        assert "\x1b" not in line.replace("\x1b[33m\x1b[1msoft-failed\x1b[0m", "")


# --- times


NOW = datetime.datetime(2026, 11, 23, 17, 40)
NOW_MS = round(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - datetime.timedelta(hours=2)),
        ("90 min", NOW - datetime.timedelta(minutes=90)),
        ("3 days", NOW - datetime.timedelta(days=3)),
        ("3 Days ago", NOW - datetime.timedelta(days=3)),
        ("1w", NOW - datetime.timedelta(weeks=1)),
        ("30s", NOW - datetime.timedelta(seconds=30)),
        ("today", datetime.datetime(2026, 11, 23)),
        ("yesterday", datetime.datetime(2026, 11, 22)),
        ("17:40", NOW),
        ("9:05", datetime.datetime(2026, 11, 23, 9, 5)),
        ("18:00", datetime.datetime(2026, 11, 22, 18, 0)),
        ("2026-11-20", datetime.datetime(2026, 11, 20)),
        ("2026-11-20 08:00", datetime.datetime(2026, 11, 20, 8)),
        ("2026-11-20T08:00:05", datetime.datetime(2026, 11, 20, 8, 0, 5)),
        ("2026-11-20T08:00Z", datetime.datetime(2026, 11, 20, 8, tzinfo=datetime.UTC)),
        ("2026-11-20T08:00+02:00", datetime.datetime(2026, 11, 20, 6, tzinfo=datetime.UTC)),
    ],
)
def test_times(text: str, moment: datetime.datetime) -> None:
    assert milliseconds(text, NOW_MS) == round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "$abcde", "25:00", "12:60", "2026-13-01", "h", "2 fortnights", "0001-01-01"],
)
def test_no_times(text: str) -> None:
    if text == "0001-01-01":  # not on every platform; it must not be a traceback
        milliseconds(text, NOW_MS)
        return
    assert milliseconds(text, NOW_MS) is None


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_not(text: str) -> None:
    found = milliseconds(text, NOW_MS)
    assert found is None or isinstance(found, int)


@pytest.mark.parametrize(
    ("since", "query"),
    [
        ("$abcdef", {"since": "$abcdef"}),
        ("abcdefgh", {"since": "$abcdefgh"}),
        ("2026-11-20T08:00Z", {"since": "1795161600000"}),
    ],
)
def test_since_an_event_or_a_time(
    run: Command, node: FakeNode, since: str, query: dict[str, str]
) -> None:
    node.on("GET", DIFF, CHANGES)
    assert run("room", "diff", "boat", "--since", since).exit_code == 0
    assert query in [request.query for request in node.requests]


@pytest.mark.parametrize("since", ["", "$a b", "in a while", "$", "x" * 60])
def test_since_nonsense(run: Command, node: FakeNode, since: str) -> None:
    result = run("room", "diff", "boat", "--since", since)
    assert result.exit_code == 2
    assert "2h" in result.stderr
    assert node.requests == []


def test_since_is_needed(run: Command, node: FakeNode) -> None:
    assert run("room", "diff", "boat").exit_code == 2


def test_the_nodes_errors_are_shown(run: Command, node: FakeNode) -> None:
    node.on("GET", EXPLAIN, (404, "M_NOT_FOUND", "no event begins so"))
    result = run("room", "explain", "boat", "abcdef")
    assert (result.exit_code, result.stderr) == (1, "Error: no event begins so\n")
