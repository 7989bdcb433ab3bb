"""Rooms of versions 3 to 9: made, joined by card, talked and redacted in; numbers that only events
of versions 3 to 5 can hold, through contacts, the store, room files and the wire.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from dtnode.matrix.pdu import MAX_DEPTH, parse_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.rooms.audit import audit_lines
from dtnode.rooms.room_file import export_room
from dtnode.store import RoomKind
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from dtnode.wire.messages import Events, Form
from dtnode.wire.packing import Packer
from dtnode.wire.pdus import NothingKnown
from dtnode.wire.text_model import TextModel
from tests.rooms.nodes import Node, make_room, meet, take_in

OLD = [version for version in ROOM_VERSIONS if int(version) < 10]
EARLY = [version for version in OLD if int(version) < 6]
NUMBERS = {"half": 0.5, "round": 1.0, "tiny": 5e-324, "big": 2**53, "huge": 10**30, "minus": -0.0}


@pytest.mark.parametrize("version", OLD)
def test_a_room_from_its_making_to_its_audit(version: str) -> None:
    room_id, (alice, bob) = make_room("alice", "bob", version=version, public=True)
    assert alice.room(room_id).version.identifier == version
    said = bob.say(room_id, "regretted")
    meet(alice, bob)
    redaction = alice.rooms.send(room_id, "m.room.redaction", {}, redacts=said)
    meet(alice, bob)
    assert bob.pdu(redaction).json["redacts"] == bob.pdu(redaction).redacts == said
    alice.member(room_id, "bob", "ban")
    assert alice.membership(room_id, "bob") == "ban"
    lines = [line.encode() for line in export_room(alice.store, room_id)]
    audit = audit_lines(lines)
    assert audit["room_version"] == version
    assert {record["verdict"] for record in audit["events"]} == {"accepted"}
    redactions = [record["redaction"] for record in audit["events"] if "redaction" in record]
    assert redactions == [{"target": said, "applies": True}]


@pytest.mark.parametrize("version", EARLY)
def test_numbers_of_early_events_arrive_as_they_were_sent(version: str) -> None:
    room_id, (alice, bob) = make_room("alice", "bob", version=version)
    sent = alice.rooms.send(room_id, "x.measured", NUMBERS)
    meet(alice, bob)
    arrived = bob.pdu(sent).content
    assert {key: repr(value) for key, value in arrived.items()} == {
        key: repr(value) for key, value in NUMBERS.items()
    }
    assert bob.pdu(sent).canonical() == alice.pdu(sent).canonical()
    assert alice.view(room_id) == bob.view(room_id)
    lines = [line.encode() for line in export_room(bob.store, room_id)]
    assert sent in {record["event_id"] for record in audit_lines(lines)["events"]}
    events = Events(
        batch=1, room_id=room_id, room_version=version, pdus=(alice.pdu(sent).canonical(),)
    )
    for form in Form:
        there, back = (Packer(TextModel(), used=True) for _ in range(2))
        packed = there.pack(replace(events, form=form), NothingKnown())
        assert back.unpack(packed, NothingKnown()) == events


@pytest.mark.parametrize("version", EARLY)
def test_the_largest_depth_can_be_built_on(version: str) -> None:
    room = RoomBuilder("alice", version=version)
    assert room.room_id is not None
    room.message("alice", depth=MAX_DEPTH)
    alice = Node("alice")
    take_in(alice, room)
    assert alice.pdu(alice.say(room.room_id)).depth == MAX_DEPTH


@pytest.mark.parametrize("version", ["8", "9", "10"])
def test_whole_copies_of_authorised_joins(version: str) -> None:
    """In version 8 redaction takes away who authorised a join: a copy whose hash fails is rejected,
    and judged anew when the whole one comes."""
    room = RoomBuilder("alice", version=version, join_rule="restricted")
    assert room.room_id is not None
    content = {"join_authorised_via_users_server": room.creator}
    signers = [signer_for("bob"), signer_for("alice")]
    room.user("bob")
    join = room.member("bob", "bob", "join", content=content, signers=signers)
    message = room.message("bob", "I am in")
    assert not room.rejected
    altered = {**join.json, "content": {**join.content, "displayname": "Mallory"}}
    copy = parse_pdu(altered, room.version)
    assert copy.event_id == join.event_id

    node = Node("carol")
    with node.store.transaction():
        node.store.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
    node.receive(room.room_id, room.canonical(list(room.pdus.values())[:-2]))
    received = node.receive(room.room_id, [copy.canonical(), message.canonical()])
    expected = "rejected" if version == "8" else "accepted"
    assert [outcome.verdict.value for outcome in received.outcomes] == [expected] * 2
    node.receive(room.room_id, [join.canonical()])
    assert node.membership(room.room_id, "bob") == "join"
    assert node.bodies(room.room_id) == ["I am in"]
