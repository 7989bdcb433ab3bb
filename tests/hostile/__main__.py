"""`python -m tests.hostile`: many hostile rooms, dtnode against the literal implementation.

Prints counts and, for every room they disagree on, its version and seed. --shrink writes such a
room without the lines that don't matter, to look at.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.hostile.agreement import differences, differences_from
from tests.hostile.generator import HostileRoom, generate

VERSIONS = [str(number) for number in range(3, 13)]


def main() -> int:
    options = _options()
    if options.shrink:
        version, seed = options.shrink
        return _shrink(generate(int(seed), version), options.out)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    for number in range(options.rooms):
        version = options.versions[number % len(options.versions)]
        room = generate(options.seed + number // len(options.versions), version)
        counts += counts_of(room)
        found = differences_from(
            room.room, room.records, room.lines, shuffles=options.shuffles, seed=room.seed
        )
        if found:
            counts["rooms with differences"] += 1
            print(f"version {version}, seed {room.seed}:", *found[:3], sep="\n    ", flush=True)
    print(f"{options.rooms} rooms in {time.monotonic() - started:.0f} s")
    for name, count in sorted(counts.items()):
        print(f"{count:9} {name}")
    return 1 if counts["rooms with differences"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--rooms", type=int, default=100, help="how many in all (100)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--versions", nargs="+", default=VERSIONS, choices=VERSIONS)
    parser.add_argument("--shuffles", type=int, default=2, help="more orders of arrival (2)")
    parser.add_argument("--shrink", nargs=2, metavar=("VERSION", "SEED"), help="shrink one room")
    parser.add_argument("--out", type=Path, default=Path("shrunk.jsonl"), help="where to write it")
    return parser.parse_args()


def counts_of(room: HostileRoom) -> Counter[str]:
    """What is in the room, by the literal implementation."""
    report = room.room.report(room.records)
    counts = Counter(f"events {record.verdict}" for record in report["events"])
    counts["events"] = len(report["events"])
    counts["events soft-failed"] = sum(record.soft_failed for record in report["events"])
    counts["events with a bad content hash"] = sum(record.redacted for record in report["events"])
    counts["resolutions of conflicts"] = report["conflicts"]
    counts["rooms"] = 1
    counts["rooms with conflicts"] = report["conflicts"] > 0
    return counts


def _shrink(room: HostileRoom, out: Path) -> int:
    wanted = _kinds(differences(room.lines, shuffles=2, seed=room.seed))
    if not wanted:
        print("dtnode and the literal implementation agree on that room")
        return 1
    lines = shrunk(room.lines, lambda rest: wanted <= _kinds(differences(rest, shuffles=2)))
    out.write_bytes(b"\n".join(lines) + b"\n")
    print(f"{out}: {len(room.lines) - 1} -> {len(lines) - 1} events; {sorted(wanted)}")
    return 0


def _kinds(found: Sequence[str]) -> set[str]:
    """What the first difference is about, with nothing in it that other lines decide."""
    return {text.partition("(")[0] if "raised" in text else _about(text) for text in found[:1]}


def _about(text: str) -> str:
    order, _, rest = text.partition(": ")
    return f"{order}: {rest.partition(' is ')[0].rpartition(': ')[2].split('|')[0]}"


def shrunk(lines: Sequence[bytes], still: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Leaves out, in ever smaller pieces, what `still` doesn't need; the first two lines stay."""
    kept, size, before = list(lines), len(lines) // 2, 0
    while size and (size > 1 or len(kept) != before):
        before = len(kept)
        at = len(kept) - size
        while at >= 2:
            rest = kept[:at] + kept[at + size :]
            if still(rest):
                kept = rest
            at -= size
        size = max(1, size // 2)
    return kept


if __name__ == "__main__":
    sys.exit(main())
