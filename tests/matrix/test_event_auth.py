"""The authorisation rules one by one, but for membership.

That they agree with Synapse is in test_vector_rooms.
"""

from __future__ import annotations

from typing import Any

import pytest

from dtnode.errors import AuthRuleError
from dtnode.matrix.event_auth import (
    auth_state,
    auth_types_for_event,
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
    redaction_applies,
)
from dtnode.matrix.pdu import Pdu, parse_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.signing import verify_pdu
from tests.matrix.small_room import ALICE, BOB, CAROL, DAN, SmallRoom, key_of

ALL_VERSIONS = pytest.mark.parametrize("version", ROOM_VERSIONS)


def check_independent(room: SmallRoom, pdu: Pdu, rejected: frozenset[str] = frozenset()) -> None:
    auth_events = [room.events[event_id] for event_id in pdu.auth_event_ids]
    check_state_independent_auth_rules(pdu, auth_events, rejected.__contains__)


# The event itself and its auth events


@ALL_VERSIONS
def test_a_fresh_room_passes_every_check(version: str) -> None:
    room = SmallRoom(version)
    room.join(BOB)
    for pdu in room.events.values():
        verify_pdu(pdu, key_of)
        check_independent(room, pdu)
        auth = auth_state(room.events[event_id] for event_id in pdu.auth_event_ids)
        check_state_dependent_auth_rules(pdu, auth)
        check_state_dependent_auth_rules(pdu, room.lookup(list(pdu.prev_events)))


@ALL_VERSIONS
def test_auth_events(version: str) -> None:
    room = SmallRoom(version)
    room.join(BOB)
    second = room.send(ALICE, "m.room.power_levels", {"ban": 51}, "")
    own = [] if version == "12" else [room.create.event_id]
    member = room.state()["m.room.member", ALICE]

    def message(*auth: str) -> Pdu:
        return room.make(ALICE, "m.room.message", {}, auth=[*own, member, *auth])

    check_independent(room, message(second.event_id))
    for auth, reason in (
        ((second.event_id, second.event_id), "two auth events"),
        ((second.event_id, room.power_levels.event_id), "two auth events"),
        ((room.join_rules.event_id,), "no business"),
        ((room.state()["m.room.member", BOB],), "no business"),
        ((room.send(ALICE, "m.room.message", {}).event_id,), "no business"),
    ):
        with pytest.raises(AuthRuleError, match=reason):
            check_independent(room, message(*auth))
    with pytest.raises(AuthRuleError, match="was rejected"):
        check_independent(room, message(second.event_id), frozenset({second.event_id}))
    with pytest.raises(AuthRuleError, match="was rejected"):
        check_independent(room, message(), frozenset({room.create.event_id}))


@ALL_VERSIONS
def test_auth_events_of_another_room(version: str) -> None:
    room, other = SmallRoom(version), SmallRoom(version, create={"other": 1})
    if version != "12":
        other.room_id = "!other:a.test"
    stranger = other.send(ALICE, "m.room.member", {"membership": "join"}, ALICE)
    room.events[stranger.event_id] = stranger
    own = [] if version == "12" else [room.create.event_id]
    pdu = room.make(ALICE, "m.room.message", {}, auth=[*own, stranger.event_id])
    with pytest.raises(AuthRuleError, match="another room"):
        check_independent(room, pdu)


@pytest.mark.parametrize("version", [*ROOM_VERSIONS][:-1])
def test_the_create_event_must_be_named(version: str) -> None:
    room = SmallRoom(version)
    member = room.state()["m.room.member", ALICE]
    with pytest.raises(AuthRuleError, match="no create event"):
        check_independent(room, room.make(ALICE, "m.room.message", {}, auth=[member]))


def test_the_room_id_must_be_of_a_create_event() -> None:
    room = SmallRoom("12")
    not_create = room.send(ALICE, "m.room.message", {})
    room.room_id = "!" + not_create.event_id[1:]
    pdu = room.make(ALICE, "m.room.message", {}, auth=[])
    with pytest.raises(AuthRuleError, match="another room"):
        check_independent(room, pdu)


