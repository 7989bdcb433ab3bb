"""Knocks, restricted joins and the co-signature they need, without links between the nodes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from dtnode.errors import AuthRuleError, FormatError, PduError
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.signing import sign_json
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64
from dtnode.rooms.admission import NeedsCoSignature
from dtnode.rooms.local import RoomNotHere
from dtnode.rooms.profile import set_own_displayname
from dtnode.store import RoomKind
from dtnode.testing.rooms_builder import signer_for
from dtnode.wire.messages import CardKind
from tests.rooms.nodes import Node, give_cards, make_room, meet

KNOCK_VERSIONS = ("7", "8", "9", "10", "11", "12")
RESTRICTED_VERSIONS = ("8", "9", "10", "11", "12")


def rule(join_rule: str, *allowed: str) -> dict[str, Any]:
    content: dict[str, Any] = {"join_rule": join_rule}
    if allowed:
        content["allow"] = [{"type": "m.room_membership", "room_id": id_} for id_ in allowed]
    return {"initial_state": [{"type": "m.room.join_rules", "content": content}]}


def hand_card(giver: Node, taker: Node, room_id: str) -> bool:
    card = giver.rooms.sharing.public_card(room_id, taker.server)
    assert card is not None
    return taker.rooms.take_card(card, source=giver.server)


# --- knocking


def knocked(version: str = "12") -> tuple[str, Node, Node]:
    """bob knocks at alice's room with nothing but a card, and her node hears of it."""
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create(version=version, name="the hut", **rule("knock"))
    with pytest.raises(RoomNotHere):
        bob.rooms.knock(room_id)
    assert hand_card(alice, bob, room_id)
    bob.rooms.knock(room_id, "it rains")
    assert bob.standing(room_id) == "knock"
    meet(alice, bob)
    return room_id, alice, bob


@pytest.mark.parametrize("version", KNOCK_VERSIONS)
def test_a_knock_is_heard_and_answered_by_an_invite(version: str) -> None:
    room_id, alice, bob = knocked(version)
    assert alice.membership(room_id, "bob") == "knock"
    knock = alice.rooms.state(alice.room(room_id))[("m.room.member", bob.user_id)]
    assert knock.content == {"membership": "knock", "reason": "it rains"}
    assert bob.server in alice.rooms.sharing.known_servers()
    assert alice.server in bob.rooms.sharing.known_servers()
    assert bob.room(room_id).kind is RoomKind.INVITED
    alice.say(room_id, "shall we let bob in?")
    meet(alice, bob)
    assert bob.bodies(room_id) == []

    alice.member(room_id, "bob", "invite")
    assert give_cards(alice, bob) == 1
    assert bob.standing(room_id) == "invite"
    bob.rooms.join(room_id)
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "join"
    assert alice.view(room_id) == bob.view(room_id)
    assert bob.rooms.gaps(bob.room(room_id)) == []


def test_a_knock_that_is_turned_down_can_be_made_again() -> None:
    room_id, alice, bob = knocked()
    alice.member(room_id, "bob", "leave", reason="not you")
    meet(alice, bob)
    assert bob.standing(room_id) == "leave"
    note = bob.rooms.summary(bob.room(room_id)).note
    assert note is not None
    assert "turned you down: not you" in note
    with pytest.raises(RoomNotHere, match="try again when a member is in reach"):
        bob.rooms.knock(room_id)
    assert hand_card(alice, bob, room_id)
    bob.rooms.knock(room_id, "please")
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "knock"


def test_who_is_banned_cant_knock() -> None:
    room_id, alice, bob = knocked()
    alice.member(room_id, "bob", "ban")
    meet(alice, bob)
    with pytest.raises(AuthRuleError, match="banned you"):
        bob.rooms.knock(room_id)
    assert hand_card(alice, bob, room_id)
    assert bob.standing(room_id) == "ban"
    with pytest.raises(AuthRuleError, match="can't knock"):
        bob.rooms.knock(room_id)


def test_knocking_twice_is_knocking_once_and_can_be_taken_back() -> None:
    room_id, alice, bob = knocked()
    assert bob.rooms.knock(room_id) == bob.rooms.knock(room_id)
    assert not hand_card(alice, bob, room_id)  # another card doesn't undo the knock
    assert bob.standing(room_id) == "knock"
    bob.rooms.set_membership(room_id, bob.user_id, "leave")
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "leave"


