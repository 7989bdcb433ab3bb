"""The checks on receipt of a PDU, written out literally over dictionaries, for the vector rooms.

It is neither fast nor bounded and keeps every state whole: dtnode.rooms is the real pipeline, this
is what the room core is tested with, following vectors/README.md to the letter.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtnode.errors import AuthRuleError, FormatError, SignatureError
from dtnode.matrix.event_auth import (
    auth_state,
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
    redaction_applies,
)
from dtnode.matrix.pdu import Pdu, StateKey, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.matrix.signing import KeyLookup, check_content_hash, verify_pdu
from dtnode.matrix.state_resolution import resolve, state_hash
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64

VECTORS = Path(__file__).parent.parent / "vectors"
ROOM_NAMES = sorted(path.name.split(".")[0] for path in VECTORS.glob("rooms/*.jsonl.gz"))
assert len(ROOM_NAMES) == 40, "tests/vectors/rooms is incomplete"


@dataclass
class VectorRoom:
    version: RoomVersion
    keys: KeyLookup
    lines: list[bytes]
    verdicts: dict[str, Any]


def load_room(name: str) -> VectorRoom:
    lines = gzip.decompress((VECTORS / f"rooms/{name}.jsonl.gz").read_bytes()).splitlines()
    header = json.loads(lines[0])
    verdicts = gzip.decompress((VECTORS / f"rooms/{name}.verdicts.json.gz").read_bytes())
    keys = {server: decode_unpadded_base64(text) for server, text in header["servers"].items()}
    return VectorRoom(
        version=ROOM_VERSIONS[header["room_version"]],
        keys=lambda server, key_id: keys.get(server) if key_id == header["key_id"] else None,
        lines=lines[1:],
        verdicts=json.loads(verdicts),
    )


@dataclass
class Record:
    """What became of one line."""

    event_id: str | None = None
    verdict: str = "held"
    reason: str = ""
    content_hash: str = ""
    state_before: str = ""
    soft_failed: bool = False
    redaction: dict[str, Any] | None = None


@dataclass
class Pipeline:
    version: RoomVersion
    keys: KeyLookup
    events: dict[str, Pdu] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    soft_failed: set[str] = field(default_factory=set)
    before: dict[str, dict[StateKey, str]] = field(default_factory=dict)
    after: dict[str, dict[StateKey, str]] = field(default_factory=dict)
    extremities: set[str] = field(default_factory=set)
    held: list[tuple[Pdu, Record]] = field(default_factory=list)

    # EventSource
    def event(self, event_id: str, /) -> Pdu:
        return self.events[event_id]

    def rejected(self, event_id: str, /) -> bool:
        return self.verdicts.get(event_id) == "rejected"

    def order(self, event_id: str, /) -> int:
        return self.orders[event_id]

    def receive(self, line: bytes) -> Record:
        record = Record()
        try:
            # 1 and 2: drop; 3: keep the redacted form.
            pdu = read_pdu(line, self.version)
            record.event_id = pdu.event_id
            verify_pdu(pdu, self.keys)
            pdu = check_content_hash(pdu)
        except (FormatError, SignatureError) as error:
            record.verdict, record.reason = "dropped", error.reason
            return record
        record.content_hash = "redacted" if pdu.redacted else "ok"
        self.held.append((pdu, record))
        self._release()
        return record

    def _release(self) -> None:
        """Judges all held events whose parents are here."""
        progress = True
        while progress:
            progress = False
            for entry in list(self.held):
                pdu, record = entry
                if all(p in self.verdicts for p in (*pdu.prev_events, *pdu.auth_event_ids)):
                    self.held.remove(entry)
                    self._judge(pdu, record)
                    progress = True

    def _judge(self, pdu: Pdu, record: Record) -> None:
        event_id = pdu.event_id
        if event_id in self.verdicts:
            record.verdict = "duplicate"
            return
        before = self.state_over(set(pdu.prev_events))
        record.state_before = state_hash(before)
        record.verdict = "accepted"
        try:
            auth_events = [self.events[auth_id] for auth_id in pdu.auth_event_ids]
            check_state_independent_auth_rules(pdu, auth_events, self._is_rejected)
            check_state_dependent_auth_rules(pdu, auth_state(auth_events))
            check_state_dependent_auth_rules(pdu, self._lookup(before))
        except AuthRuleError as error:
            record.verdict, record.reason = "rejected", error.reason
        self.orders[event_id] = len(self.events)
        self.events[event_id] = pdu
        self.verdicts[event_id] = record.verdict
        self.before[event_id] = before
        self.after[event_id] = dict(before)
        if record.verdict == "accepted":
            if pdu.is_state:
                self.after[event_id][pdu.key] = event_id
            target = self.events.get(pdu.redacts or "")
            if target is not None:
                applies = redaction_applies(pdu, target, self._lookup(before))
                record.redaction = {"target": target.event_id, "applies": applies}
            self._check_against_current_state(pdu, record)

    def _check_against_current_state(self, pdu: Pdu, record: Record) -> None:
        if set(pdu.prev_events) != self.extremities:
            try:
                current = self.state_over(self.extremities)
                check_state_dependent_auth_rules(pdu, self._lookup(current))
            except AuthRuleError as error:
                record.soft_failed, record.reason = True, error.reason
                self.soft_failed.add(pdu.event_id)
                return
        queue = list(pdu.prev_events)
        seen = set(queue)
        while queue:
            previous = queue.pop()
            self.extremities.discard(previous)
            if previous in self.soft_failed or self._is_rejected(previous):
                new = set(self.events[previous].prev_events) - seen
                seen |= new
                queue += new
        self.extremities.add(pdu.event_id)

    def _is_rejected(self, event_id: str) -> bool:
        return self.verdicts[event_id] == "rejected"

    def _lookup(self, state: dict[StateKey, str]) -> Any:
        def lookup(event_type: str, state_key: str) -> Pdu | None:
            event_id = state.get((event_type, state_key))
            return None if event_id is None else self.events[event_id]

        return lookup

    def state_over(self, event_ids: Iterable[str]) -> dict[StateKey, str]:
        return resolve(self.version, [self.after[event_id] for event_id in event_ids], self)

    def heads(self) -> set[str]:
        accepted = {event_id for event_id, v in self.verdicts.items() if v == "accepted"}
        return accepted - {p for event_id in accepted for p in self.events[event_id].prev_events}


def as_text_keys(state: dict[StateKey, str]) -> dict[str, str]:
    return {f"{event_type}|{state_key}": i for (event_type, state_key), i in state.items()}


def run(room: VectorRoom, order: Sequence[int] | None = None) -> tuple[Pipeline, list[Record]]:
    """Feeds the lines in `order`; the records are in line order."""
    pipeline = Pipeline(room.version, room.keys)
    records = [Record()] * len(room.lines)
    for index in range(len(room.lines)) if order is None else order:
        records[index] = pipeline.receive(room.lines[index])
    return pipeline, records
