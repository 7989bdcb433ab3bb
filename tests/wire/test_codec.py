"""Messages to bytes and back; every limit; garbage gives RemoteProtocolError and nothing else."""

from __future__ import annotations

import base64
import dataclasses
from typing import get_args

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, LimitError, LocalProtocolError, RemoteProtocolError
from dtnode.matrix.server_names import server_name_from_key
from dtnode.wire import limits
from dtnode.wire.codec import MessageDecoder, MessageEncoder, is_unhurried
from dtnode.wire.messages import (
    Ack,
    Bye,
    CardAck,
    CardKind,
    CardRequest,
    JoinRefused,
    NotHere,
    Ping,
    RoomKind,
    Tips,
    Want,
)
from dtnode.wire.packed import LinkMessage, PackedCard, PackedEvents, PackedJoin
from dtnode.wire.pdus import TABLES_VERSION
from dtnode.wire.text_model import TABLE_VERSION

hashes = st.binary(min_size=32, max_size=32).map(
    lambda digest: base64.urlsafe_b64encode(digest).decode().rstrip("=")
)
ids = st.text(min_size=1, max_size=60) | hashes.map(lambda text: "$" + text)
rooms = (
    st.sampled_from(("!a:example.org", "!b:example.org"))
    | ids
    | hashes.map(lambda text: "!" + text)
)
versions = st.text(st.characters(codec="ascii"), min_size=1, max_size=32)
servers = st.text(min_size=1, max_size=60) | st.binary(min_size=32, max_size=32).map(
    server_name_from_key
)
octets = st.binary(min_size=1, max_size=400)
batches = st.integers(0, limits.MAX_BATCH_NUMBER)
places = st.integers(0, 100)


def tuples(items: st.SearchStrategy[object], most: int = 12) -> st.SearchStrategy[tuple]:  # type: ignore[type-arg]
    return st.lists(items, max_size=most).map(tuple)


printable = st.text(max_size=50).map(lambda text: "".join(c for c in text if c.isprintable()))

messages: st.SearchStrategy[LinkMessage] = st.one_of(
    st.builds(
        Tips,
        room_id=rooms,
        room_version=versions,
        kind=st.sampled_from(RoomKind),
        tips=tuples(ids),
        locator=tuples(ids),
        reply=st.booleans(),
    ),
    st.builds(
        PackedEvents,
        batch=batches,
        room_id=rooms,
        room_version=versions,
        data=octets,
        more=st.booleans(),
    ),
    st.builds(Ack, batch=batches, refused=tuples(ids), unread=tuples(places)),
    st.builds(Want, room_id=rooms, event_ids=tuples(ids), have=tuples(ids)),
    st.builds(NotHere, room_id=rooms, event_ids=tuples(ids)),
    st.builds(
        PackedCard,
        kind=st.sampled_from(CardKind),
        room_id=rooms,
        room_version=versions,
        data=octets,
        event=places,
        state=tuples(places),
        state_hash=st.binary(min_size=32, max_size=32),
        servers=tuples(servers),
    ),
    st.builds(CardRequest, room_id=rooms),
    st.builds(CardAck, room_id=rooms, event_id=ids),
    st.builds(PackedJoin, room_id=rooms, room_version=versions, data=octets, signed=st.booleans()),
    st.builds(JoinRefused, room_id=rooms, event_id=ids, reason=printable),
    st.builds(Ping, reply=st.booleans()),
    st.builds(Bye, reason=printable),
)

TIPS = Tips(
    room_id="!r", room_version="12", kind=RoomKind.COMPLETE, tips=("$a", "$b"), locator=("$c",)
)
EVENTS = PackedEvents(batch=7, room_id="!r", room_version="12", data=b"packed")
CARD = PackedCard(
    kind=CardKind.INVITE,
    room_id="!r",
    room_version="12",
    data=b"packed",
    event=0,
    state=(0,),
    state_hash=bytes(32),
    servers=("s",),
)


def encode_message(message: LinkMessage) -> bytes:
    """As the first of a session."""
    return MessageEncoder().encode(message)


def decode_message(data: bytes) -> LinkMessage:
    return MessageDecoder().decode(data)


@given(st.lists(messages, max_size=8))
def test_round_trip_of_a_session(said: list[LinkMessage]) -> None:
    encoder, decoder = MessageEncoder(), MessageDecoder()
    for message in said:
        assert decoder.decode(encoder.encode(message)) == message


def test_every_message_has_a_strategy_above() -> None:
    made = {Tips, PackedEvents, Ack, Want, NotHere, PackedCard, CardRequest, CardAck, Ping, Bye}
    made |= {PackedJoin, JoinRefused}
    assert made == set(get_args(LinkMessage))


