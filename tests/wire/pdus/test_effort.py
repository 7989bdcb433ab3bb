"""What a batch may cost its reader beyond its length, and that honest ones stay within it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from dtnode.errors import LimitError
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import V12
from dtnode.testing.rooms_builder import RoomBuilder
from dtnode.wire.effort import MAX_BROADCAST_SYMBOLS, MAX_LOOK_UPS, MAX_SYMBOLS, Effort
from dtnode.wire.messages import Events, Form
from dtnode.wire.packed import PackedEvents
from dtnode.wire.packing import Packer
from dtnode.wire.pdus import BatchDecoder, KnownEvent, NothingKnown, codes
from dtnode.wire.pdus.tables import Tables
from dtnode.wire.pdus.writer import Writer
from dtnode.wire.text_model import TextModel
from tests.wire.pdus.known import End, KnownRoom

ROOM_ID = "!" + "a" * 43
MODEL = TextModel()
BOMB = b"see you tomorrow " * 30
"""Short enough not to be deflated: every byte is predicted, and there are a sixth of them."""


class Unused:
    """A text model that costs too much to be asked."""

    def compress(self, _text: bytes, _effort: Effort, /) -> bytes | None:
        raise AssertionError("nothing is written here")

    def decompress(self, _data: bytes, _max_bytes: int, _effort: Effort, /) -> bytes:
        raise AssertionError("the model was asked")


class Counting(KnownRoom):
    look_ups = 0

    def by_prefix(self, prefix: bytes, /) -> str | None:
        self.look_ups += 1
        return super().by_prefix(prefix)

    def find(self, event_id: str, /) -> KnownEvent | None:
        self.look_ups += 1
        return super().find(event_id)


def event_with(values: list[bytes]) -> bytes:
    """A batch of one event whose content is a list of these values."""
    writer = Writer(V12, Tables(), None, NothingKnown(), None)
    writer.out.append(0x80 | 0x40 | 0x10)
    writer.user("@a:b.c")
    writer.out += bytes((0, 0, 5, 0xFF))
    writer.text("x.type")
    writer.out += bytes(1 + 64)
    writer.out += bytes((codes.OBJECT + 1, codes.KEY_TEXT + 1)) + b"k"
    writer.out.append(codes.LONG_ARRAY)
    writer.varint(len(values))
    return bytes(writer.out) + b"".join(values)


def model_text(text: bytes) -> bytes:
    packed = MODEL.compress(text)
    assert packed is not None
    assert packed[0], "it is predicted"
    return bytes((codes.MODEL_TEXT, len(packed) & 127 | 128, len(packed) >> 7)) + packed


def test_texts_that_take_too_long_are_refused() -> None:
    data = event_with([model_text(BOMB)] * 31)
    effort = Effort()
    packed = MODEL.compress(BOMB)
    assert packed is not None
    for _ in range(MAX_SYMBOLS // (len(BOMB) + 1)):
        MODEL.decompress(packed, 65_536, effort)
    with pytest.raises(LimitError, match="effort"):
        MODEL.decompress(packed, 65_536, effort)
    assert effort.symbols == 0
    with pytest.raises(LimitError, match="effort"):
        BatchDecoder(MODEL).decode(ROOM_ID, V12, data, NothingKnown())
    data = event_with([model_text(BOMB)] * 2)
    decoder = BatchDecoder(MODEL, symbols=MAX_BROADCAST_SYMBOLS)
    with pytest.raises(LimitError, match="effort"):
        decoder.decode(ROOM_ID, V12, data, NothingKnown())


def test_texts_of_a_room_that_is_not_here_are_not_read() -> None:
    """The tables go on as if they had been: the next batch is of another room."""
    room, elsewhere = RoomBuilder("alice"), RoomBuilder("alice")
    sender, receiver = Packer(MODEL, used=True), Packer(Unused(), used=False)
    for form in (Form.COMPACT, Form.EXPLICIT, Form.COMPACT):
        lines = [room.message("alice", f"see you tomorrow at {at}") for at in range(8, 12)]
        packed = sender.pack(events(room, lines, form), NothingKnown())
        read = receiver.unpack(packed, None)
        assert isinstance(read, Events)
        assert read.unread == (0, 1, 2, 3)
        other = [elsewhere.message("alice", "8f3kq0zz")]
        packed = sender.pack(events(elsewhere, other), NothingKnown())
        assert receiver.unpack(packed, NothingKnown()) == events(elsewhere, other)


def events(room: RoomBuilder, pdus: Sequence[Pdu], form: Form = Form.COMPACT) -> Events:
    data = tuple(pdu.canonical() for pdu in pdus)
    assert room.room_id is not None
    return Events(batch=0, room_id=room.room_id, room_version="12", pdus=data, form=form)


@pytest.mark.parametrize("symbols", [MAX_SYMBOLS, MAX_BROADCAST_SYMBOLS, 10])
def test_honest_batches_stay_within_it(symbols: int) -> None:
    """What is over it goes as it is; the room's last line is the longest."""
    room = RoomBuilder("alice")
    lines = [room.message("alice", "See you Tomorrow, BOB and all " * n) for n in range(1, 25)]
    sent = Packer(MODEL, used=True, symbols=symbols)
    got = Packer(MODEL, used=False, symbols=symbols)
    message = events(room, lines)
    packed = sent.pack(message, NothingKnown())
    assert got.unpack(packed, NothingKnown()) == message
    assert isinstance(packed, PackedEvents)
    plain = Packer(MODEL, used=False).pack(message, NothingKnown())
    assert isinstance(plain, PackedEvents)
    if symbols == MAX_SYMBOLS:
        assert len(packed.data) < len(plain.data)