def test_any_member_hands_out_the_card_and_carries_the_knock() -> None:
    room_id, (alice, bob) = make_room("alice", "bob", **rule("knock"))
    dan = Node("dan")
    assert hand_card(bob, dan, room_id)
    dan.rooms.knock(room_id)
    meet(dan, bob)
    meet(bob, alice)
    assert alice.membership(room_id, "dan") == "knock"
    assert alice.view(room_id) == bob.view(room_id)
    alice.member(room_id, "dan", "invite")
    meet(alice, bob)
    assert give_cards(bob, dan) == 1
    dan.rooms.join(room_id)
    meet(dan, bob)
    meet(bob, alice)
    assert alice.membership(room_id, "dan") == "join"


def test_who_was_in_the_room_knocks_on_their_own_copy() -> None:
    room_id, (alice, bob) = make_room("alice", "bob", **rule("knock"))
    bob.rooms.set_membership(room_id, bob.user_id, "leave")
    meet(alice, bob)
    with pytest.raises(AuthRuleError, match="ask to be let in"):
        bob.rooms.join(room_id)
    bob.rooms.knock(room_id)
    speculative(bob, alice, room_id)
    assert alice.membership(room_id, "bob") == "knock"
    alice.member(room_id, "bob", "invite")
    meet(alice, bob)
    bob.rooms.join(room_id)
    speculative(bob, alice, room_id)
    assert alice.membership(room_id, "bob") == "join"
    assert alice.view(room_id) == bob.view(room_id)


def speculative(giver: Node, taker: Node, room_id: str) -> None:
    """What goes to a peer that tells no Tips (it may not see the giver in the room)."""
    comparison = giver.rooms.sharing.speculate(taker.server, room_id)
    loaded = giver.rooms.sharing.load(taker.server, room_id, comparison.to_send)
    taker.receive(room_id, [pdu for _, pdu in loaded], giver.server)


@pytest.mark.parametrize(
    ("join_rule", "text"), [("public", "anyone may join"), ("invite", "ask a member for an invite")]
)
def test_where_nobody_knocks(join_rule: str, text: str) -> None:
    room_id, (_, bob) = make_room("alice", "bob", **rule(join_rule))
    with pytest.raises(AuthRuleError, match="there is nobody to ask"):
        bob.rooms.knock(room_id)
    bob.rooms.set_membership(room_id, bob.user_id, "leave")
    with pytest.raises(AuthRuleError, match=text):
        bob.rooms.knock(room_id)


def test_an_invited_user_has_nobody_to_ask() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob", **rule("knock"))
    give_cards(alice, bob)
    with pytest.raises(AuthRuleError, match="you are invited: join it"):
        bob.rooms.knock(room_id)


def test_who_declined_an_invite_may_knock_later() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob", **rule("knock"))
    give_cards(alice, bob)
    bob.rooms.set_membership(room_id, bob.user_id, "leave")
    with pytest.raises(RoomNotHere, match="you left this room: try again"):
        bob.rooms.knock(room_id)
    alice.member(room_id, "bob", "leave")  # the declining is told to nobody
    assert hand_card(alice, bob, room_id)
    bob.rooms.knock(room_id)
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "knock"


def test_before_version_7_nobody_knocks() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create(version="6", **rule("knock"))
    assert alice.rooms.sharing.public_card(room_id, bob.server) is None


# --- restricted joins


def club(version: str, join_rule: str = "restricted") -> tuple[str, str, Node, Node]:
    """alice and bob are in the hall; alice's club lets the hall's members in."""
    hall, (alice, bob) = make_room("alice", "bob")
    room_id = alice.create(version=version, name="club", **rule(join_rule, hall))
    return hall, room_id, alice, bob


def drafted(bob: Node, room_id: str) -> Pdu:
    with pytest.raises(NeedsCoSignature) as caught:
        bob.rooms.join(room_id)
    return bob.rooms.draft_join(room_id, caught.value.authorisers[0])


@pytest.mark.parametrize("version", RESTRICTED_VERSIONS)
def test_a_member_of_an_allowed_room_is_let_in(version: str) -> None:
    _, room_id, alice, bob = club(version)
    assert hand_card(alice, bob, room_id)
    draft = drafted(bob, room_id)
    assert draft.content["join_authorised_via_users_server"] == alice.user_id
    signed = alice.rooms.co_sign(bob.server, room_id, draft.canonical())
    assert signed.event_id == draft.event_id
    assert alice.membership(room_id, "bob") == "join"
    again = alice.rooms.co_sign(bob.server, room_id, draft.canonical())
    assert again.canonical() == signed.canonical()  # the answer may have been lost

    assert bob.rooms.take_signed_join(room_id, signed.canonical()) == draft.event_id
    assert bob.rooms.take_signed_join(room_id, signed.canonical()) == draft.event_id
    assert bob.standing(room_id) == "join"
    bob.say(room_id, "thanks")  # before the history is here
    meet(alice, bob)
    assert alice.bodies(room_id) == ["thanks"] == bob.bodies(room_id)
    assert bob.room(room_id).kind is RoomKind.COMPLETE
    assert alice.view(room_id) == bob.view(room_id)


