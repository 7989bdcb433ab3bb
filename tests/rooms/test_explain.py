"""`room explain` from inside: every verdict, and which event a person means."""

from __future__ import annotations

from collections import Counter

import pytest

from dtnode.matrix.pdu import Pdu
from dtnode.rooms.names import NameAmbiguous, NameNotFound
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from tests.rooms.explained import at_node, check, fork, grounds, outcomes, state, take_in_only, why
from tests.rooms.nodes import Node, meet, take_in

# --- verdicts


def test_an_accepted_event_says_what_allows_it() -> None:
    room, _ = fork("alice", "bob", users={"bob": 60})
    topic = room.state_event("bob", "m.room.topic", {"topic": "wind"})
    levels = room.state(topic.prev_events)["m.room.power_levels", ""]
    node, room_id = at_node(room)
    found = why(node, room_id, topic)
    assert (found.verdict, found.reason, found.content) == ("accepted", None, "whole")
    assert outcomes(found) == ["ok"] * 7
    bob = room.user("bob")
    assert grounds(found) == [
        f"signed by {signer_for('bob').server_name}",
        f"{bob} is in the room",
        f"{bob} has power 60, it takes 50 to send m.room.topic",
    ]
    assert check(found, "auth_events").grounds[1].event_ids == (levels,)
    assert state(found).in_current
    assert state(found).in_tips
    assert [named.event_id for named in found.parents] == list(topic.prev_events)
    assert [named.verdict for named in found.auth_events] == ["accepted"] * 3
    assert found.arrived_ms is not None


@pytest.mark.parametrize("version", ["3", "9", "12"])
def test_what_allows_memberships(version: str) -> None:
    room = RoomBuilder("alice", "bob", version=version)
    alice = room.user("alice")
    founding = next(pdu for pdu in room.pdus.values() if pdu.membership == "join")
    walked_in = room.join("carol")
    room.state_event("alice", "m.room.join_rules", {"join_rule": "invite"})
    invite = room.member("alice", "dan", "invite")
    accepted = room.join("dan")
    left = room.member("dan", "dan", "leave")
    kick = room.member("alice", "carol", "leave")
    ban = room.member("alice", "bob", "ban")
    unban = room.member("alice", "bob", "leave")
    node, room_id = at_node(room)
    power = "a creator's infinite power" if version == "12" else "power 100"
    expected = {
        founding: "the room's creator joins right after the create event",
        walked_in: "the join rule is 'public', which lets anyone in",
        invite: f"{alice} has {power}, it takes 0 to invite",
        accepted: f"{room.user('dan')} is invited",
        left: f"{room.user('dan')} is in the room",
        kick: f"{alice} has {power}, it takes 50 to remove {room.user('carol')}",
        ban: f"{room.user('bob')} has less: power 0",
        unban: f"{alice} has {power}, it takes 50 to lift the ban of {room.user('bob')}",
    }
    for pdu, text in expected.items():
        found = why(node, room_id, pdu)
        assert found.verdict == "accepted", found.reason
        assert text in grounds(found), grounds(found)
    assert "it is the event that the room began with" in grounds(why(node, room_id, room.create))


def test_what_allows_knocks_and_joins_that_a_member_vouches_for() -> None:
    room = RoomBuilder("alice", "bob", join_rule="knock_restricted")
    knock = room.member("carol", "carol", "knock")
    vouched = room.make(
        "dan",
        "m.room.member",
        {"membership": "join", "join_authorised_via_users_server": room.user("alice")},
        room.user("dan"),
        signers=[signer_for("dan"), signer_for("alice")],
    )
    room.add(vouched)
    node, room_id = at_node(room)
    assert any("which lets anyone ask" in text for text in grounds(why(node, room_id, knock)))
    texts = grounds(why(node, room_id, vouched))
    assert f"{room.user('alice')} vouches for {room.user('dan')} and is in the room" in texts


