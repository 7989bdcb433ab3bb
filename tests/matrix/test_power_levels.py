"""Power levels before room version 10: text, floats, and what is neither."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import AuthRuleError
from dtnode.matrix.event_auth import check_state_dependent_auth_rules
from dtnode.matrix.power_levels import (
    LEVEL_NAMES,
    PowerLevels,
    comparable_entries,
    parse_power_levels,
    written_user_level,
)
from dtnode.matrix.room_versions import ROOM_VERSIONS
from tests.matrix.small_room import ALICE, BOB, CAROL, SmallRoom

LENIENT = [name for name, version in ROOM_VERSIONS.items() if not version.integer_power_levels]
LENIENT_VERSIONS = pytest.mark.parametrize("version", LENIENT)


def parse(version: str, content: dict[str, Any]) -> PowerLevels:
    return parse_power_levels(ROOM_VERSIONS[version], content)


def test_which_versions_are_lenient() -> None:
    assert LENIENT == ["3", "4", "5", "6", "7", "8", "9"]


@LENIENT_VERSIONS
@pytest.mark.parametrize(
    ("written", "level"),
    [
        (50, 50),
        ("50", 50),
        (" 50 ", 50),
        ("\t+50\n", 50),
        ("0050", 50),
        ("-1", -1),
        ("9" * 4300, 10**4300 - 1),
        (50.57, 50),
        (-0.9, 0),
        (5.114698e4, 51146),
        (True, 1),
        ("5_0", 50),
        ("\u0665\u0660", 50),
        ("\u00a050\u3000", 50),
    ],
)
def test_what_is_a_level(version: str, written: object, level: int) -> None:
    content = {"ban": written, "users": {BOB: written}, "events": {"m.x": written}}
    levels = parse(version, content)
    assert levels.level("ban") == levels.user_level(BOB) == level
    assert levels.send_level("m.x", is_state=True) == level
    levels.check_comparable()
    with pytest.raises(AuthRuleError):
        parse("10", {**content, "ban": str(level)})


@LENIENT_VERSIONS
@pytest.mark.parametrize(
    "written",
    ["", "x", "1.0", "1e2", "- 1", "1_", "\u00b2", "\x1f50", "0x10", "9" * 4301, None, [], {}],
)
def test_what_is_no_level(version: str, written: object) -> None:
    with pytest.raises(AuthRuleError, match="no integer"):
        parse(version, {"users": {BOB: written}})
    levels = parse(version, {"redact": written, "events": {"m.x": written}})
    with pytest.raises(AuthRuleError, match="no integer"):
        levels.check_comparable()
    if written is None:
        assert levels.level("redact") == 50
        assert levels.send_level("m.x", is_state=False) == 0
        return
    with pytest.raises(AuthRuleError, match="'redact' is no integer"):
        levels.level("redact")
    with pytest.raises(AuthRuleError, match=r"'events m\.x' is no integer"):
        levels.send_level("m.x", is_state=False)
    assert levels.send_level("m.y", is_state=False) == 0


@LENIENT_VERSIONS
def test_what_is_no_object(version: str) -> None:
    unusable: list[object] = [[], None, "x", {"bob": 50}]
    for users in unusable:
        with pytest.raises(AuthRuleError):
            parse(version, {"users": users})
    for events in (None, [], "", [0]):
        levels = parse(version, {"events": events})
        with pytest.raises(AuthRuleError, match=r"'events m\.x' is no integer"):
            levels.send_level("m.x", is_state=False)


@LENIENT_VERSIONS
@pytest.mark.parametrize(
    ("events", "entries"),
    [
        ([], {}),
        ("", {}),
        ([0], {0: 0}),
        ([1, 5, -1], None),
        ([1, 2, 0], {1: 2, 2: 0, 0: 1}),
        ([-1, True], {-1: 1, 1: 1}),
        (["room"], None),
        ([None], None),
        ([[]], None),
        ([{}], None),
        ("room", None),
        (None, None),
        (5, None),
    ],
)
def test_what_is_compared_of_what_is_no_object(
    version: str, events: object, entries: dict[int, int] | None
) -> None:
    """As deployed servers have it: what can be iterated and indexed as an object can."""
    old, new = parse(version, {"events": {"m.x": "7"}}), parse(version, {"events": events})
    if entries is not None:
        assert comparable_entries(old, new, "events") == ({"m.x": 7}, entries)
        return
    with pytest.raises(AuthRuleError, match="'events' in the power levels is not an object"):
        comparable_entries(old, new, "events")


def test_an_empty_text_and_what_is_asked_of_it() -> None:
    blank = parse("9", {"notifications": ""})
    others: list[object] = [{"": 1}, [0]]
    for other in others:
        with pytest.raises(AuthRuleError):
            comparable_entries(blank, parse("9", {"notifications": other}), "notifications")
    assert comparable_entries(blank, blank, "notifications") == ({}, {})


@LENIENT_VERSIONS
def test_entries_named_like_something_else(version: str) -> None:
    """An event type that is empty, or the name of a level, is one like others."""
    levels = parse(version, {"events": {"": "high", "state_default": None}})
    assert levels.send_level("m.x", is_state=True) == 50
    assert levels.send_level("state_default", is_state=True) == 50
    with pytest.raises(AuthRuleError, match="'events' is no integer"):
        levels.send_level("", is_state=True)


@pytest.mark.parametrize(
    ("content", "level"),
    [
        ({}, 0),
        ({"users": {BOB: "50", "bob": 1}}, 50),
        ({"users": {ALICE: 100}, "users_default": " 7 "}, 7),
        ({"users": {BOB: None}, "users_default": True}, 1),
        ({"users": [BOB], "users_default": 3}, 3),
        ({"users": {BOB: "x"}, "users_default": 3}, 0),
        ({"users_default": []}, 0),
    ],
)
def test_levels_as_they_are_written(content: dict[str, Any], level: int) -> None:
    assert written_user_level(content, BOB) == level


@LENIENT_VERSIONS
def test_notifications_count_from_version_6(version: str) -> None:
    levels = parse(version, {"notifications": {"room": "50"}})
    assert levels.notifications == ({"room": 50} if int(version) >= 6 else {})
    levels = parse(version, {"notifications": 1})
    assert bool(levels.odd) == (int(version) >= 6)


@LENIENT_VERSIONS
def test_text_levels_in_force(version: str) -> None:
    room = SmallRoom(
        version,
        power_levels={
            "users": {ALICE: "100", BOB: " +50 "},
            "events": {"m.x": "0051"},
            "ban": "50",
        },
    )
    room.join(BOB)
    assert "has power 50, needs 51" in room.refusal(BOB, "m.x", {})
    assert room.membership_refusal(BOB, CAROL, "ban") == ""
    rewritten = {"users": {ALICE: 100, BOB: 50}, "events": {"m.x": 51}, "ban": 50}
    assert room.refusal(BOB, "m.room.power_levels", rewritten, "") == ""
    raised = {**rewritten, "users": {ALICE: 100, BOB: "51"}}
    assert "set users" in room.refusal(BOB, "m.room.power_levels", raised, "")


@LENIENT_VERSIONS
@pytest.mark.parametrize("name", ["users_default", "invite", "ban"])
def test_unreadable_levels_in_force(version: str, name: str) -> None:
    """As the first power levels they are accepted; then what needs them fails, and so does every
    change of the levels."""
    levels = {"users": {ALICE: 100}, name: "high"}
    room = SmallRoom(version, power_levels=levels)
    unreadable = f"power level '{name}' is no integer"
    assert room.refusal(ALICE, "m.room.topic", {}, "") == ""
    assert unreadable in room.membership_refusal(BOB, BOB, "join")
    mended = {"users": {ALICE: 100}}
    assert unreadable in room.refusal(ALICE, "m.room.power_levels", mended, "")
    assert unreadable in room.refusal(ALICE, "m.room.power_levels", levels, "")


@LENIENT_VERSIONS
def test_redactions_under_an_unreadable_level(version: str) -> None:
    room = SmallRoom(version, power_levels={"users": {ALICE: 100}, "redact": "high"})
    room.join(BOB)
    target = room.send(BOB, "m.room.message", {"body": "x"})
    for user in (ALICE, BOB):
        redaction = room.make(user, "m.room.redaction", {}, redacts=target.event_id)
        with pytest.raises(AuthRuleError, match="'redact' is no integer"):
            check_state_dependent_auth_rules(redaction, room.lookup())


@LENIENT_VERSIONS
def test_power_ordering_under_an_unreadable_default(version: str) -> None:
    """Aliases are accepted from people whose power nobody can read, and must not stop a
    resolution."""
    room = SmallRoom(version, power_levels={"users": {ALICE: 100}, "users_default": "high"})
    start = list(room.latest)
    left = room.send(ALICE, "m.room.topic", {"topic": "left"}, "", prev=start)
    right = room.send(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "", prev=start)
    resolved = room.state([left.event_id, right.event_id])
    assert resolved["m.room.topic", ""] == left.event_id
    assert resolved["m.room.power_levels", ""] == room.power_levels.event_id


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
levels = st.none() | st.booleans() | numbers | st.text(max_size=4)
level_maps = st.dictionaries(st.sampled_from([ALICE, BOB, "bob", "m.x"]), levels) | levels


@given(
    st.sampled_from(list(ROOM_VERSIONS)),
    st.dictionaries(st.sampled_from(LEVEL_NAMES), levels),
    st.dictionaries(st.sampled_from(["users", "events", "notifications"]), level_maps),
)
def test_any_content_gives_integers_or_an_auth_rule_error(
    version: str, content: dict[str, Any], maps: dict[str, Any]
) -> None:
    try:
        parsed = parse(version, {**content, **maps})
        found = [parsed.level(name) for name in LEVEL_NAMES]
        found += [parsed.user_level(BOB), parsed.send_level("m.x", is_state=True)]
    except AuthRuleError:
        return
    assert {type(level) for level in found} == {int}
