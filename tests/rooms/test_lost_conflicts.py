"""`room explain` of state: every way to lose a conflict, and agreement with the receive pipeline on
the vector rooms."""

from __future__ import annotations

import os
import random

import pytest

from dtnode.matrix.pdu import Pdu
from dtnode.rooms.conflicts import LossReason
from dtnode.rooms.explain import Explainer
from dtnode.rooms.sharing import Sharing
from dtnode.rooms.timeline import Timeline
from dtnode.testing.rooms_builder import RoomBuilder
from tests.rooms.explained import at_node, check, fork, grounds, state, take_in_only, why
from tests.rooms.nodes import Node, make_room, meet
from tests.rooms.vector_rooms import ROOM_NAMES, Feed, load_room

DEEP = os.environ.get("DTNODE_FUZZ") == "deep"


def test_superseded_state_names_what_replaced_it() -> None:
    room, _ = fork("alice", "bob")
    first = room.state_event("alice", "m.room.topic", {"topic": "1"})
    second = room.state_event("alice", "m.room.topic", {"topic": "2"})
    third = room.state_event("alice", "m.room.topic", {"topic": "3"})
    node, room_id = at_node(room)
    found = state(why(node, room_id, first))
    assert (found.in_current, found.holds) == (False, third.event_id)
    assert (found.superseded_by, found.lost) == ((second.event_id,), ())
    assert state(why(node, room_id, second)).superseded_by == (third.event_id,)


Conflict = tuple[RoomBuilder, Pdu, Pdu, tuple[Pdu, ...]]
"""The room, what loses, what wins, and what decides."""


def newer_power_levels() -> Conflict:
    room, heads = fork("alice", "bob", users={"bob": 50})
    lost = room.state_event("bob", "m.room.topic", {"topic": "old"}, parents=heads, ts=2**40)
    old = room.pdus[heads[0]]
    levels = room.state_event(
        "alice", "m.room.power_levels", {"users": {room.user("bob"): 51}}, parents=heads
    )
    won = room.state_event(
        "alice", "m.room.topic", {"topic": "new"}, parents=[levels.event_id], ts=1
    )
    return room, lost, won, (levels, old)


def not_allowed() -> Conflict:
    room, heads = fork("alice", "bob", "carol", users={"bob": 50})
    lost = room.member("bob", "carol", "ban", parents=heads)
    demotion = room.state_event("alice", "m.room.power_levels", {"users": {}}, parents=heads)
    won = room.pdus[room.state(heads)["m.room.member", room.user("carol")]]
    return room, lost, won, (demotion,)


def later_time() -> Conflict:
    room, heads = fork("alice", "bob", users={"bob": 50})
    won = room.state_event("bob", "m.room.topic", {"topic": "late"}, parents=heads, ts=2_000)
    lost = room.state_event("alice", "m.room.topic", {"topic": "early"}, parents=heads, ts=1_000)
    return room, lost, won, ()


def event_id() -> Conflict:
    room, heads = fork("alice", "bob", users={"bob": 50})
    topics = [
        room.state_event(who, "m.room.topic", {"topic": who}, parents=heads, ts=1_000)
        for who in ("alice", "bob")
    ]
    lost, won = sorted(topics, key=lambda pdu: pdu.event_id)
    return room, lost, won, ()


def less_power_later() -> Conflict:
    room, heads = fork("alice", "bob", users={"bob": 50})
    lost = room.state_event(
        "alice", "m.room.join_rules", {"join_rule": "invite"}, parents=heads, ts=9_000
    )
    won = room.state_event(
        "bob", "m.room.join_rules", {"join_rule": "knock"}, parents=heads, ts=1_000
    )
    return room, lost, won, (room.pdus[heads[0]],)


def settled_first() -> Conflict:
    room, _ = fork("alice", "bob", users={"bob": 50})
    room.member("alice", "carol", "invite")
    heads = room.heads
    lost = room.member("bob", "carol", "leave", parents=heads, ts=9_000)
    won = room.member("alice", "carol", "invite", parents=heads, ts=1_000)
    return room, lost, won, ()


def builds_on() -> Conflict:
    """The winner's own time and power would put it first, but it waits for newer power levels."""
    room, heads = fork("alice", "bob")
    lost = room.state_event(
        "alice", "m.room.join_rules", {"join_rule": "invite"}, parents=heads, ts=5_000
    )
    levels = room.state_event(
        "alice", "m.room.power_levels", {"users": {}, "ban": 60}, parents=heads, ts=9_000
    )
    won = room.state_event(
        "alice",
        "m.room.join_rules",
        {"join_rule": "knock"},
        parents=[levels.event_id],
        ts=1_000,
    )
    return room, lost, won, ()


CONFLICTS = {
    LossReason.NEWER_POWER_LEVELS: newer_power_levels,
    LossReason.NOT_ALLOWED: not_allowed,
    LossReason.LATER_TIME: later_time,
    LossReason.EVENT_ID: event_id,
    LossReason.LESS_POWER_LATER: less_power_later,
    LossReason.SETTLED_FIRST: settled_first,
    LossReason.BUILDS_ON: builds_on,
}


