"""The Noise Protocol Framework, revision 34: 25519_ChaChaPoly with a hash of the standard library.

Handshake patterns KK, IK and XX, each with pre-shared keys (pskN), from libsodium's primitives. It
knows no names, numbers, framing or retries; dtnode.session.key_exchange is what calls it.

Erasure: chaining keys, cipher keys and ephemeral private keys are kept in bytearrays that wipe()
overwrites, and a handshake wipes itself when it is split or fails. That is all Python allows:
libsodium's bindings and hmac take or make immutable copies, which live until the interpreter reuses
their memory, and nothing here keeps pages out of swap or core dumps.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final, Protocol

from nacl import bindings
from nacl.exceptions import CryptoError

from dtnode.errors import DecodeError, HandshakeError, LocalProtocolError, RemoteProtocolError
from dtnode.signer import Entropy, x25519

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16

MAX_MESSAGE_BYTES: Final = 65_535
"""Of a Noise message (section 3)."""

MAX_NONCE: Final = 2**64 - 1
"""Reserved by section 5.1; a key is not used as far as that."""

_PATTERNS: Final = {
    # name: (initiator's and responder's static keys known before, tokens of each message)
    "KK": (True, True, (("e", "es", "ss"), ("e", "ee", "se"))),
    "IK": (False, True, (("e", "es", "s", "ss"), ("e", "ee", "se"))),
    "XX": (False, False, (("e",), ("e", "ee", "s", "es"), ("s", "se"))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A handshake pattern: `name` as in a protocol name (KK, XXpsk3), tokens of each message."""

    name: str
    initiator_known: bool
    responder_known: bool
    messages: tuple[tuple[str, ...], ...]

    @property
    def has_psk(self) -> bool:
        return any("psk" in tokens for tokens in self.messages)


def pattern(name: str) -> Pattern:
    """KK, IK or XX, with any `pskN` modifiers joined by `+` (section 9.4). Else ValueError."""
    base, modifiers = name[:2], name[2:]
    if base not in _PATTERNS:
        raise ValueError(f"pattern {name} is not one of {', '.join(_PATTERNS)}")
    initiator_known, responder_known, tokens = _PATTERNS[base]
    messages = list(tokens)
    for modifier in modifiers.split("+") if modifiers else ():
        number = modifier.removeprefix("psk")
        if number == modifier or not number.isdecimal() or int(number) > len(messages):
            raise ValueError(f"{modifier} is no modifier of pattern {base}")
        place = int(number)
        if place == 0:
            messages[0] = ("psk", *messages[0])
        else:
            messages[place - 1] = (*messages[place - 1], "psk")
    return Pattern(
        name=name,
        initiator_known=initiator_known,
        responder_known=responder_known,
        messages=tuple(messages),
    )


class KeyPair(Protocol):
    """A private key as Noise sees it: a Signer's, or an ephemeral one."""

    @property
    def public_key(self) -> bytes: ...

    def exchange(self, public_key: bytes, /) -> bytes:
        """DH(); ValueError: low order."""
        ...


class EphemeralKey:
    """A KeyPair over 32 fresh random bytes, which wipe() overwrites."""

    __slots__ = ("_private", "public_key")

    def __init__(self, private_key: bytes) -> None:
        self._private = bytearray(private_key)
        self.public_key = bindings.crypto_scalarmult_base(private_key)

    def exchange(self, public_key: bytes, /) -> bytes:
        return x25519(bytes(self._private), public_key)

    def copy(self) -> EphemeralKey:
        twin = EphemeralKey.__new__(EphemeralKey)
        twin._private = bytearray(self._private)
        twin.public_key = self.public_key
        return twin

    def wipe(self) -> None:
        wipe(self._private)


def wipe(secret: bytearray) -> None:
    """Overwrite `secret` with zeros; its length stays."""
    secret[:] = bytes(len(secret))


class CipherState:
    """ChaCha20-Poly1305 under one key, with its nonce counter (section 5.1)."""

    __slots__ = ("_key", "_nonce")

    def __init__(self, key: bytes | bytearray, nonce: int = 0) -> None:
        self._key = bytearray(key)
        self._nonce = nonce

    def encrypt(self, associated_data: bytes, plaintext: bytes) -> bytes:
        return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
            plaintext, associated_data, self._next_nonce(), bytes(self._key)
        )

    def decrypt(self, associated_data: bytes, ciphertext: bytes) -> bytes:
        """HandshakeError: the tag is wrong."""
        if len(ciphertext) < TAG_BYTES:
            raise DecodeError(f"{len(ciphertext)} bytes are too short for a tag")
        try:
            return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
                ciphertext, associated_data, self._next_nonce(), bytes(self._key)
            )
        except CryptoError:
            raise HandshakeError("a handshake message was not made with the same keys") from None

    def copy(self) -> CipherState:
        return CipherState(self._key, self._nonce)

    def wipe(self) -> None:
        wipe(self._key)

    def _next_nonce(self) -> bytes:
        if self._nonce >= MAX_NONCE:
            raise LocalProtocolError("a cipher key's nonces are used up")
        self._nonce += 1
        return bytes(4) + (self._nonce - 1).to_bytes(8, "little")


