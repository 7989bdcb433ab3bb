"""Messages that carry PDUs: what dtnode.sync takes for one surely fits into one."""

from __future__ import annotations

import pytest

from dtnode.errors import LocalProtocolError
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import RoomVersion
from dtnode.sync.outbox import fitting
from dtnode.testing.rooms_builder import RoomBuilder
from dtnode.wire.limits import MAX_PDU_BYTES, MAX_PDUS_BYTES
from dtnode.wire.messages import Events, Form
from dtnode.wire.packed import PackedEvents
from dtnode.wire.packing import Packer
from dtnode.wire.pdus import BatchEncoder, NothingKnown
from dtnode.wire.pdus.batch import MAX_FRAMING
from dtnode.wire.text_model import TextModel

LARGE = 65_280
"""Bytes of JSON of an event, of which 16 fill MAX_PDUS_BYTES to the byte."""


def large(room: RoomBuilder) -> Pdu:
    empty = len(room.make("alice", "m.x", {"b": ""}).canonical())
    return room.make("alice", "m.x", {"b": "x" * (LARGE - empty)})


@pytest.mark.parametrize("form", Form)
def test_what_sync_takes_fits(form: Form) -> None:
    room = RoomBuilder("alice")
    pdus = [large(room).canonical()] * 16
    assert sum(map(len, pdus)) == MAX_PDUS_BYTES
    taken, _ = fitting(pdus, form, MAX_PDUS_BYTES)
    assert 10 < taken < 16
    assert room.room_id is not None

    def events(count: int) -> Events:
        return Events(
            batch=0,
            room_id=room.room_id or "",
            room_version="12",
            pdus=tuple(pdus[:count]),
            form=form,
        )

    packed = Packer(TextModel(), used=False).pack(events(taken), NothingKnown())
    assert isinstance(packed, PackedEvents)
    assert len(packed.data) <= MAX_PDUS_BYTES
    if form is Form.RAW:
        with pytest.raises(LocalProtocolError, match="fewer"):
            Packer(TextModel(), used=False).pack(events(16), NothingKnown())


@pytest.mark.parametrize("form", Form)
def test_no_event_takes_much_more_than_its_json(form: Form) -> None:
    """Floats are longer packed than as JSON."""
    room = RoomBuilder("alice", version="3")
    content = {"k": [n + 0.5 for n in range(9)] * 1_000}
    pdu = room.make("alice", "m.x", content)
    assert len(pdu.canonical()) < MAX_PDU_BYTES
    version: RoomVersion = room.version
    data, _ = BatchEncoder().encode("!r:x", version, [pdu], NothingKnown(), form=form)
    assert len(data) <= len(pdu.canonical()) + MAX_FRAMING
