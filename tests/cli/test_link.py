"""`dtnode link`: the settings change with and without a running node."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

import pytest

import dtnode.link
from dtnode.cli.link import parse_pairs
from dtnode.config import LinkConfig
from dtnode.errors import ConfigError
from dtnode.link_info import CipherPolicy
from dtnode.matrix.server_names import server_name_from_key
from dtnode.node.data_folder import DataFolder
from tests.cli.conftest import Command, FakeNode, InTurn

BOB_SERVER = server_name_from_key(b"b" * 32)
RELOAD = "/_dtnode/v1/links/reload"


class Pigeon:
    """Somebody's transport, as a plug-in."""

    def __init__(self, options: Mapping[str, object]) -> None:
        if options.get("loft") == "none":
            raise ConfigError("a pigeon needs a loft")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = tuple(
        EntryPoint(name, value, dtnode.link.ENTRY_POINT_GROUP)
        for name, value in (
            ("tcp", "dtnode_transports.tcp:TcpTransport"),
            ("pigeon", f"{__name__}:Pigeon"),
        )
    )
    monkeypatch.setattr(dtnode.link, "_installed", lambda: points)


def links(folder: DataFolder) -> tuple[LinkConfig, ...]:
    return folder.read_config().links


def test_add_list_remove(run: Command, folder: DataFolder) -> None:
    assert run("link", "add", "tcp", "--listen", "127.0.0.1:4000").stdout == "tcp-1\n"
    added = run(
        *("link", "add", "tcp", "--dial", "[::1]:4000", "--peer", BOB_SERVER),
        *("--bitrate", "1200", "--json"),
    )
    assert json.loads(added.stdout) == {
        "id": "tcp-2",
        "kind": "tcp",
        "options": {"dial": "[::1]:4000", "bitrate": 1200},
        "peer": BOB_SERVER,
        "accept": "known",
        "cipher": "sealed",
    }
    assert added.stderr == ""
    assert [link.id for link in links(folder)] == ["tcp-1", "tcp-2"]
    assert run("link", "list").stdout.splitlines()[1] == (
        "tcp-1\ttcp\tlisten=127.0.0.1:4000\t\tknown\tsealed"
    )
    assert json.loads(run("link", "list", "--json").stdout)[1] == json.loads(added.stdout)
    assert run("link", "remove", "tcp-1").exit_code == 0
    assert [link.id for link in links(folder)] == ["tcp-2"]
    result = run("link", "remove", "tcp-1")
    assert result.exit_code == 1
    assert "The links here: tcp-2" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--listen", "127.0.0.1:1", "--dial", "127.0.0.1:2"],
        ["--listen", "127.0.0.1:1", "--peer", BOB_SERVER],
        ["--dial", "127.0.0.1:1", "--peer", "bob.example.org"],
        ["--dial", "127.0.0.1:1", "--peer", BOB_SERVER, "--accept", "anyone"],
        ["--listen", "127.0.0.1:1", "--bitrate", "0"],
        ["--listen", "127.0.0.1:1", "--accept", "nobody"],
        ["--listen", "127.0.0.1:1", "--cipher", "rot13"],
        ["--dial", "127.0.0.1:1", "--peer", BOB_SERVER, "--cipher", "open"],
        ["--listen", "nonsense"],
        ["--dial", "127.0.0.1:99999"],
    ],
)
def test_options_that_make_no_sense(run: Command, folder: DataFolder, options: list[str]) -> None:
    result = run("link", "add", "tcp", *options)
    assert result.exit_code == 2
    assert links(folder) == ()


@pytest.mark.parametrize(
    ("cipher", "words"),
    [
        ("clear", ["read what goes over it", "amateur radio", "encryption is forbidden"]),
        ("open", ["nobody in particular", "read all of it", "one way"]),
    ],
)
def test_a_link_that_others_can_read_comes_with_a_warning(
    run: Command, folder: DataFolder, cipher: str, words: list[str]
) -> None:
    result = run("link", "add", "tcp", "--listen", ":4000", "--cipher", cipher)
    assert (result.exit_code, result.stdout) == (0, "tcp-1\n")
    for word in (*words, "Warning: ", "dtnode room permit ROOM --clear-links yes"):
        assert word in result.stderr
    assert links(folder)[0].cipher is CipherPolicy(cipher)
    assert run("link", "list").stdout.endswith(f"\tknown\t{cipher}\n")
    assert json.loads(run("link", "list", "--json").stdout)[0]["cipher"] == cipher
    plugin = run("link", "add", "pigeon", "--cipher", cipher, "--loft", "north")
    assert "Warning: " in plugin.stderr
    assert links(folder)[1].cipher is CipherPolicy(cipher)
    assert links(folder)[1].options == {"loft": "north"}


