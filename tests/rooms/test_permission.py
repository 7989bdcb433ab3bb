"""Rooms over links that others can read: none unless it was permitted, and not once encrypted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dtnode.errors import AuthRuleError
from dtnode.link_info import CipherPolicy
from dtnode.rooms.local import RoomNotHere
from dtnode.rooms.outcome import Verdict
from dtnode.rooms.permission import RoomIsEncrypted
from dtnode.rooms.sharing import Sharing
from dtnode.store import ClearLinks, RoomKind
from dtnode.wire.messages import CardKind, Want
from tests.rooms.nodes import Node, give_cards, make_room, meet, pull, push
from tests.rooms.test_admission import club, drafted, hand_card, rule
from tests.rooms.test_receive import tampered
from tests.rooms.test_sharing import all_ids

READABLE = (CipherPolicy.CLEAR, CipherPolicy.OPEN)
MEGOLM: dict[str, object] = {"algorithm": "m.megolm.v1.aes-sha2"}


def over(node: Node, cipher: CipherPolicy = CipherPolicy.CLEAR) -> Sharing:
    return node.rooms.sharing.over(cipher)


def permission(node: Node, room_id: str) -> str:
    return node.rooms.summary(node.room(room_id)).clear_links


def encrypt(node: Node, room_id: str) -> str:
    return node.set_state(room_id, "m.room.encryption", MEGOLM)


def broadcast(node: Node, room_id: str) -> list[str]:
    return [id_ for id_, _ in node.rooms.sharing.broadcast(room_id, all_ids(node, room_id))]


def assert_is_no_room(sharing: Sharing, node: Node, room_id: str, peer: str) -> None:
    """The answers are those for a room that the peer has no part in."""
    room, ids = node.room(room_id), all_ids(node, room_id)
    assert sharing.shared_rooms(peer) == []
    assert not sharing.is_shared(room, peer)
    assert not sharing.permits(room)
    want = Want(room_id=room_id, event_ids=tuple(ids))
    assert sharing.serve(peer, want) == ([], ids)
    assert sharing.load(peer, room_id, ids) == []
    tips = replace(sharing.tips_message(room, reply=False), tips=(), locator=())
    compared = sharing.compare(peer, tips)
    assert (compared.to_send, compared.unknown, compared.cut) == ((), (), False)
    assert sharing.speculate(peer, room_id).to_send == ()
    assert sharing.cards_for(peer) == []
    assert sharing.public_card(room_id, peer) is None
    assert sharing.offer(peer, room) == ()


# --- what goes over such a link


@pytest.mark.parametrize("cipher", READABLE)
def test_a_room_is_no_room_over_a_readable_link_until_permitted(cipher: CipherPolicy) -> None:
    room_id, (alice, bob) = make_room("alice", "bob", public=True)
    alice.say(room_id, "between us")
    sharing = over(alice, cipher)
    assert permission(alice, room_id) == "no"
    assert_is_no_room(sharing, alice, room_id, bob.server)

    alice.rooms.permit_clear(room_id, True)
    assert permission(alice, room_id) == "yes"
    assert [room.room_id for room in sharing.shared_rooms(bob.server)] == [room_id]
    ids = all_ids(alice, room_id)
    assert [id_ for id_, _ in sharing.load(bob.server, room_id, ids)] == ids
    assert sharing.public_card(room_id, bob.server) is not None

    alice.rooms.permit_clear(room_id, False)
    assert permission(alice, room_id) == "no"
    assert_is_no_room(sharing, alice, room_id, bob.server)


def test_a_permission_is_one_rooms_and_one_nodes() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    other = alice.create("bob")
    alice.rooms.permit_clear(room_id, True)
    assert [card.room_id for card in over(alice).cards_for(bob.server)] == []
    assert [card.room_id for card in over(alice, CipherPolicy.SEALED).cards_for(bob.server)] == [
        other
    ]
    meet(alice, bob)
    assert permission(bob, room_id) == "no"
    assert_is_no_room(over(bob), bob, room_id, alice.server)
    alice.rooms.permit_clear(room_id, False)  # and nothing of it has changed for sealed links
    assert [room.room_id for room in alice.rooms.sharing.shared_rooms(bob.server)] == [room_id]
    with pytest.raises(RoomNotHere):
        alice.rooms.permit_clear("!nowhere", True)


def test_invites_and_removals_are_not_told_over_a_readable_link_until_permitted() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    carol = Node("carol")
    alice.member(room_id, "carol", "invite")
    ban = alice.member(room_id, "bob", "ban")
    for peer in (bob, carol):
        assert_is_no_room(over(alice), alice, room_id, peer.server)
    alice.rooms.permit_clear(room_id, True)
    assert [card.kind for card in over(alice).cards_for(carol.server)] == [CardKind.INVITE]
    assert [card.kind for card in over(alice).cards_for(bob.server)] == [CardKind.REMOVAL]
    assert [id_ for id_, _ in over(alice).load(bob.server, room_id, [ban])] == [ban]


def test_a_join_does_not_leave_over_a_readable_link_until_permitted() -> None:
    """Nor does anything else that the invited node's user says on the card."""
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    alice.rooms.permit_clear(room_id, True)
    (card,) = over(alice).cards_for(bob.server)
    bob.rooms.take_card(card, source=alice.server)
    join = bob.rooms.join(room_id)
    said = bob.say(room_id, "here I am")
    room = bob.room(room_id)
    assert room.kind is RoomKind.INVITED
    assert bob.rooms.sharing.offer(alice.server, room) == (join, said)
    assert_is_no_room(over(bob), bob, room_id, alice.server)
    assert over(bob).load(alice.server, room_id, [join, said]) == []
    bob.rooms.permit_clear(room_id, True)
    room = bob.room(room_id)
    assert over(bob).offer(alice.server, room) == (join, said)
    assert [id_ for id_, _ in over(bob).load(alice.server, room_id, [join, said])] == [join, said]
    meet(alice, bob)
    assert bob.room(room_id).kind is RoomKind.COMPLETE
    assert permission(bob, room_id) == "yes"


