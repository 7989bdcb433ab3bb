"""A room's history limit: bodies of old messages go from this disk, everything else stays.

State, redactions, the shape of the DAG and every signature stay, so verdicts, tips, states and sync
work as before. What went is kept in redacted form for good, marked as dropped: it is shown as such,
it is no gap that is asked for again, and nobody gets it from here as whole. Off unless the person
asks for it; applied when it is set, on `dtnode compact` and daily by a running node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dtnode.rooms.delivery import servers_with
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomRecord, Store, StoredEvent

STEP_EVENTS = 2_000  # looked at in one transaction: about a tenth of a second
_DAY_MS = 86_400_000
_END = 2**62  # beyond every number of the store


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStep:
    """dropped: bodies. kept_own: own messages that no other node is known to have, kept therefore.
    after_nid: where the next step goes on; None at the end."""

    dropped: int = 0
    kept_own: int = 0
    after_nid: int | None = None

    def __add__(self, earlier: LimitStep) -> LimitStep:
        return LimitStep(
            dropped=self.dropped + earlier.dropped,
            kept_own=self.kept_own + earlier.kept_own,
            after_nid=self.after_nid,
        )


class HistoryLimiter:
    """own_name: this node's server name."""

    def __init__(self, store: Store, states: RoomStates, own_name: str) -> None:
        self._store = store
        self._states = states
        self._own_name = own_name

    def apply(self, room: RoomRecord, now_ms: int) -> LimitStep:
        """All steps, each its own transaction."""
        step = LimitStep(after_nid=0)
        while step.after_nid is not None:
            step = self.step(room, now_ms, step.after_nid) + step
        return step

    def step(self, room: RoomRecord, now_ms: int, after_nid: int = 0) -> LimitStep:
        """Drops bodies beyond the room's limit, looking at no more than STEP_EVENTS events."""
        events = self._store.events
        upto, upto_nid = (_END, 0, ""), _END
        if room.keep_events is not None:
            found = events.nth_newest(room.nid, room.keep_events)
            if found is None:
                return LimitStep()
            upto = found
        if room.keep_days is not None:
            upto_nid = self._first_within(now_ms - room.keep_days * _DAY_MS)
        if not room.is_limited or upto_nid <= after_nid:
            return LimitStep()
        with self._store.transaction():
            old = events.whole_before(room.nid, upto, upto_nid, after_nid, STEP_EVENTS)
            here_only = self._here_only(room, old)
            gone = [e for e in old if _may_go(e) and e.event_id not in here_only]
            for event in gone:
                events.drop_body(event)
        return LimitStep(
            dropped=len(gone),
            kept_own=len(here_only),
            after_nid=old[-1].nid if len(old) == STEP_EVENTS else None,
        )

    def _first_within(self, since_ms: int) -> int:
        """The number of the first event judged here at that time or later. By the own clock: what
        others wrote into their events' timestamps decides nothing."""
        arrivals = self._store.arrivals
        last = self._store.events.last_nid()
        if arrivals.of(last) is None:
            return 0  # the store doesn't know when anything came
        first = arrivals.first_since(since_ms)
        return last + 1 if first is None else first

    def _here_only(self, room: RoomRecord, events: Sequence[StoredEvent]) -> set[str]:
        """Own messages among them that are not known to be at any other node."""
        own = [e for e in events if _may_go(e) and e.pdu.sender_server == self._own_name]
        known = servers_with(self._store, self._states, room, own, self._own_name)
        return {event.event_id for event in own if not known.get(event.event_id)}


def _may_go(event: StoredEvent) -> bool:
    """Redactions stay: in older room versions the redacted form doesn't say what they redact."""
    return not event.pdu.is_state and event.pdu.type != "m.room.redaction"
