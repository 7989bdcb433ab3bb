"""The command contract of `dtnode run` and of commands with and without it."""

from __future__ import annotations

import shlex
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from dtnode.testing.demo.processes import (
    READY_S,
    STOP_S,
    dial,
    free_port,
    introduce,
    listen,
    start_all,
)
from tests.e2e.conftest import MakeNode
from tests.e2e.lines import connected, eventually, peer, together


@pytest.mark.parametrize(
    "line",
    [
        "status",
        "room list",
        "room create boat",
        "peer list",
        "send boat hello",
        "read boat",
        "gaps boat",
        "room invite boat @a:b",
    ],
)
def test_without_a_node_commands_say_how_to_start_it(make: MakeNode, line: str) -> None:
    node = make("alice")
    done = node.try_cli(*line.split())
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"dtnode --data {shlex.quote(str(node.data))} run" in done.stderr


def test_one_line_says_that_it_is_ready_and_where(make: MakeNode) -> None:
    node = make("alice").run()
    url = node.status()["api_url"]
    out = (node.data.parent / "alice.out").read_text()
    assert out.count("\n") == 1
    assert node.user_id in out
    assert url in out


def test_a_second_node_on_the_same_folder_is_refused(make: MakeNode) -> None:
    node = make("alice").run()
    second = node.try_cli("run")
    assert second.returncode == 1
    assert "running" in second.stderr
    assert node.status()["user_id"] == node.user_id


def test_ready_at_once_after_kill_9_on_the_same_port(make: MakeNode) -> None:
    node = make("alice").run()
    address = listen(node)
    url = node.status()["api_url"]
    for _ in range(3):
        node.kill()
        began = time.monotonic()
        node.run()
        assert time.monotonic() - began < READY_S
        assert node.status()["api_url"] == url
        eventually(lambda: node.status()["links"][0]["state"] == "listening", address)


def test_nodes_share_a_machine_and_keep_their_ports(make: MakeNode) -> None:
    nodes = [make(name) for name in ("alice", "bob", "carol")]
    start_all(nodes)
    urls = [node.status()["api_url"] for node in nodes]
    assert len(set(urls)) == 3
    assert {urlsplit(url).hostname for url in urls} == {"127.0.0.1"}
    for node in nodes:
        node.stop()
    start_all(reversed(nodes))
    assert [node.json("status")["api_url"] for node in nodes] == urls


def test_sigterm_ends_it_soon_with_long_polls_and_links_open(make: MakeNode) -> None:
    alice, bob = make("alice"), make("bob")
    together(alice, bob, "boat")
    polls = [
        subprocess.Popen(
            alice.command("read", "boat", "--follow"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        for poll in polls:
            assert poll.stdout is not None
            assert poll.stdout.readline()  # it has printed what is there, and waits for more
        assert alice.stop() < STOP_S
        assert bob.stop() < STOP_S
    finally:
        for poll in polls:
            poll.kill()
            poll.communicate()


def test_a_running_node_takes_links_up_and_down_at_once(make: MakeNode) -> None:
    alice, bob = make("alice"), make("bob")
    start_all((alice, bob))
    introduce(alice, bob)
    link = dial(bob, listen(alice))
    eventually(lambda: connected(alice, bob) and connected(bob, alice), "the link is up")
    bob.cli("link", "remove", link)
    assert bob.status()["links"] == []
    eventually(lambda: not connected(alice, bob), "the link is down")


def test_a_link_that_finds_nobody_says_so_and_goes_on(make: MakeNode) -> None:
    alice, bob = make("alice"), make("bob")
    start_all((alice, bob))
    introduce(alice, bob)
    address = f"127.0.0.1:{free_port()}"
    link = dial(bob, address)
    eventually(lambda: bob.link(link)["detail"] is not None, "it says that nobody answers")
    assert bob.link(link)["state"] == "dialling"
    alice.cli("link", "add", "tcp", "--listen", address)
    eventually(lambda: connected(bob, alice), "it dialled again")


def test_a_stranger_gets_known_without_a_restart(make: MakeNode) -> None:
    alice, bob = make("alice"), make("bob")
    start_all((alice, bob))
    alice.cli("room", "create", "secret")
    bob.cli("peer", "add", alice.server_name)
    link = dial(bob, listen(alice))
    eventually(
        lambda: bob.link(link)["state"] == "dialling" and bob.link(link)["detail"],
        "alice hangs up on a stranger",
    )
    assert peer(bob, alice)["last_contact_ms"] is None
    assert peer(alice, bob) == {}
    alice.cli("peer", "add", bob.server_name)
    eventually(lambda: connected(alice, bob) and connected(bob, alice), "bob is known")
    assert bob.status()["rooms"] == []


def test_accept_anyone_lets_strangers_in_who_learn_no_room(make: MakeNode) -> None:
    alice, bob = make("alice"), make("bob")
    start_all((alice, bob))
    room_id = alice.cli("room", "create", "secret").strip()
    address = f"127.0.0.1:{free_port()}"
    alice.cli("link", "add", "tcp", "--listen", address, "--accept", "anyone")
    bob.cli("link", "add", "tcp", "--dial", address, "--peer", alice.server_name)
    eventually(lambda: connected(bob, alice), "bob is let in")
    refused = bob.try_cli("room", "join", room_id)
    assert refused.returncode == 1
    assert bob.status()["rooms"] == []