@ALL_VERSIONS
def test_create_events(version: str) -> None:
    room = SmallRoom(version)

    def check(content: dict[str, Any], **changes: Any) -> None:
        json = {**room.create.json, "content": content, **changes}
        check_independent(room, parse_pdu(json, room.version))

    plain = {"room_version": version, "creator": ALICE}
    check(plain)
    check({"creator": ALICE})
    for unknown in ("99", 12, None):
        with pytest.raises(AuthRuleError, match="not known"):
            check({**plain, "room_version": unknown})
    with pytest.raises(AuthRuleError, match="previous events"):
        check(plain, prev_events=[room.create.event_id])
    if int(version) < 11:
        with pytest.raises(AuthRuleError, match="names no creator"):
            check({"room_version": version})
    else:
        check({"room_version": version})
    if version != "12":
        with pytest.raises(AuthRuleError, match="creator's server"):
            check(plain, room_id="!room:b.test")
    for creators in (None, BOB, [1], ["bob"], ["@" + "b" * 255 + ":b.test"], [BOB, {}]):
        if version == "12":
            with pytest.raises(AuthRuleError, match="additional_creators"):
                check({**plain, "additional_creators": creators})
        else:
            check({**plain, "additional_creators": creators})
    check({**plain, "additional_creators": [BOB]})


@pytest.mark.parametrize("version", ["3", "9", "10"])
def test_long_names_are_rejected_up_to_version_10(version: str) -> None:
    room = SmallRoom(version)
    check_independent(room, room.make(ALICE, "m.x", {}, "ä" * 127))
    with pytest.raises(AuthRuleError, match="state_key"):
        check_independent(room, room.make(ALICE, "m.x", {}, "ä" * 128))


def test_auth_types() -> None:
    room = SmallRoom()
    common = {("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.member", ALICE)}
    rules = ("m.room.join_rules", "")

    def types(content: dict[str, Any], key: str | None = BOB) -> frozenset[tuple[str, str]]:
        return auth_types_for_event(room.make(ALICE, "m.room.member", content, key, auth=[]))

    target = {*common, ("m.room.member", BOB)}
    assert auth_types_for_event(room.create) == frozenset()
    assert auth_types_for_event(room.make(ALICE, "m.x", {}, auth=[])) == common
    assert types({"membership": "join"}) == {*target, rules}
    assert types({"membership": "knock"}) == {*target, rules}
    assert types({"membership": "ban"}) == target
    assert types({"membership": "leave"}) == target
    assert types({}) == target
    assert types({"membership": "join"}, None) == common
    assert types({"membership": "join", "join_authorised_via_users_server": CAROL}) == {
        *target,
        rules,
        ("m.room.member", CAROL),
    }
    authorised = {"membership": "join", "join_authorised_via_users_server": CAROL}
    for version in ("3", "7", "8"):
        early = SmallRoom(version).make(ALICE, "m.room.member", authorised, BOB, auth=[])
        assert (("m.room.member", CAROL) in auth_types_for_event(early)) == (version == "8")
    signed = {"signed": {"token": "t"}}
    third_party = ("m.room.third_party_invite", "t")
    invite = {"membership": "invite", "third_party_invite": signed}
    assert types(invite) == {*target, rules, third_party}
    for broken in (1, {}, {"signed": 1}, {"signed": {"token": 1}}):
        assert types({**invite, "third_party_invite": broken}) == {*target, rules}


# Sending


@ALL_VERSIONS
def test_power_to_send(version: str) -> None:
    room = SmallRoom(
        version,
        power_levels={
            "users": {BOB: 20} | ({} if version == "12" else {ALICE: 100}),
            "users_default": 1,
            "events": {"m.twenty": 20, "m.thirty": 30},
            "events_default": 2,
            "state_default": 25,
        },
    )
    assert "not in the room" in room.refusal(BOB, "m.x", {})
    room.join(BOB)
    room.join(CAROL)
    assert room.refusal(BOB, "m.twenty", {}) == ""
    assert room.refusal(BOB, "m.thirty", {}) == (
        f"sender {BOB} has power 20, needs 30 to send m.thirty"
    )
    assert "needs 25" in room.refusal(BOB, "m.x", {}, "")
    assert room.refusal(BOB, "m.x", {}) == ""
    assert "has power 1, needs 2" in room.refusal(CAROL, "m.x", {})
    assert room.refusal(ALICE, "m.x", {}, "") == ""
    assert "can't be set" in room.refusal(ALICE, "m.x", {}, BOB)
    assert room.refusal(ALICE, "m.x", {}, ALICE) == ""
    assert "invite" not in room.refusal(CAROL, "m.room.third_party_invite", {}, "t")