def test_a_text_that_does_not_get_shorter_is_counted_too() -> None:
    """Or a member's noise would keep every sender busy."""
    effort = Effort()
    noise = random.Random(1).randbytes(900)
    assert MODEL.compress(noise, effort) is None
    assert effort.symbols <= MAX_SYMBOLS - 900


def test_look_ups_by_prefix_are_few() -> None:
    prefixes = [bytes((codes.EVENT, codes.REF_PREFIX)) + n.to_bytes(4, "big") for n in range(500)]
    known = Counting()
    with pytest.raises(LimitError, match="prefix"):
        BatchDecoder().decode(ROOM_ID, V12, event_with(prefixes), known)
    assert known.look_ups == MAX_LOOK_UPS


def test_honest_batches_look_up_few() -> None:
    """One event that names a thousand others of the room."""
    room = RoomBuilder("alice")
    named = [room.message("alice", str(n)).event_id for n in range(MAX_LOOK_UPS + 100)]
    here, there = End(room.pdus.values()), End(room.pdus.values())
    here.known = counting = Counting(room.pdus.values())
    pdu = room.event("alice", "x.list", {"events": named})
    data, _ = here.encoder.encode(ROOM_ID, V12, [pdu], here.known)
    # Each is looked for by the writer, and by the reader that checks it, twice.
    assert counting.look_ups <= 2 * 2 * MAX_LOOK_UPS
    (read,) = there.decoder.decode(ROOM_ID, V12, data, there.known)
    assert read == pdu.canonical()


def test_unreadable_events_count_as_what_they_would_be() -> None:
    """A batch of events that can't be put together is bounded as one of those that can."""
    word = bytes((codes.LONG_TEXT, 120)) + b"w" * 120
    wide = [word, *[bytes((codes.RECENT_WORD, 0))] * 500]
    unknown = bytes((codes.EVENT, codes.REF_PREFIX)) + b"gone"
    batch = event_with([*wide, unknown]) * 20
    with pytest.raises(LimitError, match="bytes of events"):
        BatchDecoder().decode(ROOM_ID, V12, batch, NothingKnown())
