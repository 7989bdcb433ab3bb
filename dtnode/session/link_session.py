"""The machine between a link and dtnode.sync: frames and `now` in, messages and frames out.

It proves both ends' keys (handshake.py), then carries messages (framing.py). It does no I/O, reads
no clock, knows no rooms, and does not repeat lost messages: dtnode.sync does, by their meaning.
Who calls it: the one pump of a link in dtnode.node.

    session.start(now)
    frames that arrive      -> session.receive_frame(frame, now) -> events
    after every call, and when next_wake_at() is reached
                            -> session.frames_to_send(now)       -> frames for link.send()

Bad input raises RemoteProtocolError and closes the session; the node then closes the link. Nothing
else is raised for what a peer does.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Final

from dtnode.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from dtnode.link_info import LinkInfo
from dtnode.session.events import MessageReceived, PeerAuthenticated, SessionClosed, SessionEvent
from dtnode.session.framing import (
    MAX_FRAME_BYTES,
    MAX_NUMBER,
    MIN_MTU_BYTES,
    RECENT_MESSAGES,
    Assembled,
    FrameKind,
    Reassembler,
    fragment,
    kind_of,
)
from dtnode.session.handshake import (
    MAX_HANDSHAKE_BYTES,
    Handshake,
    HandshakeMessage,
    HandshakeState,
    InitiatorHandshake,
    OutOfTurnError,
    Peers,
    ResponderHandshake,
)
from dtnode.signer import Entropy, Signer
from dtnode.wire.codec import decode_message, encode_message
from dtnode.wire.limits import MAX_MESSAGE_BYTES, MAX_REASON_BYTES
from dtnode.wire.messages import Bye, Message

HANDSHAKE_TIMEOUT_S = 30.0
"""A stranger holds a session no longer; an honest peer on a slow link needs a few seconds."""

MAX_RETRANSMISSIONS = 10
"""Of one handshake message: as many as the growing interval lets into HANDSHAKE_TIMEOUT_S."""

MAX_HANDSHAKE_MESSAGES = 64
"""Taken in one session, repetitions included (three are needed): bounds what a peer that repeats
itself makes this node sign, verify and send."""

MAX_QUEUED_BYTES = 8 << 20
"""Encoded messages waiting for frames_to_send: eight of the largest. The node stops asking
dtnode.sync for more while `queued_bytes` is high, so this is never reached."""

MAX_EARLY_BYTES = 1 << 20
"""Messages of a peer whose CLAIM is verified and whose PROOF is late, on an unreliable link: one of
the largest. Without them a lost PROOF would cost all that was sent along with it."""

MAX_EARLY_MESSAGES = 64
"""Of these: what a peer says at the start of a contact, about one for each room."""

_MESSAGE_KINDS: Final = (FrameKind.INITIATOR_MESSAGE, FrameKind.RESPONDER_MESSAGE)


class SessionState(enum.Enum):
    NEW = "new"
    HANDSHAKE = "handshake"
    AUTHENTICATED = "authenticated"
    CLOSED = "closed"


_MOVES: Final = {
    SessionState.NEW: {SessionState.HANDSHAKE, SessionState.CLOSED},
    SessionState.HANDSHAKE: {SessionState.AUTHENTICATED, SessionState.CLOSED},
    SessionState.AUTHENTICATED: {SessionState.CLOSED},
    SessionState.CLOSED: set[SessionState](),
}


class LinkSession:
    """One contact with one peer over one link.

    info: of the link; MTU from 64 to 65,536 bytes, else LocalProtocolError.
    initiator: this end dialled. expected_peer: the only server name acceptable (None: any known).
    knows(server_name): may it talk to this node; asked after it has proved its key.
    key_of(server_name): its 32-byte Ed25519 public key, None if the name gives none (refused).
    """

    def __init__(
        self,
        *,
        signer: Signer,
        entropy: Entropy,
        info: LinkInfo,
        initiator: bool,
        expected_peer: str | None,
        knows: Callable[[str], bool],
        key_of: Callable[[str], bytes | None],
    ) -> None:
        if not MIN_MTU_BYTES <= info.mtu_bytes <= MAX_FRAME_BYTES:
            raise LocalProtocolError(
                f"the link's MTU is {info.mtu_bytes} bytes; {MIN_MTU_BYTES} to {MAX_FRAME_BYTES}"
                " can be used"
            )
        peers = Peers(expected=expected_peer, knows=knows, key_of=key_of)
        end = InitiatorHandshake if initiator else ResponderHandshake
        self._handshake: Handshake = end(signer, entropy, peers)
        self._send_kind, self._receive_kind = _MESSAGE_KINDS if initiator else _MESSAGE_KINDS[::-1]
        self._info = info
        self._state = SessionState.NEW
        self._reassembler = Reassembler(_payload_limit)
        self._handshake_frames: list[bytes] = []
        self._handshake_messages = 0
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._next_number = 0
        self._early: list[Assembled] = []
        self._recent: deque[int] = deque(maxlen=RECENT_MESSAGES)
        self._deadline = 0.0
        self._retransmit_at: float | None = None
        self._retransmissions = 0

    @property
    def state(self) -> SessionState:
        return self._state

    @property
    def peer(self) -> str | None:
        """The peer's server name, once proved."""
        return self._handshake.peer

    @property
    def queued_bytes(self) -> int:
        """Encoded messages that frames_to_send has not given out yet."""
        return self._queued_bytes

    def start(self, now: float) -> None:
        """Begin the handshake; `now` here and below is monotonic time in seconds."""
        self._move(SessionState.HANDSHAKE)
        self._deadline = now + HANDSHAKE_TIMEOUT_S
        self._handshake_went_on(self._handshake.unanswered, now)

    def receive_frame(self, frame: bytes, now: float) -> list[SessionEvent]:
        """What one frame from the link means; mostly nothing or one event.

        Raises RemoteProtocolError (reason for the log) for anything no honest peer sends; the
        session is closed then. Frames that come after the end are ignored.
        """
        if self._state is SessionState.NEW:
            raise LocalProtocolError("receive_frame() was called before start()")
        if self._state is SessionState.CLOSED:
            return []
        try:
            if self._is_out_of_turn(kind_of(frame)):
                return []
            assembled = self._reassembler.receive(frame)
            if assembled is None:
                return []
            if assembled.kind in _MESSAGE_KINDS:
                return self._on_message(assembled)
            return self._on_handshake(assembled, now)
        except RemoteProtocolError as error:
            self.close(str(error))
            raise

    def send(self, message: Message) -> None:
        """Queue a message for frames_to_send().

        Raises LocalProtocolError if the peer is not authenticated, if the message breaks a limit of
        dtnode.wire.limits, or if MAX_QUEUED_BYTES would be exceeded; nothing is queued then.
        """
        if self._state is not SessionState.AUTHENTICATED:
            raise LocalProtocolError(f"a message can't be sent in state {self._state.value}")
        data = encode_message(message)
        if self._queued_bytes + len(data) > MAX_QUEUED_BYTES:
            raise LocalProtocolError(
                f"{self._queued_bytes} bytes wait for this link, {MAX_QUEUED_BYTES} are the limit;"
                " send them before queueing more"
            )
        self._enqueue(data)

    def frames_to_send(self, now: float, max_bytes: int | None = None) -> list[bytes]:
        """Frames for the link, in order: all there are, or from about `max_bytes` on the rest at
        the next call (whole messages, at least one).

        To be called after every other call and at next_wake_at(). Raises HandshakeError when the
        peer has not proved itself in HANDSHAKE_TIMEOUT_S; the session is closed then.
        """
        if self._state is SessionState.HANDSHAKE:
            self._check_timers(now)
        frames, self._handshake_frames = self._handshake_frames, []
        given = 0
        while self._queue and (max_bytes is None or given < max_bytes):
            data = self._queue.popleft()
            self._queued_bytes -= len(data)
            given += len(data)
            frames += fragment(self._send_kind, self._next_number, data, self._info.mtu_bytes)
            self._next_number = (self._next_number + 1) & MAX_NUMBER
        return frames

    def next_wake_at(self) -> float | None:
        """When frames_to_send() must be called even if nothing happens; None: never."""
        if self._state is not SessionState.HANDSHAKE:
            return None
        if self._retransmit_at is None:
            return self._deadline
        return min(self._retransmit_at, self._deadline)

    def close(self, reason: str) -> None:
        """End the session. An authenticated peer is told why with the next frames_to_send(), in
        place of what was queued; anyone else is told nothing. Closing twice is harmless."""
        if self._state is SessionState.CLOSED:
            return
        authenticated = self._state is SessionState.AUTHENTICATED
        self._move(SessionState.CLOSED)
        self._queue.clear()
        self._queued_bytes = 0
        if not authenticated:
            self._handshake_frames.clear()
        else:
            self._enqueue(encode_message(Bye(reason=_one_line(reason))))

    def _on_message(self, assembled: Assembled) -> list[SessionEvent]:
        if self._state is SessionState.HANDSHAKE:
            early_bytes = sum(len(early.payload) for early in self._early)
            if (
                len(self._early) < MAX_EARLY_MESSAGES
                and early_bytes + len(assembled.payload) <= MAX_EARLY_BYTES
            ):
                self._early.append(assembled)
            return []
        if self._state is SessionState.CLOSED or assembled.number in self._recent:
            return []
        self._recent.append(assembled.number)
        message = decode_message(assembled.payload)
        if isinstance(message, Bye):
            self._move(SessionState.CLOSED)
            return [SessionClosed(reason=message.reason)]
        return [MessageReceived(message=message)]

    def _on_handshake(self, assembled: Assembled, now: float) -> list[SessionEvent]:
        self._handshake_messages += 1
        if self._handshake_messages > MAX_HANDSHAKE_MESSAGES:
            raise HandshakeError(f"peer sent more than {MAX_HANDSHAKE_MESSAGES} handshake messages")
        message = HandshakeMessage(kind=assembled.kind, payload=assembled.payload)
        before = self._handshake.state
        try:
            answer = self._handshake.receive(message, assembled.number)
        except OutOfTurnError as error:
            self._out_of_turn(str(error))
            return []
        if self._handshake.state is before:
            self._queue_handshake(answer)
            return []
        self._handshake_went_on(answer, now)
        if self._handshake.state is not HandshakeState.DONE:
            return []
        assert self._handshake.peer is not None
        self._move(SessionState.AUTHENTICATED)
        events: list[SessionEvent] = [PeerAuthenticated(server_name=self._handshake.peer)]
        early, self._early = self._early, []
        for message_before_proof in early:
            events += self._on_message(message_before_proof)
        return events

    def _handshake_went_on(self, answer: HandshakeMessage | None, now: float) -> None:
        self._queue_handshake(answer)
        self._retransmissions = 0
        self._plan_retransmission(now)

    def _is_out_of_turn(self, kind: FrameKind) -> bool:
        """True: a frame to ignore, before it takes memory."""
        if kind is self._send_kind:
            self._out_of_turn("a message of this end's own came back: the link echoes")
            return True
        if kind is not self._receive_kind or self._state is SessionState.AUTHENTICATED:
            return False
        self._out_of_turn("a message came before the peer had proved its key")
        return self._handshake.state is not HandshakeState.AWAIT_PROOF

    def _out_of_turn(self, reason: str) -> None:
        """Late, repeated and echoed frames are normal where links are unreliable, else an attack or
        a bug of the peer."""
        if self._info.reliable:
            raise HandshakeError(reason)

    def _queue_handshake(self, message: HandshakeMessage | None) -> None:
        if message is None:
            return
        self._handshake_frames += fragment(
            message.kind, self._handshake.tag, message.payload, self._info.mtu_bytes
        )

    def _check_timers(self, now: float) -> None:
        if now >= self._deadline:
            self.close("")
            raise HandshakeError(
                f"peer did not prove its key within {HANDSHAKE_TIMEOUT_S:.0f} s (it may not know"
                " this node: is it added there?)"
            )
        if self._retransmit_at is not None and now >= self._retransmit_at:
            self._retransmissions += 1
            self._queue_handshake(self._handshake.unanswered)
            self._plan_retransmission(now)

    def _plan_retransmission(self, now: float) -> None:
        again = self._handshake.unanswered
        if again is None or self._info.reliable or self._retransmissions == MAX_RETRANSMISSIONS:
            self._retransmit_at = None
            return
        airtime_s = 0.0
        if self._info.bitrate_bps is not None:
            airtime_s = 8 * MAX_HANDSHAKE_BYTES / self._info.bitrate_bps
        interval_s = 1.0 + 2 * (airtime_s + self._info.turnaround_s)
        self._retransmit_at = now + interval_s * 1.25**self._retransmissions

    def _enqueue(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued_bytes += len(data)

    def _move(self, new: SessionState) -> None:
        if new not in _MOVES[self._state]:
            raise LocalProtocolError(f"a session can't go from {self._state.value} to {new.value}")
        self._state = new


def _payload_limit(kind: FrameKind) -> int:
    return MAX_MESSAGE_BYTES if kind in _MESSAGE_KINDS else MAX_HANDSHAKE_BYTES


def _one_line(reason: str) -> str:
    """`reason` as a Bye carries it: printable, at most MAX_REASON_BYTES."""
    printable = "".join(char if char.isprintable() else " " for char in reason)
    return printable.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")
