"""Rows of the table of judged events: what they are in memory, and to and from SQLite.

What is kept of them and found among them is dtnode.store.events' business.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

from dtnode.matrix.pdu import Pdu, stored_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS

DROPPED = 2  # events.redacted of a body that was dropped by the room's history limit

COLUMNS = (
    "event_nid, event_id, room_nid, topo, ts, rejected, soft_failed, redacted, before_group, "
    "after_group, parents, position, reason, pdu, sender_server, witness, sees_all"
)

DisplayOrder = tuple[int, int, str]
"""(topo, origin_server_ts, event_id): the DAG order in which people read, equal on all nodes."""


@dataclass(slots=True)
class StoredEvent:
    """One judged event. Treated as immutable but by dtnode.store.events.

    nid: topological number. topo: 1 + the highest of its parents' (0 parents: 1); unlike `depth`
    nobody can lie about it. before, after: state groups. position: what clients count by; None
    where no client was told (a rejected event that was shown while it was held keeps its own, or
    the number would be given twice). reason: why it was rejected or soft-failed. witness: its
    server had all its ancestors when it wrote it (a join on an invite, and what chains on it, shows
    nothing of the kind). dropped: its body was dropped here by the room's history limit; the PDU is
    its redacted form. sees_all: accepted, and every accepted event of the room with a smaller
    number is its ancestor: what is shared since long is told by that without a walk; False: not
    known to be so.
    """

    nid: int
    room_nid: int
    pdu: Pdu
    topo: int
    rejected: bool
    soft_failed: bool
    before: int
    after: int
    parents: tuple[int, ...]
    position: int | None
    reason: str | None
    witness: bool = True
    dropped: bool = False
    sees_all: bool = False

    @property
    def event_id(self) -> str:
        return self.pdu.event_id

    @property
    def accepted(self) -> bool:
        return not self.rejected

    @property
    def display_order(self) -> DisplayOrder:
        return (self.topo, self.pdu.origin_server_ts, self.pdu.event_id)


class EventOutline(NamedTuple):
    """What a walk over a whole room needs of each event; see StoredEvent."""

    nid: int
    before: int
    after: int
    rejected: bool
    soft_failed: bool
    parents: tuple[int, ...]


class Authorship(NamedTuple):
    """Who wrote an event, on what; see StoredEvent."""

    nid: int
    sender_server: str
    witness: bool
    parents: tuple[int, ...]


def pack_numbers(parents: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(parents)}q", *parents)


def unpack_numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 8}q", data)


def row_of(event: StoredEvent) -> tuple[object, ...]:
    pdu = event.pdu
    return (
        event.nid,
        pdu.event_id,
        event.room_nid,
        event.topo,
        pdu.origin_server_ts,
        event.rejected,
        event.soft_failed,
        pdu.redacted,
        event.before,
        event.after,
        pack_numbers(event.parents),
        event.position,
        event.reason,
        pdu.canonical(),
        pdu.sender_server,
        event.witness,
        event.sees_all,
    )


def event_of(row: tuple[Any, ...]) -> StoredEvent:
    (nid, event_id, room_nid, topo, _ts, rejected, soft_failed, redacted, before, after) = row[:10]
    parents, position, reason, pdu, _sender_server, witness, sees_all, version = row[10:]
    return StoredEvent(
        nid=nid,
        room_nid=room_nid,
        pdu=stored_pdu(pdu, event_id, ROOM_VERSIONS[version], redacted=bool(redacted)),
        topo=topo,
        rejected=bool(rejected),
        soft_failed=bool(soft_failed),
        before=before,
        after=after,
        parents=unpack_numbers(parents),
        position=position,
        reason=reason,
        witness=bool(witness),
        dropped=redacted == DROPPED,
        sees_all=bool(sees_all),
    )
