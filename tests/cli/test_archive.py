"""`dtnode import`, `backup`, `restore`, and files that aren't what they should be."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from dtnode.node.data_folder import DataFolder
from tests.cli.conftest import Command, FakeNode

# --- files

COUNTS = {"accepted": 3, "rejected": 0, "dropped": 0, "held": 1, "duplicate": 2}


@pytest.mark.parametrize("name", ["room.jsonl", "room.jsonl.gz"])
def test_import(run: Command, node: FakeNode, tmp_path: Path, name: str) -> None:
    text = "".join(f'{{"line":{number}}}\n' for number in range(20_000)).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    node.on("POST", "/_dtnode/v1/import", {"room_id": "!boat"} | COUNTS)
    result = run("import", str(tmp_path / name))
    assert result.exit_code == 0
    assert "  held: 1\n" in result.stdout
    assert node.body("POST", "/_dtnode/v1/import") == text.decode()
    answer = json.loads(run("import", str(tmp_path / name), "--json").stdout)
    assert answer == {"room_id": "!boat"} | COUNTS


def test_import_whose_node_goes_away_says_how_to_go_on(
    run: Command, node: FakeNode, tmp_path: Path
) -> None:
    node.hang_up_on = "/_dtnode/v1/import"
    file = tmp_path / "room.jsonl"
    file.write_text("{}\n", encoding="utf-8")
    assert "run the same import again: it goes on" in run("import", str(file)).stderr


def test_import_says_where_the_reasons_are(run: Command, node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "room.jsonl"
    file.write_text("{}\n")
    node.on("POST", "/_dtnode/v1/import", {"room_id": "!boat"} | COUNTS | {"dropped": 1})
    assert f"dtnode audit {file}" in run("import", str(file)).stdout
    node.on("POST", "/_dtnode/v1/import", (400, "M_BAD_JSON", "not JSON"))
    assert run("import", str(file)).stderr == f"Error: {file}: not JSON\n"


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(os.urandom(9000))[:5000]])
def test_import_of_a_damaged_file(
    run: Command, node: FakeNode, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "room.gz").write_bytes(content)
    result = run("import", str(tmp_path / "room.gz"))
    assert result.exit_code == 1
    assert "room.gz isn't whole" in result.stderr


@pytest.mark.parametrize("command", ["import", "audit"])
def test_a_file_that_is_not_there(run: Command, node: FakeNode, command: str) -> None:
    result = run(command, "/no/such/file")
    assert result.exit_code == 1
    assert "/no/such/file can't be read" in result.stderr


def test_export_of_a_node_that_never_ran(run: Command, tmp_path: Path) -> None:
    result = run("export", "boat", str(tmp_path / "room.jsonl"))
    assert result.exit_code == 1
    assert "never started" in result.stderr


# --- backup


def test_backup_and_restore(run: Command, folder: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("fair winds\n")
    words = ["--passphrase-file", str(tmp_path / "words")]
    file = str(tmp_path / "alice.backup")
    assert run("backup", file, *words).exit_code == 0
    other = str(tmp_path / "other")
    result = run("--data", other, "restore", file, env={"DTNODE_PASSPHRASE": "foul winds"})
    assert result.exit_code == 1
    assert "passphrase is wrong" in result.stderr
    result = run("--data", other, "restore", file, *words, "--json")
    assert json.loads(result.stdout)["user_id"] == folder.identity.user_id
    assert DataFolder(other).identity.user_id == folder.identity.user_id


def test_a_passphrase_has_to_come_from_somewhere(run: Command, tmp_path: Path) -> None:
    result = run("backup", str(tmp_path / "b"), env={"DTNODE_PASSPHRASE": ""})
    assert result.exit_code == 2
    assert "--passphrase-file" in result.stderr
    (tmp_path / "empty").write_text("\n")
    result = run("backup", str(tmp_path / "b"), "--passphrase-file", str(tmp_path / "empty"))
    assert result.exit_code == 1
    assert not (tmp_path / "b").exists()


def test_restore_looks_at_the_folder_before_it_asks(run: Command, tmp_path: Path) -> None:
    result = run("restore", str(tmp_path / "b"))
    assert result.exit_code == 1
    assert "never overwritten" in result.stderr
