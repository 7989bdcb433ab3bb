"""Compares dtnode with the literal implementation on a room file, in file order and in others.

Called by the tests and by `python -m tests.hostile`. Every comparison gives a list of differences
in words; an empty one is agreement.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dtnode.matrix.state_resolution import state_hash
from dtnode.rooms.audit import audit_lines
from dtnode.rooms.receive import Receiver
from dtnode.rooms.room_file import parse_header
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomKind, RoomRecord, Store
from tests.hostile.literal import LiteralRoom, Record, flat, room_of
from tests.hostile.literal_events import content_hash

DEAD = ("rejected", "dropped")
"""Equal here: the specification mostly says reject where deployed servers refuse, and neither
affects state (tests/vectors/README.md)."""


def differences(lines: Sequence[bytes], *, shuffles: int, seed: int = 0) -> list[str]:
    """All of them. lines: a room file, the header first."""
    room = room_of(lines[0])
    records = [room.receive(line) for line in lines[1:]]
    return differences_from(room, records, lines, shuffles=shuffles, seed=seed)


def differences_from(
    room: LiteralRoom,
    records: Sequence[Record],
    lines: Sequence[bytes],
    *,
    shuffles: int,
    seed: int,
) -> list[str]:
    """room, records: what the literal implementation says of the lines."""
    literal = room.report(records)
    found = _guarded("audit", lambda: file_order_differences(lines, literal))
    expected = literal_summary(room)
    for name, batches in orders(lines[1:], seed, shuffles):
        found += _guarded(name, lambda b=batches: order_differences(lines[0], b, room, expected))  # type: ignore[misc]
    return found


def _guarded(name: str, compare: Callable[[], list[str]]) -> list[str]:
    """What dtnode raises is a difference as well: no event may do that."""
    try:
        return [f"{name}: {text}" for text in compare()]
    except Exception as error:  # noqa: BLE001  (told to the reader of the differences)
        return [f"{name}: dtnode raised {error!r:.300}"]


# --- file order


def file_order_differences(lines: Sequence[bytes], literal: dict[str, Any]) -> list[str]:
    """`dtnode audit` of the file against the literal report of it, in everything."""
    audit = audit_lines(lines)
    found = []
    records = zip(audit["events"], literal["events"], strict=True)
    # What an audit says of a line isn't said again when a whole copy comes later and verdicts are
    # given anew; `order_differences` compares the last verdicts.
    for at, (ours, theirs) in enumerate([] if literal["judged_anew"] else records, 2):
        found += [f"line {at}: {text}" for text in _record_differences(ours, theirs)]
    for name in ("room_version", "heads", "state", "extremities", "current_state"):
        if audit[name] != literal[name]:
            found.append(f"{name}: {_first_difference(audit[name], literal[name])}")
    return found


def _record_differences(ours: dict[str, Any], theirs: Record) -> list[str]:
    if theirs.verdict in DEAD and ours["verdict"] in DEAD:
        return []
    pairs: dict[str, tuple[Any, Any]] = {
        "verdict": (ours["verdict"], theirs.verdict),
        "event_id": (ours["event_id"], theirs.event_id),
    }
    if theirs.verdict == "accepted":
        redacted = ours["checks"]["content_hash"] == "redacted"
        pairs["redacted"] = (redacted, theirs.redacted)
        pairs["state_before"] = (ours["state_before"], theirs.state_before)
        pairs["soft_failed"] = (ours.get("soft_failed"), theirs.soft_failed)
        pairs["redaction"] = (ours.get("redaction"), theirs.redaction)
    return [
        f"{name} is {mine!r}, literally {other!r} ({ours['checks']}; {theirs.why})"
        for name, (mine, other) in pairs.items()
        if mine != other
    ]


def _first_difference(ours: Any, theirs: Any) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                return f"{key} is {ours.get(key)}, literally {theirs.get(key)}"
    return f"{ours}, literally {theirs}"


# --- other orders


def orders(
    lines: Sequence[bytes], seed: int, shuffles: int
) -> Iterator[tuple[str, list[list[bytes]]]]:
    """Name of the order, and the lines in batches."""
    yield "all at once", [list(lines)]
    if shuffles:
        yield "backwards", [[line] for line in reversed(lines)]
    for number in range(shuffles):
        rng = random.Random(f"{seed} {number}")
        left = list(lines)
        rng.shuffle(left)
        if number % 2 == 0:
            yield f"shuffled {number}", [[line] for line in left]
            continue
        batches = []
        while left:
            size = rng.randint(1, 40)
            batches.append(left[:size])
            left = left[size:]
        yield f"shuffled batches {number}", batches


class Feed:
    """One room file fed to dtnode.rooms in some order."""

    def __init__(self, header: bytes, room_id: str) -> None:
        parsed = parse_header(header)
        self.store = Store(None)
        self.states = RoomStates(self.store)
        self.receiver = Receiver(self.store, self.states, parsed.key, "receiver.test")
        with self.store.transaction():
            self._nid = self.store.rooms.add(room_id, parsed.version, RoomKind.COMPLETE).nid

    @property
    def room(self) -> RoomRecord:
        return self.store.rooms.by_nid(self._nid)

    def receive(self, pdus: Sequence[bytes]) -> None:
        with self.store.transaction():
            self.receiver.receive(self.room, pdus, source="peer.test", now_ms=0)

    def summary(self) -> dict[str, Any]:
        events, groups = self.store.events, self.store.state_groups
        accepted = [e for e in events.in_nid_order(self._nid) if e.accepted]
        return {
            "accepted": {e.event_id: "accepted" for e in accepted},
            "whole": {e.event_id: _is_whole(e.pdu.json) for e in accepted},
            "state_before": {e.event_id: state_hash(groups.state(e.before)) for e in accepted},
            "heads": sorted(events.ids_of(self.store.rooms.tips(self._nid))),
            "state": flat(groups.state(self.states.tip_group(self._nid))),
        }


def _is_whole(event: Mapping[str, Any]) -> str:
    """Of the event as it is kept: with all of its content, or in redacted form."""
    return content_hash(dict(event)).hex()


def literal_summary(room: LiteralRoom) -> dict[str, Any]:
    """What mustn't depend on the order of arrival."""
    accepted = [event_id for event_id, verdict in room.verdicts.items() if verdict == "accepted"]
    return {
        "accepted": dict.fromkeys(accepted, "accepted"),
        "whole": {event_id: _is_whole(room.events[event_id].json) for event_id in accepted},
        "state_before": {event_id: room.state_hash_before(event_id) for event_id in accepted},
        "heads": room.heads(),
        "state": flat(room.state_over(room.heads())),
    }


def order_differences(
    header: bytes, batches: list[list[bytes]], room: LiteralRoom, expected: dict[str, Any]
) -> list[str]:
    """dtnode.rooms, fed in batches, against the literal implementation in file order."""
    assert room.room_id is not None, "a room file has a create event"
    feed = Feed(header, room.room_id)
    try:
        for batch in batches:
            feed.receive(batch)
        summary = feed.summary()
    finally:
        feed.store.close()
    return [
        f"{name}: {_first_difference(summary[name], value)}"
        for name, value in expected.items()
        if summary[name] != value
    ]
