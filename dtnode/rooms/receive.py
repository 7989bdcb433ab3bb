"""The receive pipeline: seven checks as one straight line (DESIGN section 2; server-server API,
"Checks performed on receipt of a PDU"). Local events enter at check 3 like everybody's.

Not here: who may send us events (dtnode.node), what to ask peers for (dtnode.sync).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dtnode.errors import FormatError, PduError, SignatureError
from dtnode.matrix.event_auth import (
    auth_types_for_event,
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
)
from dtnode.matrix.pdu import Pdu, PduFormatError, read_pdu
from dtnode.matrix.signing import KeyLookup, check_content_hash, verify_pdu
from dtnode.rooms.judgement import Judgement, is_witness
from dtnode.rooms.outcome import Check, Outcome, Received, Verdict
from dtnode.rooms.permission import end_if_encrypted
from dtnode.rooms.spread import Spread, one_by_one
from dtnode.rooms.state import RoomStates
from dtnode.store import HeldEvent, RoomRecord, Store, StoredEvent
from dtnode.store.lru import Lru
from dtnode.store.state_groups import EMPTY_GROUP

EVENT_ID_LENGTH = 44  # $ and an unpadded base64 SHA-256, in every room version known here

_PARSED_AHEAD = 100  # events, a batch of the wire: at most 6.5 MB parsed and not yet judged

_REMEMBERED_PASSES = 2_000  # people who talk, by state: small tuples

_RULES_READ_CONTENT = frozenset({"m.room.create", "m.room.member", "m.room.power_levels"})

_READ_BY_THE_RULES = ("m.room.create", "m.room.power_levels", "m.room.third_party_invite")


class Receiver:
    """keys: (server name, key id) -> 32-byte Ed25519 key, None if unknown. own_name: our own.
    spread: how the signatures of a batch are checked. max_rejected: of one room, after which
    rejected events of servers outside it aren't kept any more, unless something kept stands on
    them; None: no bound."""

    def __init__(
        self,
        store: Store,
        states: RoomStates,
        keys: KeyLookup,
        own_name: str,
        spread: Spread = one_by_one,
        max_rejected: int | None = None,
    ) -> None:
        self._store = store
        self._states = states
        self._keys = keys
        self._own_name = own_name
        self._spread = spread
        self._max_rejected = max_rejected
        self._passed: Lru[object, bool] = Lru(_REMEMBERED_PASSES)
        self._judge_anew = False  # a whole copy came that may change verdicts given without it
        store.on_rollback(self._passed.clear)

    def receive(
        self, room: RoomRecord, pdus: Sequence[bytes], *, source: str, now_ms: int
    ) -> Received:
        """Judges PDUs (JSON, federation format) of one room, and held ones that they complete.

        Within the caller's transaction. Never raises for what a peer sent: that is an outcome.
        """
        outcomes: list[Outcome] = []
        released: list[Outcome] = []
        self._judge_anew = False
        last_nid = self._store.events.last_nid()
        some_held = self._store.held.any_in(room.nid)
        for checked in self._check_alone(room, pdus):
            if isinstance(checked, Outcome):
                outcomes.append(checked)
                continue
            pdu, known = checked
            outcome = self._receive_checked(room, pdu, known, source, now_ms, None)
            outcomes.append(outcome)
            if outcome.verdict is Verdict.HELD:
                some_held = True
            elif some_held and outcome.verdict is not Verdict.DUPLICATE:
                released += self._release(room, pdu.event_id)
        if self._judge_anew:
            released += self.rejudge(room)
        if self._store.events.last_nid() > last_nid:
            self._store.arrivals.note(last_nid + 1, now_ms)
        evicted: list[str] = []
        if any(outcome.verdict is Verdict.HELD for outcome in outcomes):
            evicted = self._store.held.evict_over_bounds(room.nid, source, self._own_name)
        return Received(outcomes=tuple(outcomes), released=tuple(released), evicted=tuple(evicted))

    def receive_own(self, room: RoomRecord, pdu: Pdu, now_ms: int, position: int | None) -> Outcome:
        """Checks 3 to 7 for an event this node just built and signed. Held own events are shown to
        clients under `position`."""
        known = self._store.events.get(pdu.event_id)
        self._store.arrivals.note(self._store.events.last_nid() + 1, now_ms)
        return self._receive_checked(room, pdu, known, self._own_name, now_ms, position)

    # --- checks 1, 2: an event alone

    def _check_alone(
        self, room: RoomRecord, pdus: Sequence[bytes]
    ) -> Iterator[tuple[Pdu, StoredEvent | None] | Outcome]:
        """Checks 1 and 2: each event, maybe redacted, and what is kept of it already. Some way
        ahead, so that the store is asked once for many and their signatures are checked together.
        """
        get = self._store.events.get
        for start in range(0, len(pdus), _PARSED_AHEAD):
            ahead = [_parse_one(room, data) for data in pdus[start : start + _PARSED_AHEAD]]
            parsed = [pdu for pdu in ahead if isinstance(pdu, Pdu)]
            self._store.events.look_ahead(pdu.event_id for pdu in parsed)
            new = {pdu.event_id: pdu for pdu in parsed if get(pdu.event_id) is None}
            verified = dict(zip(new, self._spread(self._verify, list(new.values())), strict=True))
            for pdu in ahead:
                if isinstance(pdu, Outcome):
                    yield pdu
                    continue
                known = get(pdu.event_id)
                if known is not None and known.pdu.canonical() == pdu.canonical():
                    yield Outcome(event_id=pdu.event_id, verdict=Verdict.DUPLICATE)
                    continue
                # Of several copies in a batch, maybe tampered with, the last was checked ahead.
                is_checked = new.get(pdu.event_id) is pdu
                found = verified[pdu.event_id] if is_checked else self._verify(pdu)
                yield found if isinstance(found, Outcome) else (found, known)

    def _verify(self, pdu: Pdu) -> Pdu | Outcome:
        """Check 2: the event, redacted if its content hash is wrong. May run in any thread."""
        try:
            verify_pdu(pdu, self._keys)
            return check_content_hash(pdu)
        except SignatureError as exc:
            return _dropped(pdu.event_id, Check.SIGNATURE, exc)
        except PduError as exc:
            return _dropped(pdu.event_id, Check.FORMAT, exc)

    # --- check 3: is everything it builds on here?

    def _receive_checked(
        self,
        room: RoomRecord,
        pdu: Pdu,
        known: StoredEvent | None,
        source: str,
        now_ms: int,
        position: int | None,
    ) -> Outcome:
        if known is not None:
            return self._duplicate(room, known, pdu)
        parents, auth, missing = self._ancestors(room, pdu)
        if missing:
            return self._hold(room, pdu, missing, source, now_ms, position)
        return self._judge(room, pdu, parents, auth, position)

    def _duplicate(self, room: RoomRecord, known: StoredEvent, pdu: Pdu) -> Outcome:
        unwanted = known.dropped and room.is_limited
        if known.pdu.redacted and not pdu.redacted and not unwanted:
            self._store.indexes.take(self._store.events.replace_redacted(known, pdu))
            self._judge_anew |= _redaction_may_change_verdicts(pdu)
            self._passed.clear()  # a server ACL may say something now
            if pdu.type == "m.room.member":
                self._states.forget_members()
        return Outcome(event_id=pdu.event_id, verdict=Verdict.DUPLICATE, redacted=pdu.redacted)

    def _ancestors(
        self, room: RoomRecord, pdu: Pdu
    ) -> tuple[list[StoredEvent], list[StoredEvent], list[str]]:
        """(parents, auth events, ids that aren't here). An event of another room counts as not
        here: a verdict must not depend on which other rooms a node happens to be in."""
        get = self._store.events.get
        missing: list[str] = []
        found: tuple[list[StoredEvent], list[StoredEvent]] = ([], [])
        for here, event_ids in zip(found, (pdu.prev_events, pdu.auth_event_ids), strict=True):
            for event_id in event_ids:
                event = get(event_id)
                if event is not None and event.room_nid == room.nid:
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
            for held in self._store.held.waiting_for(room.nid, judged.pop()):
                outcomes.append(self._judge_held(room, held))
                judged.append(held.pdu.event_id)
        return outcomes

    def _judge_held(self, room: RoomRecord, held: HeldEvent) -> Outcome:
        parents, auth, missing = self._ancestors(room, held.pdu)
        assert not missing, "judged events stay"
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
        found = self._judgement(room, pdu, parents, auth)
        if found.failed and self._is_surplus(room, pdu):
            return replace(found.outcome(pdu), verdict=Verdict.DROPPED)
        event = self._stored(room, pdu, parents, found, position)
        self._store.events.add(event)
        self._store.indexes.take(event)
        if event.accepted:
            self._advance(room, event, parents)
        return found.outcome(pdu)

    def _is_surplus(self, room: RoomRecord, pdu: Pdu) -> bool:
        """Whether a rejected event is one too many. Anyone with a key can make them without end; an
        ancestor of something kept is needed, and comes again when it is asked for."""
        current = self._store.rooms.by_nid(room.nid).current_group
        if self._max_rejected is None or pdu.sender_server in self._states.joined_servers(current):
            return False
        if pdu.sender_server == self._own_name or self._store.held.naming(
            room.nid, pdu.event_id, 1
        ):
            return False
        return self._store.events.counts(room.nid)[1] >= self._max_rejected

    def _judgement(
        self,
        room: RoomRecord,
        pdu: Pdu,
        parents: Sequence[StoredEvent],
        auth: Sequence[StoredEvent],
    ) -> Judgement:
        before = self._states.resolve(room.version, (parent.after for parent in parents))
        failed = self._check_authorisation(pdu, auth, before)
        soft_reason = None if failed else self._check_current_state(room.nid, pdu, before)
        return Judgement(before, failed, soft_reason)

    def _check_authorisation(
        self, pdu: Pdu, auth: Sequence[StoredEvent], before: int
    ) -> tuple[Check, str] | None:
        """Checks 4 and 5. What somebody may say once they may say again: of a message the rules
        read nothing but what is compared here."""
        same = (before, pdu.sender, pdu.type, pdu.auth_event_ids)
        is_message = pdu.state_key is None and pdu.type not in _RULES_READ_CONTENT
        if is_message and self._passed.get(same):
            return None
        failed = self._check_auth_events(pdu, auth) or self._check_state_before(pdu, auth, before)
        if is_message and failed is None:
            self._passed.put(same, True)
        return failed

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

    def _check_state_before(
        self, pdu: Pdu, auth: Sequence[StoredEvent], before: int
    ) -> tuple[Check, str] | None:
        """Check 5: passes the authorisation rules based on the state before the event. Where that
        holds just what its auth events are, as it mostly does, check 4 was this check."""
        state = self._store.state_groups.state(before)
        chosen = {event.pdu.key: event.event_id for event in auth if event.pdu.is_state}
        if all(state.get(key) == chosen.get(key) for key in auth_types_for_event(pdu)):
            return None
        try:
            check_state_dependent_auth_rules(pdu, self._states.lookup(before))
        except PduError as exc:
            return Check.STATE_BEFORE, exc.reason
        return None

    def _check_current_state(self, room_nid: int, pdu: Pdu, before: int) -> str | None:
        """Check 6: passes the rules based on the state over the forward extremities, else the event
        is soft-failed; so is the event of a server that the room's ACL denies (DESIGN section 6).
        Where that state is the one before the event, check 5 was this check."""
        current = self._store.rooms.by_nid(room_nid).current_group
        same = (current, current == before, pdu.sender, pdu.type)
        is_message = pdu.state_key is None and pdu.type not in _RULES_READ_CONTENT
        if is_message and self._passed.get(same):
            return None
        reason = self._why_not_now(pdu, current, before)
        if is_message and reason is None:
            self._passed.put(same, True)
        return reason

    def _why_not_now(self, pdu: Pdu, current: int, before: int) -> str | None:
        if not self._states.acl_allows(current, pdu.sender_server):
            return f"the room's server ACL denies {pdu.sender_server}"
        if current == before:
            return None
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
        found: Judgement,
        position: int | None,
    ) -> StoredEvent:
        events = self._store.events
        if position is None and not found.failed:
            position = events.next_position()
        parent_nids = tuple(parent.nid for parent in parents)
        return StoredEvent(
            nid=events.next_nid(),
            room_nid=room.nid,
            pdu=pdu,
            topo=1 + max((parent.topo for parent in parents), default=0),
            rejected=found.failed is not None,
            soft_failed=found.soft_reason is not None,
            before=found.before,
            after=self._after(pdu, found),
            parents=parent_nids,
            position=position,
            reason=found.reason,
            witness=is_witness(pdu, parents),
            sees_all=not found.failed and self._sees_all(room, parent_nids),
        )

    def _after(self, pdu: Pdu, found: Judgement) -> int:
        if not pdu.is_state or found.failed:
            return found.before
        return self._store.state_groups.derive(found.before, {pdu.key: pdu.event_id})

    # --- 7: tips, forward extremities, current state

    def _advance(
        self, room: RoomRecord, event: StoredEvent, parents: Iterable[StoredEvent]
    ) -> None:
        rooms = self._store.rooms
        rooms.set_tips(room.nid, (rooms.tips(room.nid) - set(event.parents)) | {event.nid})
        if event.soft_failed:
            return
        extremities = rooms.forward_extremities(room.nid) - self._superseded(parents)
        extremities |= {event.nid}
        rooms.set_forward_extremities(room.nid, extremities)
        if len(extremities) == 1:
            current = event.after
        else:
            current = self._states.resolve(room.version, self._after_groups(extremities))
        rooms.set_current_group(room.nid, current)
        end_if_encrypted(self._store, self._states, room.nid)

    def rejudge(self, room: RoomRecord) -> list[Outcome]:
        """Judges every event of the room again, checks 4 to 7, from the root in the order of their
        numbers; says whose verdict (accepted, soft-failed, rejected) changed.

        For when what verdicts rest on was replaced: a whole copy of an event held in redacted form.
        Positions stay; what is accepted only now gets one.
        """
        store = self._store
        self._states.forget()
        self._passed.clear()
        store.rooms.set_tips(room.nid, ())
        store.rooms.set_forward_extremities(room.nid, ())
        store.rooms.set_current_group(room.nid, EMPTY_GROUP)
        changed: list[Outcome] = []
        for nid in store.events.nids_of_room(room.nid):
            old = store.events.by_nid(nid)
            assert old is not None
            parents, auth, missing = self._ancestors(room, old.pdu)
            assert not missing, "judged events stay"
            found = self._judgement(room, old.pdu, parents, auth)
            new = self._judged_again(room, old, found)
            if new != old:
                store.events.replace(new)
                store.indexes.take(new)
            if new.accepted:
                self._advance(room, new, parents)
            if (new.rejected, new.soft_failed) != (old.rejected, old.soft_failed):
                changed.append(found.outcome(old.pdu))
        return changed

    def _judged_again(self, room: RoomRecord, old: StoredEvent, found: Judgement) -> StoredEvent:
        rejected = found.failed is not None
        state = self._store.state_groups.state
        if state(found.before) == state(old.before):
            found = found._replace(before=old.before)
        same_state = found.before == old.before and rejected == old.rejected
        position = old.position
        if position is None and not rejected:
            position = self._store.events.next_position()
        return replace(
            old,
            rejected=rejected,
            soft_failed=found.soft_reason is not None,
            before=found.before,
            after=old.after if same_state else self._after(old.pdu, found),
            position=position,
            reason=found.reason,
            sees_all=not rejected and self._sees_all(room, old.parents),
        )

    def _sees_all(self, room: RoomRecord, parents: Iterable[int]) -> bool:
        """Whether an event on these parents has all accepted ones so far as ancestors: each of them
        is a tip or an ancestor of one."""
        return self._store.rooms.tips(room.nid).issubset(parents)

    def _after_groups(self, nids: Iterable[int]) -> list[int]:
        groups = []
        for nid in nids:
            event = self._store.events.by_nid(nid)
            assert event is not None, "a forward extremity is a stored event"
            groups.append(event.after)
        return groups

    def _superseded(self, parents: Iterable[StoredEvent]) -> set[int]:
        """The parents and, through soft-failed or rejected ones, what lies before those."""
        found: set[int] = set()
        todo = list(parents)
        while todo:
            event = todo.pop()
            if event.nid in found:
                continue
            found.add(event.nid)
            if event.soft_failed or event.rejected:
                todo += filter(None, map(self._store.events.by_nid, event.parents))
        return found


def _parse_one(room: RoomRecord, data: bytes) -> Pdu | Outcome:
    pdu: Pdu | None = None
    try:
        pdu = read_pdu(data, room.version)
        if pdu.room_id != room.room_id:
            raise FormatError(f"the event belongs to room {pdu.room_id}, not {room.room_id}")
        _check_ids_exist((*pdu.prev_events, *pdu.auth_events))
    except PduFormatError as exc:
        return _dropped(exc.event_id, Check.FORMAT, exc)
    except PduError as exc:
        return _dropped(None if pdu is None else pdu.event_id, Check.FORMAT, exc)
    return pdu


def _dropped(event_id: str | None, check: Check, exc: PduError) -> Outcome:
    return Outcome(event_id=event_id, verdict=Verdict.DROPPED, check=check, reason=exc.reason)


def _check_ids_exist(event_ids: Iterable[str]) -> None:
    """FormatError: one of them can't be any event's; waiting for it would be for nothing."""
    for event_id in event_ids:
        if len(event_id) != EVENT_ID_LENGTH:
            raise FormatError(f"it builds on {event_id!r:.60}, which is no event's id")


def _redaction_may_change_verdicts(pdu: Pdu) -> bool:
    """Whether the authorisation rules may read something of this event that redaction takes away:
    which of it depends on the room version."""
    if pdu.type == "m.room.member":
        read = ("third_party_invite", "join_authorised_via_users_server")
        return any(name in pdu.content for name in read)
    return pdu.is_state and pdu.type in _READ_BY_THE_RULES
