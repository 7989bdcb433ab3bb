"""What went over the links, for people who debug radios: told while somebody looks.

`dtnode link trace` reads the entries; dtnode.node.link_record writes them. No content: kinds,
sizes, ids and numbers, never what anybody said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

import trio

MAX_ENTRIES = 5_000  # remembered for a reader that polls; older ones are counted as lost
MAX_ANSWER = 1_000  # entries given at once: about 200 kB of JSON
WATCHED_S = 90.0  # after the last look entries are kept this long, beyond the longest poll


class Layer(StrEnum):
    FRAME = "frame"
    MESSAGE = "message"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEntry:
    """One frame, message or turn of a session. number: grows by one. incoming: None where it went
    neither way. size_bytes: of the frame, or of the message before it was sealed and cut up."""

    number: int
    at_ms: int
    link_id: str
    peer: str | None
    incoming: bool | None
    layer: Layer
    size_bytes: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePart:
    """next_number: to go on from. lost: entries that went by before anybody asked for them."""

    entries: list[TraceEntry]
    next_number: int
    lost: int = 0


class Trace:
    """All links' entries of one node. now_ms: wall clock, for people."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self._entries: deque[TraceEntry] = deque(maxlen=MAX_ENTRIES)
        self._next = 1
        self._watched_until = 0.0
        self._came = trio.Event()
        self._closed = False

    @property
    def is_watched(self) -> bool:
        """Whether entries are worth describing."""
        return trio.current_time() < self._watched_until

    def add(
        self,
        link_id: str,
        peer: str | None,
        layer: Layer,
        size_bytes: int,
        text: str,
        *,
        incoming: bool | None,
    ) -> None:
        """To be called while `is_watched`."""
        entry = TraceEntry(
            number=self._next,
            at_ms=self.now_ms(),
            link_id=link_id,
            peer=peer,
            incoming=incoming,
            layer=layer,
            size_bytes=size_bytes,
            text=text,
        )
        self._next += 1
        self._entries.append(entry)
        self._came.set()
        self._came = trio.Event()

    def close(self) -> None:
        """The node ends: whoever waits is answered now."""
        self._closed = True
        self._came.set()

    async def since(
        self, number: int | None, timeout_s: float, link_id: str | None = None
    ) -> TracePart:
        """Entries from `number` on, of one link or of all: at once if there are some, else as soon
        as there are, or none after `timeout_s`. None: from now on."""
        self._watched_until = trio.current_time() + timeout_s + WATCHED_S
        if number is None:
            return TracePart(entries=[], next_number=self._next)
        oldest = self._entries[0].number if self._entries else self._next
        found: list[TraceEntry] = []
        at = start = max(min(number, self._next), oldest)
        with trio.move_on_after(timeout_s):
            while not (found := self._from(at, link_id)) and not self._closed:
                at = self._next
                await self._came.wait()
        if len(found) == MAX_ANSWER:
            return TracePart(
                entries=found, next_number=found[-1].number + 1, lost=max(0, start - number)
            )
        return TracePart(entries=found, next_number=self._next, lost=max(0, start - number))

    def _from(self, number: int, link_id: str | None) -> list[TraceEntry]:
        """Oldest first, at most MAX_ANSWER."""
        found: deque[TraceEntry] = deque()
        for entry in reversed(self._entries):
            if entry.number < number:
                break
            if link_id is None or entry.link_id == link_id:
                found.appendleft(entry)
        return list(islice(found, MAX_ANSWER))
