"""One event, written and read: what its receiver can't compute, and the 64 bytes of its signature.

    head  sender  prev_events  time  [extras]  [type  [state_key]]  [auth_events]
    [extra fields]  signature  content

Event id, content hash, depth, room id and origin are left out where they are what the receiver
computes; whether the event is the one that was signed, its signature says (checked by whoever takes
the events in, not here).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dtnode.errors import DecodeError, LimitError
from dtnode.matrix.canonical_json import MAX_NESTING, encode_checked_json
from dtnode.matrix.hashing import content_hash
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import MAX_AUTH_EVENTS, MAX_PDU_BYTES, MAX_PREV_EVENTS, Pdu
from dtnode.matrix.room_versions import RoomVersion
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64
from dtnode.wire.pdus import codes, words
from dtnode.wire.pdus.reader import HASH_BYTES, Reader
from dtnode.wire.pdus.tables import UNKNOWN, USUAL_KEY_ID, Said
from dtnode.wire.pdus.writer import TYPE_CODES, Unpackable, Writer, exact_base64

# Head: what kind of event, where its parents are.
OTHER: Final = 0x80  # not a plain text message; the bits below then mean the second set
PREV_LAST: Final = 0x00  # the room's last event of this direction
PREV_RECEIVED: Final = 0x20  # one event of the other direction: its place follows
PREV_LIST: Final = 0x40
PREV_ONE: Final = 0x60  # a reference follows
PREV_MASK: Final = 0x60
AUTH: Final = 0x10  # auth_events follow; else those of this sender's last event
TEXT_MODEL: Final = 0x08
TEXT_TO_END: Final = 0x04  # the body reaches to the end of the batch: no length
TEXT_EXTRAS: Final = 0x02
TEXT_MENTIONS: Final = 0x01  # "m.mentions": {}, as clients send with every text
STATE_MASK: Final = 0x0C
STATE_EMPTY: Final = 0x04
STATE_SENDER: Final = 0x08
STATE_OTHER: Final = 0x0C
OTHER_EXTRAS: Final = 0x02
ESCAPE: Final = 0x01  # with OTHER: no compact event (dtnode.wire.pdus.batch)

# Extras.
DEPTH: Final = 0x01  # difference to one more than the highest parent's
HASH: Final = 0x02  # 32 bytes: the content hash isn't that of the content (a redacted event)
HASHES: Final = 0x04  # `hashes` as a value
KEY_ID: Final = 0x08  # the sender's server signed with a key id unlike before
SIGNATURES: Final = 0x10  # `signatures` as a value
ROOM_ID: Final = 0x20  # another room id than the batch's, or null: none
ORIGIN: Final = 0x40  # `origin`, the sender's server (rooms before version 11 had it)
FIELDS: Final = 0x80  # further top-level keys, as an object

SIGNATURE_BYTES: Final = 64
_TYPE_AS_TEXT: Final = 0xFF
_TIME_BITS: Final = (14, 22, 30)  # in 2, 3 and 4 bytes: 16 s, 70 minutes, 12 days
_TIME_OTHERWISE: Final = 0xC0
_FIELDS: Final = frozenset(
    {
        "auth_events",
        "content",
        "depth",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "room_id",
        "sender",
        "signatures",
        "state_key",
        "type",
    }
)
_REQUIRED: Final = len(_FIELDS) - 2  # room_id and state_key may be missing


def write_event(writer: Writer, pdu: Pdu, room_id: str, *, last: bool, hash_is_right: bool) -> None:
    """Appends the compact form; the caller tells the tables that the event was carried.

    last: nothing follows in the batch. hash_is_right: the content hash is taken to be that of the
    content, unseen. Unpackable: it has no compact form.
    """
    out = writer.out
    start = len(out)
    out.append(0)
    _write_sender(writer, pdu.sender)
    head, parents = _write_parents(writer, pdu.prev_events, room_id)
    _write_time(writer, pdu.origin_server_ts - (_base_ts(writer.tables.last_ts, parents) or 0))
    signature, extras = _own_signature(writer, pdu)
    extras |= _extras(pdu, room_id, parents, hash_is_right=hash_is_right)
    if extras:
        out.append(extras)
    is_text = _is_plain_text(pdu)
    if not is_text:
        head |= OTHER | _write_type(writer, pdu)
    if writer.tables.usual_auth_events(room_id, pdu.sender) != pdu.auth_events:
        head |= AUTH
        writer.varint(len(pdu.auth_events))
        for event_id in pdu.auth_events:
            writer.ref(event_id)
    if extras:
        head |= TEXT_EXTRAS if is_text else OTHER_EXTRAS
        _write_extras(writer, pdu, extras, parents)
    out += signature
    if is_text:
        head |= _write_body(writer, pdu.content, last=last)
    else:
        writer.value(pdu.content)
    out[start] = head


def _write_parents(writer: Writer, prev: tuple[str, ...], room_id: str) -> tuple[int, list[Said]]:
    if len(prev) != 1:
        writer.varint(len(prev))
        return PREV_LIST, [writer.ref(event_id) for event_id in prev]
    parent = prev[0]
    last = writer.tables.last.get(room_id)
    if last is not None and last.event_id == parent:
        return PREV_LAST, [last]
    received = writer.find_received(parent)
    if received is not None and writer.tables.events.named(parent) is None:
        writer.name_received(*received)
        return PREV_RECEIVED, [received[1]]
    return PREV_ONE, [writer.ref(parent)]


def _base_ts(last_ts: int | None, parents: list[Said]) -> int | None:
    """What an event's time is counted from: its newest parent, else the last event of the session;
    None: that could not be read."""
    if len(parents) == 1 and parents[0].ts is not None:
        return parents[0].ts
    times = [said.ts for said in parents if said.ts is not None]
    return max(times) if times else last_ts


def _expected_depth(parents: list[Said]) -> int:
    """One more than the highest parent's, of those whose depth both ends know."""
    if len(parents) == 1:
        return 1 + (parents[0].depth or 0)
    return 1 + max([said.depth or 0 for said in parents], default=0)