def test_the_bytes_of_this_version() -> None:
    """The wire is what other versions of dtnode speak: a change here needs a new WIRE_VERSION."""
    assert (limits.WIRE_VERSION, TABLES_VERSION, TABLE_VERSION) == (1, 1, 1)
    encoder = MessageEncoder()
    assert encoder.encode(TIPS).hex() == "0162217201826224616224628162 2463f4623132".replace(
        " ", ""
    )
    assert encoder.encode(EVENTS).hex() == "02070046" + b"packed".hex()
    assert encoder.encode(Ack(batch=7)).hex() == "0307"
    assert encoder.encode(Ping(reply=True)).hex() == "09f5"
    assert encoder.encode(Ping(reply=False)).hex() == "09"
    assert encoder.encode(Bye(reason="")).hex() == "0a"
    assert encoder.encode(CardRequest(room_id="!" + "A" * 43)).hex() == "075820" + "00" * 32


def test_a_room_is_named_once_and_its_version_when_it_changes() -> None:
    encoder, decoder = MessageEncoder(), MessageDecoder()
    sizes = []
    for version in ("12", "12", "11", "11", "12"):
        message = dataclasses.replace(EVENTS, room_version=version)
        data = encoder.encode(message)
        sizes.append(len(data))
        assert decoder.decode(data) == message
    assert sizes == [16, 10, 14, 10, 14]


def test_what_is_said_most_is_short() -> None:
    encoder, decoder = MessageEncoder(), MessageDecoder()
    sizes = []
    batches = (limits.MAX_BATCH_NUMBER - 1, limits.MAX_BATCH_NUMBER, 0, 1, 2, 3, 2, 3, 4)
    for batch, letter in zip(batches, "rrssrssss", strict=True):
        room_id = f"!{letter}"
        message = dataclasses.replace(EVENTS, batch=batch, room_id=room_id)
        for said in (message, Ack(batch=batch)):
            data = encoder.encode(said)
            sizes.append(len(data) - len(EVENTS.data) if said is message else len(data))
            assert decoder.decode(data) == said
    assert sizes[0::2] == [10, 1, 10, 1, 2, 2, 4, 1, 1], "long: a new room, a batch repeated"
    assert sizes[1::2] == [2, 1, 1, 1, 1, 1, 2, 1, 1]


def test_short_forms_of_events() -> None:
    encoder, decoder = MessageEncoder(), MessageDecoder()
    first = [dataclasses.replace(EVENTS, room_id=room_id) for room_id in ("!r", "!s")]
    for message in first:
        decoder.decode(encoder.encode(message))
    heads = []
    for batch, room_id in ((8, "!s"), (9, "!s"), (10, "!r"), (11, "!r")):
        message = dataclasses.replace(EVENTS, batch=batch, room_id=room_id)
        data = encoder.encode(message)
        assert decoder.decode(data) == message
        heads.append(data.removesuffix(EVENTS.data).hex())
    assert heads == ["0e", "0e", "0f00", "0e"]
    for wrong in ("0f00", "0f01", "020c0046", "0e", "030041", "1000"):
        with pytest.raises(DecodeError):
            MessageDecoder().decode(bytes.fromhex(wrong) + EVENTS.data)
    for wrong in ("0f0078", "020c004178", "0e", "0f01", "0f0278", "0f", "0300"):
        with pytest.raises(DecodeError):
            decoder.decode(bytes.fromhex(wrong))


def test_more_rooms_than_have_numbers() -> None:
    encoder, decoder = MessageEncoder(), MessageDecoder()
    for _ in range(2):
        for number in range(limits.MAX_ROOM_NUMBERS + 10):
            message = CardRequest(room_id=f"!{number}")
            assert decoder.decode(encoder.encode(message)) == message


@given(st.binary(max_size=200))
def test_garbage(data: bytes) -> None:
    check_refused_or_canonical(data)


@given(
    st.recursive(
        st.one_of(
            st.integers(-(2**64), 2**64 - 1),
            st.floats(),
            st.none(),
            st.booleans(),
            st.text(),
            st.binary(),
            st.datetimes().map(str),
            st.just(cbor2.CBORTag(35, "(a+)+")),
        ),
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=4),
    )
)
def test_well_formed_cbor_that_is_no_message(value: object) -> None:
    check_refused_or_canonical(b"\x01" + cbor2.dumps(value))


@given(
    st.integers(0, 17),
    st.lists(
        st.one_of(
            st.integers(0, 300),
            st.booleans(),
            st.text(max_size=8),
            st.binary(max_size=40),
            st.lists(st.text(max_size=4) | st.binary(max_size=4), max_size=4),
        ),
        max_size=8,
    ),
)
def test_right_beginnings_with_wrong_fields(number: int, fields: list[object]) -> None:
    check_refused_or_canonical(bytes([number]) + b"".join(map(cbor2.dumps, fields)))


