"""Behind a partition: back doors, removals, clocks, many branches (DESIGN section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dtnode.errors import AuthRuleError, PduError
from dtnode.matrix.pdu import MAX_PREV_EVENTS, Pdu
from dtnode.rooms.create import EventBuilder
from dtnode.rooms.local import NewRoom
from dtnode.store import RoomKind
from dtnode.testing.rooms_builder import FIRST_TS_MS, RoomBuilder, user_id_for
from tests.rooms.nodes import FakeClock, Node, make_room, meet, take_in

VERSIONS = ("3", "6", "9", "10", "11", "12")
DAY_MS = 86_400_000


# --- the sock puppet


def sock_puppet_room(version: str) -> tuple[RoomBuilder, list[Pdu], list[Pdu]]:
    """(the room, the ban and what follows, mallory's back door).

    mallory may invite. She is banned; then, on events from before her ban, she invites a second
    account of hers, which joins and talks.
    """
    room = RoomBuilder("alice", "bob", "mallory", version=version)
    users = {room.user("mallory"): 50, **({} if version == "12" else {room.user("alice"): 100})}
    room.state_event("alice", "m.room.power_levels", {"users": users, "invite": 50})
    room.state_event("alice", "m.room.join_rules", {"join_rule": "invite"})
    fork = room.heads
    honest = [room.member("alice", "mallory", "ban"), room.message("bob", "she is gone")]
    invite = room.member("mallory", "puppet", "invite", parents=fork)
    join = room.join("puppet", parents=[invite.event_id])
    talk = [room.message("puppet", f"hello {number}", parents=[join.event_id]) for number in (1, 2)]
    return room, honest, [invite, join, *talk]


def a_node_with(room: RoomBuilder, batches: Sequence[Sequence[Pdu]]) -> Node:
    node = Node("bob")
    assert room.room_id is not None
    with node.store.transaction():
        node.store.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
    for batch in batches:
        for outcome in node.receive(room.room_id, room.canonical(batch)).outcomes:
            assert outcome.verdict.value == "accepted", outcome.reason
    return node


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sock_puppet_doesnt_get_in(version: str) -> None:
    room, honest, back_door = sock_puppet_room(version)
    assert room.room_id is not None
    base = [pdu for pdu in room.pdus.values() if pdu not in honest and pdu not in back_door]
    node = a_node_with(room, [base, honest, back_door])
    record = node.room(room.room_id)
    puppet_server = Node("puppet").server

    # Check 6 and the current state hold.
    for pdu in back_door:
        stored = node.store.events.get(pdu.event_id)
        assert stored is not None
        assert stored.soft_failed
    assert node.membership(room.room_id, "puppet") is None
    assert not node.rooms.sharing.is_shared(record, puppet_server)
    assert puppet_server not in node.rooms.sharing.known_servers()
    assert user_id_for("puppet") not in node.rooms.states.members(record.current_group)

    # The tip state is only for comparison: it shows the puppet, and `status` says they differ.
    tip_group = node.rooms.states.tip_group(record.nid)
    assert node.rooms.states.membership(tip_group, user_id_for("puppet")) == "join"
    summary = node.rooms.summary(record)
    assert summary.states_differ
    assert summary.soft_failed == len(back_door)
    assert summary.members == 2

    # What is sent next doesn't build on the back door.
    said = node.pdu(node.say(room.room_id, "calm again"))
    assert said.prev_events == (honest[-1].event_id,)
    assert node.membership(room.room_id, "puppet") is None
    with pytest.raises(AuthRuleError):  # the puppet's own invitation is as void
        node.member(room.room_id, "mallory", "invite")


@pytest.mark.parametrize("version", VERSIONS)
def test_nodes_that_saw_the_back_door_first_agree_in_what_is_comparable(version: str) -> None:
    room, honest, back_door = sock_puppet_room(version)
    assert room.room_id is not None
    base = [pdu for pdu in room.pdus.values() if pdu not in honest and pdu not in back_door]
    ban_first = a_node_with(room, [base, honest, back_door])
    door_first = a_node_with(room, [base, back_door, honest])
    assert ban_first.view(room.room_id) == door_first.view(room.room_id)
    assert door_first.membership(room.room_id, "mallory") == "ban"


# --- apart


@pytest.mark.parametrize("removal", ["ban", "leave"])
def test_events_concurrent_with_their_senders_removal_are_shown_as_apart(removal: str) -> None:
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    bob.say(room_id, "before the removal")
    meet(alice, bob)
    alice.member(room_id, "bob", removal)
    bob.say(room_id, "apart 1")
    meet(bob, carol)  # carol hears bob first, alice the removal
    carol.say(room_id, "carol answers")
    bob.say(room_id, "apart 2")
    meet(bob, carol)
    meet(alice, carol)
    meet(alice, carol)
    assert alice.view(room_id) == carol.view(room_id)
    for node in (alice, carol):
        shown = node.rooms.timeline.newest(node.room(room_id), 100)
        apart = [event.pdu.content["body"] for event in shown if event.apart]
        assert apart == ["apart 1", "apart 2"], node.name
        assert "before the removal" in node.bodies(room_id)
    by_bob = {
        event.pdu.content.get("body"): event.soft_failed
        for event in alice.rooms.timeline.newest(alice.room(room_id), 100)
        if event.apart
    }
    assert by_bob == {"apart 1": True, "apart 2": True}  # on alice's side: she had removed him


def test_nobody_is_apart_who_left_or_came_back() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    bob.say(room_id, "one")
    bob.rooms.set_membership(room_id, bob.user_id, "leave")
    meet(alice, bob)
    shown = alice.rooms.timeline.newest(alice.room(room_id), 100)
    assert not any(event.apart for event in shown)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_sides_moderate_and_agree(version: str) -> None:
    """A moderator is demoted on one side and bans someone on the other; topics conflict."""
    names = ("alice", "bob", "carol", "dan")
    room_id, (alice, bob, carol, dan) = make_room(*names, version=version)
    creator = {} if version == "12" else {alice.user_id: 100}
    levels: dict[str, Any] = {"users": {bob.user_id: 50, **creator}}
    alice.set_state(room_id, "m.room.power_levels", levels)
    for node in (bob, carol, dan):
        meet(alice, node)
    alice.set_state(room_id, "m.room.power_levels", {"users": {bob.user_id: 0, **creator}})
    alice.set_state(room_id, "m.room.topic", {"topic": "left"})
    meet(alice, carol)
    bob.member(room_id, "carol", "ban")
    bob.set_state(room_id, "m.room.topic", {"topic": "right"})
    carol.say(room_id, "on the left")
    meet(bob, dan)
    meet(alice, carol)
    for one, other in ((alice, bob), (carol, dan), (alice, dan), (bob, carol), (alice, carol)):
        meet(one, other)
    views = [node.view(room_id) for node in (alice, bob, dan)]
    assert views[0] == views[1] == views[2]
    tip_states = {node.rooms.summary(node.room(room_id)).tip_state for node in (alice, bob, dan)}
    assert len(tip_states) == 1


# --- many branches


def test_more_than_twenty_forward_extremities_come_together() -> None:
    room = RoomBuilder("alice", "bob")
    assert room.room_id is not None
    base = room.heads
    branches = [room.message("bob", str(number), parents=base) for number in range(45)]
    node = Node("alice")
    take_in(node, room)
    nid = node.room(room.room_id).nid
    assert len(node.store.rooms.forward_extremities(nid)) == len(branches)
    previous: str | None = None
    counts = []
    for _ in range(3):
        sent = node.say(room.room_id, "merging")
        parents = node.pdu(sent).prev_events
        assert len(parents) <= MAX_PREV_EVENTS
        assert previous is None or previous in parents  # the own chain never forks
        previous = sent
        counts.append(len(node.store.rooms.forward_extremities(nid)))
    assert counts == [45 - 20 + 1, 26 - 20 + 1, 1]


# --- clocks


def test_a_clock_in_1970_writes_after_what_it_answers_to() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    theirs = alice.say(room_id)
    meet(alice, bob)
    bob.clock.time_ms = 0
    ours = bob.pdu(bob.say(room_id))
    assert ours.origin_server_ts == alice.pdu(theirs).origin_server_ts + 1


def test_a_first_start_in_1970_is_a_day_ahead_at_most() -> None:
    """Nothing says what a good clock is yet: the rule is the same."""
    room = RoomBuilder("alice", "dan")
    assert room.room_id is not None
    node = Node("dan", clock=FakeClock(0))
    take_in(node, room)
    sent = node.pdu(node.say(room.room_id))
    assert sent.origin_server_ts <= DAY_MS + 10_000


def test_far_off_parents_drag_nobody_along() -> None:
    room = RoomBuilder("alice", "dan")
    assert room.room_id is not None
    far = 2**53 - 1
    room.message("alice", "from the future", ts=far)
    node = Node("dan")
    take_in(node, room)
    sent = node.pdu(node.say(room.room_id))
    assert sent.origin_server_ts <= node.clock.time_ms + DAY_MS
    assert sent.origin_server_ts >= FIRST_TS_MS
    again = node.pdu(node.say(room.room_id))
    assert again.origin_server_ts > sent.origin_server_ts


def test_depth_at_its_limit_doesnt_overflow() -> None:
    room = RoomBuilder("alice", "dan")
    assert room.room_id is not None
    room.message("alice", "deep", depth=2**53 - 1)
    node = Node("dan")
    take_in(node, room)
    assert node.pdu(node.say(room.room_id)).depth == 2**53 - 1


def test_display_order_is_dag_order_whatever_the_clocks_say() -> None:
    room = RoomBuilder("alice", "bob")
    assert room.room_id is not None
    bodies = []
    for number in range(6):
        bodies.append(str(number))
        room.message("alice" if number % 2 else "bob", str(number), ts=10_000_000 - number * 1000)
    node = Node("dan")
    take_in(node, room)
    assert node.bodies(room.room_id) == bodies
    assert node.bodies(room.room_id, 3) == bodies[-3:]


# --- local acts


@pytest.mark.parametrize("version", VERSIONS)
def test_creating_a_room_with_everything(version: str) -> None:
    alice = Node("alice")
    bob = user_id_for("bob")
    new = NewRoom(
        name="the hut",
        topic="wood",
        version=version,
        public=True,
        invite=[bob],
        trusted_invitees=True,
        initial_state=[
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
        ],
    )
    room_id = alice.rooms.create_room(new)
    state = alice.rooms.state(alice.room(room_id))
    assert state[("m.room.join_rules", "")].content == {"join_rule": "public"}
    assert state[("m.room.history_visibility", "")].content == {"history_visibility": "joined"}
    assert state[("m.room.topic", "")].content == {"topic": "wood"}
    assert state[("m.room.member", bob)].membership == "invite"
    create = state[("m.room.create", "")]
    assert create.content["room_version"] == version
    if version == "12":
        assert create.content["additional_creators"] == [bob]
        assert room_id == "!" + create.event_id[1:]
    else:
        assert room_id.endswith(f":{alice.server}")
        assert state[("m.room.power_levels", "")].content["users"][bob] == 100
    assert alice.rooms.summary(alice.room(room_id)).name == "the hut"


def test_a_refused_act_leaves_nothing_behind() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    before = bob.view(room_id)
    position = bob.store.events.last_position()
    with pytest.raises(AuthRuleError, match="needs"):
        bob.set_state(room_id, "m.room.name", {"name": "mine now"})
    assert bob.view(room_id) == before
    assert bob.store.events.last_position() == position
    with pytest.raises(AuthRuleError):
        bob.member(room_id, "alice", "ban")
    with pytest.raises(PduError):
        alice.rooms.create_room(NewRoom(initial_state=[{"type": "m.room.create", "content": {}}]))
    assert len(list(alice.store.rooms)) == 1


def test_a_denied_server_is_told_so_when_it_sends() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    alice.set_state(room_id, "m.room.server_acl", {"allow": ["*"], "deny": [bob.server]})
    acl = next(iter(alice.store.rooms.forward_extremities(alice.room(room_id).nid)))
    event = alice.store.events.by_nid(acl)
    assert event is not None
    bob.receive(room_id, [event.pdu.canonical()])
    with pytest.raises(AuthRuleError, match="ACL denies"):
        bob.say(room_id)


def test_event_builder_leaves_version_12s_create_event_out() -> None:
    room_id, (alice,) = make_room("alice")
    builder = EventBuilder(alice.store, alice.signer, alice.rooms.clock)
    state = alice.store.state_groups.state(alice.room(room_id).current_group)
    fields = {"room_id": room_id, "type": "m.room.message", "sender": alice.user_id, "content": {}}
    parents = builder.parents_for(alice.room(room_id))
    pdu = builder.build(
        alice.room(room_id).version,
        fields,
        (parent.pdu for parent in parents),
        lambda type_, key: state.get((type_, key)),
    )
    assert state[("m.room.create", "")] not in pdu.auth_events
    assert state[("m.room.create", "")] in pdu.auth_event_ids
