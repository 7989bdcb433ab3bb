"""Both ends find each other on one link: dialling, answering, repeating. No messages yet.

It drives key_exchange's Initiator and Responder over frames. On a link that is dialled one end is
the initiator; on a shared medium (radio) both are both, and the name order decides where they
dialled each other at once. Called by LinkSession, which gets Established from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Final

from dtnode.errors import DecodeError, HandshakeError, LocalProtocolError, RemoteProtocolError
from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.session.contacts import Contacts
from dtnode.session.key_exchange import (
    MAX_ATTEMPTS,
    Attempt,
    Established,
    Initiator,
    Responder,
    Stale,
)
from dtnode.session.opening import HandshakeKind, HandshakeMessage, NotOpenedError
from dtnode.session.peer_secrets import MAX_CANDIDATES
from dtnode.session.transfer.handshake_frames import (
    PIECE_HEADER_BYTES,
    HandshakeAssembler,
    handshake_frames,
    handshake_kind,
    is_in_pieces,
    piece_index,
)
from dtnode.signer import Entropy

FIRST_INTERVAL_S: Final = 2.0
"""Beyond airtime and turnaround, until first messages are repeated: whoever is being added at the
other end at this moment is heard soon."""

INTERVAL_GROWTH: Final = 1.5
MAX_INTERVAL_S: Final = 300.0
"""On links without connections nobody says that the other end is there; five minutes is short
enough for a boat that comes into range, and costs a 300 bit/s channel half a percent."""

MAX_RELIABLE_INTERVAL_S: Final = 4.0
"""Where frames aren't lost: repeated only because the peer may know this node by now."""

LIKELIEST: Final = 4
"""Of those dialled at once are always dialled; the others take turns."""

TIMES_SAID: Final = 16
"""The same first messages, before others are made: in frames of 20 bytes half of which get lost, a
message needs as many to come through and be answered."""

FRESH_S: Final = 1800.0
"""And so long: they say what time it was when they were made, and a clock that seems an hour off is
reported to people."""

MAX_PROMPT_DIALS: Final = 3
"""At once after a stale answer. An honest peer gives one or two (a clone took a number meanwhile);
one that always does so waits for the interval, and uses up few numbers."""

PATIENCE_INTERVALS: Final = 4
"""Left to a peer that was answered to show that it has the answer, before it is dialled."""

STALE_INTERVAL_S: Final = 10.0
"""Between answers to handshake numbers that were taken before: replays cost this little."""

_FIRST_KINDS: Final = (HandshakeKind.KK_FIRST, HandshakeKind.IK_FIRST)
_SECOND_KINDS: Final = (HandshakeKind.KK_SECOND, HandshakeKind.IK_SECOND)
_SECOND_BYTES: Final = 53  # of the usual answer
_KINDS: Final = frozenset(HandshakeKind)


class _Attempts:
    """This end's own, by KK and by IK. failed: answers that were to none of them."""

    def __init__(self) -> None:
        self.initiators: list[Initiator] = []
        self.failed = 0

    @property
    def pending(self) -> frozenset[str]:
        return frozenset().union(*(initiator.pending for initiator in self.initiators))

    def withdraw(self, peer: str) -> None:
        for initiator in self.initiators:
            initiator.withdraw(peer)

    def erase(self) -> None:
        for initiator in self.initiators:
            initiator.erase()
        self.initiators.clear()

    def receive(self, message: HandshakeMessage, now_ms: int) -> Established | Stale:
        for initiator in self.initiators:
            with suppress(NotOpenedError):
                return initiator.receive(message, now_ms)
        self.failed += 1
        raise NotOpenedError("nobody who was dialled made this answer")