class SymmetricState:
    """The chaining key, the handshake hash and the cipher between them (section 5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "_hash", "handshake_hash")

    def __init__(self, protocol_name: bytes, hash_name: str) -> None:
        self._hash = hash_name
        size = hashlib.new(hash_name).digest_size
        if len(protocol_name) <= size:
            self.handshake_hash = protocol_name.ljust(size, b"\0")
        else:
            self.handshake_hash = hashlib.new(hash_name, protocol_name).digest()
        self._chaining_key = bytearray(self.handshake_hash)
        self._cipher: CipherState | None = None

    @property
    def has_key(self) -> bool:
        return self._cipher is not None

    def mix_hash(self, data: bytes) -> None:
        self.handshake_hash = hashlib.new(self._hash, self.handshake_hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        chaining_key, key = self._hkdf(secret, 2)
        self._change_keys(chaining_key, key)

    def mix_key_and_hash(self, secret: bytes) -> None:
        chaining_key, hashed, key = self._hkdf(secret, 3)
        self.mix_hash(hashed)
        self._change_keys(chaining_key, key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        if self._cipher is None:
            self.mix_hash(plaintext)
            return plaintext
        ciphertext = self._cipher.encrypt(self.handshake_hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        if self._cipher is None:
            self.mix_hash(ciphertext)
            return ciphertext
        plaintext = self._cipher.decrypt(self.handshake_hash, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        first, second = self._hkdf(b"", 2)
        return first[:KEY_BYTES], second[:KEY_BYTES]

    def export(self, label: bytes) -> bytes:
        """32 bytes that only both ends know, bound to all they said. `label` isn't empty: split()
        has taken that."""
        assert label
        return self._hkdf(label + self.handshake_hash, 1)[0][:KEY_BYTES]

    def copy(self) -> SymmetricState:
        twin = SymmetricState.__new__(SymmetricState)
        twin._hash = self._hash
        twin.handshake_hash = self.handshake_hash
        twin._chaining_key = bytearray(self._chaining_key)
        twin._cipher = None if self._cipher is None else self._cipher.copy()
        return twin

    def wipe(self) -> None:
        wipe(self._chaining_key)
        if self._cipher is not None:
            self._cipher.wipe()

    def _change_keys(self, chaining_key: bytes, key: bytes) -> None:
        self.wipe()
        self._chaining_key = bytearray(chaining_key)
        self._cipher = CipherState(key[:KEY_BYTES])

    def _hkdf(self, secret: bytes, count: int) -> list[bytes]:
        """Section 4.3: `count` outputs of the hash's length."""
        temporary = hmac.digest(self._chaining_key, secret, self._hash)
        outputs = [b""]
        for number in range(1, count + 1):
            outputs.append(hmac.digest(temporary, outputs[-1] + bytes([number]), self._hash))
        return outputs[1:]


