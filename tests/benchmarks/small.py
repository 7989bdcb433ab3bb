"""The steps one by one: signature, canonical JSON, parsing an event, wire codec, session frames."""

from __future__ import annotations

import random
from collections.abc import Callable

import canonicaljson
import orjson

from dtnode.link_info import LinkInfo
from dtnode.matrix.canonical_json import encode_canonical_json, parse_json_object
from dtnode.matrix.hashing import signed_bytes
from dtnode.matrix.pdu import parse_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.server_names import key_from_server_name
from dtnode.matrix.signing import sign_event, verify_pdu, verify_signature
from dtnode.node.contacts import Acquaintances, LinkContacts, WhoIsWho
from dtnode.session import LinkSession, MessageReceived, SessionState
from dtnode.signer import Signer
from dtnode.testing.rooms_builder import signer_for
from dtnode.wire.messages import Events
from dtnode.wire.packing import PackedMessage, Packer
from dtnode.wire.pdus import NothingKnown
from dtnode.wire.text_model import TextModel
from tests.benchmarks.made_rooms import chat_room
from tests.benchmarks.report import Table, microseconds, ratio, seconds_each

_BATCH = 100
_NOW_MS = 1_780_000_000_000


def small_table(budget_s: float = 0.3) -> Table:
    made = chat_room("12", _BATCH)
    version = ROOM_VERSIONS["12"]
    line = made.messages[50]
    json = parse_json_object(line)
    pdu = parse_pdu(json, version)
    signer = signer_for("alice")
    key = key_from_server_name(signer.server_name)
    assert key is not None
    message = signed_bytes(json, version)
    signature = signer.sign(message)
    keys = {signer_for(name).server_name: signer_for(name).public_key for name in
            ("alice", "bob", "carol", "dan", "eve")}  # fmt: skip
    steps: list[tuple[str, Callable[[], object]]] = [
        ("Ed25519 verify", lambda: verify_signature(key, message, signature)),
        ("Ed25519 sign", lambda: signer.sign(message)),
        ("sign an event (2 hashes, 1 signature)", lambda: sign_event(json, version, signer)),
        (f"parse JSON, {len(line)} B", lambda: orjson.loads(line)),
        ("parse an event (check 1, its id)", lambda: parse_pdu(parse_json_object(line), version)),
        (
            "verify an event (check 2)",
            lambda: verify_pdu(pdu, lambda server, _key_id: keys.get(server)),
        ),
        ("canonical JSON, strict walk and orjson", lambda: encode_canonical_json(json)),
        ("canonical JSON, canonicaljson", lambda: canonicaljson.encode_canonical_json(json)),
    ]
    timed = [(name, seconds_each(work, budget_s=budget_s)) for name, work in steps]
    timed += _wire_steps(made.room_id, made.messages, budget_s)
    ours, theirs = timed[6][1], timed[7][1]
    return Table(
        title="Small steps",
        columns=("step", "time"),
        rows=[[name, microseconds(taken)] for name, taken in timed],
        note=f"canonicaljson / dtnode: {ratio(theirs / ours)}.",
    )


def _wire_steps(room_id: str, pdus: list[bytes], budget_s: float) -> list[tuple[str, float]]:
    batch = Events(batch=1, room_id=room_id, room_version="12", pdus=tuple(pdus))
    model = TextModel()

    def pack() -> PackedMessage:
        return Packer(model, used=False).pack(batch, NothingKnown())

    packed = pack()
    one, other = session_pair()

    def through_session() -> None:
        one.send(packed)
        frames = one.frames_to_send(0.0)
        events = [event for frame in frames for event in other.receive_frame(frame, 0.0)]
        assert isinstance(events[-1], MessageReceived)

    return [
        (name, seconds_each(work, budget_s=budget_s) / len(pdus))
        for name, work in (
            ("pack, an event of 100", pack),
            (
                "unpack, an event of 100",
                lambda: Packer(model, used=False).unpack(packed, NothingKnown()),
            ),
            ("session both ends, MTU 1,500, an event of 100", through_session),
        )
    ]


def session_pair() -> tuple[LinkSession, LinkSession]:
    """Two sessions that have proved themselves to each other."""
    alice, bob = signer_for("alice"), signer_for("bob")
    initiator, responder = (
        LinkSession(
            contacts=_contacts(signer, peer.server_name),
            entropy=random.Random(signer.server_name).randbytes,
            info=LinkInfo(mtu_bytes=1_500),
            initiator=signer is alice,
            wall_ms=lambda: _NOW_MS,
        )
        for signer, peer in ((alice, bob), (bob, alice))
    )
    initiator.start(0.0)
    responder.start(0.0)
    while responder.state is not SessionState.AUTHENTICATED:
        for frame in initiator.frames_to_send(0.0):
            responder.receive_frame(frame, 0.0)
        for frame in responder.frames_to_send(0.0):
            initiator.receive_frame(frame, 0.0)
    return initiator, responder


def _contacts(signer: Signer, peer: str) -> LinkContacts:
    nobody = WhoIsWho(
        names=(), keys=frozenset(), blocked=frozenset(), met=frozenset((peer,)), handshakes={}
    )
    known = Acquaintances(signer, nobody)
    known.reserved(_NOW_MS)
    return LinkContacts(known, expected=peer)
