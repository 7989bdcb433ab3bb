"""The disk as a power cut may leave it, after every single write of the store.

A workload's writes are recorded. Then, for each point of the record, the files are made as they may
lie on a disk that stopped there: with everything written so far (the process was killed), or with
any part of what was not yet synced lost, in any order, or torn at a sector. A normal store is
opened on them: everything acknowledged by then is there, and no transaction in part.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dtnode.store import Store
from tests.store.samples import ROOM_ID, add_event, add_room, sample_pdu
from tests.store.shim_vfs import SQLITE_OK, Operation, installed
from tests.store.test_durability import assert_whole

DEEP = os.environ.get("DTNODE_FUZZ") == "deep"
POINTS = 10_000 if DEEP else 150  # of each kind of cut; fewer if the record is shorter
TRANSACTIONS = 60
CHECKPOINT_PAGES = 40  # the log is folded into the main file every few transactions
SECTOR = 512


def one_transaction(store: Store, first: int) -> int:
    """What tests/store/writer.py does; the number of its last event."""
    room = store.rooms.get(ROOM_ID)
    assert room is not None
    number = first
    with store.transaction():
        group = room.current_group
        for number in range(first, first + 1 + first % 3):
            tips = tuple(sorted(store.rooms.tips(room.nid)))
            group = store.state_groups.derive(group, {("n", str(number % 10)): f"${number}"})
            event = add_event(store, room, number, tips, group=group)
            store.rooms.set_tips(room.nid, [event.nid])
            store.rooms.set_forward_extremities(room.nid, [event.nid])
        store.rooms.set_current_group(room.nid, group)
        held = sample_pdu(f"held {number}", [f"$missing{number}"])
        store.held.add(room.nid, held, held.prev_events, source="peer", now_ms=number)
        store.set_meta("last", number)
    return number


@dataclass
class Record:
    """acknowledged[i], started[i]: the last event that was, before operation i."""

    before: Mapping[Path, bytes]
    operations: list[Operation] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    started: list[int] = field(default_factory=list)


def record(folder: Path) -> Record:
    path = folder / "node.db"
    with closing(Store(path)) as store:
        add_room(store)
    recorded = Record(before={path: path.read_bytes()})
    acknowledged = started = 0

    def hand(operation: Operation) -> int:
        recorded.operations.append(operation)
        recorded.acknowledged.append(acknowledged)
        recorded.started.append(started)
        return SQLITE_OK

    with installed(hand), closing(Store(path)) as store:
        store._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        for _ in range(TRANSACTIONS):
            started = acknowledged + 3
            acknowledged = one_transaction(store, acknowledged + 1)
            if acknowledged % 17 == 0:
                store._db.execute("PRAGMA wal_checkpoint(RESTART)")
    return recorded


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return record(tmp_path_factory.mktemp("recorded"))


def test_the_record_has_everything_in_it(recorded: Record) -> None:
    kinds = {operation.kind for operation in recorded.operations}
    assert {"write", "sync"} <= kinds
    names = {operation.path.name for operation in recorded.operations}
    assert names == {"node.db", "node.db-wal"}
    assert len(recorded.operations) > 500
    main_writes = [o for o in recorded.operations if (o.kind, o.path.suffix) == ("write", ".db")]
    assert len(main_writes) > 50, "the log was never folded in"


Files = dict[Path, bytearray]


def apply(files: Files, operation: Operation, data: bytes | None = None) -> None:
    content = files.setdefault(operation.path, bytearray())
    if operation.kind == "write":
        data = operation.data if data is None else data
        if len(content) < operation.at:
            content.extend(bytes(operation.at - len(content)))
        content[operation.at : operation.at + len(data)] = data
    elif operation.kind == "truncate":
        del content[operation.at :]
    elif operation.kind == "delete":
        del files[operation.path]


def killed(recorded: Record, point: int) -> Files:
    """Everything before `point` was written: the process is gone, the machine goes on."""
    files = {path: bytearray(content) for path, content in recorded.before.items()}
    for operation in recorded.operations[:point]:
        apply(files, operation)
    return files


def power_cut(recorded: Record, point: int, rng: random.Random) -> Files:
    """Of what wasn't synced, each write by itself may be there, not there, or there in part."""
    unsynced: dict[Path, list[Operation]] = {}
    files = {path: bytearray(content) for path, content in recorded.before.items()}
    for operation in recorded.operations[:point]:
        if operation.kind == "sync":
            for earlier in unsynced.pop(operation.path, []):
                apply(files, earlier)
        elif operation.kind == "delete":
            unsynced.pop(operation.path, None)
            apply(files, operation)
        else:
            unsynced.setdefault(operation.path, []).append(operation)
    for operations in unsynced.values():
        kept = rng.random()
        for operation in operations:
            if rng.random() < kept:
                apply(files, operation, torn(operation, rng))
    return files


def torn(operation: Operation, rng: random.Random) -> bytes | None:
    """Now and then: as many whole sectors as there was power for."""
    if operation.kind != "write" or rng.random() < 0.8:
        return None
    sectors = [
        bound - operation.at
        for bound in range(
            (operation.at // SECTOR + 1) * SECTOR, operation.at + len(operation.data), SECTOR
        )
    ]
    return operation.data[: rng.choice([0, *sectors])]


def check(folder: Path, files: Files, recorded: Record, point: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in files.items():
        (folder / path.name).write_bytes(content)
    with closing(Store(folder / "node.db")) as store:
        found = assert_whole(store)
        store._db.quick_check()
    last = min(point, len(recorded.operations) - 1)
    assert recorded.acknowledged[last] <= found <= recorded.started[last], f"cut at {point}"


def points(recorded: Record, seed: int) -> Iterator[int]:
    every = range(len(recorded.operations) + 1)
    chosen: Sequence[int] = every
    if len(every) > POINTS:
        chosen = random.Random(seed).sample(every, POINTS)
    yield from chosen


def test_killed_after_any_write(recorded: Record, tmp_path: Path) -> None:
    for point in points(recorded, 1):
        check(tmp_path / "cut", killed(recorded, point), recorded, point)


@pytest.mark.parametrize("seed", range(8 if DEEP else 2))
def test_power_cut_after_any_write(recorded: Record, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for point in points(recorded, seed + 2):
        check(tmp_path / "cut", power_cut(recorded, point, rng), recorded, point)


def test_the_check_finds_a_disk_that_lies_about_syncing(recorded: Record, tmp_path: Path) -> None:
    """With syncs taken out of the record, a cut loses what was acknowledged: seen."""
    lying = Record(
        before=recorded.before,
        operations=[o for o in recorded.operations if o.kind != "sync"],
        acknowledged=[
            a
            for a, o in zip(recorded.acknowledged, recorded.operations, strict=True)
            if o.kind != "sync"
        ],
        started=[
            s
            for s, o in zip(recorded.started, recorded.operations, strict=True)
            if o.kind != "sync"
        ],
    )
    lost = 0
    for seed in range(10):
        files = power_cut(lying, len(lying.operations), random.Random(seed))
        try:
            check(tmp_path / "cut", files, lying, len(lying.operations))
        except Exception:  # noqa: BLE001 - lost or damaged, in whatever way
            lost += 1
    assert lost > 5
