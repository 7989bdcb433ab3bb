"""The PDU: one event as servers exchange it, with what the rules read taken out of its JSON.

`read_pdu` makes one of foreign bytes, `parse_pdu` of foreign JSON (check 1 on receipt of a PDU);
`stored_pdu` of bytes this node stored itself. Signatures, content hash and authorisation are
checked elsewhere.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from dtnode.errors import FormatError
from dtnode.matrix.canonical_json import (
    MAX_INTEGER,
    check_canonical_json,
    encode_checked_json,
    parse_json_object,
)
from dtnode.matrix.hashing import event_id_of, signed_bytes
from dtnode.matrix.identifiers import MAX_ID_BYTES, is_room_id, is_user_id, server_name_of
from dtnode.matrix.power_levels import PowerLevels, parse_power_levels, room_creators
from dtnode.matrix.redaction import redact
from dtnode.matrix.room_versions import RoomVersion

StateKey: TypeAlias = tuple[str, str]
"""(type, state_key)"""

MAX_PDU_BYTES = 65536  # "Size limits" of the client-server API
MAX_PREV_EVENTS = 20  # the PDU format of every room version
MAX_AUTH_EVENTS = 10  # likewise
MAX_DEPTH = MAX_INTEGER
"""In every room version: before 6 the event format says 2**63 - 1, but deployed servers drop what
is more than canonical JSON's largest integer."""


class PduFormatError(FormatError):
    """No valid event. `event_id` where it could be computed all the same."""

    def __init__(self, message: str, event_id: str | None = None) -> None:
        super().__init__(message)
        self.event_id = event_id


class Pdu:
    """An event in federation format; never changed once made, whatever it caches.

    json: without `event_id` and `unsigned`; the redacted form if `redacted`.
    room_id: also for a version 12 create event, whose JSON has none.
    auth_events, prev_events: as listed; see `auth_event_ids` for what version 12 implies.
    depth is a non-negative integer, origin_server_ts milliseconds by the sender's clock.
    membership: content.membership of an m.room.member event if it is text, else None.
    """

    __slots__ = (
        "_canonical",
        "_creators",
        "_power_levels",
        "_signed_bytes",
        "auth_event_ids",
        "auth_events",
        "content",
        "depth",
        "event_id",
        "json",
        "membership",
        "origin_server_ts",
        "prev_events",
        "redacted",
        "room_id",
        "sender",
        "state_key",
        "type",
        "version",
    )

    def __init__(
        self, json: dict[str, Any], event_id: str, version: RoomVersion, *, redacted: bool
    ) -> None:
        self.json = json
        self.event_id = event_id
        self.version = version
        self.redacted = redacted
        self.sender: str = json["sender"]
        self.type: str = json["type"]
        self.state_key: str | None = json.get("state_key")
        self.content: dict[str, Any] = json["content"]
        self.prev_events: tuple[str, ...] = tuple(json["prev_events"])
        self.auth_events: tuple[str, ...] = tuple(json["auth_events"])
        self.depth: int = json["depth"]
        self.origin_server_ts: int = json["origin_server_ts"]
        self.membership: str | None = None
        if self.type == "m.room.member":
            membership = self.content.get("membership")
            if type(membership) is str:
                self.membership = membership
        # The events that authorise this one: `auth_events` and, where the room id is the create
        # event's hash, the create event it stands for.
        self.auth_event_ids = self.auth_events
        if not version.room_id_is_create_hash:
            self.room_id: str = json["room_id"]
        elif self.type == "m.room.create":
            self.room_id = "!" + event_id[1:]
        else:
            self.room_id = json["room_id"]
            self.auth_event_ids = (*self.auth_events, "$" + self.room_id[1:])
        self._canonical: bytes | None = None
        self._creators: frozenset[str] | None = None
        self._power_levels: PowerLevels | None = None
        self._signed_bytes: bytes | None = None

    @property
    def sender_server(self) -> str:
        return server_name_of(self.sender)

    @property
    def is_state(self) -> bool:
        return self.state_key is not None

    @property
    def key(self) -> StateKey:
        """(type, state_key) of a state event."""
        assert self.state_key is not None, f"{self.event_id} is not a state event"
        return self.type, self.state_key

    @property
    def redacts(self) -> str | None:
        """The event id a redaction names; None for other events, and where it was stripped."""
        if self.type != "m.room.redaction":
            return None
        source = self.content if self.version.redacts_in_content else self.json
        target = source.get("redacts")
        return target if type(target) is str else None

    @property
    def power_levels(self) -> PowerLevels:
        """Of an m.room.power_levels event. AuthRuleError: its content breaks their rules."""
        if self._power_levels is None:
            self._power_levels = parse_power_levels(self.version, self.content)
        return self._power_levels

    @property
    def creators(self) -> frozenset[str]:
        """Of an m.room.create event: the user ids that count as the room's creators."""
        if self._creators is None:
            self._creators = room_creators(self.version, self.sender, self.content)
        return self._creators

    def canonical(self) -> bytes:
        """Canonical JSON of `json`, signatures and hashes included: what is stored and sent."""
        if self._canonical is None:
            self._canonical = encode_checked_json(
                self.json, strict=self.version.strict_canonical_json
            )
        return self._canonical

    def signed_bytes(self) -> bytes:
        """What its signatures sign and its id hashes; the same for its redacted form."""
        if self._signed_bytes is None:
            self._signed_bytes = signed_bytes(self.json, self.version)
        return self._signed_bytes

    def redacted_form(self) -> Pdu:
        """This event redacted; itself if it is already."""
        if self.redacted:
            return self
        pdu = Pdu(redact(self.json, self.version), self.event_id, self.version, redacted=True)
        pdu._signed_bytes = self._signed_bytes
        return pdu

    def __repr__(self) -> str:
        return f"<Pdu {self.event_id} {self.type} by {self.sender}>"