@ALL_VERSIONS
def test_without_power_levels(version: str) -> None:
    room = SmallRoom(version)
    start = list(room.power_levels.prev_events)
    lookup = room.lookup(start)
    topic = room.make(ALICE, "m.room.topic", {}, "", prev=start)
    check_state_dependent_auth_rules(topic, lookup)
    room.latest = start
    room.add(room.make(ALICE, "m.room.join_rules", {"join_rule": "public"}, ""))
    room.join(BOB)
    assert "has power 0, needs 50" in room.refusal(BOB, "m.room.topic", {}, "")
    assert room.refusal(BOB, "m.room.message", {}) == ""
    assert room.refusal(BOB, "m.room.third_party_invite", {}, "t") == ""


@ALL_VERSIONS
def test_federation_can_be_forbidden(version: str) -> None:
    room = SmallRoom(version, create={"m.federate": False})
    assert "alone" in room.membership_refusal(BOB, BOB, "join")
    assert "alone" in room.membership_refusal(ALICE, BOB, "invite")
    assert room.membership_refusal("@al:a.test", "@al:a.test", "join") == ""
    room.join(BOB)  # as if it had slipped in
    assert "alone" in room.refusal(BOB, "m.room.message", {})


def test_there_must_be_a_create_event() -> None:
    pdu = SmallRoom().make(ALICE, "m.x", {})
    with pytest.raises(AuthRuleError, match="no create event"):
        check_state_dependent_auth_rules(pdu, lambda event_type, state_key: None)


@ALL_VERSIONS
def test_aliases(version: str) -> None:
    room = SmallRoom(version)
    stranger = "not in the room"
    if int(version) >= 6:
        assert room.refusal(ALICE, "m.room.aliases", {}, "a.test") == ""
        assert room.refusal(ALICE, "m.room.aliases", {}, "b.test") == ""
        assert stranger in room.refusal(BOB, "m.room.aliases", {}, "b.test")
        return
    assert room.refusal(BOB, "m.room.aliases", {}, "b.test") == ""
    assert "can't be set" in room.refusal(ALICE, "m.room.aliases", {}, "b.test")
    assert "can't be set" in room.refusal(ALICE, "m.room.aliases", {}, "")
    assert "can't be set" in room.refusal(ALICE, "m.room.aliases", {})
    closed = SmallRoom(version, create={"m.federate": False})
    assert "alone" in closed.refusal(BOB, "m.room.aliases", {}, "b.test")


# Power levels


@pytest.mark.parametrize("version", ["10", "11", "12"])
@pytest.mark.parametrize(
    "content",
    [
        {"ban": "50"},
        {"users_default": 1.0},
        {"invite": None},
        {"kick": True},
        {"users": None},
        {"users": []},
        {"users": {BOB: "50"}},
        {"users": {BOB: None}},
        {"users": {"bob": 50}},
        {"users": {"@bob": 50}},
        {"events": {"m.x": "1"}},
        {"events": 1},
        {"notifications": {"room": None}},
    ],
)
def test_power_levels_are_integers(version: str, content: dict[str, Any]) -> None:
    room = SmallRoom(version)
    if content == {"users_default": 1.0}:
        content = {"users_default": "1"}  # a float doesn't get this far
    assert room.refusal(ALICE, "m.room.power_levels", content, "")
    assert room.refusal(ALICE, "m.room.power_levels", content, "x")


def test_power_levels_are_state() -> None:
    room = SmallRoom(power_levels={"events": {"m.room.power_levels": 0}})
    assert "state_key" in room.refusal(ALICE, "m.room.power_levels", {})


BASE = {"users": {ALICE: 100, BOB: 50, CAROL: 50, DAN: 10}, "events": {"m.x": 60}, "ban": 60}


