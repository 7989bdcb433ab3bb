"""What is claimed of others: nothing that they may lack, everything that they showed to have."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from dtnode.rooms import delivery
from dtnode.rooms.delivery import lacking, lacking_of_all, servers_with
from dtnode.store import Store
from tests.rooms.nodes import Node, give_cards, make_room, meet


def known_at(node: Node, room_id: str) -> dict[str, int]:
    """Own messages -> how many other servers are known to have them."""
    return {
        event.pdu.content["body"]: len(event.known_at or ())
        for event in node.rooms.timeline.newest(node.room(room_id), 100)
        if event.pdu.type == "m.room.message" and event.pdu.sender == node.user_id
    }


def acknowledge(node: Node, other: Node, room_id: str, *event_ids: str) -> None:
    with node.store.transaction():
        node.rooms.sharing.acknowledged(other.server, room_id, event_ids)


def lacks(node: Node, other: Node) -> int:
    return lacking(node.store, node.rooms.states, other.server, node.server, 1000)


def test_an_event_that_the_peer_may_hold_doesnt_stand_for_its_ancestors() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    meet(alice, bob)
    ids = [alice.say(room_id, text) for text in ("one", "two", "three", "four")]
    acknowledge(alice, bob, room_id, ids[3])
    assert known_at(alice, room_id) == {"one": 0, "two": 0, "three": 0, "four": 0}
    acknowledge(alice, bob, room_id, ids[0], ids[1])
    assert known_at(alice, room_id) == {"one": 1, "two": 1, "three": 0, "four": 0}
    acknowledge(alice, bob, room_id, ids[3], ids[2])  # in whatever order
    assert known_at(alice, room_id) == dict.fromkeys(("one", "two", "three", "four"), 1)
    assert lacks(alice, bob) == 0


def test_tips_show_what_was_held_and_is_complete_now() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    meet(alice, bob)
    ids = [alice.say(room_id, text) for text in ("one", "two")]
    acknowledge(alice, bob, room_id, ids[1])
    assert known_at(alice, room_id) == {"one": 0, "two": 0}
    meet(alice, bob)
    assert known_at(alice, room_id) == {"one": 1, "two": 1}


def test_a_peer_has_what_it_brought() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    meet(alice, bob)
    said = bob.say(room_id, "from bob")
    with bob.store.transaction():
        pdus = [pdu for _, pdu in bob.rooms.sharing.load(alice.server, room_id, [said])]
    alice.receive(room_id, pdus, bob.server)
    assert lacks(alice, bob) == 1
    with alice.store.transaction():
        alice.rooms.sharing.brought(bob.server, room_id, [said, "$unknown"])
    assert lacks(alice, bob) == 0


def test_a_join_on_an_invite_shows_nothing_of_what_was_before() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob", name="talk")
    before = alice.say(room_id, "before")
    give_cards(alice, bob)
    joined = bob.rooms.join(room_id)
    said = bob.say(room_id, "at once")
    own = [pdu for _, pdu in bob.rooms.sharing.load(alice.server, room_id, [joined, said])]
    alice.receive(room_id, own, bob.server)
    assert known_at(alice, room_id) == {"before": 0}
    meet(alice, bob)
    after = bob.say(room_id, "now I have it all")
    alice.receive(
        room_id, [pdu for _, pdu in bob.rooms.sharing.load(alice.server, room_id, [after])]
    )
    assert known_at(alice, room_id) == {"before": 1}
    assert alice.store.events.has(before)


def test_counting_for_all_at_once_agrees_with_a_walk_for_each() -> None:
    names = ("alice", "bob", "carol", "dan", "eve")
    room_id, (alice, *others) = make_room(*names)
    rng = random.Random(5)
    for number in range(60):
        one, other = rng.sample([alice, *others], 2)
        one.say(room_id, f"{number}")
        if rng.random() < 0.4:
            meet(one, other)
    store, states = alice.store, alice.rooms.states
    servers = [other.server for other in others]
    found = lacking_of_all(store, states, servers, alice.server, 1000)
    for server in servers:
        expected = 0
        for room in store.rooms:
            newest = store.events.newest_of_server(room.nid, server, witness=True)
            known = [*store.peers.frontier(room.nid, server), *newest]
            expected += len(store.events.difference(store.rooms.tips(room.nid), known, 1000))
        assert found[server] == expected
    assert any(found.values())
    assert lacking_of_all(store, states, servers, alice.server, 2) == {
        server: min(2, count) for server, count in found.items()
    }


@pytest.mark.parametrize("near", [0, 3, 500])
@pytest.mark.parametrize("seed", range(4))
def test_far_back_it_is_known_without_a_walk(
    seed: int, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message by itself and all at once, against what ancestry says."""
    monkeypatch.setattr(delivery, "_NEAR", near)
    room_id, (alice, *others) = make_room("alice", "bob", "carol", "dan")
    rng = random.Random(seed)
    for number in range(50):
        one, other = rng.sample([alice, *others], 2)
        one.say(room_id, f"{number}")
        if rng.random() < 0.4:
            meet(one, other)
    store, room = alice.store, alice.room(room_id)
    own = [
        event
        for event in store.events.in_nid_order(room.nid)
        if event.accepted and event.pdu.sender == alice.user_id
    ]
    known: dict[str, set[str]] = {event.event_id: set() for event in own}
    for other in others:
        wrote = [
            author.nid
            for author in store.events.newest_first(room.nid, 0)
            if author.witness and author.sender_server == other.server
        ]
        has = ancestors(store, [*store.peers.frontier(room.nid, other.server), *wrote])
        for event in own:
            if event.nid in has:
                known[event.event_id].add(other.server)
    states = alice.rooms.states
    assert servers_with(store, states, room, own, alice.server) == known
    for event in own:
        found = servers_with(store, states, room, [event], alice.server)
        assert found == {event.event_id: known[event.event_id]}
    assert len(set(map(len, known.values()))) > 1
    for event in store.events.in_nid_order(room.nid):
        if event.accepted:
            met = store.ancestry.of(event.nid, 0)
            every = range(1, store.events.last_nid() + 1)
            assert {nid for nid in every if met.has(nid)} == ancestors(store, [event.nid])


def ancestors(store: Store, nids: Iterable[int]) -> set[int]:
    found: set[int] = set()
    todo = list(nids)
    while todo:
        nid = todo.pop()
        if nid not in found:
            found.add(nid)
            todo += store.events.parents_of(nid)
    return found
