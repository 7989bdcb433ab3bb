"""The authorisation rules for membership, third-party invites included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.signing import sign_json
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64
from tests.matrix.small_room import ALICE, BOB, CAROL, DAN, SmallRoom, signer_of

ALL_VERSIONS = pytest.mark.parametrize("version", ROOM_VERSIONS)


@ALL_VERSIONS
@pytest.mark.parametrize(
    ("join_rule", "before", "reason"),
    [
        ("public", None, ""),
        ("public", "leave", ""),
        ("public", "ban", "banned"),
        ("invite", None, "not invited"),
        ("invite", "invite", ""),
        ("invite", "join", ""),
        ("knock", "knock", "not invited"),
        ("knock", "invite", ""),
        ("restricted", None, "no member authorises"),
        ("restricted", "invite", ""),
        ("knock_restricted", None, "no member authorises"),
        ("knock_restricted", "join", ""),
        ("private", "invite", "lets nobody in"),
        (["public"], None, "lets nobody in"),
        (None, None, "lets nobody in"),
    ],
)
def test_joins(version: str, join_rule: Any, before: str | None, reason: str) -> None:
    since = {"knock": 7, "restricted": 8, "knock_restricted": 10}
    if type(join_rule) is str and int(version) < since.get(join_rule, 3):
        reason = "lets nobody in"
    room = SmallRoom(version)
    if before is not None:
        room.member(ALICE, BOB, before)
    room.send(ALICE, "m.room.join_rules", {"join_rule": join_rule}, "")
    found = room.membership_refusal(BOB, BOB, "join")
    assert reason in found
    assert bool(reason) == bool(found)


def test_without_join_rules_one_must_be_invited() -> None:
    room = SmallRoom()
    room.latest = [room.power_levels.event_id]
    assert "not invited" in room.membership_refusal(BOB, BOB, "join")
    room.member(ALICE, BOB, "invite")
    assert room.membership_refusal(BOB, BOB, "join") == ""


@ALL_VERSIONS
def test_the_creators_own_join(version: str) -> None:
    room = SmallRoom(version)
    room.latest = [room.create.event_id]
    assert room.membership_refusal(ALICE, ALICE, "join") == ""
    assert "not invited" in room.membership_refusal(BOB, BOB, "join")
    assert "not invited" in room.membership_refusal("@al:a.test", "@al:a.test", "join")
    room.member(ALICE, ALICE, "leave")
    assert "not invited" in room.membership_refusal(ALICE, ALICE, "join")


@pytest.mark.parametrize("version", [*ROOM_VERSIONS][5:])
def test_restricted_joins(version: str) -> None:
    levels = {"users": {CAROL: 10} | ({} if version == "12" else {ALICE: 100}), "invite": 10}
    room = SmallRoom(version, join_rule="restricted", power_levels=levels)

    def reason(authorising_user: object) -> str:
        return room.membership_refusal(
            BOB, BOB, "join", join_authorised_via_users_server=authorising_user
        )

    assert reason(ALICE) == ""
    assert "not in the room" in reason(CAROL)
    room.member(CAROL, CAROL, "join")
    assert reason(CAROL) == ""
    room.member(DAN, DAN, "join")
    assert "needs 10" in reason(DAN)
    assert "no member authorises" in reason(7)


def test_nobody_joins_for_another() -> None:
    assert "can't make" in SmallRoom().membership_refusal(ALICE, BOB, "join")


@ALL_VERSIONS
@pytest.mark.parametrize(
    ("before", "reason"),
    [(None, ""), ("leave", ""), ("knock", ""), ("invite", ""), ("join", "join"), ("ban", "ban")],
)
def test_invites(version: str, before: str | None, reason: str) -> None:
    room = SmallRoom(version)
    if before is not None:
        room.member(ALICE, BOB, before)
    found = room.membership_refusal(ALICE, BOB, "invite")
    assert reason in found
    assert bool(reason) == bool(found)
    assert "not in the room" in room.membership_refusal(CAROL, DAN, "invite")
    assert "not a user id" in room.membership_refusal(ALICE, "bob", "invite")


def test_the_invite_level() -> None:
    room = SmallRoom(power_levels={"invite": 10, "users": {BOB: 10}})
    room.join(BOB)
    room.join(CAROL)
    assert room.membership_refusal(BOB, DAN, "invite") == ""
    assert "needs 10 to invite" in room.membership_refusal(CAROL, DAN, "invite")
    assert "needs 10 to invite" in room.refusal(CAROL, "m.room.third_party_invite", {}, "t")


@ALL_VERSIONS
def test_leaving_kicking_and_banning(version: str) -> None:
    users = {BOB: 60, CAROL: 55, "@mod:b.test": 60} | ({} if version == "12" else {ALICE: 100})
    room = SmallRoom(version, power_levels={"users": users, "kick": 55, "ban": 60})
    for user in (BOB, CAROL, DAN, "@mod:b.test"):
        assert "can't leave" in room.membership_refusal(user, user, "leave")
        room.join(user)
        assert room.membership_refusal(user, user, "leave") == ""
    for membership, sender, target, reason in (
        ("leave", CAROL, DAN, ""),
        ("leave", DAN, CAROL, "needs 55 to kick"),
        ("leave", CAROL, BOB, "has 60"),
        ("leave", BOB, "@mod:b.test", "has 60"),
        ("leave", BOB, ALICE, "has 9007199254740992" if version == "12" else "has 100"),
        ("ban", BOB, CAROL, ""),
        ("ban", CAROL, DAN, "needs 60 to ban"),
        ("ban", BOB, "@mod:b.test", "has 60"),
        ("ban", BOB, "@unknown:x.test", ""),
        ("ban", "@x:x.test", DAN, "not in the room"),
        ("leave", "@x:x.test", DAN, "not in the room"),
    ):
        found = room.membership_refusal(sender, target, membership)
        assert reason in found
        assert bool(reason) == bool(found)
    room.member(BOB, DAN, "ban")
    assert "needs 60 to unban" in room.membership_refusal(CAROL, DAN, "leave")
    assert room.membership_refusal(BOB, DAN, "leave") == ""
    assert "can't leave" in room.membership_refusal(DAN, DAN, "leave")


@ALL_VERSIONS
@pytest.mark.parametrize("join_rule", ["knock", "knock_restricted", "public", "restricted"])
def test_knocking(version: str, join_rule: str) -> None:
    room = SmallRoom(version)
    room.send(ALICE, "m.room.join_rules", {"join_rule": join_rule}, "")
    if int(version) < 7:
        assert "'knock' is not known" in room.membership_refusal(BOB, BOB, "knock")
        room.member(ALICE, BOB, "knock")  # as if it had slipped in
        assert "can't leave" in room.membership_refusal(BOB, BOB, "leave")
        return
    if not join_rule.startswith("knock") or (join_rule == "knock_restricted" and int(version) < 10):
        assert "no knocking" in room.membership_refusal(BOB, BOB, "knock")
        return
    assert room.membership_refusal(BOB, BOB, "knock") == ""
    assert "can't knock for" in room.membership_refusal(ALICE, BOB, "knock")
    for membership in ("ban", "invite", "join"):
        room.member(ALICE, BOB, membership)
        assert "can't knock" in room.membership_refusal(BOB, BOB, "knock")
    for membership in ("leave", "knock"):
        room.member(ALICE, BOB, membership)
        assert room.membership_refusal(BOB, BOB, "knock") == ""
    assert room.membership_refusal(BOB, BOB, "leave") == ""


def test_unusable_memberships() -> None:
    room = SmallRoom()
    for content, key, reason in (
        ({}, BOB, "without"),
        ({"membership": 1}, BOB, "without"),
        ({"membership": "join"}, None, "without"),
        ({"membership": "own"}, ALICE, "not known"),
        ({"membership": "ban"}, "", "not a user id"),
    ):
        assert reason in room.refusal(ALICE, "m.room.member", content, key)


# Third-party invites


def third_party_room(version: str, **content: Any) -> tuple[SmallRoom, dict[str, Any]]:
    room = SmallRoom(version)
    room.join(BOB)
    identity = signer_of("identity.test")
    key = encode_unpadded_base64(identity.public_key)
    room.send(BOB, "m.room.third_party_invite", {"public_key": key, **content}, "token")
    return room, sign_json({"mxid": CAROL, "token": "token"}, identity)


@ALL_VERSIONS
def test_third_party_invites(version: str) -> None:
    room, signed = third_party_room(version)

    def reason(sender: str, target: str, invite: Any) -> str:
        return room.membership_refusal(sender, target, "invite", third_party_invite=invite)

    assert reason(BOB, CAROL, {"signed": signed}) == ""
    assert "is @bob:b.test's" in reason(ALICE, CAROL, {"signed": signed})
    assert "not for" in reason(BOB, DAN, {"signed": signed})
    assert "no third-party invite" in reason(BOB, CAROL, {"signed": {**signed, "token": "x"}})
    for broken in (1, {}, {"signed": 1}, {"signed": {"mxid": CAROL}}):
        assert "no usable" in reason(BOB, CAROL, broken)
    unusable: tuple[object, ...] = (
        None,
        [],
        {"identity.test": 1},
        {"x": {"ed25519:1": "A" * 86}},
    )
    for signatures in unusable:
        forged = {**signed, "signatures": signatures}
        assert "signature" in reason(BOB, CAROL, {"signed": forged})
    altered = {**signed, "extra": 1}
    assert "no signature" in reason(BOB, CAROL, {"signed": altered})
    room.member(ALICE, CAROL, "ban")
    assert "banned" in reason(BOB, CAROL, {"signed": signed})


def third_party_reason(signatures: Any = None, **content: Any) -> str:
    """signatures: in place of the good ones, which are given to what can be called."""
    room, signed = third_party_room("12", **content)
    if callable(signatures):
        signatures = signatures(signed["signatures"]["identity.test"]["ed25519:1"])
    invite = {"signed": signed if signatures is None else {**signed, "signatures": signatures}}
    return room.membership_refusal(BOB, CAROL, "invite", third_party_invite=invite)


IDENTITY_KEY = encode_unpadded_base64(signer_of("identity.test").public_key)


@pytest.mark.parametrize(
    "listed",
    [
        [{"public_key": IDENTITY_KEY}],
        [{"public_key": "A" * 43}, {"public_key": IDENTITY_KEY}, {"public_key": "x"}, 1],
        [{"public_key": "A" * 43}] * 62 + [{"public_key": IDENTITY_KEY}],
    ],
)
def test_third_party_keys(listed: list[Any]) -> None:
    assert third_party_reason(public_key="B" * 43, public_keys=listed) == ""


@pytest.mark.parametrize("odd", [1, {}, {"public_key": 1}, {"public_key": "A" * 42}, "x", None])
def test_a_third_party_key_that_is_none(odd: object) -> None:
    """As deployed servers have it, the keys after it don't count, those before it do."""
    good = {"public_key": IDENTITY_KEY}
    reason = third_party_reason(public_key="B" * 43, public_keys=[odd, good])
    assert "a public key that is none" in reason
    assert third_party_reason(public_key="B" * 43, public_keys=[good, odd]) == ""
    assert third_party_reason(public_keys=[odd]) == ""