def test_rejected_by_its_own_auth_events() -> None:
    room, _ = fork("alice", "bob")
    topic = room.state_event("bob", "m.room.topic", {"topic": "mine"})
    child = room.message("alice", parents=[*room.heads, topic.event_id])
    node, room_id = at_node(room)
    found = why(node, room_id, topic)
    assert found.verdict == "rejected"
    assert outcomes(found) == ["ok"] * 4 + ["failed", "not reached", "not reached"]
    assert check(found, "auth_events").reason == found.reason
    assert "has power 0, needs 50" in str(found.reason)
    assert found.state is None
    assert {named.verdict for named in why(node, room_id, child).parents} == {
        "accepted",
        "rejected",
    }


def test_rejected_for_resting_on_a_rejected_event_names_it() -> None:
    room, heads = fork("alice", "bob")
    bad = room.state_event("bob", "m.room.power_levels", {"users": {room.user("bob"): 100}})
    own = room.state(heads)["m.room.member", room.user("bob")]
    resting = room.message("bob", parents=heads, auth=[bad.event_id, own])
    node, room_id = at_node(room)
    report = check(why(node, room_id, resting), "auth_events")
    assert report.reason == f"auth event {bad.event_id} was rejected"
    assert report.obstacle.because_of == (bad.event_id,)


def test_rejected_by_the_state_before_it() -> None:
    room, _ = fork("alice", "bob")
    auth = room.message("bob").auth_events
    ban = room.member("alice", "bob", "ban")
    late = room.message("bob", "still here", auth=auth)
    node, room_id = at_node(room)
    found = why(node, room_id, late)
    assert outcomes(found)[4:] == ["ok", "failed", "not reached"]
    report = check(found, "state_before")
    assert report.reason == found.reason == f"{late.sender} is not in the room (membership: ban)"
    assert report.obstacle.because_of == (ban.event_id,)


def test_soft_failed_says_against_which_state_and_what_in_it() -> None:
    room, heads = fork("alice", "bob", users={"bob": 50})
    topic = room.state_event("alice", "m.room.topic", {"topic": "x"})
    demotion = room.state_event("alice", "m.room.power_levels", {"users": {}})
    kick = room.member("bob", "bob", "join", parents=heads, content={"displayname": "Bob"})
    name = room.state_event("bob", "m.room.name", {"name": "mine"}, parents=[kick.event_id])
    node, room_id = at_node(room)
    found = why(node, room_id, name)
    assert (found.verdict, found.allowed_now) == ("soft-failed", False)
    report = check(found, "current_state")
    assert report.outcome == "failed"
    assert report.reason == found.reason
    assert report.obstacle.because_of == (demotion.event_id,), "and not the topic"
    assert set(report.against) == {demotion.event_id, kick.event_id}
    assert topic.event_id not in found.event_ids()
    assert not state(found).in_current
    assert why(node, room_id, kick).verdict == "accepted"


def test_soft_failed_and_allowed_by_now() -> None:
    room, heads = fork("alice", "bob")
    ban = room.member("alice", "bob", "ban")
    message = room.message("bob", parents=heads)
    node, room_id = at_node(room)
    assert why(node, room_id, message).allowed_now is False
    assert why(node, room_id, message).apart
    unban = room.member("alice", "bob", "leave", parents=[ban.event_id])
    back = room.join("bob", parents=[unban.event_id])
    node.receive(room_id, room.canonical([unban, back]))
    found = why(node, room_id, message)
    assert (found.verdict, found.allowed_now) == ("soft-failed", True)
    assert check(found, "current_state").obstacle.because_of == (ban.event_id,), "as it was then"


def test_soft_failed_for_a_state_that_lacks_its_sender() -> None:
    """The sender's invite gives way to a ban; what the state lacks is named."""
    room, heads = fork("alice", "bob", users={"bob": 50})
    room.state_event("alice", "m.room.join_rules", {"join_rule": "invite"}, parents=heads)
    room.state_event("alice", "m.room.power_levels", {"users": {}, "invite": 50})
    invite = room.member("bob", "eve", "invite", parents=heads)
    node, room_id = at_node(room)
    found = why(node, room_id, invite)
    assert found.verdict == "soft-failed"
    join = room.join("eve", parents=[invite.event_id])
    node.receive(room_id, room.canonical([join]))
    report = check(why(node, room_id, join), "current_state")
    assert report.outcome == "failed"
    assert report.obstacle.lacks == (invite.event_id,)


