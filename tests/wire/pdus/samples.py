"""Samples of what people send, and what they cost: Table B of the notes, for this codec.

`rows` gives the figures, `table` the text that `make bench-wire` prints. The peers of a sample's
session have seen the room's members before; a sample follows the event before it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from dtnode.matrix.pdu import Pdu
from dtnode.matrix.server_names import key_from_server_name
from dtnode.matrix.signing import signature_checks, verify_signature
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64, encode_url_safe_unpadded_base64
from dtnode.testing.rooms_builder import RoomBuilder
from dtnode.wire.pdus import BatchDecoder, BatchEncoder, Form, NothingKnown, TextCoder
from tests.wire.pdus.known import End, KnownRoom

TEXT_30 = "On my way, ETA about 20 min :)"
TEXT_200 = (
    "The repeater on the north ridge is back up after the storm. We swapped the battery and the"
    " antenna feed line; signal reports are about two S-units better than last week. Please test"
    " from your side ok?"
)
CHAT = (
    "Lantern oil is nearly gone",
    "we camp beside the second weir tonight",
    "has anybody seen the blue canoe?",
    "not since Sunday, ask the twins",
    "two planks of the jetty are loose",
    "the nurse wants a list of allergies",
    "hail like cherries, stay inside",
    "Trying the longer wire, is this better?",
    "the mill turns again",
    "supper at 19:30, bring a bowl",
)
"""Like TEXT_30 and TEXT_200 not among the text model's phrases, nor made from them."""

PEOPLE = ("alice", "bob.radio", "carol", "dave", "erin", "frank", "grace", "heidi")

_PROTOTYPE: Mapping[str, tuple[int, int]] = {
    "text, 30 characters": (98, 90),
    "text, 200": (268, 143),
    "reply, 30, mention": (121, 112),
    "reaction": (80, 80),
    "redaction": (78, 78),
    "member join": (113, 113),
    "power levels": (200, 145),
    "create": (78, 78),
    "Megolm ciphertext of 30 characters": (380, 307),
    "encrypted file": (283, 271),
    "100 messages together": (10_688, 8_200),
    "14-event room, servers known": (1_246, 1_191),
}
"""Bytes of prototypes/sync/codec.py without and with its text model (notes/sync_and_codec.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Bytes of one sample: as JSON, ours without and with the text model, the prototype's."""

    name: str
    json: int
    ours: int
    with_model: int | None
    prototype: tuple[int, int]


