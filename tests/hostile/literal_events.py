"""Events by the letter of the specification: format, redaction, hashes, ids and signatures.

Part of the second implementation (literal.py), which shares no code with dtnode. `n` is the number
of the room version everywhere. Quotations are the specification's (matrix-org/matrix-spec).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from canonicaljson import encode_canonical_json
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

Json: TypeAlias = dict[str, Any]


class Dropped(Exception):
    """Checks 1 and 2: the event isn't kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """json: as received without `unsigned`, or its redacted form. room_id: also of a version 12
    create event. auth_ids: with the create event that the room id of version 12 implies."""

    event_id: str
    json: Json
    redacted: bool
    room_id: str
    auth_ids: tuple[str, ...]

    @property
    def type(self) -> str:
        return str(self.json["type"])

    @property
    def sender(self) -> str:
        return str(self.json["sender"])

    @property
    def content(self) -> Json:
        content: Json = self.json["content"]
        return content

    @property
    def state_key(self) -> str | None:
        return self.json.get("state_key")

    @property
    def is_state(self) -> bool:
        return "state_key" in self.json

    @property
    def key(self) -> tuple[str, str]:
        return self.type, str(self.json["state_key"])

    @property
    def membership(self) -> object:
        return self.content.get("membership")


# --- canonical JSON and base64 (appendices)


def canonical(value: object) -> bytes:
    return encode_canonical_json(value)


def unpadded(data: bytes, *, url_safe: bool = False) -> str:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    return encode(data).decode().rstrip("=")


def decode_base64(text: object) -> bytes | None:
    """Lenient about alphabet and padding, as the receivers of the network are."""
    if not isinstance(text, str):
        return None
    text = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None


def check_numbers(value: object) -> None:
    """ "Servers MUST strictly enforce the JSON format specified in the appendices" (version 6):
    integers in [-(2**53)+1, (2**53)-1], no floats."""
    if isinstance(value, float):
        raise Dropped("a float")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 - 1:
        raise Dropped("an integer out of range")
    if isinstance(value, dict):
        for item in value.values():
            check_numbers(item)
    if isinstance(value, list):
        for item in value:
            check_numbers(item)


# --- redaction


# "The server must strip off any keys not in the following list":
KEPT = (
    "event_id",
    "type",
    "room_id",
    "sender",
    "state_key",
    "content",
    "hashes",
    "signatures",
    "depth",
    "prev_events",
    "auth_events",
    "origin_server_ts",
)
KEPT_BEFORE_11 = (*KEPT, "prev_state", "origin", "membership")

LEVELS = [
    "ban",
    "events",
    "events_default",
    "kick",
    "redact",
    "state_default",
    "users",
    "users_default",
]


def kept_content_keys(event_type: str, n: int) -> list[str]:
    """ "The content object must also be stripped of all keys, unless [...]" """
    match event_type:
        case "m.room.member":
            return ["membership", "join_authorised_via_users_server"][: 2 if n >= 9 else 1]
        case "m.room.create":
            return ["creator"]
        case "m.room.join_rules":
            return ["join_rule", "allow"] if n >= 8 else ["join_rule"]
        case "m.room.power_levels":
            return [*LEVELS, "invite"] if n >= 11 else LEVELS
        case "m.room.aliases":
            return ["aliases"] if n <= 5 else []
        case "m.room.history_visibility":
            return ["history_visibility"]
        case "m.room.redaction":
            return ["redacts"] if n >= 11 else []
    return []


def redact(event: Json, n: int) -> Json:
    kept = KEPT if n >= 11 else KEPT_BEFORE_11
    redacted = {key: event[key] for key in event if key in kept}
    content = event["content"]
    if event["type"] == "m.room.create" and n >= 11:
        return redacted  # "m.room.create allows all keys."
    keys = kept_content_keys(event["type"], n)
    redacted["content"] = {key: content[key] for key in content if key in keys}
    if event["type"] == "m.room.member" and n >= 11:
        # "Additionally, it allows the signed key of the third_party_invite key." Deployed servers
        # keep an object that has none as an empty one.
        invite = content.get("third_party_invite")
        if isinstance(invite, dict):
            signed = {key: invite[key] for key in invite if key == "signed"}
            redacted["content"]["third_party_invite"] = signed
    return redacted


# --- hashes and ids


def content_hash(event: Json) -> bytes:
    """ "First, any existing unsigned, signatures, and hashes properties are removed." """
    left_out = ("unsigned", "signatures", "hashes")
    covered = {key: event[key] for key in event if key not in left_out}
    return hashlib.sha256(canonical(covered)).digest()


def signed_part(event: Json, n: int) -> bytes:
    """What is signed, and hashed for the id: redacted, without signatures and unsigned."""
    redacted = redact(event, n)
    redacted.pop("signatures", None)
    return canonical(redacted)


def event_id_of(event: Json, n: int) -> str:
    """ "The event ID is the reference hash of the event encoded using" unpadded base64, from
    version 4 on "a variation of Unpadded Base64 which replaces the 62nd and 63rd characters"."""
    digest = hashlib.sha256(signed_part(event, n)).digest()
    return "$" + unpadded(digest, url_safe=n >= 4)


# --- check 1


def domain(identifier: str) -> str:
    return identifier.partition(":")[2]


SERVER_NAME = re.compile(r"([0-9A-Za-z.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


def is_user_id(value: object) -> bool:
    """ "localparts consisting of any legal non-surrogate Unicode code points except for : and NUL,
    including other control characters and the empty string" (Historical User IDs)"""
    if not isinstance(value, str) or not value.startswith("@") or ":" not in value:
        return False
    localpart = value[1:].partition(":")[0]
    return "\0" not in localpart and SERVER_NAME.fullmatch(domain(value)) is not None


