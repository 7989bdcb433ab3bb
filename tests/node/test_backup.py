"""Backup and restore: whole and sealed, or nothing at all."""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import nacl.pwhash.argon2id as argon2id
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtnode.errors import ConfigError, DtnodeError
from dtnode.node import backup
from dtnode.node.backup import KdfLimits, mark_restored, restore_backup, write_backup
from dtnode.node.data_folder import DataFolder
from dtnode.store.database import Database

QUICK = KdfLimits(operations=argon2id.OPSLIMIT_MIN, memory_bytes=argon2id.MEMLIMIT_MIN)
PASSPHRASE = "fair winds and following seas"
NOW_MS = 1_764_000_000_000


@pytest.fixture
def node(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "alice")
    folder.create("alice", None, os.urandom)
    return folder


@pytest.fixture
def store(node: DataFolder) -> DataFolder:
    Database(node.store_path).close()
    put(node.store_path, "boat", "hello")
    return node


def put(path: Path, key: str, value: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def get(path: Path, key: str) -> object:
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row and row[0]


def seal(node: DataFolder, file: Path) -> Path:
    write_backup(node, file, PASSPHRASE, os.urandom, QUICK)
    return file


def unseal(file: Path, target: Path, passphrase: str = PASSPHRASE) -> DataFolder:
    folder = DataFolder(target)
    restore_backup(folder, file, passphrase, os.urandom, NOW_MS)
    return folder


def everything(path: Path) -> dict[str, bytes | None]:
    return {
        str(entry.relative_to(path)): entry.read_bytes() if entry.is_file() else None
        for entry in path.rglob("*")
    }


def test_a_restored_node_is_the_same_node(store: DataFolder, tmp_path: Path) -> None:
    back = unseal(seal(store, tmp_path / "b"), tmp_path / "new" / "alice")
    assert back.identity.user_id == store.identity.user_id
    assert back.read_seed() == store.read_seed()
    assert back.read_config() == store.read_config()
    assert back.read_client_password() == store.read_client_password()
    assert get(back.store_path, "boat") == "hello"


def test_it_is_marked_and_has_an_access_token_of_its_own(store: DataFolder, tmp_path: Path) -> None:
    back = unseal(seal(store, tmp_path / "b"), tmp_path / "new")
    assert get(back.store_path, "restored_at_ms") == NOW_MS
    assert get(store.store_path, "restored_at_ms") is None
    assert back.read_api_token() != store.read_api_token()


def test_a_node_that_never_ran_is_marked_too(node: DataFolder, tmp_path: Path) -> None:
    assert not node.store_path.exists()
    back = unseal(seal(node, tmp_path / "b"), tmp_path / "new")
    assert get(back.store_path, "restored_at_ms") == NOW_MS


def test_secrets_are_for_this_user_only(store: DataFolder, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = seal(store, tmp_path / "b")
        back = unseal(file, tmp_path / "new")
    finally:
        os.umask(before)
    assert back.path.stat().st_mode & 0o777 == 0o700
    for path in (file, back.identity_path, back.token_path, back.password_path, back.store_path):
        assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in back.path.iterdir()) == [
        "api_token",
        "client_password",
        "config.toml",
        "identity.key",
        "node.db",
    ]


def test_nothing_of_it_can_be_read_in_the_file(store: DataFolder, tmp_path: Path) -> None:
    sealed = seal(store, tmp_path / "b").read_bytes()
    secrets = (
        store.read_seed(),
        store.identity_path.read_bytes().split()[-1],
        store.read_client_password().encode(),
        store.identity.server_name.encode(),
        b"SQLite format 3",
        b"identity.key",
    )
    assert not [secret for secret in secrets if secret in sealed]


def test_what_is_not_yet_in_the_main_file_is_in_the_copy(store: DataFolder, tmp_path: Path) -> None:
    """A node that runs meanwhile: its last commits are in the write-ahead log, and another one is
    open."""
    with closing(sqlite3.connect(store.store_path, isolation_level=None)) as running:
        running.execute("PRAGMA wal_autocheckpoint = 0")
        running.execute("INSERT OR REPLACE INTO meta VALUES ('boat', 'committed')")
        running.execute("BEGIN IMMEDIATE")
        running.execute("INSERT OR REPLACE INTO meta VALUES ('boat', 'not committed')")
        file = seal(store, tmp_path / "b")
        running.execute("ROLLBACK")
    assert get(unseal(file, tmp_path / "new").store_path, "boat") == "committed"
    assert not [path.name for path in store.path.iterdir() if path.name.endswith(".tmp")]


def test_a_large_store_comes_back_whole(store: DataFolder, tmp_path: Path) -> None:
    blob = os.urandom(5 * backup.CHUNK_BYTES + 1)
    put(store.store_path, "blob", blob)
    assert get(unseal(seal(store, tmp_path / "b"), tmp_path / "new").store_path, "blob") == blob


def test_link_session_tables_are_emptied_in_the_copy_only(
    store: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LINK_SESSION_TABLES", ("counters", "not_in_this_store"))
    with closing(sqlite3.connect(store.store_path)) as connection, connection:
        connection.execute("CREATE TABLE counters (secret TEXT)")
        connection.execute("INSERT INTO counters VALUES ('session-counter-77')")
    back = unseal(seal(store, tmp_path / "b"), tmp_path / "new")
    for path, rows in ((store.store_path, 1), (back.store_path, 0)):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM counters").fetchone() == (rows,)
    assert b"session-counter-77" not in back.store_path.read_bytes()


def test_a_damaged_store_is_copied_with_a_warning(store: DataFolder, tmp_path: Path) -> None:
    """A failing disk is when a backup is needed most: the key must still get out."""
    put(store.store_path, "blob", os.urandom(100_000))
    data = bytearray(store.store_path.read_bytes())
    data[-60_000:-50_000] = b"\xff" * 10_000
    store.store_path.write_bytes(data)
    report = write_backup(store, tmp_path / "b", PASSPHRASE, os.urandom, QUICK)
    assert report.warning is not None
    assert "damaged" in report.warning


def test_what_is_no_store_is_reported(node: DataFolder, tmp_path: Path) -> None:
    node.store_path.write_bytes(b"not a database" * 1000)
    with pytest.raises(DtnodeError, match=r"identity\.key"):
        seal(node, tmp_path / "b")
    assert not (tmp_path / "b").exists()


# --- the file


def test_an_older_backup_is_replaced_but_no_other_file(store: DataFolder, tmp_path: Path) -> None:
    file = seal(store, tmp_path / "b")
    first = file.read_bytes()
    assert seal(store, file).read_bytes() != first
    (tmp_path / "photo.jpg").write_bytes(b"JFIF")
    with pytest.raises(ConfigError, match="isn't a dtnode backup"):
        seal(store, tmp_path / "photo.jpg")
    with pytest.raises(ConfigError, match="is a folder"):
        seal(store, tmp_path)
    assert (tmp_path / "photo.jpg").read_bytes() == b"JFIF"


def test_a_place_that_is_not_there_is_explained(store: DataFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Choose another place"):
        seal(store, tmp_path / "no" / "such" / "folder")


def test_an_empty_passphrase_is_refused(store: DataFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="empty"):
        write_backup(store, tmp_path / "b", "", os.urandom, QUICK)
    assert not (tmp_path / "b").exists()


def test_the_key_is_worked_out_with_moderate_limits_by_default() -> None:
    assert KdfLimits() == KdfLimits(
        operations=argon2id.OPSLIMIT_MODERATE, memory_bytes=argon2id.MEMLIMIT_MODERATE
    )


# --- what must not come in


def test_a_folder_in_use_is_refused(store: DataFolder, tmp_path: Path) -> None:
    file = seal(store, tmp_path / "b")
    before = everything(store.path)
    with pytest.raises(ConfigError, match="never overwritten"):
        unseal(file, store.path)
    assert everything(store.path) == before
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "thesis.txt").write_text("all my work")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        unseal(file, tmp_path / "docs")


@pytest.mark.parametrize("there_before", [False, True])
def test_a_wrong_passphrase_leaves_nothing_behind(
    store: DataFolder, tmp_path: Path, there_before: bool
) -> None:
    file = seal(store, tmp_path / "b")
    target = tmp_path / "deep" / "new"
    if there_before:
        target.mkdir(parents=True)
    with pytest.raises(ConfigError, match="passphrase is wrong"):
        unseal(file, target, "fair winds")
    assert target.exists() == there_before
    assert (tmp_path / "deep").exists() == there_before
    assert not there_before or not list(target.iterdir())


@pytest.mark.parametrize("keep", [0, 5, 20, 60, 100, -1, -17, -1000, -70_000])
def test_a_file_cut_off_anywhere_leaves_nothing_behind(
    store: DataFolder, tmp_path: Path, keep: int
) -> None:
    put(store.store_path, "blob", os.urandom(200_000))
    file = seal(store, tmp_path / "b")
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ConfigError):
        unseal(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_chunks_can_be_neither_left_out_nor_swapped_nor_added(
    store: DataFolder, tmp_path: Path
) -> None:
    put(store.store_path, "blob", os.urandom(5 * backup.CHUNK_BYTES))
    whole = seal(store, tmp_path / "b").read_bytes()
    chunk = backup.CHUNK_BYTES + 17
    head, body = whole[:67], whole[67:]  # magic, version, limits, salt, stream header
    one, two, rest = body[:chunk], body[chunk : 2 * chunk], body[2 * chunk :]
    for altered in (
        head + two + rest,
        head + one + rest,
        head + two + one + rest,
        head + one + one + two + rest,
        whole + b"\0",
        whole + whole[-chunk:],
    ):
        (tmp_path / "b").write_bytes(altered)
        with pytest.raises(ConfigError):
            unseal(tmp_path / "b", tmp_path / "new")
        assert not (tmp_path / "new").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_an_altered_bit_anywhere_is_seen(
    store: DataFolder, tmp_path: Path, data: st.DataObject
) -> None:
    file = tmp_path / "b"
    if not file.exists():
        seal(store, file)
        (tmp_path / "good").write_bytes(file.read_bytes())
    altered = bytearray((tmp_path / "good").read_bytes())
    # the limits of Argon2id, bytes 15 to 26, are altered by tests of their own: they cost time
    place = data.draw(st.integers(0, 14) | st.integers(27, 100) | st.integers(27, len(altered) - 1))
    altered[place] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "altered").write_bytes(altered)
    with pytest.raises(ConfigError):
        unseal(tmp_path / "altered", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("operations", "memory_bytes"), [(2**32 - 1, 8192), (1, 2**40), (0, 8192), (1, 0), (1, 16384)]
)
def test_a_file_cannot_ask_for_any_amount_of_work(
    store: DataFolder, tmp_path: Path, operations: int, memory_bytes: int
) -> None:
    file = seal(store, tmp_path / "b")
    data = bytearray(file.read_bytes())
    data[15:27] = operations.to_bytes(4, "big") + memory_bytes.to_bytes(8, "big")
    file.write_bytes(data)
    with pytest.raises(ConfigError):
        unseal(file, tmp_path / "new")


@given(st.binary(max_size=300))
def test_garbage_is_refused(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    place = tmp_path_factory.mktemp("garbage")
    for data in (garbage, backup.MAGIC + garbage):
        (place / "b").write_bytes(data)
        with pytest.raises(ConfigError):
            unseal(place / "b", place / "new")
        assert not (place / "new").exists()


def test_a_newer_format_says_so(store: DataFolder, tmp_path: Path) -> None:
    file = seal(store, tmp_path / "b")
    data = bytearray(file.read_bytes())
    data[14] = 2
    file.write_bytes(data)
    with pytest.raises(ConfigError, match="newer dtnode"):
        unseal(file, tmp_path / "new")


def seal_archive(file: Path, members: list[tarfile.TarInfo]) -> None:
    """What somebody who knows the passphrase could make."""
    with file.open("wb") as out:
        sealed = backup._SealedWriter(out, PASSPHRASE, os.urandom, QUICK)
        archive_bytes = io.BytesIO()
        with tarfile.open(fileobj=archive_bytes, mode="w") as archive:
            for member in members:
                archive.addfile(member, io.BytesIO(b"x" * member.size))
        sealed.write(archive_bytes.getvalue())
        sealed.finish()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../escaped")],
        [member("/tmp/escaped")],
        [member("api_token")],
        [member("identity.key", tarfile.SYMTYPE, "/etc/passwd")],
        [member("identity.key", tarfile.DIRTYPE)],
        [member("config.toml"), member("config.toml")],
        [member("config.toml")],
        [member("config.toml"), member("identity.key")],
        [],
    ],
)
def test_a_sealed_archive_of_other_things_is_refused(
    tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    seal_archive(tmp_path / "b", members)
    with pytest.raises(ConfigError):
        unseal(tmp_path / "b", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_full_disk_leaves_nothing_behind(
    store: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = seal(store, tmp_path / "b")

    def full(source: BinaryIO, target: BinaryIO, size: int) -> None:
        target.write(source.read(size))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(ConfigError, match="No space left"):
        unseal(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_mark_restored_takes_the_latest(store: DataFolder) -> None:
    mark_restored(store.store_path, 1)
    mark_restored(store.store_path, 2)
    assert get(store.store_path, "restored_at_ms") == 2
