"""`dtnode link trace`: what goes over links, line by line, and where the bytes went."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dtnode.cli.api import NodeApi
from tests.cli.conftest import Command, FakeNode, InTurn

STATUS, TRACE, TALLY = "/_dtnode/v1/status", "/_dtnode/v1/trace", "/_dtnode/v1/tally"
BEN, CARA = "b" * 52, "c" * 52
BEN_PEER = {"server_name": BEN, "name": None, "label": "ben", "user_id": f"@ben:{BEN}"}
CARA_PEER = {"server_name": CARA, "name": "cara\x1b[2J", "label": None, "user_id": None}
LINKS = [
    {"id": "tcp-1", "state": "listening", "cipher": "sealed", "peers": [BEN]},
    {"id": "radio-1", "state": "dialling", "cipher": "clear", "peers": []},
]


def entry(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "number": number,
        "at_ms": 1_764_000_000_007 + number,
        "link_id": "tcp-1",
        "peer": BEN,
        "incoming": True,
        "layer": "frame",
        "size_bytes": 96,
        "text": "data whole: header 1, payload 87, tag 8",
        **changed,
    }


MESSAGE = entry(2, layer="message", incoming=False, size_bytes=87, text="events batch=3 data=84 B")
SESSION = entry(3, layer="session", peer=None, incoming=None, size_bytes=0, text="a link is up")


def answer(at: int, *entries: dict[str, Any], lost: int = 0) -> dict[str, Any]:
    return {"entries": list(entries), "next": at, "lost": lost}


@pytest.fixture
def traced(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the node answers, one after another; then the person at it types Ctrl-C."""
    answers: list[Any] = []
    node.on("GET", STATUS, {"peers": [BEN_PEER], "links": LINKS})
    node.on("GET", TRACE, InTurn(answers))
    get = NodeApi.get

    def interrupted(self: NodeApi, path: str, **query: Any) -> Any:
        if path == TRACE and not answers:
            raise KeyboardInterrupt
        return get(self, path, **query)

    monkeypatch.setattr(NodeApi, "get", interrupted)
    return answers


def polls(node: FakeNode) -> list[dict[str, str]]:
    return [request.query for request in node.requests if request.path == TRACE]


def test_lines_as_they_come_until_interrupted(
    run: Command, node: FakeNode, traced: list[Any]
) -> None:
    traced += [answer(1), answer(3, entry(1), MESSAGE), answer(3), answer(4, SESSION, lost=12)]
    result = run("link", "trace")
    assert result.exit_code == 0
    first, second, third = result.stdout.splitlines()
    assert first[12:] == (
        " tcp-1 < ben         96 B frame   data whole: header 1, payload 87, tag 8"
    )
    assert first[2::3][:2] == "::"
    assert first[8:12] == ".008"
    assert second[12:] == " tcp-1 > ben         87 B message events batch=3 data=84 B"
    assert third[12:] == " tcp-1 - ?                session a link is up"
    watching, lost = result.stderr.splitlines()
    assert watching == (
        "Watching tcp-1 (listening, with ben), radio-1 (dialling). Waiting for what goes over it;"
        " Ctrl-C ends this."
    )
    assert lost == "(12 went by too fast to be shown)"
    assert [poll.get("after") for poll in polls(node)] == [None, "1", "3", "3"]
    assert all("link" not in poll for poll in polls(node))


def test_one_link_and_one_layer(run: Command, node: FakeNode, traced: list[Any]) -> None:
    for option, layers in (("--frames", ["frame"]), ("--messages", ["message"])):
        traced += [answer(1), answer(4, entry(1), MESSAGE, SESSION)]
        result = run("link", "trace", "tcp-1", option, "--json")
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert [one["layer"] for one in found] == layers
        assert result.stderr == ""
    assert {poll["link"] for poll in polls(node)} == {"tcp-1"}
    assert found == [MESSAGE]


def test_a_peer_that_comes_is_called_by_name_and_harmless(
    run: Command, node: FakeNode, traced: list[Any]
) -> None:
    met = InTurn([{"peers": [], "links": LINKS}, {"peers": [CARA_PEER], "links": LINKS}])
    node.on("GET", STATUS, met)
    hostile = entry(1, peer=CARA, text="byes reason=\x1b[2J\u202e", at_ms=10**20)
    traced += [answer(1), answer(2, hostile)]
    line = run("link", "trace").stdout
    assert line.startswith("--:--:--.--- tcp-1 < cara\\x1b[2J ")
    assert line.endswith("byes reason=\\x1b[2J\\u202e\n")


