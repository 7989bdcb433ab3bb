"""Stores of every earlier schema open and come out right.

tests/store/schemas/N.sql is a store as version N left it: made by migrations 1 to N alone, filled
with a room that two people changed the topic of at once, an event that waits, a copy whose content
is missing, a card, a peer. Whoever appends a migration adds such a file for the version before it.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dtnode.errors import StoreError
from dtnode.rooms.rooms import key_of_name
from dtnode.rooms.verify import check_store
from dtnode.store import RoomKind, Store
from dtnode.store.schema import MIGRATIONS
from tests.store.shim_vfs import SQLITE_OK, Operation, installed
from tests.store.test_power_cut import Record, killed, power_cut

SCHEMAS = Path(__file__).parent / "schemas"
EARLIER = range(1, len(MIGRATIONS))


def old_store(path: Path, version: int) -> Path:
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript((SCHEMAS / f"{version}.sql").read_text())
        conn.execute("PRAGMA journal_mode = WAL")
    return path


def schema(conn: sqlite3.Connection) -> set[tuple[str, str, str]]:
    return set(conn.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def assert_right(path: Path) -> None:
    with closing(Store(path)) as store:
        assert store._db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert check_store(store, key_of_name, lambda _: None).findings == ()
        room, invited = store.rooms
        assert (room.kind, invited.kind) == (RoomKind.COMPLETE, RoomKind.INVITED)
        assert not room.is_limited
        events = list(store.events.in_nid_order(room.nid))
        assert len(events) == 20
        assert store.events.counts(room.nid) == (20, 0, 0)
        (redacted,) = store.events.redacted_copies(room.nid)
        assert not redacted.dropped
        assert redacted.pdu.content == {}
        assert [event.pdu.content["body"] for event in events if "body" in event.pdu.content] == [
            "hello 0",
            "hello 1",
            "hello 2",
            "missing",
            "held",
        ]
        assert store.held.count(room.nid) == 1
        assert len(store.held.missing(room.nid, 10)) == 1
        assert store.rooms.count_cards(invited.nid) == 1
        assert [(peer.name, peer.added) for peer in store.peers.all()] == [("Bob", True)]
        assert store.client_values.get("tokens", "t") == b"\x00\x01"


def test_every_earlier_version_has_its_store() -> None:
    assert {int(file.stem) for file in SCHEMAS.glob("*.sql")} >= set(EARLIER)


@pytest.mark.parametrize("version", EARLIER)
def test_a_migration_is_never_edited(tmp_path: Path, version: int) -> None:
    with (
        closing(sqlite3.connect(old_store(tmp_path / "old.db", version))) as old,
        closing(sqlite3.connect(":memory:")) as made,
    ):
        for script in MIGRATIONS[:version]:
            made.executescript(script)
        assert schema(old) == schema(made)


@pytest.mark.parametrize("version", EARLIER)
def test_an_old_store_comes_out_right(tmp_path: Path, version: int) -> None:
    path = old_store(tmp_path / "node.db", version)
    assert_right(path)
    assert_right(path)  # and is one of this version from then on
    Store(tmp_path / "new.db").close()
    with (
        closing(sqlite3.connect(path)) as migrated,
        closing(sqlite3.connect(tmp_path / "new.db")) as new,
    ):
        assert schema(migrated) == schema(new)


@pytest.mark.parametrize("version", EARLIER)
def test_an_old_store_can_be_compacted(tmp_path: Path, version: int) -> None:
    path = old_store(tmp_path / "node.db", version)
    with closing(Store(path)) as store:
        store.compact()
    assert_right(path)


@pytest.mark.parametrize("version", EARLIER)
def test_an_old_store_isnt_opened_for_reading_only(tmp_path: Path, version: int) -> None:
    """`export` and `check` change nothing, not even that."""
    path = old_store(tmp_path / "node.db", version)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="older dtnode: start the node once"):
        Store(path, read_only=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("cut", ["killed", "power cut"])
@pytest.mark.parametrize("version", EARLIER)
def test_a_migration_broken_off_at_any_write(tmp_path: Path, version: int, cut: str) -> None:
    path = old_store(tmp_path / "node.db", version)
    recorded = Record(before={path: path.read_bytes()})

    def hand(operation: Operation) -> int:
        recorded.operations.append(operation)
        return SQLITE_OK

    with installed(hand):
        Store(path).close()
    assert len(recorded.operations) > 15
    rng = random.Random(version)
    for point in range(len(recorded.operations) + 1):
        files = killed(recorded, point) if cut == "killed" else power_cut(recorded, point, rng)
        left = tmp_path / f"left-{point}"
        left.mkdir()
        for file, content in files.items():
            (left / file.name).write_bytes(content)
        assert_right(left / path.name)