@pytest.mark.parametrize("version", [*ROOM_VERSIONS][:-1])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"kick": 50}, ""),
        ({"kick": 51}, "set 'kick' to 51"),
        ({"ban": 50}, "change 'ban', which is 60"),
        ({"ban": None}, "change 'ban', which is 60"),
        ({"events": {"m.x": 60, "m.y": 50}}, ""),
        ({"events": {"m.x": 60, "m.y": 51}}, "set events 'm.y' to 51"),
        ({"events": {"m.x": 50}}, "change events 'm.x', which is 60"),
        ({"events": {}}, "change events 'm.x', which is 60"),
        ({"notifications": {"room": 50}}, ""),
        ({"notifications": {"room": 51}}, "set notifications 'room' to 51"),
        ({"users": {**BASE["users"], DAN: 50}}, ""),  # type: ignore[dict-item]
        ({"users": {**BASE["users"], DAN: 51}}, "set users"),  # type: ignore[dict-item]
        ({"users": {**BASE["users"], BOB: 49}}, ""),  # type: ignore[dict-item]
        ({"users": {**BASE["users"], BOB: 51}}, "set users"),  # type: ignore[dict-item]
        ({"users": {**BASE["users"], CAROL: 49}}, "can't change @carol"),  # type: ignore[dict-item]
        ({"users": {ALICE: 100, CAROL: 50}}, ""),
        ({"users": {ALICE: 100, BOB: 50}}, "can't change @carol"),
        ({"users": {BOB: 50, CAROL: 50}}, "@alice"),
    ],
)
def test_changes_of_power_levels(version: str, changes: dict[str, Any], reason: str) -> None:
    if int(version) < 6 and "notifications" in changes:
        reason = ""
    room = SmallRoom(version, power_levels=BASE)
    room.join(BOB)
    content = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    found = room.refusal(BOB, "m.room.power_levels", content, "")
    assert reason in found
    assert bool(reason) == bool(found)
    # With another state key there is nothing to compare with.
    assert room.refusal(BOB, "m.room.power_levels", content, "x") == ""


def test_creators_of_version_12() -> None:
    room = SmallRoom(
        "12", create={"additional_creators": [BOB]}, power_levels={"users": {CAROL: 2**53 - 1}}
    )
    for user in (BOB, CAROL):
        room.join(user)
    named = "infinite"
    assert named in room.refusal(ALICE, "m.room.power_levels", {"users": {ALICE: 100}}, "")
    assert named in room.refusal(ALICE, "m.room.power_levels", {"users": {BOB: 1}}, "")
    assert named in room.refusal(ALICE, "m.room.power_levels", {"users": {BOB: 1}}, "x")
    assert room.refusal(BOB, "m.room.power_levels", {"users": {}, "ban": 2**53 - 1}, "") == ""
    assert room.membership_refusal(BOB, CAROL, "ban") == ""
    assert "has power" in room.membership_refusal(BOB, ALICE, "ban")
    assert "has power" in room.membership_refusal(CAROL, BOB, "leave")


@pytest.mark.parametrize("version", [*ROOM_VERSIONS][:-1])
def test_before_version_12_there_is_one_creator(version: str) -> None:
    room = SmallRoom(version, create={"additional_creators": [BOB], "creator": ALICE})
    room.join(BOB)
    assert "needs 50" in room.refusal(BOB, "m.room.topic", {}, "")
    assert room.refusal(ALICE, "m.room.power_levels", {"users": {ALICE: 1}}, "") == ""


# Redactions


@ALL_VERSIONS
def test_who_may_redact(version: str) -> None:
    users = {CAROL: 40} | ({} if version == "12" else {ALICE: 100})
    room = SmallRoom(version, power_levels={"users": users, "redact": 40})
    for user in (BOB, "@bert:b.test", CAROL, DAN):
        room.join(user)
    target = room.send(BOB, "m.room.message", {"body": "x"})
    for sender, applies in (
        (BOB, True),
        ("@bert:b.test", True),
        (CAROL, True),
        (ALICE, True),
        (DAN, False),
    ):
        redaction = room.make(sender, "m.room.redaction", {"redacts": target.event_id})
        assert redaction_applies(redaction, target, room.lookup()) == applies
        assert redaction_applies(redaction, target, lambda type_, key: None) == (
            sender in (BOB, "@bert:b.test")
        )
    redaction = room.make(ALICE, "m.room.redaction", {})
    assert not redaction_applies(redaction, room.create, room.lookup())
    other = SmallRoom("11")
    other.room_id = "!other:a.test"
    stranger = other.send(ALICE, "m.room.message", {}, auth=[])
    assert not redaction_applies(redaction, stranger, room.lookup())
