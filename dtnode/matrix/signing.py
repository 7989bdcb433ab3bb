"""Signing JSON and events, and checking signatures and content hashes (checks 2 and 3 on receipt).

libsodium's single Ed25519 verification and no other: a verdict is consensus (DESIGN section 1).
Where keys come from is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from nacl.bindings import crypto_sign_BYTES, crypto_sign_open, crypto_sign_PUBLICKEYBYTES
from nacl.exceptions import BadSignatureError

from dtnode.errors import FormatError, SignatureError
from dtnode.matrix.canonical_json import encode_canonical_json
from dtnode.matrix.hashing import content_hash, signed_bytes
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import RoomVersion
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64, encode_unpadded_base64
from dtnode.signer import Signer

KeyLookup: TypeAlias = Callable[[str, str], bytes | None]
"""(server name, key id) -> the 32-byte Ed25519 key, or None: unknown."""

ED25519_KEY_BYTES = crypto_sign_PUBLICKEYBYTES
"""Of a public key: 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCheck:
    """One signature to verify; the caller resolves (server, key_id) to a 32-byte key.

    A server listed more than once signed with several keys: those known must all verify, and at
    least one must be known.
    """

    server: str
    key_id: str
    signature: bytes
    message: bytes


def sign_json(obj: dict[str, Any], signer: Signer) -> dict[str, Any]:
    """A copy with `signer`'s signature added (appendices, "Signing JSON"). FormatError: no JSON."""
    covered = {key: value for key, value in obj.items() if key not in ("signatures", "unsigned")}
    return _with_signature(obj, encode_canonical_json(covered), signer)


def sign_event(json: dict[str, Any], version: RoomVersion, signer: Signer) -> dict[str, Any]:
    """A copy with content hash and signature ("Adding hashes and signatures to outgoing events").

    Present hashes are replaced, others' signatures stay. FormatError: not the canonical JSON of
    this room version.
    """
    unhashed = {key: value for key, value in json.items() if key != "unsigned"}
    encode_canonical_json(unhashed, strict=version.strict_canonical_json)
    digest = encode_unpadded_base64(content_hash(unhashed, version))
    hashed = {**json, "hashes": {"sha256": digest}}
    return _with_signature(hashed, signed_bytes(hashed, version), signer)


def _with_signature(obj: dict[str, Any], message: bytes, signer: Signer) -> dict[str, Any]:
    signatures: dict[str, Any] = dict(obj.get("signatures", {}))
    own = dict(signatures.get(signer.server_name, {}))
    own[signer.key_id] = encode_unpadded_base64(signer.sign(message))
    signatures[signer.server_name] = own
    return {**obj, "signatures": signatures}


def verify_signature(key: bytes, message: bytes, signature: bytes) -> bool:
    """Ed25519 (RFC 8032, as libsodium verifies one signature); False for malformed keys too."""
    if len(signature) != crypto_sign_BYTES or len(key) != ED25519_KEY_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def servers_to_sign(pdu: Pdu) -> tuple[str, ...]:
    """The servers whose signature the event needs. SignatureError: one can't even be named."""
    servers = []
    if not _is_third_party_invite(pdu):
        servers.append(pdu.sender_server)
    # "If content has a join_authorised_via_users_server property: if the event is not validly
    # signed by the homeserver of the user ID denoted by the key, reject." (8)
    if (
        "restricted" in pdu.version.join_rules
        and pdu.membership == "join"
        and "join_authorised_via_users_server" in pdu.content
    ):
        authorising_user = pdu.content["join_authorised_via_users_server"]
        if type(authorising_user) is not str or ":" not in authorising_user:
            raise SignatureError("'join_authorised_via_users_server' is not a user id")
        server = server_name_of(authorising_user)
        if server not in servers:
            servers.append(server)
    return tuple(servers)


def _is_third_party_invite(pdu: Pdu) -> bool:
    """Whether the sender's server needn't have signed: the auth rules check the invite's token.

    Up to room version 10 redaction makes such an event an ordinary invite. A copy whose content
    hash fails is judged as what it will be kept as, or anyone could forge an invite in another's
    name.
    """
    if pdu.membership != "invite" or "third_party_invite" not in pdu.content:
        return False
    return "third_party_invite" in check_content_hash(pdu).content


def signature_checks(pdu: Pdu) -> list[SignatureCheck]:
    """The signatures of the servers that must have signed; keys are not ours to know.

    SignatureError: one of them didn't sign with any Ed25519 key. FormatError: a third-party
    invite's content hash is no Base64.
    """
    checks = []
    for server in servers_to_sign(pdu):
        signatures = pdu.json["signatures"].get(server, {})
        found = [
            SignatureCheck(
                server=server,
                key_id=key_id,
                # What is no Base64 can't verify, and no signature of length 0 does either.
                signature=decode_unpadded_base64(text) or b"",
                message=pdu.signed_bytes(),
            )
            for key_id, text in signatures.items()
            if key_id.startswith("ed25519:")
        ]
        if not found:
            raise SignatureError(f"not signed by {server}")
        checks += found
    return checks


def verify_pdu(pdu: Pdu, keys: KeyLookup) -> None:
    """Check 2 on receipt of a PDU. SignatureError: a signature is missing, unknown or wrong.

    FormatError: as for `signature_checks`.
    """
    verified: dict[str, bool] = {}
    for check in signature_checks(pdu):
        verified.setdefault(check.server, False)
        key = keys(check.server, check.key_id)
        # "If a signature is from an unknown or expired key, it is skipped."
        if key is None:
            continue
        if not verify_signature(key, check.message, check.signature):
            raise SignatureError(f"the signature of {check.server} ({check.key_id}) is wrong")
        verified[check.server] = True
    for server, known in verified.items():
        if not known:
            raise SignatureError(f"no key of {server} is known that the event is signed with")


def check_content_hash(pdu: Pdu) -> Pdu:
    """Check 3: the event itself if its content hash holds, else its redacted form.

    FormatError: the hash it carries is no Base64, so that there is nothing to compare.
    """
    if pdu.redacted:
        return pdu
    expected = content_hash(pdu.json, pdu.version)
    claimed: str = pdu.json["hashes"]["sha256"]
    if claimed == encode_unpadded_base64(expected):
        return pdu
    decoded = decode_unpadded_base64(claimed)
    if decoded is None:
        raise FormatError("'hashes.sha256' is not Base64")
    if decoded == expected:
        return pdu
    redacted = pdu.redacted_form()
    # Where redaction took away nothing but what was added on the way, nothing is missing.
    redacted.redacted = content_hash(redacted.json, pdu.version) != decoded
    return redacted
