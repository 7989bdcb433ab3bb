"""How two nodes find and prove each other, and agree on keys: Noise KK, or IK with strangers.

    initiator                                   responder
      first   32 + 16 + 11 bytes  ->
                                  <-            second  32 + 16 + 5 bytes

Both full server names are in the prologue, so nothing on the air names anybody, and keys that are
alike under two names (Ed25519's sign is lost in X25519) don't pass for each other. A responder
finds the initiator by trial over the names it knows; to a message that none of them opens it says
nothing. With IK the initiator's name travels inside, for responders that talk to strangers.

Every first message has a number, strictly increasing and on disk at both ends before it is used.
One that isn't above the highest taken is a replay, or comes from a node restored from a backup: it
is told the highest, at most once in an interval, under keys that only the true peer has; no session
comes of it.

Not here: framing, timers, disks (LinkSession and its callers). A session that the responder agreed
to is *unconfirmed*: the first message may have been a late replay. The old one stays until a frame
under the new keys has been opened, and then Responder.confirm() is called.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

from dtnode.errors import DecodeError, HandshakeError, LocalProtocolError
from dtnode.matrix.server_names import key_from_server_name, server_name_from_key
from dtnode.session.noise import KEY_BYTES, HandshakeState, pattern
from dtnode.session.opening import (
    MAX_HANDSHAKE_BYTES,
    MAX_NUMBER,
    FirstPayload,
    HandshakeKind,
    HandshakeMessage,
    NotOpenedError,
    SecondPayload,
    clock_of,
    pack_first,
    pack_second,
    prologue,
    signing_key_of,
    unpack_first,
    unpack_second,
)
from dtnode.session.peer_secrets import MAX_CANDIDATES, KnownKey, PeerSecret, PeerSecrets
from dtnode.signer import Entropy

MAX_ATTEMPTS: Final = 8
"""Peers that one dialler tries at once: each costs a first message on the air."""

MAX_ANSWERED: Final = 16
"""Unconfirmed first messages whose answers are kept for repetition: a link has one peer, a shared
channel a few that dial at once."""

MAX_REPEATS: Final = 16
"""Times an answer is repeated: more often than a dialler repeats its first message."""

_KK: Final = pattern("KK")
_IK: Final = pattern("IK")
_MIN_FIRST_BYTES: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Established:
    """A session: what both ends know now and nobody else.

    peer: full server name. number: of the handshake. send_key, receive_key: 32 bytes each, for
    dtnode.session.sealing. exporter: 32 bytes, the same at both ends. clock_offset_s: how far the
    peer's clock was ahead of this one's, plus the message's way. application: what the peer added.
    """

    peer: str
    initiator: bool
    number: int
    send_key: bytes = field(repr=False)
    receive_key: bytes = field(repr=False)
    exporter: bytes = field(repr=False)
    clock_offset_s: int
    application: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """`peer` has taken number `highest` before: store it, and dial with next_number() of it."""

    peer: str
    highest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`message` goes to `peer`. established: the unconfirmed session, None where there is none
    (the first message was stale) or it was given out before (`message` repeats its answer)."""

    peer: str
    message: HandshakeMessage
    established: Established | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Dial `peer` under `number` (next_number(), on disk already), with application bytes.

    These are encrypted and prove their author, but whoever steals the peer's key later can read
    them, and the peer may see them twice: digests go there, events rather not.
    """

    peer: str
    number: int
    application: bytes = b""


class Dialling(Protocol):
    """A node's own attempts on a link: an Initiator, or several."""

    @property
    def pending(self) -> frozenset[str]: ...

    def withdraw(self, peer: str) -> None: ...