@pytest.mark.parametrize("version", ["10", "12"])
def test_knock_restricted_lets_members_in_and_others_ask(version: str) -> None:
    _, room_id, alice, bob = club(version, "knock_restricted")
    carol = Node("carol")
    assert hand_card(alice, bob, room_id)
    draft = drafted(bob, room_id)
    signed = alice.rooms.co_sign(bob.server, room_id, draft.canonical())
    bob.rooms.take_signed_join(room_id, signed.canonical())
    assert hand_card(alice, carol, room_id)
    with pytest.raises(AuthRuleError, match="doesn't see you in a room"):
        alice.rooms.co_sign(carol.server, room_id, drafted(carol, room_id).canonical())
    carol.rooms.knock(room_id)
    meet(alice, carol)
    assert alice.membership(room_id, "carol") == "knock"


def test_who_is_invited_needs_no_signature() -> None:
    _, room_id, alice, bob = club("12")
    alice.member(room_id, "bob", "invite")
    meet(alice, bob)
    bob.rooms.join(room_id)
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "join"
    join = alice.rooms.state(alice.room(room_id))[("m.room.member", bob.user_id)]
    assert "join_authorised_via_users_server" not in join.content


def test_a_restricted_room_is_no_ones_business() -> None:
    hall, room_id, alice, bob = club("12")
    carol = Node("carol")
    assert alice.rooms.sharing.public_card(room_id, carol.server) is None
    bob.rooms.set_membership(hall, bob.user_id, "leave")
    meet(alice, bob)
    assert alice.rooms.sharing.public_card(room_id, bob.server) is None


def test_what_isnt_signed() -> None:
    hall, room_id, alice, bob = club("11")
    carol = Node("carol")
    assert hand_card(alice, bob, room_id)
    draft = drafted(bob, room_id)
    before = alice.view(room_id)

    def refused(data: bytes, peer: Node = bob, room: str = room_id) -> str:
        with pytest.raises(PduError) as caught:
            alice.rooms.co_sign(peer.server, room, data)
        assert alice.view(room_id) == before
        return caught.value.reason

    unknown = refused(draft.canonical(), room="!nowhere:x")
    assert refused(draft.canonical(), peer=carol) == unknown  # carried by somebody else
    assert refused(draft.canonical(), room=hall) == unknown  # not restricted
    assert refused(b"{", peer=carol) == unknown  # nor does garbage show that the room is here
    assert refused(b"{") != unknown
    tampered = orjson.loads(draft.canonical())
    tampered["content"]["displayname"] = "Bob"
    assert "content hash" in refused(_canonical(tampered))
    unsigned = orjson.loads(draft.canonical())
    unsigned["signatures"] = {}
    assert "not signed by" in refused(_canonical(unsigned))
    named = orjson.loads(draft.canonical())
    named["content"]["join_authorised_via_users_server"] = carol.user_id
    assert "doesn't name" in refused(_canonical(named))
    alice.member(room_id, "bob", "ban")
    before = alice.view(room_id)
    assert "banned" in refused(draft.canonical())


def _canonical(json: Any) -> bytes:
    return orjson.dumps(json, option=orjson.OPT_SORT_KEYS)


def test_a_member_without_the_power_to_invite_lets_nobody_in() -> None:
    hall, (alice, bob, carol) = make_room("alice", "bob", "carol")
    room_id = alice.create("carol", **rule("restricted", hall))
    meet(alice, carol)
    carol.rooms.join(room_id)
    meet(alice, carol)
    assert hand_card(carol, bob, room_id)
    with pytest.raises(NeedsCoSignature) as caught:
        bob.rooms.join(room_id)
    assert caught.value.authorisers == (alice.user_id,)
    with pytest.raises(AuthRuleError, match="carol"):
        bob.rooms.draft_join(room_id, carol.user_id)


def test_answers_that_are_no_good_are_not_taken() -> None:
    _, room_id, alice, bob = club("11")
    assert hand_card(alice, bob, room_id)
    draft = drafted(bob, room_id)
    with pytest.raises(PduError, match="not signed by"):
        bob.rooms.take_signed_join(room_id, draft.canonical())
    create = alice.rooms.state(alice.room(room_id))[("m.room.create", "")]
    with pytest.raises(FormatError, match="no join of this room"):
        bob.rooms.take_signed_join(room_id, create.canonical())
    hers = alice.rooms.state(alice.room(room_id))[("m.room.member", alice.user_id)]
    with pytest.raises(FormatError, match="no join of this user"):
        bob.rooms.take_signed_join(room_id, hers.canonical())
    assert bob.standing(room_id) is None


