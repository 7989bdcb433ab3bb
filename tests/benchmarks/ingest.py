"""Ingest: events of one room through the whole receive pipeline into a store file, against the
limit (limit.py) in the same run, and at different ages of the room.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dtnode.clock import Clock
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.rooms import Rooms, Verdict
from dtnode.store import RoomKind, Store
from dtnode.testing.rooms_builder import signer_for, user_id_for
from tests.benchmarks import limit
from tests.benchmarks.made_rooms import MadeRoom, chat_room
from tests.benchmarks.report import (
    Spent,
    Table,
    interleaved,
    median,
    microseconds,
    per_second,
    ratio,
    spent,
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


def dtnode_spent(made: MadeRoom, pdus: Sequence[bytes], batch: int) -> Spent:
    with tempfile.TemporaryDirectory() as folder:
        node = ReceivingNode(Path(folder) / "store.sqlite", made)
        taken = spent(lambda: node.receive_all(pdus, batch))
        node.store.close()
    return taken


def limit_spent(pdus: Sequence[bytes], batch: int) -> Spent:
    with tempfile.TemporaryDirectory() as folder:
        database = limit.open_database(Path(folder) / "limit.sqlite")
        taken = spent(lambda: limit.ingest(database, pdus, batch))
        database.close()
    return taken


def ingest_table(messages: int = 10_000, repeats: int = 5) -> Table:
    rows = []
    for version in ("12", "10"):
        made = chat_room(version, messages)
        for batch, count in ((BATCH, messages), (1, messages // 10)):
            pdus = made.messages[:count]
            ours, bounds = interleaved(
                [partial(dtnode_spent, made, pdus, batch), partial(limit_spent, pdus, batch)],
                repeats,
            )
            rows.append([version, f"{count:,}", str(batch), *_compared(count, ours, bounds)])
    return Table(
        title="Ingest, full pipeline",
        columns=(
            "room version",
            "messages",
            "batch",
            "dtnode",
            "limit",
            "dtnode / limit",
            "dtnode, CPU",
            "limit, CPU",
            "limit / dtnode, CPU",
        ),
        rows=rows,
        note=f"Medians of {repeats} interleaved runs into new files, synchronous=FULL; in brackets"
        " the lowest and highest ratio. CPU: processor time of one event, without the waits for the"
        " disk.",
    )


def _compared(count: int, ours: Sequence[Spent], bounds: Sequence[Spent]) -> list[str]:
    wall = [bound.wall_s / one.wall_s for one, bound in zip(ours, bounds, strict=True)]
    cpu = [bound.cpu_s / one.cpu_s for one, bound in zip(ours, bounds, strict=True)]
    return [
        per_second(count / median(one.wall_s for one in ours)),
        per_second(count / median(bound.wall_s for bound in bounds)),
        f"{ratio(median(wall))} ({ratio(min(wall))} to {ratio(max(wall))})",
        microseconds(median(one.cpu_s for one in ours) / count),
        microseconds(median(bound.cpu_s for bound in bounds) / count),
        f"{ratio(median(cpu))} ({ratio(min(cpu))} to {ratio(max(cpu))})",
    ]


def age_table(messages: int = 10_000, repeats: int = 3) -> Table:
    """The cost of a tenth of the room at its beginning and at its end."""
    made = chat_room("12", messages)
    tenth = messages // 10
    young_parts, old_parts = zip(*(_by_age(made, tenth) for _ in range(repeats)), strict=True)
    young, old = median(young_parts) / tenth, median(old_parts) / tenth
    return Table(
        title="Ingest by age of the room",
        columns=("messages", "CPU, each"),
        rows=[
            [f"0 to {tenth:,}", microseconds(young)],
            [f"{messages - tenth:,} to {messages:,}", microseconds(old)],
            ["ratio", ratio(old / young)],
        ],
    )


def _by_age(made: MadeRoom, part: int) -> tuple[float, float]:
    """Processor seconds for the first and for the last `part` messages of a room."""
    with tempfile.TemporaryDirectory() as folder:
        node = ReceivingNode(Path(folder) / "store.sqlite", made)
        young = spent(lambda: node.receive_all(made.messages[:part], BATCH)).cpu_s
        node.receive_all(made.messages[part:-part], BATCH)
        old = spent(lambda: node.receive_all(made.messages[-part:], BATCH)).cpu_s
        node.store.close()
    return young, old