def is_event_id(value: object, n: int) -> bool:
    letters = "A-Za-z0-9_-" if n >= 4 else "A-Za-z0-9+/"
    return isinstance(value, str) and re.fullmatch(rf"\$[{letters}]{{43}}", value) is not None


def parse(line: bytes) -> Json:
    def refuse(constant: str) -> None:
        raise Dropped(f"{constant} is no JSON")

    try:
        found = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Dropped("no JSON") from error
    if not isinstance(found, dict):
        raise Dropped("no JSON object")
    found.pop("unsigned", None)
    return found


def nesting(value: object) -> int:
    """Objects and arrays inside each other."""
    inside = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(map(nesting, inside), default=0) if isinstance(inside, list) else 0


def read_event(line: bytes, n: int) -> Event:
    """Check 1: "Is a valid event, otherwise it is dropped." """
    found = parse(line)
    if n >= 6:
        check_numbers(found)
    check_fields(found, n)
    if nesting(found) > 127:  # what the parser of deployed servers takes
        raise Dropped("nested too deeply")
    try:
        size = len(canonical(found))
        event_id = event_id_of(found, n)
    except ValueError as error:  # a lone surrogate
        raise Dropped("no canonical JSON") from error
    # "The complete event MUST NOT be larger than 65536 bytes".
    if size > 65536:
        raise Dropped("too large")
    return make_event(found, event_id, n, redacted=False)


def make_event(found: Json, event_id: str, n: int, *, redacted: bool) -> Event:
    auth_ids = tuple(found["auth_events"])
    if n >= 12 and found["type"] == "m.room.create":
        room_id = "!" + event_id[1:]
    else:
        room_id = found["room_id"]
        if n >= 12:
            auth_ids = (*auth_ids, "$" + room_id[1:])
    return Event(
        event_id=event_id, json=found, redacted=redacted, room_id=room_id, auth_ids=auth_ids
    )


def check_fields(found: Json, n: int) -> None:
    """The PDU's definition: which fields there are, and their types."""
    types: dict[str, type] = {
        "type": str,
        "content": dict,
        "sender": str,
        "depth": int,
        "origin_server_ts": int,
        "prev_events": list,
        "auth_events": list,
        "hashes": dict,
        "signatures": dict,
    }
    for name, expected in types.items():
        if type(found.get(name)) is not expected:
            raise Dropped(f"{name} is missing or of the wrong type")
    if "state_key" in found and not isinstance(found["state_key"], str):
        raise Dropped("state_key is no text")
    # Deployed servers keep no event with an `event_id` that isn't part of it, nor a time beyond 64
    # bits, which the specification allows before version 6.
    if "event_id" in found:
        raise Dropped("event_id")
    if not -(2**63) <= found["origin_server_ts"] < 2**63:
        raise Dropped("origin_server_ts")
    # "Must be less than the maximum value for an integer (2^63 - 1)"; 2^53 - 1 from version 6, and
    # to deployed servers in all.
    if not 0 <= found["depth"] <= 2**53 - 1:
        raise Dropped("depth")
    # "Must contain less than or equal to 20 events", "[...] 10 events".
    if len(found["prev_events"]) > 20 or len(found["auth_events"]) > 10:
        raise Dropped("too many prev_events or auth_events")
    if not all(is_event_id(i, n) for i in (*found["prev_events"], *found["auth_events"])):
        raise Dropped("prev_events and auth_events are lists of event ids")
    if not is_user_id(found["sender"]):
        raise Dropped("sender is no user id")
    check_room_id(found, n)
    check_lengths(found, n)
    hashes = found["hashes"]
    if "sha256" not in hashes or not all(isinstance(text, str) for text in hashes.values()):
        raise Dropped("no sha256 hash, or one that is no text")
    for keys in found["signatures"].values():
        if not isinstance(keys, dict) or not all(isinstance(text, str) for text in keys.values()):
            raise Dropped("signatures are objects of objects of texts")