def _write_time(writer: Writer, delta: int) -> None:
    if delta >= 0:
        for code, bits in enumerate(_TIME_BITS):
            if delta < 1 << bits:
                writer.out += (code << bits | delta).to_bytes(code + 2, "big")
                return
    writer.out.append(_TIME_OTHERWISE)
    writer.signed(delta)


def _write_sender(writer: Writer, sender: str) -> None:
    slot = writer.tables.users.find(sender)
    if slot is not None:
        writer.out.append(slot)
    elif len(sender) <= codes.MAX_NAME_BYTES and len(sender.encode()) <= codes.MAX_NAME_BYTES:
        writer.user(sender)
    else:
        raise Unpackable


def _extras(pdu: Pdu, room_id: str, parents: list[Said], *, hash_is_right: bool) -> int:
    """Which of the extra fields this event needs, signatures aside."""
    json = pdu.json
    extras = DEPTH if pdu.depth != _expected_depth(parents) else 0
    hashes = json["hashes"]
    if len(hashes) != 1:
        extras |= HASHES
    elif not hash_is_right:
        right = encode_unpadded_base64(content_hash(json, pdu.version))
        if hashes["sha256"] != right:
            extras |= HASHES if _raw(hashes["sha256"], HASH_BYTES) is None else HASH
    carries_room_id = "room_id" in json
    if carries_room_id != _implies_room_id(pdu.version, pdu.type) or (
        carries_room_id and json["room_id"] != room_id
    ):
        extras |= ROOM_ID
    if len(json) != _REQUIRED + carries_room_id + (pdu.state_key is not None):
        further = json.keys() - _FIELDS
        if json.get("origin") == pdu.sender_server:
            extras |= ORIGIN
            further -= {"origin"}
        if further:
            extras |= FIELDS
    return extras


def _own_signature(writer: Writer, pdu: Pdu) -> tuple[bytes, int]:
    """The 64 bytes of the one signature of the sender's server; none where there is another or
    more, which SIGNATURES says."""
    signatures = pdu.json["signatures"]
    server = pdu.sender_server
    own = signatures.get(server, {})
    if len(signatures) != 1 or len(own) != 1:
        return b"", SIGNATURES
    ((key_id, text),) = own.items()
    raw = _raw(text, SIGNATURE_BYTES)
    if raw is None or len(key_id) > codes.MAX_NAME_BYTES or " " in key_id:
        return b"", SIGNATURES
    usual = writer.tables.key_ids.get(server, USUAL_KEY_ID)
    return raw, 0 if key_id == usual else KEY_ID


def _raw(text: str, size: int) -> bytes | None:
    data = exact_base64(text)
    return data if data is not None and len(data) == size else None


def _implies_room_id(version: RoomVersion, type_: str) -> bool:
    return not (version.room_id_is_create_hash and type_ == "m.room.create")


def _is_plain_text(pdu: Pdu) -> bool:
    content = pdu.content
    if pdu.type != "m.room.message" or pdu.state_key is not None:
        return False
    if content.get("msgtype") != "m.text" or type(content.get("body")) is not str:
        return False
    return len(content) == 2 or (len(content) == 3 and content.get("m.mentions") == {})


