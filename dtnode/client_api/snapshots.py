"""What clients' sync tokens remember besides a position in the event stream.

Two things change what a client must see without a new position: invites and removals that arrive as
cards, and state that a later resolution turned over. So the view of every room (section of the sync
response, membership event, state) is written down under a rising number whenever it has changed,
and a token carries that number. Comparing the view at a token with the present one says what is
new. A quiet room or one with messages only costs nothing here.

Account data shares the numbers. Called by dtnode.client_api.sync and the account data handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from dtnode.client_api.requests import bad_parameter
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.rooms import Rooms
from dtnode.rooms.membership import Standing
from dtnode.store import RoomKind, RoomRecord

KEPT_VIEWS = 200
"""Per room. A client that was away for more changes of state than that gets the state whole."""
_SECTIONS: Mapping[str | None, str] = {
    "join": "join",
    "invite": "invite",
    "knock": "knock",
    "leave": "leave",
    "ban": "leave",
}
FORGOTTEN = "forgotten rooms"  # scope: room id -> the membership event that was forgotten
_NUMBERS = "sync"

StateIds = Mapping[StateKey, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamToken:
    """What a client has seen: events up to `position`, views up to `number` (None: unknown)."""

    position: int
    number: int | None = None

    def __str__(self) -> str:
        return f"s{self.position}" + ("" if self.number is None else f"_{self.number}")


def parse_token(text: str) -> StreamToken:
    """ClientApiError: not a token of this node."""
    position, _, number = text.removeprefix("s").partition("_")
    parts = [position, number] if number else [position]
    if not text.startswith("s") or not all(
        part.isascii() and part.isdigit() and len(part) < 16 for part in parts
    ):
        raise bad_parameter(f"{text[:40]!r} is no token of this server: sync without it")
    return StreamToken(position=int(position), number=int(number) if number else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomView:
    """section: "join", "invite", "knock", "leave", or "" where clients don't see the room. event:
    id of the membership event. While joined, the state: its group, or key by key in a room known by
    a card."""

    section: str
    event: str | None = None
    group: int | None = None
    state: tuple[tuple[str, str, str], ...] = ()


_NOT_SHOWN = RoomView(section="")


class Snapshots:
    """Methods run on the store's thread; those that write are named so."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._store = rooms.store
        self._views: dict[int, list[tuple[int, RoomView]]] = {}
        self._standings: dict[int, tuple[RoomRecord, int, Standing]] = {}
        self._card_states: dict[int, tuple[RoomRecord, int, tuple[tuple[str, str, str], ...]]] = {}
        self._number: int | None = None
        rooms.store.on_rollback(self._forget)

    def _forget(self) -> None:
        self._views.clear()
        self._standings.clear()
        self._card_states.clear()
        self._number = None

    # --- numbers

    @property
    def number(self) -> int:
        """The latest one given out."""
        if self._number is None:
            value = self._store.client_values.get(_NUMBERS, "number")
            self._number = 0 if value is None else int(value)
        return self._number

    def write_next_number(self) -> int:
        number = self._number = self.number + 1
        self._store.client_values.put(_NUMBERS, "number", str(number).encode())
        return number

    # --- views

    @property
    def are_behind(self) -> bool:
        """Whether some room looks different from what was last written down."""
        return any(self.present(room) != self._latest(room) for room in self._store.rooms)

    def write_present(self) -> None:
        changed = [
            (room, view)
            for room in self._store.rooms
            if (view := self.present(room)) != self._latest(room)
        ]
        if not changed:
            return
        number = self.write_next_number()
        for room, view in changed:
            known = self._log(room)
            known.append((number, view))
            del known[:-KEPT_VIEWS]
            scope = _scope(room)
            self._store.client_values.put(scope, f"{number:016d}", _encode(view))
            self._store.client_values.trim(scope, KEPT_VIEWS)

    def present(self, room: RoomRecord) -> RoomView:
        standing = self.standing(room)
        section = _SECTIONS.get(standing.membership, "")
        event = None if standing.event is None else standing.event.event_id
        if section == "leave" and self._is_forgotten(room, event):
            section = ""
        if section != "join":
            return RoomView(section=section, event=event) if section else _NOT_SHOWN
        if room.kind is RoomKind.COMPLETE:
            return RoomView(section=section, event=event, group=room.current_group)
        return RoomView(section=section, event=event, state=self._card_state(room))

    def _card_state(self, room: RoomRecord) -> tuple[tuple[str, str, str], ...]:
        position = self._store.events.last_position()
        known = self._card_states.get(room.nid)
        if known is None or known[0] is not room or known[1] != position:
            state = sorted((*key, pdu.event_id) for key, pdu in self._rooms.state(room).items())
            known = self._card_states[room.nid] = (room, position, tuple(state))
        return known[2]

    def standing(self, room: RoomRecord) -> Standing:
        """As Rooms.standing, remembered: that may mean parsing the room's cards. Whatever changes
        it changes the record, except that a held or pending event gets judged."""
        position = self._store.events.last_position()
        known = self._standings.get(room.nid)
        if (
            known is not None
            and known[0] is room
            and (known[1] == position or not known[2].provisional)
        ):
            return known[2]
        found = self._rooms.standing(room)
        self._standings[room.nid] = (room, position, found)
        return found

    def _is_forgotten(self, room: RoomRecord, event: str | None) -> bool:
        value = self._store.client_values.get(FORGOTTEN, room.room_id)
        return value is not None and value.decode() == event

    def at(self, room: RoomRecord, number: int | None) -> RoomView | None:
        """The view at a token; None: the room is new since, or too much has changed since."""
        if number is None or number > self.number:
            return None
        for known_number, view in reversed(self._log(room)):
            if known_number <= number:
                return view
        return None

    def _latest(self, room: RoomRecord) -> RoomView:
        log = self._log(room)
        return log[-1][1] if log else _NOT_SHOWN

    def _log(self, room: RoomRecord) -> list[tuple[int, RoomView]]:
        log = self._views.get(room.nid)
        if log is None:
            entries = self._store.client_values.items(_scope(room))
            log = self._views[room.nid] = [(int(key), _decode(value)) for key, value in entries]
        return log

    # --- states

    def state_of(self, view: RoomView | None) -> StateIds:
        """What a client with that view believes; {}: nothing."""
        if view is None or view.section != "join":
            return {}
        if view.group is not None:
            return self._store.state_groups.state(view.group)
        return {(type_, state_key): event_id for type_, state_key, event_id in view.state}

    def state_event(self, room: RoomRecord, event_id: str) -> Pdu | None:
        """A state event by id, wherever this node has it: judged, held, or on a card."""
        stored = self._store.events.get(event_id)
        if stored is not None:
            return stored.pdu
        held = self._store.held.get(event_id)
        if held is not None:
            return held.pdu
        for pdu in self._rooms.state(room).values():
            if pdu.event_id == event_id:
                return pdu
        return None


def _scope(room: RoomRecord) -> str:
    return f"views {room.room_id}"


def _encode(view: RoomView) -> bytes:
    return orjson.dumps([view.section, view.event, view.group, view.state])


def _decode(value: bytes) -> RoomView:
    section, event, group, state = orjson.loads(value)
    return RoomView(
        section=section,
        event=event,
        group=group,
        state=tuple((type_, state_key, event_id) for type_, state_key, event_id in state),
    )
