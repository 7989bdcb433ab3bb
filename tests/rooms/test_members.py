"""The table of members per state group: read from the store or derived, it is the same."""

from __future__ import annotations

import random
from collections.abc import Sequence

from dtnode.rooms.members import MemberTables
from dtnode.rooms.state import RoomStates
from dtnode.store import Store
from dtnode.store.state_groups import EMPTY_GROUP
from tests.rooms.nodes import Node, make_room, meet


def meet_all(nodes: Sequence[Node]) -> None:
    for node in (*nodes[1:], *nodes[1:]):
        meet(nodes[0], node)


def changed_room() -> tuple[Node, str]:
    """A room whose people come, go, are banned and change their names."""
    room_id, nodes = make_room("alice", "bob", "carol", "dan")
    alice, rng = nodes[0], random.Random(3)
    meet_all(nodes)
    for number in range(30):
        node = rng.choice(nodes)
        content = {"membership": "join", "displayname": f"name {number}"}
        with node.store.transaction():
            node.rooms.send(room_id, "m.room.member", content, node.user_id)
        if rng.random() < 0.5:
            meet_all(nodes)
    meet_all(nodes)
    with alice.store.transaction():
        alice.rooms.set_membership(room_id, nodes[3].user_id, "ban")
        alice.rooms.set_membership(room_id, nodes[2].user_id, "leave")
    return alice, room_id


def groups_of(store: Store, room_id: str) -> list[int]:
    room = store.rooms.get(room_id)
    assert room is not None
    outlines = store.events.outlines(room.nid, 0, store.events.last_nid())
    return sorted({outline.after for outline in outlines})


def test_derived_and_read_tables_agree() -> None:
    node, room_id = changed_room()
    groups = groups_of(node.store, room_id)
    assert len(groups) > 20
    states = RoomStates(node.store)
    derived = {group: states.member_table(group) for group in groups}
    for group in groups:
        node.store.state_groups.forget()  # nothing to derive from any more
        read = MemberTables(node.store).of(group)
        assert read.by_user == derived[group].by_user
        assert read.joined_servers == derived[group].joined_servers
        assert {s: set(u) for s, u in read.by_server.items()} == {
            s: set(u) for s, u in derived[group].by_server.items()
        }


def test_the_table_says_what_the_member_events_say() -> None:
    node, room_id = changed_room()
    states = RoomStates(node.store)
    for group in groups_of(node.store, room_id):
        table = states.member_table(group)
        members = states.members(group)
        assert table.by_user.keys() == members.keys()
        for user_id, event in members.items():
            member = table.by_user[user_id]
            assert (member.membership, member.sender) == (event.membership, event.sender)
            assert member.displayname == event.content.get("displayname")
        joined = {e.sender_server for e in members.values() if e.membership == "join"}
        assert table.joined_servers == joined


def test_nobody_is_in_the_empty_state() -> None:
    assert not RoomStates(Store(None)).member_table(EMPTY_GROUP).by_user