def _write_type(writer: Writer, pdu: Pdu) -> int:
    number = TYPE_CODES.get(pdu.type)
    if number is not None:
        writer.out.append(number)
    else:
        writer.out.append(_TYPE_AS_TEXT)
        writer.text(pdu.type)
    if pdu.state_key is None:
        return 0
    if pdu.state_key == "":
        return STATE_EMPTY
    if pdu.state_key == pdu.sender:
        return STATE_SENDER
    writer.text(pdu.state_key)
    return STATE_OTHER


def _write_extras(writer: Writer, pdu: Pdu, extras: int, parents: list[Said]) -> None:
    json = pdu.json
    if extras & DEPTH:
        writer.signed(pdu.depth - _expected_depth(parents))
    if extras & HASH:
        writer.out += _raw(json["hashes"]["sha256"], HASH_BYTES) or b""
    if extras & HASHES:
        writer.value(json["hashes"])
    if extras & KEY_ID:
        (key_id,) = json["signatures"][pdu.sender_server]
        writer.text(key_id)
    if extras & SIGNATURES:
        writer.value(json["signatures"])
    if extras & ROOM_ID:
        writer.value(json.get("room_id"))
    if extras & FIELDS:
        left_out = _FIELDS | {"origin"} if extras & ORIGIN else _FIELDS
        writer.value({key: value for key, value in json.items() if key not in left_out})


def _write_body(writer: Writer, content: dict[str, Any], *, last: bool) -> int:
    data: bytes = content["body"].encode()
    bits = TEXT_MENTIONS if len(content) == 3 else 0
    packed = writer.model.compress(data, writer.effort) if writer.model is not None else None
    if packed is not None and len(packed) < len(data):
        data = packed
        bits |= TEXT_MODEL
    if last:
        writer.out += data
        return bits | TEXT_TO_END
    writer.sized(data)
    return bits


class ReadEvent:
    """json: as far as it was said (see `complete`); None if the reader's `unreadable` is set. The
    rest is what the tables are told."""

    __slots__ = ("auth_events", "depth", "json", "key_id", "prev_events", "sender", "ts")

    def __init__(self) -> None:
        self.json: dict[str, Any] | None = None
        self.sender = ""
        self.prev_events: list[str | None] = []
        self.auth_events: tuple[str | None, ...] = ()
        self.depth: int | None = None
        self.ts: int | None = None
        self.key_id: str | None = None


def read_event(reader: Reader, head: int, room_id: str, version: RoomVersion) -> ReadEvent:
    """The event after its head. DecodeError, LimitError: malformed; else the bytes were read, and
    `reader.unreadable` says whether it could be put together."""
    event = ReadEvent()
    sender = event.sender = reader.user()
    parents = _read_parents(reader, head, room_id)
    event.ts = _read_time(reader, parents)
    is_text = not head & OTHER
    extras = reader.byte() if head & (TEXT_EXTRAS if is_text else OTHER_EXTRAS) else 0
    json: dict[str, Any] = {"sender": sender, "origin_server_ts": event.ts}
    if is_text:
        json["type"] = "m.room.message"
    else:
        _read_type(reader, head, json)
    event.auth_events = _read_auth_events(reader, head, (room_id, sender))
    json["auth_events"] = _named(reader, event.auth_events)
    event.prev_events = [said.event_id for said in parents]
    json["prev_events"] = _named(reader, event.prev_events)
    event.depth = json["depth"] = _expected_depth(parents)
    if _implies_room_id(version, json["type"]):
        json["room_id"] = room_id
    given = _read_extras(reader, extras, json, event, server_name_of(sender))
    signatures = given.pop("signatures", None)
    if signatures is None:
        server = server_name_of(sender)
        key_id = event.key_id or reader.tables.key_ids.get(server, USUAL_KEY_ID)
        text = encode_unpadded_base64(reader.take(SIGNATURE_BYTES))
        signatures = {server: {key_id: text}}
    json["content"] = _read_body(reader, head) if is_text else reader.value(MAX_NESTING - 1)
    if type(json["content"]) is not dict:
        raise DecodeError("an event's content is not an object")
    json["signatures"] = signatures
    json.update(given)
    event.json = json if reader.unreadable is None else None
    if UNKNOWN in parents:  # what was counted from it
        event.depth = event.ts = None
    return event


