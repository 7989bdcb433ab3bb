"""Events looked up for a resolution: each is read once, however small the store's own cache is, and
none is kept for longer or beyond a bound."""

from __future__ import annotations

from contextlib import suppress

import pytest

from dtnode.store import Store
from dtnode.store import event_source as module
from dtnode.store.event_source import StoredEvents
from dtnode.store.events import Events
from dtnode.store.lru import WeighedLru
from dtnode.testing.rooms_builder import RoomBuilder
from tests.rooms.nodes import Node, take_in

LEVELS = 120  # one after the other, each an auth event of the next


class Reads:
    """Counts the rows that are read whole."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = 0
        read = Events._one

        def counted(events: Events, where: str, value: object) -> object:
            self.rows += 1
            return read(events, where, value)

        monkeypatch.setattr(Events, "_one", counted)


def forked(events: int) -> tuple[RoomBuilder, str, Node, str]:
    """A room with `events` power levels in a line, its id, and the last of them."""
    room = RoomBuilder("alice", "bob")
    node = Node("dan")
    take_in(node, room)
    last = room.heads[0]
    pdus = []
    for number in range(events):
        users = {room.user("bob"): 50 + number % 2}
        pdu = room.state_event("alice", "m.room.power_levels", {"users": users}, parents=[last])
        last = pdu.event_id
        pdus.append(pdu.canonical())
    room_id = room.room_id
    assert room_id is not None
    node.receive(room_id, pdus)
    return room, room_id, node, last


def small_cache(store: Store, most: int) -> None:
    store.events._cache = WeighedLru(most, lambda event: len(event.pdu.canonical()))


def test_a_resolution_reads_each_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    room, room_id, node, last = forked(LEVELS)
    first = next(iter(node.store.events.in_nid_order(node.room(room_id).nid, 5))).event_id
    topic = room.state_event("alice", "m.room.topic", {"topic": "old"}, parents=[first])
    node.receive(room_id, [topic.canonical()])
    merge = room.message("alice", "both", parents=[last, topic.event_id])
    node.rooms.states.forget()
    small_cache(node.store, 10_000)
    stored = node.store.events.counts(node.room(room_id).nid)[0]
    reads = Reads(monkeypatch)
    received = node.receive(room_id, [merge.canonical()])
    assert [outcome.verdict.value for outcome in received.outcomes] == ["accepted"]
    assert LEVELS <= reads.rows <= stored + 20


def test_beyond_the_bound_it_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    _, room_id, node, _ = forked(20)
    small_cache(node.store, 1)
    monkeypatch.setattr(module, "_KEPT_BYTES", 3_000)
    monkeypatch.setattr(module, "_KEPT_ORDERS", 2)
    source = StoredEvents(node.store.events)
    ids = [e.event_id for e in node.store.events.in_nid_order(node.room(room_id).nid)]
    reads = Reads(monkeypatch)
    with source.keeping():
        orders = [[source.order(event_id) for event_id in ids] for _ in range(2)]
        assert orders == [sorted(orders[0])] * 2
        for _ in range(3):
            assert [source.event(event_id).event_id for event_id in ids] == ids
        assert len(ids) < reads.rows < 3 * len(ids)
        assert 0 < len(source._kept) < len(ids)
        assert len(source._orders) == 2
    assert not source._kept
    assert not source._orders


def test_what_is_taken_back_or_changed_is_not_kept() -> None:
    _, _, node, last = forked(3)
    source = node.store.indexes.source
    with source.keeping():
        assert not source.rejected(last)
        event = node.store.events.get(last)
        assert event is not None
        with node.store.transaction(), suppress(ZeroDivisionError), node.store.transaction():
            event.rejected = True
            node.store.events.replace(event)
            node.store.indexes.take(event)
            assert source.rejected(last)
            raise ZeroDivisionError
        assert not source.rejected(last)
    with pytest.raises(KeyError):
        source.event("$not here")
    with pytest.raises(KeyError):
        source.order("$not here")
