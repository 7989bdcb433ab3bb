"""A node as people run it: a process of its own, asked by the command line over HTTP.

Loopback only, in a temporary data folder; memory is read from /proc, so Linux only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dtnode.node.data_folder import DataFolder
from tests.benchmarks.ingest import BATCH, ReceivingNode
from tests.benchmarks.made_rooms import chat_room
from tests.benchmarks.report import Table, median, milliseconds, seconds

_READY_S = 30.0


def process_table(messages: int = 10_000, repeats: int = 7) -> Table:
    with tempfile.TemporaryDirectory() as parent:
        folder = DataFolder(Path(parent) / "alice")
        folder.create("alice", None, os.urandom)
        _fill(folder, messages)
        starts = []
        for _ in range(repeats):
            with running(folder) as (_process, start_s):
                starts.append(start_s)
        with running(folder) as (process, _start_s):
            idle_kib = resident_kib(process.pid)
            command(folder, "room", "create", "Boat")
            status = [seconds(lambda: command(folder, "status")) for _ in range(repeats)]
            send = [seconds(lambda: command(folder, "send", "Boat", "hi")) for _ in range(repeats)]
            version = [seconds(lambda: command(folder, "--version")) for _ in range(repeats)]
    return Table(
        title="The node as a process",
        columns=("what", "value"),
        rows=[
            [f"start until ready, store of {messages:,} events", milliseconds(median(starts))],
            [f"idle memory (RSS), store of {messages:,} events", f"{idle_kib / 1024:.1f} MiB"],
            ["`dtnode --version`", milliseconds(median(version))],
            ["`dtnode status`", milliseconds(median(status))],
            ["`dtnode send`, durable when it returns", milliseconds(median(send))],
        ],
    )


def _fill(folder: DataFolder, messages: int) -> None:
    made = chat_room("12", messages)
    node = ReceivingNode(folder.store_path, made)
    node.receive_all(made.messages, BATCH)
    node.store.close()


def command(folder: DataFolder, *args: str) -> None:
    subprocess.run(_argv(folder, *args), check=True, env=_environment(), stdout=subprocess.DEVNULL)


@contextmanager
def running(folder: DataFolder) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """(process, seconds until it said that it is ready)"""
    start = time.perf_counter()
    process = subprocess.Popen(
        _argv(folder, "run"),
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken = time.perf_counter() - start
        assert b"dtnode is running" in line, "the node did not start"
        yield process, taken
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_READY_S)
        process.stdout.close()  # type: ignore[union-attr]


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS in /proc: this benchmark needs Linux")


def _argv(folder: DataFolder, *args: str) -> list[str]:
    return [sys.executable, "-m", "dtnode.cli", "--data", str(folder.path), *args]


def _environment() -> dict[str, str]:
    path = os.pathsep.join([os.getcwd(), *(entry for entry in sys.path if entry)])
    return {**os.environ, "PYTHONPATH": path}
