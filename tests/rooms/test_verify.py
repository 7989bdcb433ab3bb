"""`dtnode check`: whole stores pass; whatever is altered in one is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dtnode.rooms.room_file import export_room
from dtnode.rooms.rooms import Rooms, key_of_name
from dtnode.rooms.verify import MAX_FINDINGS, CheckReport, check_store
from dtnode.store import Store
from tests.rooms.nodes import Node, make_room, meet
from tests.rooms.test_history_limit import limit
from tests.rooms.vector_rooms import ROOM_NAMES, Feed, load_room


def checked(store: Store) -> CheckReport:
    seen = [0]
    report = check_store(store, key_of_name, seen.append)
    assert seen == sorted(seen)
    return report


def texts(report: CheckReport) -> str:
    return "; ".join(f"{finding.event_id}: {finding.what}" for finding in report.findings)


def conflict() -> tuple[str, Node, Node]:
    """Both sides change the power levels and ban while apart; some of it is rejected, some
    soft-failed."""
    room_id, (alice, bob, carol) = make_room("alice", "bob", "carol")
    levels: Any = {"users": {bob.user_id: 50, carol.user_id: 0}, "ban": 50, "state_default": 50}
    alice.set_state(room_id, "m.room.power_levels", levels)
    meet(alice, bob)
    meet(alice, carol)
    alice.member(room_id, "carol", "ban")
    bob.set_state(room_id, "m.room.topic", {"topic": "bob's"})
    alice.set_state(room_id, "m.room.topic", {"topic": "alice's"})
    for number in range(5):
        carol.say(room_id, f"still here {number}")
        alice.say(room_id, f"without carol {number}")
    meet(bob, carol)
    meet(alice, bob)
    return room_id, alice, bob


def test_stores_of_a_conflict_pass() -> None:
    room_id, alice, bob = conflict()
    for node in (alice, bob):
        report = checked(node.store)
        assert texts(report) == ""
        assert report.found == 0
        assert report.rooms == 1
        assert report.events == sum(node.store.events.counts(node.room(room_id).nid)[:2])


def test_a_false_mark_of_having_all_before_it_is_found() -> None:
    _, alice, bob = conflict()
    meet(alice, bob)
    sql(alice, "UPDATE events SET sees_all = 1")
    assert "not all earlier events are its ancestors" in texts(checked(alice.store))


def test_limited_rooms_gaps_and_held_events_pass() -> None:
    room_id, alice, bob = conflict()
    assert limit(alice, room_id, keep=2).dropped > 3
    assert checked(alice.store).found == 0
    for number in range(5):
        last = bob.pdu(bob.say(room_id, str(number)))
    alice.receive(room_id, [last.canonical()])
    report = checked(alice.store)
    assert (report.found, report.held) == (0, 1)
    meet(alice, bob)
    assert checked(alice.store).found == 0


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_hostile_rooms_that_came_in_disorder_pass(name: str) -> None:
    room = load_room(name)
    feed = Feed(room.version, room.room_id, room.keys)
    create, *lines = room.lines
    Random(name).shuffle(lines)
    feed.receive([create])
    for start in range(0, len(lines), 50):
        feed.receive(lines[start : start + 50])
    assert texts(check_store(feed.store, room.keys, lambda _: None)) == ""


def test_an_invited_node_passes() -> None:
    alice, bob = Node("alice"), Node("bob")
    room_id = alice.create("bob")
    meet(alice, bob)
    bob.rooms.join(room_id)
    bob.say(room_id, "too early")
    assert checked(bob.store).found == 0


Tamper = Callable[[Node, str], str]
"""Alters a store behind its back; what has to be found."""


def sql(node: Node, statement: str, *values: object) -> None:
    with node.store.transaction():
        assert node.store._db.execute(statement, values).rowcount != 0


def altered_body(node: Node, event_id: str) -> str:
    changed = node.pdu(event_id).canonical().replace(b"hello", b"jello")
    sql(node, "UPDATE events SET pdu = ? WHERE event_id = ?", changed, event_id)
    return "its content isn't what its hash says"


def forged_as_dropped(node: Node, event_id: str) -> str:
    changed = node.pdu(event_id).canonical().replace(b"hello", b"jello")
    sql(node, "UPDATE events SET pdu = ?, redacted = 2 WHERE event_id = ?", changed, event_id)
    return "in redacted form only, and what is stored is more"


def forged_as_redacted(node: Node, event_id: str) -> str:
    changed = node.pdu(event_id).canonical().replace(b"hello", b"jello")
    sql(node, "UPDATE events SET pdu = ?, redacted = 1 WHERE event_id = ?", changed, event_id)
    return "in redacted form only, and what is stored is more"


def altered_sender(node: Node, event_id: str) -> str:
    pdu = json.loads(node.pdu(event_id).canonical())
    data = json.dumps({**pdu, "origin_server_ts": 5}, separators=(",", ":"), sort_keys=True)
    sql(node, "UPDATE events SET pdu = ? WHERE event_id = ?", data.encode(), event_id)
    return "signature: "


def garbage(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET pdu = ? WHERE event_id = ?", b"\xff{", event_id)
    return "format: "


def another_event(node: Node, event_id: str) -> str:
    other = node.pdu(event_id).prev_events[0]
    data = node.pdu(other).canonical()
    sql(node, "UPDATE events SET pdu = ? WHERE event_id = ?", data, event_id)
    return f"another event: {other}"


def verdict(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET rejected = 1 WHERE event_id = ?", event_id)
    return "stored as rejected, judged otherwise"


def state_before(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET before_group = 1 WHERE event_id = ?", event_id)
    return "the state before it"


def state_after(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET after_group = 1 WHERE event_id = ?", event_id)
    return "the state after it"


def no_such_state(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET before_group = 99999 WHERE event_id = ?", event_id)
    return "the state before it"


def parents(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET parents = ? WHERE event_id = ?", b"\1\0\0", event_id)
    return "its parents"


def order(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET topo = 1 WHERE event_id = ?", event_id)
    return "its place in the order"


def filed_elsewhere(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET sender_server = 'x' WHERE event_id = ?", event_id)
    return "another sender's server"


def removed(node: Node, event_id: str) -> str:
    sql(node, "DELETE FROM events WHERE event_id = ?", event_id)
    return "build on those and can't be judged"


def no_tips(node: Node, event_id: str) -> str:
    sql(node, "DELETE FROM tips")
    return "it is a tip and not listed"


def false_tip(node: Node, event_id: str) -> str:
    sql(node, "INSERT INTO tips VALUES (1, 1)")
    return "it is listed as a tip"


def false_extremity(node: Node, event_id: str) -> str:
    sql(node, "INSERT INTO forward_extremities VALUES (1, 1)")
    return "forward extremities"


def current_state(node: Node, event_id: str) -> str:
    sql(node, "UPDATE rooms SET current_group = 1")
    return "its current state"


def double_position(node: Node, event_id: str) -> str:
    last = node.store.events.last_position()
    sql(
        node,
        "INSERT INTO held (event_id, room_nid, redacted, source, received_ms, position, pdu)"
        " VALUES ('$x', 1, 0, '', 0, ?, '')",
        last,
    )
    return f"position {last} was given 2 times"


def held_for_nothing(node: Node, event_id: str) -> str:
    pdu = node.pdu(event_id).canonical()
    sql(
        node,
        "INSERT INTO held (event_id, room_nid, redacted, source, received_ms, pdu)"
        " VALUES (?, 1, 0, '', 0, ?)",
        event_id,
        pdu,
    )
    return "held, though everything"


def edge_of_nothing(node: Node, event_id: str) -> str:
    sql(node, "INSERT INTO peer_frontier VALUES (1, 'x', 7777)")
    return "peer_frontier of room 1 name event 7777, not there"


def groups_in_a_ring(node: Node, event_id: str) -> str:
    sql(node, "UPDATE state_groups SET base_group = group_nid WHERE group_nid = 2")
    return "state group 2 stands on 2"


def nonsense_in_a_group(node: Node, event_id: str) -> str:
    sql(node, "UPDATE state_groups SET delta = 'x'")
    return "the state after it"


def no_auth_chains(node: Node, event_id: str) -> str:
    sql(node, "DELETE FROM auth_chains")
    return "is in no auth chain"


def auth_chain_cut(node: Node, event_id: str) -> str:
    sql(node, "DELETE FROM auth_chains WHERE event_nid = 1")
    return "its auth chain isn't all there"


def auth_chain_of_another(node: Node, event_id: str) -> str:
    sql(node, "UPDATE auth_chains SET chain = 1 WHERE event_nid = 4")
    return "it is in another's auth chain"


def no_auth_links(node: Node, event_id: str) -> str:
    sql(node, "DELETE FROM auth_links")
    return "its auth chain isn't all there"


def false_auth_link(node: Node, event_id: str) -> str:
    sql(node, "INSERT INTO auth_links VALUES (1, 2, 1, 2)")
    return "a link from it leads to what it doesn't name"


def auth_chain_of_nothing(node: Node, event_id: str) -> str:
    sql(node, "INSERT INTO auth_chains VALUES (7777, 1)")
    return "auth_chains name event 7777, not there"


def false_redaction(node: Node, event_id: str) -> str:
    sql(node, "INSERT INTO redactions VALUES (?, 3)", event_id)
    return f"it doesn't redact {event_id}"


def lost_redaction(node: Node, event_id: str) -> str:
    room_id = node.pdu(event_id).room_id
    node.rooms.send(room_id, "m.room.redaction", {}, redacts=event_id)
    sql(node, "DELETE FROM redactions")
    return f"it isn't listed as a redaction of {event_id}"


def no_position(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET position = NULL WHERE event_id = ?", event_id)
    return f"event {event_id} was accepted and has no position"


def negative_position(node: Node, event_id: str) -> str:
    sql(node, "UPDATE events SET position = -5 WHERE event_id = ?", event_id)
    return f"event {event_id} has the position -5"


def only_invited(node: Node, event_id: str) -> str:
    sql(node, "UPDATE rooms SET kind = 0")
    return "it is kept as one this user is only invited to"


def no_index(node: Node, event_id: str) -> str:
    node.store._db.execute("DROP INDEX events_by_position")
    return "the index events_by_position is missing"


def no_table(node: Node, event_id: str) -> str:
    node.store._db.execute("DROP TABLE client_values")
    return "the table client_values is missing"


def no_column(node: Node, event_id: str) -> str:
    node.store._db.execute("ALTER TABLE peers DROP COLUMN handshake")
    return "the table peers has another form"


def wrong_counts(node: Node, event_id: str) -> str:
    sql(node, "UPDATE rooms SET accepted = accepted + 1")
    return "its counts aren't those of its events"


TAMPERS: tuple[Tamper, ...] = (
    altered_body,
    forged_as_dropped,
    forged_as_redacted,
    altered_sender,
    garbage,
    another_event,
    verdict,
    state_before,
    state_after,
    no_such_state,
    parents,
    order,
    filed_elsewhere,
    removed,
    no_tips,
    false_tip,
    false_extremity,
    current_state,
    double_position,
    held_for_nothing,
    edge_of_nothing,
    nonsense_in_a_group,
    no_auth_chains,
    auth_chain_cut,
    auth_chain_of_another,
    no_auth_links,
    false_auth_link,
    auth_chain_of_nothing,
    false_redaction,
    lost_redaction,
    wrong_counts,
    no_position,
    negative_position,
    only_invited,
    no_index,
    no_table,
    no_column,
)


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_what_is_altered_is_found(tamper: Tamper) -> None:
    room_id, (alice, _) = make_room("alice", "bob")
    event_id = alice.say(room_id, "hello")
    alice.say(room_id, "after it")
    assert checked(alice.store).found == 0
    expected = tamper(alice, event_id)
    for cached in (alice.store.state_groups, alice.store.events, alice.store.rooms):
        (getattr(cached, "forget", None) or cached._forget)()  # type: ignore[union-attr]
    assert expected in texts(checked(alice.store))


def test_a_ring_of_groups_is_told_and_not_walked_for_ever() -> None:
    _, (alice, _) = make_room("alice", "bob")
    expected = groups_in_a_ring(alice, "")
    alice.store.state_groups.forget()
    assert expected in texts(checked(alice.store))


def test_findings_are_bounded() -> None:
    room_id, (alice, _) = make_room("alice", "bob")
    with alice.store.transaction():
        for number in range(MAX_FINDINGS + 100):
            alice.say(room_id, str(number))
        alice.store.flush()
        alice.store._db.execute("UPDATE events SET ts = 0")
    report = checked(alice.store)
    assert len(report.findings) == MAX_FINDINGS
    assert report.found > MAX_FINDINGS + 100


def test_a_store_on_disk_is_checked_without_being_changed(tmp_path: Path) -> None:
    room_id, alice, _ = conflict()
    node = Node("dora")
    node.store = Store(tmp_path / "node.db")
    node.rooms = Rooms(node.store, node.signer, node.user_id, node.clock, node._entropy)
    node.rooms.import_lines(line.encode() for line in export_room(alice.store, room_id))
    node.store.close()
    before = (tmp_path / "node.db").read_bytes()
    store = Store(tmp_path / "node.db", read_only=True)
    assert checked(store).found == 0
    store.close()
    assert (tmp_path / "node.db").read_bytes() == before
