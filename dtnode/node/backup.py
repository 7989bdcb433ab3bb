"""A node's backup: one file, sealed with a passphrase. Made and opened by the command line.

It holds the key, the settings, the password for Matrix clients and a consistent copy of the store
(peers are in it); never the command line's access token, nor link-session state: two nodes that
went on with one session would reuse its counters.

Format, version 1: MAGIC, a version byte, then Argon2id's salt and limits, the header of libsodium's
secretstream (XChaCha20-Poly1305), and chunks of CHUNK_BYTES; everything before the chunks is
authenticated with each of them, and the last one is marked as last. Inside: a tar archive.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import sqlite3
import struct
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import nacl.exceptions
import nacl.pwhash.argon2id as argon2id
from nacl import bindings as sodium

from dtnode.errors import ConfigError, StoreError
from dtnode.node.data_folder import (
    DataFolder,
    make_private_folder,
    sync_folder,
    temporary_beside,
)
from dtnode.signer import Entropy

MAGIC = b"dtnode-backup\n"
FORMAT_VERSION = 1
CHUNK_BYTES = 64 * 1024

LINK_SESSION_TABLES: tuple[str, ...] = ()
"""Tables of the store that are emptied in the copy (DESIGN section 1)."""

MAX_KDF_OPERATIONS, MAX_KDF_BYTES = 16, 1 << 30
"""What a file may ask of Argon2id before its passphrase is checked; `sensitive` asks for this."""

_KDF = struct.Struct(">IQ")
_STREAM_HEADER_BYTES = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_SEAL_BYTES = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
_FINAL = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MESSAGE = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE

_CONFIG, _KEY, _PASSWORD, _STORE = "config.toml", "identity.key", "client_password", "node.db"
_ORDER = (_STORE, _CONFIG, _PASSWORD, _KEY)
"""The order in which a restored node's files take their names: without the key there is no node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KdfLimits:
    """Argon2id's cost: passes over memory, and bytes of memory."""

    operations: int = argon2id.OPSLIMIT_MODERATE
    memory_bytes: int = argon2id.MEMLIMIT_MODERATE


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """size_bytes of the file; warning: what is wrong with the store that was copied, or None."""

    size_bytes: int
    warning: str | None