def opaque(name: str, size: int) -> bytes:
    """Bytes that nobody can make shorter, always the same for a name."""
    return b"".join(sha256(f"{name} {i}".encode()).digest() for i in range(size // 32 + 1))[:size]


def first_events(version: str = "11") -> RoomBuilder:
    """A room of eight people on as many servers: 14 events."""
    guarded = ("avatar", "canonical_alias", "name")
    strict = ("encryption", "history_visibility", "power_levels", "server_acl", "tombstone")
    levels: dict[str, Any] = {
        "ban": 50,
        "events": {
            **{f"m.room.{name}": 50 for name in guarded},
            **{f"m.room.{name}": 100 for name in strict},
        },
        "events_default": 0,
        "historical": 100,
        "invite": 0,
        "kick": 50,
        "redact": 50,
        "state_default": 50,
        "users_default": 0,
    }
    room = RoomBuilder(PEOPLE[0], version=version, power_levels=levels)
    room.state_event(PEOPLE[0], "m.room.name", {"name": "Field operations"})
    room.state_event(PEOPLE[0], "m.room.topic", {"topic": "Who is where, who needs what"})
    for name in PEOPLE[1:]:
        room.join(name, content={"displayname": name.split(".")[0].title()})
    assert len(room.pdus) == 14, "what Table B counts"
    return room


def _megolm(name: str) -> dict[str, Any]:
    return {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": encode_unpadded_base64(opaque(name, 1 + 2 + 3 + 144 + 8 + 64)),
        "device_id": "JLAFKJWSCS",
        "sender_key": encode_unpadded_base64(opaque("sender key", 32)),
        "session_id": encode_unpadded_base64(opaque("session", 32)),
    }


def _file() -> dict[str, Any]:
    key = encode_url_safe_unpadded_base64(opaque("file key", 32))
    return {
        "body": "route-map-2026-11-23.pdf",
        "filename": "route-map-2026-11-23.pdf",
        "info": {"mimetype": "application/pdf", "size": 231874},
        "msgtype": "m.file",
        "file": {
            "v": "v2",
            "url": "mxc://matrix.example.org/FHyPlCeYUSFFxlgbQYZmoEoe",
            "key": {
                "alg": "A256CTR",
                "ext": True,
                "k": key,
                "key_ops": ["encrypt", "decrypt"],
                "kty": "oct",
            },
            "iv": encode_unpadded_base64(opaque("iv", 8) + bytes(8)),
            "hashes": {"sha256": encode_unpadded_base64(opaque("file", 32))},
        },
    }


def samples(room: RoomBuilder) -> dict[str, Pdu]:
    """One event of each kind, each the next of `room`."""
    alice, bob, carol = PEOPLE[:3]
    target = room.message(bob, CHAT[0]).event_id
    made = {
        "text, 30 characters": room.message(bob, TEXT_30),
        "text, 200": room.message(carol, TEXT_200),
    }
    reply = {
        "body": TEXT_30,
        "msgtype": "m.text",
        "m.mentions": {"user_ids": [room.user(bob)]},
        "m.relates_to": {"m.in_reply_to": {"event_id": target}},
    }
    made["reply, 30, mention"] = room.event(carol, "m.room.message", reply)
    relation = {"event_id": target, "key": "👍", "rel_type": "m.annotation"}
    made["reaction"] = room.event(alice, "m.reaction", {"m.relates_to": relation})
    redacts = {"redacts": target}
    if room.version.redacts_in_content:
        made["redaction"] = room.event(alice, "m.room.redaction", {"reason": "spam", **redacts})
    else:
        made["redaction"] = room.event(alice, "m.room.redaction", {"reason": "spam"}, **redacts)
    profile = {
        "displayname": "Frank (HB9XYZ)",
        "avatar_url": "mxc://hb9xyz.ampr.example/SEsfnsuifSDFSSEFaaBBcc12",
    }
    made["member join"] = room.join("frank", content=profile)
    first = room.event("grace", "m.room.encrypted", _megolm("first"))
    made["Megolm, first of its session"] = first
    made["Megolm ciphertext of 30 characters"] = room.event(
        "grace", "m.room.encrypted", _megolm("second")
    )
    made["encrypted file"] = room.event("heidi", "m.room.message", _file())
    return made


def hundred_messages(room: RoomBuilder) -> list[Pdu]:
    """A catch-up: five people talk."""
    return [room.message(PEOPLE[i * 7 % 5], CHAT[i * 3 % len(CHAT)]) for i in range(100)]


def rows(version: str = "11", model: TextCoder | None = None) -> list[Row]:
    """Table B. Everything is decoded again and compared."""
    plain = _sizes(version, None)
    packed = _sizes(version, model) if model is not None else {}
    return [
        Row(
            name=name,
            json=json,
            ours=size,
            with_model=packed[name][1] if packed else None,
            prototype=_PROTOTYPE.get(name, (0, 0)),
        )
        for name, (json, size) in plain.items()
    ]


def _sizes(version: str, model: TextCoder | None) -> dict[str, tuple[int, int]]:
    """Sample -> bytes as JSON, bytes here."""
    room = first_events(version)
    first = list(room.pdus.values())
    here, there = End(first, model), End(first, model)
    _send(room, first, here, there)
    sizes = {}
    made = samples(room)
    for pdu in list(room.pdus.values())[len(first) :]:
        size = _send(room, [pdu], here, there)
        for name, sample in made.items():
            if sample is pdu:
                sizes[name] = (len(pdu.canonical()), size)
    levels = next(pdu for pdu in first if pdu.type == "m.room.power_levels")
    for name, pdu in (("power levels", levels), ("create", first[0])):
        before = first[: first.index(pdu)]
        near, far = End(before, model), End(before, model)
        if before:
            _send(room, before, near, far)
        sizes[name] = (len(pdu.canonical()), _send(room, [pdu], near, far))
    batch = hundred_messages(room)
    known = [pdu for pdu in room.pdus.values() if pdu not in batch]
    size = _send(room, batch, End(known, model), End(known, model))
    sizes["100 messages together"] = (sum(len(p.canonical()) for p in batch), size)
    whole = sum(len(pdu.canonical()) for pdu in first)
    sizes["14-event room from nothing"] = (whole, _alone(room, first, model, ()))
    servers = tuple(dict.fromkeys(pdu.sender_server for pdu in first))
    sizes["14-event room, servers known"] = (whole, _alone(room, first, model, servers))
    return sizes


def _alone(
    room: RoomBuilder, pdus: list[Pdu], model: TextCoder | None, servers: tuple[str, ...]
) -> int:
    """Bytes of a batch that is read by itself."""
    args = (room.create.room_id, room.version)
    encoder, decoder = BatchEncoder(model, servers), BatchDecoder(model, servers)
    data, _ = encoder.encode(*args, pdus, NothingKnown(), form=Form.EXPLICIT)
    read = decoder.decode(*args, data, NothingKnown())
    assert read == [pdu.canonical() for pdu in pdus]
    return len(data)


def _send(room: RoomBuilder, pdus: list[Pdu], here: End, there: End) -> int:
    room_id = room.create.room_id
    data, taken = here.encoder.encode(room_id, room.version, pdus, here.known)
    assert taken == len(pdus)
    read = there.decoder.decode(room_id, room.version, data, there.known)
    assert read == [pdu.canonical() for pdu in pdus], "a sample came back changed"
    for pdu in pdus:
        here.known.add(pdu)
        there.known.add(pdu)
    return len(data)


def table(version: str = "11", model: TextCoder | None = None) -> str:
    """Lines of a Markdown table."""
    lines = [
        f"| room version {version} | JSON | ours | with text model | prototype | with its model |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows(version, model):
        packed = "" if row.with_model is None else f"{row.with_model:,}"
        plain, modelled = (f"{size:,}" if size else "" for size in row.prototype)
        lines.append(
            f"| {row.name} | {row.json:,} | {row.ours:,} | {packed} | {plain} | {modelled} |"
        )
    return "\n".join(lines)


def rates(version: str = "12") -> tuple[float, float]:
    """Encoding and decoding a hundred messages: how many times as fast as checking signatures."""
    room = first_events(version)
    known = KnownRoom(room.pdus.values())
    pdus = hundred_messages(room)
    room_id = room.create.room_id
    checks = [(key_from_server_name(c.server) or b"", c) for p in pdus for c in signature_checks(p)]
    data, _ = BatchEncoder().encode(room_id, room.version, pdus, known)

    def verify() -> None:
        assert all(verify_signature(key, c.message, c.signature) for key, c in checks)

    def encode() -> None:
        BatchEncoder().encode(room_id, room.version, pdus, known)

    def decode() -> None:
        BatchDecoder().decode(room_id, room.version, data, known)

    best = [float("inf")] * 3
    for _ in range(7):  # in turn, so that what else the machine does hits all alike
        for i, work in enumerate((verify, encode, decode)):
            start = time.process_time()
            work()
            best[i] = min(best[i], time.process_time() - start)
    return best[0] / best[1], best[0] / best[2]
