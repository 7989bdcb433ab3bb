"""Bytes and contexts that are wrong: errors of the remote side, or events that nobody accepts."""

from __future__ import annotations

import functools
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, LimitError, PduError, RemoteProtocolError
from dtnode.matrix.pdu import Pdu, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS, V12, RoomVersion
from dtnode.matrix.signing import check_content_hash, verify_pdu
from dtnode.rooms.rooms import key_of_name
from dtnode.testing.rooms_builder import RoomBuilder
from dtnode.wire import limits
from dtnode.wire.pdus import BatchDecoder, BatchEncoder, Form, NothingKnown, Unreadable, codes
from tests.wire.pdus.known import End, KnownRoom
from tests.wire.pdus.samples import first_events, samples

ROOM_ID = "!" + "a" * 43


def accepted(data: bytes, version: RoomVersion) -> Pdu | None:
    """As the receive pipeline takes it up to check 3, whole; None: it doesn't."""
    try:
        pdu = read_pdu(data, version)
        verify_pdu(pdu, key_of_name)
        return pdu if check_content_hash(pdu) is pdu else None
    except PduError:
        return None


@functools.cache
def sample_room(version: str) -> tuple[RoomBuilder, int]:
    """A room with samples, and how many events it had before them."""
    room = first_events(version)
    before = len(room.pdus)
    samples(room)
    return room, before


@pytest.mark.parametrize("version", ["3", "11", "12"])
@pytest.mark.parametrize("form", [Form.COMPACT, Form.EXPLICIT])
def test_a_flipped_bit_never_gives_another_accepted_event(version: str, form: Form) -> None:
    room, before = sample_room(version)
    pdus = list(room.pdus.values())
    originals = {pdu.canonical() for pdu in pdus}
    room_id = room.create.room_id
    rng = random.Random(f"{version} {form}")
    fine = broken = 0
    for _ in range(400):
        here, there = End(pdus[:before]), End(pdus[:before])
        start = rng.randrange(before, len(pdus))
        data, _ = here.encoder.encode(room_id, room.version, pdus[start:], here.known, form=form)
        bad = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 4))):
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        try:
            read = there.decoder.decode(room_id, room.version, bytes(bad), there.known)
        except RemoteProtocolError:
            broken += 1
            continue
        for event in read:
            pdu = accepted(event, room.version) if isinstance(event, bytes) else None
            if pdu is not None:
                assert pdu.canonical() in originals
                fine += 1
    assert fine
    assert broken


@pytest.mark.parametrize("seed", range(20))
def test_a_wrong_context_never_gives_an_accepted_event(seed: int) -> None:
    """The receiver's room is another one, with events of the same prefixes and other senders."""
    rng = random.Random(seed)
    room, before = sample_room(rng.choice(["11", "12"]))
    pdus = list(room.pdus.values())
    other = first_events(room.version.identifier)
    other.message("dave", f"unlike {seed}")
    strangers = list(other.pdus.values())

    class Confused(KnownRoom):
        def by_prefix(self, prefix: bytes, /) -> str | None:
            return rng.choice([*strangers, *pdus]).event_id

    known = Confused([*strangers, *pdus])
    here = End(pdus[:before])
    decoder = BatchDecoder()
    for table in ("users", "servers", "words", "shapes"):  # out of step with the encoder's
        ring = getattr(decoder.tables, table)
        for pdu in rng.sample(strangers, 12):
            ring.add(pdu.sender if table != "shapes" else tuple(sorted(pdu.content)))
    originals = {pdu.canonical() for pdu in pdus}
    for _ in range(10):
        first = rng.randrange(before, len(pdus))
        data, _ = here.encoder.encode(room.create.room_id, room.version, pdus[first:], here.known)
        try:
            read = decoder.decode(room.create.room_id, room.version, data, known)
        except RemoteProtocolError:
            break
        for event in read:
            taken = accepted(event, room.version) if isinstance(event, bytes) else None
            assert taken is None or taken.canonical() in originals


def _decode(data: bytes, version: RoomVersion = V12) -> list[bytes | Unreadable] | None:
    try:
        return BatchDecoder().decode(ROOM_ID, version, data, NothingKnown())
    except (DecodeError, LimitError):
        return None


@given(data=st.binary(max_size=300), version=st.sampled_from(["3", "12"]))
def test_garbage(data: bytes, version: str) -> None:
    """Nothing but DecodeError, LimitError, Unreadable and bytes."""
    _decode(data, ROOM_VERSIONS[version])


@given(data=st.data())
def test_events_with_garbage_values(data: st.DataObject) -> None:
    """A head, a sender and a time that are right, then anything: reaches deeper than noise."""
    sender = bytes((codes.NAME_NEW, codes.NAME_TEXT, 3)) + b"a.b" + b"\x01u"
    head = data.draw(st.sampled_from([0x80, 0x82, 0x9E, 0x40, 0x42, 0x44, 0x52, 0xC0, 0xD2]))
    start = bytes((head | 0x40,)) + sender + bytes((0,)) + bytes((0, 5))
    rest = data.draw(
        st.lists(
            st.binary(min_size=1, max_size=64)
            | st.sampled_from([bytes((code,)) for code in range(0xD0, 0x100)])
            | st.just(bytes(64)),
            max_size=12,
        )
    )
    _decode(start + b"".join(rest), data.draw(st.sampled_from([V12, ROOM_VERSIONS["4"]])))


