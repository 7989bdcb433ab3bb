"""`dtnode room diff`: what changed in a room since an event or a time, as people would tell it.

Since an event: all that isn't among its ancestors. Since a time: all that was judged here from then
on, whatever times the events carry. Only reads; called by dtnode.client_api.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dtnode.errors import AuthRuleError
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.power_levels import LEVEL_NAMES, NO_POWER_LEVELS, PowerLevels
from dtnode.matrix.state_resolution import StateMap
from dtnode.rooms.conflicts import Conflicts, Loss
from dtnode.rooms.explain import after_groups
from dtnode.rooms.history import extremities_before, fates
from dtnode.rooms.state import RoomStates
from dtnode.rooms.timeline import Timeline
from dtnode.store import RoomRecord, Store, StoredEvent

MAX_LISTED = 100  # of conflicts, rejected and of soft-failed events each; the counts stay whole
_MESSAGES = ("m.room.message", "m.room.encrypted", "m.sticker")
_MEMBER = "m.room.member"
_POWER_LEVELS: StateKey = ("m.room.power_levels", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One piece of state that is another now. before, after: event ids, None: there was or is
    none."""

    type: str
    state_key: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerChange:
    """kind: "user" (the power of user `name`), "level" (what it takes to `name`: ban, kick, ...) or
    "event" (what it takes to send events of type `name`; None: what the defaults say)."""

    kind: str
    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """How many messages one person sent; apart: concurrent with their removal."""

    sender: str
    count: int
    apart: int
    soft_failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A state event that gave way to one that doesn't build on it. at: the event at which that was
    decided, None: the state over the newest events."""

    event_id: str
    at: str | None
    loss: Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    event_id: str
    reason: str | None


@dataclass(slots=True, kw_only=True)
class Changes:
    """since_event, since_ms: one of them. new_events: those accepted, soft-failed ones included.
    other_events: those of them that are neither state nor messages (reactions, say). members:
    memberships and profiles that changed. settings: all other state but the power levels. rejected,
    soft_failed: the first MAX_LISTED, of as many as the counts say."""

    room_id: str
    since_event: str | None
    since_ms: int | None
    new_events: int = 0
    other_events: int = 0
    members: list[Change] = field(default_factory=list)
    settings: list[Change] = field(default_factory=list)
    powers: list[PowerChange] = field(default_factory=list)
    powers_event: str | None = None
    messages: list[Talk] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    conflict_count: int = 0
    rejected: list[Judged] = field(default_factory=list)
    rejected_count: int = 0
    soft_failed: list[Judged] = field(default_factory=list)
    soft_failed_count: int = 0
    held: int = 0

    def event_ids(self) -> set[str]:
        """Of all events that it mentions."""
        found = {self.since_event, self.powers_event}
        for change in (*self.members, *self.settings):
            found.update((change.before, change.after))
        for conflict in self.conflicts:
            found.update((conflict.event_id, conflict.at, *conflict.loss.event_ids()))
        found.update(judged.event_id for judged in (*self.rejected, *self.soft_failed))
        return {event_id for event_id in found if event_id is not None}


class ChangeReporter:
    def __init__(self, store: Store, states: RoomStates, timeline: Timeline) -> None:
        self._store = store
        self._states = states
        self._timeline = timeline

    def since_event(self, room: RoomRecord, event_id: str) -> Changes | None:
        """None: the event isn't judged, so there is nothing to compare with."""
        event = self._store.events.get(event_id)
        if event is None or event.room_nid != room.nid:
            return None
        new = self._not_before(room, event.nid)
        before = self._store.state_groups.state(event.after)
        found = Changes(room_id=room.room_id, since_event=event_id, since_ms=None)
        return self._report(room, found, new, before)

    def since_time(self, room: RoomRecord, ms: int) -> Changes:
        """ms: by this node's clock."""
        found = Changes(room_id=room.room_id, since_event=None, since_ms=ms)
        first = self._store.arrivals.first_since(ms)
        if first is None:
            current = self._store.state_groups.state(room.current_group)
            return self._report(room, found, set(), current)
        edges = extremities_before(self._store, room, first)
        before, _ = self._states.trace(room.version, after_groups(self._store, edges))
        last = self._store.events.last_nid()
        outlines = self._store.events.outlines(room.nid, first, last)
        return self._report(room, found, {event.nid for event in outlines}, before)

    def _not_before(self, room: RoomRecord, nid: int) -> set[int]:
        """All events of the room but this one and its ancestors."""
        known, new = {nid}, set[int]()
        for event in self._store.events.newest_first(room.nid, 0):
            if event.nid in known:
                known.discard(event.nid)
                known.update(event.parents)
            else:
                new.add(event.nid)
        return new

    def _report(self, room: RoomRecord, found: Changes, new: set[int], before: StateMap) -> Changes:
        after = self._store.state_groups.state(room.current_group)
        found.held = self._store.held.count(room.nid)
        self._compare(found, before, after)
        gave_way: list[StoredEvent] = []
        messages: dict[str, list[int]] = {}
        soft_failed: Counter[str] = Counter()
        for event in self._events(room, new):
            self._count(found, event)
            if event.rejected:
                continue
            if event.pdu.is_state:
                if after.get(event.pdu.key) != event.event_id:
                    gave_way.append(event)
            elif event.pdu.type in _MESSAGES:
                messages.setdefault(event.pdu.sender, []).append(event.nid)
                soft_failed[event.pdu.sender] += event.soft_failed
            else:
                found.other_events += 1
        found.messages = self._talk(room, messages, soft_failed)
        for change in (*found.members, *found.settings):
            gave_way += self._stored(change.before)
        if before.get(_POWER_LEVELS) != after.get(_POWER_LEVELS):
            gave_way += self._stored(before.get(_POWER_LEVELS))
        self._add_conflicts(room, found, gave_way)
        return found

    def _events(self, room: RoomRecord, new: set[int]) -> Iterator[StoredEvent]:
        if new:
            for event in self._store.events.in_nid_order(room.nid, min(new) - 1):
                if event.nid in new:
                    yield event

    def _stored(self, event_id: str | None) -> list[StoredEvent]:
        event = None if event_id is None else self._store.events.get(event_id)
        return [] if event is None else [event]

    @staticmethod
    def _count(found: Changes, event: StoredEvent) -> None:
        judged = Judged(event_id=event.event_id, reason=event.reason)
        if event.rejected:
            found.rejected_count += 1
            if found.rejected_count <= MAX_LISTED:
                found.rejected.append(judged)
            return
        found.new_events += 1
        if event.soft_failed:
            found.soft_failed_count += 1
            if found.soft_failed_count <= MAX_LISTED:
                found.soft_failed.append(judged)

    # --- messages

    def _talk(
        self, room: RoomRecord, messages: Mapping[str, list[int]], soft_failed: Counter[str]
    ) -> list[Talk]:
        """The most talkative first."""
        apart = self._timeline.apart_of(room, messages)
        found = [
            Talk(
                sender=sender,
                count=len(nids),
                apart=len(apart.intersection(nids)),
                soft_failed=soft_failed[sender],
            )
            for sender, nids in messages.items()
        ]
        return sorted(found, key=lambda talk: (-talk.count, talk.sender))

    # --- state

    def _compare(self, found: Changes, before: StateMap, after: StateMap) -> None:
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) == after.get(key):
                continue
            if key == _POWER_LEVELS:
                found.powers_event = after.get(key)
                found.powers = list(self._power_changes(before, after))
                continue
            type_, state_key = key
            change = Change(
                type=type_, state_key=state_key, before=before.get(key), after=after.get(key)
            )
            (found.members if type_ == _MEMBER else found.settings).append(change)

    def _power_changes(self, before: StateMap, after: StateMap) -> Iterator[PowerChange]:
        old, new = self._levels(before), self._levels(after)
        for user_id in sorted(old.users.keys() | new.users.keys()):
            yield from _changed("user", user_id, old, new)
        for name in LEVEL_NAMES:
            yield from _changed("level", name, old, new)
        for event_type in sorted(old.events.keys() | new.events.keys()):
            yield from _changed("event", event_type, old, new)

    def _levels(self, state: StateMap) -> PowerLevels:
        event = self._states.lookup_in(state)(*_POWER_LEVELS)
        return NO_POWER_LEVELS if event is None else event.power_levels

    # --- conflicts

    def _add_conflicts(self, room: RoomRecord, found: Changes, gave_way: list[StoredEvent]) -> None:
        """Those that gave way to something that isn't built on them."""
        events = {event.event_id: event for event in gave_way}
        if not events:
            return
        keys = {event_id: event.pdu.key for event_id, event in events.items()}
        first = min(event.nid for event in events.values())
        ends = fates(self._store, room, keys, first)
        conflicts = Conflicts(self._store, self._states, room)
        edges = set(after_groups(self._store, self._store.rooms.forward_extremities(room.nid)))
        for event_id, event in sorted(events.items(), key=lambda item: item[1].nid):
            if ends[event_id].superseded_by:
                continue
            conflict = self._conflict(conflicts, event.pdu, ends[event_id].lost_at, edges)
            if conflict is None:
                continue
            found.conflict_count += 1
            if found.conflict_count <= MAX_LISTED:
                found.conflicts.append(conflict)

    def _conflict(
        self, conflicts: Conflicts, event: Pdu, lost_at: list[int], edges: set[int]
    ) -> Conflict | None:
        loss = conflicts.loss(event, edges)
        if loss is not None:
            return Conflict(event_id=event.event_id, at=None, loss=loss)
        for nid in lost_at:
            merge = self._store.events.by_nid(nid)
            assert merge is not None, "the walk found it"
            loss = conflicts.loss(event, after_groups(self._store, merge.parents))
            if loss is not None:
                return Conflict(event_id=event.event_id, at=merge.event_id, loss=loss)
        return None


def _changed(kind: str, name: str, old: PowerLevels, new: PowerLevels) -> Iterator[PowerChange]:
    before, after = _level(old, kind, name), _level(new, kind, name)
    if before != after:
        yield PowerChange(kind=kind, name=name, before=before, after=after)


def _level(levels: PowerLevels, kind: str, name: str) -> int | None:
    try:
        if kind == "user":
            return levels.user_level(name)
        if kind == "level":
            return levels.level(name)
        return levels.events.get(name)
    except AuthRuleError:  # below version 10 a level can be unreadable
        return None
