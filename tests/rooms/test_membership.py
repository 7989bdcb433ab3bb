"""Membership without a round trip (DESIGN section 7): invites, joins, removals by card."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from dtnode.errors import AuthRuleError, FormatError, PduError
from dtnode.rooms.create import EventBuilder
from dtnode.rooms.invites import DESCRIBED_DIFFERENTLY, MAX_CARDS_PER_ROOM
from dtnode.rooms.local import RoomNotHere
from dtnode.store import RoomKind
from dtnode.testing.rooms_builder import user_id_for
from dtnode.wire.messages import CardKind, RoomCard
from tests.rooms.nodes import Node, give_cards, make_room, meet

VERSIONS = ("3", "6", "9", "10", "11", "12")


def invited(version: str = "12", **options: object) -> tuple[str, Node, Node]:
    """alice's room with one message; bob holds her invite and nothing else."""
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob", version=version, name="the hut", **options)
    alice.say(room_id, "before bob")
    assert give_cards(alice, bob) == 1
    return room_id, alice, bob


@pytest.mark.parametrize("version", VERSIONS)
def test_room_of_two_comes_in_step(version: str) -> None:
    room_id, (alice, bob) = make_room("alice", "bob", version=version)
    alice.say(room_id, "from alice")
    bob.say(room_id, "from bob")
    meet(alice, bob)
    assert sorted(alice.bodies(room_id)) == ["from alice", "from bob"]
    assert alice.view(room_id) == bob.view(room_id)
    assert bob.room(room_id).kind is RoomKind.COMPLETE
    assert bob.rooms.gaps(bob.room(room_id)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_join_is_built_from_the_invite_alone(version: str) -> None:
    room_id, alice, bob = invited(version)
    invite_id = bob.room(room_id).anchor
    assert invite_id is not None
    join_id = bob.rooms.join(room_id)
    held = bob.store.held.get(join_id)
    assert held is not None
    invite = alice.pdu(invite_id)
    wanted = {"m.room.power_levels", "m.room.join_rules"}
    if version != "12":
        wanted.add("m.room.create")
    from_invite = {id_ for id_ in invite.auth_events if alice.pdu(id_).type in wanted}
    assert held.pdu.prev_events == (invite_id,)
    assert set(held.pdu.auth_events) == {*from_invite, invite_id}
    assert len(from_invite) == len(wanted)


@pytest.mark.parametrize("version", VERSIONS)
def test_talk_before_the_history_is_here(version: str) -> None:
    room_id, alice, bob = invited(version)
    bob.rooms.join(room_id)
    first = bob.say(room_id, "first")
    second = bob.say(room_id, "second")
    assert bob.room(room_id).kind is RoomKind.INVITED
    shown = bob.rooms.timeline.newest(bob.room(room_id), 10)
    assert [event.pdu.event_id for event in shown[-2:]] == [first, second]
    assert all(event.provisional for event in shown)
    assert bob.rooms.summary(bob.room(room_id)).name == "the hut"

    meet(alice, bob)
    assert bob.room(room_id).kind is RoomKind.COMPLETE
    assert alice.bodies(room_id) == ["before bob", "first", "second"]
    assert bob.bodies(room_id) == alice.bodies(room_id)
    assert alice.view(room_id) == bob.view(room_id)
    shown = bob.rooms.timeline.newest(bob.room(room_id), 10)
    assert not any(event.provisional or event.soft_failed for event in shown)


def test_own_events_keep_their_positions() -> None:
    room_id, alice, bob = invited()
    bob.rooms.join(room_id)
    first = bob.say(room_id, "first")
    shown_at = bob.rooms.timeline.one(bob.room(room_id), first)
    assert shown_at is not None
    token = bob.store.events.last_position()
    meet(alice, bob)
    again = bob.rooms.timeline.one(bob.room(room_id), first)
    assert again is not None
    assert again.position == shown_at.position
    later = bob.rooms.timeline.since(
        bob.room(room_id), token, bob.store.events.last_position(), 100
    )
    assert "before bob" in [event.pdu.content.get("body") for event in later]
    assert first not in [event.pdu.event_id for event in later]
    everything = bob.rooms.timeline.since(bob.room(room_id), 0, 10_000, 1000)
    positions = [event.position for event in everything]
    assert positions == sorted(set(positions), key=lambda position: position or 0)
    assert len({event.pdu.event_id for event in everything}) == len(everything)


def test_joining_twice_is_joining_once() -> None:
    room_id, alice, bob = invited()
    assert bob.rooms.join(room_id) == bob.rooms.join(room_id)
    meet(alice, bob)
    assert bob.rooms.join(room_id) == bob.rooms.join(room_id)


def test_a_third_member_learns_of_the_join_from_anyone() -> None:
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    alice.member(room_id, "dan", "invite")
    meet(alice, bob)
    dan = Node("dan")
    assert give_cards(bob, dan) == 1  # another member's node carries the invite
    dan.rooms.join(room_id)
    dan.say(room_id, "here I am")
    meet(dan, carol)  # who has never heard of the invite: the room isn't shared with dan yet
    assert carol.membership(room_id, "dan") is None
    meet(dan, bob)
    meet(bob, carol)
    meet(bob, alice)
    assert carol.bodies(room_id) == ["here I am"] == alice.bodies(room_id)
    assert carol.view(room_id) == alice.view(room_id) == bob.view(room_id)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("join_first", [True, False])
def test_a_revoked_invite_wins_over_a_concurrent_join(version: str, join_first: bool) -> None:
    room_id, alice, bob = invited(version)
    bob.rooms.join(room_id)
    bob.say(room_id, "am I in?")
    pdus = [held.pdu.canonical() for held in bob.store.held.own(bob.room(room_id).nid)]
    if join_first:
        carol = Node("carol")  # was invited and saw bob's join before she heard of the revocation
        alice.member(room_id, "carol", "invite")
        meet(alice, carol)
        carol.rooms.join(room_id)
        meet(alice, carol)
        carol.receive(room_id, pdus)
        assert carol.membership(room_id, "bob") == "join"
        alice.member(room_id, "bob", "leave", reason="wrong bob")
        meet(alice, carol)
        assert carol.membership(room_id, "bob") == "leave"
        apart = [e for e in carol.rooms.timeline.newest(carol.room(room_id), 100) if e.apart]
        assert "am I in?" in [event.pdu.content.get("body") for event in apart]
    else:
        alice.member(room_id, "bob", "leave", reason="wrong bob")
    outcomes = alice.receive(room_id, pdus).outcomes
    known = [alice.store.events.get(outcome.event_id or "") for outcome in outcomes]
    assert all(event is not None and event.soft_failed for event in known)
    assert alice.membership(room_id, "bob") == "leave"

    assert give_cards(alice, bob) == 1
    assert bob.standing(room_id) == "leave"
    note = bob.rooms.summary(bob.room(room_id)).note
    assert note is not None
    assert "revoked your invite" in note
    assert "wrong bob" in note
    with pytest.raises(AuthRuleError, match="revoked your invite or removed you"):
        bob.say(room_id, "still?")


def test_kick_ban_unban() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    alice.member(room_id, "bob", "leave", reason="enough")
    meet(alice, bob)
    assert bob.standing(room_id) == "leave"
    with pytest.raises(AuthRuleError):
        bob.say(room_id)
    with pytest.raises(AuthRuleError):
        bob.rooms.join(room_id)
    alice.member(room_id, "bob", "ban")
    meet(alice, bob)
    assert bob.standing(room_id) == "ban"
    with pytest.raises(AuthRuleError):
        alice.member(room_id, "bob", "invite")
    alice.member(room_id, "bob", "leave")
    alice.member(room_id, "bob", "invite")
    missed = alice.say(room_id, "while bob was out")
    meet(alice, bob)
    assert bob.standing(room_id) == "invite"
    bob.rooms.join(room_id)
    bob.say(room_id, "back")
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "join"
    assert alice.bodies(room_id)[-1] == "back"
    assert alice.view(room_id) == bob.view(room_id)
    assert bob.store.events.has(missed)


def test_a_declined_invite_and_a_new_one() -> None:
    room_id, alice, bob = invited()
    declined = bob.rooms.set_membership(room_id, bob.user_id, "leave")
    assert bob.standing(room_id) == "leave"
    meet(alice, bob)  # bob isn't in the room: nobody is asked to take his leave
    alice.member(room_id, "bob", "leave")
    alice.member(room_id, "bob", "invite")
    assert give_cards(alice, bob) == 1
    assert bob.standing(room_id) == "invite"
    join = bob.store.held.get(bob.rooms.join(room_id))
    assert join is not None
    assert declined not in join.pdu.prev_events
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "join"
    assert alice.view(room_id) == bob.view(room_id)


@pytest.mark.parametrize("version", VERSIONS)
def test_public_join_by_card(version: str) -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create(version=version, public=True, name="commons")
    alice.say(room_id, "welcome")
    with pytest.raises(RoomNotHere):
        bob.rooms.join(room_id)
    card = alice.rooms.sharing.public_card(room_id, bob.server)
    assert card is not None
    assert bob.rooms.take_card(card, source=alice.server)
    assert not bob.rooms.take_card(card, source=alice.server)
    bob.rooms.join(room_id)
    bob.say(room_id, "thanks")
    join = bob.store.held.own(bob.room(room_id).nid)[0].pdu
    assert join.prev_events == (card.event_id,)
    meet(alice, bob)
    assert alice.bodies(room_id) == ["welcome", "thanks"] == bob.bodies(room_id)
    assert alice.view(room_id) == bob.view(room_id)
    assert bob.room(room_id).kind is RoomKind.COMPLETE


def test_public_rejoin_after_leaving() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create(public=True)
    card = alice.rooms.sharing.public_card(room_id, bob.server)
    assert card is not None
    bob.rooms.take_card(card, source=alice.server)
    bob.rooms.join(room_id)
    meet(alice, bob)
    bob.rooms.set_membership(room_id, bob.user_id, "leave")
    assert bob.standing(room_id) == "leave"
    bob.rooms.join(room_id)
    bob.say(room_id, "again")
    meet(alice, bob)
    assert alice.bodies(room_id) == ["again"]
    assert alice.view(room_id) == bob.view(room_id)


# --- cards that are no good


def card_for(alice: Node, bob: Node) -> RoomCard:
    cards: list[RoomCard] = alice.rooms.sharing.cards_for(bob.server)
    assert len(cards) == 1
    return cards[0]


def fresh_card() -> tuple[RoomCard, Node, Node]:
    alice, bob = Node("alice"), Node("bob")
    alice.create("bob", version="11")
    return card_for(alice, bob), alice, bob


def test_forged_cards_are_refused() -> None:
    card, alice, bob = fresh_card()
    invite = card.pdus[-1]
    forgeries = {
        "tampered": replace(card, pdus=(*card.pdus[:-1], invite.replace(b"invite", b"inwite"))),
        "other room": replace(card, room_id="!other:" + alice.server),
        "no such version": replace(card, room_version="99"),
        "auth chain cut": replace(card, pdus=card.pdus[1:]),
        "event left out": replace(card, pdus=card.pdus[:-1]),
        "wrong order": replace(card, pdus=tuple(reversed(card.pdus))),
        "state not in it": replace(card, state=("$" + "x" * 43,)),
        "not about bob": replace(card, event_id=card.state[0]),
        "invite as removal": replace(card, kind=CardKind.REMOVAL),
        "invite as public": replace(card, kind=CardKind.PUBLIC),
        "garbage": replace(card, pdus=(b"{", b"\xff", b"[]")),
        "empty": replace(card, pdus=()),
    }
    for what, forged in forgeries.items():
        with pytest.raises(PduError):
            bob.rooms.take_card(forged, source="mallory")
        assert list(bob.store.rooms) == [], what
    with pytest.raises(FormatError, match="nobody on this node"):
        Node("carol").rooms.take_card(card, source="mallory")
    assert bob.rooms.take_card(card, source="mallory")


def test_an_incomplete_card_still_lets_one_join() -> None:
    """A malicious inviter can leave state out; that the room is the right one it can't change."""
    card, alice, bob = fresh_card()
    bare = replace(card, state=(), servers=())
    assert bob.rooms.take_card(bare, source=alice.server)
    bob.rooms.join(card.room_id)
    meet(alice, bob)
    assert alice.membership(card.room_id, "bob") == "join"
    assert alice.view(card.room_id) == bob.view(card.room_id)


def test_two_members_describe_the_room_differently() -> None:
    card, alice, bob = fresh_card()
    assert bob.rooms.take_card(card, source=alice.server)
    lying = replace(card, state_hash=bytes(32), servers=())
    assert bob.rooms.take_card(lying, source="mallory")
    assert bob.room(card.room_id).note == DESCRIBED_DIFFERENTLY
    assert not bob.rooms.take_card(lying, source="mallory")
    assert not bob.rooms.take_card(card, source=alice.server)
    assert alice.server in bob.store.rooms.servers_of_cards(bob.room(card.room_id).nid)


def test_an_old_invite_doesnt_pull_a_member_out() -> None:
    """mallory, who may invite, backdates an invite to bob, who is in the room already."""
    room_id, (alice, bob, mallory) = make_room("alice", "bob", "mallory")
    levels = {"users": {mallory.user_id: 50}, "invite": 50}
    alice.set_state(room_id, "m.room.power_levels", levels)
    for node in (bob, mallory):
        meet(alice, node)
    invite = next(
        event.pdu
        for event in mallory.store.events.in_nid_order(mallory.room(room_id).nid)
        if event.pdu.state_key == bob.user_id
    )
    json = {
        "room_id": room_id,
        "type": "m.room.member",
        "state_key": bob.user_id,
        "sender": mallory.user_id,
        "content": {"membership": "invite"},
    }
    state = mallory.store.state_groups.state(mallory.room(room_id).current_group)
    builder = EventBuilder(mallory.store, mallory.signer, mallory.rooms.clock)
    backdated = builder.build(
        mallory.room(room_id).version,
        json,
        [mallory.pdu(parent) for parent in invite.prev_events],
        lambda type_, key: None if key == bob.user_id else state.get((type_, key)),
    )
    chain = {}
    todo = list(backdated.auth_event_ids)
    while todo:
        stored = mallory.store.events.get(todo.pop())
        assert stored is not None
        chain[stored.nid] = stored.pdu
        todo += stored.pdu.auth_event_ids
    card = RoomCard(
        kind=CardKind.INVITE,
        room_id=room_id,
        room_version="12",
        event_id=backdated.event_id,
        pdus=(*(chain[nid].canonical() for nid in sorted(chain)), backdated.canonical()),
        state=(),
        state_hash=bytes(32),
    )
    bob.rooms.take_card(card, source=mallory.server)
    assert bob.standing(room_id) == "join"
    assert bob.room(room_id).kind is RoomKind.COMPLETE
    bob.say(room_id, "still here")
    meet(alice, bob)
    assert alice.bodies(room_id) == ["still here"]


def test_cards_of_one_room_are_bounded() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    for _ in range(MAX_CARDS_PER_ROOM):
        give_cards(alice, bob)
        alice.member(room_id, "bob", "leave")
        give_cards(alice, bob)
        alice.member(room_id, "bob", "invite")
    give_cards(alice, bob)
    assert bob.store.rooms.count_cards(bob.room(room_id).nid) == MAX_CARDS_PER_ROOM
    assert bob.standing(room_id) == "invite"
    bob.rooms.join(room_id)
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "join"


def test_invites_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dtnode.rooms.invites.MAX_INVITED_ROOMS", 3)
    alice, bob = Node("alice"), Node("bob")
    room_ids = [alice.create("bob", name=str(number)) for number in range(5)]
    cards = alice.rooms.sharing.cards_for(bob.server)
    for card in cards[:3]:
        assert bob.rooms.take_card(card, source=alice.server)
    for card in cards[3:]:
        with pytest.raises(FormatError, match="join or leave some"):
            bob.rooms.take_card(card, source=alice.server)
    bob.rooms.set_membership(room_ids[0], bob.user_id, "leave")
    assert bob.rooms.take_card(cards[3], source=alice.server)
    with pytest.raises(FormatError, match="join or leave some"):
        bob.rooms.take_card(cards[4], source=alice.server)


def test_removal_of_a_room_never_heard_of_is_no_news() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    alice.member(room_id, "bob", "leave")
    assert give_cards(alice, bob) == 0
    assert not bob.knows(room_id)


def test_every_order_of_cards_says_the_last_word() -> None:
    """invite, revocation and second invite, each as a card, in any order of arrival."""
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    cards = [card_for(alice, bob)]
    alice.member(room_id, "bob", "leave")
    cards.append(card_for(alice, bob))
    alice.member(room_id, "bob", "invite")
    cards.append(card_for(alice, bob))
    for order in itertools.permutations(cards):
        fresh = Node("bob")
        for card in order:
            fresh.rooms.take_card(card, source=alice.server)
        assert fresh.standing(room_id) == "invite"
        assert fresh.room(room_id).anchor == cards[2].event_id


def test_invites_to_servers_that_arent_keys_are_refused() -> None:
    alice = Node("alice")
    room_id = alice.create()
    with pytest.raises(FormatError, match="no key"):
        alice.rooms.set_membership(room_id, "@bob:example.org", "invite")
    with pytest.raises(FormatError, match="not a user id"):
        alice.rooms.set_membership(room_id, "bob", "invite")


def test_user_ids_of_the_helpers_match() -> None:
    assert Node("alice").user_id == user_id_for("alice")
