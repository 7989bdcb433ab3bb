"""What the codec of PDUs is told by its callers, and what it tells them: values and protocols only.

Where events are looked up is the caller's business (the store, on its thread); how text is made
shorter dtnode.wire's text model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dtnode.wire.effort import Effort

PREFIX_BYTES = 4
"""Of a reference hash, to name an event that the receiver should hold: in a room of a million
events one in 4,000 prefixes is shared by two of them, and then the hash goes in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEvent:
    """Of an event that this end holds: what its children are told apart from."""

    depth: int
    origin_server_ts: int


class KnownEvents(Protocol):
    """What this end holds of the room that a batch is of."""

    def find(self, event_id: str, /) -> KnownEvent | None: ...

    def by_prefix(self, prefix: bytes, /) -> str | None:
        """The one event of the room whose reference hash starts with these PREFIX_BYTES bytes;
        None if there is none or more than one."""
        ...


class NothingKnown:
    """Of a room that this end holds nothing of, or must not count on."""

    def find(self, _event_id: str, /) -> KnownEvent | None:
        return None

    def by_prefix(self, _prefix: bytes, /) -> str | None:
        return None


class TextCoder(Protocol):
    """Makes human text shorter; the same on every machine."""

    def compress(self, text: bytes, effort: Effort, /) -> bytes | None:
        """None where it gains nothing, or would take more than what is left of `effort`."""
        ...

    def decompress(self, data: bytes, max_bytes: int, effort: Effort, /) -> bytes:
        """DecodeError: nothing that `compress` makes, or more than `max_bytes`. LimitError: more
        than what is left of `effort`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """In place of an event that this end can't put together; `reason` is one line for a log.

    Its sender is asked for it in a more explicit form.
    """

    reason: str
