"""Cuts messages into frames of a link's MTU and puts them together again.

A frame is a 9-byte header (kind, message number, fragment index, fragment count; big-endian)
and 1 or more bytes of payload. Nothing here repeats what was lost or knows what a message means;
a message with a lost fragment is forgotten when newer ones need its place. Called by LinkSession.
"""

from __future__ import annotations

import enum
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dtnode.errors import DecodeError, LimitError
from dtnode.wire.limits import MAX_MESSAGE_BYTES

HEADER: Final = struct.Struct(">BIHH")

MIN_MTU_BYTES = 64
"""Less would not carry a MAX_MESSAGE_BYTES message in 65,535 fragments with room to spare."""

MAX_FRAME_BYTES = 65_536
"""The largest MTU; a longer frame from a link is refused."""

MAX_NUMBER = 2**32 - 1

MIN_FRAGMENT_BYTES = MIN_MTU_BYTES - HEADER.size
"""Every fragment but the last carries at least this (55). Without it a message in 1-byte fragments
would cost a hundred times its size in bookkeeping."""

MAX_PARTIAL_MESSAGES = 8
"""Messages in pieces at once. A sender sends them one after the other; more than a few in pieces
means losses, and then the oldest are the least likely to be completed."""

MAX_PARTIAL_BYTES = 4 << 20
"""Their memory together, bookkeeping included: one message of the largest size at the smallest MTU
(19,066 fragments) takes 3.5 MB."""

_FRAGMENT_OVERHEAD_BYTES = 128
"""A bytes object and its place in a dict, rounded up."""

RECENT_MESSAGES = 128
"""Numbers of delivered messages remembered to drop late duplicates cheaply."""


class FrameKind(enum.IntEnum):
    """What the payload is. Each kind is sent by one end only, so that an echo shows."""

    HELLO = 1
    CHALLENGE = 2
    CLAIM = 3
    RESPONSE = 4
    PROOF = 5
    INITIATOR_MESSAGE = 6
    RESPONDER_MESSAGE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """One whole payload, from one or more frames."""

    kind: FrameKind
    number: int
    payload: bytes


def kind_of(frame: bytes) -> FrameKind:
    """What a frame carries, before anything of it is kept. Raises DecodeError."""
    if len(frame) <= HEADER.size:
        raise DecodeError(f"frame has {len(frame)} bytes, less than a header and a payload")
    try:
        return FrameKind(frame[0])
    except ValueError:
        raise DecodeError(f"frame kind {frame[0]} is unknown") from None


def fragment(kind: FrameKind, number: int, payload: bytes, mtu_bytes: int) -> list[bytes]:
    """Frames of at most `mtu_bytes` that carry `payload` (1 byte to MAX_MESSAGE_BYTES)."""
    assert 0 < len(payload) <= MAX_MESSAGE_BYTES
    assert mtu_bytes >= MIN_MTU_BYTES
    room = mtu_bytes - HEADER.size
    count = -(-len(payload) // room)
    return [
        HEADER.pack(kind, number, index, count) + payload[index * room : (index + 1) * room]
        for index in range(count)
    ]


@dataclass(slots=True)
class _Partial:
    count: int
    fragments: dict[int, bytes] = field(default_factory=dict)
    payload_bytes: int = 0

    @property
    def cost_bytes(self) -> int:
        return self.payload_bytes + _FRAGMENT_OVERHEAD_BYTES * len(self.fragments)


class Reassembler:
    """Frames in, whole payloads out; fragments may come in any order, twice, or never.

    `limit_of` gives the largest payload of a kind, in bytes.
    """

    def __init__(self, limit_of: Callable[[FrameKind], int]) -> None:
        self._limit_of = limit_of
        self._partials: OrderedDict[tuple[FrameKind, int], _Partial] = OrderedDict()
        self._cost_bytes = 0

    @property
    def cost_bytes(self) -> int:
        """Memory held for messages in pieces, estimated; at most MAX_PARTIAL_BYTES."""
        return self._cost_bytes

    def __len__(self) -> int:
        return len(self._partials)

    def receive(self, frame: bytes) -> Assembled | None:
        """The payload that `frame` completes, else None.

        Raises DecodeError or LimitError for a frame no honest peer sends.
        """
        kind, number, index, count, payload = self._parse(frame)
        if count == 1:
            return Assembled(kind=kind, number=number, payload=payload)
        key = (kind, number)
        partial = self._partials.get(key)
        if partial is None:
            partial = self._partials[key] = _Partial(count)
        elif partial.count != count:
            raise DecodeError(f"fragments disagree: {partial.count} or {count} of them")
        if index in partial.fragments:
            return None
        self._cost_bytes -= partial.cost_bytes
        partial.fragments[index] = payload
        partial.payload_bytes += len(payload)
        self._cost_bytes += partial.cost_bytes
        self._check_size(kind, partial.payload_bytes)
        if len(partial.fragments) == count:
            self._forget(key)
            whole = b"".join(partial.fragments[i] for i in range(count))
            return Assembled(kind=kind, number=number, payload=whole)
        self._drop_oldest(keep=key)
        return None

    def _parse(self, frame: bytes) -> tuple[FrameKind, int, int, int, bytes]:
        if len(frame) > MAX_FRAME_BYTES:
            raise LimitError(f"frame has {len(frame)} bytes, at most {MAX_FRAME_BYTES} are allowed")
        kind = kind_of(frame)
        _, number, index, count = HEADER.unpack_from(frame)
        if index >= count:
            raise DecodeError(f"frame is fragment {index} of {count}, counted from 0")
        payload = bytes(frame[HEADER.size :])
        self._check_size(kind, len(payload))
        self._check_size(kind, (count - 1) * MIN_FRAGMENT_BYTES)
        if index < count - 1 and len(payload) < MIN_FRAGMENT_BYTES:
            raise DecodeError(
                f"fragment {index} of {count} has {len(payload)} bytes, at least"
                f" {MIN_FRAGMENT_BYTES} are expected before the last"
            )
        return kind, number, index, count, payload

    def _check_size(self, kind: FrameKind, size: int) -> None:
        limit = self._limit_of(kind)
        if size > limit:
            raise LimitError(f"{kind.name} frames carry {size} bytes, at most {limit} are allowed")

    def _drop_oldest(self, *, keep: tuple[FrameKind, int]) -> None:
        while len(self._partials) > MAX_PARTIAL_MESSAGES or self._cost_bytes > MAX_PARTIAL_BYTES:
            # There is another: one message alone stays under MAX_PARTIAL_BYTES by its own limits.
            self._forget(next(key for key in self._partials if key != keep))

    def _forget(self, key: tuple[FrameKind, int]) -> None:
        self._cost_bytes -= self._partials.pop(key).cost_bytes
