"""Who gets what (DESIGN section 6), and who is known to have it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dtnode.rooms.outcome import Verdict
from dtnode.rooms.sharing import MAX_TIPS
from dtnode.store import RoomKind
from dtnode.testing.rooms_builder import RoomBuilder
from dtnode.wire.messages import RoomKind as WireRoomKind
from dtnode.wire.messages import Tips, Want
from tests.rooms.nodes import Node, give_cards, make_room, meet, offer, pull, push

VERSIONS = ("3", "6", "9", "10", "11", "12")


def all_ids(node: Node, room_id: str) -> list[str]:
    return [e.event_id for e in node.store.events.in_nid_order(node.room(room_id).nid)]


def assert_learns_nothing(node: Node, room_id: str, stranger: str) -> None:
    sharing = node.rooms.sharing
    ids = all_ids(node, room_id)
    assert sharing.serve(stranger, Want(room_id=room_id, event_ids=tuple(ids))) == ([], ids)
    elsewhere = Want(room_id="!nowhere", event_ids=tuple(ids))
    assert sharing.serve(stranger, elsewhere) == ([], ids)  # the same answer as for no room at all
    assert sharing.load(stranger, room_id, ids) == []
    tips = sharing.tips_message(node.room(room_id), reply=False)
    for claimed in (tips, replace(tips, tips=(), locator=())):
        comparison = sharing.compare(stranger, claimed)
        assert (comparison.to_send, comparison.unknown, comparison.cut) == ((), (), False)
    assert sharing.cards_for(stranger) == []
    assert sharing.public_card(room_id, stranger) is None
    assert sharing.shared_rooms(stranger) == []
    assert stranger not in sharing.known_servers()


def test_strangers_learn_nothing() -> None:
    room_id, (alice, _) = make_room("alice", "bob")
    alice.say(room_id)
    assert_learns_nothing(alice, room_id, Node("mallory").server)


def test_somebody_banned_before_ever_coming_learns_nothing() -> None:
    room_id, (alice, _) = make_room("alice", "bob")
    mallory = Node("mallory")
    alice.member(room_id, "mallory", "ban")
    assert_learns_nothing(alice, room_id, mallory.server)
    alice.member(room_id, "mallory", "leave")
    alice.member(room_id, "mallory", "ban")
    assert_learns_nothing(alice, room_id, mallory.server)


def test_invited_servers_get_the_card_and_no_more() -> None:
    room_id, (alice, _) = make_room("alice", "bob")
    alice.say(room_id, "for members")
    alice.member(room_id, "carol", "invite")
    carol = Node("carol")
    ids = all_ids(alice, room_id)
    assert carol.server in alice.rooms.sharing.known_servers()
    assert (
        alice.rooms.sharing.serve(carol.server, Want(room_id=room_id, event_ids=tuple(ids)))[0]
        == []
    )
    (card,) = alice.rooms.sharing.cards_for(carol.server)
    assert not any(b"for members" in pdu for pdu in card.pdus)
    give_cards(alice, carol)
    assert alice.rooms.sharing.cards_for(carol.server) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("visibility", ["joined", "invited"])
def test_messages_from_before_the_join_come_redacted(version: str, visibility: str) -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create(version=version)
    alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": visibility})
    before = alice.say(room_id, "before the invite")
    alice.set_state(room_id, "m.room.topic", {"topic": "state comes in full"})
    alice.member(room_id, "bob", "invite")
    between = alice.say(room_id, "between")
    give_cards(alice, bob)
    bob.rooms.join(room_id)
    meet(alice, bob)
    after = alice.say(room_id, "after")
    meet(alice, bob)
    readable = {before: False, between: visibility == "invited", after: True}
    assert {id_: not bob.pdu(id_).redacted for id_ in readable} == readable
    assert bob.rooms.gaps(bob.room(room_id)) == []  # what bob may not read is no gap
    assert alice.view(room_id) == bob.view(room_id)
    topic = bob.rooms.state(bob.room(room_id))[("m.room.topic", "")]
    assert topic.content == {"topic": "state comes in full"}


def test_shared_history_comes_whole() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    alice.say(room_id, "before")
    give_cards(alice, bob)
    bob.rooms.join(room_id)
    meet(alice, bob)
    assert bob.bodies(room_id) == ["before"]


def test_a_removed_server_gets_its_removal_and_nothing_later() -> None:
    room_id, (alice, bob, mallory) = make_room("alice", "bob", "mallory")
    # mallory's side of a partition: she and bob talk, alice bans her.
    mallory.say(room_id, "from mallory, apart")
    meet(mallory, bob)
    apart = bob.say(room_id, "from bob, apart")
    ban = alice.member(room_id, "mallory", "ban", reason="spam")
    later = alice.say(room_id, "after the ban")
    meet(alice, bob)
    latest = bob.say(room_id, "after the partition")
    meet(alice, bob)

    for giver in (alice, bob):
        meet(giver, mallory)
    assert mallory.standing(room_id) == "ban"
    assert mallory.store.events.has(ban)
    assert not mallory.store.events.has(later)
    assert not mallory.store.events.has(latest)
    want = Want(room_id=room_id, event_ids=(apart,))  # of her side: hers, if she asks for it
    ids, refused = alice.rooms.sharing.serve(mallory.server, want)
    assert (ids[-1], refused) == (apart, [])
    note = mallory.room(room_id).note
    assert note is not None
    assert note.endswith("banned you: spam")
    assert mallory.rooms.gaps(mallory.room(room_id)) == []
    for giver in (alice, bob):
        ids, refused = giver.rooms.sharing.serve(
            mallory.server, Want(room_id=room_id, event_ids=(later, latest, ban))
        )
        assert refused == [later, latest]
        assert ban in ids
        assert {
            id_ for id_, _ in giver.rooms.sharing.load(mallory.server, room_id, (later, ban))
        } == {ban}
    assert alice.view(room_id) == bob.view(room_id)


def test_kicked_and_then_banned_while_away() -> None:
    room_id, (alice, mallory) = make_room("alice", "mallory")
    kick = alice.member(room_id, "mallory", "leave")
    between = alice.say(room_id, "between")
    alice.member(room_id, "mallory", "ban")
    meet(alice, mallory)
    assert mallory.standing(room_id) == "ban"
    ids, refused = alice.rooms.sharing.serve(
        mallory.server, Want(room_id=room_id, event_ids=(kick, between))
    )
    assert kick in ids
    assert refused == [between]


def test_a_server_the_acl_denies_gets_nothing() -> None:
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    alice.set_state(room_id, "m.room.server_acl", {"allow": ["*"], "deny": [bob.server]})
    meet(alice, carol)
    for node in (alice, carol):
        assert not node.rooms.sharing.is_shared(node.room(room_id), bob.server)
        ids = tuple(all_ids(node, room_id))
        assert node.rooms.sharing.serve(bob.server, Want(room_id=room_id, event_ids=ids)) == (
            [],
            list(ids),
        )
        assert node.rooms.sharing.load(bob.server, room_id, ids) == []
    assert alice.rooms.sharing.is_shared(alice.room(room_id), carol.server)
    said = bob.say(room_id, "through carol")
    received = carol.receive(room_id, [bob.pdu(said).canonical()])
    assert received.outcomes[0].soft_failed
    meet(carol, alice)
    assert alice.view(room_id) == carol.view(room_id)
    alice.member(room_id, "dan", "invite")
    alice.set_state(room_id, "m.room.server_acl", {"allow": ["*"], "deny": [Node("dan").server]})
    assert alice.rooms.sharing.cards_for(Node("dan").server) == []


def test_redacted_copies_are_never_taken_for_whole() -> None:
    """carol holds a message only in redacted form: bob's gap stays until alice fills it."""
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    said = alice.say(room_id, "secret")
    blank = alice.pdu(said).redacted_form().canonical()
    carol.receive(room_id, [blank])
    push(carol, bob)
    assert bob.pdu(said).redacted
    assert [gap.event_id for gap in bob.rooms.gaps(bob.room(room_id))] == [said]
    pull(bob, carol)
    assert bob.pdu(said).redacted
    pull(bob, alice)
    assert bob.bodies(room_id) == ["secret"]
    pull(carol, bob)
    assert carol.bodies(room_id) == ["secret"]


