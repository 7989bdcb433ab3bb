"""What a store file survives, and what it reports: kill -9, torn writes, damage, a full disk."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dtnode.errors import StoreError
from dtnode.store import Store
from dtnode.store.schema import APPLICATION_ID, MIGRATIONS
from tests.store.samples import ROOM_ID, add_event, add_room, sample_id

KILLS = 24
WRITER = Path(__file__).parent / "writer.py"


def assert_whole(store: Store) -> int:
    """Every table of the store agrees with every other; the number of the last event."""
    room = store.rooms.get(ROOM_ID)
    last = store.events.last_position()
    assert (store.meta("last") or 0) == last
    if room is None or not last:
        return last
    assert store.events.counts(room.nid) == (last, 0, 0)
    newest = store.events.get(sample_id(last))
    assert newest is not None
    assert store.rooms.tips(room.nid) == {newest.nid} == store.rooms.forward_extremities(room.nid)
    assert room.current_group == newest.after
    state = store.state_groups.state(room.current_group)
    expected = {
        ("n", str(number % 10)): f"${number}" for number in range(max(1, last - 9), last + 1)
    }
    assert state == expected
    assert [event.nid for event in store.events.in_nid_order(room.nid)] == list(range(1, last + 1))
    assert store.held.has(sample_id(f"held {last}"))
    assert len(store.held.missing(room.nid, 10_000)) == store.held.count(room.nid)
    return last


def test_nothing_reported_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    rng = random.Random(9)
    reported = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, str(WRITER), str(path)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            for _ in range(rng.randrange(1, 8)):
                reported = int(child.stdout.readline())
            # Not only between two transactions: the pipe runs ahead of what was read.
            os.kill(child.pid, signal.SIGKILL)
            lines = child.stdout.read().split(b"\n")
            reported = max([reported, *(int(line) for line in lines[:-1])])
        store = Store(path)
        found = assert_whole(store)
        assert found >= reported
        if rng.random() < 0.5:
            store.close()
        else:
            store._db.close()  # as if this one had been killed too: read through at the next start


def a_store(path: Path, events: int = 300) -> None:
    """Some events, and a log that wasn't folded into the main file yet: as after kill -9."""
    store = Store(path)
    room = add_room(store)
    for start in range(1, events + 1, 50):
        with store.transaction():
            for number in range(start, start + 50):
                add_event(store, room, number, [number - 1] if number > 1 else [])
            store.rooms.set_tips(room.nid, [start + 49])
            store.set_meta("last", start + 49)
    copy = {suffix: path.with_name(path.name + suffix) for suffix in ("", "-wal")}
    contents = {name: file.read_bytes() for name, file in copy.items()}
    store.close()
    for name, file in copy.items():
        file.write_bytes(contents[name])


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    path = tmp_path / "node.db"
    a_store(path)
    assert wal(path).stat().st_size > 100_000
    return path


def wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def events_in(path: Path) -> int:
    with closing(Store(path)) as store:
        room = store.rooms.get(ROOM_ID)
        count = 0 if room is None else store.events.counts(room.nid)[0]
        assert (store.meta("last") or 0) == count
        for number in range(1, count + 1):
            event = store.events.by_nid(number)
            assert event is not None
            assert event.event_id == sample_id(number)
    return count


def test_garbage_after_the_log_is_ignored(killed: Path) -> None:
    with wal(killed).open("ab") as file:
        file.write(random.Random(1).randbytes(10_000))
    assert events_in(killed) == 300


def test_a_torn_write_at_the_end_of_the_log_loses_only_that(killed: Path) -> None:
    content = wal(killed).read_bytes()
    wal(killed).write_bytes(content[:-1000] + bytes(1000))
    assert events_in(killed) == 250  # the last transaction had not ended, as far as the disk goes


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.95])
def test_a_cut_log_leaves_whole_transactions(killed: Path, keep: float) -> None:
    """SQLite can't tell a log that was cut from one that was never longer; what is left is a store
    as it once was, never half a transaction."""
    content = wal(killed).read_bytes()
    wal(killed).write_bytes(content[: int(len(content) * keep)])
    found = events_in(killed)
    assert found % 50 == 0
    assert found < 300


def folded(path: Path) -> Path:
    """The same store with everything in its main file, closed properly."""
    Store(path).close()
    assert not wal(path).exists()
    return path


@pytest.mark.parametrize("keep", [0, 1, 50, 100, 4096, 8192, 50_000])
def test_a_cut_main_file_is_reported(killed: Path, keep: int) -> None:
    path = folded(killed)
    content = path.read_bytes()[:keep]
    path.write_bytes(content)
    for _ in range(2):  # and not repaired into something empty by trying
        with pytest.raises(StoreError, match="damaged"):
            Store(path)
        assert path.read_bytes() == content


def test_a_cut_main_file_beside_its_log_is_reported(killed: Path) -> None:
    killed.write_bytes(killed.read_bytes()[:1])
    with pytest.raises(StoreError, match="damaged"):
        Store(killed)
    killed.write_bytes(b"")
    with pytest.raises(StoreError, match="damaged"):
        Store(killed)


def test_a_missing_main_file_beside_its_log_is_reported(killed: Path) -> None:
    log = wal(killed).read_bytes()
    killed.unlink()
    with pytest.raises(StoreError, match="main file is missing"):
        Store(killed)
    assert wal(killed).read_bytes() == log
    assert not killed.exists()


