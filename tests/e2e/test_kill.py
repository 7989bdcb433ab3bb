"""Nothing acknowledged is lost by kill -9, to a client or to a peer, and nothing is there twice."""

from __future__ import annotations

import collections
import http.client
import json
import random
import threading
import time
from pathlib import Path
from urllib.parse import quote

from dtnode.testing.demo.processes import NodeProcess
from tests.e2e.conftest import MakeNode
from tests.e2e.lines import agree, eventually, together

KILLS = 50
RECEIVER_KILLS = 12
SENDERS = 3
BATCH = 4  # messages in one request, as `send -` makes them; one of several sizes


class Sender(threading.Thread):
    """Says one thing after another by the HTTP API, never the same twice; `acknowledged` holds what
    the node said is durable."""

    def __init__(
        self, node: NodeProcess, room_id: str, number: int, *, pause_s: float = 0.0
    ) -> None:
        super().__init__()
        self._pause_s = pause_s
        self.acknowledged: list[str] = []
        self._address = node.api_address()
        self._path = f"/_dtnode/v1/rooms/{quote(room_id, safe='')}/send"
        self._number = number
        self._ended = threading.Event()

    def run(self) -> None:
        said = 0
        while not self._ended.is_set():
            count = 1 if self._number % 2 else BATCH
            texts = [f"sender {self._number} message {said + i}" for i in range(count)]
            said += count
            if self._send(texts):
                self.acknowledged += texts
                self._ended.wait(self._pause_s)
            else:
                self._ended.wait(0.02)  # it is down

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _send(self, texts: list[str]) -> bool:
        host, port, token = self._address
        connection = http.client.HTTPConnection(host, port, timeout=10)
        events = [
            {"type": "m.room.message", "content": {"msgtype": "m.text", "body": text}}
            for text in texts
        ]
        try:
            connection.request(
                "POST",
                self._path,
                json.dumps({"events": events}),
                {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        assert response.status == 200, answer
        assert len(answer["event_ids"]) == len(texts)
        return True


def test_fifty_kills_of_a_busy_node_lose_nothing_acknowledged(make: MakeNode) -> None:
    rng = random.Random(1)
    node = make("alice").run()
    room_id = node.cli("room", "create", "busy").strip()
    senders = [Sender(node, room_id, number) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.0, 0.25))  # random moments are the point
            node.kill()
            node.run()
    finally:
        for sender in senders:
            sender.end()
    have = collections.Counter(node.texts("busy"))
    acknowledged = [text for sender in senders for text in sender.acknowledged]
    assert len(acknowledged) > 5 * KILLS, "it wasn't busy"
    assert [text for text in acknowledged if have[text] != 1] == []
    assert [text for text, count in have.items() if count > 1] == []
    room = node.room(room_id)
    assert room is not None
    assert (room["rejected"], room["soft_failed"], room["held"], room["gaps"]) == (0, 0, 0, 0)


def test_a_killed_receiver_has_all_that_it_acknowledged(make: MakeNode, tmp_path: Path) -> None:
    """What alice says that bob has, bob has on his disk, whenever bob is killed."""
    rng = random.Random(2)
    alice, bob = make("alice"), make("bob")
    room_id = together(alice, bob, "busy")
    sender = Sender(alice, room_id, 0, pause_s=0.02)  # reading a huge room would take the time
    sender.start()
    claims = 0
    try:
        for _ in range(RECEIVER_KILLS):
            time.sleep(rng.uniform(0.1, 0.6))
            bob.kill()
            claimed = known_at_both(alice)
            claims = max(claims, len(claimed))
            assert claimed - set(bodies_on_disk(bob, tmp_path / "bob.jsonl")) == set()
            bob.run()
    finally:
        sender.end()
    assert claims > 0, "bob acknowledged nothing"
    eventually(lambda: agree(alice, bob, room_id), "bob catches up")
    assert bob.texts("busy") == alice.texts("busy")
    assert len(set(bob.texts("busy"))) == len(bob.texts("busy"))
    assert set(sender.acknowledged) <= set(bob.texts("busy"))
    eventually(lambda: known_at_both(alice) == set(alice.texts("busy")), "alice knows it")


def known_at_both(node: NodeProcess) -> set[str]:
    """Its own messages that another member's node is said to have."""
    return {
        event["content"]["body"]
        for event in node.events("busy")
        if event["type"] == "m.room.message"
        and event["unsigned"]["org.dtnode"].get("known_at", 1) > 1
    }


def bodies_on_disk(node: NodeProcess, file: Path) -> list[str]:
    """What is in the store of a node that doesn't run."""
    node.cli("export", "busy", str(file))
    pdus = [json.loads(line) for line in file.read_text("utf-8").splitlines()[1:]]
    return [pdu["content"]["body"] for pdu in pdus if pdu["type"] == "m.room.message"]
