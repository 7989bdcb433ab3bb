"""Cards of acts that somebody had the power for once: forged by nobody, and yet no news."""

from __future__ import annotations

import pytest

from dtnode.matrix.pdu import Pdu, parse_pdu
from dtnode.matrix.signing import sign_event
from dtnode.store import RoomKind
from dtnode.testing.rooms_builder import user_id_for
from dtnode.wire.messages import CardKind, RoomCard
from tests.rooms.nodes import Node, give_cards, make_room, meet


def former_moderator() -> tuple[str, Node, Node, Node, dict[str, str]]:
    """alice's room; mallory could kick and invite, was demoted and banned, and bob knows it. With
    the event ids that gave her the power, by type, and bob's join."""
    room_id, (alice, bob, mallory) = make_room("alice", "bob", "mallory")
    alice.set_state(room_id, "m.room.power_levels", {"users": {mallory.user_id: 50}})
    meet(alice, bob)
    meet(alice, mallory)
    state = mallory.store.state_groups.state(mallory.room(room_id).current_group)
    auth = {
        "levels": state[("m.room.power_levels", "")],
        "rules": state[("m.room.join_rules", "")],
        "mallory": state[("m.room.member", mallory.user_id)],
        "bob": state[("m.room.member", bob.user_id)],
    }
    alice.set_state(room_id, "m.room.power_levels", {"users": {}})
    alice.member(room_id, "mallory", "ban")
    meet(alice, bob)
    meet(alice, mallory)
    assert bob.membership(room_id, "mallory") == "ban"
    return room_id, alice, bob, mallory, auth


def aged(mallory: Node, room_id: str, membership: str, parent: str, auth: list[str]) -> Pdu:
    """mallory's act on bob, signed after she lost the power and dated before that."""
    version = mallory.room(room_id).version
    json = {
        "room_id": room_id,
        "type": "m.room.member",
        "state_key": user_id_for("bob"),
        "sender": mallory.user_id,
        "content": {"membership": membership, "reason": "mallory says so"},
        "prev_events": [parent],
        "auth_events": auth,
        "depth": 50,
        "origin_server_ts": mallory.clock.now_ms(),
        "hashes": {"sha256": ""},
        "signatures": {},
    }
    return parse_pdu(sign_event(json, version, mallory.signer), version)


def card_of(mallory: Node, room_id: str, *made: Pdu, kind: CardKind) -> RoomCard:
    """About the last of the events made, with the auth chains that are on mallory's node."""
    chain: dict[int, Pdu] = {}
    own = {pdu.event_id for pdu in made}
    todo = [id_ for pdu in made for id_ in pdu.auth_event_ids if id_ not in own]
    while todo:
        stored = mallory.store.events.get(todo.pop())
        assert stored is not None
        chain[stored.nid] = stored.pdu
        todo += stored.pdu.auth_event_ids
    return RoomCard(
        kind=kind,
        room_id=room_id,
        room_version="12",
        event_id=made[-1].event_id,
        pdus=tuple(pdu.canonical() for pdu in (*(chain[nid] for nid in sorted(chain)), *made)),
        state=(),
        state_hash=bytes(32),
    )


@pytest.mark.parametrize("known_parent", [True, False])
@pytest.mark.parametrize("membership", ["ban", "leave"])
def test_a_former_moderator_removes_nobody(membership: str, known_parent: bool) -> None:
    room_id, alice, bob, mallory, auth = former_moderator()
    parent = auth["levels"] if known_parent else "$" + "A" * 43
    ids = [auth["levels"], auth["mallory"], auth["bob"]]
    removal = aged(mallory, room_id, membership, parent, ids)
    card = card_of(mallory, room_id, removal, kind=CardKind.REMOVAL)
    assert not bob.rooms.take_card(card, source=mallory.server)
    assert bob.standing(room_id) == "join"
    assert bob.rooms.summary(bob.room(room_id)).note is None
    bob.say(room_id, "still here")
    meet(alice, bob)
    assert alice.bodies(room_id) == ["still here"]


def test_nor_pulls_anybody_out_by_inviting_them_again() -> None:
    room_id, alice, bob, mallory, auth = former_moderator()
    kick_ids = [auth["levels"], auth["mallory"], auth["bob"]]
    kick = aged(mallory, room_id, "leave", "$" + "A" * 43, kick_ids)
    ids = [auth["levels"], auth["rules"], auth["mallory"], kick.event_id]
    invite = aged(mallory, room_id, "invite", kick.event_id, ids)
    card = card_of(mallory, room_id, kick, invite, kind=CardKind.INVITE)
    assert not bob.rooms.take_card(card, source=mallory.server)
    assert bob.room(room_id).kind is RoomKind.COMPLETE
    assert bob.standing(room_id) == "join"
    bob.say(room_id, "still here")
    meet(alice, bob)
    assert alice.bodies(room_id) == ["still here"]


def test_who_has_the_power_still_removes_and_invites_while_apart() -> None:
    """The same two cards from alice, of acts that bob's node can't place yet, are news."""
    room_id, (alice, bob) = make_room("alice", "bob")
    alice.say(room_id, "bob doesn't have this yet")
    alice.member(room_id, "bob", "leave")
    alice.member(room_id, "bob", "invite")
    assert give_cards(alice, bob) == 1
    assert bob.standing(room_id) == "invite"
    bob.rooms.join(room_id)
    meet(alice, bob)
    assert alice.membership(room_id, "bob") == "join"
    assert alice.view(room_id) == bob.view(room_id)
