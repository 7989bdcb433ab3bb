"""Building and signing this node's own events.

In a complete room events stand on the forward extremities. In a room known only by a card (an
invite, say) they chain on it, with no round trip (DESIGN section 7); dtnode.rooms.cards says which
state such a card gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dtnode.clock import Clock
from dtnode.matrix.event_auth import auth_types_for_event
from dtnode.matrix.pdu import MAX_DEPTH, MAX_PREV_EVENTS, Pdu, parse_pdu
from dtnode.matrix.room_versions import RoomVersion
from dtnode.matrix.signing import sign_event
from dtnode.signer import Signer
from dtnode.store import RoomRecord, Store, StoredEvent

_DAY_MS = 86_400_000
_LAST_GOOD_CLOCK = "last_good_clock_ms"

StateIds = Callable[[str, str], str | None]
"""(type, state_key) -> event id in the state that the new event stands on."""


class OwnClock:
    """Timestamps for own events: max(clock, min(newest parent + 1, last good clock + 1 day)).

    A machine without a battery-backed clock that starts in 1970 still writes after what it answers
    to, and nobody's far-off timestamp drags ours along by more than a day (DESIGN section 1).
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def timestamp(self, parent_timestamps: Iterable[int]) -> int:
        now = self._clock.now_ms()
        known = self._store.meta(_LAST_GOOD_CLOCK)
        last_good = max(now, known if isinstance(known, int) else 0)
        if known != last_good:
            self._store.set_meta(_LAST_GOOD_CLOCK, last_good)
        newest = max(parent_timestamps, default=0)
        return max(0, now, min(newest + 1, last_good + _DAY_MS))


class EventBuilder:
    def __init__(self, store: Store, signer: Signer, clock: OwnClock) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock

    def build(
        self,
        version: RoomVersion,
        fields: dict[str, Any],
        parents: Iterable[Pdu],
        state: StateIds,
    ) -> Pdu:
        """A signed PDU from `fields` (room_id, sender, type, content, maybe state_key, redacts).

        parents: become prev_events. FormatError: the fields don't make a valid event, e.g. it is
        larger than 65,536 bytes.
        """
        parents = list(parents)
        depth = min(1 + max((parent.depth for parent in parents), default=0), MAX_DEPTH)
        json: dict[str, Any] = {
            **fields,
            "prev_events": [parent.event_id for parent in parents],
            "auth_events": [],
            "depth": depth,
            "origin_server_ts": self._clock.timestamp(p.origin_server_ts for p in parents),
            "hashes": {"sha256": ""},
            "signatures": {},
        }
        draft = Pdu(json, "$unsigned", version, redacted=False)
        json["auth_events"] = _auth_events(draft, state)
        return parse_pdu(sign_event(json, version, self._signer), version)

    def parents_for(self, room: RoomRecord) -> list[StoredEvent]:
        """The forward extremities; of more than 20 the newest, this server's last event among them
        (so that its sequence never forks)."""
        events = self._store.events
        found = []
        for nid in sorted(self._store.rooms.forward_extremities(room.nid)):
            event = events.by_nid(nid)
            assert event is not None, "a forward extremity is a stored event"
            found.append(event)
        if len(found) <= MAX_PREV_EVENTS:
            return found
        own = [e for e in found if e.pdu.sender_server == self._signer.server_name][-1:]
        others = [e for e in found if e not in own]
        return sorted(own + others[-(MAX_PREV_EVENTS - len(own)) :], key=lambda event: event.nid)


def _auth_events(draft: Pdu, state: StateIds) -> list[str]:
    """Server-server API, "Auth events selection"."""
    chosen = []
    for type_, state_key in sorted(auth_types_for_event(draft)):
        if type_ == "m.room.create" and draft.version.room_id_is_create_hash:
            continue
        event_id = state(type_, state_key)
        if event_id is not None:
            chosen.append(event_id)
    return chosen