def write_backup(
    folder: DataFolder,
    file: Path,
    passphrase: str,
    entropy: Entropy,
    limits: KdfLimits | None = None,
) -> BackupReport:
    """Seal `folder` into `file`, whole or not at all; the node may be running meanwhile.

    Replaces an older backup, but no other file. Raises ConfigError, StoreError.
    """
    folder.open()
    _check_replaceable(file)
    temporary = temporary_beside(file)
    warning: str | None = None
    try:
        with _temporary_copy(folder) as store_copy:
            if store_copy is not None:
                warning = _copy_store(folder.store_path, store_copy)
            with _create_private(temporary) as out:
                sealed = _SealedWriter(out, passphrase, entropy, limits or KdfLimits())
                _write_archive(folder, store_copy, sealed)
                sealed.finish()
                out.flush()
                os.fsync(out.fileno())
                size_bytes = out.tell()
        temporary.replace(file)
        sync_folder(file.absolute().parent)
    except OSError as error:
        raise ConfigError(
            f"The backup can't be written to {file}: {error.strerror or error}. Choose another"
            " place for it."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return BackupReport(size_bytes=size_bytes, warning=warning)


def restore_backup(
    folder: DataFolder, file: Path, passphrase: str, entropy: Entropy, now_ms: int
) -> None:
    """Open `file` into the empty or missing `folder`; on any error the folder is as before.

    The store is marked (`mark_restored`): the node pulls its own newer events before it sends.
    Raises ConfigError for a wrong passphrase, a damaged file, a folder in use.
    """
    folder.check_empty()
    made = [path for path in (folder.path, *folder.path.parents) if not path.exists()]
    staging = folder.path / f".restore.{secrets.token_hex(6)}.tmp"
    try:
        with _open_backup(file) as source:
            reader = _SealedReader(source, passphrase, file)
            make_private_folder(staging)
            _read_archive(reader, staging, file)
        _check_restored(staging, file)
        mark_restored(staging / _STORE, now_ms)
        _put_in_place(folder, staging, entropy)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        for path in made:  # innermost first; only those that this call made and that are empty
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if isinstance(error, OSError):
            raise ConfigError(
                f"{file} can't be restored: {error.strerror or error}. Free some space or choose"
                " another folder with --data DIR."
            ) from error
        raise


def mark_restored(store_path: Path, now_ms: int) -> None:
    """Note in the store that it comes from a backup, at `now_ms`.

    A node whose backup was made before it first ran has no store in it, though it may have spoken
    since: it gets an empty one, so that the mark is there all the same.
    """
    from dtnode.store.database import Database

    Database(store_path).close()  # makes or migrates it; StoreError where that can't be
    with closing(sqlite3.connect(store_path)) as store, store:
        store.execute(
            "INSERT OR REPLACE INTO meta (key, value) VALUES ('restored_at_ms', ?)", (now_ms,)
        )


# --- making one


def _check_replaceable(file: Path) -> None:
    if file.is_dir():
        raise ConfigError(f"{file} is a folder. Name the file that the backup goes to.")
    if not file.exists():
        return
    try:
        with file.open("rb") as old:
            ours = old.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise ConfigError(f"{file} can't be replaced: {error.strerror}. Choose another.") from error
    if not ours:
        raise ConfigError(
            f"{file} is there already and isn't a dtnode backup. Choose another name, or remove it."
        )


@contextmanager
def _temporary_copy(folder: DataFolder) -> Iterator[Path | None]:
    """A name for the store's copy, inside the data folder: it is as secret as the store."""
    if not folder.store_path.exists():
        yield None
        return
    path = temporary_beside(folder.store_path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield path
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _copy_store(store_path: Path, copy: Path) -> str | None:
    """Copy the store by SQLite's backup API, which gives one moment's state whatever the node
    writes meanwhile. Returns a warning if what was copied is damaged."""
    try:
        source = sqlite3.connect(f"{store_path.as_uri()}?mode=ro", uri=True, timeout=30)
        with closing(source), closing(sqlite3.connect(copy, isolation_level=None)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            _empty_tables(target, LINK_SESSION_TABLES)
            found = str(target.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(
            f"The store {store_path} can't be copied: {error}. If the disk is failing, save"
            " identity.key by hand: it is the one thing that other nodes can't give back."
        ) from error
    if found == "ok":
        return None
    return (
        f"The store is damaged ({found}), and so is its copy in this backup. Keep older backups;"
        " the key and the settings are whole."
    )


def _empty_tables(store: sqlite3.Connection, tables: tuple[str, ...]) -> None:
    present = {str(name) for (name,) in store.execute("SELECT name FROM sqlite_master")}
    store.execute("PRAGMA secure_delete = ON")
    for table in tables:
        if table in present:
            store.execute(f'DELETE FROM "{table}"')  # noqa: S608 (names are constants)


def _write_archive(folder: DataFolder, store_copy: Path | None, out: _SealedWriter) -> None:
    with tarfile.open(fileobj=cast(BinaryIO, out), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in (folder.config_path, folder.password_path, folder.identity_path):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                if path.name == _PASSWORD:
                    continue
                raise ConfigError(f"{path} is missing: this folder can't be backed up.") from None
            archive.addfile(_member(path.name, len(data)), io.BytesIO(data))
        if store_copy is not None:
            with store_copy.open("rb") as store:
                archive.addfile(_member(_STORE, store_copy.stat().st_size), store)


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    member.mode = 0o600
    return member


def _create_private(path: Path) -> BinaryIO:
    return cast(
        BinaryIO, os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    )


# --- opening one


@contextmanager
def _open_backup(file: Path) -> Iterator[BinaryIO]:
    try:
        source = file.open("rb")
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}. Check its name.") from error
    with source:
        yield source


def _read_archive(reader: _SealedReader, staging: Path, file: Path) -> None:
    """Unpack the files whose names are known into `staging`. Everything read is authentic, but a
    sealed archive may still have been made by someone else: no path in it is ever followed."""
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=cast(BinaryIO, reader), mode="r|") as archive:
            for member in archive:
                if member.name not in _ORDER or not member.isreg() or member.name in seen:
                    raise ConfigError(
                        f"{file} holds {member.name!r}, which this dtnode doesn't know. Restore it"
                        " with the dtnode that made it, or a newer one."
                    )
                seen.add(member.name)
                content = archive.extractfile(member)
                assert content is not None  # a regular file
                with content, _create_private(staging / member.name) as out:
                    shutil.copyfileobj(content, out, CHUNK_BYTES)
                    out.flush()
                    os.fsync(out.fileno())
    except tarfile.TarError as error:
        raise _damaged(file) from error
    reader.drain()


def _check_restored(staging: Path, file: Path) -> None:
    """A node without a usable key or settings would be worse than none."""
    try:
        DataFolder(staging).identity  # noqa: B018 (read for its errors)
    except ConfigError as error:
        raise ConfigError(f"{file} can't be restored: {error}") from error


def _put_in_place(folder: DataFolder, staging: Path, entropy: Entropy) -> None:
    folder.path.chmod(0o700)
    folder.new_api_token(entropy)
    if not (staging / _PASSWORD).exists():
        folder.new_client_password(entropy)
    for name in _ORDER:
        if (staging / name).exists():
            (staging / name).rename(folder.path / name)
    shutil.rmtree(staging)
    sync_folder(folder.path)


# --- the seal


class _SealedWriter:
    """A file-like end for tarfile: what is written comes out sealed, in chunks."""

    def __init__(self, out: BinaryIO, passphrase: str, entropy: Entropy, limits: KdfLimits) -> None:
        self._out = out
        self._pending = bytearray()
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        salt = entropy(argon2id.SALTBYTES)
        key = _derive_key(passphrase, salt, limits)
        stream_header = sodium.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        self._prefix = (
            MAGIC
            + bytes([FORMAT_VERSION])
            + _KDF.pack(limits.operations, limits.memory_bytes)
            + salt
            + stream_header
        )
        out.write(self._prefix)

    def write(self, data: bytes) -> int:
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:  # never empty: the last chunk is for `finish`
            self._push(bytes(self._pending[:CHUNK_BYTES]), _MESSAGE)
            del self._pending[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        self._push(bytes(self._pending), _FINAL)

    def _push(self, chunk: bytes, tag: int) -> None:
        self._out.write(
            sodium.crypto_secretstream_xchacha20poly1305_push(
                self._state, chunk, ad=self._prefix, tag=tag
            )
        )


class _SealedReader:
    """A file-like start for tarfile: reads sealed chunks, gives what was in them.

    Raises ConfigError: not a backup, wrong passphrase, altered or cut off.
    """

    def __init__(self, source: BinaryIO, passphrase: str, file: Path) -> None:
        self._source = source
        self._file = file
        self._ready = b""
        self._at_end = False
        self._prefix, limits, salt, stream_header = self._read_prefix()
        key = _derive_key(passphrase, salt, limits)
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(self._state, stream_header, key)
        try:
            self._pull()
        except ConfigError as error:
            raise ConfigError(
                f"{file} doesn't open: the passphrase is wrong, or the file is damaged at its"
                " start. Try the passphrase again."
            ) from error

    def read(self, size: int = -1) -> bytes:
        parts: list[bytes] = []
        wanted = size if size >= 0 else 1 << 62
        while wanted and (self._ready or not self._at_end):
            if not self._ready:
                self._pull()
                continue
            part, self._ready = self._ready[:wanted], self._ready[wanted:]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Read up to the chunk marked as last, so that a file cut off after the archive is seen."""
        while not self._at_end:
            self._pull()

    def _read_prefix(self) -> tuple[bytes, KdfLimits, bytes, bytes]:
        magic = self._source.read(len(MAGIC) + 1)
        if magic[:-1] != MAGIC:
            raise ConfigError(f"{self._file} isn't a dtnode backup. Check its name.")
        if magic[-1] != FORMAT_VERSION:
            raise ConfigError(
                f"{self._file} has backup format {magic[-1]}; this dtnode reads {FORMAT_VERSION}."
                " Restore it with a newer dtnode."
            )
        rest = self._source.read(_KDF.size + argon2id.SALTBYTES + _STREAM_HEADER_BYTES)
        if len(rest) != _KDF.size + argon2id.SALTBYTES + _STREAM_HEADER_BYTES:
            raise _damaged(self._file)
        operations, memory_bytes = _KDF.unpack_from(rest)
        if not (
            argon2id.OPSLIMIT_MIN <= operations <= MAX_KDF_OPERATIONS
            and argon2id.MEMLIMIT_MIN <= memory_bytes <= MAX_KDF_BYTES
        ):
            raise _damaged(self._file)
        salt = rest[_KDF.size : _KDF.size + argon2id.SALTBYTES]
        limits = KdfLimits(operations=operations, memory_bytes=memory_bytes)
        return magic + rest, limits, salt, rest[-_STREAM_HEADER_BYTES:]

    def _pull(self) -> None:
        sealed = self._source.read(CHUNK_BYTES + _SEAL_BYTES)
        try:
            self._ready, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(
                self._state, sealed, ad=self._prefix
            )
        except (nacl.exceptions.CryptoError, RuntimeError, ValueError) as error:
            raise _damaged(self._file) from error
        self._at_end = tag == _FINAL
        if self._at_end and self._source.read(1):
            raise _damaged(self._file)


def _derive_key(passphrase: str, salt: bytes, limits: KdfLimits) -> bytes:
    if not passphrase:
        raise ConfigError("The passphrase is empty. Choose one that nobody guesses.")
    try:
        return argon2id.kdf(
            sodium.crypto_secretstream_xchacha20poly1305_KEYBYTES,
            passphrase.encode("utf-8", "surrogateescape"),
            salt,
            opslimit=limits.operations,
            memlimit=limits.memory_bytes,
        )
    except (MemoryError, RuntimeError, nacl.exceptions.CryptoError) as error:
        raise ConfigError(
            f"The passphrase needs {limits.memory_bytes >> 20} MiB of free memory to be worked"
            " into a key. Close other programs, or use another machine."
        ) from error


def _damaged(file: Path) -> ConfigError:
    return ConfigError(
        f"{file} is damaged: altered, or cut off. Nothing was restored; use another copy of it."
    )
