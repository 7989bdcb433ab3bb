"""What a LinkSession tells its caller. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.wire.packed import LinkMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAuthenticated:
    """The peer proved the key of `server_name`; messages can be sent from now on.

    On a link without connections it may come again, for another session with this or another peer:
    whatever the one before carried and wasn't answered is lost. initiator: this end began it.
    clock_offset_s: how far the peer's wall clock was ahead of this node's, less the time that its
    message took: where it had to be repeated, up to 40 minutes.
    """

    server_name: str
    initiator: bool
    clock_offset_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A message of the authenticated peer; each comes once, in the order they were sent.
    size_bytes: as encoded, before it was sealed and cut up."""

    message: LinkMessage
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """The peer said goodbye; `reason` is its one line of text, for the log only."""

    reason: str


SessionEvent = PeerAuthenticated | MessageReceived | SessionClosed
