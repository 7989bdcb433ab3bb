"""The vector rooms of tests/vectors, fed to the real receive pipeline in any order and in batches.

Beside tests/matrix/vector_pipeline.py, which follows the specification over dictionaries: this is
dtnode.rooms.receive over a store, with holding.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.matrix.signing import KeyLookup
from dtnode.matrix.state_resolution import state_hash
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64
from dtnode.rooms.outcome import Outcome, Received, Verdict
from dtnode.rooms.receive import Receiver
from dtnode.rooms.room_file import create_event, parse_header
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomKind, RoomRecord, Store

VECTORS = Path(__file__).parent.parent / "vectors"
ROOM_NAMES = sorted(path.name.split(".")[0] for path in VECTORS.glob("rooms/*.jsonl.gz"))
assert len(ROOM_NAMES) == 40, "tests/vectors/rooms is incomplete"
DEAD = ("rejected", "dropped")


@dataclass(frozen=True, kw_only=True)
class VectorRoom:
    path: Path
    version: RoomVersion
    room_id: str
    keys: KeyLookup
    lines: list[bytes]
    verdicts: dict[str, Any]


def load_room(name: str) -> VectorRoom:
    path = VECTORS / f"rooms/{name}.jsonl.gz"
    header, *lines = gzip.decompress(path.read_bytes()).splitlines()
    parsed = parse_header(header)
    verdicts = gzip.decompress((VECTORS / f"rooms/{name}.verdicts.json.gz").read_bytes())
    return VectorRoom(
        path=path,
        version=parsed.version,
        room_id=create_event(lines[0], parsed.version).room_id,
        keys=parsed.key,
        lines=lines,
        verdicts=json.loads(verdicts),
    )


@dataclass(frozen=True, kw_only=True)
class SynapseView:
    """One of two real servers' view of a room."""

    version: RoomVersion
    room_id: str
    keys: KeyLookup
    pdus: list[bytes]
    event_ids: list[str]
    forward_extremities: list[str]
    current_state: dict[str, str]


def load_synapse_views() -> dict[str, SynapseView]:
    vectors = json.loads((VECTORS / "synapse_rooms.json").read_text())
    keys = {
        (server, key_id): decode_unpadded_base64(key["key"])
        for server, document in vectors["servers"].items()
        for key_id, key in document["verify_keys"].items()
    }
    views = {}
    for room in vectors["rooms"]:
        version = ROOM_VERSIONS[room["room_version"]]
        for server, view in room["views"].items():
            pdus = [json.dumps(event["pdu"]).encode() for event in view["events"]]
            create = next(
                pdu
                for pdu, event in zip(pdus, view["events"], strict=True)
                if event["pdu"]["type"] == "m.room.create"
            )
            views[f"v{room['room_version']} at {server}"] = SynapseView(
                version=version,
                room_id=create_event(create, version).room_id,
                keys=lambda server, key_id: keys.get((server, key_id)),
                pdus=pdus,
                event_ids=[event["event_id"] for event in view["events"]],
                forward_extremities=sorted(view["forward_extremities"]),
                current_state={
                    f"{t}|{key}": event_id for t, key, event_id in view["current_state"]
                },
            )
    return views


class Feed:
    """One room in a store of its own; remembers what became of every event id."""

    def __init__(self, version: RoomVersion, room_id: str, keys: KeyLookup) -> None:
        self.store = Store(None)
        self.states = RoomStates(self.store)
        self.receiver = Receiver(self.store, self.states, keys, "receiver.test")
        self.verdicts: dict[str, Outcome] = {}
        with self.store.transaction():
            self._nid = self.store.rooms.add(room_id, version, RoomKind.COMPLETE).nid

    @property
    def room(self) -> RoomRecord:
        return self.store.rooms.by_nid(self._nid)

    def receive(self, pdus: Sequence[bytes]) -> Received:
        with self.store.transaction():
            received = self.receiver.receive(self.room, pdus, source="peer.test", now_ms=0)
        for outcome in (*received.outcomes, *received.released):
            if outcome.event_id is not None and outcome.verdict is not Verdict.DUPLICATE:
                self.verdicts[outcome.event_id] = outcome
        return received

    def verdict(self, event_id: str) -> str:
        return self.verdicts[event_id].verdict.value

    def state_before(self, event_id: str) -> str:
        event = self.store.events.get(event_id)
        assert event is not None
        return state_hash(self.store.state_groups.state(event.before))

    def tips(self) -> list[str]:
        return sorted(self.store.events.ids_of(self.store.rooms.tips(self._nid)))

    def forward_extremities(self) -> list[str]:
        return sorted(self.store.events.ids_of(self.store.rooms.forward_extremities(self._nid)))

    def tip_state(self) -> dict[str, str]:
        return self._flat(self.states.tip_group(self._nid))

    def current_state(self) -> dict[str, str]:
        return self._flat(self.room.current_group)

    def _flat(self, group: int) -> dict[str, str]:
        state = self.store.state_groups.state(group)
        return {f"{type_}|{key}": event_id for (type_, key), event_id in state.items()}