def read_pdu(data: bytes | str, version: RoomVersion) -> Pdu:
    """Check 1: `data` as an event of `version`. FormatError: not JSON; PduFormatError: no event."""
    return parse_pdu(parse_json_object(data, strict=version.strict_canonical_json), version)


def parse_pdu(json: dict[str, Any], version: RoomVersion) -> Pdu:
    """Check 1: `json` as an event of `version`; `unsigned` is dropped.

    PduFormatError (a FormatError): it isn't one; its `event_id` is set where it has one all the
    same, so that an audit can name it. Whoever has bytes takes `read_pdu`: how numbers are to be
    read depends on the version.
    """
    if "unsigned" in json:
        json = {key: value for key, value in json.items() if key != "unsigned"}
    try:
        check_canonical_json(json, strict=version.strict_canonical_json)
        if type(json.get("type")) is not str or type(json.get("content")) is not dict:
            raise FormatError("'type' is not text or 'content' is not an object")
        signed = signed_bytes(json, version)
    except FormatError as error:
        raise PduFormatError(str(error)) from None
    event_id = event_id_of(signed, version)
    try:
        check_pdu_format(json, version)
        pdu = Pdu(json, event_id, version, redacted=False)
        pdu._signed_bytes = signed
        size = len(pdu.canonical())
    except FormatError as error:
        raise PduFormatError(str(error), event_id) from None
    if size > MAX_PDU_BYTES:
        raise PduFormatError(
            f"event of {size} bytes; at most {MAX_PDU_BYTES} are allowed", event_id
        )
    return pdu


def stored_pdu(data: bytes, event_id: str, version: RoomVersion, *, redacted: bool) -> Pdu:
    """An event as `Pdu.canonical` gave it to this node's own store: nothing is checked again."""
    json = parse_json_object(data, strict=version.strict_canonical_json)
    pdu = Pdu(json, event_id, version, redacted=redacted)
    pdu._canonical = data
    return pdu


