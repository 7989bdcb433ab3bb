"""The command as a process: exit codes, encodings, pipes, and how much it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from dtnode.node.data_folder import DataFolder
from tests.cli.conftest import FakeNode

HEAVY = ("trio", "httpx", "rich", "nacl", "sqlite3", "cbor2", "orjson", "starlette", "hypercorn")


def dtnode(folder: DataFolder, *args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dtnode.cli", "--data", str(folder.path), *args],
        check=False,
        capture_output=True,
        env=environment() | env,
        timeout=60,
    )


def environment() -> dict[str, str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path}


def play(node: FakeNode, body: str, count: int = 1) -> None:
    event: dict[str, Any] = {
        "event_id": "$1",
        "type": "m.room.message",
        "sender": "@bob:bobskey",
        "origin_server_ts": 1,
        "content": {"msgtype": "m.text", "body": body},
    }
    answer = {"events": [event] * count, "cursor": "1"}
    node.on("GET", "/_dtnode/v1/rooms/!boat/events", answer)


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "POSIX"},
    ],
)
def test_output_is_utf8_whatever_the_locale(
    folder: DataFolder, node: FakeNode, env: dict[str, str]
) -> None:
    play(node, "Grüße ✓ 你好")
    for options in ([], ["--json"]):
        result = dtnode(folder, "read", "boat", *options, **env)
        assert result.returncode == 0, result.stderr
        assert "Grüße ✓ 你好" in result.stdout.decode("utf-8")


def test_help_in_a_pipe_is_neither_wrapped_nor_shortened(folder: DataFolder) -> None:
    result = dtnode(folder, "--help", COLUMNS="40")
    assert result.returncode == 0
    assert not [line for line in result.stdout.splitlines()[1:] if line.endswith(b"...")]
    assert b"\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) > 100


def test_exit_codes(folder: DataFolder) -> None:
    assert dtnode(folder, "--version").returncode == 0
    assert dtnode(folder, "status").returncode == 1
    assert dtnode(folder, "sail").returncode == 2
    assert dtnode(folder, "room", "create").returncode == 2


def test_a_reader_that_stops_early_gets_no_traceback(folder: DataFolder, node: FakeNode) -> None:
    play(node, "x" * 1000, count=5000)
    command = [sys.executable, "-m", "dtnode.cli", "--data", str(folder.path), "read", "boat"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""


def test_status_loads_nothing_heavy(folder: DataFolder) -> None:
    code = (
        "import sys\nfrom dtnode.cli.root import dtnode\n"
        f"dtnode(['--data', {str(folder.path)!r}, 'status'], standalone_mode=False)\n"
    )
    wrapped = f"import sys\ntry:\n    exec({code!r})\nexcept Exception: pass\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", wrapped],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    loaded = set(result.stdout.split())
    assert "dtnode.cli.api" in loaded
    assert [name for name in HEAVY if name in loaded] == []