def test_what_is_asked_for_by_name_is_sent_whatever_the_asker_has() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    said = alice.say(room_id, "old")
    newest = alice.say(room_id, "new")
    meet(alice, bob)
    want = Want(room_id=room_id, event_ids=(said,), have=(newest,))
    assert alice.rooms.sharing.serve(bob.server, want) == ([said], [])


# --- tips


def test_tips_and_locator_find_the_difference_from_far_behind() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    for number in range(300):
        alice.say(room_id, str(number))
    alice_tips = alice.rooms.sharing.tips_message(alice.room(room_id), reply=False)
    assert len(alice_tips.locator) < 12
    assert alice_tips.locator[-1] == all_ids(alice, room_id)[0]
    bob.say(room_id, "apart")
    bob_tips = bob.rooms.sharing.tips_message(bob.room(room_id), reply=False)
    # bob, who doesn't know alice's tips, finds by her locator that she knows nearly all he has.
    to_send = bob.rooms.sharing.compare(alice.server, alice_tips).to_send
    assert len(to_send) < 10
    assert len(alice.rooms.sharing.compare(bob.server, bob_tips).to_send) >= 300
    push(alice, bob)
    push(bob, alice)
    assert alice.view(room_id) == bob.view(room_id)


def test_many_tips_are_named_in_part() -> None:
    room = RoomBuilder("alice", "bob")
    assert room.room_id is not None
    node = Node("alice")
    base = room.heads
    for number in range(MAX_TIPS + 50):
        room.message("bob", str(number), parents=base)
    with node.store.transaction():
        node.store.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
    node.receive(room.room_id, room.canonical())
    tips = node.rooms.sharing.tips_message(node.room(room.room_id), reply=True)
    assert len(tips.tips) == MAX_TIPS
    assert set(tips.locator).isdisjoint(tips.tips)
    # The next own event takes 20 of them as parents, this server's last event among them or below.
    own = node.say(room.room_id, "merge")
    assert len(node.pdu(own).prev_events) == 20
    again = node.say(room.room_id, "merge more")
    assert own in node.pdu(again).prev_events
    assert len(node.store.rooms.tips(node.room(room.room_id).nid)) == MAX_TIPS + 50 - 20 - 19 + 1


