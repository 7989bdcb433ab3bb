"""A room file on its way in: chunk by chunk, each its own transaction, so that a kill loses at most
the last one and the node has time for others in between.

Running an import again is how it is resumed: what is here already is known by its bytes and costs
no signature check. Reading the file and cutting it into chunks is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from dtnode.errors import FormatError
from dtnode.rooms.cards import check_version_of_create
from dtnode.rooms.outcome import Outcome, Received, Verdict
from dtnode.rooms.room_file import create_event, parse_header
from dtnode.store import RoomKind, Store

SOURCE = "import"
CHUNK_LINES = 500  # judged in about a tenth of a second, for which everybody else waits
CHUNK_BYTES = 1_048_576  # and of large events fewer

Receive = Callable[[str, Sequence[bytes]], Received]


class RoomImport:
    """receive: judges events of a room like a peer's, within the caller's transaction.

    The keys in the file's header count for nothing. After an error the import is over.
    """

    def __init__(self, store: Store, receive: Receive) -> None:
        self._store = store
        self._receive = receive
        self._room_id: str | None = None
        self._counts = dict.fromkeys((verdict.value for verdict in Verdict), 0)
        self._held: set[str] = set()  # bounded as the store's table of held events is

    def take(self, lines: Sequence[bytes]) -> None:
        """The next lines; the first call gets the header and the m.room.create at least.
        FormatError: this is no room file, and nothing of it was kept."""
        room_id, events = self._room_id, lines
        if room_id is None:
            room_id, events = self._begin(lines), lines[1:]
        with self._store.transaction():
            if self._store.rooms.get(room_id) is None:
                version = parse_header(lines[0]).version
                self._store.rooms.add(room_id, version, RoomKind.COMPLETE)
            received = self._receive(room_id, events)
            room = self._store.rooms.get(room_id)
            if room is None or not self._store.rooms.tips(room.nid):
                raise FormatError(f"its m.room.create is no good: {received.outcomes[0].reason}")
        self._room_id = room_id
        self._count(received)

    def _begin(self, lines: Sequence[bytes]) -> str:
        if len(lines) < 2:
            raise FormatError("the file holds no events")
        create = create_event(lines[1], parse_header(lines[0]).version)
        check_version_of_create(create)
        return create.room_id

    def _count(self, received: Received) -> None:
        """An event that was held counts as what became of it when its parents came."""
        for outcome in received.outcomes:
            self._count_one(outcome)
        for outcome in received.released:
            if outcome.event_id in self._held:
                self._held.discard(outcome.event_id)
                self._count_one(outcome)
        for event_id in received.evicted:
            if event_id in self._held:
                self._held.discard(event_id)
                self._counts[Verdict.DROPPED.value] += 1

    def _count_one(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.HELD and outcome.event_id is not None:
            self._held.add(outcome.event_id)
        else:
            self._counts[outcome.verdict.value] += 1

    def report(self) -> tuple[str, dict[str, int]]:
        """(room id, count per verdict). FormatError: nothing came."""
        if self._room_id is None:
            raise FormatError("the file holds no events")
        return self._room_id, {**self._counts, Verdict.HELD.value: len(self._held)}


def chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines in lots of at most CHUNK_LINES, and of CHUNK_BYTES or one line more."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) >= 2 and (len(chunk) >= CHUNK_LINES or size >= CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