@given(data=st.data())
def test_mutated_batches(data: st.DataObject) -> None:
    room, _ = sample_room(data.draw(st.sampled_from(["3", "11", "12"])))
    pdus = list(room.pdus.values())
    form = data.draw(st.sampled_from(Form))
    batch, _ = BatchEncoder().encode(
        room.create.room_id, room.version, pdus, NothingKnown(), form=form
    )
    at = data.draw(st.integers(0, len(batch)))
    gone = data.draw(st.integers(0, 40))
    _decode(batch[:at] + data.draw(st.binary(max_size=40)) + batch[at + gone :], room.version)


SENDER = bytes((codes.NAME_NEW, codes.NAME_TEXT, 3)) + b"a.b" + b"\x01u"
EVENT = bytes((0x80 | 0x40,)) + SENDER + bytes((0, 0, 5, 0)) + bytes(64)
"""A generic event without parents, up to its content."""

LONG_WORD = bytes((codes.LONG_TEXT, 120)) + b"w" * 120
WIDE_SHAPE = bytes((codes.LONG_OBJECT, 32)) + b"".join(
    bytes((codes.KEY_TEXT + 14,)) + b"%014d" % i for i in range(32)
)

BOMBS = {
    "words": EVENT
    + bytes((codes.ARRAY + 2,))
    + LONG_WORD
    + bytes((codes.LONG_ARRAY, 0xFF, 0xFF, 0x03))
    + bytes((codes.RECENT_WORD, 0)) * 65_535,
    "shapes": EVENT
    + WIDE_SHAPE
    + (bytes((codes.RECENT_SHAPE, 0)) + bytes((codes.NULL,)) * 31) * 10_000,
    "count of an array": EVENT + bytes((codes.LONG_ARRAY,)) + b"\xff" * 9 + b"\x01",
    "count of an object": EVENT + bytes((codes.LONG_OBJECT,)) + b"\xff" * 9 + b"\x01",
    "length of a text": EVENT + bytes((codes.LONG_TEXT,)) + b"\xff" * 9 + b"\x01",
    "length of raw JSON": b"\x81" + b"\xff" * 9 + b"\x01",
    "depth": EVENT + bytes((codes.ARRAY + 1,)) * 500_000,
    "depth of objects": EVENT + bytes((codes.OBJECT + 1, 0)) * 500_000,
    "parents": bytes((0x80 | 0x40,)) + SENDER + b"\xff" * 9 + b"\x01",
    "events": (b"\x81\x01x") * 300_000,
    "users": EVENT
    + bytes((codes.LONG_ARRAY, 0xFF, 0xFF, 0x01))
    + bytes((codes.USER, codes.NAME_NEW, codes.NAME_TEXT, 0xFF, 0x01))
    + b"s" * 255
    + bytes((0,))
    + bytes((codes.USER, 1)) * 32_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_memory_is_bounded(bomb: bytes) -> None:
    """A message of at most a megabyte takes a few more, whatever it says."""
    assert len(bomb) <= limits.MAX_MESSAGE_BYTES
    tracemalloc.start()
    try:
        assert _decode(bomb) is None, "it isn't over any bound"
        assert tracemalloc.get_traced_memory()[1] < 3 * limits.MAX_MESSAGE_BYTES
    finally:
        tracemalloc.stop()


def test_tables_are_bounded() -> None:
    """A peer that fills every table for as long as it likes holds a few megabytes of this end."""
    decoder = BatchDecoder()
    rng = random.Random(1)
    tracemalloc.start()
    try:
        for batch in range(300):
            data = b""
            for event in range(10):
                name = f"{batch}-{event}-".ljust(250, "n").encode()
                auth = b"".join(
                    bytes((0xE2, 0xE8, 0x07)) + b"$" + bytes([65 + i]) * 999 for i in range(10)
                )
                data += bytes((0x80 | 0x40 | 0x10,))
                data += bytes((codes.NAME_NEW, codes.NAME_TEXT, 250)).replace(b"\xfa", b"\xfa\x01")
                data += name + b"\xc8\x01" + name[:200]
                data += bytes((0, 0, 5, 0)) + b"\x0a" + auth + bytes(64)
                words = b"".join(
                    bytes((codes.LONG_TEXT, 100)) + rng.randbytes(50).hex().encode()
                    for _ in range(5)
                )
                data += bytes((codes.OBJECT + 1, codes.KEY_LONG, 0xFA, 0x01)) + name
                data += bytes((codes.ARRAY + 5,)) + words
            events = decoder.decode(f"!{batch}" + "x" * 200, V12, data, NothingKnown())
            assert len(events) == 10
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 3 * 2**20


def test_a_text_model_that_is_off() -> None:
    body = bytes((0x08 | 0x04 | 0x40,)) + SENDER + bytes((0, 0, 5)) + bytes(64) + b"packed"
    with pytest.raises(DecodeError, match="text model"):
        BatchDecoder().decode(ROOM_ID, V12, body, NothingKnown())


@pytest.mark.parametrize("data", [b"", b"\x83", b"\x85\x00", b"\x83\x83"])
def test_no_batch(data: bytes) -> None:
    with pytest.raises(DecodeError):
        BatchDecoder().decode(ROOM_ID, V12, data, NothingKnown())
