"""Room upgrades, and which of two rooms of one name is meant afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from dtnode.errors import AuthRuleError, FormatError
from dtnode.rooms.names import NameAmbiguous
from dtnode.rooms.upgrade import Upgrade
from dtnode.testing.rooms_builder import user_id_for
from tests.rooms.nodes import Node, give_cards, make_room, meet

STEPS = [("3", "4"), ("6", "12"), ("9", "10"), ("11", "12"), ("12", "11"), ("12", "12")]


def state(node: Node, room_id: str, type_: str, key: str = "") -> Any:
    event = node.rooms.state(node.room(room_id)).get((type_, key))
    return None if event is None else event.content


@pytest.mark.parametrize(("old", "new"), STEPS)
def test_what_goes_with_the_room(old: str, new: str) -> None:
    alice = Node("alice")
    mallory = user_id_for("mallory")
    acl = {"allow": ["*"], "deny": ["evil.example"], "allow_ip_literals": True}
    old_id = alice.create(
        "bob",
        version=old,
        name="hut",
        topic="warm",
        creation_content={"type": "org.example.hut"},
        initial_state=[
            {"type": "m.room.server_acl", "content": acl},
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
            {"type": "m.room.avatar", "content": {"url": "mxc://x/y"}},
            {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
            {"type": "org.example.other", "content": {"not": "copied"}},
        ],
    )
    alice.member(old_id, "mallory", "ban", reason="rude")
    last = alice.say(old_id, "the last word")
    new_id = alice.rooms.upgrade(old_id, Upgrade(version=new))

    create = state(alice, new_id, "m.room.create")
    assert create["predecessor"] == {"room_id": old_id, "event_id": last}
    assert create["type"] == "org.example.hut"
    assert create["room_version"] == new
    assert alice.room(new_id).version.identifier == new
    assert state(alice, old_id, "m.room.tombstone")["replacement_room"] == new_id
    for type_ in ("name", "topic", "server_acl", "history_visibility", "avatar", "encryption"):
        key = f"m.room.{type_}"
        assert state(alice, new_id, key) == state(alice, old_id, key), key
    assert state(alice, new_id, "m.room.join_rules") == {"join_rule": "invite"}
    assert state(alice, new_id, "org.example.other") is None
    assert state(alice, new_id, "m.room.member", mallory) == {"membership": "ban", "reason": "rude"}
    users = state(alice, new_id, "m.room.power_levels")["users"]
    assert users == ({} if new == "12" else {alice.user_id: 100})
    alice.set_state(new_id, "m.room.topic", {"topic": "alice can still do everything"})
    alice.say(old_id, "the old room is still open")
    assert alice.rooms.summary(alice.room(new_id)).soft_failed == 0


def test_powers_of_others_stay_and_old_text_becomes_numbers() -> None:
    alice, bob = Node("alice"), user_id_for("bob")
    levels = {"users": {alice.user_id: "100", bob: "50"}, "invite": "50", "events": {"m.x": "7"}}
    old_id = alice.create(version="9", power_levels=levels)
    eleven = alice.rooms.upgrade(old_id, Upgrade(version="11"))
    content = state(alice, eleven, "m.room.power_levels")
    assert content["users"] == {alice.user_id: 100, bob: 50}
    assert (content["invite"], content["events"]) == (50, {"m.x": 7})
    twelve = alice.rooms.upgrade(eleven, Upgrade(additional_creators=[bob]))
    content = state(alice, twelve, "m.room.power_levels")
    assert content["users"] == {}
    assert content["events"]["m.room.tombstone"] == 150
    assert state(alice, twelve, "m.room.create")["additional_creators"] == [bob]


def test_members_are_asked_into_the_new_room_and_the_name_leads_there() -> None:
    old_id, (alice, bob, carol) = make_room("alice", "bob", "carol", name="hut")
    alice.say(old_id, "we move")
    new_id = alice.rooms.upgrade(old_id, Upgrade(invite=True))
    meet(alice, bob)
    assert bob.rooms.summary(bob.room(old_id)).successor == new_id
    assert bob.standing(new_id) == "invite"
    assert bob.rooms.names.resolve_room("hut").room_id == new_id
    assert bob.rooms.names.resolve_room("HUT").room_id == new_id
    assert bob.rooms.names.resolve_room(old_id).room_id == old_id
    bob.rooms.join(new_id)
    meet(alice, bob)
    assert alice.membership(new_id, "bob") == "join"
    assert bob.rooms.summary(bob.room(new_id)).predecessor == old_id
    assert bob.view(new_id) == alice.view(new_id)
    assert carol.rooms.names.resolve_room("hut").room_id == old_id  # hasn't heard of it


def test_who_is_apart_goes_on_in_the_old_room() -> None:
    old_id, (alice, bob) = make_room("alice", "bob")
    bob.say(old_id, "from afar")
    alice.rooms.upgrade(old_id, Upgrade())
    meet(alice, bob)
    assert alice.bodies(old_id)[0] == "from afar"
    assert alice.rooms.summary(alice.room(old_id)).soft_failed == 0


def test_a_tombstone_alone_leads_nowhere() -> None:
    """Rooms of one name, of which one claims to be replaced by the other, or to replace it."""
    alice = Node("alice")
    first, second = alice.create(name="hut"), alice.create(name="hut")
    alice.set_state(first, "m.room.tombstone", {"body": "", "replacement_room": second})
    with pytest.raises(NameAmbiguous):
        alice.rooms.names.resolve_room("hut")
    claims = {"predecessor": {"room_id": second, "event_id": "$x"}}
    alice.create(name="hut", creation_content=claims)
    with pytest.raises(NameAmbiguous, match="3 rooms"):
        alice.rooms.names.resolve_room("hut")


@pytest.mark.parametrize("content", [{}, {"replacement_room": 7}, {"replacement_room": "\x1b!x"}])
def test_tombstones_may_hold_anything(content: dict[str, Any]) -> None:
    alice = Node("alice")
    room_id = alice.create(creation_content={"predecessor": content})
    alice.set_state(room_id, "m.room.tombstone", content)
    summary = alice.rooms.summary(alice.room(room_id))
    assert (summary.successor, summary.predecessor) == (None, None)


def test_what_cant_be_upgraded() -> None:
    old_id, (alice, bob) = make_room("alice", "bob")
    rooms = len(list(bob.store.rooms))
    with pytest.raises(AuthRuleError, match="needs 150 to send"):
        bob.rooms.upgrade(old_id, Upgrade())
    assert len(list(bob.store.rooms)) == rooms  # nothing is left of the new room
    with pytest.raises(FormatError, match="isn't known here"):
        alice.rooms.upgrade(old_id, Upgrade(version="99"))
    with pytest.raises(FormatError, match="no additional creators"):
        alice.rooms.upgrade(old_id, Upgrade(version="11", additional_creators=[bob.user_id]))
    new_id = alice.rooms.upgrade(old_id, Upgrade())
    with pytest.raises(AuthRuleError, match=f"replaced by {new_id} already"):
        alice.rooms.upgrade(old_id, Upgrade())
    carol = Node("carol")
    alice.member(old_id, "carol", "invite")
    give_cards(alice, carol)
    with pytest.raises(AuthRuleError, match="isn't here yet"):
        carol.rooms.upgrade(old_id, Upgrade())


def test_creators_who_arent_of_the_new_room_keep_a_founders_power() -> None:
    alice, bob = Node("alice"), user_id_for("bob")
    old_id = alice.create(creation_content={"additional_creators": [bob]})
    new_id = alice.rooms.upgrade(old_id, Upgrade())
    assert state(alice, new_id, "m.room.power_levels")["users"] == {bob: 100}
    older = alice.rooms.upgrade(new_id, Upgrade(version="11"))
    users = state(alice, older, "m.room.power_levels")["users"]
    assert users == {alice.user_id: 100, bob: 100}


def test_nobody_gains_power_by_an_upgrade() -> None:
    old_id, (alice, bob) = make_room("alice", "bob", version="11")
    levels = {"users": {alice.user_id: 100, bob.user_id: 50}, "state_default": 50}
    alice.set_state(old_id, "m.room.power_levels", levels)
    meet(alice, bob)
    new_id = bob.rooms.upgrade(old_id, Upgrade(version="11", invite=True))
    assert state(bob, new_id, "m.room.power_levels") == levels
    assert bob.membership(new_id, "alice") == "invite"


def test_join_rules_that_the_new_version_doesnt_know_become_invite() -> None:
    alice = Node("alice")
    knock = [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]
    old_id = alice.create(version="7", initial_state=knock)
    older = alice.rooms.upgrade(old_id, Upgrade(version="6"))
    assert state(alice, older, "m.room.join_rules") == {"join_rule": "invite"}
    newer = alice.create(version="7", initial_state=knock, name="other")
    newest = alice.rooms.upgrade(newer, Upgrade(version="12"))
    assert state(alice, newest, "m.room.join_rules") == {"join_rule": "knock"}
