"""SQLite's own file layer with a hand in between: every write, truncation, sync and deletion of the
store's files can be recorded, refused or torn. Production code knows nothing of it.

It is a copy of the default VFS (sqlite.org/vfs.html), made in the library that the sqlite3 module
itself uses, in which xOpen and xDelete are ours; files that xOpen opens get a copy of their method
table in which xWrite, xTruncate and xSync are ours. Shared memory (-shm) isn't seen: SQLite builds
that anew from the log.
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import pytest

SQLITE_OK, SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN = 0, 8, 10, 13, 14
IOERR_WRITE = SQLITE_IOERR | 3 << 8
IOERR_FSYNC = SQLITE_IOERR | 4 << 8

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        ("others", c_void_p * 14),
    )


class _Methods(ctypes.Structure):
    _fields_ = (
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", c_void_p),
        ("xTruncate", c_void_p),
        ("xSync", c_void_p),
        ("others", c_void_p * 13),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """kind: "write", "truncate", "sync", "delete". at: a write's offset, a truncation's size."""

    kind: str
    path: Path
    at: int = 0
    data: bytes = b""


Fault = int | tuple[int, int]
"""A result code of SQLite instead of doing it; or (bytes written all the same, code)."""
Hand = Callable[[Operation], Fault]
"""Decides on each operation: SQLITE_OK lets it happen."""


def library() -> ctypes.CDLL:
    """The SQLite that the sqlite3 module uses. A Python that has one built in can't do this: the
    tests are skipped there."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    loaded = [line.split()[-1] for line in lines if "/libsqlite3" in line]
    name = loaded[0] if loaded else find_library("sqlite3")
    if name is None:
        pytest.skip("this Python has its SQLite built in")
    found = ctypes.CDLL(name)
    found.sqlite3_libversion.restype = c_char_p
    if found.sqlite3_libversion().decode() != sqlite3.sqlite_version:
        pytest.skip(f"this Python has another SQLite than {name}")
    found.sqlite3_vfs_find.restype = POINTER(_Vfs)
    found.sqlite3_vfs_register.argtypes = (c_void_p, c_int)
    found.sqlite3_vfs_unregister.argtypes = (c_void_p,)
    return found


class ShimVfs:
    """Registered as the default by `installed`; everything it points to lives as long as it."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._library = library()
        self._original = self._library.sqlite3_vfs_find(None)
        real = self._original.contents
        self._real_open = _OPEN(real.xOpen)
        self._real_delete = _DELETE(real.xDelete)
        self._paths: dict[int, Path] = {}
        self._methods: dict[int, _Methods] = {}
        self._real: dict[int, tuple[Callable[..., int], ...]] = {}
        self._table_of: dict[int, int] = {}
        self._callbacks = (
            _OPEN(self._open),
            _DELETE(self._delete),
            _WRITE(self._write),
            _TRUNCATE(self._truncate),
            _SYNC(self._sync),
        )
        self._vfs = _Vfs.from_buffer_copy(real)
        self._vfs.zName = b"dtnode-shim"
        self._vfs.xOpen = _address(self._callbacks[0])
        self._vfs.xDelete = _address(self._callbacks[1])

    def register(self) -> None:
        assert self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1) == SQLITE_OK

    def unregister(self) -> None:
        assert self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs)) == SQLITE_OK

    def _open(self, _vfs: int, name: int, file: int, flags: int, out: int) -> int:
        original = ctypes.cast(self._original, c_void_p)
        result = self._real_open(original, name, file, flags, out)
        table = ctypes.cast(file, POINTER(c_void_p))
        if result == SQLITE_OK and name and table[0]:  # temporary files have no name
            self._paths[file] = Path(ctypes.string_at(name).decode())
            self._table_of[file] = table[0]
            table[0] = ctypes.addressof(self._our_methods(table[0]))
        return int(result)

    def _our_methods(self, table: int) -> _Methods:
        if table not in self._methods:
            real = _Methods.from_address(table)
            self._real[table] = (
                _WRITE(real.xWrite),
                _TRUNCATE(real.xTruncate),
                _SYNC(real.xSync),
            )
            ours = _Methods.from_buffer_copy(real)
            ours.xWrite, ours.xTruncate, ours.xSync = map(_address, self._callbacks[2:])
            self._methods[table] = ours
        return self._methods[table]

    def _delete(self, _vfs: int, name: bytes, sync_folder: int) -> int:
        result = self._hand(Operation(kind="delete", path=Path(name.decode())))
        if result != SQLITE_OK:
            return _code(result)
        original = ctypes.cast(self._original, c_void_p)
        return int(self._real_delete(original, name, sync_folder))

    def _write(self, file: int, data: int, size: int, offset: int) -> int:
        content = ctypes.string_at(data, size)
        operation = Operation(kind="write", path=self._paths[file], at=offset, data=content)
        result = self._hand(operation)
        write = self._real[self._table_of[file]][0]
        if isinstance(result, tuple):
            write(file, data, min(size, result[0]), offset)
        elif result == SQLITE_OK:
            return int(write(file, data, size, offset))
        return _code(result)

    def _truncate(self, file: int, size: int) -> int:
        result = self._hand(Operation(kind="truncate", path=self._paths[file], at=size))
        if result != SQLITE_OK:
            return _code(result)
        return int(self._real[self._table_of[file]][1](file, size))

    def _sync(self, file: int, flags: int) -> int:
        result = self._hand(Operation(kind="sync", path=self._paths[file]))
        if result != SQLITE_OK:
            return _code(result)
        return int(self._real[self._table_of[file]][2](file, flags))


_KEPT_FOR_EVER: list[ShimVfs] = []


@contextmanager
def installed(hand: Hand) -> Iterator[None]:
    """Files opened meanwhile go through `hand`."""
    shim = ShimVfs(hand)
    # SQLite may hold a connection, and so the shim, until its last statement is collected.
    _KEPT_FOR_EVER.append(shim)
    shim.register()
    try:
        yield
    finally:
        shim.unregister()


def _address(callback: object) -> int:
    address = ctypes.cast(callback, c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address


def _code(fault: Fault) -> int:
    return fault[1] if isinstance(fault, tuple) else fault