@given(messages, st.data())
def test_truncated(message: LinkMessage, data: st.DataObject) -> None:
    """What is left may be another message: one without its last fields."""
    encoded = encode_message(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    check_refused_or_canonical(encoded[:cut])


@given(messages, st.data())
def test_one_bit_flipped(message: LinkMessage, data: st.DataObject) -> None:
    encoded = bytearray(encode_message(message))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= 1 << data.draw(st.integers(0, 7))
    check_refused_or_canonical(bytes(encoded))


def check_refused_or_canonical(data: bytes) -> None:
    """What is accepted has no second encoding."""
    try:
        message = decode_message(data)
    except RemoteProtocolError:
        pass
    else:
        assert encode_message(message) == data


FIELDS: list[tuple[LinkMessage, str, object, type[RemoteProtocolError]]] = [
    (TIPS, "room_id", "", DecodeError),
    (TIPS, "room_id", "é" * 128, LimitError),
    (TIPS, "room_id", b"!r", DecodeError),
    (TIPS, "room_version", "1" * 33, LimitError),
    (TIPS, "kind", 2, DecodeError),
    (TIPS, "kind", True, DecodeError),
    (TIPS, "tips", ("$a",) * 201, LimitError),
    (TIPS, "tips", ("$" * 256,), LimitError),
    (TIPS, "tips", (1,), DecodeError),
    (TIPS, "tips", "$a", DecodeError),
    (TIPS, "locator", ("$a",) * 65, LimitError),
    (TIPS, "reply", 1, DecodeError),
    (EVENTS, "batch", 24, LimitError),
    (EVENTS, "batch", True, DecodeError),
    (EVENTS, "batch", "1", DecodeError),
    (EVENTS, "data", b"", DecodeError),
    (EVENTS, "data", "packed", DecodeError),
    (Ack(batch=1), "refused", ("$a",) * 101, LimitError),
    (Ack(batch=1), "unread", (1,) * 101, LimitError),
    (Ack(batch=1), "unread", (101,), LimitError),
    (Want(room_id="!r", event_ids=()), "event_ids", ("$a",) * 501, LimitError),
    (Want(room_id="!r", event_ids=()), "have", ("$a",) * 265, LimitError),
    (NotHere(room_id="!r", event_ids=()), "event_ids", ("$a",) * 501, LimitError),
    (CARD, "kind", 3, DecodeError),
    (CARD, "event", 1001, LimitError),
    (CARD, "state", (1,) * 1001, LimitError),
    (CARD, "state_hash", bytes(31), DecodeError),
    (CARD, "state_hash", bytes(33), LimitError),
    (CARD, "servers", ("s",) * 251, LimitError),
    (CARD, "servers", (b"s",), DecodeError),
    (Bye(reason=""), "reason", "x" * 201, LimitError),
    (Bye(reason=""), "reason", "a\nb", DecodeError),
    (Bye(reason=""), "reason", "\x1b[31m", DecodeError),
]
FIELD_ORDER = {
    Tips: ("room_id", "kind", "tips", "locator", "reply", "room_version"),
    PackedEvents: ("batch", "room_id", "data", "more", "room_version"),
    Ack: ("batch", "refused", "unread"),
    Want: ("room_id", "event_ids", "have"),
    NotHere: ("room_id", "event_ids"),
    PackedCard: (
        "kind",
        "room_id",
        "data",
        "event",
        "state",
        "state_hash",
        "servers",
        "room_version",
    ),
    Bye: ("reason",),
}


@pytest.mark.parametrize(("message", "name", "value", "error"), FIELDS)
def test_each_field_is_checked_when_decoding(
    message: LinkMessage, name: str, value: object, error: type[RemoteProtocolError]
) -> None:
    order = FIELD_ORDER[type(message)]
    items = [dataclasses.asdict(message)[field] for field in order]
    items[order.index(name)] = value
    plain = [list(item) if isinstance(item, tuple) else item for item in items]
    head = encode_message(message)[:1]
    with pytest.raises(error, match=rf"{type(message).__name__}\.{name}"):
        decode_message(head + b"".join(map(cbor2.dumps, plain)))


@pytest.mark.parametrize(
    ("message", "name", "value", "error"),
    [case for case in FIELDS if case[1] != "kind" and case[2] != (b"s",)],
)
def test_and_when_encoding(
    message: LinkMessage, name: str, value: object, error: type[RemoteProtocolError]
) -> None:
    wrong = dataclasses.replace(message, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match=rf"{type(message).__name__}\.{name}"):
        encode_message(wrong)


def test_text_that_is_no_text() -> None:
    with pytest.raises(LocalProtocolError, match="surrogate"):
        encode_message(CardRequest(room_id="\ud800"))
    with pytest.raises(DecodeError, match="not valid CBOR"):
        decode_message(b"\x07\x62\xff\xff")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x00", "type 0 is unknown"),
        (b"\x20", "type 32 is unknown"),
        (b"\x07", "CardRequest.room_id is missing"),
        (b"\x07\x00", "never named"),
        (b"\x02\x01\x62!r\x41x", "PackedEvents.room_version is missing"),
        (b"\x09\xf4", "should be left out"),
        (b"\x09\xf5\xf5", "Ping has 2 fields, at most 1 are expected"),
        (b"\x09\x20", "a negative number"),
        (b"\x09" + cbor2.dumps(1.5), "a float"),
        (b"\x09\xf6", "a float or null"),
        (b"\x09\xa0", "a map"),
        (b"\x09" + cbor2.dumps(2**70), "a tag"),
        (b"\x03\x01\x9f\xff", "indefinite"),
        (b"\x03\x18\x09", "shortest form"),
        (b"\x03\x01\x98\x01\x61$", "shortest form"),
        (b"\x07\x62!", "inside a string"),
        (b"\x03\x1a\x00", "cut off"),
        (b"\x03\x01\x82\x61$", "cut off"),
        (b"\x08\x62!r\x78\x2c$" + b"A" * 43, "should be 32 bytes"),
        (b"\x08\x62!r\x43abc", "3 bytes, 32 are expected"),
    ],
)
def test_bad_outlines_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_message(data)