def test_a_knock_does_not_leave_over_a_readable_link_until_permitted() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create(**rule("knock"))
    assert hand_card(alice, bob, room_id)
    knock = bob.rooms.knock(room_id)
    assert over(bob).offer(alice.server, bob.room(room_id)) == ()
    assert over(bob).load(alice.server, room_id, [knock]) == []
    bob.rooms.permit_clear(room_id, True)
    assert over(bob).offer(alice.server, bob.room(room_id)) == (knock,)
    assert [id_ for id_, _ in over(bob).load(alice.server, room_id, [knock])] == [knock]


def test_nobody_is_let_in_over_a_readable_link_until_permitted() -> None:
    _, room_id, alice, bob = club("12")
    assert hand_card(alice, bob, room_id)
    draft = drafted(bob, room_id).canonical()
    with pytest.raises(AuthRuleError) as unknown:
        alice.rooms.co_sign(bob.server, "!nowhere", draft, CipherPolicy.CLEAR)
    with pytest.raises(AuthRuleError) as refused:
        alice.rooms.co_sign(bob.server, room_id, draft, CipherPolicy.CLEAR)
    assert refused.value.reason == unknown.value.reason
    assert alice.membership(room_id, "bob") is None
    alice.rooms.permit_clear(room_id, True)
    alice.rooms.co_sign(bob.server, room_id, draft, CipherPolicy.CLEAR)
    assert alice.membership(room_id, "bob") == "join"


def test_a_whole_contact_over_a_readable_link() -> None:
    """Two who permit a room get in step over it; their other room stays as it is."""
    room_id, (alice, bob) = make_room("alice", "bob")
    secret = alice.create("bob")
    meet(alice, bob)
    bob.rooms.join(secret)
    meet(alice, bob)
    for node in (alice, bob):
        node.rooms.permit_clear(room_id, True)
        node.rooms.sharing = over(node)
        node.say(room_id, f"from {node.name}")
        node.say(secret, f"{node.name}'s secret")
    meet(alice, bob)
    assert alice.view(room_id) == bob.view(room_id)
    assert sorted(bob.bodies(room_id)) == ["from alice", "from bob"]
    assert (alice.bodies(secret), bob.bodies(secret)) == (["alice's secret"], ["bob's secret"])


