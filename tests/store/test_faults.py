"""A disk that fails at any one write of the store: full, broken, read-only, a write torn in half.

Each run lets a workload meet the fault at another operation. Whoever called is told clearly and the
store goes on once the disk does; nothing acknowledged is lost, nothing is there in part.
"""

from __future__ import annotations

import errno
import os
import random
import re
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from dtnode.errors import ConfigError, StoreError
from dtnode.node.data_folder import DataFolder
from dtnode.store import Store
from tests.store.samples import ROOM_ID, add_room, sample_id
from tests.store.shim_vfs import (
    IOERR_FSYNC,
    IOERR_WRITE,
    SQLITE_FULL,
    SQLITE_OK,
    SQLITE_READONLY,
    Fault,
    Operation,
    installed,
)
from tests.store.test_durability import assert_whole
from tests.store.test_power_cut import CHECKPOINT_PAGES, one_transaction

DEEP = os.environ.get("DTNODE_FUZZ") == "deep"
RUNS = 2_000 if DEEP else 25  # of each fault, spread over all operations
TRANSACTIONS = 12
CLEAR = {
    "full": r"disk that holds .* is full: free some space\. What was stored is safe",
    "torn": r"disk that holds .* is full: free some space\. What was stored is safe",
    "broken": r"disk that holds .* fails .*nothing acknowledged was lost",
    "unsynced": r"disk that holds .* fails .*nothing acknowledged was lost",
    "read-only": r"can't be written, its disk or folder is read-only",
}


