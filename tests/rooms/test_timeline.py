"""Events as people read them, and figures about rooms and peers."""

from __future__ import annotations

from dtnode.rooms.delivery import lacking
from dtnode.rooms.timeline import client_event, marks
from dtnode.testing.rooms_builder import RoomBuilder
from tests.rooms.nodes import Node, give_cards, make_room, meet, take_in


def test_paging_back_and_forth() -> None:
    room_id, (alice,) = make_room("alice")
    for number in range(10):
        alice.say(room_id, str(number))
    room, timeline = alice.room(room_id), alice.rooms.timeline
    last = alice.store.events.last_position()
    page = timeline.before(room, last, 4)
    assert [event.pdu.content["body"] for event in page] == ["6", "7", "8", "9"]
    first = page[0].position
    assert first is not None
    page = timeline.before(room, first - 1, 4)
    assert [event.pdu.content["body"] for event in page] == ["2", "3", "4", "5"]
    assert timeline.before(room, last, 0) == []
    assert timeline.newest(room, 0) == []
    news = timeline.since(room, first, last, 100)
    assert [event.pdu.content["body"] for event in news] == ["7", "8", "9"]


def test_one_event() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    other = alice.create()
    said = alice.say(room_id)
    assert alice.rooms.timeline.one(alice.room(other), said) is None
    assert alice.rooms.timeline.one(alice.room(room_id), "$nothing") is None
    newest = alice.say(room_id)
    bob.receive(room_id, [alice.pdu(newest).canonical()])
    held = bob.rooms.timeline.one(bob.room(room_id), newest)
    assert held is not None
    assert held.provisional
    assert held.known_at is None
    rejected = RoomBuilder("alice", "bob")
    refused = rejected.state_event("bob", "m.room.topic", {"topic": "no"})
    node = Node("dan")
    take_in(node, rejected)
    assert rejected.room_id is not None
    assert node.rooms.timeline.one(node.room(rejected.room_id), refused.event_id) is None


def test_client_events_and_marks() -> None:
    room_id, (alice, bob) = make_room("alice", "bob", version="10")
    said = alice.say(room_id, "hello")
    redaction = alice.rooms.send(room_id, "m.room.redaction", {"reason": "x"}, redacts=said)
    event = client_event(alice.pdu(redaction))
    assert event["redacts"] == said
    assert "state_key" not in event
    assert set(client_event(alice.pdu(said))) == {
        *("event_id", "type", "room_id", "sender", "origin_server_ts", "content")
    }
    create = next(alice.store.events.in_nid_order(alice.room(room_id).nid))
    assert client_event(create.pdu)["state_key"] == ""
    shown = alice.rooms.timeline.one(alice.room(room_id), said)
    assert shown is not None
    assert marks(shown) == {"known_at": 0, "members": 1}
    blank = alice.pdu(said).redacted_form().canonical()
    bob.receive(room_id, [blank])
    at_bob = bob.rooms.timeline.one(bob.room(room_id), said)
    assert at_bob is not None
    assert marks(at_bob) == {"redacted": True}


def test_version_11_redactions_name_their_target_in_the_content() -> None:
    room_id, (alice,) = make_room("alice", version="11")
    said = alice.say(room_id)
    redaction = alice.rooms.send(room_id, "m.room.redaction", {}, redacts=said)
    assert alice.pdu(redaction).content == {"redacts": said}
    assert alice.pdu(redaction).redacts == said


def test_how_much_a_peer_lacks() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    assert lacking(alice.store, alice.rooms.states, bob.server, alice.server, 100) == 0
    for _ in range(7):
        alice.say(room_id)
    assert lacking(alice.store, alice.rooms.states, bob.server, alice.server, 100) == 7
    assert lacking(alice.store, alice.rooms.states, bob.server, alice.server, 3) == 3
    assert lacking(alice.store, alice.rooms.states, Node("eve").server, alice.server, 100) == 0
    meet(alice, bob)
    assert lacking(alice.store, alice.rooms.states, bob.server, alice.server, 100) == 0


def test_summary_of_an_invited_and_of_a_complete_room() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob", name="the hut")
    give_cards(alice, bob)
    invited = bob.rooms.summary(bob.room(room_id))
    assert (invited.kind, invited.membership, invited.name) == ("invited", "invite", "the hut")
    assert (invited.events, invited.gaps, invited.tips) == (0, 0, ())
    bob.rooms.join(room_id)
    bob.say(room_id)
    talking = bob.rooms.summary(bob.room(room_id))
    assert (talking.kind, talking.membership, talking.held) == ("invited", "join", 2)
    assert talking.gaps == 4  # the invite, power levels, join rules, the create event
    meet(alice, bob)
    complete = bob.rooms.summary(bob.room(room_id))
    assert (complete.kind, complete.membership, complete.held) == ("complete", "join", 0)
    assert (complete.members, complete.gaps, complete.states_differ) == (2, 0, False)
    assert complete.tip_state == alice.rooms.summary(alice.room(room_id)).tip_state
