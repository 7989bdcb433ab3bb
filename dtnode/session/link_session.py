"""The machine between a link and dtnode.sync: frames and `now` in, messages and frames out.

It meets the peer (meeting.py), seals what is said (sealing.py), and carries messages in order and
exactly once over frames of the link's MTU (transfer). It does no I/O, reads no clock, knows no
rooms. Who calls it: the one pump of a link in dtnode.node.

    session.start(now)
    frames that arrive      -> session.receive_frame(frame, now) -> events
    after every call, and when next_wake_at() is reached
                            -> session.frames_to_send(now)       -> frames for link.send()

Bad input raises RemoteProtocolError and closes the session; the node then closes the link. Nothing
else is raised for what a peer does. Where a medium loses, repeats and damages frames by itself,
what is wrong with one is no reason to end anything: it is dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dtnode.errors import HandshakeError, LimitError, LocalProtocolError, RemoteProtocolError
from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.session.contacts import Contacts
from dtnode.session.events import MessageReceived, PeerAuthenticated, SessionClosed, SessionEvent
from dtnode.session.key_exchange import Established
from dtnode.session.meeting import Meeting
from dtnode.session.sealing import SessionKeys, transfer_keys
from dtnode.session.transfer import FrameKind, Transfer, kind_of, make_transfer
from dtnode.session.transfer.packing import MAX_QUEUED_BYTES
from dtnode.signer import Entropy
from dtnode.wire.codec import MessageDecoder, MessageEncoder
from dtnode.wire.limits import MAX_MESSAGE_BYTES, MAX_REASON_BYTES
from dtnode.wire.messages import Bye, Ping
from dtnode.wire.packed import LinkMessage

HANDSHAKE_TIMEOUT_S = 30.0
"""A stranger holds a connection no longer; an honest peer on a slow link needs a few seconds. Links
without connections have no such limit: the other end may come into range tomorrow."""

MAX_FAILED_HANDSHAKES = 64
"""First messages and answers on one connection that nobody known made: eight of a dialler that
isn't sure whom it meets, each repeated while somebody is being added."""


PROOF_PATIENCE_S: Final = 300.0
"""Where frames get lost: until something of the peer's must have been opened, or it is dialled
again, since it may have lost the session while nothing had confirmed that. Several of the longest
transmissions (60 s), with their answers; nothing that arrived is given up by then."""


MAX_BACKLOG_BYTES: Final = MAX_QUEUED_BYTES - MAX_MESSAGE_BYTES
"""Messages that wait, for another one to be taken: there is room for the largest, so none is
refused after it was encoded."""


class SessionState(enum.Enum):
    NEW = "new"
    HANDSHAKE = "handshake"
    AUTHENTICATED = "authenticated"
    CLOSED = "closed"


_MOVES: Final = {
    SessionState.NEW: {SessionState.HANDSHAKE, SessionState.CLOSED},
    SessionState.HANDSHAKE: {SessionState.AUTHENTICATED, SessionState.CLOSED},
    SessionState.AUTHENTICATED: {SessionState.AUTHENTICATED, SessionState.CLOSED},
    SessionState.CLOSED: set[SessionState](),
}


@dataclass(slots=True)
class _Live:
    """A session's keys and tables, agreed on."""

    established: Established
    keys: SessionKeys = field(repr=False)
    transfer: Transfer
    proved: bool = False  # something of the peer's was opened
    given_up: bool = False  # its keys are worn out, another session is looked for
    encoder: MessageEncoder = field(default_factory=MessageEncoder)
    decoder: MessageDecoder = field(default_factory=MessageDecoder)


