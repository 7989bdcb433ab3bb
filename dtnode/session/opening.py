"""What the messages that open a session carry, as bytes and as values.

The parts of dtnode.session.key_exchange and dtnode.session.pairing that need no keys: kinds of
messages, prologues, numbers, clocks, names. Nothing here is secret or proves anything.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from dtnode.errors import DecodeError, HandshakeError, LocalProtocolError
from dtnode.matrix.server_names import key_from_server_name
from dtnode.signer import exchange_key_of
from dtnode.wire.limits import WIRE_VERSION

LABEL: Final = b"dtnode link 2"
"""First in every prologue: ends that speak another protocol under the same keys understand
nothing."""

PAYLOAD_VERSION: Final = WIRE_VERSION
"""Low bits of a payload's first byte. It is read only once the peer is known, so that a peer which
must update can be named."""

MAX_HANDSHAKE_BYTES: Final = 400
"""The largest handshake message: an IK first message with the longest domain takes 285."""

NUMBER_BYTES: Final = 6
MAX_NUMBER: Final = (1 << 8 * NUMBER_BYTES) - 1
"""Of a handshake: milliseconds since 1970 reach it in the year 10889."""

CLOCK_BYTES: Final = 4
CLOCK_START_S: Final = 1_577_836_800
"""2020-01-01T00:00:00Z; four bytes of seconds from there last until 2156."""

_VERSION_MASK: Final = 0x1F
_CLEAR: Final = 0x20
_STALE: Final = 0x40
_NEGATIVE: Final = 0x80
_PRIME: Final = 2**255 - 19


class HandshakeKind(enum.IntEnum):
    """What a handshake message is; framing carries it outside of the message."""

    KK_FIRST = 1
    KK_SECOND = 2
    IK_FIRST = 3
    IK_SECOND = 4
    PAIRING_FIRST = 5
    PAIRING_SECOND = 6
    PAIRING_THIRD = 7
    PAIRING_FOURTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeMessage:
    kind: HandshakeKind
    data: bytes


class NotOpenedError(HandshakeError):
    """No key of this node opens the message: it is damaged, a stranger's, or for another node.

    Where others share the medium that is everyday: drop it. On a link of one's own: close it.
    Either way nothing is answered.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPayload:
    """number: of the handshake. clock_s: sender's, since CLOCK_START_S. negative and domain say
    which of the names that have the sender's X25519 key is its own (IK only). clear: the sender's
    link is one whose frames are not encrypted."""

    number: int
    clock_s: int
    application: bytes
    negative: bool = False
    domain: str | None = None
    clear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondPayload:
    """stale: None, or the highest handshake number taken, which the first message's wasn't above.
    A stale answer has no application bytes."""

    clock_s: int
    application: bytes = b""
    stale: int | None = None


def next_number(stored: int, now_ms: int) -> int:
    """The number for the next handshake with a peer; to be on disk before it is used.

    stored: the highest one used or told of by the peer, 0 if none. The clock makes a node whose
    disk was restored skip what it has used since, mostly; the rest is what stale answers are for.
    """
    number = max(stored + 1, now_ms)
    if not 0 < number <= MAX_NUMBER:
        raise LocalProtocolError(f"handshake numbers with this peer are used up at {stored}")
    return number