def test_the_same_way_with_another_cipher_is_another_link(run: Command, folder: DataFolder) -> None:
    run("link", "add", "tcp", "--dial", "127.0.0.1:4000")
    assert run("link", "add", "tcp", "--dial", "127.0.0.1:4000", "--cipher", "clear").exit_code == 0
    assert [link.id for link in links(folder)] == ["tcp-1", "tcp-2"]


def test_a_node_does_not_dial_itself(run: Command, folder: DataFolder) -> None:
    own = folder.identity.server_name
    result = run("link", "add", "tcp", "--dial", "127.0.0.1:1", "--peer", own)
    assert result.exit_code == 2


def test_the_same_link_twice(run: Command, folder: DataFolder) -> None:
    run("link", "add", "tcp", "--listen", "127.0.0.1:4000")
    result = run("link", "add", "tcp", "--listen", "127.0.0.1:4000")
    assert result.exit_code == 1
    assert "tcp-1" in result.stderr
    assert len(links(folder)) == 1


def test_a_plugin_takes_its_own_options(run: Command, folder: DataFolder) -> None:
    result = run("link", "add", "pigeon", "--loft", "north", "--night-flight", "--accept", "anyone")
    assert result.stdout == "pigeon-1\n"
    assert links(folder)[0] == LinkConfig(
        id="pigeon-1",
        kind="pigeon",
        options={"loft": "north", "night_flight": True},
        accept="anyone",
    )
    result = run("link", "add", "pigeon", "--loft", "none")
    assert result.exit_code == 2
    assert "a pigeon needs a loft" in result.stderr


def test_an_unknown_kind(run: Command) -> None:
    result = run("link", "add", "smoke")
    assert result.exit_code == 2
    assert "pigeon" in run("link", "add", "--help").stdout


def test_pairs() -> None:
    assert parse_pairs(("--port", "/dev/ttyS0", "--baud=9600", "--echo", "--x-y", "-5")) == {
        "port": "/dev/ttyS0",
        "baud": "9600",
        "echo": True,
        "x_y": "-5",
    }


@pytest.mark.parametrize("words", [("port",), ("--port", "a", "b"), ("--a", "1", "--a", "2")])
def test_words_that_are_no_pairs(run: Command, words: tuple[str, ...]) -> None:
    assert run("link", "add", "pigeon", *words).exit_code == 2


# --- a running node


def reloaded(state: str, detail: str | None = None) -> dict[str, Any]:
    return {"links": [{"id": "tcp-1", "kind": "tcp", "state": state, "detail": detail}]}


def test_a_running_node_is_told(run: Command, node: FakeNode) -> None:
    node.on("POST", RELOAD, reloaded("listening"))
    result = run("link", "add", "tcp", "--listen", "127.0.0.1:4000")
    assert (result.stdout, result.stderr) == ("tcp-1\n", "")
    run("link", "remove", "tcp-1")
    assert [request.path for request in node.requests] == [RELOAD, RELOAD]


def test_a_link_that_does_not_come_up_is_told(run: Command, node: FakeNode) -> None:
    node.on("POST", RELOAD, reloaded("failed", "port 4000 is in use"))
    result = run("link", "add", "tcp", "--listen", "127.0.0.1:4000")
    assert result.exit_code == 0
    assert result.stdout == "tcp-1\n"
    assert "port 4000 is in use" in result.stderr


def test_a_listening_link_is_waited_for(run: Command, node: FakeNode) -> None:
    link = {"id": "tcp-1", "options": {"listen": ":4000"}, "state": "dialling", "detail": None}
    failed = link | {"state": "failed", "detail": "port 4000 is in use"}
    node.on("POST", RELOAD, {"links": [link]})
    node.on("GET", "/_dtnode/v1/status", InTurn([{"links": [link]}, {"links": [failed]}]))
    assert "port 4000 is in use" in run("link", "add", "tcp", "--listen", ":4000").stderr


def test_a_node_that_does_not_answer_leaves_the_settings_saved(
    run: Command, node: FakeNode, folder: DataFolder
) -> None:
    node.hang_up_on = "/reload"
    result = run("link", "add", "tcp", "--listen", "127.0.0.1:4000")
    assert result.exit_code == 0
    assert "The settings are saved" in result.stderr
    assert len(links(folder)) == 1
