"""Messages to the plaintexts of units and back: lengths, batching, cutting. No keys, no frames.

The messages of one direction are a stream: each with its length before it (LEB128: 1 byte up to
127, 3 at most). A unit holds the next piece of the stream, wherever that begins or ends, so small
messages that wait together go as one. A unit that is exactly one message needs no length: LONE.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from dtnode.errors import DecodeError, LimitError, LocalProtocolError
from dtnode.session.transfer.leb128 import leb128, parse_leb128
from dtnode.wire.limits import MAX_MESSAGE_BYTES

MAX_QUEUED_BYTES: Final = 8 << 20
"""Messages waiting to be sent: eight of the largest. Callers stop long before (`queued_bytes`)."""

MAX_LENGTH_BYTES: Final = 3


class MessagePacker:
    """Messages waiting to be cut into units."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._started = bytearray()
        self._queued_bytes = 0

    @property
    def queued_bytes(self) -> int:
        """What waits here, lengths of messages included."""
        return self._queued_bytes + len(self._started)

    @property
    def lone_bytes(self) -> int:
        """The next unit's plaintext if it took all that waits."""
        if not self._started and len(self._queue) == 1:
            return len(self._queue[0])
        return self.queued_bytes

    def append(self, message: bytes) -> None:
        """Raises LocalProtocolError: empty, too long, or too much waits already."""
        if not 0 < len(message) <= MAX_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"a message has 1 to {MAX_MESSAGE_BYTES} bytes, this one has {len(message)}"
            )
        if self.queued_bytes + len(message) > MAX_QUEUED_BYTES:
            raise LocalProtocolError(
                f"{self.queued_bytes} bytes wait for this link, {MAX_QUEUED_BYTES} are the limit;"
                " send them before queueing more"
            )
        self._queue.append(message)
        self._queued_bytes += len(leb128(len(message))) + len(message)

    def take(self, capacity: int) -> tuple[bytes, bool]:
        """Up to `capacity` bytes (at least 1) for the next unit, and whether it is LONE."""
        assert capacity > 0
        assert self.queued_bytes
        if not self._started and self._fits_alone(capacity):
            message = self._pop()
            return message, True
        while self._queue and len(self._started) < capacity:
            message = self._pop()
            self._started += leb128(len(message)) + message
        taken = bytes(self._started[:capacity])
        del self._started[:capacity]
        return taken, False

    def _pop(self) -> bytes:
        message = self._queue.popleft()
        self._queued_bytes -= len(leb128(len(message))) + len(message)
        return message

    def _fits_alone(self, capacity: int) -> bool:
        size = len(self._queue[0])
        # Beside others only if no other could follow it in the same unit anyhow.
        return size <= capacity and (len(self._queue) == 1 or capacity - size <= 2)


class MessageUnpacker:
    """Plaintexts of units, in order, to messages. Holds at most one message and one unit."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed: int | None = None

    @property
    def held_bytes(self) -> int:
        return len(self._buffer)

    def feed(self, plaintext: bytes, *, lone: bool) -> list[bytes]:
        """The messages that are whole now.

        Raises DecodeError or LimitError for what no honest peer seals.
        """
        if lone:
            if self._buffer or self._needed is not None:
                raise DecodeError("a whole message came in the middle of another")
            if not 0 < len(plaintext) <= MAX_MESSAGE_BYTES:
                raise LimitError(f"a message of {len(plaintext)} bytes is not allowed")
            return [plaintext]
        if not plaintext:
            raise DecodeError("a unit holds nothing of any message")
        self._buffer += plaintext
        messages: list[bytes] = []
        at = 0
        while True:
            if self._needed is None:
                parsed = self._parse_length(at)
                if parsed is None:
                    break
                self._needed, at = parsed
            if len(self._buffer) - at < self._needed:
                break
            messages.append(bytes(self._buffer[at : at + self._needed]))
            at += self._needed
            self._needed = None
        del self._buffer[:at]
        return messages

    def _parse_length(self, at: int) -> tuple[int, int] | None:
        parsed = parse_leb128(self._buffer, at, MAX_LENGTH_BYTES)
        if parsed is not None and not 0 < parsed[0] <= MAX_MESSAGE_BYTES:
            raise LimitError(
                f"a message of {parsed[0]} bytes is announced, 1 to {MAX_MESSAGE_BYTES} are allowed"
            )
        return parsed