class Initiator:
    """The dialling end: a first message for each of up to MAX_ATTEMPTS peers, one of which answers.

    introduce: IK, for listeners that may not know this node; else KK. clear: frames on this link
    are not encrypted; both ends must think so. LocalProtocolError: no peer, too many, one that is
    no key or this node itself, or too many application bytes.
    """

    def __init__(
        self,
        *,
        secrets: PeerSecrets,
        entropy: Entropy,
        attempts: Sequence[Attempt],
        now_ms: int,
        introduce: bool = False,
        clear: bool = False,
    ) -> None:
        if not 1 <= len(attempts) <= MAX_ATTEMPTS:
            raise LocalProtocolError(f"{len(attempts)} peers can't be dialled at once")
        self._secrets = secrets
        self._entropy = entropy
        self._introduce = introduce
        self._clear = clear
        self._pending: dict[str, tuple[Attempt, HandshakeState]] = {}
        kind = HandshakeKind.IK_FIRST if introduce else HandshakeKind.KK_FIRST
        self._firsts = {
            attempt.peer: HandshakeMessage(kind=kind, data=self._dial(attempt, now_ms))
            for attempt in attempts
        }
        self.failed_openings = 0

    @property
    def pending(self) -> frozenset[str]:
        """Peers that may still answer."""
        return frozenset(self._pending)

    @property
    def first_messages(self) -> list[HandshakeMessage]:
        """To be sent, and repeated unchanged while nothing comes back."""
        return [self._firsts[peer] for peer in self._pending]

    def receive(self, message: HandshakeMessage, now_ms: int) -> Established | Stale:
        """What the answer means. Established ends all other attempts, Stale this one.

        NotOpenedError: nothing was changed. DecodeError, HandshakeError: the peer itself is at
        fault; its attempt is over.
        """
        expected = HandshakeKind.IK_SECOND if self._introduce else HandshakeKind.KK_SECOND
        if message.kind is expected:
            for peer, (attempt, state) in list(self._pending.items()):
                trial = state.copy()
                try:
                    data = trial.read_message(message.data)
                except (DecodeError, HandshakeError):
                    continue
                self.withdraw(peer)
                return self._conclude(attempt, trial, data, now_ms)
        self.failed_openings += 1
        raise NotOpenedError("nobody who was dialled made this answer")

    def withdraw(self, peer: str) -> None:
        """Forget the attempt to reach `peer`, if there is one."""
        if peer in self._pending:
            self._pending.pop(peer)[1].wipe()

    def erase(self) -> None:
        """Forget all attempts."""
        for peer in list(self._pending):
            self.withdraw(peer)

    def _dial(self, attempt: Attempt, now_ms: int) -> bytes:
        secret = self._secrets.of(attempt.peer)
        if secret is None or attempt.peer in self._pending:
            raise LocalProtocolError(
                f"{attempt.peer} can't be dialled: not a peer's name, or twice"
            )
        if not 0 < attempt.number <= MAX_NUMBER:
            raise LocalProtocolError(f"handshake number {attempt.number} is out of range")
        own_name = self._secrets.own_name
        state = HandshakeState(
            _IK if self._introduce else _KK,
            initiator=True,
            prologue=_prologue(own_name, attempt.peer, introduce=self._introduce),
            static=KnownKey(self._secrets, {secret.public_key: secret.shared}),
            entropy=self._entropy,
            remote_static=secret.public_key,
        )
        payload = FirstPayload(
            number=attempt.number,
            clock_s=clock_of(now_ms),
            application=attempt.application,
            negative=self._introduce and self._secrets.own_signing_key[-1] >= 0x80,
            domain=own_name.partition(".")[2] if self._introduce else None,
            clear=self._clear,
        )
        self._pending[attempt.peer] = (attempt, state)
        return _sendable(state.write_message(pack_first(payload, introduce=self._introduce)))

    def _conclude(
        self, attempt: Attempt, state: HandshakeState, data: bytes, now_ms: int
    ) -> Established | Stale:
        try:
            payload = unpack_second(data)
            if payload.stale is None:
                established = _established(
                    state, attempt.peer, attempt.number, payload, now_ms, initiator=True
                )
                self.erase()
                return established
        finally:
            state.wipe()
        if not attempt.number <= payload.stale < MAX_NUMBER:
            raise HandshakeError(
                f"{attempt.peer} refuses handshake {attempt.number} for number {payload.stale}"
            )
        return Stale(peer=attempt.peer, highest=payload.stale)


