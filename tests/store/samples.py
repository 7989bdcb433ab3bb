"""Events for tests of the store, which judges nothing: any DAG, unsigned, with states as told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.store import RoomKind, RoomRecord, Store, StoredEvent

VERSION = ROOM_VERSIONS["11"]
ROOM_ID = "!room:a.test"


def sample_id(label: object) -> str:
    return "$" + sha256(str(label).encode()).hexdigest()[:43]


def sample_pdu(
    label: object,
    prev: Iterable[str] = (),
    *,
    sender: str = "@alice:a.test",
    ts: int = 1000,
    redacted: bool = False,
    room_id: str = ROOM_ID,
    content: dict[str, Any] | None = None,
) -> Pdu:
    json = {
        "room_id": room_id,
        "type": "m.room.message",
        "sender": sender,
        "content": {} if redacted else {"body": str(label)} if content is None else content,
        "prev_events": list(prev),
        "auth_events": [],
        "depth": 1,
        "origin_server_ts": ts,
        "hashes": {"sha256": ""},
        "signatures": {},
    }
    return Pdu(json, sample_id(label), VERSION, redacted=redacted)


def add_room(store: Store, room_id: str = ROOM_ID) -> RoomRecord:
    with store.transaction():
        return store.rooms.add(room_id, VERSION, RoomKind.COMPLETE)


def add_event(
    store: Store,
    room: RoomRecord,
    label: object,
    parents: Sequence[int] = (),
    *,
    rejected: bool = False,
    soft_failed: bool = False,
    group: int = 0,
    **options: Any,
) -> StoredEvent:
    """Within the caller's transaction."""
    above = [store.events.by_nid(nid) for nid in parents]
    event = StoredEvent(
        nid=store.events.next_nid(),
        room_nid=room.nid,
        pdu=sample_pdu(label, [e.event_id for e in above if e is not None], **options),
        topo=1 + max((e.topo for e in above if e is not None), default=0),
        rejected=rejected,
        soft_failed=soft_failed,
        before=group,
        after=group,
        parents=tuple(parents),
        position=None if rejected else store.events.next_position(),
        reason="no" if rejected or soft_failed else None,
    )
    store.events.add(event)
    return event
