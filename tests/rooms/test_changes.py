"""`room diff` from inside: what changed since an event, and since a time."""

from __future__ import annotations

import pytest

from dtnode.rooms.changes import MAX_LISTED, Changes, PowerChange, Talk
from dtnode.rooms.conflicts import LossReason
from dtnode.testing.rooms_builder import RoomBuilder
from tests.rooms.explained import at_node, fork, take_in_only
from tests.rooms.nodes import FakeClock, Node, make_room, meet, take_in

MINUTE = 60_000


def since(node: Node, room_id: str, event_id: str) -> Changes:
    found = node.rooms.changes.since_event(node.room(room_id), event_id)
    assert found is not None
    assert isinstance(found.event_ids(), set)
    return found


def members(found: Changes, node: Node) -> dict[str, tuple[str | None, str | None]]:
    """local part -> (membership before, after)"""

    def membership(event_id: str | None) -> str | None:
        return None if event_id is None else node.pdu(event_id).membership

    return {
        change.state_key.split(":")[0][1:]: (membership(change.before), membership(change.after))
        for change in found.members
    }


def test_nothing_changed() -> None:
    room, heads = fork("alice", "bob")
    node, room_id = at_node(room)
    found = since(node, room_id, heads[0])
    assert found == Changes(room_id=room_id, since_event=heads[0], since_ms=None)


def test_who_came_and_went_and_what_is_called_otherwise() -> None:
    room, heads = fork("alice", "bob", "carol", "dan", "erin")
    room.join("frank")
    room.member("alice", "grace", "invite")
    room.member("bob", "bob", "leave")
    room.member("alice", "carol", "ban")
    room.member("alice", "dan", "leave")
    room.member("erin", "erin", "join", content={"displayname": "Erin"})
    room.join("heidi")
    room.member("heidi", "heidi", "leave")
    old = room.state_event("alice", "m.room.name", {"name": "boat"})
    new = room.state_event("alice", "m.room.name", {"name": "ship"})
    node, room_id = at_node(room)
    found = since(node, room_id, heads[0])
    assert members(found, node) == {
        "frank": (None, "join"),
        "grace": (None, "invite"),
        "bob": ("join", "leave"),
        "carol": ("join", "ban"),
        "dan": ("join", "leave"),
        "erin": ("join", "join"),
        "heidi": (None, "leave"),
    }
    (name,) = found.settings
    assert (name.type, name.before, name.after) == ("m.room.name", None, new.event_id)
    assert (found.new_events, found.conflict_count) == (10, 0)
    (name,) = since(node, room_id, old.event_id).settings
    assert (name.before, name.after) == (old.event_id, new.event_id)


@pytest.mark.parametrize("version", ["3", "12"])
def test_powers_from_and_to(version: str) -> None:
    users = {} if version == "12" else {"alice": 100}
    room, heads = fork("alice", "bob", "carol", version=version, users={**users, "bob": 50})
    alice = {} if version == "12" else {room.user("alice"): 100}
    content = {"users": {**alice, room.user("carol"): 20}, "ban": 60, "events": {"m.room.name": 70}}
    levels = room.state_event("alice", "m.room.power_levels", content)
    node, room_id = at_node(room)
    found = since(node, room_id, heads[0])
    assert found.powers_event == levels.event_id
    assert sorted(found.powers, key=lambda change: change.name) == sorted(
        [
            PowerChange(kind="user", name=room.user("bob"), before=50, after=0),
            PowerChange(kind="user", name=room.user("carol"), before=0, after=20),
            PowerChange(kind="level", name="ban", before=50, after=60),
            PowerChange(kind="event", name="m.room.name", before=None, after=70),
        ],
        key=lambda change: change.name,
    )
    assert found.settings == found.members == []