# --- encrypted rooms


def test_an_encrypted_room_is_permitted_only_knowingly() -> None:
    alice = Node("alice")
    room_id = alice.create()
    encrypt(alice, room_id)
    with pytest.raises(RoomIsEncrypted, match=r"who is in the room.*--although-encrypted"):
        alice.rooms.permit_clear(room_id, True)
    assert (permission(alice, room_id), alice.room(room_id).clear_links) == ("no", ClearLinks.NO)
    alice.rooms.permit_clear(room_id, False)  # that needs no second word
    alice.rooms.permit_clear(room_id, True, although_encrypted=True)
    assert permission(alice, room_id) == "yes"
    encrypt(alice, room_id)  # again, with other settings, say
    assert permission(alice, room_id) == "yes"
    with alice.store.transaction():
        room = alice.room(room_id)
        alice.rooms._receiver.rejudge(room)
    assert permission(alice, room_id) == "yes"


def test_a_room_that_becomes_encrypted_is_no_room_there_any_more() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    # Saying it beforehand doesn't count: nobody knew yet.
    alice.rooms.permit_clear(room_id, True, although_encrypted=True)
    bob.rooms.permit_clear(room_id, True)
    encryption = encrypt(alice, room_id)
    assert permission(alice, room_id) == "ended"
    assert_is_no_room(over(alice), alice, room_id, bob.server)
    assert alice.rooms.sharing.broadcast(room_id, [encryption]) == []
    assert permission(bob, room_id) == "yes"  # he can't know
    meet(alice, bob)
    assert permission(bob, room_id) == "ended"
    assert_is_no_room(over(bob), bob, room_id, alice.server)
    alice.rooms.permit_clear(room_id, True, although_encrypted=True)
    assert permission(alice, room_id) == "yes"
    assert over(alice).is_shared(alice.room(room_id), bob.server)


def test_what_was_encrypted_once_stays_out_although_that_is_undone() -> None:
    """bob encrypts the room while alice, apart, bans him: the resolution takes his act away. What
    carol said in between she said in an encrypted room."""
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    levels = dict(alice.rooms.state(alice.room(room_id))[("m.room.power_levels", "")].content)
    levels["users"] = {bob.user_id: 100}
    alice.set_state(room_id, "m.room.power_levels", levels)
    for node in (bob, carol):
        meet(alice, node)
    carol.rooms.permit_clear(room_id, True)
    encrypt(bob, room_id)
    meet(bob, carol)
    carol.say(room_id, "only among us")
    alice.member(room_id, "bob", "ban")
    meet(alice, carol)
    assert not carol.rooms.summary(carol.room(room_id)).encrypted
    assert permission(carol, room_id) == "ended"
    assert_is_no_room(over(carol), carol, room_id, alice.server)
    carol.rooms.permit_clear(room_id, True)
    assert permission(carol, room_id) == "yes"


def test_a_card_shows_that_its_room_is_encrypted() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create()
    encrypt(alice, room_id)
    alice.member(room_id, "bob", "invite")
    give_cards(alice, bob)
    with pytest.raises(RoomIsEncrypted):
        bob.rooms.permit_clear(room_id, True)
    assert bob.rooms.summary(bob.room(room_id)).encrypted


def test_a_new_card_that_shows_encryption_ends_the_permission() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    give_cards(alice, bob)
    bob.rooms.permit_clear(room_id, True)
    assert permission(bob, room_id) == "yes"
    alice.member(room_id, "bob", "leave")
    encrypt(alice, room_id)
    alice.member(room_id, "bob", "invite")
    give_cards(alice, bob)
    bob.rooms.join(room_id)
    assert permission(bob, room_id) == "ended"
    assert over(bob).offer(alice.server, bob.room(room_id)) == ()


# --- open links


