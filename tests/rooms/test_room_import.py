"""Importing in chunks: where they end, what they count, what a second run costs."""

from __future__ import annotations

import pytest

from dtnode.errors import FormatError
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.signing import KeyLookup, verify_pdu
from dtnode.rooms import receive
from dtnode.rooms.room_file import export_room
from dtnode.rooms.room_import import CHUNK_BYTES, CHUNK_LINES, chunks
from tests.rooms.nodes import Node, make_room


def room_lines(messages: int = 20) -> tuple[str, Node, list[bytes]]:
    room_id, (alice,) = make_room("alice")
    for number in range(messages):
        alice.say(room_id, str(number))
    return room_id, alice, [line.encode() for line in export_room(alice.store, room_id)]


def test_chunks_are_bounded_and_lose_nothing() -> None:
    lines = [b"x" * 10] * (3 * CHUNK_LINES + 7)
    found = list(chunks(lines))
    assert [len(chunk) for chunk in found] == [CHUNK_LINES] * 3 + [7]
    large = [b"x" * (CHUNK_BYTES // 3)] * 10
    assert [len(chunk) for chunk in chunks(large)] == [4, 4, 2]
    huge = [b"x" * (2 * CHUNK_BYTES)] * 5
    assert [len(chunk) for chunk in chunks(huge)] == [2, 2, 1]  # header and create event at least
    assert list(chunks([])) == []


def test_a_second_run_checks_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, lines = room_lines()
    carol = Node("carol")
    carol.rooms.import_lines(lines[:12])
    checked: list[str] = []
    real = verify_pdu

    def counted(pdu: Pdu, keys: KeyLookup) -> None:
        checked.append("one")
        real(pdu, keys)

    monkeypatch.setattr(receive, "verify_pdu", counted)
    counts = carol.rooms.import_lines(lines)[1]
    assert counts["duplicate"] == 11
    assert len(checked) == counts["accepted"] == len(lines) - 12


def test_each_chunk_stays_when_a_later_one_fails() -> None:
    room_id, _, lines = room_lines()
    carol = Node("carol")
    started = carol.rooms.start_import()
    started.take(lines[:10])
    with pytest.raises(FormatError, match="room version"):
        carol.rooms.start_import().take([b"{}", *lines[1:]])
    assert carol.store.events.counts(carol.room(room_id).nid)[0] == 9
    started.take(lines[10:])
    assert started.report()[1]["accepted"] == len(lines) - 1


def test_events_before_their_parents_count_as_what_became_of_them() -> None:
    _, alice, lines = room_lines()
    carol = Node("carol")
    started = carol.rooms.start_import()
    header, create, *rest = lines
    rest.reverse()
    started.take([header, create, *rest[:10]])
    assert started.report()[1]["held"] == 10
    started.take(rest[10:])
    counts = started.report()[1]
    assert (counts["accepted"], counts["held"]) == (len(lines) - 1, 0)
    assert (
        carol.view(alice.room(started.report()[0]).room_id)[1:]
        == alice.view(started.report()[0])[1:]
    )


def test_an_import_without_events_reports_nothing() -> None:
    with pytest.raises(FormatError, match="no events"):
        Node("carol").rooms.start_import().report()
