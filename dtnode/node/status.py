"""What `dtnode status` tells, put together from store, connections and links."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from dtnode.node.link_record import LinkRecord
from dtnode.node.links import LinkManager, LinkStatus
from dtnode.node.node import Node
from dtnode.rooms.delivery import lacking_of_all

_MAX_LACKS = 1_000  # counted exactly up to here; more is "many" to a person, and not free
_HOUR_MS = 3_600_000
_BUILT_MS = 1_767_225_600_000  # 2026-01-01: a clock before this version's making is wrong


async def status(node: Node, links: LinkManager, api_url: str) -> dict[str, Any]:
    """The answer to GET /_dtnode/v1/status."""
    found = await node.worker.run(lambda: from_store(node))
    for peer in found["peers"]:
        connections = node.connections_to(peer["server_name"])
        peer["connected"] = bool(connections)
        peer["via"] = sorted({connection.link_id for connection in connections})
    found["clock"] = _with_peers_clocks(found["clock"], node)
    found["links"] = link_objects(links)
    found["api_url"] = api_url
    return found


def link_objects(links: LinkManager) -> list[dict[str, Any]]:
    return [_link(links, status) for status in links.statuses()]


def _link(links: LinkManager, status: LinkStatus) -> dict[str, Any]:
    connections = links.connections(status.config.id)
    return {
        "id": status.config.id,
        "kind": status.config.kind,
        "options": dict(status.config.options),
        "accept": status.config.accept,
        "cipher": status.config.cipher.value,
        "state": status.state,
        "detail": status.detail,
        "peers": sorted({c.peer for c in connections if c.peer is not None}),
        "traffic": [_traffic(record) for record in _records(links, status.config.id)],
    }


def tallies(links: LinkManager, link_id: str) -> list[dict[str, Any]]:
    """Of each live connection of a link: its traffic, and where its bytes went."""
    return [
        {
            **_traffic(record),
            "up_since_ms": record.up_since_ms,
            "rows": [
                {
                    "incoming": row.incoming,
                    "kind": row.kind,
                    "count": row.count,
                    "bytes": row.size_bytes,
                }
                for row in record.tally.rows()
            ],
        }
        for record in _records(links, link_id)
    ]


def _records(links: LinkManager, link_id: str) -> list[LinkRecord]:
    return [
        *(one.record for one in links.connections(link_id)),
        *(one.record for one in links.broadcasts(link_id)),
    ]


def _traffic(record: LinkRecord) -> dict[str, Any]:
    counts = asdict(record.traffic).items()
    return {"peer": record.peer, **{name: value for name, value in counts if name[0] != "_"}}


def from_store(node: Node) -> dict[str, Any]:
    """What of the answer the store knows; on its thread."""
    rooms = node.rooms
    return {
        "user_id": rooms.user_id,
        "server_name": rooms.own_name,
        "dtnode_version": version("dtnode"),
        "clock": _clock(node),
        "restored_at_ms": rooms.store.meta("restored_at_ms"),
        "peers": _peers(node),
        "rooms": [_room(node, room.room_id) for room in rooms.store.rooms],
    }


def _room(node: Node, room_id: str) -> dict[str, Any]:
    room = node.rooms.room(room_id)
    assert room is not None
    return asdict(node.rooms.summary(room))


def _peers(node: Node) -> list[dict[str, Any]]:
    rooms = node.rooms
    records = {peer.server_name: peer for peer in rooms.store.peers.all()}
    users = {person.user_id.partition(":")[2]: person for person in rooms.names.people()}
    servers = sorted(rooms.sharing.known_servers() | records.keys())
    lacks = lacking_of_all(rooms.store, rooms.states, servers, rooms.own_name, _MAX_LACKS)
    found = []
    for server in servers:
        record, person = records.get(server), users.get(server)
        found.append(
            {
                "server_name": server,
                "user_id": person.user_id if person else record.user_id if record else None,
                "name": record.name if record else None,
                "label": person.label if person else None,
                "added": record.added if record else False,
                "blocked": record.blocked if record else False,
                "last_contact_ms": record.last_contact_ms if record else None,
                "lacks": lacks[server],
            }
        )
    return found


def _clock(node: Node) -> dict[str, Any]:
    """A clock an hour off its peers' is reported (DESIGN section 1), here by events from the
    future. That it is ahead can't be told from old events, but see dtnode.node.peer_clocks."""
    now = node.clock.now_ms()
    newest = node.rooms.store.events.newest_foreign_timestamp(node.rooms.own_name, now)
    note = None
    if now < _BUILT_MS:
        note = "this machine's clock is years behind; set it, messages carry a guessed time"
    elif newest is not None and newest > now + _HOUR_MS:
        hours = (newest - now) // _HOUR_MS
        note = (
            f"a message from another node is dated {hours} h ahead of this machine's clock: one of"
            " the two clocks is wrong"
        )
    return {"now_ms": now, "trusted": note is None, "note": note}


def _with_peers_clocks(clock: dict[str, Any], node: Node) -> dict[str, Any]:
    notes = [note for note in (clock["note"], node.peer_clocks.note()) if note is not None]
    trusted = clock["trusted"] and not node.peer_clocks.is_doubtful
    return {**clock, "trusted": trusted, "note": "; ".join(notes) or None}
