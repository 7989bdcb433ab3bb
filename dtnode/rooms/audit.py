"""`dtnode audit`: a room file judged event by event, by the very pipeline the node uses.

In memory, with the keys of the file's header; no data folder, no network. The answer has the form
of the vectors' verdict files (tests/vectors/README.md), so that the two compare directly.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, cast

from dtnode.errors import ConfigError, FormatError
from dtnode.matrix.event_auth import redaction_applies
from dtnode.matrix.state_resolution import state_hash
from dtnode.rooms.outcome import Check, Outcome, Verdict
from dtnode.rooms.receive import Receiver
from dtnode.rooms.room_file import create_event, lines_of, non_empty, parse_header
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomKind, RoomRecord, Store, StoredEvent

_KEPT = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.HELD)
_CHECKS = ("format", "signature", "content_hash", "limits", "auth_events", "state_before")


def audit_file(path: Path) -> dict[str, Any]:
    """ConfigError: the file can't be read as a room; it says why."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as packed:
                return audit_lines(non_empty(lines_of(cast(BinaryIO, packed))))
        with path.open("rb") as file:
            return audit_lines(non_empty(lines_of(file)))
    except FormatError as exc:
        raise ConfigError(f"{path} is not a room file: {exc}") from exc
    except (OSError, EOFError, zlib.error) as exc:
        raise ConfigError(f"{path} can't be read: {exc}") from exc


def audit_lines(lines: Iterable[bytes]) -> dict[str, Any]:
    """FormatError: no usable header."""
    all_lines = iter(lines)
    first = next(all_lines, None)
    if first is None:
        raise FormatError("it is empty")
    header = parse_header(first)
    store = Store(None)
    try:
        return _Audit(
            store,
            header.version.identifier,
            Receiver(store, states := RoomStates(store), header.key, own_name=""),
            states,
        ).run(list(all_lines), header.version)
    finally:
        store.close()


class _Audit:
    def __init__(
        self, store: Store, version_id: str, receiver: Receiver, states: RoomStates
    ) -> None:
        self._store = store
        self._version_id = version_id
        self._receiver = receiver
        self._states = states
        self._records: list[dict[str, Any]] = []
        self._lines: dict[str, dict[str, Any]] = {}  # what was said of an event kept or held

    def run(self, lines: list[bytes], version: Any) -> dict[str, Any]:
        room_id = _first_room_id(lines, version)
        with self._store.transaction():
            room = self._store.rooms.add(room_id, version, RoomKind.COMPLETE)
            for line in lines:
                self._one(room, line)
            return self._report(room)

    def _one(self, room: RoomRecord, line: bytes) -> None:
        received = self._receiver.receive(room, [line], source="file", now_ms=0)
        outcome = received.outcomes[0]
        record = self._record(outcome)
        self._records.append(record)
        if outcome.event_id is not None and outcome.verdict in _KEPT:
            self._lines[outcome.event_id] = record
        # Held until now, or judged anew because a whole copy of something came.
        for released in received.released:
            assert released.event_id is not None
            self._lines[released.event_id].update(self._record(released))

    def _record(self, outcome: Outcome) -> dict[str, Any]:
        event = None if outcome.event_id is None else self._store.events.get(outcome.event_id)
        judged = outcome.verdict in (Verdict.ACCEPTED, Verdict.REJECTED)
        record: dict[str, Any] = {
            "event_id": outcome.event_id,
            "verdict": outcome.verdict.value,
            "checks": _checks(outcome),
            "state_before": None,
        }
        if judged or (outcome.verdict is Verdict.DUPLICATE and event is not None):
            assert event is not None
            record["state_before"] = state_hash(self._store.state_groups.state(event.before))
            record["soft_failed"] = event.soft_failed
            redaction = self._redaction(event)
            if redaction is not None:
                record["redaction"] = redaction
        if outcome.verdict is Verdict.HELD:
            record["missing"] = list(outcome.missing)
        if outcome.soft_failed:
            record["soft_fail_reason"] = outcome.reason
        return record

    def _redaction(self, event: StoredEvent) -> dict[str, Any] | None:
        target_id = event.pdu.redacts
        target = None if target_id is None or event.rejected else self._store.events.get(target_id)
        if target is None:
            return None
        # Whether the target itself was accepted doesn't matter here: nobody shows a rejected event.
        applies = redaction_applies(event.pdu, target.pdu, self._states.lookup(event.before))
        return {"target": target_id, "applies": applies}

    def _report(self, room: RoomRecord) -> dict[str, Any]:
        rooms, events = self._store.rooms, self._store.events
        tip_state = self._store.state_groups.state(self._states.tip_group(room.nid))
        current = self._store.state_groups.state(rooms.by_nid(room.nid).current_group)
        return {
            "room_version": self._version_id,
            "events": self._records,
            "heads": sorted(events.ids_of(rooms.tips(room.nid))),
            "state": _flat(tip_state),
            "extremities": sorted(events.ids_of(rooms.forward_extremities(room.nid))),
            "current_state": _flat(current),
            "resolutions": self._states.resolutions,
            "conflicted_keys": self._states.conflicted_keys,
        }


def _first_room_id(lines: list[bytes], version: Any) -> str:
    """The room of the first usable create event; a file without one has only unusable events."""
    for line in lines:
        try:
            return create_event(line, version).room_id
        except FormatError:
            continue
    raise FormatError("none of its events is an m.room.create, which a room starts with")


def _checks(outcome: Outcome) -> dict[str, str | None]:
    """ "ok" up to the check that failed, its reason there, null after it."""
    failed = (
        {Check.CURRENT_STATE: None}.get(outcome.check, outcome.check) if outcome.check else None
    )
    checks: dict[str, str | None] = dict.fromkeys(_CHECKS, "ok")
    if outcome.redacted:
        checks["content_hash"] = "redacted"
    if failed is not None:
        at = _CHECKS.index(failed.value)
        checks[_CHECKS[at]] = outcome.reason
        checks.update(dict.fromkeys(_CHECKS[at + 1 :]))
    elif outcome.verdict is Verdict.HELD:
        checks.update(dict.fromkeys(_CHECKS[_CHECKS.index("auth_events") :]))
    return checks


def _flat(state: Any) -> dict[str, str]:
    return {f"{type_}|{state_key}": event_id for (type_, state_key), event_id in state.items()}
