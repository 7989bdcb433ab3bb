"""`dtnode export` and `audit` over the real pipeline, with the vector rooms as their food."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.node.data_folder import DataFolder
from dtnode.rooms.receive import Receiver
from dtnode.rooms.room_file import create_event, parse_header
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomKind, Store
from tests.cli.conftest import Command

ROOMS = Path(__file__).parents[1] / "vectors" / "rooms"
ROOM_FILE = ROOMS / "v12-1.jsonl.gz"


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return gzip.decompress(ROOM_FILE.read_bytes()).splitlines()


@pytest.fixture
def room_id(folder: DataFolder, lines: list[bytes]) -> Iterator[str]:
    """The folder's store holds the vector room and stays open, as a running node's would."""
    header = parse_header(lines[0])
    found = create_event(lines[1], header.version).room_id
    store = Store(folder.store_path)
    receiver = Receiver(store, RoomStates(store), header.key, own_name="")
    with store.transaction():
        room = store.rooms.add(found, ROOM_VERSIONS["12"], RoomKind.COMPLETE)
        receiver.receive(room, lines[1:], source="test", now_ms=0)
    yield found
    store.close()


@pytest.mark.parametrize("name", ["room.jsonl", "room.jsonl.gz", "-"])
def test_export_works_without_a_node_and_beside_one(
    run: Command, room_id: str, lines: list[bytes], tmp_path: Path, name: str
) -> None:
    result = run("export", room_id, name if name == "-" else str(tmp_path / name))
    assert result.exit_code == 0
    data = result.stdout_bytes if name == "-" else (tmp_path / name).read_bytes()
    header, *events = (gzip.decompress(data) if name.endswith("gz") else data).splitlines()
    assert json.loads(header)["room_version"] == "12"
    signatures = [json.dumps(json.loads(line)["signatures"]) for line in lines[1:]]
    assert len(events) > 80
    assert all(json.dumps(json.loads(event)["signatures"]) in signatures for event in events)
    assert name == "-" or result.stdout == ""


def test_export_of_an_unknown_room(run: Command, room_id: str, tmp_path: Path) -> None:
    result = run("export", "nowhere", str(tmp_path / "room.jsonl"))
    assert result.exit_code == 1
    assert "nowhere" in result.stderr
    assert not (tmp_path / "room.jsonl").exists()


def test_a_failing_export_leaves_the_old_file(
    run: Command, room_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(store: Store, room_id: str) -> Iterator[str]:
        yield "{}"
        raise OSError(5, "Input/output error")

    (tmp_path / "room.jsonl").write_text("older")
    monkeypatch.setattr("dtnode.rooms.room_file.export_room", broken)
    result = run("export", room_id, str(tmp_path / "room.jsonl"))
    assert result.exit_code == 1
    assert "Input/output error" in result.stderr
    assert (tmp_path / "room.jsonl").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alice", "room.jsonl"]


def test_audit_json_has_the_form_of_the_verdict_files(run: Command, tmp_path: Path) -> None:
    theirs = json.loads(gzip.decompress((ROOMS / "v12-1.verdicts.json.gz").read_bytes()))
    result = run("--data", str(tmp_path / "none"), "audit", str(ROOM_FILE), "--json")
    assert result.exit_code == 0
    ours = json.loads(result.stdout)
    assert ours["state"] == theirs["state"]
    assert sorted(ours["heads"]) == sorted(theirs["heads"])
    assert len(ours["events"]) == len(theirs["events"])
    assert not (tmp_path / "none").exists()


def test_audit_in_words(run: Command, lines: list[bytes]) -> None:
    result = run("audit", str(ROOM_FILE))
    assert result.exit_code == 0
    out = result.stdout.splitlines()
    assert out[0] == "line\tverdict\tevent\tfailed checks"
    assert out[1].startswith("2\taccepted\t$")
    assert f"Room version 12, {len(lines) - 1} events:" in out
    assert any(line.startswith("  rejected: ") for line in out)


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{}\n", b'{"room_version": "99"}\n'])
def test_audit_of_what_is_no_room(run: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    result = run("audit", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