def test_public_keys_that_are_no_array() -> None:
    forms: list[object] = ["", "x", {}, {"x": 1}]
    for listed in forms:
        assert third_party_reason(public_keys=listed) == ""
        assert third_party_reason(public_key="B" * 43, public_keys=listed) != ""
    for number in (None, 5, True):
        assert "not an array" in third_party_reason(public_keys=number)


def test_too_many_third_party_keys() -> None:
    many = [{"public_key": "A" * 43}] * 63 + [{"public_key": IDENTITY_KEY}]
    assert "too many" in third_party_reason(public_key="B" * 43, public_keys=many)


def test_the_first_third_party_signature_decides() -> None:
    """By server, then by key id: as deployed servers have it."""
    wrong = "A" * 86
    good: list[Callable[[str], object]] = [
        lambda text: {"b": {"ed25519:1": text, "ed25519:2": wrong}, "c": None},
        lambda text: {"a": {}, "b": {"a:1": wrong, "ed25519:1": text}},
        lambda text: {"\uffff": {"ed25519:1": text}, "\U00010000": {"ed25519:1": wrong}},
    ]
    for signatures in good:
        assert third_party_reason(signatures) == ""
    bad: list[Callable[[str], object]] = [
        lambda text: {"b": {"ed25519:1": wrong, "ed25519:2": text}},
        lambda text: {"a": {"ed25519:2": wrong}, "b": {"ed25519:1": text}},
        lambda text: {"a": None, "b": {"ed25519:1": text}},
        lambda text: {"b": {"ed25519:0": 5, "ed25519:1": text}},
        lambda text: {"b": {"curve:1": text}},
    ]
    for signatures in bad:
        assert "signature" in third_party_reason(signatures)
