"""`dtnode check`, `compact`, `room limit` on stores of real rooms."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from dtnode.node.data_folder import DataFolder
from dtnode.rooms.local import NewRoom
from dtnode.rooms.rooms import Rooms
from dtnode.store import Store
from tests.cli.conftest import Command, FakeNode
from tests.rooms.nodes import FakeClock

MESSAGES = 300


@pytest.fixture
def room_id(folder: DataFolder) -> str:
    """A room in the folder's store, known at no other node."""
    identity = folder.identity
    with closing(Store(folder.store_path)) as store:
        rooms = Rooms(store, identity.signer, identity.user_id, FakeClock(), bytes)
        room_id = rooms.create_room(NewRoom(version="12", name="boat"))
        with store.transaction():
            for number in range(MESSAGES):
                rooms.send(room_id, "m.room.message", {"body": f"{number} " + "x" * 2000})
    return room_id


def altered(folder: DataFolder) -> None:
    with closing(sqlite3.connect(folder.store_path)) as conn, conn:
        conn.execute("UPDATE events SET pdu = CAST(replace(pdu, '7 xxx', '8 xxx') AS BLOB)")


def test_check_of_a_whole_store(run: Command, folder: DataFolder, room_id: str) -> None:
    result = run("check")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Checked 1 room, ")
    assert "all is well" in result.stdout
    answer = json.loads(run("check", "--json").stdout)
    assert answer["found"] == 0
    assert answer["events"] > MESSAGES
    assert answer["advice"] is None


def test_check_of_an_altered_store(run: Command, folder: DataFolder, room_id: str) -> None:
    altered(folder)
    result = run("check")
    assert result.exit_code == 1
    assert "its content isn't what its hash says" in result.stdout
    assert "restore FILE" in result.stderr
    result = run("check", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert answer["found"] == len(answer["findings"]) > 0
    assert {one["room_id"] for one in answer["findings"]} == {room_id}


def test_check_of_a_damaged_file(run: Command, folder: DataFolder, room_id: str) -> None:
    data = bytearray(folder.store_path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xaa" * 4096
    folder.store_path.write_bytes(data)
    result = run("check")
    assert result.exit_code == 1
    assert "restore FILE" in result.stderr
    assert folder.store_path.read_bytes() == data


@pytest.mark.parametrize("command", ["check", "compact"])
def test_not_beside_a_running_node(
    run: Command, node: FakeNode, room_id: str, command: str
) -> None:
    result = run(command)
    assert result.exit_code == 1
    assert "running" in result.stderr
    assert "stop it first" in result.stderr.lower()


@pytest.mark.parametrize("command", ["check", "compact"])
def test_of_a_node_that_never_ran(run: Command, command: str) -> None:
    result = run(command)
    assert result.exit_code == 1
    assert "never started" in result.stderr


def test_compact_gives_disk_back_and_keeps_what_is_only_here(
    run: Command, folder: DataFolder, room_id: str
) -> None:
    with closing(Store(folder.store_path)) as store, store.transaction():
        store.rooms.set_limit(1, keep_events=5, keep_days=None)
        store.client_values.put("x", "large", bytes(1_000_000))
    with closing(Store(folder.store_path)) as store, store.transaction():
        store.client_values.remove("x", "large")
    result = json.loads(run("compact", "--json").stdout)
    assert result["before_bytes"] - result["after_bytes"] > 900_000
    assert result["after_bytes"] == folder.store_path.stat().st_size
    assert (result["dropped"], result["kept_own"]) == (0, MESSAGES - 5)
    text = run("compact").stdout
    assert "Dropped: no old messages; 295 messages of yours stayed" in text
    assert run("check").exit_code == 0


# --- room limit

LIMIT = "/_dtnode/v1/rooms/!boat/limit"


@pytest.mark.parametrize(
    ("options", "keep", "days", "words"),
    [
        (["--keep", "100"], 100, None, "newest 100 events"),
        (["--days", "1"], None, 1, "within the last 1 day\n"),
        (["--none"], None, None, "Kept: everything"),
    ],
)
def test_room_limit(
    run: Command,
    node: FakeNode,
    options: list[str],
    keep: int | None,
    days: int | None,
    words: str,
) -> None:
    answer = {"room_id": "!boat", "keep_events": keep, "keep_days": days}
    node.on("POST", LIMIT, {**answer, "dropped": 7, "kept_own": 1})
    node.on("GET", LIMIT, answer)
    result = run("room", "limit", "boat", *options)
    assert result.exit_code == 0, result.output
    assert words in result.stdout
    assert "Dropped: 7 old messages; 1 message of yours stayed" in result.stdout
    assert "compact` to give the disk back" in result.stdout
    assert node.body("POST", LIMIT) == {"keep_events": keep, "keep_days": days}
    shown = run("room", "limit", "boat")
    assert words in shown.stdout
    assert "Dropped" not in shown.stdout
    assert json.loads(run("room", "limit", "boat", "--json").stdout) == answer


def test_room_limit_takes_one_limit(run: Command, node: FakeNode) -> None:
    result = run("room", "limit", "boat", "--keep", "5", "--none")
    assert result.exit_code == 2
    assert "one limit" in result.stderr
    assert run("room", "limit", "boat", "--keep", "0").exit_code == 2
