"""Messages to bytes and back; every limit; garbage gives RemoteProtocolError and nothing else."""

from __future__ import annotations

import dataclasses
from typing import get_args

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, LimitError, LocalProtocolError, RemoteProtocolError
from dtnode.wire import limits
from dtnode.wire.codec import decode_message, encode_message
from dtnode.wire.messages import (
    Ack,
    Bye,
    CardAck,
    CardKind,
    CardRequest,
    Events,
    JoinRefused,
    JoinRequest,
    JoinSigned,
    Message,
    NotHere,
    Ping,
    RoomCard,
    RoomKind,
    Tips,
    Want,
)

ids = st.text(min_size=1, max_size=60)  # 4 bytes a character at most: under MAX_ID_BYTES
versions = st.text(st.characters(codec="ascii"), min_size=1, max_size=32)
pdus = st.binary(min_size=1, max_size=400)
batches = st.integers(0, limits.MAX_BATCH_NUMBER)


def tuples(items: st.SearchStrategy[object], most: int = 12) -> st.SearchStrategy[tuple]:  # type: ignore[type-arg]
    return st.lists(items, max_size=most).map(tuple)


printable = st.text(max_size=50).map(lambda text: "".join(c for c in text if c.isprintable()))

messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Tips,
        room_id=ids,
        room_version=versions,
        kind=st.sampled_from(RoomKind),
        tips=tuples(ids),
        locator=tuples(ids),
        reply=st.booleans(),
    ),
    st.builds(
        Events,
        batch=batches,
        room_id=ids,
        room_version=versions,
        pdus=tuples(pdus),
        more=st.booleans(),
    ),
    st.builds(Ack, batch=batches, refused=tuples(ids)),
    st.builds(Want, room_id=ids, event_ids=tuples(ids), have=tuples(ids)),
    st.builds(NotHere, room_id=ids, event_ids=tuples(ids)),
    st.builds(
        RoomCard,
        kind=st.sampled_from(CardKind),
        room_id=ids,
        room_version=versions,
        event_id=ids,
        pdus=tuples(pdus),
        state=tuples(ids),
        state_hash=st.binary(min_size=32, max_size=32),
        servers=tuples(ids),
    ),
    st.builds(CardRequest, room_id=ids),
    st.builds(CardAck, room_id=ids, event_id=ids),
    st.builds(JoinRequest, room_id=ids, event_id=ids, pdu=pdus),
    st.builds(JoinSigned, room_id=ids, event_id=ids, pdu=pdus),
    st.builds(JoinRefused, room_id=ids, event_id=ids, reason=printable),
    st.builds(Ping, reply=st.booleans()),
    st.builds(Bye, reason=printable),
)

TIPS = Tips(
    room_id="!r", room_version="12", kind=RoomKind.COMPLETE, tips=("$a", "$b"), locator=("$c",)
)
EVENTS = Events(batch=7, room_id="!r", room_version="12", pdus=(b"{}", b'{"a":1}'))
CARD = RoomCard(
    kind=CardKind.INVITE,
    room_id="!r",
    room_version="12",
    event_id="$i",
    pdus=(b"{}",),
    state=("$i",),
    state_hash=bytes(32),
    servers=("s",),
)