def test_a_signed_join_counts_though_its_answer_is_lost() -> None:
    _, room_id, alice, bob = club("12")
    assert hand_card(alice, bob, room_id)
    alice.rooms.co_sign(bob.server, room_id, drafted(bob, room_id).canonical())
    assert bob.standing(room_id) is None
    speculative(alice, bob, room_id)
    assert bob.standing(room_id) == "join"
    assert bob.room(room_id).kind is RoomKind.COMPLETE
    assert alice.view(room_id) == bob.view(room_id)


def test_who_lost_their_store_is_in_the_room_by_its_card() -> None:
    room_id, (alice, bob) = make_room("alice", "bob", **rule("knock"))
    alice.say(room_id, "before")
    bob.say(room_id, "from bob")
    meet(alice, bob)
    empty = Node("bob")
    assert hand_card(alice, empty, room_id)
    assert empty.standing(room_id) == "join"
    empty.rooms.join(room_id)
    meet(alice, empty)
    assert sorted(empty.bodies(room_id)) == ["before", "from bob"]
    assert empty.view(room_id) == alice.view(room_id)


def test_a_second_members_card_names_more_who_may_let_one_in() -> None:
    """None of those whom the first card names may be in reach."""
    hall, (alice, bob, carol) = make_room("alice", "bob", "carol")
    room_id = alice.create("carol", **rule("restricted", hall))
    meet(alice, carol)
    carol.rooms.join(room_id)
    meet(alice, carol)
    alice.set_state(room_id, "m.room.power_levels", {"invite": 0})
    meet(alice, carol)
    first = alice.rooms.sharing.public_card(room_id, bob.server)
    assert first is not None
    assert first.kind is CardKind.PUBLIC
    assert hand_card(alice, bob, room_id)
    assert not hand_card(carol, bob, room_id)  # it names the same ones
    with pytest.raises(NeedsCoSignature) as caught:
        bob.rooms.join(room_id)
    assert set(caught.value.authorisers) == {alice.user_id, carol.user_id}


# --- third-party invites


def third_party(alice: Node, room_id: str, bob: Node) -> dict[str, Any]:
    """A token that alice's room knows, and what a key that she named signed about it."""
    notary = signer_for("notary")
    public_key = encode_unpadded_base64(notary.public_key)
    content = {"display_name": "b...@example.org", "public_key": public_key}
    alice.rooms.send(room_id, "m.room.third_party_invite", content, "a token")
    return sign_json({"mxid": bob.user_id, "token": "a token"}, notary)


@pytest.mark.parametrize("version", ["3", "10", "11", "12"])
def test_a_third_party_invite_is_redeemed_by_its_signed_block(version: str) -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create(version=version)
    signed = third_party(alice, room_id, bob)
    alice.rooms.set_membership(room_id, bob.user_id, "invite", signed=signed)
    give_cards(alice, bob)
    bob.rooms.join(room_id)
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "join"
    assert alice.view(room_id) == bob.view(room_id)


def test_third_party_invites_that_are_no_good() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create()
    signed = third_party(alice, room_id, bob)
    for wrong, reason in (
        (signed | {"token": "another"}, "no third-party invite with that token"),
        (signed | {"mxid": alice.user_id}, "not for"),
        (signed | {"more": "text"}, "no signature"),
        ({}, "no third-party invite with that token"),
    ):
        with pytest.raises(AuthRuleError, match=reason):
            alice.rooms.set_membership(room_id, bob.user_id, "invite", signed=wrong)


# --- names


def test_joins_knocks_and_new_rooms_carry_the_display_name() -> None:
    alice, bob = Node("alice"), Node("bob")
    for node, name in ((alice, "Alice Ahoy"), (bob, "Bob")):
        with node.store.transaction():
            set_own_displayname(node.store, name)
    room_id = alice.create("bob", **rule("knock"))
    own = alice.rooms.state(alice.room(room_id))[("m.room.member", alice.user_id)]
    assert own.content == {"membership": "join", "displayname": "Alice Ahoy"}
    meet(alice, bob)
    bob.rooms.join(room_id)
    meet(alice, bob)
    join = alice.rooms.state(alice.room(room_id))[("m.room.member", bob.user_id)]
    assert join.content == {"membership": "join", "displayname": "Bob"}
