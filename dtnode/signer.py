"""The node's Ed25519 identity as a seam (DESIGN section 1). Floor 0.

Signatures are libsodium's (PyNaCl), deterministic, so nothing here needs randomness; a new seed is
drawn by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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

    def __repr__(self) -> str:  # the seed must not reach a log
        return f"Ed25519Signer({self.server_name!r})"