def test_messages_are_counted_by_sender() -> None:
    room, heads = fork("alice", "bob")
    for number in range(3):
        room.message("bob", str(number))
    room.message("alice")
    room.event("alice", "m.room.encrypted", {})
    room.event("alice", "m.reaction", {})
    node, room_id = at_node(room)
    found = since(node, room_id, heads[0])
    assert found.messages == [
        Talk(sender=room.user("bob"), count=3, apart=0, soft_failed=0),
        Talk(sender=room.user("alice"), count=2, apart=0, soft_failed=0),
    ]
    assert (found.new_events, found.other_events) == (6, 1)


def test_what_removed_people_said_while_apart() -> None:
    room, heads = fork("alice", "bob")
    room.message("bob", "before")
    before = room.heads
    room.member("alice", "bob", "ban")
    for number in range(2):
        room.message("bob", str(number), parents=before)
    node, room_id = at_node(room)
    found = since(node, room_id, heads[0])
    assert found.messages == [Talk(sender=room.user("bob"), count=3, apart=2, soft_failed=2)]
    assert found.soft_failed_count == 2
    assert [judged.reason for judged in found.soft_failed] == [
        f"{room.user('bob')} is not in the room (membership: ban)"
    ] * 2


def test_since_an_event_means_not_among_its_ancestors() -> None:
    """What came earlier on another branch is news to whoever stood at the event."""
    room, heads = fork("alice", "bob")
    theirs = room.message("bob", "theirs", parents=heads)
    mine = room.message("alice", "mine", parents=heads)
    node, room_id = at_node(room)
    assert since(node, room_id, mine.event_id).messages == [
        Talk(sender=theirs.sender, count=1, apart=0, soft_failed=0)
    ]
    assert since(node, room_id, theirs.event_id).messages[0].sender == mine.sender


def test_rejected_events_with_reasons_leaves_too() -> None:
    room, heads = fork("alice", "bob")
    old = room.state_event("bob", "m.room.topic", {"topic": "no"}, parents=heads)
    since_here = room.message("alice", parents=heads)
    bad = room.state_event("bob", "m.room.topic", {"topic": "no, no"})
    node, room_id = at_node(room)
    found = since(node, room_id, since_here.event_id)
    assert [judged.event_id for judged in found.rejected] == [old.event_id, bad.event_id]
    assert all("needs 50" in str(judged.reason) for judged in found.rejected)
    assert (found.new_events, found.rejected_count) == (0, 2)


def test_conflicts_tell_who_won_and_why_for_both_sides() -> None:
    room, heads = fork("alice", "bob", users={"bob": 50})
    base = room.state_event("alice", "m.room.topic", {"topic": "base"}, parents=heads)
    won = room.state_event(
        "bob", "m.room.topic", {"topic": "late"}, parents=[base.event_id], ts=2_000
    )
    lost = room.state_event(
        "alice", "m.room.topic", {"topic": "early"}, parents=[base.event_id], ts=1_000
    )
    between = room.state_event("alice", "m.room.name", {"name": "x"}, parents=[lost.event_id])
    node, room_id = at_node(room)
    for start in (heads[0], base.event_id, lost.event_id, between.event_id):
        found = since(node, room_id, start)
        (conflict,) = found.conflicts
        assert (conflict.event_id, conflict.at) == (lost.event_id, None)
        assert conflict.loss.winner == won.event_id
        assert conflict.loss.reason is LossReason.LATER_TIME
    assert since(node, room_id, won.event_id).conflict_count == 1, "the other side's lost"
    merge = room.message("bob", parents=[won.event_id, between.event_id])
    node.receive(room_id, room.canonical([merge]))
    (conflict,) = since(node, room_id, between.event_id).conflicts
    assert conflict.at == merge.event_id
    assert since(node, room_id, merge.event_id).conflicts == []


def test_lists_are_bounded_and_counts_are_not() -> None:
    room, heads = fork("alice", "bob")
    many = MAX_LISTED + 5
    for number in range(many):
        room.state_event("bob", "m.room.topic", {"topic": str(number)}, parents=heads)
    node, room_id = at_node(room)
    found = since(node, room_id, heads[0])
    assert (found.rejected_count, len(found.rejected)) == (many, MAX_LISTED)


