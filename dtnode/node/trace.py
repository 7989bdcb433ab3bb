"""What went over the links, for people who debug radios: counted always, told while somebody looks.

`dtnode link trace` reads the entries, `--summary` the counts. dtnode.node.connection writes both.
No content: sizes, kinds and names of rooms' messages, never what they say.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

MAX_ENTRIES = 5_000  # remembered for a reader that polls; older ones are counted as lost
WATCHED_S = 90.0  # after the last look entries are kept this long, beyond the longest poll


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEntry:
    """One frame, message or turn of a session. number: grows by one. incoming: None where it went
    neither way. size_bytes: of the frame, or of the message before it was sealed and cut up."""

    number: int
    at_ms: int
    link_id: str
    peer: str | None
    incoming: bool | None
    layer: str
    size_bytes: int
    text: str


class Trace:
    """All links' entries of one node. now_ms: wall clock, for people."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._entries: deque[TraceEntry] = deque(maxlen=MAX_ENTRIES)
        self._next = 1
        self._watched_until = 0.0
        self._came = trio.Event()

    @property
    def is_watched(self) -> bool:
        """Whether entries are worth describing."""
        return trio.current_time() < self._watched_until

    def add(
        self,
        link_id: str,
        peer: str | None,
        layer: str,
        size_bytes: int,
        text: str,
        *,
        incoming: bool | None,
    ) -> None:
        """To be called while `is_watched`."""
        entry = TraceEntry(
            number=self._next,
            at_ms=self._now_ms(),
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

    async def since(self, number: int | None, timeout_s: float) -> tuple[int, list[TraceEntry]]:
        """(the next call's `number`, entries from `number` on): at once if there are some, else as
        soon as there are, or after `timeout_s` without. None: from now on."""
        self._watched_until = trio.current_time() + timeout_s + WATCHED_S
        if number is None:
            return self._next, []
        with trio.move_on_after(timeout_s):
            while number >= self._next:
                await self._came.wait()
        return self._next, [entry for entry in self._entries if entry.number >= number]


class Tally:
    """Where one link's bytes went: (direction, kind) -> count and bytes."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[bool, str]] = Counter()
        self._bytes: Counter[tuple[bool, str]] = Counter()

    def add(self, kind: str, size_bytes: int, *, incoming: bool, count: int = 1) -> None:
        self._counts[incoming, kind] += count
        self._bytes[incoming, kind] += size_bytes

    def rows(self) -> list[dict[str, object]]:
        """Most bytes first."""
        return [
            {
                "incoming": incoming,
                "kind": kind,
                "count": self._counts[incoming, kind],
                "bytes": size,
            }
            for (incoming, kind), size in self._bytes.most_common()
        ]
