"""What was said in one direction of a session, so that it needn't be said again.

Both ends keep these tables and fill them by the bytes that pass alone, in the order they pass, so
that they stay in step whatever either end holds of a room. An entry whose value this end couldn't
put together keeps its place (None). Every table is a ring or drops its oldest entry.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from dtnode.errors import DecodeError

SLOTS: Final = 224
"""Of each ring: what one byte can name beside 32 other codes."""

PAST: Final = 2048
"""Events back to which the other end may name what was said in this direction. It names what is in
its ring of SLOTS, and more may be on its way to it then: dtnode.sync has up to 400 events in
flight, which name some more. What is forgotten all the same is Unreadable, never taken for another.
"""

MAX_SENDERS: Final = 1024
"""Senders whose last auth_events are remembered: (room, user). Ten ids each: under 1 MB."""

MAX_ID_LENGTH: Final = 64
"""Event ids in tables; one that is a hash has 44 characters."""

MAX_ROOMS: Final = 256
"""Rooms whose last event is remembered."""

MAX_KEY_IDS: Final = 256
"""Servers whose key id is not the usual one."""

USUAL_KEY_ID: Final = "ed25519:1"
"""The one key id of a server whose name is its key (DESIGN section 1)."""

T = TypeVar("T", bound=Hashable)


class Ring(Generic[T]):
    """The last SLOTS values, each with a number that fits one byte. `undo` takes back what was
    added since `commit`."""

    __slots__ = ("_index", "_journal", "_next", "_slots", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._slots: list[T | None] = [None] * SLOTS
        self._index: dict[T, int] = {}
        self._next = 0
        self._journal: list[T | None] = []

    def add(self, value: T) -> None:
        slot = self._next
        old = self._slots[slot]
        self._journal.append(old)
        self._replace(slot, old, value)
        self._next = (slot + 1) % SLOTS

    def find(self, value: T) -> int | None:
        return self._index.get(value)

    def at(self, slot: int) -> T:
        value = self._slots[slot] if slot < SLOTS else None
        if value is None:
            raise DecodeError(f"batch names {self._what} {slot}, which was never said")
        return value

    def commit(self) -> None:
        self._journal.clear()

    def undo(self) -> None:
        while self._journal:
            slot = self._next = (self._next - 1) % SLOTS
            self._replace(slot, self._slots[slot], self._journal.pop())

    def _replace(self, slot: int, old: T | None, new: T | None) -> None:
        if old is not None and self._index.get(old) == slot:
            del self._index[old]
        self._slots[slot] = new
        if new is not None:
            self._index[new] = slot


class Said(NamedTuple):
    """An event that was carried or named. event_id: None where this end couldn't tell it.

    depth, ts: known to both ends, as far as they agree about the room; else None.
    """

    event_id: str | None
    depth: int | None
    ts: int | None


UNKNOWN: Final = Said(None, None, None)


class SaidRing:
    """As Ring, of events; found by event id. Each has a place, too: how many came before it, the
    same at both ends however much is on its way between them."""

    __slots__ = ("_count", "_index", "_journal", "_past", "_slots")

    def __init__(self) -> None:
        self._slots: list[Said | None] = [None] * SLOTS
        self._index: dict[str, int] = {}
        self._count = 0
        self._past: list[Said | None] = [None] * PAST
        self._journal: list[tuple[Said | None, Said | None]] = []

    def add(self, said: Said) -> None:
        slot = self._count % SLOTS
        past = self._count % PAST
        self._journal.append((self._slots[slot], self._past[past]))
        self._replace(slot, said)
        self._past[past] = said
        self._count += 1

    def named(self, event_id: str) -> tuple[int, Said] | None:
        """Its slot and what is there."""
        slot = self._index.get(event_id)
        if slot is None:
            return None
        said = self._slots[slot]
        assert said is not None, "the index names filled slots"
        return slot, said

    def place_of(self, event_id: str) -> tuple[int, Said] | None:
        """Its place, if it is still in the ring, and what is there."""
        found = self.named(event_id)
        if found is None:
            return None
        newest = self._count - 1
        return newest - (newest - found[0]) % SLOTS, found[1]

    def at_place(self, place: int) -> Said | None:
        """None: nothing was said there, or it is forgotten."""
        known = max(0, self._count - PAST) <= place < self._count
        return self._past[place % PAST] if known else None

    def at(self, slot: int) -> Said | None:
        return self._slots[slot] if slot < SLOTS else None

    def commit(self) -> None:
        self._journal.clear()

    def undo(self) -> None:
        while self._journal:
            self._count -= 1
            in_slot, in_past = self._journal.pop()
            self._replace(self._count % SLOTS, in_slot)
            self._past[self._count % PAST] = in_past

    def _replace(self, slot: int, new: Said | None) -> None:
        old = self._slots[slot]
        if old is not None and old.event_id is not None and self._index.get(old.event_id) == slot:
            del self._index[old.event_id]
        self._slots[slot] = new
        if new is not None and new.event_id is not None:
            self._index[new.event_id] = slot


class Tables:
    """Everything one direction of a session remembers.

    users, servers: names. words: long opaque values. shapes: the keys of objects. events: carried
    or named. last: room -> the last event carried. auth: (room, sender) -> auth_events of its last
    event (None in place of what this end couldn't tell); (room, "") -> of the last first event of
    a sender. last_ts: of the last event carried. named_place: where in the other direction the
    event was that was named last of those.
    """

    __slots__ = (
        "_kept_place",
        "_rings",
        "auth",
        "events",
        "key_ids",
        "last",
        "last_ts",
        "named_place",
        "servers",
        "shapes",
        "users",
        "words",
    )

    def __init__(self, servers: Sequence[str] = ()) -> None:
        """servers: names that both ends know from the start."""
        self.users: Ring[str] = Ring("user")
        self.servers: Ring[str] = Ring("server")
        for name in servers:
            self.servers.add(name)
        self.servers.commit()
        self.words: Ring[str] = Ring("word")
        self.shapes: Ring[tuple[str, ...]] = Ring("shape")
        self.events = SaidRing()
        self.last: dict[str, Said] = {}
        self.auth: dict[tuple[str, str], tuple[str | None, ...]] = {}
        self.key_ids: dict[str, str] = {}
        self.last_ts: int | None = 0
        self.named_place = self._kept_place = 0
        self._rings = (self.users, self.servers, self.words, self.shapes, self.events)

    def carried(
        self, room_id: str, said: Said, sender: str, auth_events: tuple[str | None, ...]
    ) -> None:
        """An event went by whole; what its bytes added stays."""
        self.carried_alone(room_id, said)
        if any(event_id is not None and len(event_id) > MAX_ID_LENGTH for event_id in auth_events):
            return
        if (room_id, sender) not in self.auth:
            _remember(self.auth, (room_id, ""), auth_events, MAX_SENDERS)
        _remember(self.auth, (room_id, sender), auth_events, MAX_SENDERS)

    def carried_explicitly(
        self,
        room_id: str,
        said: Said,
        sender: str,
        prev_events: Sequence[str | None],
        auth_events: tuple[str | None, ...],
        told: set[str | None],
    ) -> None:
        """An event went by in a batch that says all in full: what the other end could not tell
        before it can now, so that the same doesn't fail again. told: by this batch, so far."""
        self.auth.pop((room_id, sender), None)
        for event_id in (*prev_events, *auth_events):
            if event_id is None or event_id in told or len(event_id) > MAX_ID_LENGTH:
                continue
            told.add(event_id)
            self.events.add(Said(event_id, None, None))
        told.add(said.event_id)
        self.carried(room_id, said, sender, auth_events)

    def usual_auth_events(self, room_id: str, sender: str) -> tuple[str | None, ...]:
        """As in the sender's last event; in a first one as others' first one: a row of joins."""
        auth_events = self.auth.get((room_id, sender))
        return self.auth.get((room_id, ""), ()) if auth_events is None else auth_events

    def carried_alone(self, room_id: str, said: Said) -> None:
        """An event went by in a form that says nothing to the other tables."""
        self.events.add(said)
        _remember(self.last, room_id, said, MAX_ROOMS)
        self.last_ts = said.ts
        self._kept_place = self.named_place
        for ring in self._rings:
            ring.commit()

    def signed_with(self, server: str, key_id: str) -> None:
        _remember(self.key_ids, server, key_id, MAX_KEY_IDS)

    def undo(self) -> None:
        """Takes back what the bytes of an event added that isn't sent."""
        self.named_place = self._kept_place
        for ring in self._rings:
            ring.undo()


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _remember(table: dict[K, V], key: K, value: V, most: int) -> None:
    table.pop(key, None)
    table[key] = value
    if len(table) > most:
        del table[next(iter(table))]