def clock_of(now_ms: int) -> int:
    """Seconds since CLOCK_START_S, held within four bytes (a clock that was never set is 1970)."""
    return min(max(now_ms // 1000 - CLOCK_START_S, 0), (1 << 8 * CLOCK_BYTES) - 1)


def prologue(*names: str) -> bytes:
    """LABEL and full server names, each after its length: the initiator's (unless it is a
    stranger), then the responder's."""
    parts = [name.encode("ascii") for name in names]
    return LABEL + b"".join(bytes([len(part)]) + part for part in parts)


def pack_first(payload: FirstPayload, *, introduce: bool) -> bytes:
    """introduce: with the sender's name (IK)."""
    flags = PAYLOAD_VERSION | (_NEGATIVE if payload.negative else 0)
    flags |= _CLEAR if payload.clear else 0
    head = bytes([flags]) + payload.number.to_bytes(NUMBER_BYTES, "big")
    head += payload.clock_s.to_bytes(CLOCK_BYTES, "big")
    if introduce:
        domain = (payload.domain or "").encode("ascii")
        head += bytes([len(domain)]) + domain
    return head + payload.application


def unpack_first(data: bytes, *, introduce: bool) -> FirstPayload:
    """Raises DecodeError, or HandshakeError for another version."""
    reader = _Reader(data)
    flags = reader.flags()
    number, clock_s = reader.number(NUMBER_BYTES), reader.number(CLOCK_BYTES)
    domain = reader.text(reader.number(1)) if introduce else ""
    return FirstPayload(
        number=number,
        clock_s=clock_s,
        application=reader.rest(),
        negative=bool(flags & _NEGATIVE),
        clear=bool(flags & _CLEAR),
        domain=domain or None,
    )


def pack_second(payload: SecondPayload) -> bytes:
    clock = payload.clock_s.to_bytes(CLOCK_BYTES, "big")
    if payload.stale is None:
        return bytes([PAYLOAD_VERSION]) + clock + payload.application
    stale = payload.stale.to_bytes(NUMBER_BYTES, "big")
    return bytes([PAYLOAD_VERSION | _STALE]) + clock + stale


def unpack_second(data: bytes) -> SecondPayload:
    """Raises DecodeError, or HandshakeError for another version."""
    reader = _Reader(data)
    flags = reader.flags()
    clock_s = reader.number(CLOCK_BYTES)
    stale = reader.number(NUMBER_BYTES) if flags & _STALE else None
    application = reader.rest()
    if stale is not None and application:
        raise DecodeError("a stale answer carries more than a number")
    return SecondPayload(clock_s=clock_s, application=application, stale=stale)


def pack_pairing(name: str, clock_s: int) -> bytes:
    """Version, clock, own name: what both ends of a pairing say, encrypted."""
    return bytes([PAYLOAD_VERSION]) + clock_s.to_bytes(CLOCK_BYTES, "big") + name.encode("ascii")


def unpack_pairing(data: bytes) -> tuple[str, int]:
    """Name (unchecked) and clock. Raises DecodeError, or HandshakeError for another version."""
    reader = _Reader(data)
    reader.flags()
    clock_s = reader.number(CLOCK_BYTES)
    return reader.text(len(data) - 1 - CLOCK_BYTES), clock_s


def exchange_key_of_name(name: str) -> bytes | None:
    """The X25519 key of the server `name`; None: the name is no usable key."""
    key = key_from_server_name(name)
    if key is None:
        return None
    try:
        return exchange_key_of(key)
    except ValueError:
        return None


def signing_key_of(exchange_key: bytes, *, negative: bool) -> bytes | None:
    """The Ed25519 key that converts to `exchange_key` and has this sign (RFC 7748, section 4.1:
    y = (u - 1) / (u + 1)); None: there is none."""
    u = int.from_bytes(exchange_key, "little")
    if u >= _PRIME - 1:
        return None
    y = (u - 1) * pow(u + 1, -1, _PRIME) % _PRIME
    key = (y | negative << 255).to_bytes(32, "little")
    try:
        return key if exchange_key_of(key) == exchange_key else None
    except ValueError:
        return None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def flags(self) -> int:
        flags = self.number(1)
        if flags & _VERSION_MASK != PAYLOAD_VERSION:
            raise HandshakeError(
                f"peer opens sessions in version {flags & _VERSION_MASK}, this node in"
                f" {PAYLOAD_VERSION}: update the older one"
            )
        return flags

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def text(self, size: int) -> str:
        try:
            return self._take(size).decode("ascii")
        except UnicodeDecodeError:
            raise DecodeError("a server name is not ASCII") from None

    def rest(self) -> bytes:
        return self._take(len(self._data) - self._at)

    def _take(self, size: int) -> bytes:
        part = self._data[self._at : self._at + size]
        if len(part) < size:
            raise DecodeError(f"handshake payload of {len(self._data)} bytes ends too early")
        self._at += size
        return part
