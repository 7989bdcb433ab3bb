"""Many nodes, random acts, random contacts: whoever still shares the room comes to agree."""

from __future__ import annotations

import itertools
import random

import pytest

from dtnode.errors import PduError
from dtnode.store import RoomKind
from dtnode.testing.rooms_builder import user_id_for
from tests.rooms.nodes import Node, make_room, meet

NAMES = ("alice", "bob", "carol", "dan", "erin")
STEPS = 60
SEEDS = range(6)


def act(rng: random.Random, node: Node, room_id: str, number: int) -> None:
    """Something its user might do, allowed or not."""
    other = rng.choice(NAMES)
    kind = rng.choice(
        ["say"] * 6 + ["topic", "levels", "kick", "ban", "unban", "invite"] + ["join"] * 3
    )
    try:
        if kind == "say":
            node.say(room_id, f"{node.name} {number}")
        elif kind == "topic":
            node.set_state(room_id, "m.room.topic", {"topic": f"{node.name} {number}"})
        elif kind == "levels":
            users = {user_id_for(name): rng.choice((0, 50)) for name in NAMES[1:]}
            node.set_state(room_id, "m.room.power_levels", {"users": users, "events_default": 0})
        elif kind == "join":
            node.rooms.join(room_id)
        elif other != node.name:
            membership = {"kick": "leave", "ban": "ban", "unban": "leave", "invite": "invite"}[kind]
            node.member(room_id, other, membership)
    except PduError:
        pass  # the room's rules forbid it: as good an act as any


def share(one: Node, other: Node, room_id: str) -> bool:
    return all(
        a.room(room_id).kind is RoomKind.COMPLETE
        and a.rooms.sharing.is_shared(a.room(room_id), b.server)
        and a.rooms.sharing.is_shared(a.room(room_id), a.server)
        for a, b in ((one, other), (other, one))
    )


@pytest.mark.parametrize("version", ["10", "11", "12"])
@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_that_share_the_room_agree(seed: int, version: str) -> None:
    rng = random.Random(seed)
    room_id, nodes = make_room(*NAMES, version=version)
    for number in range(STEPS):
        act(rng, rng.choice(nodes), room_id, number)
        if rng.random() < 0.3:
            meet(*rng.sample(nodes, 2))
    for _ in range(3):
        for one, other in itertools.combinations(nodes, 2):
            meet(one, other)
    agreed = [pair for pair in itertools.combinations(nodes, 2) if share(*pair, room_id)]
    for one, other in agreed:
        assert one.view(room_id) == other.view(room_id), (one.name, other.name)
        assert one.rooms.gaps(one.room(room_id)) == []
        shown = [
            [(event.pdu.event_id, event.apart) for event in timeline]
            for timeline in (
                node.rooms.timeline.newest(node.room(room_id), 1000) for node in (one, other)
            )
        ]
        assert shown[0] == shown[1]
    for node in nodes:  # and nobody ever stops, whatever was decided about them
        positions = [
            event.position
            for event in node.rooms.timeline.since(node.room(room_id), 0, 10_000, 10_000)
        ]
        assert len(set(positions)) == len(positions)


def test_most_of_these_rooms_still_have_people_who_agree() -> None:
    """Or the test above would prove little."""
    rng = random.Random(0)
    room_id, nodes = make_room(*NAMES)
    for number in range(STEPS):
        act(rng, rng.choice(nodes), room_id, number)
    for one, other in itertools.combinations(nodes, 2):
        meet(one, other)
    assert sum(share(one, other, room_id) for one, other in itertools.combinations(nodes, 2)) >= 1
