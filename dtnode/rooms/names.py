"""What rooms and people are called on this node, and what a typed name means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dtnode.errors import DtnodeError
from dtnode.matrix.identifiers import is_user_id, server_name_of, split_user_id
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.rooms.heroes import Heroes, heroes_of, name_after
from dtnode.rooms.membership import anchor_card, own_chain, shown_state
from dtnode.rooms.state import RoomStates
from dtnode.rooms.succession import predecessor, successor
from dtnode.store import PeerRecord, RoomKind, RoomRecord, Store

_MIN_KEY_PREFIX = 4  # characters of a server name that stand for a person
_KEY_LABEL = 4  # characters of the key that tell people of the same name apart


class NameNotFound(DtnodeError):
    """Nothing here is called that."""


class NameAmbiguous(DtnodeError):
    """Several things here are called that; the message lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    user_id: str
    label: str


def state_to_show(
    store: Store, states: RoomStates, room: RoomRecord, user_id: str
) -> Mapping[StateKey, Pdu]:
    """The room's current state, or what a card shows of it."""
    if room.kind is RoomKind.COMPLETE:
        look = states.lookup(room.current_group)
        found: dict[StateKey, Pdu] = {}
        for type_, state_key in store.state_groups.state(room.current_group):
            event = look(type_, state_key)
            assert event is not None
            found[(type_, state_key)] = event
        return found
    card = anchor_card(store, room)
    return {} if card is None else shown_state(card, own_chain(store, room, user_id))


