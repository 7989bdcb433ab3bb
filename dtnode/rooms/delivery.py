"""Which members' nodes are known to have an event: from acknowledgements, and from what they built
on. Nothing is sent for this; what isn't known isn't claimed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dtnode.rooms.state import RoomStates
from dtnode.store import RoomRecord, Store, StoredEvent

_NEAR = (
    500  # events gone through one by one: less than asking what each of 1,000 servers wrote last
)


def servers_with(
    store: Store, states: RoomStates, room: RoomRecord, events: Sequence[StoredEvent], own_name: str
) -> dict[str, frozenset[str]]:
    """event id -> joined servers (without our own) known to have it.

    A server has what it acknowledged, what it wrote, and all ancestors of both (of what it wrote
    only where that is a witness; of what it wrote after all of `events` the newest counts). One
    pass from a little above the newest of `events` down to the oldest.
    """
    if not events:
        return {}
    oldest = min(event.nid for event in events)
    joined = states.joined_servers(room.current_group) - {own_name}
    top, has = _known_from_above(store, room, joined, max(event.nid for event in events), oldest)
    wanted = {event.nid: event.event_id for event in events}
    found: dict[str, frozenset[str]] = {}
    for nid, sender_server, witness, parents in store.events.newest_first(room.nid, oldest, top):
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


def _known_from_above(
    store: Store, room: RoomRecord, joined: Collection[str], newest: int, oldest: int
) -> tuple[int, dict[int, set[str]]]:
    """(where to begin, event number -> servers known to have that event and its ancestors): up to
    there from what they acknowledged, and all that events beyond it say of what lies below."""
    last = store.events.last_nid()
    top = store.ancestry.first_that_sees_all(room.nid, newest) or last
    has: dict[int, set[str]] = {}
    beyond: dict[int, set[str]] = {}
    for server, nids in store.peers.frontiers(room.nid).items():
        if server in joined:
            for nid in nids:
                (beyond if nid > top else has).setdefault(nid, set()).add(server)
    for server, nid in _witnesses_beyond(store, room, joined, top, last).items():
        beyond.setdefault(nid, set()).add(server)
    having = store.ancestry.having(top, beyond)
    for nid, servers in beyond.items():
        if nid in having:
            has.setdefault(top, set()).update(servers)
            continue
        ancestors = store.ancestry.of(nid, oldest)
        if ancestors.has(top):
            has.setdefault(top, set()).update(servers)
        else:
            for met in ancestors.met:
                has.setdefault(met, set()).update(servers)
    return top, has


def _witnesses_beyond(
    store: Store, room: RoomRecord, joined: Collection[str], top: int, last: int
) -> dict[str, int]:
    """joined server -> its newest event over number `top` that shows what it has"""
    if last - top > _NEAR:
        return store.ancestry.newest_witnesses(room.nid, joined, top)
    found: dict[str, int] = {}
    for author in store.events.newest_first(room.nid, top + 1):
        if author.witness and author.sender_server in joined:
            found.setdefault(author.sender_server, author.nid)
    return found


def lacking(store: Store, states: RoomStates, peer: str, own_name: str, limit: int) -> int:
    """How many events of the rooms shared with `peer` it isn't known to have, `limit` at most."""
    return lacking_of_all(store, states, [peer], own_name, limit)[peer]


def lacking_of_all(
    store: Store, states: RoomStates, peers: Iterable[str], own_name: str, limit: int
) -> dict[str, int]:
    """As `lacking`, for all peers in one walk over the newest `limit` events of each room at most:
    what it costs follows neither the number of members nor the age of the room."""
    found = dict.fromkeys(peers, 0)
    for room in store.rooms:
        joined = states.joined_servers(room.current_group)
        servers = [peer for peer in found if peer in joined and peer != own_name]
        if servers:
            for server, count in _lacking_in(store, room, servers, limit).items():
                found[server] = min(limit, found[server] + count)
    return found


def _lacking_in(
    store: Store, room: RoomRecord, servers: Sequence[str], limit: int
) -> dict[str, int]:
    """Sets of servers are bits of an integer: bit i is that servers[i] has the event."""
    bits = {server: 1 << index for index, server in enumerate(servers)}
    everyone = (1 << len(servers)) - 1
    has: dict[int, int] = {}
    for server, nids in store.peers.frontiers(room.nid).items():
        for nid in nids:
            has[nid] = has.get(nid, 0) | bits.get(server, 0)
    queued = set(store.rooms.tips(room.nid))  # what is left to count, newest first
    counters = _Counters()
    counted = 0
    for nid, sender_server, witness, parents in store.events.newest_first(room.nid, 0):
        known = has.pop(nid, 0) | (bits.get(sender_server, 0) if witness else 0)
        if nid in queued:
            queued.discard(nid)
            queued.update(parents)
            counters.add(everyone & ~known)
            counted += 1
        for parent in parents:
            has[parent] = has.get(parent, 0) | known
        if counted >= limit or all(has.get(other, 0) == everyone for other in queued):
            break
    return {server: counters.value(index) for index, server in enumerate(servers)}


class _Counters:
    """Many small counters side by side: plane k holds bit k of each. Adding to any set of them is
    a few operations on integers as long as there are counters."""

    def __init__(self) -> None:
        self._planes: list[int] = []

    def add(self, which: int) -> None:
        for index, plane in enumerate(self._planes):
            self._planes[index], which = plane ^ which, plane & which
            if not which:
                return
        if which:
            self._planes.append(which)

    def value(self, counter: int) -> int:
        return sum((plane >> counter & 1) << index for index, plane in enumerate(self._planes))
