"""Errors, init, status, password and peers, against a node that plays canned answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dtnode.cli.status_text import link_line, peer_line, room_lines
from dtnode.node.data_folder import DataFolder
from tests.cli.conftest import ALICE, BOB, Command, FakeNode, InTurn

ROOM = {
    "room_id": "!boat",
    "name": "boat\x1b[31m",
    "version": "12",
    "kind": "complete",
    "membership": "join",
    "events": 12,
    "tips": ["$t"],
    "tip_state": "ab" * 32,
    "gaps": 1,
    "held": 2,
    "members": 3,
    "states_differ": True,
    "note": None,
}
STATUS: dict[str, Any] = {
    "user_id": ALICE,
    "server_name": "aliceskey",
    "api_url": "http://127.0.0.1:20000",
    "dtnode_version": "0.1.0",
    "clock": {"now_ms": 1_764_000_000_000, "trusted": False, "note": "an hour behind bob's"},
    "peers": [
        {
            "server_name": "bobskey",
            "user_id": BOB,
            "name": "bob",
            "added": True,
            "blocked": False,
            "connected": True,
            "via": ["tcp-1"],
            "last_contact_ms": 1_763_999_999_000,
            "lacks": 0,
        },
        {
            "server_name": "carolskey",
            "user_id": None,
            "name": None,
            "added": False,
            "blocked": False,
            "connected": False,
            "via": [],
            "last_contact_ms": 1_763_989_200_000,
            "lacks": 7,
        },
    ],
    "links": [
        {
            "id": "tcp-1",
            "kind": "tcp",
            "options": {"listen": "127.0.0.1:4000"},
            "state": "listening",
            "detail": None,
            "peers": ["bobskey"],
        }
    ],
    "rooms": [ROOM, ROOM | {"name": "pier", "room_id": "!pier", "membership": "invite"}],
}


PEER: dict[str, Any] = STATUS["peers"][0]

# --- without a node


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["peer", "list"],
        ["room", "create", "boat"],
        ["room", "list"],
        ["send", "boat", "hello"],
        ["read", "boat"],
        ["gaps", "boat"],
    ],
)
def test_without_a_running_node_it_says_how_to_start_one(
    run: Command, folder: DataFolder, command: list[str]
) -> None:
    result = run(*command)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "Error: No node is running for this folder."
        f" Start it with: dtnode --data {folder.path} run\n"
    )


def test_a_program_on_the_port_of_a_stopped_node_gets_no_token(
    run: Command, folder: DataFolder, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataFolder, "is_running", lambda self: False)
    assert run("status").exit_code == 1
    assert node.requests == []


def test_a_node_that_does_not_listen_yet(run: Command, folder: DataFolder) -> None:
    with folder.lock():
        result = run("status")
    assert result.exit_code == 1
    assert "isn't answering yet" in result.stderr


def test_a_node_that_goes_away(run: Command, node: FakeNode) -> None:
    node.hang_up_on = "/status"
    result = run("status")
    assert result.exit_code == 1
    assert "The node went away" in result.stderr


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((403, "M_FORBIDDEN", "You have power 0, need 50.\nAsk alice."), "need 50.\nAsk alice."),
        ((401, "M_UNKNOWN_TOKEN", "no"), "start it again"),
        ((500, "M_UNKNOWN", "\x1b[2Jboom"), "\\x1b[2Jboom"),
        (b"not json", "HTTP status 200"),
    ],
)
def test_errors_of_the_node_are_told_without_traceback(
    run: Command, node: FakeNode, answer: Any, says: str
) -> None:
    node.on("GET", "/_dtnode/v1/status", answer)
    result = run("status")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert says in result.stderr
    assert len(result.stderr.splitlines()) <= 2


# --- init, status, password


def test_init_prints_who_you_are_and_what_the_name_means(run: Command, tmp_path: Path) -> None:
    result = run("--data", str(tmp_path / "new"), "init", "--user", "bob")
    identity = DataFolder(tmp_path / "new").identity
    assert result.exit_code == 0
    assert f"You are {identity.user_id}\n" in result.stdout
    assert "never will" in result.stdout


def test_init_json(run: Command, tmp_path: Path) -> None:
    where = str(tmp_path / "new")
    result = run("--data", where, "init", "--user", "bob", "--domain", "mesh.example.org", "--json")
    identity = DataFolder(where).identity
    assert json.loads(result.stdout) == {
        "user_id": identity.user_id,
        "server_name": identity.server_name,
        "data": where,
        "domain": "mesh.example.org",
    }


@pytest.mark.parametrize("options", [["--user", "Bob"], ["--user", "b", "--domain", "A"], []])
def test_init_usage(run: Command, tmp_path: Path, options: list[str]) -> None:
    result = run("--data", str(tmp_path / "new"), "init", *options)
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


def test_init_twice(run: Command) -> None:
    result = run("init", "--user", "bob")
    assert result.exit_code == 1
    assert "never overwritten" in result.stderr


def test_the_data_folder_comes_from_the_environment_too(run: Command, tmp_path: Path) -> None:
    result = run("status", env={"DTNODE_DATA": str(tmp_path / "nothing")})
    assert "No node is running" in result.stderr  # --data wins


def test_status_json_is_the_nodes_answer(run: Command, node: FakeNode) -> None:
    node.on("GET", "/_dtnode/v1/status", STATUS)
    assert json.loads(run("status", "--json").stdout) == STATUS


def test_status_in_words(run: Command, node: FakeNode, folder: DataFolder) -> None:
    node.on("GET", "/_dtnode/v1/status", STATUS)
    out = run("status").stdout
    for words in (
        f"You are {ALICE}",
        str(folder.path),
        "http://127.0.0.1:20000",
        "not trusted; an hour behind bob's",
        "bob (bobskey): connected over tcp-1; has everything it may have from here",
        "carolskey: not connected, last contact 3 h ago; lacks 7 events",
        "tcp-1 (tcp; listen 127.0.0.1:4000): listening, with bob",
        "boat\\x1b[31m: 12 events, 3 members",
        "complete: everything since its beginning is here",
        "1 event missing; see: dtnode gaps '!boat'; 2 events held",
        "ab" * 32,
        "The tip state differs",
        "pier: you are invited; join with: dtnode room join '!pier'",
    ):
        assert words in out
    assert "\x1b" not in out
    assert node.requests[0].token == f"Bearer {folder.read_api_token()}"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"connected": False, "last_contact_ms": None}, "bob (bobskey): never met yet"),
        ({"blocked": True}, "bob (bobskey): blocked, nothing is exchanged with it"),
        ({"via": [], "lacks": None}, "bob (bobskey): connected"),
    ],
)
def test_a_peer_in_words(change: dict[str, Any], says: str) -> None:
    assert peer_line(PEER | change, 0) == says


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"membership": "leave"}, "3 members, you left it"),
        ({"membership": "ban"}, "3 members, you are banned from it"),
        ({"kind": "invited"}, "its history isn't here yet"),
        ({"gaps": 0, "held": 0}, "    no gaps"),
        ({"note": "your invite was revoked"}, "    your invite was revoked"),
        ({"name": ""}, "(no name): 12 events"),
        ({"clear_links": "yes"}, "clear and open links too, where others can read it"),
        ({"clear_links": "ended"}, "It became encrypted, so it doesn't go over clear"),
    ],
)
def test_a_room_in_words(change: dict[str, Any], says: str) -> None:
    lines = room_lines(ROOM | change)
    assert any(says in line for line in lines)


def test_a_link_in_words() -> None:
    link = {"id": "tcp-1", "kind": "tcp", "options": {"listen": "h:1"}, "state": "failed"}
    assert link_line(link | {"detail": "port 1 is in use"}, {}) == (
        "tcp-1 (tcp; listen h:1): failed, port 1 is in use"
    )
    assert link_line(link | {"cipher": "sealed"}, {}) == "tcp-1 (tcp; listen h:1): failed"
    clear, open_ = (link_line(link | {"cipher": cipher}, {}) for cipher in ("clear", "open"))
    assert clear == "tcp-1 (tcp; listen h:1; clear, others can read it): failed"
    assert open_ == "tcp-1 (tcp; listen h:1; open, anyone can read it): failed"
    link |= {"state": "listening", "peers": ["k1", "k2", "k3", "k4"]}
    assert link_line(link, {"k1": "bob", "k2": "ann", "k3": "ann", "k4": ""}).endswith(
        "listening, with bob, k2, k3, k4"
    )


def test_status_of_a_new_node_says_what_comes_next(run: Command, node: FakeNode) -> None:
    node.on("GET", "/_dtnode/v1/status", STATUS | {"peers": [], "links": [], "rooms": []})
    out = run("status").stdout
    assert "dtnode peer add" in out
    assert "dtnode link add" in out
    assert "dtnode room create" in out


def test_password(run: Command, folder: DataFolder) -> None:
    old = folder.read_client_password()
    assert run("password").stdout == old + "\n"
    new = run("password", "--new").stdout.strip()
    assert new != old
    answer = json.loads(run("password", "--json").stdout)
    assert answer["password"] == new == folder.read_client_password()
    assert answer["user_id"] == folder.identity.user_id


# --- peers


def test_peer_commands_ask_the_right_things(run: Command, node: FakeNode) -> None:
    node.on("POST", "/_dtnode/v1/peers", PEER)
    node.on("POST", "/_dtnode/v1/peers/bob", InTurn([PEER, PEER, PEER | {"blocked": True}, PEER]))
    node.on("DELETE", "/_dtnode/v1/peers/bob", {})
    node.on("GET", "/_dtnode/v1/peers", {"peers": [PEER]})
    assert run("peer", "add", "bobskey", "--name", "bob").stdout == "bob: bobskey (connected)\n"
    assert json.loads(run("peer", "name", "bob", "bobby", "--json").stdout) == PEER
    run("peer", "name", "bob", "bobby")
    assert run("peer", "block", "bob").stdout == "bob: bobskey (blocked)\n"
    run("peer", "unblock", "bob")
    assert run("peer", "remove", "bob").exit_code == 0
    assert [request.body for request in node.requests if request.method != "GET"] == [
        {"peer": "bobskey", "name": "bob"},
        {"name": "bobby"},
        {"name": "bobby"},
        {"blocked": True},
        {"blocked": False},
        None,
    ]


def test_a_peer_may_be_given_as_a_user(run: Command, node: FakeNode) -> None:
    node.on("GET", "/_dtnode/v1/resolve", {"user_id": BOB})
    node.on("POST", "/_dtnode/v1/peers/bobskey", PEER | {"blocked": True})
    assert run("peer", "block", BOB).stdout == "bob: bobskey (blocked)\n"
    assert node.requests[-2].query == {"user": BOB}


def test_a_peer_that_nobody_is_called(run: Command, node: FakeNode) -> None:
    node.on("POST", "/_dtnode/v1/peers/bo", (404, "M_NOT_FOUND", "no peer is called 'bo'"))
    node.on("GET", "/_dtnode/v1/resolve", (404, "M_NOT_FOUND", "nobody here is called 'bo'"))
    assert run("peer", "block", "bo").stderr == "Error: no peer is called 'bo'\n"
    node.on("GET", "/_dtnode/v1/resolve", (400, "M_INVALID_PARAM", "2 people fit 'bo'"))
    assert run("peer", "block", "bo").stderr == "Error: 2 people fit 'bo'\n"


def test_a_name_that_another_peer_has(run: Command, node: FakeNode) -> None:
    node.on("POST", "/_dtnode/v1/peers/bobskey", PEER)
    node.on("GET", "/_dtnode/v1/peers", {"peers": [PEER, PEER | {"server_name": "otherkey"}]})
    result = run("peer", "name", "bobskey", "bob")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: This is also the name of otherkey.")


def test_peer_list(run: Command, node: FakeNode) -> None:
    node.on("GET", "/_dtnode/v1/peers", {"peers": STATUS["peers"]})
    assert json.loads(run("peer", "list", "--json").stdout) == STATUS["peers"]
    lines = run("peer", "list").stdout.splitlines()
    assert lines[1].split("\t")[:4] == ["bob", "bobskey", BOB, "connected"]
    assert lines[2].split("\t")[1:4] == ["carolskey", "", "known from a room"]
