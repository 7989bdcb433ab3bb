"""Rooms as files: export, import, audit of what isn't one."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from dtnode.errors import ConfigError, FormatError
from dtnode.matrix.signing import sign_event
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64
from dtnode.rooms.audit import audit_file, audit_lines
from dtnode.rooms.room_file import MAX_LINE_BYTES, export_room
from dtnode.signer import Ed25519Signer
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from tests.rooms.nodes import Node, make_room, meet


def exported(node: Node, room_id: str) -> list[bytes]:
    return [line.encode() for line in export_room(node.store, room_id)]


def test_a_room_goes_through_a_file() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    alice.say(room_id, "hello")
    lines = exported(alice, room_id)
    carol = Node("carol")
    for again in (False, True):
        found, counts = carol.rooms.import_lines(lines)
        assert found == room_id
        assert counts["duplicate" if again else "accepted"] == len(lines) - 1
        assert sum(counts.values()) == len(lines) - 1
    assert carol.view(room_id) == alice.view(room_id)
    assert exported(carol, room_id) == lines
    audit = audit_lines(lines)
    assert {record["verdict"] for record in audit["events"]} == {"accepted"}
    assert audit["heads"] == list(alice.rooms.summary(alice.room(room_id)).tips)
    _, counts = bob.rooms.import_lines(lines)  # and brings a member up to date
    assert counts["accepted"] == 1
    meet(alice, bob)
    assert bob.view(room_id) == alice.view(room_id)


def test_what_waits_for_its_parents_is_exported_too() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    alice.say(room_id, "1")
    last = alice.pdu(alice.say(room_id, "2"))
    bob.receive(room_id, [last.canonical()])
    lines = exported(bob, room_id)
    assert lines[-1] == last.canonical()
    (record,) = [r for r in audit_lines(lines)["events"] if r["verdict"] == "held"]
    assert record["missing"] == list(last.prev_events)
    counts = Node("carol").rooms.import_lines(lines)[1]
    assert counts["held"] == 1


def test_an_import_in_disorder_counts_what_became_of_each() -> None:
    room_id, (alice,) = make_room("alice")
    for number in range(5):
        alice.say(room_id, str(number))
    header, create, *rest = exported(alice, room_id)
    broken = b'{"type": "nonsense"}'
    _, counts = Node("carol").rooms.import_lines([header, create, *reversed(rest), broken])
    assert counts == {
        "accepted": len(rest) + 1,
        "rejected": 0,
        "dropped": 1,
        "held": 0,
        "duplicate": 0,
    }


def header(**changes: object) -> bytes:
    fields = {"room_version": "12", "key_id": "ed25519:1", "servers": {}, **changes}
    return json.dumps(fields).encode()


BAD_FILES = {
    "empty": [],
    "not JSON": [b"hello"],
    "no version": [b"{}"],
    "unknown version": [header(room_version="99")],
    "no key id": [header(key_id=None)],
    "keys no object": [header(servers=[])],
    "key no base64": [header(servers={"a": 7})],
    "key too short": [header(servers={"a": "AAAA"})],
    "only a header": [header()],
    "no create event": [header(), RoomBuilder("alice").message("alice").canonical()],
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_files_that_are_no_rooms(what: str, tmp_path: Path) -> None:
    path = tmp_path / "room.jsonl"
    path.write_bytes(b"\n".join(BAD_FILES[what]))
    with pytest.raises(ConfigError, match="is not a room file"):
        audit_file(path)
    with pytest.raises(FormatError):
        Node("carol").rooms.import_lines(BAD_FILES[what])


def test_files_that_cant_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        audit_file(tmp_path / "missing.jsonl")
    packed = tmp_path / "room.jsonl.gz"
    packed.write_bytes(b"no gzip at all")
    with pytest.raises(ConfigError, match="can't be read"):
        audit_file(packed)
    packed.write_bytes(gzip.compress(header() * 1000)[:-20])
    with pytest.raises(ConfigError, match="can't be read"):
        audit_file(packed)
    long = tmp_path / "long.jsonl"
    long.write_bytes(b"x" * (MAX_LINE_BYTES + 1))
    with pytest.raises(ConfigError, match="is no event"):
        audit_file(long)


@pytest.mark.parametrize("filler", [b"x", b" "])
def test_a_line_that_unfolds_without_end_takes_no_memory(tmp_path: Path, filler: bytes) -> None:
    size_bytes = 64 << 20
    bomb = tmp_path / "bomb.jsonl.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        file.write(header(room_version="12") + b"\n")
        for _ in range(64):
            file.write(filler * (1 << 20))
    assert bomb.stat().st_size < size_bytes // 100
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=r"is no event|none of its events"):
            audit_file(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10 * MAX_LINE_BYTES
    finally:
        tracemalloc.stop()


def test_a_room_whose_create_event_is_forged_leaves_nothing_behind() -> None:
    room = RoomBuilder("alice", version="11")
    unsigned = json.dumps({**room.create.json, "signatures": {}}).encode()
    carol = Node("carol")
    with pytest.raises(FormatError, match=r"m\.room\.create is no good: not signed"):
        carol.rooms.import_lines([header(room_version="11"), unsigned])
    assert list(carol.store.rooms) == []


def test_exporting_a_room_that_isnt_here() -> None:
    with pytest.raises(FormatError, match="not in this store"):
        exported(Node("carol"), "!nowhere")


def test_keys_of_the_header_count_for_audits_only() -> None:
    """A file can claim any key for a server; what a node takes in is checked by the names."""
    room = RoomBuilder("alice", version="11")
    mallory = signer_for("mallory")
    forged = room.make("alice", "m.room.topic", {"topic": "forged"}, "", signers=[])
    assert forged.json["signatures"] == {}
    liar = Ed25519Signer(b"\x01" * 32, signer_for("alice").server_name)
    signed = sign_event(forged.json, room.version, liar)
    keys = {
        signer_for("alice").server_name: encode_unpadded_base64(liar.public_key),
        mallory.server_name: encode_unpadded_base64(mallory.public_key),
    }
    lines = [
        header(room_version="11", servers=keys),
        *room.canonical(),
        json.dumps(signed).encode(),
    ]
    _, counts = Node("carol").rooms.import_lines(lines)
    assert counts["dropped"] == 1
    assert counts["accepted"] == len(lines) - 2
