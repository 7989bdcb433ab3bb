"""`dtnode room explain`: why an event is judged as it is, check by check with the rule that
decided, and what became of the state it set.

Nothing is decided or stored here. Verdicts and reasons are the receive pipeline's; the checks are
run again with dtnode.matrix to name the rule and the events that it read. Called by
dtnode.client_api.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dtnode.errors import PduError
from dtnode.matrix.event_auth import StateLookup, check_state_independent_auth_rules
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.server_acl import acl_allows
from dtnode.rooms.conflicts import Conflicts
from dtnode.rooms.explanation import (
    ANCESTORS,
    CheckReport,
    Explanation,
    LostAt,
    Named,
    StateReport,
)
from dtnode.rooms.gaps import is_content_gap
from dtnode.rooms.grounds import Ground, Obstacle, grounds, what_forbids, why_forbidden
from dtnode.rooms.history import extremities_before, fates
from dtnode.rooms.membership import stored_card
from dtnode.rooms.names import NameAmbiguous, NameNotFound
from dtnode.rooms.outcome import Check
from dtnode.rooms.receive import EVENT_ID_LENGTH
from dtnode.rooms.sharing import Sharing
from dtnode.rooms.state import RoomStates
from dtnode.rooms.timeline import Timeline
from dtnode.store import RoomKind, RoomRecord, Store, StoredEvent

MIN_PREFIX = 5  # characters of an event id, behind the $: a million events rarely share so many
_CANDIDATES = 5  # named where a prefix fits several
_MAX_WAITED_FOR = 1_000  # held events looked through for what the last of them waits for


class Explainer:
    def __init__(
        self,
        store: Store,
        states: RoomStates,
        sharing: Sharing,
        timeline: Timeline,
        own_name: str,
    ) -> None:
        self._store = store
        self._states = states
        self._sharing = sharing
        self._timeline = timeline
        self._own_name = own_name

    # --- which event

    def find(self, room: RoomRecord, text: str) -> str:
        """The id of an event of the room, by its id or the beginning of it, with or without the $.
        Missing events that others name count. NameNotFound, NameAmbiguous."""
        prefix = "$" + text.strip().removeprefix("$")
        if len(prefix) <= MIN_PREFIX or not prefix.isascii():
            raise NameNotFound(
                f"{text[:80]!r} is not the beginning of an event's id: at least {MIN_PREFIX}"
                " characters of it are needed; see them with: dtnode read ROOM --json"
            )
        found = self._candidates(room, prefix)
        if prefix in found or len(found) == 1:
            return prefix if prefix in found else found[0]
        if found:
            ids = ", ".join(found[:_CANDIDATES])
            raise NameAmbiguous(f"several events begin with {text!r}, give more of it: {ids}")
        what = "has the id" if len(prefix) >= EVENT_ID_LENGTH else "has an id that begins with"
        raise NameNotFound(
            f"no event of this room that is known here {what} {text[:80]!r}; see the ids with:"
            " dtnode read ROOM --json, and what is missing with: dtnode gaps ROOM"
        )

    def _candidates(self, room: RoomRecord, prefix: str) -> list[str]:
        most = _CANDIDATES + 1
        found = set(self._store.events.ids_with_prefix(room.nid, prefix, most))
        found.update(self._store.held.ids_with_prefix(room.nid, prefix, most))
        found.update(id_ for id_ in self.on_cards(room) if id_.startswith(prefix))
        return sorted(found)

    def on_cards(self, room: RoomRecord) -> Mapping[str, Pdu]:
        """The events of the room's cards, by id."""
        found: dict[str, Pdu] = {}
        for record in self._store.rooms.cards(room.nid):
            found.update(stored_card(record, room).events)
        return found

    # --- why

    def explain(self, room: RoomRecord, event_id: str) -> Explanation:
        """event_id: from `find`."""
        stored = self._store.events.get(event_id)
        if stored is not None and stored.room_nid == room.nid:
            return self._judged(room, stored)
        held = self._store.held.get(event_id)
        if held is not None and held.room_nid == room.nid:
            return self._held(room, held.pdu, received_ms=held.received_ms, source=held.source)
        if event_id in self.on_cards(room):
            return Explanation(
                room_id=room.room_id,
                event_id=event_id,
                verdict="on a card",
                reason=(
                    "it came with an invite or removal, and was checked by the events that it rests"
                    " on; it is judged when the history before it is here"
                ),
            )
        return Explanation(
            room_id=room.room_id,
            event_id=event_id,
            verdict="missing",
            reason="other events build on it, and nobody has brought it yet",
            waits_for=(event_id,),
            needed_by=self._store.held.naming(room.nid, event_id, _CANDIDATES),
        )

    def _judged(self, room: RoomRecord, event: StoredEvent) -> Explanation:
        checks = _Checks(self._store, self._states, room, event)
        content = "whole"
        if event.dropped:
            content = "dropped"
        elif event.pdu.redacted:
            gap = is_content_gap(event, self._sharing, self._own_name)
            content = "gap" if gap else "redacted copy"
        apart = event.accepted and event.nid in self._timeline.sent_apart(room, [event])
        allowed_now = None
        if event.soft_failed:
            current = self._states.lookup(room.current_group)
            allowed_now = checks.forbidden_in(current) is None
        accepted_state = event.accepted and event.pdu.is_state
        return Explanation(
            room_id=room.room_id,
            event_id=event.event_id,
            verdict=verdict_of(event),
            reason=event.reason,
            arrived_ms=self._store.arrivals.of(event.nid),
            content=content,
            apart=apart,
            allowed_now=allowed_now,
            checks=tuple(checks.all()),
            parents=self._named(room, event.pdu.prev_events),
            auth_events=self._named(room, event.pdu.auth_event_ids),
            state=self._state(room, event) if accepted_state else None,
        )

    def _named(self, room: RoomRecord, event_ids: tuple[str, ...]) -> tuple[Named, ...]:
        return tuple(
            Named(event_id=event_id, verdict=self._verdict(room, event_id))
            for event_id in event_ids
        )

    def _verdict(self, room: RoomRecord, event_id: str) -> str:
        stored = self._store.events.get(event_id)
        if stored is not None and stored.room_nid == room.nid:
            return verdict_of(stored)
        return "held" if self._store.held.has(event_id) else "missing"

    # --- the state it set

    def _state(self, room: RoomRecord, event: StoredEvent) -> StateReport:
        key, conflicts = event.pdu.key, Conflicts(self._store, self._states, room)
        edges, tips = (
            self._after_groups(nids)
            for nids in (
                self._store.rooms.forward_extremities(room.nid),
                self._store.rooms.tips(room.nid),
            )
        )
        holds = self._store.state_groups.state(room.current_group).get(key)
        in_tips = conflicts.state(tips).get(key) == event.event_id
        fate = fates(self._store, room, {event.event_id: key}, event.nid)[event.event_id]
        superseded_by = tuple(self._store.events.ids_of(fate.superseded_by))
        lost: list[LostAt] = []
        for nid in () if superseded_by else fate.lost_at:
            merge = self._store.events.by_nid(nid)
            assert merge is not None, "the walk found it"
            loss = conflicts.loss(event.pdu, self._after_groups(merge.parents))
            if loss is not None and loss not in [told.loss for told in lost]:
                lost.append(LostAt(where="merge", event_id=merge.event_id, loss=loss))
        for where, groups in (("current state", edges), ("tip state", tips)):
            loss = conflicts.loss(event.pdu, groups)
            if loss is None or loss in [told.loss for told in lost]:
                continue
            if not self._builds_on(loss.winner, event):
                lost.append(LostAt(where=where, event_id=None, loss=loss))
        return StateReport(
            in_current=holds == event.event_id,
            in_tips=in_tips,
            holds=holds,
            superseded_by=superseded_by,
            lost=tuple(lost),
        )

    def _builds_on(self, event_id: str | None, older: StoredEvent) -> bool:
        """Then it replaced the older one knowingly, and there was no conflict."""
        nid = None if event_id is None else self._store.events.nid_of(event_id)
        return nid is not None and self._store.events.is_ancestor(older.nid, nid)

    def _after_groups(self, nids: frozenset[int] | tuple[int, ...]) -> frozenset[int]:
        return frozenset(after_groups(self._store, nids))

    # --- not judged yet

    def _held(self, room: RoomRecord, pdu: Pdu, *, received_ms: int, source: str) -> Explanation:
        waits_for = self._waits_for(room, pdu)
        reason = "events that it builds on are not here yet"
        if room.kind is RoomKind.INVITED:
            reason = "of this room there is only an invite here yet: nothing is judged before its"
            reason += " history comes from another member's node"
        checks = (
            CheckReport(check=Check.FORMAT.value, outcome="ok"),
            _signed(pdu),
            _whole(pdu),
            CheckReport(
                check=ANCESTORS,
                outcome="waiting",
                reason=f"{len(waits_for)} missing",
            ),
            *(
                CheckReport(check=check.value, outcome="not reached")
                for check in (Check.AUTH_EVENTS, Check.STATE_BEFORE, Check.CURRENT_STATE)
            ),
        )
        return Explanation(
            room_id=room.room_id,
            event_id=pdu.event_id,
            verdict="held",
            reason=reason,
            arrived_ms=received_ms,
            source=source,
            content="gap" if pdu.redacted else "whole",
            checks=checks,
            parents=self._named(room, pdu.prev_events),
            auth_events=self._named(room, pdu.auth_event_ids),
            waits_for=waits_for,
        )

    def _waits_for(self, room: RoomRecord, pdu: Pdu) -> tuple[str, ...]:
        """Missing events that it builds on, through held ones."""
        missing: dict[str, None] = {}
        todo, seen = [pdu], {pdu.event_id}
        while todo and len(seen) < _MAX_WAITED_FOR:
            held = todo.pop()
            for event_id in (*held.prev_events, *held.auth_event_ids):
                stored = self._store.events.get(event_id)
                if event_id in seen or (stored is not None and stored.room_nid == room.nid):
                    continue
                seen.add(event_id)
                ancestor = self._store.held.get(event_id)
                if ancestor is None or ancestor.room_nid != room.nid:
                    missing[event_id] = None
                else:
                    todo.append(ancestor.pdu)
        return tuple(missing)


