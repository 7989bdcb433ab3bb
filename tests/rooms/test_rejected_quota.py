"""Rejected events of servers outside a room are bounded: anyone can sign them without end."""

from __future__ import annotations

import pytest

from dtnode.matrix.pdu import Pdu
from dtnode.rooms import Verdict, rooms
from dtnode.testing.rooms_builder import RoomBuilder
from tests.rooms.nodes import Node, take_in

LIMIT = 5


@pytest.fixture(autouse=True)
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_MAX_REJECTED", LIMIT)


def spam(builder: RoomBuilder, count: int) -> list[Pdu]:
    """Events of somebody who was never in the room."""
    return [
        builder.make("mallory", "m.room.message", {"body": str(number)}) for number in range(count)
    ]


def test_an_outsiders_rejected_events_are_kept_up_to_a_bound() -> None:
    builder = RoomBuilder("alice")
    node = Node("node")
    take_in(node, builder)
    assert builder.room_id is not None
    sent = [pdu.canonical() for pdu in spam(builder, LIMIT + 10)]
    received = node.receive(builder.room_id, sent)
    verdicts = [outcome.verdict for outcome in received.outcomes]
    assert verdicts == [Verdict.REJECTED] * LIMIT + [Verdict.DROPPED] * 10
    assert all("mallory" in (outcome.reason or "") for outcome in received.outcomes)
    assert node.rooms.summary(node.room(builder.room_id)).rejected == LIMIT


def test_one_that_something_kept_stands_on_is_kept_all_the_same() -> None:
    builder = RoomBuilder("alice")
    node = Node("node")
    take_in(node, builder)
    assert builder.room_id is not None
    sent = spam(builder, LIMIT + 1)
    node.receive(builder.room_id, [pdu.canonical() for pdu in sent])
    last = sent[-1]
    parents = [*builder.heads, last.event_id]
    builder.add(last)
    child = builder.make("alice", "m.room.message", {"body": "on it"}, parents=parents)
    held = node.receive(builder.room_id, [child.canonical()])
    assert held.outcomes[0].missing == (last.event_id,)
    again = node.receive(builder.room_id, [last.canonical()])
    assert again.outcomes[0].verdict is Verdict.REJECTED
    assert again.released[0].verdict is Verdict.ACCEPTED
