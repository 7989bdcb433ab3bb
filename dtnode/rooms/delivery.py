"""Which members' nodes are known to have an event: from acknowledgements, and from what they built
on. Nothing is sent for this; what isn't known isn't claimed.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtnode.rooms.state import RoomStates
from dtnode.store import RoomRecord, Store, StoredEvent


def servers_with(
    store: Store, states: RoomStates, room: RoomRecord, events: Sequence[StoredEvent], own_name: str
) -> dict[str, frozenset[str]]:
    """event id -> joined servers (without our own) known to have it.

    One pass over the room from its newest event down to the oldest of `events`: a server has what
    it acknowledged, what it wrote, and all ancestors of both (of what it wrote only where that is a
    witness).
    """
    if not events:
        return {}
    oldest = min(event.nid for event in events)
    joined = states.joined_servers(room.current_group) - {own_name}
    has: dict[int, set[str]] = {}
    for server, nids in store.peers.frontiers(room.nid).items():
        if server in joined:
            for nid in nids:
                has.setdefault(nid, set()).add(server)
    wanted = {event.nid: event.event_id for event in events}
    found: dict[str, frozenset[str]] = {}
    for nid, sender_server, witness, parents in store.events.newest_first(room.nid, oldest):
        servers = has.pop(nid, set())
        wrote = {sender_server} & joined
        if nid in wanted:
            found[wanted[nid]] = frozenset(servers | wrote)
        if witness:
            servers |= wrote
        if servers:
            for parent in parents:
                if parent >= oldest:
                    has.setdefault(parent, set()).update(servers)
    return found


def lacking(store: Store, states: RoomStates, peer: str, own_name: str, limit: int) -> int:
    """How many events of the rooms shared with `peer` it isn't known to have, `limit` at most."""
    count = 0
    for room in store.rooms:
        if peer not in states.joined_servers(room.current_group) or peer == own_name:
            continue
        newest = store.events.newest_of_server(room.nid, peer, witness=True)
        frontier = [*store.peers.frontier(room.nid, peer), *newest]
        tips = store.rooms.tips(room.nid)
        count += store.events.difference_size(tips, frontier, limit - count)
        if count >= limit:
            break
    return count
