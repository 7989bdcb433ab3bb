"""The secrets that a node shares with its peers by their keys alone, for trial and speed.

Not session keys: these don't change, and say no more than the signer's seed in the same memory
does. One PeerSecrets for a node; dtnode.session.key_exchange and pairing use it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from dtnode.errors import LocalProtocolError
from dtnode.matrix.server_names import key_from_server_name
from dtnode.session.opening import exchange_key_of_name
from dtnode.signer import Signer

MAX_CANDIDATES: Final = 1024
"""Names tried for one first message; 28 us each on a desktop once their secrets are here (a third
of one signature check), 110 us the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSecret:
    """A peer's X25519 key and the secret shared with it (static-static)."""

    public_key: bytes
    shared: bytes = field(repr=False)


class PeerSecrets:
    """This node's key, and the static-static secrets with the peers used last.

    Bounded by MAX_CANDIDATES, so that a trial over all candidates finds them here the next time.
    LocalProtocolError: the signer's server name is not its key.
    """

    def __init__(self, signer: Signer) -> None:
        own_key = key_from_server_name(signer.server_name)
        if own_key is None or exchange_key_of_name(signer.server_name) != signer.exchange_key:
            raise LocalProtocolError(f"server name {signer.server_name} is not the signer's key")
        self.own_name = signer.server_name
        self.own_signing_key = own_key
        self.public_key = signer.exchange_key
        self.exchange = signer.exchange
        self._secrets: OrderedDict[str, PeerSecret] = OrderedDict()

    def __len__(self) -> int:
        return len(self._secrets)

    def of(self, name: str) -> PeerSecret | None:
        """None: `name` is nobody's key, or this node's own."""
        secret = self._secrets.get(name)
        if secret is not None:
            self._secrets.move_to_end(name)
            return secret
        public_key = exchange_key_of_name(name)
        if public_key is None or public_key == self.public_key:
            return None
        secret = PeerSecret(public_key=public_key, shared=self.exchange(public_key))
        self._secrets[name] = secret
        if len(self._secrets) > MAX_CANDIDATES:
            self._secrets.popitem(last=False)
        return secret


class KnownKey:
    """The node's key as a Noise KeyPair that computes no secret twice."""

    __slots__ = ("_known", "_secrets", "public_key")

    def __init__(self, secrets: PeerSecrets, known: dict[bytes, bytes]) -> None:
        self._secrets = secrets
        self._known = known
        self.public_key = secrets.public_key

    def exchange(self, public_key: bytes, /) -> bytes:
        return self._known.get(public_key) or self._secrets.exchange(public_key)
