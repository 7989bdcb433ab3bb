"""A large room from a file into a real node: killed on the way, resumed, checked, compacted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from dtnode.signer import KEY_ID
from dtnode.testing.demo.processes import wait_until
from tests.benchmarks.made_rooms import chat_room
from tests.e2e.conftest import MakeNode

MESSAGES = 6_000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = chat_room("12", MESSAGES)
    path = tmp_path_factory.mktemp("rooms") / "large.jsonl"
    header = json.dumps({"room_version": "12", "key_id": KEY_ID, "servers": {}}).encode()
    path.write_bytes(b"\n".join([header, *room.setup, *room.messages]))
    return path


def test_an_import_is_resumed_after_kill_9(make: MakeNode, file: Path) -> None:
    total = file.read_bytes().count(b"\n")
    alice = make("alice").run()

    def arrived() -> int:
        rooms = alice.status()["rooms"]
        return int(rooms[0]["events"]) if rooms else 0

    with subprocess.Popen(
        alice.command("import", str(file)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as first:
        # The node answers others meanwhile, and what came in is there already.
        assert wait_until(lambda: 0 < arrived() < total, 60.0, every_s=0.01) is not None
        assert first.poll() is None
        alice.kill()
        assert first.stderr is not None
        assert b"The node went away" in first.stderr.read()
    assert first.returncode == 1
    alice.run()
    kept = arrived()
    assert 0 < kept < total
    answer = alice.json("import", str(file))
    assert answer["duplicate"] == kept
    assert answer["accepted"] == total - kept
    assert (answer["rejected"], answer["dropped"], answer["held"]) == (0, 0, 0)
    assert arrived() == total

    room_id = answer["room_id"]
    limited = alice.json("room", "limit", room_id, "--keep", "100")
    assert limited["dropped"] > MESSAGES - 200
    alice.stop()
    report = alice.json("check")
    assert (report["found"], report["events"]) == (0, total)
    compacted = alice.json("compact")
    assert compacted["after_bytes"] < compacted["before_bytes"]
    assert alice.json("check")["found"] == 0
    alice.run()
    assert arrived() == total
    assert len([text for text in alice.texts(room_id) if text != "None"]) <= 100
