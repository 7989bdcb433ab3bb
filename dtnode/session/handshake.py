"""How two nodes prove their keys to each other: five messages, plain first form (version 1).

    initiator                                    responder
      HELLO      version, nonce_i, own name  ->
                                             <-  CHALLENGE  nonce_r
      CLAIM      signature                   ->
                                             <-  RESPONSE   signature, own name
      PROOF      signature                   ->

The initiator shows its name first and proves it (CLAIM) before the responder says anything that
depends on who the responder is: to whoever can't prove a name the responder talks to, it is a
random nonce and silence. That is also why the responder looks at the name only after the proof:
answering known and unknown names differently would tell a stranger whom it knows, and its own
name which node it is. RESPONSE and PROOF sign both names, so a relay can't swap one.

No I/O, no framing, no timers: LinkSession does these. Late and repeated messages are answered the
same way again. Nothing is encrypted and later messages are not signed; a Noise session replaces
this module where links are sealed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from dtnode.errors import DecodeError, HandshakeError
from dtnode.session.framing import FrameKind
from dtnode.signer import Entropy, Signer
from dtnode.wire.limits import MAX_ID_BYTES

LINK_VERSION = 1
"""First byte of HELLO."""

NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
TAG_BYTES: Final = 4
"""This much of nonce_i numbers the frames of one handshake, so that stray ones of another miss."""

MAX_HANDSHAKE_BYTES = 1 + NONCE_BYTES + SIGNATURE_BYTES + MAX_ID_BYTES
"""More than any handshake message has (a RESPONSE: 319 bytes)."""

MAX_HELLOS = 8
"""Different HELLOs a responder starts over for: one for each restart of the other end that a link
without connections may show, few enough to bound the work."""


class HandshakeState(enum.Enum):
    AWAIT_HELLO = "await hello"
    AWAIT_CHALLENGE = "await challenge"
    AWAIT_CLAIM = "await claim"
    AWAIT_RESPONSE = "await response"
    AWAIT_PROOF = "await proof"
    DONE = "done"


_MOVES: Final = {
    HandshakeState.AWAIT_CHALLENGE: {HandshakeState.AWAIT_RESPONSE},
    HandshakeState.AWAIT_RESPONSE: {HandshakeState.DONE},
    HandshakeState.AWAIT_HELLO: {HandshakeState.AWAIT_CLAIM},
    HandshakeState.AWAIT_CLAIM: {HandshakeState.AWAIT_CLAIM, HandshakeState.AWAIT_PROOF},
    HandshakeState.AWAIT_PROOF: {HandshakeState.DONE},
    HandshakeState.DONE: set[HandshakeState](),
}


class OutOfTurnError(HandshakeError):
    """A message that is wrong now, but that a link which delays or repeats frames may bring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeMessage:
    kind: FrameKind
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Whom this node talks to.

    knows(name): may this server connect at all. key_of(name): its 32-byte Ed25519 key, None if the
    name gives none. expected: the only name acceptable on this link, compared by its key.
    """

    expected: str | None
    knows: Callable[[str], bool]
    key_of: Callable[[str], bytes | None]


class Handshake(Protocol):
    """One end. `tag` numbers its frames; `peer` is the other's proved name once `state` is DONE."""

    @property
    def state(self) -> HandshakeState: ...

    @property
    def tag(self) -> int: ...

    @property
    def peer(self) -> str | None: ...

    @property
    def unanswered(self) -> HandshakeMessage | None:
        """What to send again if nothing comes back."""
        ...

    def receive(self, message: HandshakeMessage, tag: int, /) -> HandshakeMessage | None:
        """The answer, if the message calls for one. Raises DecodeError or HandshakeError (fatal),
        or OutOfTurnError."""
        ...


