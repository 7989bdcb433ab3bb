"""Access tokens: the command line's, and those that logging in gives out.

Tokens are stored as hashes only. Passwords are compared by the login handler, not here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import orjson

from dtnode.signer import Entropy
from dtnode.store import Store

MAX_SESSIONS = 100  # a person's devices; beyond it the oldest has to log in again
COMMAND_LINE_DEVICE = "DTNODE"
_SCOPE = "tokens"
_TOKEN_BYTES = 32
_DEVICE_BYTES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """key: names the session in the store (empty before there is one). created: rising number."""

    key: str = ""
    device_id: str = ""
    created: int = 0


class Sessions:
    """access_token: the command line's. Methods that take a store run on its thread."""

    def __init__(self, access_token: str, entropy: Entropy) -> None:
        self._own = Session(key=_key(access_token), device_id=COMMAND_LINE_DEVICE)
        self._entropy = entropy
        self._known: dict[str, Session] | None = None
        self._watching = False

    def find_known(self, token: str) -> Session | None:
        """Without the store: None also where it isn't known yet. By its hash, so that how long it
        takes tells nothing of any token."""
        key = _key(token)
        return self._own if key == self._own.key else (self._known or {}).get(key)

    def find(self, store: Store, token: str) -> Session | None:
        key = _key(token)
        return self._own if key == self._own.key else self._load(store).get(key)

    def _load(self, store: Store) -> dict[str, Session]:
        """Every session by key; read again after a rollback."""
        if not self._watching:
            store.on_rollback(self._forget)
            self._watching = True
        known = self._known
        if known is None:
            known = {}
            for key, value in store.client_values.items(_SCOPE):
                device_id, created = orjson.loads(value)
                known[key] = Session(key=key, device_id=device_id, created=created)
            self._known = known
        return known

    def _forget(self) -> None:
        self._known = None

    def is_own(self, session: Session) -> bool:
        """Whether it is the command line's, which doesn't log out."""
        return session.key == self._own.key

    def log_in(self, store: Store, device_id: str | None) -> tuple[str, Session]:
        """A new token. An older session of the same device ends."""
        known = self._load(store)
        token = base64.urlsafe_b64encode(self._entropy(_TOKEN_BYTES)).decode().rstrip("=")
        if device_id is None:
            device_id = base64.b32encode(self._entropy(_DEVICE_BYTES)).decode()
        by_age = sorted(known.values(), key=lambda session: session.created)
        ended = [session for session in by_age if session.device_id == device_id]
        rest = [session for session in by_age if session.device_id != device_id]
        for session in ended + rest[: max(0, len(rest) + 1 - MAX_SESSIONS)]:
            self.log_out(store, session)
        created = by_age[-1].created + 1 if by_age else 1
        session = Session(key=_key(token), device_id=device_id, created=created)
        store.client_values.put(_SCOPE, session.key, orjson.dumps([device_id, created]))
        known[session.key] = session
        return token, session

    def log_out(self, store: Store, session: Session) -> None:
        self._load(store).pop(session.key, None)
        store.client_values.remove(_SCOPE, session.key)
        for scope in scopes_of(session):
            store.client_values.trim(scope, 0)

    def log_out_all(self, store: Store) -> None:
        for session in list(self._load(store).values()):
            self.log_out(store, session)


def scopes_of(session: Session) -> tuple[str, str]:
    """Where a session's transaction ids are kept: by path, by event id."""
    return f"transactions {session.key}", f"transaction of {session.key}"


def _key(token: str) -> str:
    return sha256(token.encode()).hexdigest()


class AttemptLimit:
    """At most `most` failed log-ins within `window_s` seconds, all clients together: what can be
    guessed is one password, whoever guesses. now: seconds, monotonic."""

    def __init__(self, now: Callable[[], float], most: int = 10, window_s: float = 60.0) -> None:
        self._now = now
        self._most = most
        self._window_s = window_s
        self._failed: list[float] = []

    def wait_s(self) -> float:
        """How long until the next attempt is allowed; 0: now."""
        now = self._now()
        self._failed = [at for at in self._failed if now - at < self._window_s]
        if len(self._failed) < self._most:
            return 0.0
        return self._window_s - (now - self._failed[0])

    def failed(self) -> None:
        self._failed.append(self._now())
