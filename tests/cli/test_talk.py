"""`dtnode send` and `read`: every line once or a word about it, every event whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dtnode.cli import talk
from dtnode.cli.api import NodeApi
from tests.cli.conftest import BOB, Command, FakeNode, InTurn, Request


def event(body: str, number: int = 1) -> dict[str, Any]:
    return {
        "event_id": f"${number}",
        "type": "m.room.message",
        "sender": BOB,
        "origin_server_ts": 1_764_000_000_000,
        "content": {"msgtype": "m.text", "body": body},
    }


# --- send

SEND = "/_dtnode/v1/rooms/!boat/send"


def accept(request: Request) -> Any:
    return {"event_ids": [f"${number}" for number in range(len(request.body["events"]))]}


def bodies(node: FakeNode) -> list[list[str]]:
    return [
        [event["content"]["body"] for event in request.body["events"]]
        for request in node.requests
        if request.path == SEND
    ]


def test_send(run: Command, node: FakeNode) -> None:
    node.on("POST", SEND, accept)
    result = run("send", "boat", "wind 25 knots ✓")
    assert (result.exit_code, result.stdout) == (0, "")
    assert node.body("POST", SEND) == {
        "events": [
            {"type": "m.room.message", "content": {"msgtype": "m.text", "body": "wind 25 knots ✓"}}
        ]
    }
    assert run("send", "boat", "--json", "again").stdout == '{"event_id":"$0"}\n'
    assert run("send", "boat", "--", "-5 degrees").exit_code == 0


def test_send_each_line(run: Command, node: FakeNode) -> None:
    node.on("POST", SEND, accept)
    lines = [f"line {number}" for number in range(450)]
    text = "\n".join(lines[:3]) + "\r\n\n   \n" + "\n".join(lines[3:])  # no newline at the end
    assert run("send", "boat", "-", input=text).exit_code == 0
    assert [line for batch in bodies(node) for line in batch] == lines
    assert max(len(batch) for batch in bodies(node)) <= talk.CHUNK_LINES


def test_nothing_to_send(run: Command, node: FakeNode) -> None:
    assert run("send", "boat", "-", input="\n\n").exit_code == 0
    assert bodies(node) == []
    assert run("send", "boat", "  ").exit_code == 2
    assert run("send", "boat").exit_code == 2


def test_a_refused_batch_says_how_much_is_in(run: Command, node: FakeNode) -> None:
    node.on("POST", SEND, InTurn([{"event_ids": []}, (413, "M_TOO_LARGE", "Too large.")]))
    result = run("send", "boat", "-", input="line\n" * 250)
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: Too large.\nThe first 200 messages are in; the next 50 aren't.\n"
    )


def test_a_lost_answer_is_not_taken_for_a_refusal(run: Command, node: FakeNode) -> None:
    node.hang_up_on = "/send"
    result = run("send", "boat", "-", input="line\n" * 3)
    assert result.exit_code == 1
    assert "No messages are in; whether the next 3 are isn't known" in result.stderr
    assert node.requests[1:] == []  # never repeated by itself


@pytest.mark.parametrize(
    ("line", "says"),
    [(b"x" * 65_536, "Line 2 is longer"), (b"x" * 200_000, "Line 2 is"), (b"\xff", "isn't UTF-8")],
)
def test_a_line_that_cannot_be_a_message_stops_there(
    run: Command, node: FakeNode, line: bytes, says: str
) -> None:
    node.on("POST", SEND, accept)
    result = run("send", "boat", "-", input=b"good\n" + line + b"\nnever\n")
    assert result.exit_code == 1
    assert says in result.stderr
    assert "The first 1 messages are in" in result.stderr
    assert bodies(node) == [["good"]]


class Trickle:
    """Standard input that gives what arrived, a piece at a time."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read1(self, size: int, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_a_slow_source_is_sent_as_it_comes() -> None:
    batches = talk.line_batches(Trickle(b"one\ntw", b"o\n", b"\n", b"three\nfour\n"))
    assert list(batches) == [["one"], ["two"], ["three", "four"]]


# --- read

EVENTS = "/_dtnode/v1/rooms/!boat/events"


def test_read_json_is_one_event_a_line(run: Command, node: FakeNode) -> None:
    events = [event("ahoy\n\u202e✓", 1), event("x" * 500, 2)]
    node.on("GET", EVENTS, {"events": events, "cursor": "1"})
    lines = run("read", "boat", "--json", "--limit", "100000").stdout.splitlines()
    assert [json.loads(line) for line in lines] == events
    assert "✓" in lines[0]
    assert node.requests[-1].query == {"limit": "100000"}


def test_read_in_words(run: Command, node: FakeNode) -> None:
    node.on("GET", EVENTS, {"events": [event("ahoy " + "x" * 300)], "cursor": "1"})
    out = run("read", "boat").stdout
    assert out.endswith(f"  bob  ahoy {'x' * 300}\n")
    assert out.count("\n") == 1


@pytest.mark.parametrize("limit", ["0", "100001", "x"])
def test_read_limits(run: Command, limit: str) -> None:
    assert run("read", "boat", "--limit", limit).exit_code == 2


def test_follow_prints_what_arrives_until_interrupted(
    run: Command, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        {"events": [event("one")], "cursor": "1"},
        {"events": [], "cursor": "1"},
        {"events": [event("two")], "cursor": "2"},
    ]
    node.on("GET", EVENTS, InTurn(answers))
    get = NodeApi.get

    def interrupted(self: NodeApi, path: str, **query: Any) -> Any:
        if path.endswith("events") and not answers:
            raise KeyboardInterrupt
        return get(self, path, **query)

    monkeypatch.setattr(NodeApi, "get", interrupted)
    result = run("read", "boat", "--follow")
    assert result.exit_code == 0
    assert [line.split("  ")[-1] for line in result.stdout.splitlines()] == ["one", "two"]
    polls = [request.query for request in node.requests if request.path == EVENTS]
    assert [poll.get("after") for poll in polls] == [None, "1", "1"]
