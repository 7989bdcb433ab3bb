"""The receive pipeline: seven checks as one straight line (DESIGN section 2; server-server API,
"Checks performed on receipt of a PDU"). Local events enter at check 3 like everybody's.

Not here: who may send us events (dtnode.node), what to ask peers for (dtnode.sync).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dtnode.errors import AuthRuleError, FormatError, PduError, SignatureError
from dtnode.matrix.canonical_json import parse_json_object
from dtnode.matrix.event_auth import (
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
)
from dtnode.matrix.pdu import Pdu, parse_pdu
from dtnode.matrix.signing import KeyLookup, check_content_hash, verify_pdu
from dtnode.rooms.outcome import Check, Outcome, Received, Verdict
from dtnode.rooms.state import RoomStates
from dtnode.store import HeldEvent, RoomRecord, Store, StoredEvent


class Receiver:
    """keys: (server name, key id) -> 32-byte Ed25519 key, None if unknown. own_name: our own."""

    def __init__(self, store: Store, states: RoomStates, keys: KeyLookup, own_name: str) -> None:
        self._store = store
        self._states = states
        self._keys = keys
        self._own_name = own_name

    def receive(
        self, room: RoomRecord, pdus: Sequence[bytes], *, source: str, now_ms: int
    ) -> Received:
        """Judges PDUs (JSON, federation format) of one room, and held ones that they complete.

        Within the caller's transaction. Never raises for what a peer sent: that is an outcome.
        """
        outcomes: list[Outcome] = []
        released: list[Outcome] = []
        for data in pdus:
            checked = self._check_alone(room, data)
            if isinstance(checked, Outcome):
                outcomes.append(checked)
                continue
            outcome = self._receive_checked(room, checked, source, now_ms, None)
            outcomes.append(outcome)
            if outcome.verdict in (Verdict.ACCEPTED, Verdict.REJECTED):
                released += self._release(room, checked.event_id)
        evicted: list[str] = []
        if any(outcome.verdict is Verdict.HELD for outcome in outcomes):
            evicted = self._store.held.evict_over_bounds(room.nid, source, self._own_name)
        return Received(outcomes=tuple(outcomes), released=tuple(released), evicted=tuple(evicted))

    def receive_own(self, room: RoomRecord, pdu: Pdu, now_ms: int, position: int | None) -> Outcome:
        """Checks 3 to 7 for an event this node just built and signed. Held own events are shown to
        clients under `position`."""
        return self._receive_checked(room, pdu, self._own_name, now_ms, position)

    # --- checks 1, 2: an event alone

    def _check_alone(self, room: RoomRecord, data: bytes) -> Pdu | Outcome:
        pdu: Pdu | None = None
        try:
            pdu = parse_pdu(parse_json_object(data), room.version)
            if pdu.room_id != room.room_id:
                raise FormatError(f"the event belongs to room {pdu.room_id}, not {room.room_id}")
            known = self._store.events.get(pdu.event_id)
            if known is not None and known.pdu.canonical() == pdu.canonical():
                return Outcome(event_id=pdu.event_id, verdict=Verdict.DUPLICATE)
            verify_pdu(pdu, self._keys)
            return check_content_hash(pdu)
        except SignatureError as exc:
            assert pdu is not None
            return _failed(pdu.event_id, Verdict.DROPPED, Check.SIGNATURE, exc)
        except AuthRuleError as exc:
            return _failed(getattr(exc, "event_id", None), Verdict.DROPPED, Check.FORMAT, exc)
        except FormatError as exc:
            return _failed(getattr(exc, "event_id", None), Verdict.DROPPED, Check.FORMAT, exc)

    # --- check 3: is everything it builds on here?

    def _receive_checked(
        self, room: RoomRecord, pdu: Pdu, source: str, now_ms: int, position: int | None
    ) -> Outcome:
        known = self._store.events.get(pdu.event_id)
        if known is not None:
            return self._duplicate(room, known, pdu)
        parents, auth, missing = self._ancestors(pdu)
        if any(parent.room_nid != room.nid for parent in parents):
            reason = "it names an event of another room as its parent"
            return Outcome(
                event_id=pdu.event_id, verdict=Verdict.DROPPED, check=Check.FORMAT, reason=reason
            )
        if missing:
            return self._hold(room, pdu, missing, source, now_ms, position)
        return self._judge(room, pdu, parents, auth, position)

    def _duplicate(self, room: RoomRecord, known: StoredEvent, pdu: Pdu) -> Outcome:
        if known.pdu.redacted and not pdu.redacted:
            self._store.events.replace_redacted(known, pdu)
        return Outcome(event_id=pdu.event_id, verdict=Verdict.DUPLICATE, redacted=pdu.redacted)

    def _ancestors(self, pdu: Pdu) -> tuple[list[StoredEvent], list[StoredEvent], list[str]]:
        """(parents, auth events, ids that aren't here)"""
        get = self._store.events.get
        missing: list[str] = []
        found: tuple[list[StoredEvent], list[StoredEvent]] = ([], [])
        for here, event_ids in zip(found, (pdu.prev_events, pdu.auth_event_ids), strict=True):
            for event_id in event_ids:
                event = get(event_id)
                if event is not None:
                    here.append(event)
                elif event_id not in missing:
                    missing.append(event_id)
        return *found, missing

    def _hold(
        self,
        room: RoomRecord,
        pdu: Pdu,
        missing: list[str],
        source: str,
        now_ms: int,
        position: int | None,
    ) -> Outcome:
        known = self._store.held.has(pdu.event_id)
        self._store.held.add(
            room.nid, pdu, missing, source=source, now_ms=now_ms, position=position
        )
        return Outcome(
            event_id=pdu.event_id,
            verdict=Verdict.DUPLICATE if known else Verdict.HELD,
            reason=f"{len(missing)} of the events it builds on are not here yet",
            missing=tuple(missing),
        )

    def _release(self, room: RoomRecord, event_id: str) -> list[Outcome]:
        """Judges held events that waited for this one, and those that waited for them."""
        outcomes: list[Outcome] = []
        judged = [event_id]
        while judged:
            for held in self._store.held.waiting_for(judged.pop()):
                outcome = self._judge_held(room, held)
                outcomes.append(outcome)
                if outcome.event_id is not None and outcome.verdict is not Verdict.HELD:
                    judged.append(outcome.event_id)
        return outcomes

    def _judge_held(self, room: RoomRecord, held: HeldEvent) -> Outcome:
        parents, auth, missing = self._ancestors(held.pdu)
        if missing:  # an event was evicted from the store's view in between: wait for it again
            return self._hold(room, held.pdu, missing, held.source, held.received_ms, held.position)
        self._store.held.remove(held)
        return self._judge(room, held.pdu, parents, auth, held.position)

    # --- checks 4 to 7

    def _judge(
        self,
        room: RoomRecord,
        pdu: Pdu,
        parents: Sequence[StoredEvent],
        auth: Sequence[StoredEvent],
        position: int | None,
    ) -> Outcome:
        before = self._states.resolve(room.version, (parent.after for parent in parents))
        failed = self._check_auth_events(pdu, auth) or self._check_state_before(pdu, before)
        soft_reason = None if failed else self._check_current_state(room.nid, pdu, parents)
        event = self._stored(room, pdu, parents, before, failed, soft_reason, position)
        self._store.events.add(event)
        if event.accepted:
            self._advance(room, event)
        check, reason = failed or (
            (Check.CURRENT_STATE, soft_reason) if soft_reason else (None, None)
        )
        return Outcome(
            event_id=pdu.event_id,
            verdict=Verdict.REJECTED if failed else Verdict.ACCEPTED,
            check=check,
            reason=reason,
            soft_failed=event.soft_failed,
            redacted=pdu.redacted,
        )

    def _check_auth_events(self, pdu: Pdu, auth: Sequence[StoredEvent]) -> tuple[Check, str] | None:
        """Check 4: passes the authorisation rules based on its auth events."""
        rejected = {event.event_id for event in auth if event.rejected}
        state = {event.pdu.key: event.pdu for event in auth if event.pdu.is_state}
        try:
            check_state_independent_auth_rules(
                pdu, [event.pdu for event in auth], rejected.__contains__
            )
            check_state_dependent_auth_rules(pdu, lambda type_, key: state.get((type_, key)))
        except PduError as exc:
            return Check.AUTH_EVENTS, exc.reason
        return None

    def _check_state_before(self, pdu: Pdu, before: int) -> tuple[Check, str] | None:
        """Check 5: passes the authorisation rules based on the state before the event."""
        try:
            check_state_dependent_auth_rules(pdu, self._states.lookup(before))
        except PduError as exc:
            return Check.STATE_BEFORE, exc.reason
        return None

    def _check_current_state(
        self, room_nid: int, pdu: Pdu, parents: Sequence[StoredEvent]
    ) -> str | None:
        """Check 6: passes the rules based on the state over the forward extremities, else the event
        is soft-failed. Where it names exactly those as parents, check 5 was this check."""
        if {parent.nid for parent in parents} == self._store.rooms.forward_extremities(room_nid):
            return None
        current = self._store.rooms.by_nid(room_nid).current_group
        try:
            check_state_dependent_auth_rules(pdu, self._states.lookup(current))
        except PduError as exc:
            return exc.reason
        return None

    def _stored(
        self,
        room: RoomRecord,
        pdu: Pdu,
        parents: Sequence[StoredEvent],
        before: int,
        failed: tuple[Check, str] | None,
        soft_reason: str | None,
        position: int | None,
    ) -> StoredEvent:
        events = self._store.events
        after = before
        if pdu.is_state and not failed:
            after = self._store.state_groups.derive(before, {pdu.key: pdu.event_id})
        if position is None and not failed:
            position = events.next_position()
        return StoredEvent(
            nid=events.next_nid(),
            room_nid=room.nid,
            pdu=pdu,
            topo=1 + max((parent.topo for parent in parents), default=0),
            rejected=failed is not None,
            soft_failed=soft_reason is not None,
            before=before,
            after=after,
            parents=tuple(parent.nid for parent in parents),
            position=position,
            reason=failed[1] if failed else soft_reason,
        )

    # --- 7: tips, forward extremities, current state

    def _advance(self, room: RoomRecord, event: StoredEvent) -> None:
        rooms = self._store.rooms
        rooms.set_tips(room.nid, (rooms.tips(room.nid) - set(event.parents)) | {event.nid})
        if event.soft_failed:
            return
        extremities = rooms.forward_extremities(room.nid) - self._superseded(event.parents)
        extremities |= {event.nid}
        rooms.set_forward_extremities(room.nid, extremities)
        if len(extremities) == 1:
            current = event.after
        else:
            current = self._states.resolve(room.version, self._after_groups(extremities))
        rooms.set_current_group(room.nid, current)

    def _after_groups(self, nids: Iterable[int]) -> list[int]:
        groups = []
        for nid in nids:
            event = self._store.events.by_nid(nid)
            assert event is not None, "a forward extremity is a stored event"
            groups.append(event.after)
        return groups

    def _superseded(self, parents: Iterable[int]) -> set[int]:
        """The parents and, through soft-failed or rejected ones, what lies before those."""
        found: set[int] = set()
        todo = list(parents)
        while todo:
            nid = todo.pop()
            if nid in found:
                continue
            found.add(nid)
            event = self._store.events.by_nid(nid)
            if event is not None and (event.soft_failed or event.rejected):
                todo.extend(event.parents)
        return found


def _failed(event_id: str | None, verdict: Verdict, check: Check, exc: PduError) -> Outcome:
    return Outcome(event_id=event_id, verdict=verdict, check=check, reason=exc.reason)