def test_a_node_without_links_is_watched_all_the_same(
    run: Command, node: FakeNode, traced: list[Any]
) -> None:
    node.on("GET", STATUS, {"peers": [], "links": []})
    traced += [answer(1), answer(1)]
    result = run("link", "trace")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no links; those that are added are watched too" in result.stderr


@pytest.mark.parametrize("options", [(), ("--summary",)])
def test_a_link_that_is_not_there(run: Command, node: FakeNode, options: tuple[str, ...]) -> None:
    why = (404, "M_NOT_FOUND", "there is no link 'tcp-9'; the links here: tcp-1, radio-1")
    node.on("GET", TRACE, why)
    node.on("GET", TALLY, why)
    result = run("link", "trace", "tcp-9", *options)
    assert result.exit_code == 1
    assert "there is no link 'tcp-9'; the links here: tcp-1, radio-1" in result.stderr


@pytest.mark.parametrize(
    "options", [("--frames", "--messages"), ("--summary", "--frames"), ("--summary", "--messages")]
)
def test_options_that_contradict(run: Command, options: tuple[str, ...]) -> None:
    assert run("link", "trace", *options).exit_code == 2


CONNECTION = {
    "peer": BEN,
    "up_since_ms": 1_764_000_000_000,
    "frames_in": 1,
    "frames_out": 3,
    "bytes_in": 50,
    "bytes_out": 400,
    "events_in": 0,
    "events_out": 4,
    "turnarounds": 1,
    "rows": [
        {"incoming": False, "kind": "events", "count": 4, "bytes": 300},
        {"incoming": False, "kind": "tags", "count": 3, "bytes": 100},
        {"incoming": True, "kind": "handshakes", "count": 1, "bytes": 50},
    ],
}


def tallied(*connections: dict[str, Any]) -> dict[str, Any]:
    link = {"id": "tcp-1", "cipher": "sealed", "state": "listening"}
    return {"links": [{**link, "connections": list(connections)}]}


def test_summary(run: Command, node: FakeNode) -> None:
    node.on("GET", STATUS, {"peers": [BEN_PEER], "links": LINKS})
    node.on("GET", TALLY, tallied(CONNECTION))
    lines = run("link", "trace", "--summary").stdout.splitlines()
    assert lines[0].startswith("tcp-1 (sealed) with ben, up since 2025-11-2")
    assert lines[1] == "Sent: 400 bytes in 3 frames, 4 events"
    assert lines[2:5] == [
        "what\tcount\tbytes\tshare\tbytes an event",
        "events\t4\t300\t75.0 %\t75.0",
        "tags\t3\t100\t25.0 %\t25.0",
    ]
    assert lines[5] == "Received: 50 bytes in 1 frame, no events"
    assert lines[7] == "handshakes\t1\t50\t100.0 %\t"
    assert any("over TCP 1 to 3 bytes" in line for line in lines)


def test_summary_as_data(run: Command, node: FakeNode) -> None:
    node.on("GET", TALLY, tallied(CONNECTION))
    (link,) = json.loads(run("link", "trace", "tcp-1", "--summary", "--json").stdout)
    (connection,) = link["connections"]
    assert [row["share_percent"] for row in connection["rows"]] == [75.0, 25.0, 100.0]
    assert [row["bytes_per_event"] for row in connection["rows"]] == [75.0, 25.0, None]
    assert {**connection, "rows": None} == {**CONNECTION, "rows": None}
    (request,) = node.requests
    assert request.query == {"link": "tcp-1"}


def test_summary_of_what_is_not_connected(run: Command, node: FakeNode) -> None:
    node.on("GET", STATUS, {"peers": [], "links": []})
    node.on("GET", TALLY, tallied())
    assert run("link", "trace", "--summary").stdout == ("tcp-1 (listening): nobody is connected.\n")
    node.on("GET", TALLY, {"links": []})
    assert "no links" in run("link", "trace", "--summary").stdout
