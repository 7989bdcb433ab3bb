"""History limits: bodies go, everything that verdicts, sync and other people need stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtnode.rooms.history_limit import STEP_EVENTS, LimitStep
from dtnode.rooms.room_file import export_room
from dtnode.rooms.rooms import Rooms
from dtnode.rooms.timeline import marks
from dtnode.store import Store
from dtnode.testing.rooms_builder import user_id_for
from tests.rooms.nodes import Node, make_room, meet

DAY_MS = 86_400_000


def limit(
    node: Node, room_id: str, *, keep: int | None = None, days: int | None = None
) -> LimitStep:
    with node.store.transaction():
        room = node.store.rooms.set_limit(node.room(room_id).nid, keep_events=keep, keep_days=days)
    return node.rooms.limiter.apply(room, node.clock.now_ms())


def dropped(node: Node, room_id: str) -> int:
    return sum(event.dropped for event in node.store.events.in_nid_order(node.room(room_id).nid))


def busy_room() -> tuple[str, Node, Node]:
    room_id, (alice, bob) = make_room("alice", "bob")
    for number in range(10):
        alice.say(room_id, f"a{number}")
        bob.say(room_id, f"b{number}")
        meet(alice, bob)
    alice.set_state(room_id, "m.room.topic", {"topic": "wind"})
    meet(alice, bob)
    return room_id, alice, bob


@pytest.mark.parametrize("version", ["3", "10", "12"])
def test_old_bodies_go_and_nothing_else(version: str) -> None:
    room_id, (alice, bob) = make_room("alice", "bob", version=version)
    for number in range(10):
        alice.say(room_id, f"a{number}")
        meet(alice, bob)
        bob.say(room_id, f"b{number}")
        meet(alice, bob)
    alice.set_state(room_id, "m.room.topic", {"topic": "wind"})
    meet(alice, bob)
    before = alice.view(room_id)
    states = [(e.before, e.after) for e in alice.store.events.in_nid_order(1)]
    done = limit(alice, room_id, keep=5)
    assert done == LimitStep(dropped=16)  # the topic and four messages are the newest five
    assert alice.view(room_id) == before == bob.view(room_id)
    assert [(e.before, e.after) for e in alice.store.events.in_nid_order(1)] == states
    assert alice.bodies(room_id) == ["a8", "b8", "a9", "b9"]
    assert alice.rooms.gaps(alice.room(room_id)) == []
    assert limit(alice, room_id, keep=5) == LimitStep()
    shown = alice.rooms.timeline.newest(alice.room(room_id), 100)
    assert sum(marks(event).get("dropped", False) for event in shown) == 16
    assert all(event.pdu.content == {} for event in shown if event.dropped)


def test_what_is_nowhere_else_stays() -> None:
    room_id, alice, bob = busy_room()
    for number in range(5):
        alice.say(room_id, f"only here {number}")
    done = limit(alice, room_id, keep=1)
    assert done.kept_own == 4
    assert alice.bodies(room_id) == [f"only here {number}" for number in range(5)]
    meet(alice, bob)
    assert limit(alice, room_id, keep=1).dropped == 4
    assert [b for b in bob.bodies(room_id) if b.startswith("only")] == [
        f"only here {number}" for number in range(5)
    ]


def test_a_room_with_nobody_else_keeps_everything() -> None:
    alice = Node("alice")
    room_id = alice.create()
    for number in range(5):
        alice.say(room_id, str(number))
    assert limit(alice, room_id, keep=1).dropped == 0
    assert alice.bodies(room_id) == list("01234")


def test_days_count_from_when_an_event_came() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    bob.say(room_id, "old")
    meet(alice, bob)
    alice.clock.time_ms += 10 * DAY_MS
    bob.say(room_id, "by a clock ten days late")  # bob's clock stood still
    meet(alice, bob)
    assert limit(alice, room_id, days=30).dropped == 0
    assert limit(alice, room_id, days=5).dropped == 1
    assert alice.bodies(room_id) == ["by a clock ten days late"]


def test_a_redaction_stays_whole_and_counts_in_old_versions() -> None:
    room_id, (alice, bob) = make_room("alice", "bob", version="10")
    target = bob.say(room_id, "oops")
    meet(alice, bob)
    redaction = bob.rooms.send(room_id, "m.room.redaction", {}, redacts=target)
    bob.say(room_id, "last")
    meet(alice, bob)
    limit(alice, room_id, keep=1)
    assert alice.pdu(redaction).redacts == target


def test_what_was_dropped_doesnt_come_back_while_the_limit_holds() -> None:
    room_id, alice, bob = busy_room()
    whole = [line.encode() for line in export_room(bob.store, room_id)]
    limit(alice, room_id, keep=1)
    gone = dropped(alice, room_id)
    assert gone == 20
    meet(alice, bob)
    counts = alice.rooms.import_lines(whole)[1]
    assert counts["duplicate"] == len(whole) - 1
    assert dropped(alice, room_id) == gone
    limit(alice, room_id)  # no limit any more: nothing comes by itself, a file brings it back
    meet(alice, bob)
    assert dropped(alice, room_id) == gone
    alice.rooms.import_lines(whole)
    assert dropped(alice, room_id) == 0
    assert alice.bodies(room_id) == bob.bodies(room_id)


def test_a_newcomer_gets_the_shape_from_here_and_the_bodies_elsewhere() -> None:
    room_id, alice, bob = busy_room()
    limit(alice, room_id, keep=1)
    carol = Node("carol")
    alice.rooms.set_membership(room_id, carol.user_id, "invite")
    meet(alice, carol)
    carol.rooms.join(room_id)
    meet(alice, carol)
    assert carol.view(room_id)[1:] == alice.view(room_id)[1:]
    assert carol.bodies(room_id) == []
    assert {gap.kind.value for gap in carol.rooms.gaps(carol.room(room_id))} == {"content"}
    assert alice.rooms.gaps(alice.room(room_id)) == []
    meet(alice, bob)
    meet(bob, carol)
    assert carol.bodies(room_id) == bob.bodies(room_id)
    assert carol.rooms.gaps(carol.room(room_id)) == []


def test_steps_add_up_and_each_is_bounded() -> None:
    room_id, (alice, bob) = make_room("alice", "bob")
    with alice.store.transaction():
        for number in range(STEP_EVENTS + 500):
            alice.say(room_id, str(number))
    for _ in range(3):
        meet(alice, bob)
    with alice.store.transaction():
        room = alice.store.rooms.set_limit(alice.room(room_id).nid, keep_events=1, keep_days=None)
    first = alice.rooms.limiter.step(room, 0)
    assert first.after_nid is not None
    assert 0 < first.dropped < STEP_EVENTS
    rest = alice.rooms.limiter.apply(room, 0)
    assert first.dropped + rest.dropped == STEP_EVENTS + 500 - 1
    assert alice.bodies(room_id) == [str(STEP_EVENTS + 499)]


def test_limits_and_dropped_bodies_last(tmp_path: Path) -> None:
    room_id, _alice, bob = busy_room()
    carol = Node("carol")
    carol.store = Store(tmp_path / "node.db")
    carol.rooms = Rooms(
        carol.store, carol.signer, user_id_for("carol"), carol.clock, carol._entropy
    )
    carol.rooms.import_lines(line.encode() for line in export_room(bob.store, room_id))
    limit(carol, room_id, keep=3)
    gone = dropped(carol, room_id)
    assert gone == 18
    carol.store.close()
    store = Store(tmp_path / "node.db")
    room = store.rooms.get(room_id)
    assert room is not None
    assert (room.keep_events, room.keep_days, room.is_limited) == (3, None, True)
    events = list(store.events.in_nid_order(room.nid))
    assert sum(event.dropped for event in events) == gone
    assert all(event.pdu.redacted for event in events if event.dropped)
    assert store.events.redacted_copies(room.nid) == []
    store.close()
