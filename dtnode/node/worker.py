"""The one thread that touches the store: jobs in, results out after fsync (group commit).

All jobs that wait share one transaction and one fsync; each has a savepoint, so that one that
fails takes nothing with it. `run_blocking` runs the batch: in a thread in the node, inline in
simulations.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import trio

from dtnode.errors import StoreError
from dtnode.store import Store

T = TypeVar("T")

logger = logging.getLogger(__name__)

MAX_JOBS_A_COMMIT = 200  # bounds how long the first of them waits for the fsync
_QUEUE = 1_000  # callers beyond that wait before they queue


class RunBlocking(Protocol):
    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What became visible with a commit: room id -> event ids in order. position: the newest.
    states_changed: some room's current state is another now, or an invite or removal came."""

    events: dict[str, list[str]]
    position: int
    states_changed: bool


class _Job:
    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.done = trio.Event()
        self.result: Any = None
        self.error: BaseException | None = None


class StoreWorker:
    """on_news: called in the Trio thread after every commit that made something visible."""

    def __init__(
        self, store: Store, run_blocking: RunBlocking, on_news: Callable[[News], None]
    ) -> None:
        self._store = store
        self._run_blocking = run_blocking
        self._on_news = on_news
        self._send, self._receive = trio.open_memory_channel[_Job](_QUEUE)
        self._position = store.events.last_position()
        self._groups = self._current_groups()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work()` returns, once its transaction is durable. Its exception, with nothing of it
        stored; StoreError if the commit fails. Cancelling the wait doesn't undo the work."""
        job = _Job(work)
        await self._send.send(job)
        await job.done.wait()
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    async def serve(self) -> None:
        """Runs until cancelled; jobs under way are finished first."""
        async for job in self._receive:
            jobs = [job]
            while len(jobs) < MAX_JOBS_A_COMMIT:
                try:
                    jobs.append(self._receive.receive_nowait())
                except trio.WouldBlock:
                    break
            news: News | None = None
            with trio.CancelScope(shield=True):
                news = await self._run_blocking(partial(self._commit, jobs))
            for job_ in jobs:
                job_.done.set()
            if news is not None:
                self._on_news(news)

    def _commit(self, jobs: list[_Job]) -> News | None:
        """In the store's thread."""
        try:
            with self._store.transaction():
                for job in jobs:
                    self._run_one(job)
        except Exception as exc:  # noqa: BLE001 - whatever it was, every caller must hear of it
            for job in jobs:
                if job.error is None:
                    job.error = exc
            return None
        try:
            return self._news()
        except StoreError as exc:  # it is stored all the same; the next commit tells of it
            logger.error("what is new can't be looked up: %s", exc)
            return None

    def _run_one(self, job: _Job) -> None:
        try:
            with self._store.transaction():
                job.result = job.work()
        except Exception as exc:
            job.error = exc
            if isinstance(exc, StoreError):
                raise  # the transaction may be gone with it (disk full): nobody was stored

    def _news(self) -> News | None:
        position = self._store.events.last_position()
        if position == self._position:
            return None
        groups = self._current_groups()
        rooms = self._store.rooms
        news = News(
            events={
                rooms.by_nid(nid).room_id: ids
                for nid, ids in self._store.news_since(self._position).items()
            },
            position=position,
            states_changed=groups != self._groups,
        )
        self._position, self._groups = position, groups
        return news

    def _current_groups(self) -> dict[int, tuple[int, int, int]]:
        """What decides who takes part in which room."""
        return {
            room.nid: (room.current_group, int(room.kind), self._store.rooms.count_cards(room.nid))
            for room in self._store.rooms
        }


def in_thread() -> RunBlocking:
    """For the node: batches run one after the other in a worker thread."""
    limiter = trio.CapacityLimiter(1)

    async def run(work: Callable[[], T], /) -> T:
        return await trio.to_thread.run_sync(work, limiter=limiter)

    return run


async def inline(work: Callable[[], T], /) -> T:
    """For simulations: at once, in the Trio thread, with a checkpoint."""
    await trio.lowlevel.checkpoint()
    return work()