def complete(json: dict[str, Any], version: RoomVersion) -> bytes:
    """Adds the content hash where none was said; canonical JSON. FormatError: it has none."""
    if "hashes" not in json:
        json["hashes"] = {"sha256": encode_unpadded_base64(content_hash(json, version))}
    data = encode_checked_json(json, strict=version.strict_canonical_json)
    if len(data) > MAX_PDU_BYTES:
        raise LimitError(f"an event has {len(data)} bytes, at most {MAX_PDU_BYTES} are allowed")
    return data


def _read_parents(reader: Reader, head: int, room_id: str) -> list[Said]:
    mode = head & PREV_MASK
    if mode == PREV_LAST:
        last = reader.tables.last.get(room_id)
        if last is None:
            raise DecodeError("an event follows the last one of its room, which has none here")
        return [last]
    if mode == PREV_RECEIVED:
        return [reader.received()]
    if mode == PREV_ONE:
        return [reader.ref()]
    return [reader.ref() for _ in range(_count(reader, MAX_PREV_EVENTS, "parents"))]


def _count(reader: Reader, most: int, what: str) -> int:
    count = reader.varint()
    if count > most:
        raise DecodeError(f"an event has {count} {what}, at most {most} are allowed")
    return count


def _read_time(reader: Reader, parents: list[Said]) -> int | None:
    first = reader.byte()
    code = first >> 6
    if code < len(_TIME_BITS):
        rest = reader.take(code + 1)
        delta = (first & 0x3F) << 8 * (code + 1) | int.from_bytes(rest, "big")
    elif first == _TIME_OTHERWISE:
        delta = reader.signed()
    else:
        raise DecodeError(f"batch has a time of the unknown code {first:#x}")
    base = _base_ts(reader.tables.last_ts, parents)
    if base is None:
        reader.unreadable = "its time counts from an event that could not be read"
        return None
    return base + delta


def _named(reader: Reader, event_ids: Sequence[str | None]) -> list[str | None]:
    if None in event_ids and reader.unreadable is None:
        reader.unreadable = "it names an event that could not be read before"
    return list(event_ids)


def _read_type(reader: Reader, head: int, json: dict[str, Any]) -> None:
    number = reader.byte()
    if number == _TYPE_AS_TEXT:
        json["type"] = reader.text()
    elif number < len(words.TYPES):
        json["type"] = words.TYPES[number]
    else:
        raise DecodeError(f"batch names event type {number}, which there isn't")
    state = head & STATE_MASK
    if state:
        json["state_key"] = (
            ""
            if state == STATE_EMPTY
            else json["sender"]
            if state == STATE_SENDER
            else reader.text()
        )


def _read_auth_events(reader: Reader, head: int, owner: tuple[str, str]) -> tuple[str | None, ...]:
    if not head & AUTH:
        return reader.tables.usual_auth_events(*owner)
    count = _count(reader, MAX_AUTH_EVENTS, "auth events")
    return tuple([reader.ref().event_id for _ in range(count)])


def _read_extras(
    reader: Reader, extras: int, json: dict[str, Any], event: ReadEvent, server: str
) -> dict[str, Any]:
    """Fills `json` and `event`; gives `hashes` and `signatures` as far as they were said."""
    given: dict[str, Any] = {}
    if extras & DEPTH:
        event.depth = json["depth"] = json["depth"] + reader.signed()
    if extras & HASH:
        given["hashes"] = {"sha256": encode_unpadded_base64(reader.take(HASH_BYTES))}
    if extras & HASHES:
        given["hashes"] = reader.value()
    if extras & KEY_ID:
        event.key_id = reader.text()
        if len(event.key_id) > codes.MAX_NAME_BYTES:
            raise LimitError(f"a key id has more than {codes.MAX_NAME_BYTES} characters")
        if " " in event.key_id:  # the text model could have it, and not everybody reads that
            raise DecodeError("batch has a key id with a space")
    if extras & SIGNATURES:
        given["signatures"] = reader.value()
    if extras & ROOM_ID:
        room_id = reader.value()
        json.pop("room_id", None)
        if room_id is not None:
            json["room_id"] = room_id
    if extras & ORIGIN:
        json["origin"] = server
    if extras & FIELDS:
        fields = reader.value()
        if type(fields) is not dict or fields.keys() & _FIELDS:
            raise DecodeError("an event's further fields are not an object, or not further ones")
        json.update(fields)
    return given


def _read_body(reader: Reader, head: int) -> dict[str, Any]:
    data = reader.rest() if head & TEXT_TO_END else reader.sized()
    body = reader.model_text(data) if head & TEXT_MODEL else reader.plain_text(data)
    content: dict[str, Any] = {"body": body, "msgtype": "m.text"}
    if head & TEXT_MENTIONS:
        content["m.mentions"] = {}
    return content
