"""Two nodes meet for the first time over a shared secret: Noise XXpsk3, and a confirmation.

    initiator                                   responder
      first    48                  ->
                                   <-           second   96 + name
      third    64 + name           ->
                                   <-           fourth   16

The secret has 32 bytes of full strength (from a QR code, or what a password-authenticated exchange
made of a spoken code), never a code that a person types: who answers an initiator without knowing
the secret holds a tag that it can test guesses against at leisure. Names travel encrypted, though
not to the right reader only: a responder says its name to whoever comes while it is pairing.
Each end proves the secret to the other: the initiator by the third message, the responder by the
fourth. How long and how often this is tried is the caller's business; it ends with any error.
"""

from __future__ import annotations

import enum
from hmac import compare_digest
from typing import Final

from dtnode.errors import DecodeError, HandshakeError, LocalProtocolError
from dtnode.session.key_exchange import Established
from dtnode.session.noise import HandshakeState, pattern
from dtnode.session.opening import (
    MAX_HANDSHAKE_BYTES,
    HandshakeKind,
    HandshakeMessage,
    NotOpenedError,
    clock_of,
    exchange_key_of_name,
    pack_pairing,
    prologue,
    unpack_pairing,
)
from dtnode.session.peer_secrets import KnownKey, PeerSecrets
from dtnode.signer import Entropy

SECRET_BYTES: Final = 32
CONFIRMATION_BYTES: Final = 16

_XXPSK3: Final = pattern("XXpsk3")


class _Step(enum.Enum):
    AWAIT_FIRST = HandshakeKind.PAIRING_FIRST
    AWAIT_SECOND = HandshakeKind.PAIRING_SECOND
    AWAIT_THIRD = HandshakeKind.PAIRING_THIRD
    AWAIT_FOURTH = HandshakeKind.PAIRING_FOURTH
    OVER = None


class _End:
    """What both ends have in common. After an error the handshake is over and its keys are gone."""

    def __init__(self, secrets: PeerSecrets, entropy: Entropy, psk: bytes, step: _Step) -> None:
        if len(psk) != SECRET_BYTES:
            raise LocalProtocolError(f"a pairing secret has {SECRET_BYTES} bytes, not {len(psk)}")
        self._secrets = secrets
        self._step = step
        self._state = HandshakeState(
            _XXPSK3,
            initiator=step is _Step.AWAIT_SECOND,
            prologue=prologue(),
            static=KnownKey(secrets, {}),
            entropy=entropy,
            psk=psk,
        )

    def erase(self) -> None:
        """Give up; nothing is received any more."""
        self._step = _Step.OVER
        self._state.wipe()

    def _check_turn(self, message: HandshakeMessage) -> None:
        """A message out of turn changes nothing: a link may repeat and delay."""
        if message.kind is not self._step.value:
            raise NotOpenedError(f"{message.kind.name} is not what this pairing waits for")

    def _write(self, kind: HandshakeKind, now_ms: int) -> HandshakeMessage:
        payload = pack_pairing(self._secrets.own_name, clock_of(now_ms))
        return HandshakeMessage(kind=kind, data=self._state.write_message(payload))

    def _read_name(self, message: HandshakeMessage) -> tuple[str, int]:
        """The peer's name, which is the key it has shown, and its clock."""
        if len(message.data) > MAX_HANDSHAKE_BYTES:
            raise DecodeError(f"pairing message has {len(message.data)} bytes")
        name, clock_s = unpack_pairing(self._state.read_message(message.data))
        key = exchange_key_of_name(name)
        if key is None or key != self._state.remote_static:
            raise HandshakeError("the peer's name is not the key that it has shown")
        if key == self._secrets.public_key:
            raise HandshakeError("this node has met itself: pair it with another one")
        return name, clock_s

    def _established(self, name: str, clock_s: int, now_ms: int, *, initiator: bool) -> Established:
        there, back = self._state.split()
        return Established(
            peer=name,
            initiator=initiator,
            number=0,
            send_key=there if initiator else back,
            receive_key=back if initiator else there,
            exporter=self._state.export(b"dtnode exporter"),
            clock_offset_s=clock_s - clock_of(now_ms),
            application=b"",
        )

    def _confirmation(self) -> HandshakeMessage:
        data = self._state.export(b"dtnode pairing confirmation")[:CONFIRMATION_BYTES]
        return HandshakeMessage(kind=HandshakeKind.PAIRING_FOURTH, data=data)