def test_held_events_are_counted_and_cant_be_the_start() -> None:
    room, heads = fork("alice", "bob")
    gap, held = room.message("bob", "1"), room.message("bob", "2")
    node = Node("dan")
    assert room.room_id is not None
    take_in_only(node, room, [pdu for pdu in room.pdus.values() if pdu not in (gap, held)])
    node.receive(room.room_id, room.canonical([held]))
    assert since(node, room.room_id, heads[0]).held == 1
    for event_id in (gap.event_id, held.event_id, "$" + "A" * 43):
        assert node.rooms.changes.since_event(node.room(room.room_id), event_id) is None
    other = RoomBuilder("bob", "alice")
    take_in(node, other)
    assert node.rooms.changes.since_event(node.room(room.room_id), other.heads[0]) is None


# --- since a time


def test_since_a_time_is_by_arrival_whatever_the_events_say() -> None:
    room, heads = fork("alice", "bob")
    clock = FakeClock(10 * MINUTE)
    node = Node("dan", clock=clock)
    take_in(node, room)
    assert room.room_id is not None
    clock.time_ms = 20 * MINUTE
    backdated = room.state_event("alice", "m.room.topic", {"topic": "old news"}, ts=1)
    node.receive(room.room_id, room.canonical([backdated]))
    clock.time_ms = 30 * MINUTE
    future = room.message("bob", ts=2**52)
    node.receive(room.room_id, room.canonical([future]))

    def at(minute: int) -> Changes:
        return node.rooms.changes.since_time(node.room(room.room_id or ""), minute * MINUTE)

    assert at(31).new_events == 0
    assert (at(25).new_events, len(at(25).messages), at(25).settings) == (1, 1, [])
    found = at(15)
    assert found.new_events == 2
    assert [change.after for change in found.settings] == [backdated.event_id]
    everything = at(5)
    assert everything.new_events == len(room.pdus)
    assert {change.before for change in everything.settings} == {None}
    assert len(everything.members) == 2
    by_event = since(node, room.room_id, heads[0])
    assert (by_event.settings, by_event.messages) == (found.settings, found.messages)


def test_since_a_time_compares_with_the_state_of_that_moment() -> None:
    """Two open branches then; the state is what this node showed."""
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    alice.set_state(room_id, "m.room.power_levels", {"users": {bob.user_id: 50}})
    meet(alice, bob)
    meet(alice, carol)
    bob.set_state(room_id, "m.room.topic", {"topic": "right"})
    alice.set_state(room_id, "m.room.topic", {"topic": "left"})
    meet(alice, bob)
    shown = alice.rooms.state(alice.room(room_id))["m.room.topic", ""]
    alice.clock.time_ms += MINUTE
    start = alice.clock.time_ms
    alice.say(room_id, "merges")
    found = alice.rooms.changes.since_time(alice.room(room_id), start)
    assert (found.settings, found.members, found.conflicts) == ([], [], [])
    last = alice.set_state(room_id, "m.room.topic", {"topic": "new"})
    (topic,) = alice.rooms.changes.since_time(alice.room(room_id), start).settings
    assert (topic.before, topic.after) == (shown.event_id, last)


def test_other_rooms_dont_count() -> None:
    node = Node("alice")
    one, other = node.create(name="one"), node.create(name="other")
    node.clock.time_ms += MINUTE
    start = node.clock.time_ms
    node.say(other)
    assert node.rooms.changes.since_time(node.room(one), start).new_events == 0
    assert node.rooms.changes.since_time(node.room(other), start).new_events == 1


def test_an_invited_room_has_nothing_to_compare() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    meet(alice, bob)
    bob.rooms.join(room_id)
    found = bob.rooms.changes.since_time(bob.room(room_id), 0)
    assert (found.new_events, found.members, found.held) == (0, [], 1)