class Meeting:
    """One link's handshakes. dials: this end may speak first. answers: it may answer.

    wall_ms: this node's wall clock, for numbers and to tell how far clocks are apart.
    """

    def __init__(
        self,
        *,
        info: LinkInfo,
        contacts: Contacts,
        entropy: Entropy,
        wall_ms: Callable[[], int],
        dials: bool,
        answers: bool,
    ) -> None:
        self._info = info
        self._contacts = contacts
        self._entropy = entropy
        self._wall_ms = wall_ms
        self._dials = dials
        self._attempts = _Attempts()
        self._responder = (
            Responder(
                secrets=contacts.secrets,
                entropy=entropy,
                candidates=contacts.candidates,
                highest_accepted=contacts.highest_accepted,
                accept=contacts.accept,
                stale_interval_s=STALE_INTERVAL_S,
                stale_answers=contacts.answer_limits.stale_answers,
                stranger=contacts.welcome,
                clear=info.cipher is CipherPolicy.CLEAR,
            )
            if answers
            else None
        )
        self._assembler = HandshakeAssembler(crc=not info.checked)
        self._frames: deque[bytes] = deque()
        self._again_at: float | None = None
        self._prefers: str | None = None
        self._known: list[str] = []
        self._dialled = 0
        self._answered: HandshakeMessage | None = None
        self._dialled_at = 0.0
        self._left_to_say = 0
        self._prompt_dials = 0
        self._interval_s = self._least_interval_s()

    @property
    def failed(self) -> int:
        """Handshake messages that nobody known made."""
        answered = 0 if self._responder is None else self._responder.failed_trials
        return answered + self._attempts.failed

    def dial(self, now: float) -> None:
        """Begin, if there is anybody to dial. LocalProtocolError: no number can be had."""
        if not self._dials:
            return
        self._attempts.erase()
        peers = self._next_peers()
        for introduce in (False, True):
            attempts = [
                Attempt(peer=peer, number=self._contacts.next_number(peer))
                for peer in peers
                if self._contacts.introduces(peer) == introduce
            ]
            if attempts:
                self._attempts.initiators.append(
                    Initiator(
                        secrets=self._contacts.secrets,
                        entropy=self._entropy,
                        attempts=attempts,
                        now_ms=self._wall_ms(),
                        introduce=introduce,
                        clear=self._info.cipher is CipherPolicy.CLEAR,
                    )
                )
        self._left_to_say = TIMES_SAID
        self._dialled_at = now
        self._say_first()
        if len(self._known) > MAX_ATTEMPTS and not any(map(is_in_pieces, self._frames)):
            self._left_to_say = 0  # others wait for their turn
        self._plan(now)  # if there was nobody, somebody may be known by then

    def dial_at(self, at: float, peer: str) -> None:
        """Dial then, `peer` before all others, unless stop() is called until then."""
        if self._dials:
            self._attempts.erase()
            self._prefers = peer
            self._again_at = at

    def stop(self) -> None:
        """No more dialling; what comes is still answered."""
        self._attempts.erase()
        self._again_at = None
        self._prefers = None

    def proved(self) -> None:
        """A session works at both ends: stop, and begin with short intervals the next time."""
        self.stop()
        self._interval_s = self._least_interval_s()
        self._prompt_dials = 0

    def confirmed(self, peer: str) -> None:
        """A frame under the keys agreed on with `peer` was opened."""
        self._answered = None
        if self._responder is not None:
            self._responder.confirm(peer)

    def receive_frame(self, frame: bytes, now: float) -> Established | None:
        """The session that `frame` leads to. An initiator's is certain, a responder's is confirmed
        only by a frame under its keys.

        Raises RemoteProtocolError where the link is this peer's alone and only a liar can be the
        cause; elsewhere what is wrong is dropped.
        """
        try:
            whole = self._assembler.receive(frame)
            if whole is None:
                return self._on_piece(frame, now)
            if whole.kind not in _KINDS:
                return None
            message = HandshakeMessage(kind=HandshakeKind(whole.kind), data=whole.message)
            return self._on_message(message, now)
        except NotOpenedError:
            return None  # strangers, old answers and damage are everyday, and are told nothing
        except RemoteProtocolError:
            if self._info.reliable:
                raise
            return None

    def frames_to_send(self, now: float) -> list[bytes]:
        """To be called after every other call and at next_wake_at()."""
        if self._again_at is not None and now >= self._again_at:
            self._say_again(now)
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def next_wake_at(self) -> float | None:
        return 0.0 if self._frames else self._again_at

    def _on_piece(self, frame: bytes, now: float) -> Established | None:
        """The end of a first message that was answered before: so the answer got lost. Waiting for
        all pieces anew would take many repetitions where frames are small."""
        before = self._answered
        if before is None or not (len(frame) > PIECE_HEADER_BYTES and is_in_pieces(frame)):
            return None
        same = (handshake_kind(frame), frame[1]) == (before.kind, before.data[-1])
        _, is_last = piece_index(frame)
        return self._answer(before, now) if same and is_last else None

    def _on_message(self, message: HandshakeMessage, now: float) -> Established | None:
        if message.kind in _FIRST_KINDS:
            return self._answer(message, now)
        if message.kind not in _SECOND_KINDS:
            raise DecodeError(f"{message.kind.name} came, and no pairing is under way")
        result = self._attempts.receive(message, self._wall_ms())
        if isinstance(result, Stale):
            self._contacts.outdated(result.peer, result.highest)
            self._left_to_say = 0
            if self._prompt_dials < MAX_PROMPT_DIALS:
                self._prompt_dials += 1
                self._again_at = now
            return None
        if not self._contacts.welcome(result.peer):
            raise HandshakeError(f"{result.peer} is not welcome here")
        self.stop()
        return result

    def _answer(self, message: HandshakeMessage, now: float) -> Established | None:
        limits = self._contacts.answer_limits
        if self._responder is None or not limits.may_try(now):
            return None
        before = self._responder.failed_trials
        try:
            answer = self._responder.receive(
                message, now=now, now_ms=self._wall_ms(), dialling=self._attempts
            )
        finally:
            if self._responder.failed_trials > before:
                limits.tried_in_vain(min(len(self._contacts.candidates()), MAX_CANDIDATES))
        if answer is None or not self._contacts.welcome(answer.peer):
            return None
        self._say(answer.message)
        self._answered = message
        if answer.established is not None and self._dials:
            self.stop()  # but if nothing comes of it, this end dials again
            self._again_at = now + PATIENCE_INTERVALS * self._interval_s
            self._grow_interval()
        return answer.established

    def _say_again(self, now: float) -> None:
        if self._attempts.pending:
            self._grow_interval()
            fresh = self._left_to_say > 0 and now < self._dialled_at + FRESH_S
            if fresh and set(self._to_dial()) == set(self._known):
                self._say_first()
                self._plan(now)
                return
        try:
            self.dial(now)
        except LocalProtocolError:  # there is no number now; one may be had later
            self._plan(now)

    def _next_peers(self) -> list[str]:
        """Whom to dial now: the likeliest, and by turns the others where there are more than can be
        dialled at once."""
        self._known = known = self._to_dial()
        if len(known) <= MAX_ATTEMPTS:
            return known
        likeliest, others = known[:LIKELIEST], known[LIKELIEST:]
        turn = self._dialled % len(others)
        self._dialled += MAX_ATTEMPTS - LIKELIEST
        return likeliest + (others[turn:] + others[:turn])[: MAX_ATTEMPTS - LIKELIEST]

    def _to_dial(self) -> list[str]:
        """Without names that are nobody's key: anyone can invite one to a room."""
        names = [] if self._prefers is None else [self._prefers]
        names += [name for name in self._contacts.to_dial() if name not in names]
        secrets = self._contacts.secrets
        return [name for name in islice(names, MAX_CANDIDATES) if secrets.of(name) is not None]

    def _say_first(self) -> None:
        self._left_to_say -= 1
        for initiator in self._attempts.initiators:
            for message in initiator.first_messages:
                self._say(message)

    def _say(self, message: HandshakeMessage) -> None:
        self._frames.extend(self._framed(message.kind, message.data))

    def _framed(self, kind: HandshakeKind, data: bytes) -> list[bytes]:
        return handshake_frames(
            kind,
            data[-1],  # as good as random, and the same when it is repeated
            data,
            mtu_bytes=self._info.mtu_bytes,
            crc=not self._info.checked,
        )

    def _grow_interval(self) -> None:
        self._interval_s = min(self._interval_s * INTERVAL_GROWTH, self._most_s())

    def _plan(self, now: float) -> None:
        jitter = 1 + int.from_bytes(self._entropy(1), "big") / 512  # two that dial at once part
        saying_s = self._airtime_s(sum(map(len, self._frames)))
        self._again_at = now + saying_s + self._interval_s * jitter

    def _airtime_s(self, size_bytes: int) -> float:
        return 8 * size_bytes / self._info.bitrate_bps if self._info.bitrate_bps else 0.0

    def _least_interval_s(self) -> float:
        answer = self._framed(HandshakeKind.KK_SECOND, bytes(_SECOND_BYTES))
        answer_s = self._airtime_s(sum(map(len, answer)))
        return FIRST_INTERVAL_S + 2 * (answer_s + self._info.turnaround_s)

    def _most_s(self) -> float:
        most = MAX_RELIABLE_INTERVAL_S if self._info.reliable else MAX_INTERVAL_S
        return max(most, self._least_interval_s())