class Responder:
    """The answering end of one link, or of all: first messages in, answers out.

    candidates(): names of peers, the most likely first; MAX_CANDIDATES of them are tried.
    highest_accepted(name): the highest handshake number taken from it, 0 if none. accept(name,
    number): takes it; the caller sends the answer only when that is on disk.
    reply(name, application): application bytes for the answer, given those of the first message.
    stranger(name): may a server that is no candidate talk to this node; without it IK is ignored.
    stale_interval_s: between two answers to stale first messages of one name; stale_answers: when
    they were given, where several Responders are one node's. clear: see Initiator.
    """

    def __init__(
        self,
        *,
        secrets: PeerSecrets,
        entropy: Entropy,
        candidates: Callable[[], Sequence[str]],
        highest_accepted: Callable[[str], int],
        accept: Callable[[str, int], None],
        stale_interval_s: float,
        stale_answers: OrderedDict[str, float] | None = None,
        reply: Callable[[str, bytes], bytes] | None = None,
        stranger: Callable[[str], bool] | None = None,
        clear: bool = False,
    ) -> None:
        self._secrets = secrets
        self._entropy = entropy
        self._candidates = candidates
        self._highest_accepted = highest_accepted
        self._accept = accept
        self._reply = reply
        self._stranger = stranger
        self._clear = clear
        self._stale_interval_s = stale_interval_s
        self._stale_answers = OrderedDict() if stale_answers is None else stale_answers
        self._answered: OrderedDict[HandshakeMessage, tuple[Answer, int]] = OrderedDict()
        self.failed_trials = 0

    def receive(
        self,
        message: HandshakeMessage,
        *,
        now: float,
        now_ms: int,
        dialling: Dialling | None = None,
    ) -> Answer | None:
        """The answer to a first message; None: an authentic one that gets none.

        now: monotonic seconds. dialling: this node's own attempts on the same link. If both dial
        each other, the lower name stays the initiator and the other one's attempt is withdrawn.
        NotOpenedError: nobody known made it (counted in failed_trials, which the caller bounds per
        link); DecodeError, HandshakeError: a known peer did, and it is faulty.
        """
        if message in self._answered:
            return self._repeat(message)
        peer, state, data = self._open(message)
        payload = unpack_first(data, introduce=message.kind is HandshakeKind.IK_FIRST)
        try:
            if payload.clear != self._clear:
                here, there = ("clear", "sealed") if self._clear else ("sealed", "clear")
                raise HandshakeError(
                    f"this link is {here} at this end and {there} at that of {peer}: give both the"
                    " same --cipher"
                )
            highest = self._highest_accepted(peer)
            if payload.number <= highest:
                return self._answer_stale(message, peer, state, highest, now, now_ms)
            if dialling is not None and peer in dialling.pending:
                if self._secrets.own_name < peer:
                    return None
                dialling.withdraw(peer)
            return self._answer(message, peer, state, payload, now_ms)
        finally:
            state.wipe()

    def confirm(self, peer: str) -> None:
        """A frame under the new keys was opened: its first message is not answered again."""
        for message, (answer, _) in list(self._answered.items()):
            if answer.peer == peer:
                del self._answered[message]

    def _open(self, message: HandshakeMessage) -> tuple[str, HandshakeState, bytes]:
        opened = None
        if _MIN_FIRST_BYTES <= len(message.data) <= MAX_HANDSHAKE_BYTES:
            if message.kind is HandshakeKind.KK_FIRST:
                opened = self._try_candidates(message.data)
            elif message.kind is HandshakeKind.IK_FIRST and self._stranger is not None:
                opened = self._meet(message.data, self._stranger)
        if opened is None:
            self.failed_trials += 1
            raise NotOpenedError("nobody this node knows made this first message")
        return opened

    def _try_candidates(self, data: bytes) -> tuple[str, HandshakeState, bytes] | None:
        ephemeral = data[:KEY_BYTES]
        try:
            shared = self._secrets.exchange(ephemeral)
        except ValueError:
            return None
        for peer, secret in self._trials():
            state = HandshakeState(
                _KK,
                initiator=False,
                prologue=_prologue(peer, self._secrets.own_name, introduce=False),
                static=KnownKey(
                    self._secrets, {ephemeral: shared, secret.public_key: secret.shared}
                ),
                entropy=self._entropy,
                remote_static=secret.public_key,
            )
            try:
                return peer, state, state.read_message(data)
            except (DecodeError, HandshakeError):
                continue
        return None

    def _trials(self) -> Iterator[tuple[str, PeerSecret]]:
        for peer in islice(self._candidates(), MAX_CANDIDATES):
            secret = self._secrets.of(peer)
            if secret is not None:
                yield peer, secret

    def _meet(
        self, data: bytes, stranger: Callable[[str], bool]
    ) -> tuple[str, HandshakeState, bytes] | None:
        """IK: the initiator says who it is."""
        state = HandshakeState(
            _IK,
            initiator=False,
            prologue=_prologue("", self._secrets.own_name, introduce=True),
            static=KnownKey(self._secrets, {}),
            entropy=self._entropy,
        )
        try:
            payload = state.read_message(data)
            first = unpack_first(payload, introduce=True)
        except (DecodeError, HandshakeError):
            return None
        assert state.remote_static is not None
        key = signing_key_of(state.remote_static, negative=first.negative)
        if key is None or state.remote_static == self._secrets.public_key:
            return None
        name = server_name_from_key(key) + (f".{first.domain}" if first.domain else "")
        if key_from_server_name(name) != key or not stranger(name):
            return None
        return name, state, payload

    def _answer(
        self,
        message: HandshakeMessage,
        peer: str,
        state: HandshakeState,
        payload: FirstPayload,
        now_ms: int,
    ) -> Answer:
        self.confirm(peer)  # earlier answers to it are for sessions that this one replaces
        self._accept(peer, payload.number)
        reply = b"" if self._reply is None else self._reply(peer, payload.application)
        second = SecondPayload(clock_s=clock_of(now_ms), application=reply)
        answer = Answer(
            peer=peer,
            message=_second(message, state, second),
            established=_established(state, peer, payload.number, payload, now_ms, initiator=False),
        )
        repeat = Answer(peer=peer, message=answer.message, established=None)
        self._answered[message] = (repeat, MAX_REPEATS)
        if len(self._answered) > MAX_ANSWERED:
            self._answered.popitem(last=False)
        return answer

    def _answer_stale(
        self,
        message: HandshakeMessage,
        peer: str,
        state: HandshakeState,
        highest: int,
        now: float,
        now_ms: int,
    ) -> Answer | None:
        last = self._stale_answers.get(peer)
        if last is not None and now < last + self._stale_interval_s:
            return None
        self._stale_answers[peer] = now
        self._stale_answers.move_to_end(peer)
        if len(self._stale_answers) > MAX_CANDIDATES:
            self._stale_answers.popitem(last=False)
        second = SecondPayload(clock_s=clock_of(now_ms), stale=highest)
        return Answer(peer=peer, message=_second(message, state, second), established=None)

    def _repeat(self, message: HandshakeMessage) -> Answer | None:
        answer, left = self._answered[message]
        if left == 0:
            return None
        self._answered[message] = (answer, left - 1)
        return answer


