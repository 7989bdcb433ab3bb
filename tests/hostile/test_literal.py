"""The literal implementation agrees with Synapse 1.163.2 on the vector rooms (tests/vectors)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.literal import judge

ROOMS = sorted((Path(__file__).parent.parent / "vectors/rooms").glob("*.jsonl.gz"))
DEAD = ("rejected", "dropped")
assert len(ROOMS) >= 12, "tests/vectors/rooms is incomplete"


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.name.split(".")[0])
def test_agrees_with_the_vectors(path: Path) -> None:
    verdicts = path.with_name(path.name.replace(".jsonl.", ".verdicts.json."))
    expected: dict[str, Any] = json.loads(gzip.decompress(verdicts.read_bytes()))
    found = judge(gzip.decompress(path.read_bytes()).splitlines())
    for line, (ours, theirs) in enumerate(zip(found["events"], expected["events"], strict=True), 2):
        if theirs["verdict"] in DEAD:
            assert ours.verdict in DEAD, f"line {line}: {theirs['checks']}"
            continue
        for name in ("verdict", "event_id", "state_before", "soft_failed"):
            assert getattr(ours, name) == theirs[name], f"line {line}, {name}: {ours.why}"
        assert ours.redaction == theirs.get("redaction"), f"line {line}"
        assert ours.redacted == (theirs["checks"]["content_hash"] == "redacted"), f"line {line}"
    for name in ("heads", "state", "extremities", "current_state"):
        assert found[name] == expected[name], name