def check_room_id(found: Json, n: int) -> None:
    room_id = found.get("room_id")
    if n >= 12 and found["type"] == "m.room.create":
        # "If the event has a room_id, reject." There is one create event in such a room.
        if "room_id" in found or found.get("state_key") != "":
            raise Dropped("a create event with a room_id, or that is no state")
        return
    if not isinstance(room_id, str) or not room_id.startswith("!"):
        raise Dropped("room_id is missing or no room id")
    if n >= 12 and not is_event_id("$" + room_id[1:], n):
        raise Dropped("room_id is no hash")
    if n <= 11 and not domain(room_id):
        raise Dropped("room_id has no domain")
    if n >= 12 and "$" + room_id[1:] in found["auth_events"]:
        # "The m.room.create event MUST NOT be selected for auth_events on events."
        raise Dropped("the create event is among the auth_events")


def check_lengths(found: Json, n: int) -> None:
    """ "sender, room_id, state_key and type must not exceed 255 bytes". Deployed servers measured
    code points before version 11; what is longer in bytes only they keep, as rejected."""
    for value in lengths_checked(found):
        if len(value) > 255 or (n >= 11 and len(value.encode()) > 255):
            raise Dropped("longer than 255 bytes")


def lengths_checked(found: Mapping[str, Any]) -> Iterator[str]:
    for name in ("sender", "room_id", "state_key", "type"):
        if name in found:
            yield found[name]


# --- check 2 and 3


def check_content_hash(event: Event, n: int) -> Event:
    """Check 3: "Passes hash checks, otherwise it is redacted before being processed further." """
    claimed = decode_base64(event.json["hashes"]["sha256"])
    if claimed is None:
        raise Dropped("the content hash is no base64")
    if claimed == content_hash(event.json):
        return event
    redacted = redact(event.json, n)
    # Where redaction takes nothing but what was forged, what is left is the whole event.
    whole = claimed == content_hash(redacted)
    return make_event(redacted, event.event_id, n, redacted=not whole)


def servers_that_must_sign(event: Event, kept: Event, n: int) -> list[str]:
    """ "Only the signature(s) from the originating server [...] are required", "unless the event is
    a 3rd party invite". Whether it is one is asked of the form that check 3 leaves."""
    servers = []
    if not (
        kept.type == "m.room.member"
        and kept.membership == "invite"
        and "third_party_invite" in kept.content
    ):
        servers.append(domain(event.sender))
    # "If the event is not validly signed by the homeserver of the user ID denoted by the key,
    # reject" (version 8). Deployed servers ask this of joins only.
    authoriser = event.content.get("join_authorised_via_users_server")
    if (
        n >= 8
        and event.type == "m.room.member"
        and event.membership == "join"
        and "join_authorised_via_users_server" in event.content
    ):
        if not isinstance(authoriser, str) or ":" not in authoriser:
            raise Dropped("the authorising user is no user id")
        servers.append(domain(authoriser))
    return servers


def verifies(key: bytes, message: bytes, signature: object) -> bool:
    decoded = decode_base64(signature)
    if decoded is None or len(decoded) != 64 or len(key) != 32:
        return False
    try:
        VerifyKey(key).verify(message, decoded)
    except BadSignatureError:
        return False
    return True


def check_signatures(
    event: Event, kept: Event, n: int, keys: Mapping[tuple[str, str], bytes]
) -> None:
    """Check 2. keys: (server, key id) -> Ed25519 key. "Only signatures from known server keys are
    validated here. Any unknown keys are ignored."; all signatures from known keys must be valid."""
    message = signed_part(event.json, n)
    for server in servers_that_must_sign(event, kept, n):
        signatures = event.json["signatures"].get(server, {})
        known = {key_id: keys[server, key_id] for key_id in signatures if (server, key_id) in keys}
        if not known:
            raise Dropped(f"no signature of {server} with a known key")
        if not all(verifies(key, message, signatures[key_id]) for key_id, key in known.items()):
            raise Dropped(f"a signature of {server} is wrong")
