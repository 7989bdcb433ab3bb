"""Content hashes, reference hashes and event ids (server-server API, "Signing Events")."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from dtnode.matrix.canonical_json import encode_checked_json
from dtnode.matrix.redaction import redact
from dtnode.matrix.room_versions import RoomVersion
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64, encode_url_safe_unpadded_base64

_NOT_IN_CONTENT_HASH = frozenset({"unsigned", "signatures", "hashes"})


def content_hash(json: dict[str, Any], version: RoomVersion) -> bytes:
    """32 bytes over everything but `unsigned`, `signatures` and `hashes`.

    FormatError: a lone surrogate; the rest of `check_canonical_json` is the caller's.
    """
    covered = {key: value for key, value in json.items() if key not in _NOT_IN_CONTENT_HASH}
    return sha256(encode_checked_json(covered, strict=version.strict_canonical_json)).digest()


def signed_bytes(json: dict[str, Any], version: RoomVersion) -> bytes:
    """What an event's servers sign and its id hashes: the redacted event without signatures."""
    redacted = redact(json, version)
    redacted.pop("signatures", None)
    return encode_checked_json(redacted, strict=version.strict_canonical_json)


def reference_hash(json: dict[str, Any], version: RoomVersion) -> bytes:
    """32 bytes ("Calculating the reference hash for an event")."""
    return sha256(signed_bytes(json, version)).digest()


def event_id_of(signed: bytes, version: RoomVersion) -> str:
    """The event id for `signed_bytes` ("Event IDs" of the room version)."""
    digest = sha256(signed).digest()
    if version.url_safe_event_ids:
        return "$" + encode_url_safe_unpadded_base64(digest)
    return "$" + encode_unpadded_base64(digest)