class HandshakeState:
    """One end of one handshake (section 5.3).

    static: this end's long-term key, asked for DH only. entropy: gives the ephemeral key.
    remote_static: the other end's key, where the pattern has it known before. psk: 32 bytes, where
    the pattern has one. Messages alternate from the initiator's; `finished` after the last of them.
    A failed read wipes the state, so whoever may have to try again reads with a copy().
    """

    def __init__(
        self,
        pattern: Pattern,
        *,
        initiator: bool,
        prologue: bytes,
        static: KeyPair,
        entropy: Entropy,
        remote_static: bytes | None = None,
        psk: bytes | None = None,
        hash_name: str = "blake2b",
    ) -> None:
        known = pattern.responder_known if initiator else pattern.initiator_known
        if known != (remote_static is not None) or pattern.has_psk != (psk is not None):
            raise LocalProtocolError(f"pattern {pattern.name} was given too many or too few keys")
        self._pattern = pattern
        self._initiator = initiator
        self._static = static
        self._entropy = entropy
        self._psk = psk
        self._ephemeral: EphemeralKey | None = None
        self._remote_ephemeral: bytes | None = None
        self.remote_static = remote_static
        self._next = 0
        self._broken = False
        name = f"Noise_{pattern.name}_25519_ChaChaPoly_{_HASH_NAMES[hash_name]}"
        self._symmetric = SymmetricState(name.encode(), hash_name)
        self._symmetric.mix_hash(prologue)
        own_known = pattern.initiator_known if initiator else pattern.responder_known
        own = static.public_key if own_known else None
        for key in (own, remote_static) if initiator else (remote_static, own):
            if key is not None:
                self._symmetric.mix_hash(key)

    @property
    def finished(self) -> bool:
        return self._next == len(self._pattern.messages)

    @property
    def handshake_hash(self) -> bytes:
        return self._symmetric.handshake_hash

    def write_message(self, payload: bytes) -> bytes:
        """The next message. HandshakeError: the other end's key is a point of low order."""
        symmetric = self._symmetric
        parts: list[bytes] = []
        for token in self._take_turn(writing=True):
            if token == "e":
                self._ephemeral = EphemeralKey(self._entropy(KEY_BYTES))
                parts.append(self._ephemeral.public_key)
                self._mix_ephemeral(self._ephemeral.public_key)
            elif token == "s":
                parts.append(symmetric.encrypt_and_hash(self._static.public_key))
            else:
                self._mix(token)
        parts.append(symmetric.encrypt_and_hash(payload))
        return b"".join(parts)

    def read_message(self, message: bytes) -> bytes:
        """The payload of the other end's next message. DecodeError: it is too short or too long;
        HandshakeError: not made for these keys and this prologue. The state is wiped then."""
        tokens = self._take_turn(writing=False)
        try:
            return self._read(tokens, message)
        except RemoteProtocolError:
            self.wipe()
            raise

    def split(self) -> tuple[bytes, bytes]:
        """Transport keys, 32 bytes each: initiator to responder, responder to initiator."""
        if not self.finished:
            raise LocalProtocolError("the handshake is not finished")
        return self._symmetric.split()

    def export(self, label: bytes) -> bytes:
        """32 further secret bytes for the use `label` names; before the handshake is wiped."""
        if not self.finished:
            raise LocalProtocolError("the handshake is not finished")
        return self._symmetric.export(label)

    def copy(self) -> HandshakeState:
        twin = HandshakeState.__new__(HandshakeState)
        twin.__dict__.update(self.__dict__)
        twin._symmetric = self._symmetric.copy()
        twin._ephemeral = None if self._ephemeral is None else self._ephemeral.copy()
        return twin

    def wipe(self) -> None:
        """Overwrite the secrets; nothing can be read, written or split afterwards."""
        self._broken = True
        self._next = -1
        self._symmetric.wipe()
        if self._ephemeral is not None:
            self._ephemeral.wipe()

    def _take_turn(self, *, writing: bool) -> tuple[str, ...]:
        if self._broken or self.finished:
            raise LocalProtocolError("the handshake is over")
        if writing != ((self._next % 2 == 0) == self._initiator):
            raise LocalProtocolError("it is the other end's turn in the handshake")
        self._next += 1
        return self._pattern.messages[self._next - 1]

    def _read(self, tokens: tuple[str, ...], message: bytes) -> bytes:
        if len(message) > MAX_MESSAGE_BYTES:
            raise DecodeError(f"handshake message has {len(message)} bytes")
        symmetric = self._symmetric
        rest = message
        for token in tokens:
            if token == "e":
                self._remote_ephemeral, rest = _cut(rest, KEY_BYTES)
                self._mix_ephemeral(self._remote_ephemeral)
            elif token == "s":
                sealed, rest = _cut(rest, KEY_BYTES + (TAG_BYTES if symmetric.has_key else 0))
                self.remote_static = symmetric.decrypt_and_hash(sealed)
            else:
                self._mix(token)
        return symmetric.decrypt_and_hash(rest)

    def _mix_ephemeral(self, public_key: bytes) -> None:
        self._symmetric.mix_hash(public_key)
        if self._pattern.has_psk:
            self._symmetric.mix_key(public_key)

    def _mix(self, token: str) -> None:
        """The token psk, or ee, es, se, ss: the initiator's key first."""
        if token == "psk":
            assert self._psk is not None
            self._symmetric.mix_key_and_hash(self._psk)
            return
        own, remote = (token[0], token[1]) if self._initiator else (token[1], token[0])
        key = self._ephemeral if own == "e" else self._static
        remote_key = self._remote_ephemeral if remote == "e" else self.remote_static
        assert key is not None
        assert remote_key is not None
        try:
            secret = key.exchange(remote_key)
        except ValueError as error:
            raise HandshakeError(str(error)) from None
        # libsodium refuses it as well; a KeyPair need not be libsodium's.
        if not any(secret):
            raise HandshakeError("the shared secret is zero")
        self._symmetric.mix_key(secret)


_HASH_NAMES: Final = {
    "blake2b": "BLAKE2b",
    "blake2s": "BLAKE2s",
    "sha256": "SHA256",
    "sha512": "SHA512",
}


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise DecodeError(f"handshake message ends {size - len(data)} bytes before a key does")
    return data[:size], data[size:]
