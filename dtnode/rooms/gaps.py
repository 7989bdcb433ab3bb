"""Gaps: what a room is known to lack (DESIGN section 2). Listed, counted, shown, pulled."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dtnode.rooms.sharing import Sharing
from dtnode.store import RoomRecord, Store, StoredEvent

MAX_LISTED = 10_000  # a liar can name that many parents; the count shown stays honest up to here


class GapKind(enum.Enum):
    MISSING = "missing"  # named as parent or auth event by a held event, and not here
    CONTENT = "content"  # here only in redacted form though this server may read it


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    event_id: str
    kind: GapKind
    needed_by: tuple[str, ...] = ()
    since_ms: int | None = None


def gaps_of(
    store: Store, sharing: Sharing, room: RoomRecord, own_name: str, limit: int = MAX_LISTED
) -> list[Gap]:
    """Missing events first, longest known first."""
    found = [
        Gap(
            event_id=missing.event_id,
            kind=GapKind.MISSING,
            needed_by=missing.needed_by,
            since_ms=missing.since_ms,
        )
        for missing in store.held.missing(room.nid, limit)
    ]
    for event in store.events.redacted_copies(room.nid):
        if len(found) >= limit:
            break
        if is_content_gap(event, sharing, own_name):
            found.append(Gap(event_id=event.event_id, kind=GapKind.CONTENT))
    return found


def is_content_gap(event: StoredEvent, sharing: Sharing, own_name: str) -> bool:
    """Whether a redacted copy is less than what this server may read."""
    # State is for every member's server; a rejected state event may have been rejected for what the
    # redaction took away.
    wanted = (event.pdu.is_state or event.accepted) and not event.dropped
    return wanted and sharing.may_read(event, own_name)
