"""Agreement with Synapse 1.163.2 on hostile and on ordinary rooms (tests/vectors/README.md)."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from dtnode.matrix.canonical_json import encode_canonical_json
from dtnode.matrix.pdu import Pdu, read_pdu, stored_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64
from tests.matrix.vector_pipeline import (
    ROOM_NAMES,
    VECTORS,
    Pipeline,
    Record,
    VectorRoom,
    as_text_keys,
    load_room,
    run,
)

DEAD = {"rejected", "dropped"}
SEEDS = range(8 if os.environ.get("DTNODE_FUZZ") == "deep" else 2)


def assert_order_independent(room: VectorRoom, pipeline: Pipeline, records: list[Record]) -> None:
    expected = room.verdicts
    assert not pipeline.held
    for line, (ours, theirs) in enumerate(zip(records, expected["events"], strict=True), 2):
        if theirs["verdict"] in DEAD:
            assert ours.verdict in DEAD, f"line {line}: {theirs['checks']}"
            continue
        assert ours.verdict == theirs["verdict"], f"line {line}: {ours.reason}"
        assert ours.event_id == theirs["event_id"]
        assert ours.content_hash == theirs["checks"]["content_hash"]
        assert ours.state_before == theirs["state_before"], f"line {line}"
    assert sorted(pipeline.heads()) == expected["heads"]
    assert as_text_keys(pipeline.state_over(pipeline.heads())) == expected["state"]


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_file_order(name: str) -> None:
    room = load_room(name)
    pipeline, records = run(room)
    assert_order_independent(room, pipeline, records)
    for line, (ours, theirs) in enumerate(zip(records, room.verdicts["events"], strict=True), 2):
        if theirs["verdict"] not in DEAD:
            assert ours.soft_failed == theirs["soft_failed"], f"line {line}: {ours.reason}"
            assert ours.redaction == theirs.get("redaction"), f"line {line}"
    assert sorted(pipeline.extremities) == room.verdicts["extremities"]
    current = pipeline.state_over(pipeline.extremities)
    assert as_text_keys(current) == room.verdicts["current_state"]


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_shuffled_orders(name: str) -> None:
    room = load_room(name)
    for seed in SEEDS:
        order = list(range(len(room.lines)))
        random.Random(seed).shuffle(order)
        assert_order_independent(room, *run(room, order))
    assert_order_independent(room, *run(room, range(len(room.lines) - 1, -1, -1)))


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_refusals_say_why(name: str) -> None:
    _, records = run(load_room(name))
    for record in records:
        assert (record.reason != "") == (record.verdict in DEAD or record.soft_failed)


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_what_is_stored_comes_back(name: str) -> None:
    pipeline, _ = run(load_room(name))
    for event_id, pdu in pipeline.events.items():
        copy = stored_pdu(pdu.canonical(), event_id, pdu.version, redacted=pdu.redacted)
        assert fields(copy) == fields(pdu)
        assert copy.signed_bytes() == pdu.signed_bytes()
        strict = pdu.version.strict_canonical_json
        assert pdu.canonical() == encode_canonical_json(pdu.json, strict=strict)
        assert read_pdu(pdu.canonical(), pdu.version).canonical() == pdu.canonical()


def fields(pdu: Pdu) -> dict[str, Any]:
    return {name: getattr(pdu, name) for name in Pdu.__slots__ if not name.startswith("_")}


def synapse_views() -> list[Any]:
    vectors = json.loads((VECTORS / "synapse_rooms.json").read_text())
    keys = {
        (server, key_id): decode_unpadded_base64(key["key"])
        for server, document in vectors["servers"].items()
        for key_id, key in document["verify_keys"].items()
    }
    return [
        pytest.param(room["room_version"], view, keys, id=f"v{room['room_version']} at {server}")
        for room in vectors["rooms"]
        for server, view in room["views"].items()
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("version", "view", "keys"), synapse_views())
def test_real_servers_views(
    version: str, view: dict[str, Any], keys: dict[tuple[str, str], bytes], seed: int
) -> None:
    pipeline = Pipeline(ROOM_VERSIONS[version], lambda server, key_id: keys.get((server, key_id)))
    events = list(view["events"])
    if seed:
        random.Random(seed).shuffle(events)
    for event in events:
        record = pipeline.receive(json.dumps(event["pdu"]).encode())
        assert record.event_id == event["event_id"]
        assert record.verdict in ("accepted", "held"), record.reason
    assert not pipeline.held
    assert pipeline.extremities == set(view["forward_extremities"])
    expected = {(entry[0], entry[1]): entry[2] for entry in view["current_state"]}
    assert pipeline.state_over(pipeline.extremities) == expected
