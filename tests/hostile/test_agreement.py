"""dtnode and the literal implementation agree on hostile rooms: in file order in everything, in any
order of arrival, one by one and in batches, in all that mustn't depend on it.

A seed that fails is printed; `python -m tests.hostile --shrink VERSION SEED` makes a smaller room
of it, to be understood and put into test_regressions. DTNODE_FUZZ=deep tries thousands.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from dtnode.matrix.room_versions import ROOM_VERSIONS
from tests.hostile.__main__ import counts_of, shrunk
from tests.hostile.agreement import (
    differences,
    file_order_differences,
    literal_summary,
    order_differences,
)
from tests.hostile.generator import generate
from tests.hostile.literal import room_of

DEEP = os.environ.get("DTNODE_FUZZ") == "deep"
SEEDS = range(2000, 2400) if DEEP else (1001, 1003)
SHUFFLES = 4 if DEEP else 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_they_agree(version: str, seed: int) -> None:
    room = generate(seed, version)
    found = differences(room.lines, shuffles=SHUFFLES, seed=seed)
    assert not found, f"version {version}, seed {seed}: " + "\n".join(found[:5])


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_the_same_seed_gives_the_same_room(version: str) -> None:
    assert generate(7, version).lines == generate(7, version).lines


def test_rooms_are_hostile_and_alive() -> None:
    """Enough is accepted, conflicts are real, and everything that can become of an event does."""
    counts: Counter[str] = Counter()
    for seed in (1001, 1003):
        for version in ("3", "6", "8", "10", "11", "12"):
            counts += counts_of(generate(seed, version))
    assert counts["events accepted"] > 0.4 * counts["events"]
    assert counts["events soft-failed"] < 0.7 * counts["events accepted"]
    assert counts["rooms with conflicts"] > 0.8 * counts["rooms"]
    assert counts["resolutions of conflicts"] > 10 * counts["rooms"]
    for verdict in ("rejected", "dropped", "duplicate", "held"):
        assert counts[f"events {verdict}"] > 0.2 * counts["rooms"], verdict
    assert counts["events with a bad content hash"] > 0


def test_differences_are_found() -> None:
    lines = generate(1004, "11").lines
    room = room_of(lines[0])
    report = room.report([room.receive(line) for line in lines[1:]])
    assert file_order_differences(lines, report) == []
    accepted = [record for record in report["events"] if record.verdict == "accepted"]
    accepted[-1].verdict = "rejected"
    accepted[0].soft_failed = True
    report["heads"].pop()
    assert len(file_order_differences(lines, report)) == 3
    expected = literal_summary(room)
    assert order_differences(lines[0], [lines[1:]], room, expected) == []
    expected["state_before"][accepted[-1].event_id] = "another"
    assert len(order_differences(lines[0], [lines[1:]], room, expected)) == 1


def test_shrinking_keeps_what_matters() -> None:
    lines = [b"%d" % number for number in range(100)]
    assert shrunk(lines, lambda rest: b"50" in rest and b"77" in rest) == [
        b"0",
        b"1",
        b"50",
        b"77",
    ]