_FIELD_TYPES: tuple[tuple[str, type, str], ...] = (
    ("sender", str, "text"),
    ("depth", int, "an integer"),
    ("origin_server_ts", int, "an integer"),
    ("prev_events", list, "an array"),
    ("auth_events", list, "an array"),
    ("hashes", dict, "an object"),
    ("signatures", dict, "an object"),
)


def check_pdu_format(json: dict[str, Any], version: RoomVersion) -> None:
    """The event format of the room version, short of the size of the whole. FormatError."""
    for name, expected, described in _FIELD_TYPES:
        if type(json.get(name)) is not expected:
            raise FormatError(f"{name!r} is missing or not {described}")
    if "event_id" in json:
        raise FormatError("'event_id' is not part of an event in this room version")
    if "state_key" in json and type(json["state_key"]) is not str:
        raise FormatError("'state_key' is not text")
    if not 0 <= json["depth"] <= MAX_DEPTH:
        raise FormatError(f"'depth' is not within 0 and {MAX_DEPTH}")
    if not -(2**63) <= json["origin_server_ts"] < 2**63:  # what servers and the store can keep
        raise FormatError("'origin_server_ts' has more than 64 bits")
    _check_event_ids("prev_events", json["prev_events"], MAX_PREV_EVENTS)
    _check_event_ids("auth_events", json["auth_events"], MAX_AUTH_EVENTS)
    if not is_user_id(json["sender"]):
        raise FormatError(f"'sender' {json['sender']!r:.60} is not a user id")
    _check_room_id(json, version)
    _check_hashes_and_signatures(json["hashes"], json["signatures"])
    for name in ("sender", "type", "state_key", "room_id"):
        value = json.get(name, "")
        if len(value) > MAX_ID_BYTES or (
            not value.isascii() and version.strict_byte_limits and exceeds_id_bytes(value)
        ):
            raise FormatError(f"{name!r} is longer than {MAX_ID_BYTES} bytes")


def exceeds_id_bytes(text: str) -> bool:
    return len(text.encode()) > MAX_ID_BYTES


def _check_event_ids(name: str, ids: list[Any], most: int) -> None:
    if len(ids) > most:
        raise FormatError(f"{len(ids)} {name}; at most {most} are allowed")
    for event_id in ids:
        if type(event_id) is not str or not event_id.startswith("$"):
            raise FormatError(f"{name!r} has an entry that is not an event id")


def _check_room_id(json: dict[str, Any], version: RoomVersion) -> None:
    if not version.room_id_is_create_hash:
        room_id = json.get("room_id")
        if type(room_id) is not str or not is_room_id(room_id, with_domain=True):
            raise FormatError("'room_id' is missing or not of the form !id:server")
        return
    if json["type"] == "m.room.create":
        if "room_id" in json:
            raise FormatError("a create event has no 'room_id' in this room version")
        if json.get("state_key") != "":
            raise FormatError("a create event's 'state_key' is not empty")
        return
    room_id = json.get("room_id")
    if type(room_id) is not str or not is_room_id(room_id, with_domain=False):
        raise FormatError("'room_id' is missing or not ! and the hash of a create event")
    if "$" + room_id[1:] in json["auth_events"]:
        raise FormatError("'auth_events' names the create event, which the room id implies")


def _check_hashes_and_signatures(hashes: dict[str, Any], signatures: dict[str, Any]) -> None:
    if "sha256" not in hashes or not _all_text(hashes):
        raise FormatError("'hashes' has no 'sha256', or something else than text")
    for server, keys in signatures.items():
        if type(keys) is not dict or not _all_text(keys):
            raise FormatError(f"the signatures of {server!r:.60} are not an object of texts")


def _all_text(values: dict[str, Any]) -> bool:
    for value in values.values():  # noqa: SIM110  (a generator costs more than the checks)
        if type(value) is not str:
            return False
    return True
