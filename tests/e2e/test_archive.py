"""Rooms and nodes as files: export, audit, import, backup, restore of what real nodes made."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtnode.testing.demo.processes import NodeProcess, end_all
from tests.e2e.conftest import MakeNode
from tests.e2e.lines import agree, eventually, together

PASSPHRASE = {"DTNODE_PASSPHRASE": "seven boats in a bottle"}


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_export_audit_import(make: MakeNode, tmp_path: Path, suffix: str) -> None:
    alice, bob = make("alice"), make("bob")
    room_id = together(alice, bob, "boat")
    alice.cli("send", "boat", "-", text="one\ntwo\nthree\n")
    bob.cli("send", "boat", "four")
    eventually(lambda: agree(alice, bob, room_id), "both have all of it")
    summary = bob.room(room_id)
    assert summary is not None
    bob.stop()  # export needs no running node
    file = tmp_path / f"boat{suffix}"
    bob.cli("export", "boat", str(file))

    report = bob.json("audit", str(file))
    assert [event["verdict"] for event in report["events"]] == ["accepted"] * summary["events"]
    assert report["heads"] == summary["tips"]

    carol = make("carol").run()
    answer = carol.json("import", str(file))
    assert answer["room_id"] == room_id
    assert answer["accepted"] == summary["events"]
    assert (answer["rejected"], answer["dropped"], answer["held"]) == (0, 0, 0)
    again = carol.json("import", str(file))
    assert (again["accepted"], again["duplicate"]) == (0, summary["events"])
    imported = carol.room(room_id)
    assert imported is not None
    assert (imported["tips"], imported["tip_state"]) == (summary["tips"], summary["tip_state"])


def test_a_restored_node_is_the_same_one_with_its_rooms(make: MakeNode, tmp_path: Path) -> None:
    alice, bob = make("alice"), make("bob")
    room_id = together(alice, bob, "boat")
    alice.cli("send", "boat", "-", text="before\nthe flood\n")
    file = tmp_path / "alice.sealed"
    alice.cli("backup", str(file), env=PASSPHRASE)  # of the running node
    before = alice.room(room_id)
    alice.cli("send", "boat", "too late for the backup")
    eventually(lambda: agree(alice, bob, room_id), "bob has it all")
    alice.stop()
    bob.stop()

    # Its links come along, so it can take over where the original was.
    again = NodeProcess("alice-again", tmp_path)
    try:
        wrong = again.try_cli("restore", str(file), env={"DTNODE_PASSPHRASE": "eight boats"})
        assert wrong.returncode == 1
        assert "passphrase" in wrong.stderr
        again.cli("restore", str(file), env=PASSPHRASE)
        again.run()
        status = again.status()
        assert status["user_id"] == alice.user_id
        assert status["server_name"] == alice.server_name
        assert again.room(room_id) == before
        assert again.texts("boat") == ["before", "the flood"]
        bob.run()
        said = ["before", "the flood", "too late for the backup"]
        eventually(lambda: again.texts("boat") == said, "its own newer message comes back")
        again.cli("send", "boat", "after")
        eventually(lambda: agree(again, bob, room_id), "bob takes it for the same node")
        assert bob.texts("boat") == [*said, "after"]
    finally:
        end_all([again])