class InitiatorHandshake:
    """The dialling end. `unanswered` is its HELLO until the CHALLENGE comes."""

    def __init__(self, signer: Signer, entropy: Entropy, peers: Peers) -> None:
        self._signer = signer
        self._peers = peers
        self._nonce_i = entropy(NONCE_BYTES)
        self._nonce_r = b""
        self._proof: HandshakeMessage | None = None
        self.state = HandshakeState.AWAIT_CHALLENGE
        self.peer: str | None = None
        self.tag = int.from_bytes(self._nonce_i[:TAG_BYTES], "big")
        self.unanswered: HandshakeMessage | None = HandshakeMessage(
            kind=FrameKind.HELLO,
            payload=bytes([LINK_VERSION]) + self._nonce_i + signer.server_name.encode(),
        )

    def receive(self, message: HandshakeMessage, tag: int, /) -> HandshakeMessage | None:
        if tag != self.tag:
            raise OutOfTurnError("answer belongs to another handshake")
        if message.kind is FrameKind.CHALLENGE:
            return self._on_challenge(message.payload)
        if message.kind is FrameKind.RESPONSE:
            return self._on_response(message.payload)
        raise OutOfTurnError(
            f"{message.kind.name} came from the answering end, which never sends one (an echo, or"
            " both ends dialled)"
        )

    def _on_challenge(self, payload: bytes) -> HandshakeMessage | None:
        if self.state is not HandshakeState.AWAIT_CHALLENGE:
            return None
        if len(payload) != NONCE_BYTES:
            raise DecodeError(f"CHALLENGE has {len(payload)} bytes, {NONCE_BYTES} are expected")
        self._nonce_r = payload
        claim = _claim(self._nonce_i, payload, self._signer.server_name)
        self.unanswered = HandshakeMessage(kind=FrameKind.CLAIM, payload=self._signer.sign(claim))
        self.state = _moved(self.state, HandshakeState.AWAIT_RESPONSE)
        return self.unanswered

    def _on_response(self, payload: bytes) -> HandshakeMessage | None:
        if self.state is HandshakeState.DONE:
            return self._proof  # the other end has lost it
        if self.state is not HandshakeState.AWAIT_RESPONSE:
            raise OutOfTurnError("RESPONSE came before the CHALLENGE")
        if len(payload) <= SIGNATURE_BYTES:
            raise DecodeError("RESPONSE is too short for a signature and a name")
        signature, name = payload[:SIGNATURE_BYTES], _name(payload[SIGNATURE_BYTES:])
        own = self._signer.server_name
        signed = _response(self._nonce_i, self._nonce_r, own, name)
        _verify(_key(self._peers, name), signature, signed, name)
        _check_welcome(self._peers, name, own)
        proof = self._signer.sign(_proof(self._nonce_i, self._nonce_r, own, name))
        self._proof = HandshakeMessage(kind=FrameKind.PROOF, payload=proof)
        self.peer = name
        self.unanswered = None
        self.state = _moved(self.state, HandshakeState.DONE)
        return self._proof


class ResponderHandshake:
    """The answering end. Speaks only when spoken to, except that it repeats its RESPONSE."""

    def __init__(self, signer: Signer, entropy: Entropy, peers: Peers) -> None:
        self._signer = signer
        self._entropy = entropy
        self._peers = peers
        self._hellos = 0
        self._nonce_i = b""
        self._nonce_r = b""
        self._claimed = ""
        self._key = b""
        self._challenge: HandshakeMessage | None = None
        self._response: HandshakeMessage | None = None
        self.state = HandshakeState.AWAIT_HELLO
        self.peer: str | None = None
        self.tag = 0

    @property
    def unanswered(self) -> HandshakeMessage | None:
        return self._response if self.state is HandshakeState.AWAIT_PROOF else None

    def receive(self, message: HandshakeMessage, tag: int, /) -> HandshakeMessage | None:
        if message.kind is FrameKind.HELLO:
            return self._on_hello(message.payload, tag)
        if message.kind not in (FrameKind.CLAIM, FrameKind.PROOF):
            raise OutOfTurnError(
                f"{message.kind.name} came from the dialling end, which never sends one (an echo,"
                " or both ends answer)"
            )
        if self.state is HandshakeState.AWAIT_HELLO or tag != self.tag:
            raise OutOfTurnError(f"{message.kind.name} came without its HELLO")
        if message.kind is FrameKind.CLAIM:
            return self._on_claim(message.payload)
        self._on_proof(message.payload)
        return None

    def _on_hello(self, payload: bytes, tag: int) -> HandshakeMessage | None:
        if payload[0] != LINK_VERSION:
            raise HandshakeError(
                f"peer speaks link version {payload[0]}, this node {LINK_VERSION}; the older of the"
                " two needs an update"
            )
        if len(payload) <= 1 + NONCE_BYTES:
            raise DecodeError("HELLO is too short for a version, a nonce and a name")
        nonce_i = payload[1 : 1 + NONCE_BYTES]
        name = _name(payload[1 + NONCE_BYTES :])
        if tag != int.from_bytes(nonce_i[:TAG_BYTES], "big"):
            raise DecodeError("HELLO is not numbered by its nonce")
        if (nonce_i, name) == (self._nonce_i, self._claimed):
            return self._challenge if self.state is HandshakeState.AWAIT_CLAIM else None
        if self.state not in (HandshakeState.AWAIT_HELLO, HandshakeState.AWAIT_CLAIM):
            raise OutOfTurnError("another HELLO came after the key was proved")
        if self._hellos == MAX_HELLOS:
            raise HandshakeError(f"more than {MAX_HELLOS} different HELLOs came in one handshake")
        self._hellos += 1
        self._nonce_i, self._claimed, self.tag = nonce_i, name, tag
        self._nonce_r = self._entropy(NONCE_BYTES)
        self._challenge = HandshakeMessage(kind=FrameKind.CHALLENGE, payload=self._nonce_r)
        self.state = _moved(self.state, HandshakeState.AWAIT_CLAIM)
        return self._challenge

    def _on_claim(self, payload: bytes) -> HandshakeMessage | None:
        if self.state is not HandshakeState.AWAIT_CLAIM:
            return self._response if self.state is HandshakeState.AWAIT_PROOF else None
        name, own = self._claimed, self._signer.server_name
        self._key = _key(self._peers, name)
        _verify(self._key, payload, _claim(self._nonce_i, self._nonce_r, name), name)
        _check_welcome(self._peers, name, own)
        signature = self._signer.sign(_response(self._nonce_i, self._nonce_r, name, own))
        self._response = HandshakeMessage(kind=FrameKind.RESPONSE, payload=signature + own.encode())
        self.state = _moved(self.state, HandshakeState.AWAIT_PROOF)
        return self._response

    def _on_proof(self, payload: bytes) -> None:
        if self.state is HandshakeState.DONE:
            return
        if self.state is not HandshakeState.AWAIT_PROOF:
            raise OutOfTurnError("PROOF came before the CLAIM")
        name, own = self._claimed, self._signer.server_name
        _verify(self._key, payload, _proof(self._nonce_i, self._nonce_r, name, own), name)
        self.peer = name
        self.state = _moved(self.state, HandshakeState.DONE)


