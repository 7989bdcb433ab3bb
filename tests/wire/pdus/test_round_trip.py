"""What comes out is what went in, bit for bit: recorded rooms, hostile rooms, odd events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import FormatError
from dtnode.matrix.canonical_json import MAX_INTEGER, encode_canonical_json
from dtnode.matrix.pdu import MAX_DEPTH, MAX_PDU_BYTES, Pdu, parse_pdu, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.matrix.signing import check_content_hash
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64
from dtnode.testing.rooms_builder import RoomBuilder, signer_for
from dtnode.wire.pdus import TABLES_VERSION, Form, NothingKnown, words
from tests.hostile.generator import generate
from tests.rooms.vector_rooms import ROOM_NAMES, load_room
from tests.wire.pdus.known import End
from tests.wire.pdus.samples import opaque

VERSIONS = tuple(ROOM_VERSIONS)


def pass_through(room_id: str, version: RoomVersion, pdus: Sequence[Pdu], form: Form) -> int:
    """Sends all in batches of a new session, compares, and gives the bytes used."""
    here, there = End(pdus), End(pdus)
    left = list(pdus)
    size = 0
    while left:
        data, taken = here.encoder.encode(room_id, version, left, here.known, form=form)
        read = there.decoder.decode(room_id, version, data, there.known)
        assert read == [pdu.canonical() for pdu in left[:taken]]
        left = left[taken:]
        size += len(data)
    return size


def readable(lines: Sequence[bytes], version: RoomVersion) -> list[Pdu]:
    """The events of a room file that get past check 1, each also in redacted form."""
    pdus = []
    for line in lines:
        try:
            pdu = read_pdu(line, version)
            whole = check_content_hash(pdu)
        except FormatError:
            continue
        pdus.append(pdu)
        pdus.append(whole.redacted_form())
    return pdus


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_recorded_rooms(name: str) -> None:
    room = load_room(name)
    pdus = readable(room.lines, room.version)
    compact, explicit, raw = (pass_through(room.room_id, room.version, pdus, f) for f in Form)
    assert compact < explicit < raw


@pytest.mark.parametrize("seed", range(110))
def test_hostile_rooms(seed: int) -> None:
    version = VERSIONS[seed % len(VERSIONS)]
    lines = generate(seed, version).lines[1:]
    pdus = readable(lines, ROOM_VERSIONS[version])
    form = (Form.COMPACT, Form.COMPACT, Form.EXPLICIT)[seed % 3]
    pass_through(pdus[0].room_id, ROOM_VERSIONS[version], pdus, form)


keys = st.text(max_size=12) | st.sampled_from(
    ["body", "m.relates_to", "event_id", "@a:b.c", "users"]
)
texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["m.text", "join", "👍", "", "$", "@:", "!a:b", "mxc://", "mxc://a.b/c"]),
    st.binary(max_size=50).map(encode_unpadded_base64),
    st.binary(min_size=32, max_size=32).map(lambda data: "$" + encode_unpadded_base64(data)),
    st.from_regex(r"[$@!m]?[A-Za-z0-9+/_=:.-]{8,60}", fullmatch=True),
    st.from_regex(r"mxc://[a-z.:]{1,20}/[A-Za-z0-9=]{0,30}", fullmatch=True),
    st.from_regex(r"@[^:]{0,30}:[a-z0-9.:]{1,60}", fullmatch=True),
    st.sampled_from(["alice", "bob"]).map(
        lambda name: signer_for(name).server_name + ".example.org"
    ),
)
numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.integers(-3, 300)
strict_scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
relaxed_scalars = strict_scalars | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def objects(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=9) | st.dictionaries(keys, inner, max_size=9),
        max_leaves=12,
    )
    return st.dictionaries(keys, values, max_size=6)


event_ids = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda data: "$" + encode_unpadded_base64(data)),
    st.text(max_size=20).map(lambda text: "$" + text),
)
hashes = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda data: {"sha256": encode_unpadded_base64(data)}),
    st.dictionaries(keys, texts, max_size=3).map(lambda extra: {**extra, "sha256": "x"}),
)
signatures = st.dictionaries(
    st.sampled_from(["a.example", "b.example:80"]) | texts,
    st.dictionaries(
        st.sampled_from(["ed25519:1", "ed25519:a_1"]) | keys,
        st.binary(min_size=64, max_size=64).map(encode_unpadded_base64) | texts,
        max_size=3,
    ),
    max_size=3,
)


@st.composite
def odd_events(draw: st.DrawFn, version: RoomVersion, room_id: str) -> Pdu | None:
    """Any event of that version's format, however senseless; None where it came out as none."""
    scalars = strict_scalars if version.strict_canonical_json else relaxed_scalars
    event: dict[str, Any] = draw(objects(scalars))  # further top-level keys
    event.pop("event_id", None)
    event |= {
        "type": draw(st.sampled_from(["m.room.message", "m.room.create", "m.reaction"]) | texts),
        "sender": draw(st.sampled_from(["@a:a.example", "@:b.example:80", "@ü €:a.example"])),
        "content": draw(
            objects(scalars)
            | texts.map(lambda body: {"body": body, "msgtype": "m.text"})
            | texts.map(lambda body: {"body": body, "msgtype": "m.text", "m.mentions": {}})
        ),
        "depth": draw(st.integers(0, MAX_DEPTH)),
        "origin_server_ts": draw(numbers),
        "prev_events": draw(st.lists(event_ids, max_size=3)),
        "auth_events": draw(st.lists(event_ids, max_size=3)),
        "hashes": draw(hashes),
        "signatures": draw(signatures),
        "room_id": draw(st.just(room_id) | st.sampled_from(["!x:y", "!" + "a" * 43])),
    }
    if draw(st.booleans()):
        event["state_key"] = draw(st.just("") | st.just(event["sender"]) | texts)
    if event["type"] == "m.room.create" and version.room_id_is_create_hash:
        del event["room_id"]
    try:
        return parse_pdu(event, version)
    except FormatError:
        return None


