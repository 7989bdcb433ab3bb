"""A store on a disk that can't be written: it can be read all the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dtnode.store import Store


def test_it_is_read_without_a_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.db"
    store = Store(path)
    with store.transaction():
        store.set_meta("told", 7)
    store.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    read = Store(path, read_only=True)
    assert read.meta("told") == 7
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.db"]
    read.close()


def test_what_only_the_log_holds_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.db"
    store = Store(path)
    with store.transaction():
        store.set_meta("told", 7)
    monkeypatch.setattr(os, "access", lambda *_: False)
    read = Store(path, read_only=True)
    assert read.meta("told") == 7
    read.close()
    store.close()
