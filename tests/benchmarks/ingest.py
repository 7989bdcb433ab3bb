"""Ingest: events of one room through the whole receive pipeline into a store file, against the
limit (limit.py) in the same run, and at different ages of the room.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dtnode.clock import Clock
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.rooms import Rooms, Verdict
from dtnode.store import RoomKind, Store
from dtnode.testing.rooms_builder import signer_for, user_id_for
from tests.benchmarks import limit
from tests.benchmarks.made_rooms import MadeRoom, chat_room
from tests.benchmarks.report import (
    Table,
    interleaved,
    median,
    microseconds,
    per_second,
    ratio,
    seconds,
)

BATCH = 100
OWN_NAME = "receiver"


class _FixedClock(Clock):
    def now_ms(self) -> int:
        return 1_700_100_000_000


class ReceivingNode:
    """The rooms and the store of a node that has no part in the talk but to keep it."""

    def __init__(self, path: Path | None, made: MadeRoom) -> None:
        self.store = Store(path)
        signer = signer_for(OWN_NAME)
        self.rooms = Rooms(
            self.store, signer, user_id_for(OWN_NAME), _FixedClock(), lambda size: bytes(size)
        )
        self._made = made
        with self.store.transaction():
            self.store.rooms.add(made.room_id, ROOM_VERSIONS[made.version], RoomKind.COMPLETE)
        self.receive(made.setup)

    def receive(self, pdus: Sequence[bytes]) -> None:
        received = self.rooms.receive(self._made.room_id, pdus, source="peer")
        assert all(outcome.verdict is Verdict.ACCEPTED for outcome in received.outcomes)

    def receive_all(self, pdus: Sequence[bytes], batch: int) -> None:
        for start in range(0, len(pdus), batch):
            self.receive(pdus[start : start + batch])


def dtnode_rate(made: MadeRoom, pdus: Sequence[bytes], batch: int) -> float:
    """Events a second of the full pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        node = ReceivingNode(Path(folder) / "store.sqlite", made)
        taken = seconds(lambda: node.receive_all(pdus, batch))
        node.store.close()
    return len(pdus) / taken


def limit_rate(pdus: Sequence[bytes], batch: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        taken = seconds(lambda: limit.ingest(Path(folder) / "limit.sqlite", pdus, batch))
    return len(pdus) / taken


def ingest_table(messages: int = 10_000, repeats: int = 5) -> Table:
    rows = []
    for version in ("12", "10"):
        made = chat_room(version, messages)
        for batch, count in ((BATCH, messages), (1, messages // 5)):
            pdus = made.messages[:count]
            ours, bounds = interleaved(
                [
                    lambda m=made, p=pdus, b=batch: dtnode_rate(m, p, b),  # type: ignore[misc]
                    lambda p=pdus, b=batch: limit_rate(p, b),  # type: ignore[misc]
                ],
                repeats,
            )
            shares = [ours_ / bound for ours_, bound in zip(ours, bounds, strict=True)]
            rows.append(
                [
                    version,
                    f"{count:,}",
                    str(batch),
                    per_second(median(ours)),
                    per_second(median(bounds)),
                    f"{ratio(median(shares))} ({ratio(min(shares))} to {ratio(max(shares))})",
                ]
            )
    return Table(
        title="Ingest, full pipeline",
        columns=("room version", "messages", "batch", "dtnode", "limit", "dtnode / limit"),
        rows=rows,
        note=f"Medians of {repeats} interleaved runs into new files, synchronous=FULL.",
    )


def age_table(messages: int = 10_000, repeats: int = 3) -> Table:
    """The cost of a tenth of the room at its beginning and at its end."""
    made = chat_room("12", messages)
    tenth = messages // 10
    young_parts, old_parts = zip(*(_by_age(made, tenth) for _ in range(repeats)), strict=True)
    young, old = median(young_parts) / tenth, median(old_parts) / tenth
    return Table(
        title="Ingest by age of the room",
        columns=("messages", "each"),
        rows=[
            [f"0 to {tenth:,}", microseconds(young)],
            [f"{messages - tenth:,} to {messages:,}", microseconds(old)],
            ["ratio", ratio(old / young)],
        ],
    )


def _by_age(made: MadeRoom, part: int) -> tuple[float, float]:
    """Seconds for the first and for the last `part` messages of a room."""
    with tempfile.TemporaryDirectory() as folder:
        node = ReceivingNode(Path(folder) / "store.sqlite", made)
        young = seconds(lambda: node.receive_all(made.messages[:part], BATCH))
        node.receive_all(made.messages[part:-part], BATCH)
        old = seconds(lambda: node.receive_all(made.messages[-part:], BATCH))
        node.store.close()
    return young, old