@dataclass
class FaultyDisk:
    """Fails at operation number `at`; `lasting`: and from then on, until it is mended."""

    name: str
    at: int
    lasting: bool
    seen: int = 0
    failed: int = 0

    def __call__(self, operation: Operation) -> Fault:
        mine = operation.kind == "sync" if self.name == "unsynced" else operation.kind != "sync"
        if not mine:
            return SQLITE_OK
        self.seen += 1
        if self.seen - 1 != self.at and not (self.lasting and self.seen > self.at):
            return SQLITE_OK
        self.failed += 1
        results: dict[str, Fault] = {
            "full": SQLITE_FULL,
            "torn": (len(operation.data) // 2, SQLITE_FULL),
            "broken": IOERR_WRITE,
            "unsynced": IOERR_FSYNC,
            "read-only": SQLITE_READONLY,
        }
        return results[self.name]

    def mend(self) -> None:
        self.at, self.lasting = -1, False


def new_store(path: Path) -> None:
    with closing(Store(path)) as store:
        add_room(store)


def workload(store: Store, disk: FaultyDisk | None, errors: list[str]) -> int:
    """Every transaction is tried until it is through; the last event acknowledged."""
    acknowledged = 0
    for _ in range(TRANSACTIONS):
        for _ in range(50):
            try:
                last = one_transaction(store, acknowledged + 1)
            except StoreError as error:
                errors.append(str(error))
                # What is read after a failure is what was there before it.
                assert store.events.last_position() == acknowledged
                assert store.events.get(sample_id(acknowledged + 1)) is None
                if disk is not None and len(errors) > 3:
                    disk.mend()
            else:
                acknowledged = last
                break
        else:
            raise AssertionError("it never went on")
    return acknowledged


def operations_of(path: Path, name: str) -> int:
    disk = FaultyDisk(name=name, at=-1, lasting=False)
    new_store(path)
    with installed(disk), closing(Store(path)) as store:
        store._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        workload(store, None, [])
    return disk.seen


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("name", CLEAR)
def test_a_fault_at_any_operation(tmp_path: Path, name: str, lasting: bool) -> None:
    total = operations_of(tmp_path / "sample.db", name)
    assert total > (20 if name == "unsynced" else 200)
    places = list(range(total))
    if len(places) > RUNS:
        places = random.Random(name).sample(places, RUNS)
    told = 0
    for at in places:
        path = tmp_path / f"{at}.db"
        new_store(path)
        disk = FaultyDisk(name=name, at=at, lasting=lasting)
        errors: list[str] = []
        acknowledged = 0
        with installed(disk):
            try:
                store = Store(path)
            except StoreError as error:  # the store is marked as open when it is opened
                errors.append(str(error))
            else:
                store._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
                acknowledged = workload(store, disk, errors)
                assert assert_whole(store) == acknowledged
                disk.mend()
                store.close()
        told += bool(errors)
        for text in errors:
            _assert_clear(text, CLEAR[name])
        with closing(Store(path)) as again:
            assert assert_whole(again) == acknowledged
    # Where a fold of the log into the main file fails, nobody needs to know: it is done later.
    assert told > len(places) * (0.2 if name == "unsynced" else 0.5)


def _assert_clear(text: str, expected: str) -> None:
    assert re.search(expected, text), text


@pytest.mark.parametrize("name", CLEAR)
def test_killed_while_the_disk_fails(tmp_path: Path, name: str) -> None:
    """The process ends without another word to its disk: what was acknowledged is there."""
    total = operations_of(tmp_path / "sample.db", name)
    rng = random.Random(name)
    for number, at in enumerate(rng.sample(range(total), min(total, RUNS))):
        path = tmp_path / f"{number}.db"
        new_store(path)
        disk = FaultyDisk(name=name, at=at, lasting=True)
        acknowledged = 0
        with installed(disk):
            with suppress(StoreError):
                store = Store(path)
                store._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
                for _ in range(TRANSACTIONS):
                    acknowledged = one_transaction(store, acknowledged + 1)
            files = {
                file.name: file.read_bytes()
                for file in tmp_path.iterdir()
                if file.name in (path.name, f"{path.name}-wal")
            }
            disk.mend()
            with suppress(UnboundLocalError):
                store._db.close()
                del store
        left = tmp_path / f"left-{number}"
        left.mkdir()
        for file_name, content in files.items():
            (left / file_name).write_bytes(content)
        with closing(Store(left / path.name)) as again:
            found = assert_whole(again)
        # A commit whose sync failed may be there all the same: it was never acknowledged.
        assert acknowledged <= found <= acknowledged + 3


@pytest.mark.parametrize("name", ["full", "broken", "read-only"])
def test_a_fault_while_a_store_is_made(tmp_path: Path, name: str) -> None:
    """There is a whole store or none; the next try makes it."""
    at = 0
    while True:
        path = tmp_path / f"{at}.db"
        disk = FaultyDisk(name=name, at=at, lasting=True)
        with installed(disk):
            try:
                Store(path).close()
            except StoreError as error:
                _assert_clear(str(error), CLEAR[name])
        if not disk.failed:
            break
        with closing(Store(path)) as store:
            assert list(store.rooms) == []
            add_room(store)
        at += 1
    assert at > 20


@pytest.mark.parametrize("name", ["full", "broken"])
def test_a_fault_while_a_store_is_compacted(tmp_path: Path, name: str) -> None:
    """Compaction writes everything anew: failing, it leaves everything as it was."""
    rng = random.Random(name)
    places = [*range(12), *(rng.randrange(400) for _ in range(300 if DEEP else 12))]
    failed = 0
    for number, at in enumerate(places):
        path = tmp_path / f"{number}.db"
        new_store(path)
        with closing(Store(path)) as store:
            acknowledged = workload(store, None, [])
        disk = FaultyDisk(name=name, at=-1, lasting=False)
        with installed(disk):
            store = Store(path)
            disk.at, disk.lasting = disk.seen + at, True
            try:
                store.compact()
            except StoreError as error:
                failed += 1
                _assert_clear(str(error), CLEAR[name])
            disk.mend()
            assert assert_whole(store) == acknowledged
            store.close()
        with closing(Store(path)) as again:
            assert assert_whole(again) == acknowledged
            again.compact()
            assert assert_whole(again) == acknowledged
    assert failed > 10


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StoreError, match="can't be made: Read-only file system"):
        Store(tmp_path / "node.db")


def test_two_nodes_on_one_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "alice")
    folder.create("alice", None, os.urandom)
    with folder.lock():
        with pytest.raises(ConfigError, match="already running"), DataFolder(folder.path).lock():
            raise AssertionError("two of them hold it")
        assert folder.is_running()
    assert not folder.is_running()
    with closing(Store(folder.store_path)) as store:
        assert store.rooms.get(ROOM_ID) is None
