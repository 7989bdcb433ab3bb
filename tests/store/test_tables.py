"""The smaller tables: rooms and cards, peers, values of clients, meta."""

from __future__ import annotations

import pytest

from dtnode.store import ClearLinks, PeerRecord, RoomKind, Store
from dtnode.store.lru import Lru
from dtnode.store.peers import MAX_FRONTIER, MAX_MERELY_MET
from dtnode.store.rooms import CardRecord
from tests.store.samples import VERSION, add_event, add_room


def card(event_id: str, position: int, **changes: object) -> CardRecord:
    fields: dict[str, object] = {
        "event_id": event_id,
        "kind": 0,
        "source": "peer",
        "received_ms": 5,
        "position": position,
        "state_hash": bytes(range(32)),
        "servers": ("a", "b"),
        "state": ("$1", "$2"),
        "pdus": (b'{"a":1}', b'{"b":"\xc3\xa9"}'),
        **changes,
    }
    return CardRecord(**fields)  # type: ignore[arg-type]


def test_rooms_change_and_come_back() -> None:
    store = Store(None)
    with store.transaction():
        room = store.rooms.add("!a:b", VERSION, RoomKind.INVITED, anchor="$invite")
        assert (room.kind, room.anchor) == (RoomKind.INVITED, "$invite")
        store.rooms.set_kind(room.nid, RoomKind.COMPLETE, None)
        store.rooms.set_note(room.nid, "a note")
        store.rooms.set_current_group(room.nid, 7)
    for _ in range(2):
        found = store.rooms.get("!a:b")
        assert found is not None
        assert (found.kind, found.anchor, found.note) == (RoomKind.COMPLETE, None, "a note")
        assert (found.current_group, found.version) == (7, VERSION)
        assert list(store.rooms) == [found]
        assert store.rooms.by_nid(found.nid) == found
        store.rooms._forget()
    assert store.rooms.get("!other:b") is None


def test_permissions_come_back() -> None:
    store = Store(None)
    room = add_room(store)
    assert room.clear_links is ClearLinks.NO
    for permission in ClearLinks:
        assert store.rooms.set_clear_links(room.nid, permission).clear_links is permission
        store.rooms._forget()
        assert store.rooms.by_nid(room.nid).clear_links is permission


def test_edges_survive_and_roll_back() -> None:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        store.rooms.set_tips(room.nid, [1, 2])
        store.rooms.set_forward_extremities(room.nid, [2])
    store.rooms._forget()
    assert store.rooms.tips(room.nid) == {1, 2}

    def fail() -> None:
        with store.transaction():
            store.rooms.set_tips(room.nid, [3])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.rooms.tips(room.nid) == {1, 2}
    assert store.rooms.forward_extremities(room.nid) == {2}


def test_cards_come_back_in_order_of_arrival() -> None:
    store = Store(None)
    room = add_room(store)
    cards = [card("$b", 1), card("$a", 2, servers=("c",), source="other"), card("$c", 3)]
    for record in cards:
        store.rooms.put_card(room.nid, record)
    assert store.rooms.cards(room.nid) == cards
    assert store.rooms.count_cards(room.nid) == 3
    assert store.rooms.servers_of_cards(room.nid) == {"a", "b", "c", "peer", "other"}
    store.rooms.drop_card(room.nid, "$a")
    assert store.rooms.cards(room.nid) == [cards[0], cards[2]]


def test_positions_of_cards_count_too() -> None:
    store = Store(None)
    room = add_room(store)
    store.rooms.put_card(room.nid, card("$a", 12))
    assert store.events.last_position() == 12


def test_peers() -> None:
    store = Store(None)
    peer = PeerRecord(server_name="b", user_id="@b:b", name="Bob", added=True)
    store.peers.put(peer)
    store.peers.contacted("b", 99)
    store.peers.contacted("c", 7)
    assert [p.server_name for p in store.peers.all()] == ["b", "c"]
    found = store.peers.get("b")
    assert found is not None
    assert (found.name, found.added, found.blocked, found.last_contact_ms) == (
        "Bob",
        True,
        False,
        99,
    )
    store.peers.contacted("b", 100)
    again = store.peers.get("b")
    assert again is not None
    assert (again.last_contact_ms, again.user_id) == (100, "@b:b")
    store.peers.remove("b")
    assert store.peers.get("b") is None


