"""Two sessions joined by a fake link, in one thread and on a clock that the test turns.

The link is a list of frames in flight per direction. By default they arrive at once and in order;
a test may drop, repeat, reorder or alter them on the way. A Stranger does the handshake by hand.
"""

from __future__ import annotations

import random
from base64 import b32decode, b32encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from nacl.signing import SigningKey

from dtnode.link_info import LinkInfo
from dtnode.session import LinkSession, PeerAuthenticated, SessionEvent, SessionState
from dtnode.session.framing import FrameKind, fragment
from dtnode.signer import Ed25519Signer

Tamper = Callable[[bytes], Iterable[bytes]]
"""What the medium makes of one frame: nothing, itself, copies, something else."""


def key_of(name: str) -> bytes | None:
    """The rule of key names, small: these tests don't depend on dtnode.matrix."""
    text = name.partition(".")[0]
    if len(text) != 52:
        return None
    try:
        return b32decode(text.upper() + "====")
    except ValueError:
        return None


def signer_of(number: int, domain: str = "") -> Ed25519Signer:
    key = Ed25519Signer(bytes([number]) * 32, "").public_key
    name = b32encode(key).decode().rstrip("=").lower() + (f".{domain}" if domain else "")
    return Ed25519Signer(bytes([number]) * 32, name)


LOSSY = LinkInfo(mtu_bytes=1500, reliable=False)
ALICE, BOB, MALLORY = signer_of(1), signer_of(2), signer_of(3)


def make_session(signer: Ed25519Signer, *, initiator: bool, **changes: Any) -> LinkSession:
    """A session of `signer` that knows everybody, with randomness of its own."""
    arguments: dict[str, Any] = {
        "signer": signer,
        "entropy": random.Random(f"{signer.server_name}{initiator}").randbytes,
        "info": LinkInfo(mtu_bytes=1500),
        "initiator": initiator,
        "expected_peer": None,
        "knows": lambda name: True,
        "key_of": key_of,
    }
    return LinkSession(**(arguments | changes))


def unharmed(frame: bytes) -> Iterable[bytes]:
    return [frame]


@dataclass
class Pair:
    """Both ends, what they reported, and the clock."""

    initiator: LinkSession
    responder: LinkSession
    now: float = 0.0
    initiator_events: list[SessionEvent] = field(default_factory=list)
    responder_events: list[SessionEvent] = field(default_factory=list)

    def start(self) -> Pair:
        self.initiator.start(self.now)
        self.responder.start(self.now)
        return self

    def exchange(self, *, there: Tamper = unharmed, back: Tamper = unharmed) -> int:
        """Carry frames both ways until nobody has one to send; how many were sent."""
        count = 0
        while True:
            to_responder = self.initiator.frames_to_send(self.now)
            to_initiator = self.responder.frames_to_send(self.now)
            if not to_responder and not to_initiator:
                return count
            count += len(to_responder) + len(to_initiator)
            for frame in chain.from_iterable(map(there, to_responder)):
                self.responder_events += self.responder.receive_frame(frame, self.now)
            for frame in chain.from_iterable(map(back, to_initiator)):
                self.initiator_events += self.initiator.receive_frame(frame, self.now)

    def turn_clock(self) -> bool:
        """To the next time at which an end wants to be called; False if neither does."""
        times = [self.initiator.next_wake_at(), self.responder.next_wake_at()]
        wake_at = min((time for time in times if time is not None), default=None)
        if wake_at is None:
            return False
        self.now = max(self.now, wake_at)
        return True


def make_pair(initiator: dict[str, Any] | None = None, responder: dict[str, Any] | None = None,
              **both: Any) -> Pair:  # fmt: skip
    return Pair(
        make_session(**{"signer": ALICE, "initiator": True, **both, **(initiator or {})}),
        make_session(**{"signer": BOB, "initiator": False, **both, **(responder or {})}),
    )


def assert_authenticated(pair: Pair) -> None:
    assert pair.initiator_events == [PeerAuthenticated(server_name=BOB.server_name)]
    assert pair.responder_events == [PeerAuthenticated(server_name=ALICE.server_name)]
    assert pair.initiator.peer == BOB.server_name
    assert pair.responder.peer == ALICE.server_name
    assert pair.initiator.state is pair.responder.state is SessionState.AUTHENTICATED


def names_in(frames: list[bytes], signer_name: str) -> bool:
    return any(signer_name.encode() in frame for frame in frames)


class Stranger:
    """Speaks the handshake by hand, as `name`, with the key of `seed`; keeps all it is told."""

    def __init__(self, victim: LinkSession, name: str, seed: int) -> None:
        self.victim, self.name = victim, name
        self.key = SigningKey(bytes([seed]) * 32)
        self.heard: list[bytes] = []
        self.restart(ord("N"))
        victim.start(0.0)

    def restart(self, number: int) -> None:
        self.nonce = bytes([number]) * 32
        self.tag = int.from_bytes(self.nonce[:4], "big")

    def say(self, kind: FrameKind, payload: bytes) -> None:
        try:
            for frame in fragment(kind, self.tag, payload, 1500):
                self.victim.receive_frame(frame, 0.0)
        finally:
            self.heard += self.victim.frames_to_send(0.0)

    def hello(self) -> None:
        self.say(FrameKind.HELLO, b"\x01" + self.nonce + self.name.encode())

    def claim(self) -> None:
        nonce_r = self.heard[-1][9:]
        parts = (b"dtnode link 1 initiator claim", self.nonce, nonce_r, self.name.encode())
        signed = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
        self.say(FrameKind.CLAIM, self.key.sign(signed).signature)


class Recorder:
    """Keeps what passes."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def __call__(self, frame: bytes) -> list[bytes]:
        self.frames.append(frame)
        return [frame]
