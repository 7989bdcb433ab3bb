"""A room of 100,000 events and 1,000 members beside one of 1,000 events: whether what people do in
it costs more, what it takes on disk, and what of memory.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import median

from dtnode.client_api.account_data import AccountData
from dtnode.client_api.filters import EventFilter, SyncFilter
from dtnode.client_api.pages import page_back
from dtnode.client_api.redactions import Redactions
from dtnode.client_api.render import Renderer
from dtnode.client_api.sessions import Session
from dtnode.client_api.snapshots import Snapshots, StreamToken
from dtnode.client_api.sync import SyncRequest, SyncSources, build_sync
from dtnode.client_api.transactions import Transactions
from dtnode.node.data_folder import DataFolder
from dtnode.node.node import Node
from dtnode.node.status import from_store
from dtnode.node.system import SystemClock
from dtnode.node.worker import inline
from dtnode.rooms import Rooms
from dtnode.store import RoomKind, RoomRecord, Store
from tests.benchmarks.made_large import VERSION, LargeRoom
from tests.benchmarks.process import command, resident_kib, running
from tests.benchmarks.report import Table, milliseconds, ratio, seconds, spent

PAGE = 50
_BATCH = 500
_SIZES = ((1_000, 10), (2_000, 1_000), (100_000, 1_000))
"""(events, members). A room of 1,000 members has that many joins, so the smallest of its kind has
1,000 events more."""


class Filled:
    """A data folder with one large room, received from a peer as anything is."""

    def __init__(self, parent: Path, size: int, members: int) -> None:
        self.folder = DataFolder(parent / f"{size}-{members}")
        self.folder.create("owner", None, os.urandom)
        identity = self.folder.identity
        self.made = LargeRoom(identity.signer, identity.user_id, size=size, members=members)
        with closing(Store(self.folder.store_path)) as store:
            self.ingest_s = spent(lambda: self._fill(self._rooms(store))).cpu_s

    def _rooms(self, store: Store) -> Rooms:
        identity = self.folder.identity
        return Rooms(store, identity.signer, identity.user_id, SystemClock(), os.urandom)

    def _fill(self, rooms: Rooms) -> None:
        events = self.made.events()
        first = next(events)
        rooms.store.rooms.add(self.made.room_id, VERSION, RoomKind.COMPLETE)
        rooms.receive(self.made.room_id, [first], source="peer")
        while batch := list(islice(events, _BATCH)):
            received = rooms.receive(self.made.room_id, batch, source="peer")
            assert not any(outcome.check for outcome in received.outcomes)

    def open(self) -> Opened:
        return Opened(self)


class Opened:
    """A node on the store, and what its client API works with. No process, no HTTP."""

    def __init__(self, filled: Filled) -> None:
        identity = filled.folder.identity
        self.made = filled.made
        self.store = Store(filled.folder.store_path)
        self.node = Node(
            store=self.store,
            signer=identity.signer,
            user_id=identity.user_id,
            clock=SystemClock(),
            entropy=os.urandom,
            run_blocking=inline,
        )
        self.rooms = self.node.rooms
        snapshots = Snapshots(self.rooms)
        transactions = Transactions(self.store)
        self._sources = SyncSources(
            rooms=self.rooms,
            snapshots=snapshots,
            renderer=Renderer(self.rooms, Redactions(self.rooms), transactions),
            account_data=AccountData(self.store, snapshots, identity.user_id),
        )

    @property
    def room(self) -> RoomRecord:
        room = self.rooms.room(self.made.room_id)
        assert room is not None
        return room

    # --- what people do

    def send(self) -> None:
        content = {"msgtype": "m.text", "body": "is anybody out there on this fine evening"}
        self.made.stand_on(self.rooms.send(self.made.room_id, "m.room.message", content))

    def receive(self, pdu: bytes) -> None:
        received = self.rooms.receive(self.made.room_id, [pdu], source="peer")
        assert received.outcomes[0].check is None

    def newest(self) -> None:
        assert len(self.rooms.timeline.newest(self.room, PAGE)) == PAGE

    def page(self, upto: int | None = None) -> None:
        upto = upto or self.store.events.last_position()
        page = page_back(self.rooms, self.room, after=0, upto=upto, only=EventFilter(limit=PAGE))
        assert page.events
        for event in page.events:
            self._sources.renderer.event(self.room, event, now_ms=0)

    def page_far_back(self) -> None:
        """With a message of one's own, after which half of the room's events came."""
        middle = self.store.events.last_position() // 2
        [own] = self.store._db.execute(
            "SELECT max(position) FROM events WHERE sender_server = ? AND position < ?",
            (self.rooms.own_name, middle),
        ).fetchone()
        self.page(own + PAGE // 2)

    def sync(self, since: StreamToken | None) -> StreamToken:
        snapshots = self._sources.snapshots
        if snapshots.are_behind:
            with self.store.transaction():
                snapshots.write_present()
        request = SyncRequest(session=Session(), only=SyncFilter(), since=since)
        return build_sync(self._sources, request, 0).token

    def status(self) -> None:
        from_store(self.node)


Times = dict[str, float]


def _times(filled: Filled, repeats: int) -> Times:
    """Processor seconds of each step, medians."""
    steps: dict[str, Callable[[Opened], float]] = {
        "send one message": lambda node: _cpu(node.send),
        "receive one message": _receiving,
        f"newest {PAGE}, as in `dtnode read`": lambda node: _cpu(node.newest),
        f"page of {PAGE}, /messages": lambda node: _cpu(node.page),
        "the same in the middle of the room": lambda node: _cpu(node.page_far_back),
        "sync after one message": _syncing,
        "status": lambda node: _cpu(node.status),
    }
    opening, first_page = zip(*(_opening(filled) for _ in range(repeats)), strict=True)
    times = {"open": median(opening), f"first page of {PAGE} after that": median(first_page)}
    opened = filled.open()
    for name, step in steps.items():
        times[name] = median(step(opened) for _ in range(repeats))
    opened.store.close()
    return times


def _opening(filled: Filled) -> tuple[float, float]:
    found: list[Opened] = []
    opening = _cpu(lambda: found.append(filled.open()))
    first_page = _cpu(found[0].page)
    found[0].store.close()
    return opening, first_page


def _receiving(node: Opened) -> float:
    pdu = node.made.further()
    return _cpu(lambda: node.receive(pdu))


def _syncing(node: Opened) -> float:
    token = node.sync(None)
    node.receive(node.made.further())
    return _cpu(lambda: node.sync(token))


def _cpu(work: Callable[[], object]) -> float:
    return spent(work).cpu_s


def large_tables(
    sizes: Sequence[tuple[int, int]] = _SIZES, repeats: int = 15, starts: int = 5
) -> list[Table]:
    with tempfile.TemporaryDirectory() as parent:
        rooms = [Filled(Path(parent), size, members) for size, members in sizes]
        return [
            _times_table(rooms, repeats),
            _disk_table(rooms),
            _process_table(rooms[-1], starts),
        ]


def _times_table(rooms: Sequence[Filled], repeats: int) -> Table:
    times = [_times(filled, repeats) for filled in rooms]
    *small, large = times
    return Table(
        title="A large room beside small ones",
        columns=(
            "what",
            *(f"{room.made.size:,} events, {room.made.members:,} members" for room in rooms),
            *(f"last / {name}" for name in ("first", "second")[: len(small)]),
        ),
        rows=[
            [
                name,
                *(milliseconds(each[name]) for each in times),
                *(ratio(large[name] / each[name]) for each in small),
            ]
            for name in large
        ],
        note="Processor time, medians; each step in a transaction of its own. open: store, rooms,"
        " known peers, up to being able to talk to one.",
    )


def _disk_table(rooms: Sequence[Filled]) -> Table:
    rows = []
    for filled in rooms:
        with closing(Store(filled.folder.store_path)):
            pass  # closing writes the log back into the file
        size = filled.folder.store_path.stat().st_size
        with closing(sqlite3.connect(filled.folder.store_path)) as database:
            [of_json] = database.execute("SELECT sum(length(pdu)) FROM events").fetchone()
            groups, of_groups = database.execute(
                "SELECT count(*), sum(length(delta)) FROM state_groups"
            ).fetchone()
        made = filled.made
        rows.append(
            [
                f"{made.size:,} events, {made.members:,} members",
                f"{size / 1e6:,.1f} MB",
                f"{of_json / made.size:,.0f} B",
                f"{(size - of_json) / made.size:,.0f} B",
                f"{groups:,}",
                f"{of_groups / made.size:,.0f} B",
                f"{filled.ingest_s / made.size * 1e6:,.0f} us",
            ]
        )
    return Table(
        title="On disk",
        columns=(
            "room",
            "file",
            "JSON of an event",
            "beyond its JSON, an event",
            "state groups",
            "of that, state groups",
            "made and received, CPU, an event",
        ),
        rows=rows,
        note="The whole file, indexes and state included, by the number of events. One event in 30"
        " changes the state. The last column includes making and signing it for this benchmark.",
    )


def _process_table(filled: Filled, starts: int) -> Table:
    ready = []
    for _ in range(starts):
        with running(filled.folder) as (_process, start_s):
            ready.append(start_s)
    with running(filled.folder) as (process, _start_s):
        memory = [("idle", resident_kib(process.pid))]
        for name, arguments in (
            ("after a page was read", ("read", "The valley")),
            ("after a message was sent", ("send", "The valley", "hello")),
            ("after status", ("status",)),
        ):
            command(filled.folder, *arguments)
            memory.append((name, resident_kib(process.pid)))
        status_s = median(seconds(lambda: command(filled.folder, "status")) for _ in range(starts))
    return Table(
        title=f"`dtnode run` on a room of {filled.made.size:,} events,"
        f" {filled.made.members:,} members",
        columns=("what", "value"),
        rows=[
            ["start until ready", milliseconds(median(ready))],
            *([f"memory (RSS), {name}", f"{kib / 1024:.1f} MiB"] for name, kib in memory),
            ["`dtnode status`", milliseconds(status_s)],
        ],
    )