class Names:
    def __init__(self, store: Store, states: RoomStates, user_id: str) -> None:
        self._store = store
        self._states = states
        self._user_id = user_id
        self._known: tuple[object, list[Person]] | None = None

    # --- rooms

    def room_name(self, room: RoomRecord) -> str:
        """Its name, else its alias, else one after its members (client-server API, "Calculating the
        display name for a room"), with what people are called here."""
        look = self._state_lookup(room)
        for type_, field in (("m.room.name", "name"), ("m.room.canonical_alias", "alias")):
            event = look(type_, "")
            text = None if event is None else event.content.get(field)
            if isinstance(text, str) and text:
                return text
        return name_after(self.heroes(room), self.labels())

    def heroes(self, room: RoomRecord) -> Heroes:
        """After whom a room without a name is called."""
        state: Mapping[StateKey, str] = {}
        if room.kind is RoomKind.COMPLETE:
            state = self._store.state_groups.state(room.current_group)

        def order(user_id: str) -> int:
            event_id = state.get(("m.room.member", user_id))
            nid = None if event_id is None else self._store.events.nid_of(event_id)
            return nid or 0

        return heroes_of(self._members_here(room), self._user_id, order)

    def _members_here(self, room: RoomRecord) -> Mapping[str, str | None]:
        """user id -> membership"""
        if room.kind is RoomKind.COMPLETE:
            members = self._states.member_table(room.current_group).by_user
            return {user_id: member.membership for user_id, member in members.items()}
        state = state_to_show(self._store, self._states, room, self._user_id)
        return {key[1]: event.membership for key, event in state.items() if event.membership}

    def _state_lookup(self, room: RoomRecord) -> Callable[[str, str], Pdu | None]:
        if room.kind is RoomKind.COMPLETE:
            return self._states.lookup(room.current_group)
        state = state_to_show(self._store, self._states, room, self._user_id)
        return lambda type_, state_key: state.get((type_, state_key))

    def resolve_room(self, text: str) -> RoomRecord:
        """A room by id or unique name. NameNotFound, NameAmbiguous."""
        rooms = list(self._store.rooms)
        by_id = [room for room in rooms if room.room_id == text]
        if by_id:
            return by_id[0]
        named = [(room, self.room_name(room)) for room in rooms]
        for matches in (
            [room for room, name in named if name == text],
            [room for room, name in named if name.casefold() == text.casefold()],
        ):
            matches = self._without_replaced(matches)
            if len(matches) == 1:
                return matches[0]
            if matches:
                ids = ", ".join(room.room_id for room in matches)
                raise NameAmbiguous(f"{len(matches)} rooms are called {text!r}, use an id: {ids}")
        raise NameNotFound(f"no room here is called {text!r}; see: dtnode room list")

    def _without_replaced(self, rooms: list[RoomRecord]) -> list[RoomRecord]:
        """Without those in whose place another of them stands, as both of them say."""
        ids = {room.room_id for room in rooms}
        replaced = {
            before
            for room in rooms
            if (before := self.predecessor(room)) in ids
            and any(r.room_id == before and self.successor(r) == room.room_id for r in rooms)
        }
        return [room for room in rooms if room.room_id not in replaced]

    def successor(self, room: RoomRecord) -> str | None:
        """The id of the room that a tombstone names in place of this one."""
        return successor(self._state_lookup(room))

    def predecessor(self, room: RoomRecord) -> str | None:
        """The id of the room that this one says it replaces."""
        return predecessor(self._state_lookup(room))

    # --- people

    def people(self) -> list[Person]:
        """Everyone this node has heard of: members and invited users of its rooms, added peers."""
        rooms, peers = list(self._store.rooms), self._store.peers.all()
        if any(room.kind is not RoomKind.COMPLETE for room in rooms):
            return self._people(rooms, peers)  # cards and own events decide who is shown
        by = (self._states.generation, [(room.nid, room.current_group) for room in rooms], peers)
        if self._known is None or self._known[0] != by:
            self._known = (by, self._people(rooms, peers))
        return self._known[1]

    def _people(self, rooms: Iterable[RoomRecord], peers: Iterable[PeerRecord]) -> list[Person]:
        names: dict[str, str] = {self._user_id: self._own_label(self._user_id, {})}
        given = {peer.server_name: peer.name for peer in peers if peer.name}
        for room in rooms:
            for user_id, shown in self._shown_names(room):
                if is_user_id(user_id):
                    name = given.get(server_name_of(user_id))
                    names[user_id] = name or shown or split_user_id(user_id)[0]
        for peer in peers:
            if peer.user_id is not None and peer.user_id not in names:
                names[peer.user_id] = peer.name or split_user_id(peer.user_id)[0]
        return _told_apart(names)

    def _own_label(self, user_id: str, given: Mapping[str, str]) -> str:
        return given.get(server_name_of(user_id)) or split_user_id(user_id)[0]

    def _shown_names(self, room: RoomRecord) -> Iterable[tuple[str, str | None]]:
        """(user id, display name) of all with a membership event."""
        if room.kind is RoomKind.COMPLETE:
            members = self._states.member_table(room.current_group).by_user
            return [(user_id, member.displayname) for user_id, member in members.items()]
        found: list[tuple[str, str | None]] = []
        state = state_to_show(self._store, self._states, room, self._user_id)
        for (type_, user_id), event in state.items():
            if type_ == "m.room.member":
                shown = event.content.get("displayname")
                found.append((user_id, shown if isinstance(shown, str) else None))
        return found

    def labels(self) -> dict[str, str]:
        return {person.user_id: person.label for person in self.people()}

    def resolve_user(self, text: str) -> Person:
        """A user by id (known or not), unique key prefix, given name or display name."""
        people = self.people()
        if text.startswith("@"):
            if not is_user_id(text):
                raise NameNotFound(f"{text!r} is not a user id; one looks like @name:server")
            known = [person for person in people if person.user_id == text]
            return known[0] if known else Person(user_id=text, label=split_user_id(text)[0])
        given = {peer.name: peer.server_name for peer in self._store.peers.all() if peer.name}
        server = given.get(text)
        for matches in (
            [p for p in people if server is not None and server_name_of(p.user_id) == server],
            [p for p in people if _is_called(p, text)],
            [
                p
                for p in people
                if len(text) >= _MIN_KEY_PREFIX and server_name_of(p.user_id).startswith(text)
            ],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                ids = ", ".join(person.user_id for person in matches)
                raise NameAmbiguous(f"{len(matches)} people fit {text!r}, use an id: {ids}")
        raise NameNotFound(
            f"nobody here is called {text!r}: use a user id (@name:server), or name one with:"
            " dtnode peer name"
        )


def _is_called(person: Person, text: str) -> bool:
    """By label, with or without the characters that tell it apart, or by the id's local part."""
    short = f"{text} ({server_name_of(person.user_id)[:_KEY_LABEL]})"
    return person.label in (text, short) or split_user_id(person.user_id)[0] == text


def _told_apart(names: Mapping[str, str]) -> list[Person]:
    """Equal names get the first four characters of their key."""
    often = Counter(names.values())
    return [
        Person(
            user_id=user_id,
            label=name if often[name] == 1 else f"{name} ({server_name_of(user_id)[:_KEY_LABEL]})",
        )
        for user_id, name in sorted(names.items())
    ]


def resolve_room(store: Store, text: str) -> RoomRecord:
    """For commands that work on the store alone, without a node."""
    return Names(store, RoomStates(store), "").resolve_room(text)
