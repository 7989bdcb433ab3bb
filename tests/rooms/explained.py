"""Rooms forked by hand and what a node explains of them, for the tests of explain and changes."""

from __future__ import annotations

from collections.abc import Iterable

from dtnode.matrix.pdu import Pdu
from dtnode.rooms.explanation import CheckReport, Explanation, StateReport
from dtnode.testing.rooms_builder import RoomBuilder
from tests.rooms.nodes import Node, take_in


def why(node: Node, room_id: str, event: Pdu | str) -> Explanation:
    room = node.room(room_id)
    explainer = node.rooms.explainer
    text = event if isinstance(event, str) else event.event_id
    found = explainer.explain(room, explainer.find(room, text))
    assert found.event_ids() >= {found.event_id}
    return found


def check(found: Explanation, name: str) -> CheckReport:
    (report,) = [report for report in found.checks if report.check == name]
    return report


def outcomes(found: Explanation) -> list[str]:
    return [report.outcome for report in found.checks]


def grounds(found: Explanation) -> list[str]:
    return [ground.text for report in found.checks for ground in report.grounds]


def state(found: Explanation) -> StateReport:
    assert found.state is not None
    return found.state


def fork(
    *names: str, version: str = "12", users: dict[str, int] | None = None
) -> tuple[RoomBuilder, tuple[str, ...]]:
    """A room with these levels, and where to fork it."""
    room = RoomBuilder(*names, version=version)
    levels = {room.user(name): level for name, level in (users or {}).items()}
    room.state_event("alice", "m.room.power_levels", {"users": levels})
    return room, room.heads


def at_node(room: RoomBuilder, merge: bool = False) -> tuple[Node, str]:
    """A node that has the room; with `merge` an event on all its heads comes last."""
    if merge:
        room.message("alice", "together again")
    node = Node("dan")
    take_in(node, room)
    assert room.room_id is not None
    return node, room.room_id


def take_in_only(node: Node, room: RoomBuilder, pdus: Iterable[Pdu]) -> None:
    every = dict(room.pdus)
    room.pdus = {pdu.event_id: pdu for pdu in pdus}
    take_in(node, room)
    room.pdus = every
