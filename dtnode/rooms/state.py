"""Room states by state group: resolution with memory, look-ups, memberships by server.

Plain functions of the store with caches; called by every other module of dtnode.rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import RoomVersion
from dtnode.matrix.server_acl import acl_allows
from dtnode.matrix.state_resolution import ResolutionTrace, StateMap, resolve
from dtnode.rooms.members import Members, MemberTables
from dtnode.store import Store
from dtnode.store.lru import Lru
from dtnode.store.state_groups import EMPTY_GROUP

_CACHED_RESOLUTIONS = 512

StateLookup = Callable[[str, str], Pdu | None]


class RoomStates:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._source = store.indexes.source
        self._chains = store.indexes.auth_chains
        self._resolved: Lru[frozenset[int], int] = Lru(_CACHED_RESOLUTIONS)
        self._members = MemberTables(store)
        self.resolutions = 0
        self.conflicted_keys = 0
        store.on_rollback(self.forget)

    def forget(self) -> None:
        """What was remembered may be untrue: after a rollback, or when an event held in redacted
        form became whole."""
        self._resolved.clear()
        self.forget_members()

    def forget_members(self) -> None:
        """A membership event held in redacted form became whole: it may have a name now."""
        self._members.forget()

    def resolve(self, version: RoomVersion, groups: Iterable[int]) -> int:
        """The group of the state resolved from several; the group itself if there is but one."""
        distinct = frozenset(groups)
        if not distinct:
            return EMPTY_GROUP
        if len(distinct) == 1:
            return next(iter(distinct))
        known = self._resolved.get(distinct)
        if known is None:
            near = sorted(distinct)
            state_groups = self._store.state_groups
            states = [state_groups.state(group) for group in near]
            self._count(states)
            with self._source.keeping():
                state = resolve(version, states, self._source, chains=self._chains)
            known = state_groups.group_of(state, near)
            self._resolved.put(distinct, known)
        return known

    def trace(
        self, version: RoomVersion, groups: Iterable[int]
    ) -> tuple[StateMap, ResolutionTrace]:
        """The state resolved from several groups, and how it went. Nothing of it is stored."""
        states = [self._store.state_groups.state(group) for group in sorted(set(groups))]
        trace = ResolutionTrace()
        with self._source.keeping():
            return resolve(version, states, self._source, trace, self._chains), trace

    def _count(self, states: Sequence[StateMap]) -> None:
        """For audits: how much there was to resolve."""
        keys = {key for state in states for key in state}
        conflicted = sum(len({state.get(key) for state in states}) > 1 for key in keys)
        self.resolutions += conflicted > 0
        self.conflicted_keys += conflicted

    def tip_group(self, room_nid: int) -> int:
        """The tip state: resolution over the tips, equal on all nodes with the same events. A value
        for comparison only (DESIGN section 2)."""
        room = self._store.rooms.by_nid(room_nid)
        events = self._store.events
        groups = []
        for nid in self._store.rooms.tips(room_nid):
            tip = events.by_nid(nid)
            assert tip is not None, "a tip is a stored event"
            groups.append(tip.after)
        return self.resolve(room.version, groups)

    def lookup(self, group: int) -> StateLookup:
        return self.lookup_in(self._store.state_groups.state(group))

    def lookup_in(self, state: StateMap) -> StateLookup:
        events = self._store.events

        def look(type_: str, state_key: str) -> Pdu | None:
            event_id = state.get((type_, state_key))
            if event_id is None:
                return None
            found = events.get(event_id)
            assert found is not None, "a state names stored events only"
            return found.pdu

        return look

    def event(self, group: int, type_: str, state_key: str = "") -> Pdu | None:
        return self.lookup(group)(type_, state_key)

    def content(self, group: int, type_: str, state_key: str = "") -> dict[str, object]:
        """The content of a state event, {} if there is none."""
        found = self.event(group, type_, state_key)
        return {} if found is None else found.content

    def acl_allows(self, group: int, server: str) -> bool:
        """Whether the state's m.room.server_acl lets a server take part. One held in redacted form
        says nothing: its lists are what redaction takes."""
        acl = self.event(group, "m.room.server_acl")
        return acl is None or acl.redacted or acl_allows(server, acl.content)

    @property
    def generation(self) -> int:
        """For caches by state group: another number when a group may stand for something else."""
        return self._members.generation

    def member_table(self, group: int) -> Members:
        """Who is in the room, without the events. Cheap also where there are many."""
        return self._members.of(group)

    def members(self, group: int) -> dict[str, Pdu]:
        """user id -> m.room.member event, whatever the membership."""
        look = self.lookup(group)
        found = {}
        for type_, state_key in self._store.state_groups.state(group):
            if type_ == "m.room.member":
                event = look(type_, state_key)
                assert event is not None
                found[state_key] = event
        return found

    def membership(self, group: int, user_id: str) -> str | None:
        event = self.event(group, "m.room.member", user_id)
        return None if event is None else event.membership

    def joined_servers(self, group: int) -> frozenset[str]:
        """Servers with at least one joined member."""
        return self._members.of(group).joined_servers

    def members_of_server(self, group: int, server_name: str) -> dict[str, Pdu]:
        """user id -> m.room.member event of that server's users, whatever the membership."""
        look = self.lookup(group)
        found = {}
        for user_id in self._members.of(group).by_server.get(server_name, ()):
            event = look("m.room.member", user_id)
            assert event is not None
            found[user_id] = event
        return found
