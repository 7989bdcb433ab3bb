"""`dtnode check`: a whole store verified, without trusting anything in it.

Every room is judged again in memory from its root, by the very pipeline the node uses, and compared
with what is stored: ids, signatures, content hashes, verdicts, states, tips. What depends on the
order of arrival (soft_failed) isn't compared; forward extremities and the current state have to
follow from it. Reads only; called by the command line on a store that no node has open.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dtnode.errors import PduError, StoreError
from dtnode.matrix.pdu import Pdu, read_pdu
from dtnode.matrix.signing import KeyLookup, check_content_hash, verify_pdu
from dtnode.rooms.cards import check_card
from dtnode.rooms.outcome import Outcome, Verdict
from dtnode.rooms.receive import Receiver
from dtnode.rooms.state import RoomStates
from dtnode.rooms.verify_indexes import index_findings
from dtnode.store import RoomKind, RoomRecord, Store, StoredEvent
from dtnode.store.inspection import HeldRow, StoredRow
from dtnode.wire.messages import CardKind, RoomCard

MAX_FINDINGS = 1_000  # kept and shown; more are counted
_BATCH = 200  # events in memory at once besides what was judged
_NONSENSE = (
    StoreError,
    PduError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
)
"""What reading an altered row may raise: any of it is a finding."""

_NOT_REDACTED = "it is said to be kept in redacted form only, and what is stored is more"

Progress = Callable[[int], None]
"""Hears how many events were looked at, of Inspection.count_events()."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """what: one line for a person. room_id: None where it is about the file as a whole."""

    room_id: str | None
    event_id: str | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """findings: at most MAX_FINDINGS; found: how many there are."""

    rooms: int
    events: int
    held: int
    found: int
    findings: tuple[Finding, ...]


def check_store(store: Store, keys: KeyLookup, progress: Progress) -> CheckReport:
    """keys: (server name, key id) -> 32-byte Ed25519 key, None if unknown."""
    found = _Findings()
    for text in store.inspection.damage():
        found.add(None, None, text)
    try:
        rooms: Sequence[RoomRecord] = list(store.rooms)
    except _NONSENSE as exc:
        rooms = ()
        found.add(None, None, f"the list of rooms can't be read: {exc}")
    events = held = 0
    for room in rooms:
        check = _RoomCheck(store, room, keys, found)
        try:
            check.run(lambda done, before=events: progress(before + done))  # type: ignore[misc]
        except _NONSENSE as exc:
            found.add(room.room_id, None, f"the rest of the room can't be read: {exc}")
        finally:
            check.close()
        events += check.events
        held += check.held
    return CheckReport(
        rooms=len(rooms),
        events=events,
        held=held,
        found=found.count,
        findings=tuple(found.kept),
    )


class _Findings:
    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0

    def add(self, room_id: str | None, event_id: str | None, what: str) -> None:
        self.count += 1
        if len(self.kept) < MAX_FINDINGS:
            self.kept.append(Finding(room_id=room_id, event_id=event_id, what=what))


class _RoomCheck:
    def __init__(self, store: Store, room: RoomRecord, keys: KeyLookup, found: _Findings) -> None:
        self._store = store
        self._room = room
        self._keys = keys
        self._found = found
        self._again = Store(None)
        self._states = RoomStates(self._again)
        self._receiver = Receiver(self._again, self._states, keys, own_name="")
        with self._again.transaction():
            self._twin = self._again.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
        self._ids: dict[int, str] = {}
        self._equal: set[tuple[int, int]] = set()
        self._unjudged = 0
        self.events = 0
        self.held = 0

    def close(self) -> None:
        self._again.close()

    def run(self, progress: Progress) -> None:
        after = 0
        while rows := self._store.inspection.rows(self._room.nid, after, _BATCH):
            self._judge(rows)
            after = rows[-1].nid
            self.events += len(rows)
            progress(self.events)
        if self._unjudged:
            self._add(None, f"{self._unjudged} events build on those and can't be judged again")
        elif self.events:
            self._check_edges()
            self._check_indexes()
        elif self._room.kind is RoomKind.COMPLETE:
            self._add(None, "it is said to be complete and has no events")
        anchor = self._room.anchor
        if self._room.kind is RoomKind.INVITED and (self._is_whole() or anchor is None):
            self._add(None, "it is kept as one this user is only invited to, which it isn't")
        self._check_held()
        self._check_cards()

    def _is_whole(self) -> bool:
        """Whether what its invite stands on was judged here, which ends being invited only."""
        anchor = self._room.anchor
        return anchor is not None and self._stored_here(anchor) is not None

    def _add(self, event_id: str | None, what: str) -> None:
        self._found.add(self._room.room_id, event_id, what)

    # --- judged events

    def _judge(self, rows: Sequence[StoredRow]) -> None:
        with self._again.transaction():
            received = self._receiver.receive(
                self._twin, [row.pdu for row in rows], source="check", now_ms=0
            )
        released = {outcome.event_id for outcome in received.released}
        for row, outcome in zip(rows, received.outcomes, strict=True):
            self._ids[row.nid] = row.event_id
            if row.event_id in released:
                self._add(row.event_id, "it has a smaller number than an event it builds on")
            elif self._is_same_event(row, outcome):
                self._compare(row, outcome)

    def _is_same_event(self, row: StoredRow, outcome: Outcome) -> bool:
        if outcome.verdict is Verdict.HELD:
            self._unjudged += 1
        elif outcome.verdict is Verdict.DROPPED:
            check = "" if outcome.check is None else f"{outcome.check.value}: "
            self._add(row.event_id, f"{check}{outcome.reason}")
        elif outcome.event_id != row.event_id:
            self._add(row.event_id, f"what is stored is another event: {outcome.event_id}")
        elif outcome.verdict is Verdict.DUPLICATE:
            self._add(row.event_id, "it is stored twice")
        else:
            return True
        return False

    def _compare(self, row: StoredRow, outcome: Outcome) -> None:
        event = self._again.events.get(row.event_id)
        assert event is not None, "it was judged a moment ago"
        if outcome.redacted and not row.redacted:
            self._add(row.event_id, "its content isn't what its hash says")
        if row.redacted and row.pdu != event.pdu.redacted_form().canonical():
            self._add(row.event_id, _NOT_REDACTED)
        if event.rejected != row.rejected:
            stored = "rejected" if row.rejected else "accepted"
            why = "" if outcome.reason is None else f" ({outcome.reason})"
            self._add(row.event_id, f"stored as {stored}, judged otherwise now{why}")
        parents = [self._ids.get(nid) for nid in row.parents]
        if parents != list(event.pdu.prev_events):
            self._add(row.event_id, "its parents aren't those it names")
        if (row.topo, row.ts) != (event.topo, event.pdu.origin_server_ts):
            self._add(row.event_id, "its place in the order is wrong")
        if row.sender_server != event.pdu.sender_server:
            self._add(row.event_id, "it is filed under another sender's server")
        for name, group, again in (
            ("before", row.before, event.before),
            ("after", row.after, event.after),
        ):
            if not self._same_state(group, again):
                self._add(row.event_id, f"the state {name} it isn't what follows from its past")

    def _same_state(self, stored: int, again: int) -> bool:
        """Whether two groups, of the store and of memory, hold the same."""
        if (stored, again) not in self._equal:
            try:
                state = self._store.state_groups.state(stored)
            except _NONSENSE:
                return False
            if state != self._again.state_groups.state(again):
                return False
            self._equal.add((stored, again))
        return True

    # --- tips, forward extremities, current state

    def _check_edges(self) -> None:
        rooms = self._store.rooms
        tips = {self._ids.get(nid) for nid in rooms.tips(self._room.nid)}
        expected = set(self._again.events.ids_of(self._again.rooms.tips(self._twin.nid)))
        for event_id in expected ^ tips:
            what = "it is a tip and not listed" if event_id in expected else "it is listed as a tip"
            self._add(event_id, what)
        extremities = rooms.forward_extremities(self._room.nid)
        if extremities != self._expected_extremities():
            self._add(None, "its forward extremities aren't those that follow from its events")
            return
        events = self._again.events
        after = [e.after for nid in extremities if (e := events.get(self._ids[nid])) is not None]
        with self._again.transaction():
            current = self._states.resolve(self._room.version, after)
        if not self._same_state(self._room.current_group, current):
            self._add(None, "its current state isn't what follows from its forward extremities")

    def _check_indexes(self) -> None:
        get = self._again.events.get
        judged = {nid: event for nid, id_ in self._ids.items() if (event := get(id_)) is not None}
        for event_id, what in index_findings(self._store, self._room.nid, judged):
            self._add(event_id, what)

    def _expected_extremities(self) -> set[int]:
        """Accepted events that aren't soft-failed and that none such builds on, neither directly
        nor through others."""
        found: set[int] = set()
        passed: dict[int, tuple[int, ...]] = {}  # soft-failed and rejected ones, and their parents
        last = self._store.events.last_nid()
        for outline in self._store.events.outlines(self._room.nid, 0, last):
            if outline.rejected or outline.soft_failed:
                passed[outline.nid] = outline.parents
                continue
            found -= _through(outline.parents, passed)
            found.add(outline.nid)
        return found

    # --- what waits, and cards

    def _check_held(self) -> None:
        for row in self._store.inspection.held_rows(self._room.nid):
            self.held += 1
            try:
                self._check_held_event(row)
            except _NONSENSE as exc:
                self._add(row.event_id, f"held: {exc}")

    def _check_held_event(self, row: HeldRow) -> None:
        pdu = read_pdu(row.pdu, self._room.version)
        if pdu.event_id != row.event_id:
            self._add(row.event_id, f"held: what is stored is another event: {pdu.event_id}")
            return
        verify_pdu(pdu, self._keys)
        if check_content_hash(pdu).redacted and not row.redacted:
            self._add(row.event_id, "held: its content isn't what its hash says")
        if row.redacted and row.pdu != pdu.redacted_form().canonical():
            self._add(row.event_id, f"held: {_NOT_REDACTED}")
        missing = {id_ for id_ in _names(pdu) if self._stored_here(id_) is None}
        if not missing:
            self._add(row.event_id, "held, though everything it builds on is here")
        elif missing != row.missing:
            self._add(row.event_id, "held: what it waits for isn't what it lacks")

    def _stored_here(self, event_id: str) -> StoredEvent | None:
        event = self._store.events.get(event_id)
        return event if event is not None and event.room_nid == self._room.nid else None

    def _check_cards(self) -> None:
        for card in self._store.rooms.cards(self._room.nid):
            try:
                check_card(
                    RoomCard(
                        kind=CardKind(card.kind),
                        room_id=self._room.room_id,
                        room_version=self._room.version.identifier,
                        event_id=card.event_id,
                        pdus=card.pdus,
                        state=card.state,
                        state_hash=card.state_hash,
                        servers=card.servers,
                    ),
                    self._keys,
                )
            except _NONSENSE as exc:
                self._add(card.event_id, f"its card: {exc}")


def _names(pdu: Pdu) -> Iterable[str]:
    return (*pdu.prev_events, *pdu.auth_event_ids)


def _through(parents: Iterable[int], passed: dict[int, tuple[int, ...]]) -> set[int]:
    """`parents` and, through those in `passed`, what lies before them."""
    found: set[int] = set()
    todo: list[Any] = list(parents)
    while todo:
        nid = todo.pop()
        if nid not in found:
            found.add(nid)
            todo += passed.get(nid, ())
    return found
