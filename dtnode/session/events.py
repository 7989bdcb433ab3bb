"""What a LinkSession tells its caller. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.wire.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAuthenticated:
    """The peer proved the key of `server_name`; messages can be sent from now on."""

    server_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A whole message of the authenticated peer; on an unreliable link possibly a second time."""

    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """The peer said goodbye; `reason` is its one line of text, for the log only."""

    reason: str


SessionEvent = PeerAuthenticated | MessageReceived | SessionClosed
