"""What rooms and people are called, and what a typed name means."""

from __future__ import annotations

import pytest

from dtnode.rooms.names import NameAmbiguous, NameNotFound, resolve_room
from dtnode.store import PeerRecord
from dtnode.testing.rooms_builder import user_id_for
from tests.rooms.nodes import Node, give_cards, make_room


def test_rooms_by_id_and_by_unique_name() -> None:
    alice = Node("alice")
    hut, other = alice.create(name="The Hut"), alice.create(name="the hut")
    lone = alice.create(name="Harbour")
    names = alice.rooms.names
    assert names.resolve_room(hut).room_id == hut
    assert names.resolve_room("The Hut").room_id == hut
    assert names.resolve_room("the hut").room_id == other
    assert names.resolve_room("HARBOUR").room_id == lone
    with pytest.raises(NameAmbiguous, match=hut.replace("$", ".")):
        names.resolve_room("THE HUT")
    with pytest.raises(NameNotFound, match="room list"):
        names.resolve_room("nowhere")
    assert resolve_room(alice.store, "Harbour").room_id == lone


def test_an_invited_rooms_name_counts() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob", name="the hut")
    give_cards(alice, bob)
    assert bob.rooms.names.resolve_room("the hut").room_id == room_id


def test_rooms_without_a_name_are_called_by_alias_or_members() -> None:
    alice = Node("alice")
    room_id = alice.create()

    def name() -> str:
        return alice.rooms.names.room_name(alice.room(room_id))

    assert name() == "Empty Room"
    expected = [
        "zoe",
        "zoe and yan",
        "zoe, yan, and xia",
        "zoe, yan, xia, and wim",
        "zoe, yan, xia, wim, and val",
        "zoe, yan, xia, wim, val, and 1 other",
        "zoe, yan, xia, wim, val, and 2 others",
    ]
    guests = ["zoe", "yan", "xia", "wim", "val", "uli", "tom"]
    for guest, called in zip(guests, expected, strict=True):  # in the order in which they came
        alice.member(room_id, guest, "invite")
        assert name() == called
    heroes = alice.rooms.names.heroes(alice.room(room_id))
    assert heroes.user_ids == tuple(user_id_for(guest) for guest in guests[:5])
    assert (heroes.joined, heroes.invited, heroes.others) == (1, 7, 2)
    for guest in guests[2:]:
        alice.member(room_id, guest, "leave")
    assert name() == "zoe and yan"
    for guest in guests[:2]:
        alice.member(room_id, guest, "ban")
    assert name() == "Empty Room (was xia, wim, val, uli, tom, and 2 others)"
    alice.set_state(room_id, "m.room.canonical_alias", {"alias": "#hut:a"})
    assert alice.rooms.names.room_name(alice.room(room_id)) == "#hut:a"
    alice.set_state(room_id, "m.room.name", {"name": 7})
    assert alice.rooms.names.room_name(alice.room(room_id)) == "#hut:a"


def test_people_by_id_key_and_name() -> None:
    _, (alice, bob) = make_room("alice", "bob")
    names = alice.rooms.names
    for text in (bob.user_id, "bob", bob.server[:6], bob.server):
        assert names.resolve_user(text).user_id == bob.user_id, text
    assert names.resolve_user("alice").user_id == alice.user_id
    stranger = user_id_for("zoe")
    assert names.resolve_user(stranger).user_id == stranger
    assert names.resolve_user(stranger).label == "zoe"
    for text in ("nobody", "@nobody", bob.server[:3], ""):
        with pytest.raises(NameNotFound):
            names.resolve_user(text)


def test_names_given_to_peers_win() -> None:
    _, (alice, bob) = make_room("alice", "bob")
    alice.store.peers.put(PeerRecord(server_name=bob.server, name="Robert"))
    assert alice.rooms.names.resolve_user("Robert").user_id == bob.user_id
    assert alice.rooms.names.labels()[bob.user_id] == "Robert"
    zoe = user_id_for("zoe")
    alice.store.peers.put(
        PeerRecord(server_name=zoe.partition(":")[2], user_id=zoe, name="Zo", added=True)
    )
    assert alice.rooms.names.resolve_user("Zo").user_id == zoe


def test_people_of_equal_names_are_told_apart_by_their_keys() -> None:
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    member = {"membership": "join", "displayname": "alice"}
    carol_join = carol.rooms.send(room_id, "m.room.member", member, carol.user_id)
    alice.receive(room_id, [carol.pdu(carol_join).canonical()])
    labels = alice.rooms.names.labels()
    assert labels[alice.user_id] == f"alice ({alice.server[:4]})"
    assert labels[carol.user_id] == f"alice ({carol.server[:4]})"
    assert labels[bob.user_id] == "bob"
    with pytest.raises(NameAmbiguous) as raised:
        alice.rooms.names.resolve_user("alice")
    assert alice.user_id in str(raised.value)
    assert alice.rooms.names.resolve_user("carol").user_id == carol.user_id
