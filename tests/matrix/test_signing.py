"""Signing and checking: the specification's vectors, who must sign, content hashes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import FormatError, SignatureError
from dtnode.matrix.hashing import content_hash
from dtnode.matrix.pdu import Pdu, parse_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.signing import (
    check_content_hash,
    servers_to_sign,
    sign_event,
    sign_json,
    signature_checks,
    verify_pdu,
    verify_signature,
)
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64, encode_unpadded_base64
from dtnode.signer import Ed25519Signer
from tests.matrix.small_room import ALICE, BOB, CAROL, SmallRoom, key_of, signer_of
from tests.matrix.vector_pipeline import VECTORS

SPEC: dict[str, Any] = json.loads((VECTORS / "matrix_spec.json").read_text())
SPEC_SIGNER = Ed25519Signer(base64.b64decode(SPEC["seed"] + "="), "domain")


@pytest.mark.parametrize("vector", SPEC["json_signing"])
def test_json_signing_vectors(vector: dict[str, Any]) -> None:
    assert sign_json(vector["input"], SPEC_SIGNER) == vector["signed"]


@pytest.mark.parametrize("version", ROOM_VERSIONS)
@pytest.mark.parametrize("vector", SPEC["event_signing"], ids=["minimal", "message"])
def test_event_signing_vectors(vector: dict[str, Any], version: str) -> None:
    signed = sign_event(vector["input"], ROOM_VERSIONS[version], SPEC_SIGNER)
    assert signed["hashes"] == vector["signed"]["hashes"]
    if int(version) < 11:  # from 11 on redaction drops `origin`, which these events have
        assert signed == vector["signed"]
    else:
        assert signed["signatures"] != vector["signed"]["signatures"]


@given(st.binary(max_size=70))
def test_base64_round_trip(data: bytes) -> None:
    text = encode_unpadded_base64(data)
    assert "=" not in text
    assert decode_unpadded_base64(text) == data
    assert decode_unpadded_base64(text.replace("+", "-").replace("/", "_")) == data


@given(st.text(max_size=20))
def test_base64_of_garbage(text: str) -> None:
    decoded = decode_unpadded_base64(text)
    assert decoded is None or len(decoded) <= len(text)


def test_signing_adds_to_what_is_there() -> None:
    first = sign_json({"a": 1, "unsigned": {"x": 1.5}}, signer_of("a.test"))
    both = sign_json(first, signer_of("b.test"))
    assert set(both["signatures"]) == {"a.test", "b.test"}
    assert set(first["signatures"]) == {"a.test"}
    with pytest.raises(FormatError):
        sign_json({"a": 1.5}, signer_of("a.test"))


def test_verification_of_odd_sizes() -> None:
    signer = signer_of("a.test")
    signature = signer.sign(b"x")
    assert verify_signature(signer.public_key, b"x", signature)
    assert not verify_signature(signer.public_key, b"y", signature)
    for key, sig in ((b"", signature), (signer.public_key, b""), (bytes(33), signature)):
        assert not verify_signature(key, b"x", sig)


def with_signatures(pdu: Pdu, signatures: dict[str, Any]) -> Pdu:
    return parse_pdu({**pdu.json, "signatures": signatures}, pdu.version)


def test_every_known_key_of_the_server_must_verify() -> None:
    room = SmallRoom()
    pdu = room.make(ALICE, "m.room.message", {"body": "x"})
    good = pdu.json["signatures"]["a.test"]["ed25519:1"]
    verify_pdu(pdu, key_of)
    # An unknown key and another algorithm are skipped; another server's signature isn't asked for.
    more = {
        "a.test": {"ed25519:1": good, "ed25519:2": "bad", "rot13:1": "bad"},
        "b.test": {"ed25519:1": "bad"},
    }
    verify_pdu(with_signatures(pdu, more), key_of)
    with pytest.raises(SignatureError, match="ed25519:2"):
        verify_pdu(with_signatures(pdu, more), lambda server, _: signer_of(server).public_key)
    with pytest.raises(SignatureError, match="no key of"):
        verify_pdu(pdu, lambda server, key_id: None)
    unsigned: tuple[dict[str, dict[str, str]], ...] = (
        {},
        {"b.test": {"ed25519:1": good}},
        {"a.test": {}},
        {"a.test": {"x:1": good}},
    )
    for bad in unsigned:
        with pytest.raises(SignatureError, match="not signed by"):
            verify_pdu(with_signatures(pdu, bad), key_of)
    for text in ("", "A", "ä", "A" * 86):
        with pytest.raises(SignatureError, match="wrong"):
            verify_pdu(with_signatures(pdu, {"a.test": {"ed25519:1": text}}), key_of)


def test_checks_name_server_key_and_message() -> None:
    pdu = SmallRoom().make(ALICE, "m.room.message", {"body": "x"})
    (check,) = signature_checks(pdu)
    assert (check.server, check.key_id) == ("a.test", "ed25519:1")
    assert check.message == pdu.signed_bytes()
    assert verify_signature(signer_of("a.test").public_key, check.message, check.signature)


def test_authorised_joins_need_the_authorising_server() -> None:
    room = SmallRoom(join_rule="restricted")
    content = {"membership": "join", "join_authorised_via_users_server": ALICE}
    alone = room.make(BOB, "m.room.member", content, BOB)
    with pytest.raises(SignatureError, match=r"not signed by a\.test"):
        verify_pdu(alone, key_of)
    verify_pdu(room.make(BOB, "m.room.member", content, BOB, signers=("b.test", "a.test")), key_of)
    for unusable in (None, 1, "alice"):
        odd = {"membership": "join", "join_authorised_via_users_server": unusable}
        with pytest.raises(SignatureError, match="not a user id"):
            verify_pdu(room.make(BOB, "m.room.member", odd, BOB), key_of)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_before_version_8_nobody_authorises_joins(version: str) -> None:
    content = {"membership": "join", "join_authorised_via_users_server": ALICE}
    pdu = SmallRoom(version).make(BOB, "m.room.member", content, BOB)
    assert servers_to_sign(pdu) == (("b.test",) if int(version) < 8 else ("b.test", "a.test"))


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_third_party_invites_are_exempt_only_as_what_they_are_kept_as(version: str) -> None:
    room = SmallRoom(version)
    content = {"membership": "invite", "third_party_invite": {"signed": {"token": "t"}}}
    pdu = room.make(ALICE, "m.room.member", content, CAROL, signers=("c.test",))
    verify_pdu(pdu, key_of)
    # Somebody else's forgery: its hash fails, so that what redaction leaves is kept.
    tampered = {**pdu.json, "content": {**content, "displayname": "x"}}
    forged = parse_pdu(tampered, room.version)
    kept = check_content_hash(forged)
    assert "displayname" not in kept.content
    assert kept.redacted == (int(version) < 11)  # from then on nothing else is taken away
    if int(version) < 11:
        # It would be kept as a plain invite of Alice's, who never signed it.
        with pytest.raises(SignatureError, match=r"not signed by a\.test"):
            verify_pdu(forged, key_of)
    else:
        verify_pdu(forged, key_of)
        assert "third_party_invite" in check_content_hash(forged).content


def test_content_hashes() -> None:
    pdu = SmallRoom().make(ALICE, "m.room.message", {"body": "x"})
    assert check_content_hash(pdu) is pdu
    digest = content_hash(pdu.json, pdu.version)
    for spelling in (encode_unpadded_base64(digest) + "=", base64.urlsafe_b64encode(digest)):
        text = spelling if isinstance(spelling, str) else spelling.decode()
        other = parse_pdu({**pdu.json, "hashes": {"sha256": text}}, pdu.version)
        assert check_content_hash(other) is other
    altered = parse_pdu({**pdu.json, "content": {"body": "y"}}, pdu.version)
    assert altered.event_id == pdu.event_id
    redacted = check_content_hash(altered)
    assert (redacted.redacted, redacted.content, redacted.event_id) == (True, {}, pdu.event_id)
    assert check_content_hash(redacted) is redacted
    broken = parse_pdu({**pdu.json, "hashes": {"sha256": "A"}}, pdu.version)
    with pytest.raises(FormatError, match="Base64"):
        check_content_hash(broken)