def test_what_is_sent_to_nobody_in_particular() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    own = alice.say(room_id, "own")
    theirs = bob.say(room_id, "another's")
    waiting = bob.say(room_id, "its parent isn't here")
    spoilt = bob.say(room_id, "spoilt on its way")
    alice.receive(room_id, [bob.pdu(waiting).canonical()])
    assert broadcast(alice, room_id) == []
    alice.rooms.permit_clear(room_id, True)
    assert waiting not in [i for i, _ in alice.rooms.sharing.broadcast(room_id, [waiting])]
    alice.receive(room_id, [bob.pdu(theirs).canonical(), tampered(bob.pdu(spoilt))])
    assert alice.pdu(spoilt).redacted
    late = bob.say(room_id, "after the ban")
    alice.member(room_id, "bob", "ban")
    alice.receive(room_id, [bob.pdu(late).canonical()])
    stored = alice.store.events.get(late)
    assert stored is not None
    assert stored.soft_failed
    ids = [own, theirs, waiting, spoilt, late, "$" + "x" * 43]
    sent = alice.rooms.sharing.broadcast(room_id, ids)
    assert [id_ for id_, _ in sent] == [own, theirs, waiting]
    whole = [alice.pdu(own), bob.pdu(theirs), bob.pdu(waiting)]
    assert [data for _, data in sent] == [pdu.canonical() for pdu in whole]
    other = alice.create()
    alice.rooms.permit_clear(other, True)
    assert alice.rooms.sharing.broadcast(other, ids) == []
    assert alice.rooms.sharing.broadcast("!nowhere", ids) == []


def test_own_events_on_a_card_are_broadcast_once_permitted() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    give_cards(alice, bob)
    join = bob.rooms.join(room_id)
    assert bob.rooms.sharing.broadcast(room_id, [join]) == []
    bob.rooms.permit_clear(room_id, True)
    assert [id_ for id_, _ in bob.rooms.sharing.broadcast(room_id, [join])] == [join]


def test_who_left_broadcasts_the_leaving_and_nothing_later() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    bob.rooms.permit_clear(room_id, True)
    leave = bob.rooms.set_membership(room_id, bob.user_id, "leave")
    assert broadcast(bob, room_id)[-1] == leave
    push(bob, alice)
    later = alice.say(room_id, "without bob")
    bob.receive(room_id, [alice.pdu(later).canonical()])
    assert bob.store.events.has(later)
    assert broadcast(bob, room_id)[-1] == leave


def test_what_is_heard_on_an_open_link_counts_in_rooms_of_this_node_alone() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    carol = Node("carol")
    alice.rooms.permit_clear(room_id, True)
    heard = [alice.pdu(alice.say(room_id, "to all")).canonical(), b"noise"]
    received = bob.rooms.receive_broadcast(room_id, heard, source="link:hf-1")
    assert received is not None
    assert [o.verdict for o in received.outcomes] == [Verdict.ACCEPTED, Verdict.DROPPED]
    assert bob.bodies(room_id) == ["to all"]
    assert carol.rooms.receive_broadcast(room_id, heard, source="link:hf-1") is None
    assert not carol.knows(room_id)
    alice.member(room_id, "carol", "invite")
    give_cards(alice, carol)
    assert carol.rooms.receive_broadcast(room_id, heard, source="link:hf-1") is None  # only invited
    carol.rooms.join(room_id)
    received = carol.rooms.receive_broadcast(room_id, heard, source="link:hf-1")
    assert received is not None
    assert received.outcomes[0].verdict is Verdict.HELD
    bob.rooms.set_membership(room_id, bob.user_id, "leave")
    more = [alice.pdu(alice.say(room_id, "without bob")).canonical()]
    assert bob.rooms.receive_broadcast(room_id, more, source="link:hf-1") is None


def test_gaps_of_a_broadcast_are_filled_over_another_link() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    alice.rooms.permit_clear(room_id, True)
    alice.say(room_id, "missed")
    second = alice.say(room_id, "heard")
    (sent,) = alice.rooms.sharing.broadcast(room_id, [second])
    received = bob.rooms.receive_broadcast(room_id, [sent[1]], source="link:hf-1")
    assert received is not None
    assert received.outcomes[0].verdict is Verdict.HELD
    pull(bob, alice)
    assert bob.bodies(room_id) == ["missed", "heard"]
