"""dtnode.rooms agrees with Synapse 1.163.2 on hostile and ordinary rooms (tests/vectors/README.md).

In file order in everything; in any other order, one by one and in batches, in all that doesn't
depend on the order of arrival.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pytest

from dtnode.rooms.audit import audit_file
from tests.rooms.vector_rooms import (
    DEAD,
    ROOM_NAMES,
    Feed,
    VectorRoom,
    load_room,
    load_synapse_views,
)

SEEDS = range(3)
VIEWS = load_synapse_views()


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_audit_agrees_in_file_order(name: str) -> None:
    room = load_room(name)
    expected, found = room.verdicts, audit_file(room.path)
    for line, (ours, theirs) in enumerate(zip(found["events"], expected["events"], strict=True), 2):
        if theirs["verdict"] in DEAD:
            assert ours["verdict"] in DEAD, f"line {line}: {theirs['checks']}"
        else:
            assert ours["checks"] == theirs["checks"], f"line {line}"
            for key in ("verdict", "event_id", "state_before", "soft_failed"):
                assert ours[key] == theirs[key], f"line {line}, {key}"
            assert ours.get("redaction") == theirs.get("redaction"), f"line {line}"
    for key in ("room_version", "heads", "state", "extremities", "current_state"):
        assert found[key] == expected[key], key


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_audit_says_why(name: str) -> None:
    for record in audit_file(load_room(name).path)["events"]:
        failed = [why for why in record["checks"].values() if why not in ("ok", "redacted", None)]
        assert len(failed) == (1 if record["verdict"] in DEAD else 0), record
        assert ("soft_fail_reason" in record) == record.get("soft_failed", False), record


def batches(lines: Sequence[bytes], seed: int) -> list[list[bytes]]:
    """The lines in random order, cut into batches of 1 to 40."""
    rng = random.Random(seed)
    left, cut = list(lines), []
    rng.shuffle(left)
    while left:
        size = rng.randint(1, 40)
        cut.append(left[:size])
        left = left[size:]
    return cut


def orders(lines: Sequence[bytes]) -> dict[str, list[list[bytes]]]:
    found = {"all at once": [list(lines)], "backwards": [[line] for line in reversed(lines)]}
    for seed in SEEDS:
        shuffled = list(lines)
        random.Random(seed).shuffle(shuffled)
        found[f"shuffled {seed}"] = [[line] for line in shuffled]
        found[f"batches {seed}"] = batches(lines, seed)
    return found


def feed_of(room: VectorRoom) -> Feed:
    return Feed(room.version, room.room_id, room.keys)


def assert_order_independent(feed: Feed, expected: dict[str, Any], order: str) -> None:
    for line, theirs in enumerate(expected["events"], 2):
        event_id = theirs["event_id"]
        if theirs["verdict"] in DEAD:
            if event_id in feed.verdicts:
                assert feed.verdict(event_id) in DEAD, f"line {line}, {order}"
            continue
        assert feed.verdict(event_id) == "accepted", f"line {line}, {order}"
        assert feed.state_before(event_id) == theirs["state_before"], f"line {line}, {order}"
        redacted = theirs["checks"]["content_hash"] == "redacted"
        assert feed.verdicts[event_id].redacted == redacted
    assert feed.store.held.count(feed.room.nid) == 0
    assert feed.tips() == expected["heads"], order
    assert feed.tip_state() == expected["state"], order


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_any_order_of_arrival(name: str) -> None:
    room = load_room(name)
    for order, cut in orders(room.lines).items():
        feed = feed_of(room)
        for batch in cut:
            feed.receive(batch)
        assert_order_independent(feed, room.verdicts, order)


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_everything_twice_changes_nothing(name: str) -> None:
    room = load_room(name)
    feed = feed_of(room)
    feed.receive(room.lines)
    before = (feed.tips(), feed.forward_extremities(), feed.current_state())
    count = feed.store.events.counts(feed.room.nid)
    for batch in batches(room.lines, 0):
        assert not feed.receive(batch).accepted
    assert (feed.tips(), feed.forward_extremities(), feed.current_state()) == before
    assert feed.store.events.counts(feed.room.nid) == count


def everything(feed: Feed) -> list[object]:
    events = [
        [getattr(event, field.name) for field in fields(event) if field.name != "pdu"]
        for event in feed.store.events.in_nid_order(feed.room.nid)
    ]
    return [events, feed.tips(), feed.forward_extremities(), feed.current_state()]


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_judging_all_anew_changes_nothing(name: str) -> None:
    room = load_room(name)
    feed = feed_of(room)
    feed.receive(room.lines)
    before = everything(feed)
    with feed.store.transaction():
        assert feed.receiver.rejudge(feed.room) == []
    assert everything(feed) == before


@pytest.mark.parametrize("name", VIEWS)
def test_real_servers_views(name: str) -> None:
    view = VIEWS[name]
    for order, cut in orders(view.pdus).items():
        feed = Feed(view.version, view.room_id, view.keys)
        for batch in cut:
            feed.receive(batch)
        assert [feed.verdict(event_id) for event_id in view.event_ids] == ["accepted"] * len(
            view.event_ids
        )
        assert feed.tips() == view.forward_extremities, order
        assert feed.forward_extremities() == view.forward_extremities, order
        assert feed.current_state() == view.current_state, order
        assert feed.tip_state() == view.current_state, order
