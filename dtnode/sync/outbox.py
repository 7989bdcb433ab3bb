"""Events on their way to one peer: a queue of ids, and batches that wait for their acknowledgement.

Bounded by what is queued (ids) and in flight (batches); PDUs are loaded only when a batch is made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from dtnode.sync.timing import MAX_ATTEMPTS, MAX_IN_FLIGHT, retry_at
from dtnode.wire.limits import MAX_BATCH_NUMBER, MAX_PDUS_BYTES
from dtnode.wire.messages import Ack, Events, Form
from dtnode.wire.pdus.batch import MAX_FRAMING

MAX_QUEUED_IDS = 50_000  # 2.5 MB of ids; what doesn't fit is found again by the next Tips
BATCH_EVENTS = 100  # dtnode.wire.limits.MAX_EVENTS_PDUS; one transaction at the other end
_LEAST_PACKED_BYTES, _COMPUTED_BYTES = 90, 570  # a text of 30 characters: 662 as JSON, 90 packed


@dataclass(slots=True)
class InFlight:
    """A batch sent and not acknowledged. due: when it is sent again."""

    batch: int
    room_id: str
    room_version: str
    event_ids: tuple[str, ...]
    pdus: tuple[bytes, ...]
    more: bool
    due: float
    form: Form = Form.COMPACT
    attempts: int = 0

    @property
    def size_bytes(self) -> int:
        return sum(packed_bytes(pdu, self.form) for pdu in self.pdus)

    def kept(self, ack: Ack) -> tuple[str, ...]:
        """Ids of the events that the peer has by this acknowledgement."""
        unread, refused = set(ack.unread), set(ack.refused)
        return tuple(
            event_id
            for place, event_id in enumerate(self.event_ids)
            if place not in unread and event_id not in refused
        )

    def message(self) -> Events:
        return Events(
            batch=self.batch,
            room_id=self.room_id,
            room_version=self.room_version,
            pdus=self.pdus,
            more=self.more,
            form=self.form,
        )


def packed_bytes(pdu: bytes, form: Form = Form.COMPACT) -> int:
    """About what a PDU takes on the link: most of the JSON of a short event can be computed."""
    return len(pdu) if form is Form.RAW else max(_LEAST_PACKED_BYTES, len(pdu) - _COMPUTED_BYTES)


def fitting(pdus: Iterable[bytes], form: Form, batch_bytes: int) -> tuple[int, int]:
    """How many of `pdus` go into one batch, and about what they take: one at least. They surely fit
    into a message, in whatever form."""
    taken = size = json_bytes = 0
    for pdu in pdus:
        more = packed_bytes(pdu, form)
        json_bytes += len(pdu) + MAX_FRAMING
        if taken and (size + more > batch_bytes or json_bytes > MAX_PDUS_BYTES):
            break
        taken, size = taken + 1, size + more
    return taken, size


class Outbox:
    def __init__(self) -> None:
        self._rooms: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._queued = 0
        self._next_batch = 0
        self.in_flight: dict[int, InFlight] = {}
        self.overflowed: set[str] = set()
        self._unread: dict[str, tuple[str, Form]] = {}

    def __len__(self) -> int:
        return self._queued + len(self._unread)

    def new_batch(self) -> int:
        """A number for the next batch."""
        batch = self._next_batch
        while batch in self.in_flight:
            batch = batch + 1 if batch < MAX_BATCH_NUMBER else 0
        self._next_batch = batch + 1 if batch < MAX_BATCH_NUMBER else 0
        return batch

    @property
    def flying_bytes(self) -> int:
        return sum(sent.size_bytes for sent in self.in_flight.values())

    def add(self, room_id: str, event_ids: Iterable[str]) -> None:
        """Queues ids behind those of the room that wait already; parents come before children.
        Over the bound the room is marked in `overflowed`: its Tips must be told again."""
        queue = self._rooms.get(room_id, OrderedDict())
        flying = self._flying_ids(room_id)
        for event_id in event_ids:
            if self._queued >= MAX_QUEUED_IDS:
                self.overflowed.add(room_id)
                break
            if event_id not in queue and event_id not in flying:
                queue[event_id] = None
                self._queued += 1
        if queue:
            self._rooms[room_id] = queue

    def discard(self, room_id: str, event_ids: Iterable[str]) -> None:
        """The peer has these already: it sent them."""
        queue = self._rooms.get(room_id)
        if queue is None:
            return
        for event_id in event_ids:
            if event_id in queue:
                del queue[event_id]
                self._queued -= 1

    def add_unread(self, sent: InFlight, places: Iterable[int]) -> None:
        """The peer could not read these events of a batch: they go again in the next form, before
        all else. What it can't read as it is, it doesn't get."""
        if sent.form is not Form.RAW:
            of = (sent.room_id, Form(sent.form + 1))
            ids = (sent.event_ids[place] for place in places if place < len(sent.event_ids))
            self._unread.update((event_id, of) for event_id in ids)

    def next_ids(self) -> tuple[str, tuple[str, ...], Form] | None:
        """(room, ids, form) for one more batch, taken from the queue; rooms take turns. None:
        nothing waits, or enough is in flight."""
        if len(self.in_flight) >= MAX_IN_FLIGHT:
            return None
        if self._unread:
            return self._next_unread()
        for room_id in list(self._rooms):
            queue = self._rooms.pop(room_id)
            if not queue:
                continue
            ids = tuple(islice(queue, BATCH_EVENTS))
            for event_id in ids:
                del queue[event_id]
            self._queued -= len(ids)
            if queue:
                self._rooms[room_id] = queue  # to the end of the line
            return room_id, ids, Form.COMPACT
        return None

    def _next_unread(self) -> tuple[str, tuple[str, ...], Form]:
        room_id, form = next(iter(self._unread.values()))
        alike = (id_ for id_, of in self._unread.items() if of == (room_id, form))
        ids = tuple(islice(alike, BATCH_EVENTS))
        for event_id in ids:
            del self._unread[event_id]
        return room_id, ids, form

    def put_back(self, room_id: str, event_ids: Iterable[str], form: Form = Form.COMPACT) -> None:
        """Ids taken but not sent, to the front of the room's queue."""
        if form is not Form.COMPACT:
            self._unread.update((event_id, (room_id, form)) for event_id in event_ids)
            return
        queue = self._rooms.get(room_id, OrderedDict())
        for event_id in reversed(tuple(event_ids)):
            if event_id not in queue:
                queue[event_id] = None
                self._queued += 1
            queue.move_to_end(event_id, last=False)
        if queue:
            self._rooms[room_id] = queue

    def forget(self, room_id: str) -> None:
        """The peer takes nothing of this room."""
        self._queued -= len(self._rooms.pop(room_id, ()))
        self._unread = {id_: of for id_, of in self._unread.items() if of[0] != room_id}
        self.overflowed.discard(room_id)
        for batch in [b for b, sent in self.in_flight.items() if sent.room_id == room_id]:
            del self.in_flight[batch]

    def overdue(self, now: float, timeout_s: float) -> list[InFlight] | None:
        """Batches to send again now; None: one was sent too often, nobody is there."""
        late = [sent for sent in self.in_flight.values() if sent.due <= now]
        for sent in late:
            sent.attempts += 1
            sent.due = retry_at(now, timeout_s, sent.attempts)
        return None if any(sent.attempts >= MAX_ATTEMPTS for sent in late) else late

    def has_queued(self, room_id: str) -> bool:
        return bool(self._rooms.get(room_id))

    def is_busy(self, room_id: str) -> bool:
        """Whether events of the room are queued or in flight."""
        if any(of_room == room_id for of_room, _ in self._unread.values()):
            return True
        return self.has_queued(room_id) or any(
            sent.room_id == room_id for sent in self.in_flight.values()
        )

    def _flying_ids(self, room_id: str) -> set[str]:
        return {
            event_id
            for sent in self.in_flight.values()
            if sent.room_id == room_id
            for event_id in sent.event_ids
        }