def test_a_room_named_in_full_again() -> None:
    decoder = MessageDecoder()
    named = encode_message(CardRequest(room_id="!r"))
    decoder.decode(named)
    with pytest.raises(DecodeError, match="in full again"):
        decoder.decode(named)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81" * 100_000,
        b"\x98\xff" * 500_000,
        b"\x9b" + b"\xff" * 8 + b"\x80" * 1_000_000,
        b"\x9a\x7f\xff\xff\xff" + b"\x00" * 1_000_000,
        b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff" + b"x" * 1_000_000,
        b"\x7b" + b"\xff" * 8,
        cbor2.dumps([0] * 100_000),
        b"\x00" * 100_000,
        b"\x00" * (limits.MAX_MESSAGE_BYTES + 1),
    ],
    ids=["nested", "nested wide", "huge array", "long array", "huge bytes", "huge text", "many",
         "many at the top", "too large"],
)  # fmt: skip
def test_hostile_sizes_cost_little(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused by their outline: cbor2 never allocates for them."""

    def never(_: bytes) -> object:
        raise AssertionError("cbor2 was called")

    monkeypatch.setattr(cbor2, "loads", never)
    with pytest.raises(RemoteProtocolError):
        decode_message(b"\x01" + data)


def test_the_largest_messages_fit() -> None:
    """What dtnode.sync sizes by dtnode.wire.limits is never refused for its size."""
    wide = "é" * 127 + "x"
    assert len(wide.encode()) == limits.MAX_ID_BYTES
    fullest: list[LinkMessage] = [
        PackedEvents(
            batch=limits.MAX_BATCH_NUMBER,
            room_id=wide,
            room_version="1" * 32,
            data=bytes(limits.MAX_PDUS_BYTES + 5 * limits.MAX_EVENTS_PDUS),
            more=True,
        ),
        PackedCard(
            kind=CardKind.PUBLIC,
            room_id=wide,
            room_version="1" * 32,
            data=bytes(limits.MAX_CARD_PDUS_BYTES + 5 * limits.MAX_CARD_PDUS),
            event=limits.MAX_CARD_PDUS,
            state=(limits.MAX_CARD_PDUS,) * limits.MAX_CARD_PDUS,
            state_hash=bytes(32),
            servers=(wide,) * limits.MAX_CARD_SERVERS,
        ),
        Want(room_id=wide, event_ids=(wide,) * 500, have=(wide,) * limits.MAX_HAVE),
    ]
    for message in fullest:
        assert decode_message(encode_message(message)) == message


def test_a_message_that_is_too_large_is_the_senders_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="send fewer events"):
        encode_message(dataclasses.replace(EVENTS, data=bytes(limits.MAX_MESSAGE_BYTES)))


def test_what_nobody_waits_for() -> None:
    room_id, event_id = "!r", "$a"
    encoder = MessageEncoder()
    ends: list[LinkMessage] = [
        Ack(batch=0),
        Ack(batch=1),
        Ping(reply=False),
        CardAck(room_id=room_id, event_id=event_id),
    ]
    asks: list[LinkMessage] = [
        Ack(batch=2, unread=(0,)),
        Ack(batch=3, refused=(event_id,)),
        Ping(reply=True),
        Bye(reason=""),
        PackedEvents(batch=0, room_id=room_id, room_version="11", data=b"data"),
        PackedEvents(batch=1, room_id=room_id, room_version="11", data=b"data"),
    ]
    assert [is_unhurried(encoder.encode(one)) for one in (*ends, *asks)] == [True] * 4 + [False] * 6
