"""`dtnode link trace` at a real node: live until Ctrl-C, and where the bytes went."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dtnode.testing.demo.processes import STOP_S, NodeProcess
from tests.e2e.conftest import MakeNode
from tests.e2e.lines import eventually, together

SAID = "the keys are under the third stone"


@contextmanager
def tracing(node: NodeProcess, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`dtnode link trace`, watching already, and the file it prints to."""
    out, err = node.data / "trace.out", node.data / "trace.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        command = node.command("link", "trace", *options)
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
    try:
        eventually(lambda: "Ctrl-C ends this" in err.read_text(), "it says that it waits")
        yield process, out
    finally:
        process.kill()
        process.wait()


def test_what_goes_over_a_link_and_where_the_bytes_went(make: MakeNode) -> None:
    alice, bob = make("alice"), make("bob")
    together(alice, bob, "boat")
    with tracing(alice, "tcp-1") as (process, out):
        alice.cli("send", "boat", SAID)
        eventually(lambda: " < bob " in out.read_text(), "an acknowledgement is shown")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    lines = out.read_text().splitlines()
    assert any(" > bob " in line and " message events " in line for line in lines)
    assert any(" > bob " in line and " frame " in line for line in lines)
    assert "stone" not in out.read_text()

    (link,) = alice.json("link", "trace", "--summary")
    (connection,) = link["connections"]
    assert (link["id"], connection["peer"]) == ("tcp-1", bob.server_name)
    for incoming, way in ((False, "out"), (True, "in")):
        rows = [row for row in connection["rows"] if row["incoming"] is incoming]
        assert sum(row["bytes"] for row in rows) == connection[f"bytes_{way}"] > 0
        assert abs(sum(row["share_percent"] for row in rows) - 100) < 0.1
        assert {"handshakes", "tags", "events"} <= {row["kind"] for row in rows}
    assert "tcp-1 (sealed) with bob" in alice.cli("link", "trace", "--summary")

    gone = alice.try_cli("link", "trace", "tcp-7")
    assert gone.returncode == 1
    assert "there is no link 'tcp-7'; the links here: tcp-1" in gone.stderr


def test_a_node_ends_in_time_while_it_is_watched(make: MakeNode) -> None:
    alice = make("alice")
    alice.run()
    with tracing(alice) as (process, out):
        began = time.monotonic()
        alice.stop()
        assert time.monotonic() - began < STOP_S
        assert process.wait(10) == 1
    assert out.read_text() == ""
    error = (alice.data / "trace.err").read_text()
    assert any(why in error for why in ("No node is running", "isn't answering", "went away"))