def test_tips_from_nowhere_are_unknown() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    tips = Tips(
        room_id=room_id, room_version="12", kind=WireRoomKind.COMPLETE, tips=("$" + "x" * 43,)
    )
    comparison = alice.rooms.sharing.compare(bob.server, tips)
    assert comparison.unknown == ("$" + "x" * 43,)
    assert list(comparison.to_send) == all_ids(alice, room_id)


# --- delivery


def known_at(node: Node, room_id: str, event_id: str) -> int:
    event = node.rooms.timeline.one(node.room(room_id), event_id)
    assert event is not None
    assert event.known_at is not None
    return len(event.known_at)


def test_delivery_is_counted_by_acknowledgements_and_by_descendants() -> None:
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    said = alice.say(room_id, "hello")
    shown = alice.rooms.timeline.one(alice.room(room_id), said)
    assert shown is not None
    assert shown.members == 2
    assert known_at(alice, room_id, said) == 0
    meet(alice, bob)
    assert known_at(alice, room_id, said) == 1
    meet(bob, carol)  # alice can't know that yet
    assert known_at(alice, room_id, said) == 1
    carol.say(room_id, "answer")
    meet(carol, bob)
    meet(bob, alice)  # but an answer that stands on it shows it
    assert known_at(alice, room_id, said) == 2


def test_delivery_of_events_sent_on_a_card() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    give_cards(alice, bob)
    bob.rooms.join(room_id)
    said = bob.say(room_id)
    assert known_at(bob, room_id, said) == 0
    offer(bob, alice)
    assert known_at(bob, room_id, said) == 1
    meet(alice, bob)
    assert known_at(bob, room_id, said) == 1


def test_own_unjudged_events_are_carried_on_until_told() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    give_cards(alice, bob)
    bob.rooms.join(room_id)
    assert len(bob.rooms.sharing.offer(alice.server, bob.room(room_id))) == 1
    offer(bob, alice)
    assert bob.rooms.sharing.offer(alice.server, bob.room(room_id)) == ()
    assert bob.rooms.sharing.offer("somebody else", bob.room(room_id)) == ()


def test_held_events_reach_members_that_can_judge_them() -> None:
    """carol holds an event whose parent only dan has; bob gets it from her all the same."""
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    alice.say(room_id, "1")
    second = alice.say(room_id, "2")
    outcome = carol.receive(room_id, [alice.pdu(second).canonical()]).outcomes[0]
    assert outcome.verdict is Verdict.HELD
    ids, refused = carol.rooms.sharing.serve(bob.server, Want(room_id=room_id, event_ids=(second,)))
    assert (ids, refused) == ([second], [])
    ids, refused = carol.rooms.sharing.serve(
        Node("mallory").server, Want(room_id=room_id, event_ids=(second,))
    )
    assert (ids, refused) == ([], [second])