@pytest.mark.parametrize("seed", range(8))
def test_overwritten_pages_are_reported_or_harmless(killed: Path, seed: int) -> None:
    path = folded(killed)
    Store(path)._db.close()  # not closed properly: the next start reads the file through
    pages = path.stat().st_size // 4096
    content = bytearray(path.read_bytes())
    at = 4096 * random.Random(seed).randrange(1, pages)
    content[at : at + 4096] = random.Random(seed).randbytes(4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        events_in(path)


def test_damage_in_a_file_closed_properly_is_reported_where_it_is_met(killed: Path) -> None:
    path = folded(killed)
    content = path.read_bytes()
    at = content.rindex(sample_id(300).encode())
    page = at - at % 4096
    path.write_bytes(content[:page] + bytes(4096) + content[page + 4096 :])
    with pytest.raises(StoreError):
        events_in(path)


# --- a full disk


def test_a_full_disk_is_reported_and_survived(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    store = Store(path)
    room = add_room(store)
    with store.transaction():
        add_event(store, room, 1)
    store._db.execute("PRAGMA max_page_count = 60")

    def fill() -> None:
        for start in range(2, 10_000, 20):
            with store.transaction():
                for number in range(start, start + 20):
                    add_event(store, room, number, [number - 1], content={"body": "x" * 500})

    with pytest.raises(StoreError, match=r"disk that holds .* is full: "):
        fill()
    kept = store.events.counts(room.nid)[0]
    assert store.events.last_position() == kept
    assert store.events.get(sample_id(kept + 1)) is None
    assert kept % 20 == 1
    assert 1 < kept < 10_000
    store._db.execute("PRAGMA max_page_count = 1000000")
    with store.transaction():
        event = add_event(store, room, kept + 1, [kept])
    assert event.nid == kept + 1
    store.close()
    with closing(Store(path)) as again:
        assert again.events.counts(room.nid)[0] == kept + 1


def test_going_on_after_an_inner_transaction_was_lost_commits_nothing(tmp_path: Path) -> None:
    """On a full disk SQLite may end the outer transaction too: what follows must not be
    committed statement by statement."""
    store = Store(tmp_path / "node.db")
    room = add_room(store)

    def inner() -> None:
        with store.transaction():
            store._db._conn.execute("ROLLBACK")  # what SQLite does
            with pytest.raises(StoreError, match="taken back"):
                store.set_meta("b", 2)
            raise StoreError("disk full")

    def outer() -> None:
        with store.transaction():
            store.set_meta("a", 1)
            with pytest.raises(StoreError, match="disk full"):
                inner()
            store.set_meta("c", 3)

    with pytest.raises(StoreError, match="taken back"):
        outer()
    assert [store.meta(key) for key in "abc"] == [None, None, None]
    with store.transaction():
        add_event(store, room, 1)
    assert store.events.counts(room.nid)[0] == 1


def test_a_store_that_cant_be_made_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be"):
        Store(tmp_path / "gone" / "node.db")
    (tmp_path / "node.db.new").mkdir()
    with pytest.raises(StoreError, match="can't be made"):
        Store(tmp_path / "node.db")


# --- which files are opened


def test_a_new_store_is_ours_and_private(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    Store(path).close()
    assert [file.name for file in tmp_path.iterdir()] == ["node.db"]
    assert path.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert conn.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_half_made_store_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "node.db.new").write_bytes(b"half")
    (tmp_path / "node.db.new-journal").write_bytes(b"half")
    with closing(Store(tmp_path / "node.db")) as store:
        add_room(store)
    assert not (tmp_path / "node.db.new").exists()


def test_transactions_are_synced(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "node.db")) as store:
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_older_store_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.db"
    a_store(path)
    folded(path)
    newer = (*MIGRATIONS, "CREATE TABLE added (x); INSERT INTO added VALUES (7);")
    monkeypatch.setattr("dtnode.store.database.MIGRATIONS", newer)
    with closing(Store(path)) as store:
        assert store._db.execute("SELECT x FROM added").fetchone() == (7,)
        assert store.events.counts(1)[0] == 300
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"newer dtnode.*update dtnode"):
        Store(path)


def test_a_failing_migration_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.db"
    a_store(path)
    folded(path)
    newer = (*MIGRATIONS, "CREATE TABLE added (x); DROP TABLE no_such_table;")
    monkeypatch.setattr("dtnode.store.database.MIGRATIONS", newer)
    with pytest.raises(StoreError):
        Store(path)
    monkeypatch.undo()
    assert events_in(path) == 300


@pytest.mark.parametrize("version", [0, 1])
def test_a_foreign_sqlite_file_is_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "node.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE theirs (x)")
        conn.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a dtnode store"):
        Store(path)
    assert path.read_bytes() == before


def test_another_kind_of_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Store(path)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "node.db")) as store:
        room = add_room(store)
        with store.transaction():
            add_event(store, room, 1)
        yield store


def test_reading_while_a_writer_is_at_work(writer: Store, tmp_path: Path) -> None:
    with closing(Store(tmp_path / "node.db", read_only=True)) as reader:
        assert reader.events.get(sample_id(1)) is not None
        with writer.transaction():
            add_event(writer, writer.rooms.by_nid(1), 2, [1])
            writer.flush()
            assert reader.events.counts(1)[0] == 1
        assert reader.events.counts(1)[0] == 2
        with pytest.raises(StoreError), reader.transaction():
            reader.set_meta("x", 1)


def test_reading_a_closed_store_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    a_store(path)
    folded(path)
    before = path.read_bytes()
    with closing(Store(path, read_only=True)) as reader:
        assert reader.events.counts(1)[0] == 300
    assert path.read_bytes() == before
    with pytest.raises(StoreError, match="can't be opened"):
        Store(tmp_path / "nothing.db", read_only=True)
    assert not (tmp_path / "nothing.db").exists()


def test_a_second_writer_is_told_that_the_store_is_in_use(
    writer: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dtnode.store.database._BUSY_TIMEOUT_S", 0.05)
    with writer.transaction(), pytest.raises(StoreError, match="in use"):
        Store(tmp_path / "node.db")