def _prologue(initiator: str, responder: str, *, introduce: bool) -> bytes:
    return prologue(responder) if introduce else prologue(initiator, responder)


def _second(
    first: HandshakeMessage, state: HandshakeState, payload: SecondPayload
) -> HandshakeMessage:
    kinds = {
        HandshakeKind.KK_FIRST: HandshakeKind.KK_SECOND,
        HandshakeKind.IK_FIRST: HandshakeKind.IK_SECOND,
    }
    data = _sendable(state.write_message(pack_second(payload)))
    return HandshakeMessage(kind=kinds[first.kind], data=data)


def _sendable(data: bytes) -> bytes:
    if len(data) > MAX_HANDSHAKE_BYTES:
        raise LocalProtocolError(
            f"a handshake message has {len(data)} bytes, at most {MAX_HANDSHAKE_BYTES} can be sent:"
            " give it fewer application bytes"
        )
    return data


def _established(
    state: HandshakeState,
    peer: str,
    number: int,
    payload: FirstPayload | SecondPayload,
    now_ms: int,
    *,
    initiator: bool,
) -> Established:
    there, back = state.split()
    return Established(
        peer=peer,
        initiator=initiator,
        number=number,
        send_key=there if initiator else back,
        receive_key=back if initiator else there,
        exporter=state.export(b"dtnode exporter"),
        clock_offset_s=payload.clock_s - clock_of(now_ms),
        application=payload.application,
    )
