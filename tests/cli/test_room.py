"""`dtnode room ...` and `gaps`: what is asked of the node, what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dtnode.cli.status_text import room_lines
from tests.cli.conftest import BOB, Command, FakeNode, Request

ROOMS = [
    {
        "room_id": "!boat",
        "name": "boat\x1b[31m",
        "version": "12",
        "kind": "complete",
        "membership": "join",
        "events": 12,
        "gaps": 1,
        "members": 3,
    },
    {
        "room_id": "!pier",
        "name": "pier",
        "version": "12",
        "kind": "invited",
        "membership": "invite",
        "events": 0,
        "gaps": 0,
        "members": 2,
    },
]


def test_room_create_prints_the_id_only(run: Command, node: FakeNode) -> None:
    node.on("POST", "/_matrix/client/v3/createRoom", {"room_id": "!new"})
    assert run("room", "create", "boat", "--version", "11", "--public").stdout == "!new\n"
    assert node.body("POST", "/_matrix/client/v3/createRoom") == {
        "name": "boat",
        "preset": "public_chat",
        "room_version": "11",
    }
    assert json.loads(run("room", "create", "boat", "--json").stdout) == {"room_id": "!new"}


def test_a_second_room_of_that_name_is_told(run: Command, node: FakeNode) -> None:
    node.on("POST", "/_matrix/client/v3/createRoom", {"room_id": "!new"})
    node.on("GET", "/_dtnode/v1/resolve", (400, "M_INVALID_PARAM", "2 rooms are called 'boat'"))
    result = run("room", "create", "boat")
    assert (result.exit_code, result.stdout) == (0, "!new\n")
    assert result.stderr.startswith("Warning: 2 rooms are called 'boat'.")
    node.on("GET", "/_dtnode/v1/resolve", (404, "M_NOT_FOUND", "no room is called ''"))
    assert run("room", "create", "").stderr == ""


def test_joining_what_is_not_known_says_how_one_gets_in(run: Command, node: FakeNode) -> None:
    result = run("room", "join", "market")
    assert result.exit_code == 1
    assert "a public room is joined by its id, in single quotes" in result.stderr


def test_more_creators_can_be_named(run: Command, node: FakeNode) -> None:
    node.on("POST", "/_matrix/client/v3/createRoom", {"room_id": "!new"})
    run("room", "create", "boat", "--creator", "bob")
    body = node.body("POST", "/_matrix/client/v3/createRoom")
    assert body["creation_content"] == {"additional_creators": [BOB]}


def test_room_list_names_invited_rooms_too(run: Command, node: FakeNode) -> None:
    node.on("GET", "/_dtnode/v1/rooms", {"rooms": ROOMS})
    out = run("room", "list").stdout
    assert "pier\tinvited\t" in out
    assert "boat\\x1b[31m\tjoined\t3\t12\t1\tcomplete\t!boat" in out
    assert json.loads(run("room", "list", "--json").stdout) == ROOMS


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (["invite", "boat", "bob"], "rooms/!boat/invite", {"user_id": BOB}),
        (["kick", "boat", "bob", "--reason", "x"], "rooms/!boat/kick", None),
        (["ban", "!boat", BOB], "rooms/!boat/ban", {"user_id": BOB}),
        (["unban", "boat", "bob"], "rooms/!boat/unban", {"user_id": BOB}),
        (["leave", "boat"], "rooms/!boat/leave", {}),
        (["join", "boat"], "join/!boat", {}),
        (["join", "!unknown"], "join/!unknown", {}),
        (["knock", "boat"], "knock/!boat", {}),
        (["knock", "!unknown", "--reason", "rain"], "knock/!unknown", {"reason": "rain"}),
    ],
)
def test_membership_commands(
    run: Command, node: FakeNode, words: list[str], path: str, body: Any
) -> None:
    node.on("POST", f"/_matrix/client/v3/{path}", {})
    assert run("room", *words).exit_code == 0
    expected = body if body is not None else {"user_id": BOB, "reason": "x"}
    assert node.body("POST", f"/_matrix/client/v3/{path}") == expected


def test_an_unknown_room_is_told(run: Command, node: FakeNode) -> None:
    for words in (["room", "join", "pier"], ["send", "pier", "hello"]):
        result = run(*words)
        assert result.exit_code == 1
        assert "There is no room 'pier' here" in result.stderr


def test_members_are_shown_by_label(run: Command, node: FakeNode) -> None:
    members = [
        {"state_key": user, "content": {"membership": "join", "displayname": "B"}}
        for user in (BOB, "@dave:d")
    ]
    node.on("GET", "/_matrix/client/v3/rooms/!boat/members", {"chunk": members})
    out = run("room", "members", "boat").stdout
    assert out == f"name\tmembership\tuser\nbob\tjoin\t{BOB}\n@dave:d\tjoin\t@dave:d\n"
    assert json.loads(run("room", "members", "boat", "--json").stdout)[0] == {
        "user_id": BOB,
        "membership": "join",
        "label": "bob",
        "displayname": "B",
    }


STATE = [
    {"type": "m.room.topic", "state_key": "", "sender": BOB, "content": {"topic": "wind"}},
    {"type": "m.room.member", "state_key": BOB, "sender": BOB, "content": {"membership": "join"}},
]


def test_room_state(run: Command, node: FakeNode) -> None:
    path = "/_matrix/client/v3/rooms/!boat/state"
    node.on("GET", path, STATE)
    node.on("GET", f"{path}/m.room.topic", {"topic": "wind"})
    node.on("GET", f"{path}/m.room.member/{BOB}", {"membership": "join"})
    assert json.loads(run("room", "state", "boat", "--json").stdout) == STATE
    assert 'm.room.topic\t\t@bob:bobskey\t{"topic":"wind"}' in run("room", "state", "boat").stdout
    assert run("room", "state", "boat", "m.room.topic").stdout == '{"topic":"wind"}\n'
    assert json.loads(run("room", "state", "boat", "m.room.member", BOB).stdout) == {
        "membership": "join"
    }


def test_room_state_with_a_key_left_out_names_the_keys(run: Command, node: FakeNode) -> None:
    node.on("GET", "/_matrix/client/v3/rooms/!boat/state", STATE)
    result = run("room", "state", "boat", "m.room.member")
    assert result.exit_code == 1
    assert f"Name one of its keys: {BOB}" in result.stderr


def test_room_set(run: Command, node: FakeNode) -> None:
    path = "/_matrix/client/v3/rooms/!boat/state/org.example/a key/1"
    node.on("PUT", path, {"event_id": "$new"})
    result = run("room", "set", "boat", "org.example", '{"a": 1}', "--state-key", "a key/1")
    assert result.stdout == "$new\n"
    assert node.body("PUT", path) == {"a": 1}


@pytest.mark.parametrize("content", ["{", "3", "[]", ""])
def test_room_set_wants_an_object(run: Command, node: FakeNode, content: str) -> None:
    result = run("room", "set", "boat", "m.room.topic", content)
    assert result.exit_code == 2
    assert node.requests == []


def test_gaps(run: Command, node: FakeNode) -> None:
    gap = {
        "event_id": "$lost",
        "kind": "missing",
        "needed_by": ["$a", "$b"],
        "since_ms": 1,
        "asked": [],
    }
    answer = {"room_id": "!boat", "kind": "complete", "gaps": [gap], "held": 2}
    node.on("GET", "/_dtnode/v1/rooms/!boat/gaps", answer)
    assert json.loads(run("gaps", "boat", "--json").stdout) == answer
    out = run("gaps", "boat").stdout
    assert "$lost\tnot here\t$a $b\tnobody yet" in out
    assert "Held until they arrive: 2" in out
    node.on("GET", "/_dtnode/v1/rooms/!boat/gaps", answer | {"gaps": [], "held": 0})
    assert run("gaps", "boat").stdout.startswith("No gaps")


def test_room_upgrade_prints_the_new_id(run: Command, node: FakeNode) -> None:
    path = "/_matrix/client/v3/rooms/!boat/upgrade"
    node.on("POST", path, {"replacement_room": "!new"})
    assert run("room", "upgrade", "boat", "--version", "11", "--no-invite").stdout == "!new\n"
    assert node.body("POST", path) == {"new_version": "11", "org.dtnode.invite": False}
    node.requests.clear()
    result = run("room", "upgrade", "boat", "--creator", "bob", "--json")
    assert json.loads(result.stdout) == {"room_id": "!new", "replaces": "!boat"}
    assert node.body("POST", path) == {
        "new_version": "12",
        "org.dtnode.invite": True,
        "additional_creators": [BOB],
    }


def test_joining_a_room_that_was_replaced_says_so(run: Command, node: FakeNode) -> None:
    node.on("POST", "/_matrix/client/v3/join/!boat", {"org.dtnode.replaced_by": "!new$(rm)"})
    result = run("room", "join", "boat")
    assert result.exit_code == 0
    assert "Go on with: dtnode room join '!new$(rm)'" in result.stderr


@pytest.mark.parametrize(("command", "done"), [("join", "You are in"), ("knock", "You have asked")])
def test_a_join_that_stays_here_says_how_to_let_it_out(
    run: Command, node: FakeNode, command: str, done: str
) -> None:
    path = f"/_matrix/client/v3/{command}/!boat"
    node.on("POST", path, {"room_id": "!boat"})
    assert run("room", command, "boat").stderr == ""
    node.on("POST", path, {"room_id": "!boat", "org.dtnode.unpermitted_links": ["hf-1", "aprs-1"]})
    result = run("room", command, "boat")
    assert result.exit_code == 0
    assert f"{done}, but nobody hears of it yet" in result.stderr
    assert "hf-1 and aprs-1" in result.stderr
    assert "dtnode room permit '!boat' --clear-links yes" in result.stderr


def test_an_invite_that_stays_here_says_how_to_let_it_out(run: Command, node: FakeNode) -> None:
    path = "/_matrix/client/v3/rooms/!boat/invite"
    node.on("POST", path, {})
    assert run("room", "invite", "boat", "bob").stderr == ""
    node.on("POST", path, {"org.dtnode.unpermitted_links": ["hf-1"]})
    result = run("room", "invite", "boat", "bob")
    assert result.exit_code == 0
    assert "The invite is made, but they don't hear of it yet" in result.stderr
    assert "hf-1, the only link there" in result.stderr
    assert "dtnode room permit '!boat' --clear-links yes" in result.stderr


def test_a_room_is_made_for_clear_links_with_a_warning(run: Command, node: FakeNode) -> None:
    path = "/_matrix/client/v3/createRoom"
    node.on("POST", path, {"room_id": "!boat"})
    result = run("room", "create", "boat", "--clear-links")
    assert result.stdout == "!boat\n"
    assert "Warning: Over clear and open links everybody" in result.stderr
    body = {"name": "boat", "preset": "private_chat", "org.dtnode.clear_links": True}
    assert node.body("POST", path) == body


PERMISSION = "/_dtnode/v1/rooms/!boat/permission"


@pytest.mark.parametrize(
    ("clear_links", "says"),
    [("no", "doesn't go over clear"), ("yes", "others can read"), ("ended", "became encrypted")],
)
def test_a_permission_is_shown(run: Command, node: FakeNode, clear_links: str, says: str) -> None:
    answer = {"room_id": "!boat", "clear_links": clear_links, "encrypted": False}
    node.on("GET", PERMISSION, answer)
    shown = run("room", "permit", "boat")
    assert says in shown.stdout
    assert shown.stderr == ""
    assert json.loads(run("room", "permit", "boat", "--json").stdout) == answer


def test_a_permission_is_given_and_taken(run: Command, node: FakeNode) -> None:
    def answer(request: Request) -> object:
        return {"room_id": "!boat", "clear_links": "yes" if request.body["clear_links"] else "no"}

    node.on("POST", PERMISSION, answer)
    given = run("room", "permit", "boat", "--clear-links", "yes")
    assert given.stdout == "It goes over clear and open links, where others can read it.\n"
    assert "Warning: Over clear and open links everybody" in given.stderr
    run("room", "permit", "boat", "--clear-links", "yes", "--although-encrypted")
    taken = run("room", "permit", "boat", "--clear-links", "no")
    assert taken.stdout == "It doesn't go over clear and open links.\n"
    assert taken.stderr == ""
    bodies = [request.body for request in node.requests if request.path == PERMISSION]
    assert bodies == [
        {"clear_links": True, "although_encrypted": False},
        {"clear_links": True, "although_encrypted": True},
        {"clear_links": False, "although_encrypted": False},
    ]
    for words in (["--although-encrypted"], ["--clear-links", "no", "--although-encrypted"]):
        assert run("room", "permit", "boat", *words).exit_code == 2


def test_an_encrypted_room_is_refused_in_the_nodes_words(run: Command, node: FakeNode) -> None:
    node.on("POST", PERMISSION, (403, "M_FORBIDDEN", "this room is encrypted. Say so with X"))
    result = run("room", "permit", "boat", "--clear-links", "yes")
    assert result.exit_code == 1
    assert "this room is encrypted. Say so with X" in result.stderr
    assert "Warning" not in result.stderr


def test_room_list_shows_knocks_and_replaced_rooms(run: Command, node: FakeNode) -> None:
    boat, pier = ROOMS
    rooms = [boat | {"successor": "!new"}, pier | {"membership": "knock"}]
    node.on("GET", "/_dtnode/v1/rooms", {"rooms": rooms})
    out = run("room", "list").stdout
    assert "joined\t3\t12\t1\treplaced\t!boat" in out
    assert "pier\tasked to join\t" in out


def test_a_third_party_invite_is_redeemed_from_a_file(
    run: Command, node: FakeNode, tmp_path: Path
) -> None:
    path = "/_matrix/client/v3/rooms/!boat/invite"
    node.on("POST", path, {})
    file = tmp_path / "signed.json"
    file.write_text('{"token": "t"}', encoding="utf-8")
    assert run("room", "invite", "boat", "bob", "--signed", str(file)).exit_code == 0
    assert node.body("POST", path) == {"user_id": BOB, "org.dtnode.signed": {"token": "t"}}
    file.write_text("[]", encoding="utf-8")
    assert run("room", "invite", "boat", "bob", "--signed", str(file)).exit_code == 2


def test_status_tells_of_knocks_and_of_the_room_that_took_a_rooms_place() -> None:
    room = {
        "room_id": "!boat",
        "name": "boat",
        "version": "12",
        "kind": "complete",
        "membership": "join",
        "events": 12,
        "gaps": 0,
        "members": 3,
        "tips": ["$a"],
        "tip_state": "00",
        "knocks": 2,
        "successor": "!new",
    }
    lines = "\n".join(room_lines(room))
    assert "2 people ask to be let in; see: dtnode room members" in lines
    assert "It was replaced; go on with: dtnode room join" in lines
    assert "!new" in lines
    plain = "\n".join(room_lines(room | {"knocks": 0, "successor": None}))
    assert "let in" not in plain
    assert "replaced" not in plain
    knocking = "\n".join(room_lines(room | {"membership": "knock"}))
    assert "you have asked to be let in" in knocking
