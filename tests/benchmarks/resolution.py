"""State resolution: how its cost grows with the number of conflicted events, of members, of
branches and with the age of the room; and against the literal resolver (literal_resolution.py) in
the same run; and through a store in a file, of which not all events are in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from dtnode.matrix.state_resolution import resolve
from dtnode.rooms.receive import Receiver
from dtnode.rooms.rooms import key_of_name
from dtnode.rooms.state import RoomStates
from dtnode.store import RoomKind, Store
from dtnode.testing.rooms_builder import RoomBuilder
from tests.benchmarks import literal_resolution
from tests.benchmarks.made_conflicts import Conflict, branches, two_branches
from tests.benchmarks.report import Table, median, milliseconds, ratio, spent

SIZES = (250, 500, 1_000, 2_000, 4_000)
_LITERAL_UPTO = 4_000  # it grows with the square


def resolution_table(
    members: int, sizes: Sequence[int] = SIZES, repeats: int = 5, literal_upto: int = _LITERAL_UPTO
) -> Table:
    rows = []
    for version in ("10", "12"):
        before = 0.0
        for written in sizes:
            conflict = two_branches(version, members, written)
            ours = median(_ours(conflict) for _ in range(repeats))
            theirs = _literal(conflict) if written <= literal_upto else None
            rows.append(
                [
                    "v2" if version == "10" else "v2.1",
                    f"{written:,}",
                    f"{conflict.conflicted:,}",
                    milliseconds(ours),
                    ratio(ours / before) if before else "",
                    "" if theirs is None else milliseconds(theirs),
                    "" if theirs is None else ratio(theirs / ours),
                ]
            )
            before = ours
    return Table(
        title=f"State resolution, two branches, {members:,} members",
        columns=(
            "algorithm",
            "events written apart",
            "conflicted",
            "dtnode",
            "growth",
            "literal",
            "literal / dtnode",
        ),
        rows=rows,
        note="Processor time, medians. growth: against the row above, of half the size. literal:"
        " the specification's words as code, nothing remembered; both gave the same state.",
    )


def _ours(conflict: Conflict) -> float:
    """Cold as far as the events go: their parsed power levels are forgotten before, and what the
    index keeps in memory."""
    for pdu in conflict.events.values():
        pdu._power_levels = None
    conflict._chains._forget()
    return spent(lambda: _resolve(conflict)).cpu_s


def _resolve(conflict: Conflict) -> object:
    return resolve(conflict.version, conflict.states, conflict, chains=conflict)


def _literal(conflict: Conflict) -> float:
    found: list[object] = []
    taken = spent(
        lambda: found.append(literal_resolution.resolve(conflict.states, conflict.events))
    ).cpu_s
    assert found == [_resolve(conflict)]
    return taken


def branches_table(
    sizes: Sequence[int] = (10, 100, 1_000, 4_000),
    members: Sequence[int] = (10, 100, 1_000),
    sides: Sequence[int] = (2, 5, 10),
    repeats: int = 3,
) -> Table:
    rows = []
    for version in ("10", "12"):
        for side in sides:
            for people in members:
                taken = [_best(branches(version, people, size, side), repeats) for size in sizes]
                rows.append(
                    [
                        "v2" if version == "10" else "v2.1",
                        str(side),
                        f"{people:,}",
                        *map(milliseconds, taken),
                        ratio(taken[-1] / taken[-2]),
                    ]
                )
    return Table(
        title="State resolution by branches, members and events written apart",
        columns=(
            "algorithm",
            "branches",
            "members",
            *(f"{size:,} events" for size in sizes),
            f"{sizes[-1]:,} / {sizes[-2]:,}",
        ),
        rows=rows,
        note=f"Processor time, the best of {repeats}.",
    )


def _best(conflict: Conflict, repeats: int) -> float:
    return min(_ours(conflict) for _ in range(repeats))


def history_table(
    histories: Sequence[int] = (0, 1_000, 10_000), written: int = 50, members: int = 100
) -> Table:
    """Whether a resolution looks at more events the older the room is."""
    rows = []
    for version in ("10", "12"):
        looked_up = []
        for history in histories:
            conflict = branches(version, members, written, history=history)
            conflict.looked_up = 0
            _ours(conflict)
            looked_up.append(conflict.looked_up)
        rows.append(["v2" if version == "10" else "v2.1", *(f"{count:,}" for count in looked_up)])
    return Table(
        title=f"Events looked at to resolve {written} written apart",
        columns=("algorithm", *(f"{history:,} state events before" for history in histories)),
        rows=rows,
        note="Look-ups, not events: one that is looked at twice counts twice.",
    )


def stored_table(sizes: Sequence[int] = (1_000, 4_000), repeats: int = 5) -> Table:
    """One branch has a topic, the other so many power levels in a line."""
    rows = []
    for version in ("10", "12"):
        before = 0.0
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                taken = median(_stored(Path(folder) / "node.db", version, size, repeats))
            growth = ratio(taken / before) if before else ""
            name = "v2" if version == "10" else "v2.1"
            rows.append([name, f"{size:,}", milliseconds(taken), growth])
            before = taken
    return Table(
        title="State resolution through a store in a file",
        columns=("algorithm", "power levels in a line", "dtnode", "growth"),
        rows=rows,
        note="Processor time, medians; none of the events are in the store's memory before.",
    )


def _stored(path: Path, version: str, size: int, repeats: int) -> list[float]:
    room = RoomBuilder("alice", "bob", version=version)
    common = room.heads
    levels = {} if version == "12" else {room.creator: 100}
    last = common
    for number in range(size):
        users = {**levels, room.user("bob"): number % 2}
        pdu = room.state_event("alice", "m.room.power_levels", {"users": users}, parents=last)
        last = (pdu.event_id,)
    # last of all: as long as there is but one branch, the current state needs no resolution
    topic = room.state_event("alice", "m.room.topic", {"topic": "old"}, parents=common)
    assert room.room_id is not None
    store = Store(path)
    states = RoomStates(store)
    with store.transaction():
        record = store.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
        receiver = Receiver(store, states, key_of_name, own_name="")
        pdus = [pdu.canonical() for pdu in room.pdus.values()]
        receiver.receive(record, pdus, source="bench", now_ms=0)
    found = [store.events.get(event_id) for event_id in (last[0], topic.event_id)]
    groups = [event.after for event in found if event is not None]
    taken = []
    for _ in range(repeats):
        states.forget()
        store.events._forget()
        store.indexes.auth_chains._forget()
        taken.append(spent(lambda: states.resolve(room.version, groups)).cpu_s)
    store.close()
    return taken