def verdict_of(event: StoredEvent) -> str:
    if event.rejected:
        return "rejected"
    return "soft-failed" if event.soft_failed else "accepted"


def after_groups(store: Store, nids: frozenset[int] | tuple[int, ...]) -> Iterator[int]:
    for nid in nids:
        event = store.events.by_nid(nid)
        assert event is not None, "tips, extremities and parents are stored"
        yield event.after


def _signed(pdu: Pdu) -> CheckReport:
    grounds_ = tuple(
        Ground(text=f"signed by {server}", event_ids=())
        for server in sorted(pdu.json["signatures"])
    )
    return CheckReport(check=Check.SIGNATURE.value, outcome="ok", grounds=grounds_)


def _whole(pdu: Pdu, *, dropped: bool = False) -> CheckReport:
    if dropped or not pdu.redacted:
        return CheckReport(check=Check.CONTENT_HASH.value, outcome="ok")
    return CheckReport(
        check=Check.CONTENT_HASH.value,
        outcome="redacted",
        reason="only a redacted copy came: what its hash covers and the rules don't need is gone",
    )


class _Checks:
    """The checks of one judged event, run again."""

    def __init__(
        self, store: Store, states: RoomStates, room: RoomRecord, event: StoredEvent
    ) -> None:
        self._store = store
        self._states = states
        self._room = room
        self._event = event
        self._pdu = event.pdu
        self._auth = [self._stored(event_id) for event_id in event.pdu.auth_event_ids]
        by_key = {auth.pdu.key: auth.pdu for auth in self._auth if auth.pdu.is_state}
        self._own: StateLookup = lambda type_, key: by_key.get((type_, key))
        self._before = states.lookup(event.before)

    def _stored(self, event_id: str) -> StoredEvent:
        stored = self._store.events.get(event_id)
        assert stored is not None, "a judged event's auth events are stored"
        return stored

    def all(self) -> Iterator[CheckReport]:
        yield CheckReport(check=Check.FORMAT.value, outcome="ok")
        yield _signed(self._pdu)
        yield _whole(self._pdu, dropped=self._event.dropped)
        yield CheckReport(check=ANCESTORS, outcome="ok")
        said: tuple[Ground, ...] = ()
        for number, check in enumerate((self._auth_events, self._state_before, self._current)):
            report = check()
            yield replace(report, grounds=()) if report.grounds == said else report
            said = report.grounds
            if report.outcome == "failed":
                for later in (Check.STATE_BEFORE, Check.CURRENT_STATE)[number:]:
                    yield CheckReport(check=later.value, outcome="not reached")
                return

    def _auth_events(self) -> CheckReport:
        rejected = {auth.event_id for auth in self._auth if auth.rejected}
        name = Check.AUTH_EVENTS.value
        try:
            check_state_independent_auth_rules(
                self._pdu, [auth.pdu for auth in self._auth], rejected.__contains__
            )
        except PduError as exc:
            bad = Obstacle(because_of=tuple(sorted(rejected)))
            return CheckReport(check=name, outcome="failed", reason=exc.reason, obstacle=bad)
        reason = why_forbidden(self._pdu, self._own)
        if reason is not None:
            return CheckReport(check=name, outcome="failed", reason=reason)
        return CheckReport(check=name, outcome="ok", grounds=grounds(self._pdu, self._own))

    def _state_before(self) -> CheckReport:
        name, reason = Check.STATE_BEFORE.value, why_forbidden(self._pdu, self._before)
        if reason is None:
            found = grounds(self._pdu, self._before)
            return CheckReport(check=name, outcome="ok", grounds=found)
        obstacle = what_forbids(self._pdu, self._before, self._own)
        return CheckReport(check=name, outcome="failed", reason=reason, obstacle=obstacle)

    def _current(self) -> CheckReport:
        """Against the state over the forward extremities of the moment when it was judged."""
        name = Check.CURRENT_STATE.value
        if not self._event.soft_failed:
            return CheckReport(check=name, outcome="ok")
        edges = extremities_before(self._store, self._room, self._event.nid)
        state, _ = self._states.trace(self._room.version, after_groups(self._store, edges))
        current = self._states.lookup_in(state)
        return CheckReport(
            check=name,
            outcome="failed",
            reason=self._event.reason,
            obstacle=self._what_soft_failed(current),
            against=tuple(sorted(self._store.events.ids_of(edges))),
        )

    def _what_soft_failed(self, current: StateLookup) -> Obstacle:
        acl = self._denied_by(current)
        if acl is not None:
            return Obstacle(because_of=(acl.event_id,))
        return what_forbids(self._pdu, current, self._before)

    def forbidden_in(self, current: StateLookup) -> str | None:
        acl = self._denied_by(current)
        if acl is not None:
            return f"the room's server ACL denies {self._pdu.sender_server}"
        return why_forbidden(self._pdu, current)

    def _denied_by(self, state: StateLookup) -> Pdu | None:
        acl = state("m.room.server_acl", "")
        if acl is None or acl.redacted or acl_allows(self._pdu.sender_server, acl.content):
            return None
        return acl
