"""The node's Ed25519 identity as a seam (DESIGN section 1). Floor 0.

Signatures are libsodium's (PyNaCl), deterministic, so nothing here needs randomness; a new seed is
drawn by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

KEY_ID = "ed25519:1"
"""The only signing key id of servers named by their key (DESIGN section 1)."""

SEED_BYTES = 32

Entropy = Callable[[int], bytes]
"""`entropy(n)` gives n fresh random bytes: os.urandom in the node, seeded in the simulator."""


class Signer(Protocol):
    @property
    def server_name(self) -> str: ...

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes, /) -> bytes:
        """The 64-byte Ed25519 signature of `data` (RFC 8032)."""
        ...

    @property
    def exchange_key(self) -> bytes:
        """This key as an X25519 public key, 32 bytes (see exchange_key_of)."""
        ...

    def exchange(self, public_key: bytes, /) -> bytes:
        """The 32-byte X25519 secret shared with the owner of `public_key` (RFC 7748).

        ValueError: a point of low order, with which everybody shares the same secret.
        """
        ...


def exchange_key_of(public_key: bytes) -> bytes:
    """The X25519 public key, 32 bytes, of a 32-byte Ed25519 key (libsodium's conversion).

    It drops the sign: two Ed25519 keys have the same one, so it never stands for a name.
    ValueError: no point of the main subgroup, so nobody's key.
    """
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(public_key)
    except CryptoError:
        raise ValueError("the Ed25519 key is no point of the main subgroup") from None


def x25519(private_key: bytes, public_key: bytes) -> bytes:
    """RFC 7748's function on 32-byte keys. ValueError: the result is all zero (low order)."""
    try:
        return bindings.crypto_scalarmult(private_key, public_key)
    except CryptoError:  # libsodium's only reason
        raise ValueError("the X25519 key is a point of low order") from None


class Ed25519Signer:
    """A Signer over a 32-byte seed.

    `server_name` is given by the caller, not derived: audits and tests also use signers for
    DNS-named servers.
    """

    __slots__ = ("_key", "key_id", "server_name")

    def __init__(self, seed: bytes, server_name: str, key_id: str = KEY_ID) -> None:
        self._key = SigningKey(seed)
        self.server_name = server_name
        self.key_id = key_id

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return bytes(self._key.verify_key)

    def sign(self, data: bytes, /) -> bytes:
        return self._key.sign(data).signature

    @property
    def exchange_key(self) -> bytes:
        return exchange_key_of(self.public_key)

    def exchange(self, public_key: bytes, /) -> bytes:
        pair = bytes(self._key) + self.public_key
        return x25519(bindings.crypto_sign_ed25519_sk_to_curve25519(pair), public_key)

    def __repr__(self) -> str:  # the seed must not reach a log
        return f"Ed25519Signer({self.server_name!r})"
