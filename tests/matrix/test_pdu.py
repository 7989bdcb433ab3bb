"""The event format: what is an event in which room version, and that garbage is none."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import FormatError, SignatureError
from dtnode.matrix.hashing import reference_hash
from dtnode.matrix.pdu import (
    MAX_DEPTH,
    MAX_PDU_BYTES,
    Pdu,
    PduFormatError,
    parse_pdu,
    read_pdu,
    stored_pdu,
)
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.signing import check_content_hash, sign_event, verify_pdu
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64, encode_url_safe_unpadded_base64
from tests.matrix.small_room import ALICE, BOB, SmallRoom, key_of, signer_of
from tests.matrix.vector_pipeline import ROOM_NAMES, load_room

ALL_VERSIONS = pytest.mark.parametrize("version", ROOM_VERSIONS)
HASH = "a" * 43


def message(version: str, **changes: Any) -> dict[str, Any]:
    """A well-formed message; a field set to None is left out."""
    json = {
        "type": "m.room.message",
        "sender": ALICE,
        "room_id": "!" + HASH if version == "12" else "!room:a.test",
        "content": {"body": "hello"},
        "prev_events": ["$" + HASH.replace("a", "b")],
        "auth_events": [],
        "depth": 3,
        "origin_server_ts": 1000,
        "hashes": {"sha256": "x"},
        "signatures": {},
        **changes,
    }
    return {key: value for key, value in json.items() if value is not None}


@ALL_VERSIONS
def test_what_the_rules_read(version: str) -> None:
    pdu = parse_pdu(
        message(version, type="m.room.member", state_key=BOB, content={"membership": "invite"}),
        ROOM_VERSIONS[version],
    )
    assert (pdu.key, pdu.is_state, pdu.membership) == (("m.room.member", BOB), True, "invite")
    assert (pdu.sender_server, pdu.depth, pdu.origin_server_ts) == ("a.test", 3, 1000)
    assert pdu.redacts is None
    digest = reference_hash(pdu.json, pdu.version)
    encode = encode_unpadded_base64 if version == "3" else encode_url_safe_unpadded_base64
    assert pdu.event_id == "$" + encode(digest)
    implied = ("$" + HASH,) if version == "12" else ()
    assert pdu.auth_event_ids == implied


@ALL_VERSIONS
def test_unsigned_is_dropped(version: str) -> None:
    room_version = ROOM_VERSIONS[version]
    plain = parse_pdu(message(version), room_version)
    annotated = parse_pdu(message(version, unsigned={"age": 1.5, "x": [1]}), room_version)
    assert annotated.json == plain.json
    assert annotated.event_id == plain.event_id


@ALL_VERSIONS
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": None}, "type"),
        ({"type": 1}, "type"),
        ({"type": "x" * 256}, "longer"),
        ({"content": []}, "content"),
        ({"sender": None}, "sender"),
        ({"sender": "alice"}, "user id"),
        ({"sender": "@" + "a" * 250 + ":a.test"}, "longer"),
        ({"room_id": None}, "room_id"),
        ({"room_id": "room:a.test"}, "room_id"),
        ({"room_id": 1}, "room_id"),
        ({"state_key": 1}, "state_key"),
        ({"state_key": "x" * 256}, "longer"),
        ({"depth": None}, "depth"),
        ({"depth": "3"}, "depth"),
        ({"depth": True}, "depth"),
        ({"depth": -1}, "not within"),
        ({"depth": 2**63}, "not within|integer"),
        ({"origin_server_ts": 2**63}, "64 bits|integer"),
        ({"origin_server_ts": -(2**63) - 1}, "64 bits|integer"),
        ({"depth": 3.0}, "integer"),
        ({"origin_server_ts": None}, "origin_server_ts"),
        ({"prev_events": None}, "prev_events"),
        ({"prev_events": [1]}, "prev_events"),
        ({"prev_events": [["$x", {}]]}, "prev_events"),
        ({"prev_events": ["$x"] * 21}, "at most 20"),
        ({"auth_events": ["x"]}, "auth_events"),
        ({"auth_events": ["$x"] * 11}, "at most 10"),
        ({"hashes": {}}, "sha256"),
        ({"hashes": {"sha256": 1}}, "hashes"),
        ({"signatures": None}, "signatures"),
        ({"signatures": {"a.test": "x"}}, "signatures"),
        ({"signatures": {"a.test": {"ed25519:1": 1}}}, "signatures"),
        ({"event_id": "$x"}, "event_id"),
        ({"content": {"body": "x" * MAX_PDU_BYTES}}, "bytes"),
        ({"content": {"body": "\ud800"}}, "JSON"),
    ],
)
def test_malformed_events(version: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PduFormatError, match=reason):
        parse_pdu(message(version, **changes), ROOM_VERSIONS[version])


def test_a_malformed_event_keeps_its_id() -> None:
    json = message("11", prev_events=["$x"] * 21)
    with pytest.raises(PduFormatError) as caught:
        parse_pdu(json, ROOM_VERSIONS["11"])
    digest = reference_hash(json, ROOM_VERSIONS["11"])
    assert caught.value.event_id == "$" + encode_url_safe_unpadded_base64(digest)
    with pytest.raises(PduFormatError) as caught:
        parse_pdu(message("11", depth=1.5), ROOM_VERSIONS["11"])
    assert caught.value.event_id is None


@ALL_VERSIONS
@pytest.mark.parametrize("field", ["type", "state_key"])
def test_255_code_points_of_more_bytes(version: str, field: str) -> None:
    json = message(version, **{field: "ä" * 255})
    if int(version) < 11:  # rejected by the auth rules instead, and so part of the DAG
        assert parse_pdu(json, ROOM_VERSIONS[version]).json[field] == "ä" * 255
    else:
        with pytest.raises(PduFormatError, match="longer"):
            parse_pdu(json, ROOM_VERSIONS[version])


def test_event_ids_of_version_3_have_plus_and_slash() -> None:
    ids = "".join(
        parse_pdu(message("3", depth=depth), ROOM_VERSIONS["3"]).event_id for depth in range(50)
    )
    assert "+" in ids
    assert "/" in ids
    assert "-" not in ids
    assert "_" not in ids


# Numbers that aren't canonical JSON


@ALL_VERSIONS
def test_the_largest_depth(version: str) -> None:
    room_version = ROOM_VERSIONS[version]
    assert parse_pdu(message(version, depth=MAX_DEPTH), room_version).depth == 2**53 - 1
    with pytest.raises(PduFormatError, match=r"depth|integer"):
        parse_pdu(message(version, depth=MAX_DEPTH + 1), room_version)


@ALL_VERSIONS
@pytest.mark.parametrize("number", ["1.5", "-0.0", "1e16", "5e-324", "9007199254740992", "1" * 99])
def test_numbers_of_early_versions_survive(version: str, number: str) -> None:
    room = SmallRoom(version)
    text = json.dumps(message(version, content={"x": 7})).replace("7", number)
    if int(version) >= 6:
        with pytest.raises(FormatError, match="integer"):
            read_pdu(text, room.version)
        return
    pdu = parse_pdu(
        sign_event(read_pdu(text, room.version).json, room.version, signer_of("a.test")),
        room.version,
    )
    verify_pdu(pdu, key_of)
    assert check_content_hash(pdu) is pdu
    assert repr(pdu.content["x"]) == repr(json.loads(number))
    for copy in (
        read_pdu(pdu.canonical(), room.version),
        stored_pdu(pdu.canonical(), pdu.event_id, room.version, redacted=False),
    ):
        assert repr(copy.content) == repr(pdu.content)
        assert (copy.event_id, copy.canonical()) == (pdu.event_id, pdu.canonical())
        verify_pdu(copy, key_of)
        assert check_content_hash(copy) is copy


@ALL_VERSIONS
@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "1" * 4301])
def test_what_is_no_number_in_any_version(version: str, number: str) -> None:
    text = json.dumps(message(version, content={"x": 7})).replace("7", number)
    with pytest.raises(FormatError):
        read_pdu(text, ROOM_VERSIONS[version])


def test_version_12_room_ids() -> None:
    room = SmallRoom("12")
    assert "room_id" not in room.create.json
    assert room.create.room_id == "!" + room.create.event_id[1:] == room.power_levels.room_id
    assert room.create.auth_event_ids == ()
    assert room.power_levels.auth_event_ids[-1] == room.create.event_id
    create = {**room.create.json, "room_id": room.room_id}
    with pytest.raises(PduFormatError, match="no 'room_id'"):
        parse_pdu(create, room.version)
    with pytest.raises(PduFormatError, match="state_key"):
        parse_pdu({**room.create.json, "state_key": "x"}, room.version)
    with pytest.raises(PduFormatError, match="create event"):
        parse_pdu({**room.power_levels.json, "auth_events": [room.create.event_id]}, room.version)
    with pytest.raises(PduFormatError, match="room_id"):
        parse_pdu({**room.power_levels.json, "room_id": "!x:a.test"}, room.version)


@ALL_VERSIONS
def test_where_a_redaction_names_its_target(version: str) -> None:
    room_version = ROOM_VERSIONS[version]
    at_top = parse_pdu(
        message(version, type="m.room.redaction", redacts="$a", content={}), room_version
    )
    in_content = parse_pdu(
        message(version, type="m.room.redaction", content={"redacts": "$a"}), room_version
    )
    assert (at_top.redacts, in_content.redacts) == (
        ("$a", None) if int(version) < 11 else (None, "$a")
    )
    assert in_content.redacted_form().redacts == in_content.redacts
    assert at_top.redacted_form().redacts is None


@ALL_VERSIONS
def test_the_redacted_form_keeps_id_and_signature(version: str) -> None:
    room = SmallRoom(version)
    pdu = room.make(ALICE, "m.room.message", {"body": "hello"})
    redacted = pdu.redacted_form()
    assert (redacted.redacted, redacted.content) == (True, {})
    assert redacted.redacted_form() is redacted
    again = read_pdu(redacted.canonical(), room.version)
    assert again.event_id == pdu.event_id
    assert again.signed_bytes() == pdu.signed_bytes()
    verify_pdu(again, key_of)
    assert check_content_hash(again).redacted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(sorted(ROOM_VERSIONS)),
    st.dictionaries(st.sampled_from([*message("11"), "state_key", "unsigned"]), json_values),
    st.sets(st.sampled_from(sorted(message("11")))),
)
def test_garbage_is_an_event_or_a_format_error(
    version: str, changes: dict[str, Any], removed: set[str]
) -> None:
    json = {k: v for k, v in {**message(version), **changes}.items() if k not in removed}
    with contextlib.suppress(FormatError):
        pdu = parse_pdu(json, ROOM_VERSIONS[version])
        assert isinstance(pdu, Pdu)
        assert read_pdu(pdu.canonical(), pdu.version).event_id == pdu.event_id


@given(st.sampled_from(ROOM_NAMES), st.integers(0, 119), st.data())
def test_damaged_lines_of_the_vectors(name: str, index: int, data: st.DataObject) -> None:
    room = load_room(name)
    line = room.lines[index]
    at = data.draw(st.integers(0, len(line) - 1))
    damaged = line[:at] + data.draw(st.binary(max_size=3)) + line[at + 1 :]
    with contextlib.suppress(FormatError, SignatureError):
        pdu = read_pdu(damaged, room.version)
        verify_pdu(pdu, room.keys)
        assert check_content_hash(pdu).event_id == pdu.event_id


def test_signers_of_this_folder_differ() -> None:
    assert signer_of("a.test").public_key != signer_of("b.test").public_key
