"""The SQLite connection: opening, migrating, transactions, damage. No table of its own.

WAL and synchronous=FULL: a committed transaction survives kill -9 and power failure. A transaction
may nest (savepoints); caches register to be cleared when anything is rolled back.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from dtnode.errors import StoreError
from dtnode.store.schema import APPLICATION_ID, MIGRATIONS

_BUSY_TIMEOUT_S = 5.0  # a reader's checkpoint or a backup may hold a lock that long
_CACHE_KIB = 4_096  # page cache; the node's target is 64 MiB in all


_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The latter where SQLite's words about a damaged file quote from it."""


class _Cursor(sqlite3.Cursor):
    """Damage is met while rows are read, too: it is told in the same words there."""

    path: Path | None

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except _ERRORS as exc:
            raise _as_store_error(exc, self.path) from exc

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except _ERRORS as exc:
            raise _as_store_error(exc, self.path) from exc

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # sqlite3's is its own iterator
        try:
            yield from iter(super().__next__, None)
        except _ERRORS as exc:
            raise _as_store_error(exc, self.path) from exc


class Database:
    """One connection to one store file, or to memory (`path` None).

    Raises StoreError where the file is damaged, from a newer dtnode, or not a store at all.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._depth = 0
        self._before_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []
        try:
            if path is not None and not read_only and not path.exists():
                _create(path)
            self._conn = self._connect(path, read_only)
            try:
                self._open()
            except BaseException:
                self._conn.close()
                raise
        except _ERRORS as exc:
            raise _as_store_error(exc, path) from exc

    def _open(self) -> None:
        self._conn.execute("PRAGMA foreign_keys = ON")
        self._check_identity()
        if not self._read_only:
            self._configure()
            _migrate(self._conn)

    @staticmethod
    def _connect(path: Path | None, read_only: bool) -> sqlite3.Connection:
        if path is None:
            target, uri = ":memory:", False
        else:
            mode = _reading_mode(path) if read_only else "mode=rwc"
            target, uri = f"{path.absolute().as_uri()}?{mode}", True
        return sqlite3.connect(
            target,
            uri=uri,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _check_identity(self) -> None:
        """A store gets its name when it is whole (`_create`): an empty file is a lost one."""
        if self.path is None:
            return
        version = self._scalar("PRAGMA user_version")
        if self._scalar("PRAGMA application_id") != APPLICATION_ID:
            if self._scalar("SELECT count(*) FROM sqlite_master") == 0:
                raise _damaged(self.path, "the file is empty")
            raise StoreError(
                f"{self.path} is an SQLite file, but not a dtnode store: move it away, or choose"
                " another folder with --data DIR"
            )
        if self._read_only and version < len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was last used by an older dtnode: start the node once, which brings"
                " it up to date (dtnode run)"
            )
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer dtnode (store version {version}, this one "
                f"knows {len(MIGRATIONS)}): update dtnode on this machine"
            )

    def _configure(self) -> None:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"cache_size = -{_CACHE_KIB}",
            "wal_autocheckpoint = 2000",
            "temp_store = MEMORY",
        ):
            self._conn.execute(f"PRAGMA {pragma}")

    def _scalar(self, sql: str) -> int:
        return int(self._conn.execute(sql).fetchone()[0])

    def quick_check(self) -> None:
        """Reads the whole file; StoreError if its structure is damaged."""
        try:
            found = self._conn.execute("PRAGMA quick_check(1)").fetchone()[0]
        except _ERRORS as exc:
            raise _as_store_error(exc, self.path) from exc
        if found != "ok":
            raise _damaged(self.path, str(found))

    def size_bytes(self) -> int:
        """On disk, its log included; 0 in memory."""
        if self.path is None:
            return 0
        files = (self.path, _beside(self.path, "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def rewrite(self) -> None:
        """Writes the file anew without its empty pages. Outside of transactions."""
        assert not self.in_transaction, "SQLite rewrites a file between transactions"
        self.execute("PRAGMA temp_store = FILE")  # the copy may be larger than the memory
        self.execute("VACUUM")
        self.execute("PRAGMA temp_store = MEMORY")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._conn.close()

    # --- transactions

    def before_commit(self, callback: Callable[[], None]) -> None:
        """`callback` runs before every outermost commit: buffered rows are written there."""
        self._before_commit.append(callback)

    def on_rollback(self, callback: Callable[[], None]) -> None:
        """`callback` runs after any rollback: whatever was cached may be untrue now."""
        self._on_rollback.append(callback)

    @property
    def in_transaction(self) -> bool:
        return self._depth > 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Leaving the outermost one means: on disk, synced. Nested: a savepoint."""
        outermost = self._depth == 0
        name = f"s{self._depth}"
        begin, commit, rollback = (
            ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",))
            if outermost
            else (
                f"SAVEPOINT {name}",
                f"RELEASE {name}",
                (f"ROLLBACK TO {name}", f"RELEASE {name}"),
            )
        )
        self.flush()  # buffered rows of the outer part must not vanish with the inner one
        self.execute(begin)
        self._depth += 1
        try:
            yield
            self.flush()
            self.execute(commit)
        except BaseException:
            self._roll_back(rollback)
            raise
        finally:
            self._depth -= 1

    def _roll_back(self, statements: tuple[str, ...]) -> None:
        for callback in self._on_rollback:
            callback()
        if not self._conn.in_transaction:
            return
        try:
            for statement in statements:
                self._conn.execute(statement)
        except _ERRORS as exc:
            with suppress(sqlite3.Error):
                self._conn.execute("ROLLBACK")
            raise _as_store_error(exc, self.path) from exc

    def flush(self) -> None:
        for callback in self._before_commit:
            callback()

    # --- statements

    def execute(self, sql: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        self._check_not_lost()
        cursor = self._conn.cursor(_Cursor)
        cursor.path = self.path
        try:
            return cursor.execute(sql, parameters)
        except _ERRORS as exc:
            raise _as_store_error(exc, self.path) from exc

    def executemany(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        self._check_not_lost()
        try:
            self._conn.executemany(sql, rows)
        except _ERRORS as exc:
            raise _as_store_error(exc, self.path) from exc

    def _check_not_lost(self) -> None:
        """SQLite itself ends the whole transaction on some errors (disk full). A caller that goes
        on all the same must not commit the rest statement by statement."""
        if self._depth and not self._conn.in_transaction:
            raise StoreError("the transaction failed before and was taken back: try again")


Schema = dict[str, tuple[str, object]]
"""Name of a table or index -> ("table" or "index", its columns as SQLite tells them)."""


def schema_of(db: Database) -> Schema:
    names = db.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'index')"
        " AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    found: Schema = {}
    for name, kind in names:
        columns = db.execute(f"SELECT name FROM pragma_{kind}_info(?) ORDER BY 1", (name,))  # noqa: S608
        found[name] = (kind, columns.fetchall())
    return found


def expected_schema() -> Schema:
    """Of a store that was just made."""
    db = Database(None)
    try:
        return schema_of(db)
    finally:
        db.close()


def _reading_mode(path: Path) -> str:
    """SQLite makes files beside the store even to read it, unless it is told that nobody writes
    there: which is so on a read-only disk, and right where no log holds anything newer."""
    log = _beside(path, "-wal")
    if os.access(path.parent, os.W_OK) or (log.exists() and log.stat().st_size):
        return "mode=ro"
    return "mode=ro&immutable=1"


def _create(path: Path) -> None:
    """Makes a new store under another name and gives it its own when it is whole, so that a file of
    no length is never taken for a new one. SQLite syncs the folder when it first writes to it."""
    if any(_beside(path, suffix).exists() for suffix in ("-wal", "-journal")):
        raise _damaged(path, "its main file is missing, though its log is there")
    draft = _beside(path, ".new")
    try:
        for suffix in ("", "-journal"):
            _beside(draft, suffix).unlink(missing_ok=True)
        with closing(sqlite3.connect(draft, isolation_level=None)) as conn:
            draft.chmod(0o600)
            _migrate(conn)
        draft.rename(path)
    except OSError as exc:
        raise StoreError(f"the store {path} can't be made: {exc.strerror or exc}") from exc


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _migrate(conn: sqlite3.Connection) -> None:
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        conn.executescript(
            f"BEGIN IMMEDIATE; {script}"
            f"PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {number}; COMMIT;"
        )


def _as_store_error(exc: sqlite3.Error | UnicodeDecodeError, path: Path | None) -> StoreError:
    text = str(exc)
    if isinstance(exc, UnicodeDecodeError):
        return _damaged(path, "text in it is no UTF-8")
    if "full" in text:
        return StoreError(
            f"the disk that holds {path} is full: free some space. What was stored is safe, this"
            " wasn't stored"
        )
    if "locked" in text or "busy" in text:
        return StoreError(f"{path} is in use by another program: stop it first")
    if "readonly" in text:
        return StoreError(
            f"{path} can't be written, its disk or folder is read-only: make it writable, nothing"
            " was lost"
        )
    if "disk I/O error" in text:
        return StoreError(
            f"the disk that holds {path} fails ({text}): nothing acknowledged was lost. Copy the"
            " data folder to another disk, and go on there"
        )
    if "unable to open" in text:
        return StoreError(f"{path} can't be opened ({text}): check that it exists and its rights")
    if isinstance(exc, sqlite3.DatabaseError) and not isinstance(
        exc, (sqlite3.OperationalError, sqlite3.IntegrityError, sqlite3.ProgrammingError)
    ):
        return _damaged(path, text)
    return StoreError(f"the store {path} failed: {text}")


def _damaged(path: Path | None, detail: str) -> StoreError:
    return StoreError(
        f"the store {path} is damaged ({detail}). Nothing was changed. Keep a copy of the file, "
        "then restore your latest backup into a new folder with: dtnode --data NEW restore FILE"
    )
