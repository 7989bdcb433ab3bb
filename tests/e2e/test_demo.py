"""`make demo`, as data; and that it leaves nothing behind when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DEMO = [sys.executable, "-m", "dtnode.testing.demo"]
NAMES = ["alice", "bob", "carol", "dave", "erin", "frank"]


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(tmp_path)}


def test_the_demo_holds_and_says_so_as_data(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--json"], capture_output=True, env=environment(tmp_path), timeout=240, check=False
    )
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["failed"]
    assert report["ok"]
    assert list(tmp_path.iterdir()) == []

    apart, end = report["views"]["apart"], report["views"]["end"]
    assert list(end) == NAMES
    assert apart["alice"]["tip_state"] != apart["erin"]["tip_state"]
    assert len({(tuple(v["tips"]), v["tip_state"]) for v in list(end.values())[:5]}) == 1
    assert end["frank"]["membership"] == "ban"
    assert report["news"] == {"left": 9, "right": 9}
    (across,) = [hop for hop in report["exchanges"] if hop["new_link"]]
    assert across["between"] == ["carol", "dave"]
    assert across["events_there"] >= 9
    assert across["events_back"] >= 9
    assert across["bytes_there"] > 0
    assert across["turnarounds"] > 0
    both = across["bytes_there"] + across["bytes_back"]
    events = across["events_there"] + across["events_back"]
    assert across["bytes_per_event"] == round(both / events, 1)
    assert sum(row["bytes"] for row in report["across"]) >= both
    assert {"events", "handshakes", "tags"} <= {row["kind"] for row in report["across"]}
    for hop in report["exchanges"][:2]:  # a live session that has events and no news of its own
        assert hop["bytes_per_event"] <= 110, hop
    lost = {(deed["who"], deed["what"]) for deed in report["deeds"] if deed["holds"] is False}
    assert lost == {
        ("dave", "bans carol"),
        ("erin", 'sets the topic to "we meet at the lighthouse"'),
    }
    soft = {deed["who"] for deed in report["deeds"] if deed["verdicts"]["alice"] == "soft-failed"}
    assert soft == {"dave", "frank"}
    assert all(deed["reasons"] for deed in report["deeds"] if deed["who"] == "frank")


def test_stopped_in_the_middle_it_ends_its_nodes_and_cleans_up(tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path)
    ) as demo:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.glob("*/frank.out"))) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        running = processes_of(demo.pid)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=15)
    assert demo.returncode == 130
    assert len(running) == 6
    assert not [pid for pid in running if Path(f"/proc/{pid}").exists()]
    assert list(tmp_path.iterdir()) == []


def processes_of(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in children.split()]