@given(messages)
def test_round_trip(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_every_message_has_a_strategy_above() -> None:
    made = {Tips, Events, Ack, Want, NotHere, RoomCard, CardRequest, CardAck, Ping, Bye}
    made |= {JoinRequest, JoinSigned, JoinRefused}
    assert made == set(get_args(Message))


def test_the_bytes_of_version_1() -> None:
    """The wire is what other versions of dtnode speak: a change here needs a new WIRE_VERSION."""
    assert encode_message(TIPS).hex() == "880101622172623132018262246162246281622463f4"
    assert encode_message(EVENTS).hex() == "8701020762217262313282427b7d477b2261223a317df4"
    assert encode_message(Ack(batch=256, refused=())).hex() == "84010319010080"
    assert encode_message(Ping(reply=True)).hex() == "830109f5"
    assert encode_message(Bye(reason="")).hex() == "83010a60"


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
    check_refused_or_canonical(cbor2.dumps(value))


@given(
    st.integers(0, 12),
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
    check_refused_or_canonical(cbor2.dumps([limits.WIRE_VERSION, number, *fields]))


@given(messages, st.data())
def test_truncated(message: Message, data: st.DataObject) -> None:
    encoded = encode_message(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DecodeError):
        decode_message(encoded[:cut])


@given(messages)
def test_doubled(message: Message) -> None:
    encoded = encode_message(message)
    with pytest.raises(RemoteProtocolError, match=r"follow the end|items"):
        decode_message(encoded + encoded)


@given(messages, st.data())
def test_one_bit_flipped(message: Message, data: st.DataObject) -> None:
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


FIELDS: list[tuple[Message, str, object, type[RemoteProtocolError]]] = [
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
    (EVENTS, "batch", 2**32, LimitError),
    (EVENTS, "batch", True, DecodeError),
    (EVENTS, "batch", "1", DecodeError),
    (EVENTS, "pdus", (b"x",) * 101, LimitError),
    (EVENTS, "pdus", (b"x" * 65_537,), LimitError),
    (EVENTS, "pdus", (b"",), DecodeError),
    (EVENTS, "pdus", ("{}",), DecodeError),
    (Ack(batch=1), "refused", ("$a",) * 101, LimitError),
    (Want(room_id="!r", event_ids=()), "event_ids", ("$a",) * 501, LimitError),
    (Want(room_id="!r", event_ids=()), "have", ("$a",) * 265, LimitError),
    (NotHere(room_id="!r", event_ids=()), "event_ids", ("$a",) * 501, LimitError),
    (CARD, "kind", 3, DecodeError),
    (CARD, "pdus", (b"x",) * 1001, LimitError),
    (CARD, "state", ("$a",) * 1001, LimitError),
    (CARD, "state_hash", bytes(31), DecodeError),
    (CARD, "state_hash", bytes(33), LimitError),
    (CARD, "servers", ("s",) * 251, LimitError),
    (Bye(reason=""), "reason", "x" * 201, LimitError),
    (Bye(reason=""), "reason", "a\nb", DecodeError),
    (Bye(reason=""), "reason", "\x1b[31m", DecodeError),
]


@pytest.mark.parametrize(("message", "name", "value", "error"), FIELDS)
def test_each_field_is_checked_when_decoding(
    message: Message, name: str, value: object, error: type[RemoteProtocolError]
) -> None:
    body = cbor2.loads(encode_message(message))
    position = [field.name for field in dataclasses.fields(message)].index(name)
    body[2 + position] = list(value) if isinstance(value, tuple) else value
    with pytest.raises(error, match=rf"{type(message).__name__}\.{name}"):
        decode_message(cbor2.dumps(body))


@pytest.mark.parametrize(
    ("message", "name", "value", "error"), [case for case in FIELDS if case[1] != "kind"]
)
def test_and_when_encoding(
    message: Message, name: str, value: object, error: type[RemoteProtocolError]
) -> None:
    wrong = dataclasses.replace(message, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match=rf"{type(message).__name__}\.{name}"):
        encode_message(wrong)


def test_text_that_is_no_text() -> None:
    with pytest.raises(LocalProtocolError, match="surrogate"):
        encode_message(CardRequest(room_id="\ud800"))
    with pytest.raises(DecodeError, match="not valid CBOR"):
        decode_message(b"\x83\x01\x07\x62\xff\xff")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut off"),
        (b"\x80", "not an array of version"),
        (b"\x01", "not an array of version"),
        (cbor2.dumps([2, 9, True]), "wire version 2, this node speaks 1"),
        (cbor2.dumps([True, 9, True]), "wire version True"),
        (cbor2.dumps([1, 14, True]), "type 14 is unknown"),
        (cbor2.dumps([1, True, True]), "type True is unknown"),
        (cbor2.dumps([1, [9], True]), "is unknown"),
        (cbor2.dumps([1, 9]), "Ping has 0 fields, 1 are expected"),
        (cbor2.dumps([1, 9, True, True]), "Ping has 2 fields, 1 are expected"),
        (cbor2.dumps([1, 9, -1]), "a negative number"),
        (cbor2.dumps([1, 9, 1.5]), "a float"),
        (cbor2.dumps([1, 9, None]), "a float or null"),
        (cbor2.dumps([1, 9, {}]), "a map"),
        (cbor2.dumps([1, 9, 2**70]), "a tag"),
        (b"\x9f\x01\x09\xf5\xff", "indefinite"),
        (b"\x83\x01\x09\xf5\x00", "1 bytes follow"),
        (b"\x83\x01\x18\x09\xf5", "shortest form"),
        (b"\x98\x03\x01\x09\xf5", "shortest form"),
        (b"\x83\x01\x07\x62!", "inside a string"),
        (b"\x83\x01\x07\x1a\x00", "cut off"),
    ],
)
def test_bad_outlines_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_message(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81" * 100_000,
        b"\x98\xff" * 500_000,
        b"\x9b" + b"\xff" * 8 + b"\x80" * 1_000_000,
        b"\x9a\x7f\xff\xff\xff" + b"\x00" * 1_000_000,
        b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff" + b"x" * 1_000_000,
        b"\x7b" + b"\xff" * 8,
        cbor2.dumps([1, 3, 1, [[]] * 100_000]),
        b"\x00" * (limits.MAX_MESSAGE_BYTES + 1),
    ],
    ids=["nested", "nested wide", "huge array", "long array", "huge bytes", "huge text", "many",
         "too large"],
)  # fmt: skip
def test_hostile_sizes_cost_little(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused by their outline: cbor2 never allocates for them."""

    def never(_: bytes) -> object:
        raise AssertionError("cbor2 was called")

    monkeypatch.setattr(cbor2, "loads", never)
    with pytest.raises(RemoteProtocolError):
        decode_message(data)


def test_the_largest_messages_fit() -> None:
    """What dtnode.sync sizes by MAX_PDUS_BYTES is never refused for its size."""
    wide = "é" * 127 + "x"
    assert len(wide.encode()) == limits.MAX_ID_BYTES
    fullest: list[Message] = [
        Events(
            batch=2**32 - 1,
            room_id=wide,
            room_version="1" * 32,
            pdus=shared_out(limits.MAX_PDUS_BYTES, limits.MAX_EVENTS_PDUS),
            more=True,
        ),
        RoomCard(
            kind=CardKind.PUBLIC,
            room_id=wide,
            room_version="1" * 32,
            event_id=wide,
            pdus=shared_out(limits.MAX_CARD_PDUS_BYTES, limits.MAX_CARD_PDUS),
            state=(wide,) * limits.MAX_CARD_PDUS,
            state_hash=bytes(32),
            servers=(wide,) * limits.MAX_CARD_SERVERS,
        ),
        Want(room_id=wide, event_ids=(wide,) * 500, have=(wide,) * limits.MAX_HAVE),
    ]
    for message in fullest:
        assert decode_message(encode_message(message)) == message


def shared_out(total_bytes: int, count: int) -> tuple[bytes, ...]:
    size, rest = divmod(total_bytes, count)
    return (b"x" * size,) * (count - 1) + (b"x" * (size + rest),)


def test_a_message_that_is_too_large_is_the_senders_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="send fewer events"):
        encode_message(dataclasses.replace(EVENTS, pdus=(b"x" * 65_536,) * 16))