def _moved(old: HandshakeState, new: HandshakeState) -> HandshakeState:
    assert new in _MOVES[old], f"{old} to {new}"
    return new


def _claim(nonce_i: bytes, nonce_r: bytes, initiator: str) -> bytes:
    return _transcript(b"dtnode link 1 initiator claim", nonce_i, nonce_r, initiator.encode())


def _response(nonce_i: bytes, nonce_r: bytes, initiator: str, responder: str) -> bytes:
    return _transcript(
        b"dtnode link 1 responder", nonce_i, nonce_r, initiator.encode(), responder.encode()
    )


def _proof(nonce_i: bytes, nonce_r: bytes, initiator: str, responder: str) -> bytes:
    return _transcript(
        b"dtnode link 1 initiator", nonce_i, nonce_r, initiator.encode(), responder.encode()
    )


def _transcript(*parts: bytes) -> bytes:
    """Each part after its 2-byte length: no two lists of parts give the same bytes. The first is
    the purpose; it keeps these signatures apart from each other and from signed JSON, which starts
    with a brace."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _name(data: bytes) -> str:
    if len(data) > MAX_ID_BYTES:
        raise DecodeError(f"server name has {len(data)} bytes, at most {MAX_ID_BYTES} are allowed")
    try:
        name = data.decode("ascii")
    except UnicodeDecodeError:
        raise DecodeError("server name is not ASCII") from None
    if not name.isprintable() or " " in name:
        raise DecodeError("server name has spaces or control characters")
    return name


def _key(peers: Peers, name: str) -> bytes:
    key = peers.key_of(name)
    if key is None:
        raise HandshakeError(f"{name} is not the name of a key, so it can't be proved")
    return key


def _verify(key: bytes, signature: bytes, signed: bytes, name: str) -> None:
    if len(signature) != SIGNATURE_BYTES:
        raise DecodeError(f"signature has {len(signature)} bytes, {SIGNATURE_BYTES} are expected")
    try:
        VerifyKey(key).verify(signed, signature)
    except BadSignatureError:
        raise HandshakeError(f"peer claims to be {name} but does not have its key") from None


def _check_welcome(peers: Peers, name: str, own: str) -> None:
    """Only after the proof: these refusals depend on who this node is and whom it knows."""
    key = peers.key_of(name)
    if key == peers.key_of(own):
        raise HandshakeError(
            "peer has this node's own key: a copy of this node is running elsewhere; stop one of"
            " the two for good"
        )
    expected = peers.expected
    if expected not in (None, name) and key != peers.key_of(expected):
        raise HandshakeError(f"{expected} was expected on this link, {name} is there")
    if not peers.knows(name):
        raise HandshakeError(f"{name} is not a known peer; 'dtnode peer add {name}' makes it one")