def test_every_reason_is_tested() -> None:
    assert set(CONFLICTS) == set(LossReason)


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("reason", CONFLICTS)
def test_a_lost_conflict(reason: LossReason, merge: bool) -> None:
    room, lost, won, because_of = CONFLICTS[reason]()
    node, room_id = at_node(room, merge)
    found = state(why(node, room_id, lost))
    if not merge and why(node, room_id, lost).verdict == "soft-failed":
        assert [entry.where for entry in found.lost] == ["tip state"]
    else:
        assert [entry.where for entry in found.lost] == ["merge" if merge else "current state"]
    (entry,) = found.lost
    assert entry.loss.reason is reason, entry.loss
    assert entry.loss.winner == won.event_id == found.holds
    assert set(entry.loss.obstacle.because_of) == {pdu.event_id for pdu in because_of}
    assert entry.event_id == (room.heads[0] if merge else None)
    assert not found.superseded_by
    winner = why(node, room_id, won)
    assert state(winner).in_current
    assert state(winner).lost == ()


def test_the_winner_wins_before_the_merge_on_the_other_side_too() -> None:
    """A node that had the losing side first tells the same story."""
    room, lost, won, _ = newer_power_levels()
    node = Node("dan")
    order = sorted(room.pdus.values(), key=lambda pdu: pdu is not lost)
    take_in_only(node, room, [pdu for pdu in room.pdus.values() if pdu not in (lost, won)])
    assert room.room_id is not None
    node.receive(room.room_id, room.canonical(order))
    (entry,) = state(why(node, room.room_id, lost)).lost
    assert entry.loss.reason is LossReason.NEWER_POWER_LEVELS


def test_replaced_knowingly_is_no_conflict_though_another_branch_has_it() -> None:
    room, heads = fork("alice", "bob")
    first = room.state_event("alice", "m.room.topic", {"topic": "1"}, parents=heads)
    aside = room.message("bob", parents=[first.event_id])
    second = room.state_event("alice", "m.room.topic", {"topic": "2"}, parents=[first.event_id])
    node, room_id = at_node(room)
    found = state(why(node, room_id, first))
    assert (found.superseded_by, found.lost) == ((second.event_id,), ())
    assert why(node, room_id, aside).state is None


def test_a_back_door_is_in_the_tip_state_only() -> None:
    """What DESIGN section 2 says of the sock puppet, told to a person."""
    room, _ = fork("alice", "mallory", users={"mallory": 50})
    room.state_event("alice", "m.room.join_rules", {"join_rule": "invite"})
    heads = room.heads
    ban = room.member("alice", "mallory", "ban")
    invite = room.member("mallory", "puppet", "invite", parents=heads)
    join = room.join("puppet", parents=[invite.event_id])
    node, room_id = at_node(room)
    found = why(node, room_id, join)
    assert found.verdict == "soft-failed"
    assert (state(found).in_current, state(found).in_tips) == (False, True)
    assert state(found).lost == ()
    by_mallory = why(node, room_id, invite)
    assert check(by_mallory, "current_state").obstacle.because_of == (ban.event_id,)


def test_nodes_tell_the_same_of_a_conflict_after_they_met() -> None:
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    alice.set_state(room_id, "m.room.power_levels", {"users": {bob.user_id: 50}})
    meet(alice, bob)
    meet(alice, carol)
    bob.member(room_id, "carol", "ban")
    alice.set_state(room_id, "m.room.power_levels", {"users": {}})
    meet(alice, bob)
    ban = next(
        event.event_id
        for event in alice.store.events.in_nid_order(alice.room(room_id).nid)
        if event.pdu.membership == "ban"
    )
    on_alices, on_bobs = why(alice, room_id, ban), why(bob, room_id, ban)
    assert (on_alices.verdict, on_bobs.verdict) == ("soft-failed", "accepted")
    losses = [[entry.loss for entry in state(found).lost] for found in (on_alices, on_bobs)]
    assert losses[0] == losses[1] != []


# --- the vector rooms


def feed(name: str, seed: int | None) -> Feed:
    room = load_room(name)
    lines = list(room.lines)
    if seed is not None:
        random.Random(seed).shuffle(lines)
    fed = Feed(room.version, room.room_id, room.keys)
    for start in range(0, len(lines), 7):
        fed.receive(lines[start : start + 7])
    return fed


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("name", ROOM_NAMES if DEEP else ROOM_NAMES[1::4])
def test_explanations_agree_with_the_pipeline(name: str, seed: int | None) -> None:
    fed = feed(name, seed)
    own = "receiver.test"
    timeline = Timeline(fed.store, fed.states, own)
    sharing = Sharing(fed.store, fed.states, own, f"@u:{own}")
    explainer = Explainer(fed.store, fed.states, sharing, timeline, own)
    current = fed.store.state_groups.state(fed.room.current_group)
    for event in list(fed.store.events.in_nid_order(fed.room.nid)):
        found = explainer.explain(fed.room, explainer.find(fed.room, event.event_id[:12]))
        assert found.event_id == event.event_id
        failed = [report for report in found.checks if report.outcome == "failed"]
        if found.verdict == "accepted":
            assert not failed
            assert grounds(found)[1:] or event.pdu.type == "m.room.create"
        else:
            assert [report.reason for report in failed] == [event.reason]
            named = failed[0].obstacle.event_ids()
            assert named or failed[0].check == "auth_events", "what decided is named"
        if found.state is not None and not found.state.in_current:
            told = found.state.superseded_by or found.state.lost
            assert told or event.soft_failed, event.event_id
            for entry in found.state.lost:
                if entry.where == "current state":
                    assert entry.loss.winner == current.get(event.pdu.key)
