"""Which servers may read an event."""

from __future__ import annotations

import pytest

from dtnode.matrix.history_visibility import server_may_read, visibility_of
from tests.matrix.small_room import ALICE, BOB, SmallRoom

MEMBERSHIPS = ["join", "invite", "knock", "leave", "ban"]


@pytest.mark.parametrize(
    ("visibility", "readers"),
    [
        ("world_readable", {*MEMBERSHIPS, None}),
        ("shared", {*MEMBERSHIPS, None}),
        ("invited", {"join", "invite"}),
        ("joined", {"join"}),
    ],
)
@pytest.mark.parametrize("membership", [*MEMBERSHIPS, None])
def test_messages(visibility: str, readers: set[str | None], membership: str | None) -> None:
    pdu = SmallRoom().make(ALICE, "m.room.message", {"body": "x"})
    memberships = {ALICE: "join"} | ({BOB: membership} if membership else {})
    allowed = server_may_read(pdu, "b.test", visibility=visibility, memberships=memberships)
    assert allowed == (membership in readers)


def test_a_server_is_the_whole_part_after_the_first_colon() -> None:
    pdu = SmallRoom().make(ALICE, "m.room.message", {"body": "x"})
    memberships = {"@x:b.test:8448": "join", "@x:b.test": "leave"}
    for server, allowed in (("b.test:8448", True), ("8448", False), ("b.test", False)):
        assert allowed == server_may_read(pdu, server, visibility="joined", memberships=memberships)


def test_an_events_own_effect_counts() -> None:
    room = SmallRoom()
    room.join(BOB)

    def may_read(event_type: str, content: dict[str, str], key: str, visibility: str) -> bool:
        pdu = room.make(ALICE, event_type, content, key)
        return server_may_read(
            pdu, "b.test", visibility=visibility, memberships={ALICE: "join", BOB: "leave"}
        )

    assert may_read("m.room.member", {"membership": "join"}, BOB, "joined")
    assert may_read("m.room.member", {"membership": "invite"}, BOB, "invited")
    assert not may_read("m.room.member", {"membership": "invite"}, BOB, "joined")
    assert not may_read("m.room.member", {"membership": "join"}, ALICE, "joined")
    opened = {"history_visibility": "shared"}
    assert may_read("m.room.history_visibility", opened, "", "joined")
    assert not may_read("m.room.history_visibility", opened, "x", "joined")
    closed = {"history_visibility": "joined"}
    assert not may_read("m.room.history_visibility", closed, "", "shared")
    ban = room.make(ALICE, "m.room.member", {"membership": "ban"}, BOB)
    assert not server_may_read(ban, "b.test", visibility="joined", memberships={BOB: "join"})


def test_the_visibility_of_an_event() -> None:
    room = SmallRoom()
    assert visibility_of(None) == "shared"
    for content, expected in (
        ({"history_visibility": "joined"}, "joined"),
        ({"history_visibility": "x"}, "shared"),
        ({"history_visibility": ["joined"]}, "shared"),
        ({}, "shared"),
    ):
        event = room.make(ALICE, "m.room.history_visibility", content, "")
        assert visibility_of(event) == expected