class LinkSession:
    """One conversation with the peer at the other end of one link.

    info: of the link, its cipher policy sealed or clear, of an MTU and duplex that the transfer can
    use; else LocalProtocolError.
    initiator: this end dialled the connection; on links that lose frames both ends dial.
    wall_ms: this node's wall clock.
    """

    def __init__(
        self,
        *,
        contacts: Contacts,
        entropy: Entropy,
        info: LinkInfo,
        initiator: bool,
        wall_ms: Callable[[], int],
    ) -> None:
        if info.cipher is CipherPolicy.OPEN:
            raise LocalProtocolError("an open link has no session; see dtnode.node.broadcasts")
        self._info = info
        self._crc = not info.checked
        self._transfer(bytes(32), bytes(32), initiator=initiator)  # no link that can't carry one
        self._meeting = Meeting(
            info=info,
            contacts=contacts,
            entropy=entropy,
            wall_ms=wall_ms,
            dials=initiator or not info.reliable,
            answers=not initiator or not info.reliable,
        )
        self._state = SessionState.NEW
        self._live: _Live | None = None
        self._unconfirmed: _Live | None = None
        self._confirmation_owed = False
        self._deadline: float | None = None
        self._last_words: list[bytes] = []

    @property
    def state(self) -> SessionState:
        return self._state

    @property
    def peer(self) -> str | None:
        """The peer's server name, once proved."""
        return None if self._live is None else self._live.established.peer

    @property
    def queued_bytes(self) -> int:
        """Encoded messages that frames_to_send has not given out yet."""
        return 0 if self._live is None else self._live.transfer.queued_bytes

    @property
    def frames_opened(self) -> int:
        """Of the peer's, in this session: it grows when the peer, and nobody else, is heard."""
        return 0 if self._live is None else self._live.keys.frames_opened

    def start(self, now: float) -> None:
        """Begin to look for the peer; `now` here and below is monotonic time in seconds.

        LocalProtocolError: this node's store doesn't give a handshake number.
        """
        self._move(SessionState.HANDSHAKE)
        if self._info.reliable:
            self._deadline = now + HANDSHAKE_TIMEOUT_S
        self._meeting.dial(now)

    def receive_frame(self, frame: bytes, now: float) -> list[SessionEvent]:
        """What one frame from the link means, in order; mostly nothing or one event.

        Raises RemoteProtocolError (reason for the log) for anything no honest peer sends; the
        session is closed then. Frames that come after the end are ignored.
        """
        if self._state is SessionState.NEW:
            raise LocalProtocolError("receive_frame() was called before start()")
        if self._state is SessionState.CLOSED:
            return []
        try:
            return self._receive(frame, now)
        except RemoteProtocolError as error:
            self.close(str(error))
            raise

    def send(self, message: LinkMessage) -> int:
        """Queue a message for frames_to_send(); its encoded size in bytes.

        Raises LocalProtocolError if the peer is not authenticated, or if the largest message might
        not fit beside what waits already (transfer.packing.MAX_QUEUED_BYTES); nothing has changed
        then. Or if the message breaks a limit of dtnode.wire.limits: the session is closed, since
        the peer's tables would be out of step with the encoder's.
        """
        if self._state is not SessionState.AUTHENTICATED or self._live is None:
            raise LocalProtocolError(f"a message can't be sent in state {self._state.value}")
        if self.queued_bytes > MAX_BACKLOG_BYTES:
            raise LocalProtocolError(
                f"{self.queued_bytes} bytes wait for this link, {MAX_BACKLOG_BYTES} are the limit;"
                " send them before queueing more"
            )
        try:
            data = self._live.encoder.encode(message)
        except LocalProtocolError as error:
            self.close(str(error))
            raise
        self._live.transfer.send(data)
        return len(data)

    def frames_to_send(self, now: float, max_bytes: int | None = None) -> list[bytes]:
        """Frames for the link, in order: all there are, or from about `max_bytes` on the rest at
        the next call (at least one frame).

        To be called after every other call and at next_wake_at(). Raises HandshakeError when the
        peer of a connection has not proved itself in HANDSHAKE_TIMEOUT_S; it is closed then.
        """
        if self._state is SessionState.CLOSED:
            frames, self._last_words = self._last_words, []
            return frames
        if self._deadline is not None and now >= self._deadline:
            self.close("")
            raise HandshakeError(
                f"peer did not prove its key within {HANDSHAKE_TIMEOUT_S:.0f} s (it may not know"
                " this node: is it added there?)"
            )
        frames = self._meeting.frames_to_send(now)
        if self._live is not None:
            if self._confirmation_owed and not self._live.transfer.queued_bytes:
                self.send(Ping(reply=False))
            self._confirmation_owed = False
            left = None if max_bytes is None else max(max_bytes - sum(map(len, frames)), 1)
            frames += self._live.transfer.frames_to_send(now, left)
        return frames

    def next_wake_at(self) -> float | None:
        """When frames_to_send() must be called even if nothing happens; None: never."""
        if self._state is SessionState.CLOSED:
            return 0.0 if self._last_words else None
        wakes = [self._deadline, self._meeting.next_wake_at()]
        if self._live is not None:
            wakes.append(self._live.transfer.next_wake_at())
        return min((at for at in wakes if at is not None), default=None)

    @property
    def is_clear(self) -> bool:
        """Whether nothing that was said is still on its way, as far as the link tells."""
        if self._live is None:
            return True
        return not (self._live.transfer.queued_bytes or self._live.transfer.unacknowledged_bytes)

    def close(self, reason: str) -> None:
        """End the session. The authenticated peer of a connection is told why with the next
        frames_to_send(), in place of what was queued; anyone else is told nothing, nor is a peer
        on a link that loses frames. Closing twice is harmless."""
        if self._state is SessionState.CLOSED:
            return
        live = self._live
        authenticated = self._state is SessionState.AUTHENTICATED
        self._move(SessionState.CLOSED)
        self._deadline = None
        self._meeting.stop()
        if live is not None and authenticated:
            bye = live.encoder.encode(Bye(reason=_one_line(reason)))
            self._last_words = live.transfer.farewell(bye)
        for ended in (live, self._unconfirmed):
            if ended is not None:
                ended.keys.erase()
        self._unconfirmed = None

    # --- frames

    def _receive(self, frame: bytes, now: float) -> list[SessionEvent]:
        kind = self._kind_of(frame)
        if kind is None:
            return []
        if kind is FrameKind.HANDSHAKE:
            established = self._meeting.receive_frame(frame, now)
            if self._info.reliable and self._meeting.failed > MAX_FAILED_HANDSHAKES:
                raise LimitError(f"more than {MAX_FAILED_HANDSHAKES} handshake messages failed")
            return [] if established is None else self._on_established(established, now)
        if self._unconfirmed is not None:
            return self._try_unconfirmed(self._unconfirmed, frame, now)
        if self._live is not None:
            return self._on_frame_of(self._live, frame, now)
        if self._info.reliable:
            raise HandshakeError("a message came before the peer had proved its key")
        return []

    def _kind_of(self, frame: bytes) -> FrameKind | None:
        """None: to be dropped. Raises where nothing but a liar can be the cause."""
        try:
            kind = kind_of(frame)
        except RemoteProtocolError:
            if self._info.reliable:
                raise
            return None
        if kind is FrameKind.BROADCAST:
            return None
        if kind is FrameKind.HANDSHAKE and self._info.reliable and self._live is not None:
            return None  # a first message repeated, which the answer has crossed
        return kind

    def _on_established(self, established: Established, now: float) -> list[SessionEvent]:
        keys, transfer = self._transfer(
            established.send_key,
            established.receive_key,
            initiator=established.initiator,
            odd=bool(established.exporter[0] & 1),
        )
        new = _Live(established=established, keys=keys, transfer=transfer)
        older = self._unconfirmed
        if older is not None and older.established.peer == established.peer:
            # Its late confirmation must not undo the newer one, which the peer may have by then.
            older.keys.erase()
            self._unconfirmed = None
        if established.initiator:
            self._confirmation_owed = True
            events = self._begin(new)
            if not self._info.reliable:
                self._meeting.dial_at(now + PROOF_PATIENCE_S, established.peer)
            return events
        if self._unconfirmed is not None:
            self._unconfirmed.keys.erase()
        self._unconfirmed = new
        if self._live is not None and self._live.proved and not self._live.given_up:
            self._meeting.stop()  # if nothing comes of it, there is nothing to look for
        return []

    def _transfer(
        self, send_key: bytes, receive_key: bytes, *, initiator: bool, odd: bool = False
    ) -> tuple[SessionKeys, Transfer]:
        keys = transfer_keys(send_key=send_key, receive_key=receive_key, policy=self._info.cipher)
        transfer = make_transfer(
            info=self._info, keys=keys, initiator=initiator, crc=self._crc, odd=odd
        )
        return keys, transfer

    def _try_unconfirmed(self, new: _Live, frame: bytes, now: float) -> list[SessionEvent]:
        """The old session stays until a frame under the new keys was opened: the first message of
        the new one may be a replay."""
        messages = new.transfer.receive_frame(frame, now)
        if not new.keys.have_opened:
            old = self._live
            return [] if old is None else self._on_frame_of(old, frame, now)
        self._unconfirmed = None
        self._meeting.confirmed(new.established.peer)
        events = self._begin(new)
        self._note_proof(new)
        return [*events, *self._read(new, messages)]

    def _begin(self, new: _Live) -> list[SessionEvent]:
        if self._live is not None:
            self._live.keys.erase()
        self._live = new
        self._deadline = None
        self._meeting.stop()
        self._move(SessionState.AUTHENTICATED)
        return [
            PeerAuthenticated(
                server_name=new.established.peer,
                initiator=new.established.initiator,
                clock_offset_s=new.established.clock_offset_s,
            )
        ]

    def _on_frame_of(self, live: _Live, frame: bytes, now: float) -> list[SessionEvent]:
        messages = live.transfer.receive_frame(frame, now)
        self._note_proof(live)
        if live.keys.worn_out and not live.given_up:
            live.given_up = True
            self._meeting.dial_at(now, live.established.peer)
        return self._read(live, messages)

    def _note_proof(self, live: _Live) -> None:
        if not live.proved and live.keys.have_opened:
            live.proved = True
            self._meeting.proved()

    def _read(self, live: _Live, messages: list[bytes]) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        for data in messages:
            message = live.decoder.decode(data)
            if isinstance(message, Bye):
                self._move(SessionState.CLOSED)
                live.keys.erase()
                return [*events, SessionClosed(reason=message.reason)]
            events.append(MessageReceived(message=message, size_bytes=len(data)))
        return events

    def _move(self, new: SessionState) -> None:
        if new not in _MOVES[self._state]:
            raise LocalProtocolError(f"a session can't go from {self._state.value} to {new.value}")
        self._state = new


def _one_line(reason: str) -> str:
    """`reason` as a Bye carries it: printable, at most MAX_REASON_BYTES."""
    printable = "".join(char if char.isprintable() else " " for char in reason)
    return printable.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")