def test_strangers_who_were_met_are_bounded() -> None:
    store = Store(None)
    kept = [
        PeerRecord(server_name="added", added=True),
        PeerRecord(server_name="blocked", blocked=True),
        PeerRecord(server_name="named", name="Bob"),
    ]
    for peer in kept:
        store.peers.put(peer)
        store.peers.contacted(peer.server_name, 0)
    with store.transaction():
        for number in range(MAX_MERELY_MET + 20):
            store.peers.contacted(f"stranger {number:04}", 1 + number)
    names = [peer.server_name for peer in store.peers.all()]
    assert names[:3] == ["added", "blocked", "named"]
    assert len(names) == 3 + MAX_MERELY_MET
    assert names[3] == "stranger 0020"


def test_numbers_of_handshakes_only_grow() -> None:
    store = Store(None)
    assert store.peers.handshakes() == {}
    store.peers.set_handshake("b", 5)  # somebody who was never met
    store.peers.contacted("c", 1)
    store.peers.set_handshake("c", 2**62)
    store.peers.set_handshake("b", 4)
    store.peers.contacted("d", 2)
    assert store.peers.handshakes() == {"b": 5, "c": 2**62}
    store.peers.put(PeerRecord(server_name="b", name="Bob"))  # what is known of it changes
    store.peers.contacted("b", 3)
    assert store.peers.handshakes()["b"] == 5
    store.peers.set_handshake("b", 6)
    assert store.peers.handshakes()["b"] == 6
    assert [peer.name for peer in store.peers.all()] == ["Bob", None, None]


def test_own_handshakes_are_numbered_once() -> None:
    store = Store(None)
    with store.transaction():
        assert store.peers.reserve_handshakes(1000, 16) == 1000
    assert store.peers.reserve_handshakes(5, 1) == 1016
    assert store.peers.reserve_handshakes(0, 3) == 1017

    def fail() -> None:
        with store.transaction():
            assert store.peers.reserve_handshakes(0, 100) == 1020
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.peers.reserve_handshakes(0, 1) == 1020  # nobody has used those


def test_frontiers_keep_the_newest() -> None:
    store = Store(None)
    room = add_room(store)
    with store.transaction():
        for number in range(1, 101):
            add_event(store, room, number)
        store.peers.set_frontier(room.nid, "b", range(1, 101))
        store.peers.set_frontier(room.nid, "c", [5, 5])
    assert sorted(store.peers.frontier(room.nid, "b")) == list(range(101 - MAX_FRONTIER, 101))
    assert store.peers.frontiers(room.nid)["c"] == [5]
    assert store.peers.frontier(room.nid, "nobody") == []


def test_what_was_delivered_alone() -> None:
    store = Store(None)
    store.peers.mark_delivered_alone("b", ["$1", "$2", "$1"])
    store.peers.mark_delivered_alone("c", ["$1"])
    assert store.peers.delivered_alone("b", "$2")
    assert not store.peers.delivered_alone("c", "$2")
    assert store.peers.servers_with("$1") == {"b", "c"}


def test_values_of_clients() -> None:
    store = Store(None)
    for number in range(5):
        store.client_values.put("txn", f"{number}", bytes([number]))
    store.client_values.put("txn", "3", b"again")
    store.client_values.put("other", "1", b"x")
    assert store.client_values.get("txn", "3") == b"again"
    assert store.client_values.get("txn", "9") is None
    store.client_values.trim("txn", 2)
    assert store.client_values.items("txn") == [("3", b"again"), ("4", b"\x04")]
    store.client_values.remove("txn", "3")
    assert store.client_values.items("txn") == [("4", b"\x04")]
    assert store.client_values.items("other") == [("1", b"x")]


def test_meta() -> None:
    store = Store(None)
    assert store.meta("x") is None
    store.set_meta("x", 2**60)
    assert store.meta("x") == 2**60
    store.set_meta("x", "text")
    assert store.meta("x") == "text"
    store.set_meta("x", None)
    assert store.meta("x") is None


def test_the_least_recently_used_goes() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    lru.put("c", 3)
    assert (lru.get("a"), lru.get("b"), lru.get("c")) == (1, None, 3)
    lru.pop("a")
    assert lru.get("a") is None
    lru.clear()
    assert lru.get("c") is None
