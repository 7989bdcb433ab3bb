"""Nodes that open sessions with each other by hand: their keys, their disks, what they send."""

from __future__ import annotations

import random
from collections.abc import Sequence

from dtnode.matrix.server_names import key_from_server_name, server_name_from_key
from dtnode.session.key_exchange import Answer, Attempt, Established, Initiator, Responder
from dtnode.session.opening import HandshakeKind, HandshakeMessage, next_number
from dtnode.session.peer_secrets import PeerSecrets
from dtnode.signer import Ed25519Signer

NOW_MS = 1_790_000_000_000
STALE_INTERVAL_S = 10.0


def signer_of(number: int, domain: str | None = None) -> Ed25519Signer:
    seed = random.Random(number).randbytes(32)
    key = Ed25519Signer(seed, "").public_key
    return Ed25519Signer(seed, server_name_from_key(key, domain))


def twin_of(signer: Ed25519Signer) -> Ed25519Signer:
    """The same private key under the Ed25519 key of the other sign: one X25519 key, two names."""
    key = bytearray(signer.public_key)
    key[31] ^= 0x80
    return _Renamed(signer, server_name_from_key(bytes(key)))


class _Renamed(Ed25519Signer):
    def __init__(self, signer: Ed25519Signer, server_name: str) -> None:
        super().__init__(bytes(signer._key), server_name)


class Machine:
    """One node: signer, and what its disk says. A clone or backup is a copy of `used`, `taken`."""

    def __init__(
        self, signer: Ed25519Signer, knows: Sequence[Ed25519Signer] = (), *, strangers: bool = False
    ) -> None:
        self.name = signer.server_name
        self.now_ms = NOW_MS
        self.now = 0.0
        self.used: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.knows = [peer.server_name for peer in knows]
        self.entropy = random.Random(f"{self.name}{len(knows)}{strangers}").randbytes
        self.secrets = PeerSecrets(signer)
        self.heard: list[tuple[str, bytes]] = []
        self.responder = Responder(
            secrets=self.secrets,
            entropy=self.entropy,
            candidates=lambda: self.knows,
            highest_accepted=lambda name: self.taken.get(name, 0),
            accept=self.taken.__setitem__,
            stale_interval_s=STALE_INTERVAL_S,
            reply=self._reply,
            stranger=(lambda name: True) if strangers else None,
        )

    def _reply(self, name: str, application: bytes) -> bytes:
        self.heard.append((name, application))
        return application[::-1]

    def dial(self, *peers: str, application: bytes = b"", introduce: bool = False) -> Initiator:
        for peer in peers:
            self.used[peer] = next_number(self.used.get(peer, 0), self.now_ms)
        return Initiator(
            secrets=self.secrets,
            entropy=self.entropy,
            attempts=[
                Attempt(peer=peer, number=self.used[peer], application=application)
                for peer in peers
            ],
            now_ms=self.now_ms,
            introduce=introduce,
        )

    def hear(self, message: HandshakeMessage, dialling: Initiator | None = None) -> Answer | None:
        return self.responder.receive(message, now=self.now, now_ms=self.now_ms, dialling=dialling)


def agree(
    initiator: Machine, responder: Machine, *, application: bytes = b"", introduce: bool = False
) -> tuple[Established, Established]:
    """A whole exchange between honest ends; both results."""
    dialling = initiator.dial(responder.name, application=application, introduce=introduce)
    (first,) = dialling.first_messages
    answer = responder.hear(first)
    assert answer is not None
    assert answer.established is not None
    established = dialling.receive(answer.message, initiator.now_ms)
    assert isinstance(established, Established)
    return established, answer.established


def assert_same_session(one: Established, other: Established) -> None:
    assert one.send_key == other.receive_key
    assert one.receive_key == other.send_key
    assert one.exporter == other.exporter
    assert one.number == other.number
    assert len({one.send_key, one.receive_key, one.exporter}) == 3
    assert one.initiator is not other.initiator


def key_of(name: str) -> bytes:
    key = key_from_server_name(name)
    assert key is not None
    return key


ALICE, BOB, CAROL, MALLORY = (signer_of(number) for number in range(1, 5))


def machines(*, strangers: bool = True) -> tuple[Machine, Machine]:
    """Alice, who knows Bob, and Bob, who knows Carol and Alice."""
    return Machine(ALICE, [BOB]), Machine(BOB, [CAROL, ALICE], strangers=strangers)


def message(kind: HandshakeKind, data: bytes) -> HandshakeMessage:
    return HandshakeMessage(kind=kind, data=data)


def first_of(dialling: Initiator) -> HandshakeMessage:
    (first,) = dialling.first_messages
    return first


def answered(answer: Answer | None) -> Answer:
    assert answer is not None
    return answer