@pytest.mark.parametrize("number", ["3", "5", "6", "11", "12"])
@given(data=st.data())
def test_odd_events(number: str, data: st.DataObject) -> None:
    version = ROOM_VERSIONS[number]
    room_id = "!" + "a" * 43 if version.room_id_is_create_hash else "!room:a.example"
    drawn = data.draw(st.lists(odd_events(version, room_id), min_size=1, max_size=2))
    pdus = [pdu for pdu in drawn if pdu is not None]
    form = data.draw(st.sampled_from(Form))
    if pdus:
        pass_through(room_id, version, [*pdus, *pdus], form)


@pytest.mark.parametrize("form", Form)
def test_the_largest_event(form: Form) -> None:
    room = RoomBuilder("alice")
    room.message("alice", "ü" * 32_000)
    room.event("alice", "m.big", {"list": [[{"k": i} for i in range(50)]] * 100})
    opaque_text = encode_unpadded_base64(opaque("big", 47_000))
    room.event("alice", "m.big", {"opaque": opaque_text, "deep": json.loads("[" * 120 + "]" * 120)})
    assert max(len(pdu.canonical()) for pdu in room.pdus.values()) > MAX_PDU_BYTES - 3_000
    pass_through(room.create.room_id, room.version, list(room.pdus.values()), form)


def test_every_static_word_and_shape_comes_back() -> None:
    room = RoomBuilder("alice")
    for start in range(0, 400, 40):
        part = slice(start, start + 40)
        room.event("alice", "m.words", {"values": list(words.VALUES[part])})
        room.event("alice", "m.keys", dict.fromkeys(words.KEYS[part], 1))
        shapes = [dict.fromkeys(shape) for shape in words.SHAPES[part]]
        room.event("alice", "m.shapes", {"shapes": shapes})
    for type_ in words.TYPES:
        if not type_.startswith("m.room.") or type_ == "m.room.message":
            room.event("alice", type_, {"a": 1}, "key" if type_ in words.TYPES[::3] else None)
    pdus = list(room.pdus.values())
    pass_through(room.create.room_id, room.version, pdus, Form.COMPACT)


def test_batches_are_cut_at_the_bytes_given() -> None:
    room = RoomBuilder("alice")
    for i in range(150):
        room.message("alice", f"message {i} " + "x" * (i % 50))
    pdus = list(room.pdus.values())
    here, there = End(), End()
    room_id, version = room.create.room_id, room.version
    position = 0
    while position < len(pdus):
        left = pdus[position:]
        data, taken = here.encoder.encode(room_id, version, left, NothingKnown(), max_bytes=1_000)
        assert 1 <= taken <= 100
        assert len(data) <= 1_000
        read = there.decoder.decode(room_id, version, data, NothingKnown())
        assert read == [pdu.canonical() for pdu in left[:taken]]
        position += taken
    alone, taken = here.encoder.encode(room_id, version, pdus, NothingKnown(), max_bytes=1)
    assert taken == 1
    assert there.decoder.decode(room_id, version, alone, NothingKnown()) == [pdus[0].canonical()]


def test_canonical_json_is_the_measure() -> None:
    """`unsigned` isn't carried; what else is there comes in canonical order."""
    room = RoomBuilder("alice")
    pdu = room.message("alice", "hello")
    loose = parse_pdu({**dict(reversed(pdu.json.items())), "unsigned": {"age": 3}}, room.version)
    here, there = End(room.pdus.values()), End(room.pdus.values())
    data, _ = here.encoder.encode(pdu.room_id, room.version, [loose], here.known)
    read = there.decoder.decode(pdu.room_id, room.version, data, there.known)
    assert read == [encode_canonical_json(pdu.json)]


def test_the_static_tables_are_those_of_their_version() -> None:
    """Whoever changes them raises TABLES_VERSION, or two nodes would misread each other."""
    tables = json.dumps([words.VALUES, words.TYPES, words.KEYS, words.SHAPES]).encode()
    assert (TABLES_VERSION, sha256(tables).hexdigest()[:16]) == (1, "0f3694055c1ff21d")
    assert all(len(table) == len(set(table)) for table in json.loads(tables)[:3])
    assert len(words.SHAPES) == len(set(words.SHAPES))
