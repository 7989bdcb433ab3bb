"""Messages over a reliable link (TCP): sealed frames, no counters on the wire, no acknowledgements.

A frame is one byte of flags, a piece of one message, a tag: 9 bytes more than the message if it
fits, and 9 in all for the commonest one, which is there without its byte. Not for links that lose
or reorder: a frame out of place fails its tag, and that ends the session. Called by LinkSession
through the Transfer protocol.
"""

from __future__ import annotations

from collections import deque

from dtnode.errors import DecodeError, LimitError, LocalProtocolError
from dtnode.session.transfer.frames import ACK_BITS, MIN_MTU_BYTES, WHOLE_UNIT, Flag
from dtnode.session.transfer.packing import MAX_QUEUED_BYTES
from dtnode.session.transfer.seals import SEAL_BYTES, TransferKeys
from dtnode.wire.codec import COMMONEST_MESSAGE
from dtnode.wire.limits import MAX_MESSAGE_BYTES

_SIDE = Flag.SESSION | Flag.RESPONDER


class StreamTransfer:
    """One session's messages over a link that loses nothing. The time is not looked at."""

    def __init__(self, *, mtu_bytes: int, keys: TransferKeys, initiator: bool) -> None:
        if mtu_bytes < MIN_MTU_BYTES:
            raise LocalProtocolError(
                f"the link's MTU is {mtu_bytes} bytes, at least {MIN_MTU_BYTES} are needed"
            )
        self._room = mtu_bytes - 1 - SEAL_BYTES
        self._keys = keys
        self._side = Flag(0) if initiator else Flag.RESPONDER
        self._queue: deque[bytes] = deque()
        self._offset = 0
        self._queued_bytes = 0
        self._sent = 0
        self._received = 0
        self._partial = bytearray()

    @property
    def queued_bytes(self) -> int:
        """Messages, or what is left of them, that frames_to_send has not given out."""
        return self._queued_bytes

    @property
    def unacknowledged_bytes(self) -> int:
        return 0

    @property
    def is_idle(self) -> bool:
        return not self._queue

    @property
    def dropped_frames(self) -> int:
        return 0

    def send(self, message: bytes) -> None:
        """Queue a message (1 byte to MAX_MESSAGE_BYTES). Raises LocalProtocolError: empty, too
        long, or MAX_QUEUED_BYTES wait already."""
        if not 0 < len(message) <= MAX_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"a message has 1 to {MAX_MESSAGE_BYTES} bytes, this one has {len(message)}"
            )
        if self._queued_bytes + len(message) > MAX_QUEUED_BYTES:
            raise LocalProtocolError(
                f"{self._queued_bytes} bytes wait for this link, {MAX_QUEUED_BYTES} are the limit;"
                " send them before queueing more"
            )
        self._queue.append(message)
        self._queued_bytes += len(message)

    def receive_frame(self, frame: bytes, _now: float) -> list[bytes]:
        """The message that `frame` completes, if any.

        Raises RemoteProtocolError: a frame that no honest peer sends, or that was changed.
        """
        if not frame or frame[0] >= ACK_BITS:
            raise DecodeError("this frame is not one that carries messages")
        flags = Flag(frame[0])
        if flags & _SIDE != self._side ^ Flag.RESPONDER:
            raise DecodeError("a frame of this end's own side came back")
        piece = self._keys.data_opener.open(self._received, frame[:1], frame[1:])
        self._received += 1
        whole = flags & WHOLE_UNIT == WHOLE_UNIT
        if bool(flags & Flag.START) == bool(self._partial) or not (piece or whole):
            raise DecodeError("pieces of messages don't follow each other")
        if len(self._partial) + len(piece) > MAX_MESSAGE_BYTES:
            raise LimitError(f"a message has more than {MAX_MESSAGE_BYTES} bytes")
        if not flags & Flag.END:
            self._partial += piece
            return []
        if not self._partial:
            return [piece or COMMONEST_MESSAGE]
        message = bytes(self._partial) + piece
        self._partial.clear()
        return [message]

    def frames_to_send(self, _now: float, max_bytes: int | None = None) -> list[bytes]:
        """Frames for the link, in order; about `max_bytes` of them, at least one."""
        frames: list[bytes] = []
        given = 0
        while self._queue and (max_bytes is None or given < max_bytes):
            frames.append(self._next_frame())
            given += len(frames[-1])
        return frames

    def farewell(self, message: bytes) -> list[bytes]:
        """The frames of a last message, in place of what waits; none where a message was begun."""
        if self._offset:
            return []
        self._queue.clear()
        self._queued_bytes = 0
        self.send(message)
        return self.frames_to_send(0.0)

    def next_wake_at(self) -> float | None:
        return None

    def resume(self, _now: float) -> None:
        """Nothing: a reliable link that comes back is a new one."""

    def _next_frame(self) -> bytes:
        message = self._queue[0]
        piece = message[self._offset : self._offset + self._room]
        flags = self._side | (Flag.START if self._offset == 0 else Flag(0))
        self._offset += len(piece)
        self._queued_bytes -= len(piece)
        if self._offset == len(message):
            flags |= Flag.END
            self._queue.popleft()
            self._offset = 0
        header = bytes((flags,))
        if message == COMMONEST_MESSAGE:
            piece = b""
        sealed = self._keys.data_sealer.seal(self._sent, header, piece)
        self._sent += 1
        return header + sealed