class PairingInitiator(_End):
    """The end that read the other's secret. psk: 32 bytes. LocalProtocolError: another length."""

    def __init__(self, *, secrets: PeerSecrets, entropy: Entropy, psk: bytes) -> None:
        super().__init__(secrets, entropy, psk, _Step.AWAIT_SECOND)
        data = self._state.write_message(b"")
        self.first_message = HandshakeMessage(kind=HandshakeKind.PAIRING_FIRST, data=data)
        self._pending: Established | None = None
        self._expected: HandshakeMessage | None = None

    def receive(self, message: HandshakeMessage, now_ms: int) -> HandshakeMessage | Established:
        """The third message for the second, the session for the fourth.

        NotOpenedError: out of turn, nothing was changed. DecodeError, HandshakeError: the other end
        is not the one that showed the secret, or damaged; the pairing is over.
        """
        self._check_turn(message)
        try:
            if self._pending is None:
                return self._on_second(message, now_ms)
            return self._on_fourth(message, self._pending)
        except (DecodeError, HandshakeError):
            self.erase()
            raise

    def _on_second(self, message: HandshakeMessage, now_ms: int) -> HandshakeMessage:
        name, clock_s = self._read_name(message)
        third = self._write(HandshakeKind.PAIRING_THIRD, now_ms)
        self._pending = self._established(name, clock_s, now_ms, initiator=True)
        self._expected = self._confirmation()
        self._step = _Step.AWAIT_FOURTH
        return third

    def _on_fourth(self, message: HandshakeMessage, pending: Established) -> Established:
        assert self._expected is not None
        if not compare_digest(message.data, self._expected.data):
            raise HandshakeError("the other end doesn't know the pairing secret: start again")
        self.erase()
        return pending

    def erase(self) -> None:
        super().erase()
        self._pending = self._expected = None


class PairingResponder(_End):
    """The end that showed the secret. psk: 32 bytes. LocalProtocolError: another length."""

    def __init__(self, *, secrets: PeerSecrets, entropy: Entropy, psk: bytes) -> None:
        super().__init__(secrets, entropy, psk, _Step.AWAIT_FIRST)
        self.established: Established | None = None

    def receive(self, message: HandshakeMessage, now_ms: int) -> HandshakeMessage:
        """The second message for the first, the fourth for the third; then `established` is set.

        NotOpenedError: out of turn, nothing was changed. DecodeError, HandshakeError: the other end
        doesn't know the secret, or is damaged; the pairing is over.
        """
        self._check_turn(message)
        try:
            if self._step is _Step.AWAIT_FIRST:
                return self._on_first(message, now_ms)
            return self._on_third(message, now_ms)
        except (DecodeError, HandshakeError):
            self.erase()
            raise

    def _on_first(self, message: HandshakeMessage, now_ms: int) -> HandshakeMessage:
        if self._state.read_message(message.data):
            raise DecodeError("the first pairing message carries more than a key")
        second = self._write(HandshakeKind.PAIRING_SECOND, now_ms)
        self._step = _Step.AWAIT_THIRD
        return second

    def _on_third(self, message: HandshakeMessage, now_ms: int) -> HandshakeMessage:
        name, clock_s = self._read_name(message)
        self.established = self._established(name, clock_s, now_ms, initiator=False)
        fourth = self._confirmation()
        self.erase()
        return fourth
