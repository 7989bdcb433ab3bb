"""The steps one by one: signature, canonical JSON, parsing an event, wire codec, session frames."""

from __future__ import annotations

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
from dtnode.session import LinkSession, MessageReceived, SessionState
from dtnode.testing.rooms_builder import signer_for
from dtnode.wire.codec import decode_message, encode_message
from dtnode.wire.messages import Events
from tests.benchmarks.made_rooms import chat_room
from tests.benchmarks.report import Table, microseconds, ratio, seconds_each

_BATCH = 100


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
    data = encode_message(batch)
    one, other = session_pair()

    def through_session() -> None:
        one.send(batch)
        frames = one.frames_to_send(0.0)
        events = [event for frame in frames for event in other.receive_frame(frame, 0.0)]
        assert isinstance(events[-1], MessageReceived)

    return [
        (name, seconds_each(work, budget_s=budget_s) / len(pdus))
        for name, work in (
            ("wire encode, an event of 100", lambda: encode_message(batch)),
            ("wire decode, an event of 100", lambda: decode_message(data)),
            ("session both ends, MTU 1,500, an event of 100", through_session),
        )
    ]


def session_pair() -> tuple[LinkSession, LinkSession]:
    """Two sessions that have proved themselves to each other."""
    initiator, responder = (
        LinkSession(
            signer=signer_for(name),
            entropy=lambda size: bytes(size),
            info=LinkInfo(mtu_bytes=1_500),
            initiator=name == "alice",
            expected_peer=None,
            knows=lambda _name: True,
            key_of=key_from_server_name,
        )
        for name in ("alice", "bob")
    )
    initiator.start(0.0)
    responder.start(0.0)
    while initiator.state is not SessionState.AUTHENTICATED:
        for frame in initiator.frames_to_send(0.0):
            responder.receive_frame(frame, 0.0)
        for frame in responder.frames_to_send(0.0):
            initiator.receive_frame(frame, 0.0)
    for frame in initiator.frames_to_send(0.0):
        responder.receive_frame(frame, 0.0)
    assert responder.state is SessionState.AUTHENTICATED
    return initiator, responder