def test_soft_failed_by_the_server_acl() -> None:
    room, heads = fork("alice", "bob")
    server = signer_for("bob").server_name
    acl = room.state_event("alice", "m.room.server_acl", {"allow": ["*"], "deny": [server]})
    message = room.message("bob", parents=heads)
    node, room_id = at_node(room)
    found = why(node, room_id, message)
    assert found.reason == f"the room's server ACL denies {server}"
    assert check(found, "current_state").obstacle.because_of == (acl.event_id,)
    assert found.allowed_now is False


# --- not judged


def test_held_events_say_what_they_wait_for_through_others() -> None:
    room, _ = fork("alice", "bob")
    first, second, third = (room.message("bob", str(number)) for number in range(3))
    node = Node("dan")
    assert room.room_id is not None
    missing = [pdu for pdu in room.pdus.values() if pdu not in (first, second, third)]
    take_in_only(node, room, missing)
    node.receive(room.room_id, room.canonical([third, second]))
    found = why(node, room.room_id, third)
    assert found.verdict == "held"
    assert found.waits_for == (first.event_id,)
    assert outcomes(found) == ["ok", "ok", "ok", "waiting"] + ["not reached"] * 3
    assert [(named.event_id, named.verdict) for named in found.parents] == [
        (second.event_id, "held")
    ]
    lost = why(node, room.room_id, first)
    assert (lost.verdict, lost.needed_by) == ("missing", (second.event_id,))
    node.receive(room.room_id, room.canonical([first]))
    assert why(node, room.room_id, third).verdict == "accepted"


def test_events_of_an_invited_room() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    meet(alice, bob)
    join = bob.rooms.join(room_id)
    card = bob.store.rooms.cards(bob.room(room_id).nid)[0]
    assert why(bob, room_id, card.event_id).verdict == "on a card"
    found = why(bob, room_id, join)
    assert found.verdict == "held"
    assert "only an invite" in str(found.reason)
    assert found.source == bob.server


@pytest.mark.parametrize(("type_", "content"), [("m.room.topic", "gap"), ("x", "gap")])
def test_a_redacted_copy_says_so(type_: str, content: str) -> None:
    room, _ = fork("alice", "bob")
    pdu = room.event("alice", type_, {"topic": "x"}, "" if type_ == "m.room.topic" else None)
    node = Node("dan")
    take_in_only(node, room, [one for one in room.pdus.values() if one is not pdu])
    assert room.room_id is not None
    tampered = {**pdu.json, "content": {"topic": "y"}}
    node.receive(room.room_id, [Pdu(tampered, "$", pdu.version, redacted=False).canonical()])
    found = why(node, room.room_id, pdu)
    assert check(found, "content_hash").outcome == "redacted"
    assert found.content == content
    node.receive(room.room_id, room.canonical([pdu]))
    assert why(node, room.room_id, pdu).content == "whole"


# --- ids


def test_ids_by_their_beginning() -> None:
    room, _ = fork("alice", "bob")
    message = room.message("bob")
    node, room_id = at_node(room)
    event_id = message.event_id
    for text in (event_id, event_id[1:], event_id[:8], event_id[1:8], f" {event_id} "):
        assert why(node, room_id, text).event_id == event_id
    for text in ("", "$", event_id[:5], "$" + "A" * 43, "$" + "é" * 10, "$%_%_%_", event_id + "A"):
        with pytest.raises(NameNotFound, match="dtnode read ROOM --json"):
            why(node, room_id, text)
    other = RoomBuilder("bob", "alice")
    take_in(node, other)
    with pytest.raises(NameNotFound):
        why(node, room_id, other.heads[0])


def test_an_ambiguous_beginning_names_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    room, _ = fork("alice", "bob")
    for number in range(40):
        room.message("bob", str(number))
    node, room_id = at_node(room)
    monkeypatch.setattr("dtnode.rooms.explain.MIN_PREFIX", 1)
    ((letter, often),) = Counter(event_id[1] for event_id in room.pdus).most_common(1)
    assert often > 1
    with pytest.raises(NameAmbiguous, match=rf"give more of it: \${letter}"):
        why(node, room_id, letter)
