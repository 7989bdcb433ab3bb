"""The store's thread: group commit, jobs that fail, commits that fail, waiters that give up."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from dtnode.errors import StoreError
from dtnode.node.worker import MAX_JOBS_A_COMMIT, News, StoreWorker, in_thread, inline
from dtnode.store import Store
from dtnode.testing.rooms_builder import signer_for
from tests.node.harness import World
from tests.node.raw_peer import a_and_b, assert_talks, put_room, room_of


class Bench:
    """A worker over a store, with the SQL that ends transactions and the news, in order."""

    def __init__(self, nursery: trio.Nursery, path: Path | None = None) -> None:
        self.store = Store(path)
        self.said: list[str] = []
        self.news: list[News] = []
        self.store._db._conn.set_trace_callback(self._trace)
        self.worker = StoreWorker(self.store, inline, self._on_news)
        nursery.start_soon(self.worker.serve)

    def _trace(self, sql: str) -> None:
        if sql in ("COMMIT", "ROLLBACK"):
            self.said.append(sql)

    def _on_news(self, news: News) -> None:
        self.said.append("news")
        self.news.append(news)

    def put(self, key: str, value: str | int = 1) -> Callable[[], None]:
        return lambda: self.store.set_meta(key, value)

    def limit(self, pages: int) -> None:
        """As if the disk had room for that many more pages."""
        conn = self.store._db._conn
        used = conn.execute("PRAGMA page_count").fetchone()[0]
        conn.execute(f"PRAGMA max_page_count = {used + pages}")


async def test_jobs_that_wait_share_a_commit() -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        async with trio.open_nursery() as callers:
            for number in range(100):
                callers.start_soon(bench.worker.run, bench.put(f"k{number}"))
        assert [bench.store.meta(f"k{number}") for number in range(100)] == [1] * 100
        assert bench.said == ["COMMIT"]
        nursery.cancel_scope.cancel()


async def test_but_not_more_than_the_first_can_wait_for() -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        async with trio.open_nursery() as callers:
            for number in range(3 * MAX_JOBS_A_COMMIT):
                callers.start_soon(bench.worker.run, bench.put(f"k{number}"))
        assert bench.said == ["COMMIT"] * 3
        nursery.cancel_scope.cancel()


async def test_results_come_after_the_commit() -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        assert await bench.worker.run(lambda: (bench.put("k")(), "done")[1]) == "done"
        assert bench.said == ["COMMIT"]
        nursery.cancel_scope.cancel()


async def test_a_job_that_fails_takes_nothing_with_it() -> None:
    def half() -> None:
        bench.put("half")()
        raise ValueError("in the middle")

    errors: list[BaseException] = []

    async def fail() -> None:
        try:
            await bench.worker.run(half)
        except ValueError as exc:
            errors.append(exc)

    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        async with trio.open_nursery() as callers:
            callers.start_soon(bench.worker.run, bench.put("before"))
            callers.start_soon(fail)
            callers.start_soon(bench.worker.run, bench.put("after"))
        assert [str(error) for error in errors] == ["in the middle"]
        assert bench.store.meta("half") is None
        assert (bench.store.meta("before"), bench.store.meta("after")) == (1, 1)
        assert bench.said == ["COMMIT"]
        nursery.cancel_scope.cancel()


async def test_when_the_disk_is_full_all_hear_of_it_and_later_it_goes_on(tmp_path: Path) -> None:
    errors: list[StoreError] = []

    async def put(key: str, value: str) -> None:
        try:
            await bench.worker.run(bench.put(key, value))
        except StoreError as exc:
            errors.append(exc)

    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, tmp_path / "store")
        bench.limit(2)
        async with trio.open_nursery() as callers:
            for number in range(20):
                callers.start_soon(put, f"k{number}", "x" * 4_000)
        assert len(errors) == 20
        told = "is full: free some space. What was stored is safe, this wasn't stored"
        assert {str(error) for error in errors} == {
            f"the disk that holds {tmp_path / 'store'} {told}"
        }
        assert "COMMIT" not in bench.said
        assert [bench.store.meta(f"k{number}") for number in range(20)] == [None] * 20
        await put("small", "x")
        assert bench.store.meta("small") == "x"
        bench.limit(1_000)
        await put("large", "x" * 4_000)
        assert bench.store.meta("large") == "x" * 4_000
        assert len(errors) == 20
        nursery.cancel_scope.cancel()
    bench.store.close()


async def test_who_stops_waiting_does_not_stop_the_work() -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        with trio.move_on_after(0) as scope:
            await bench.worker.run(bench.put("given up"))
        assert scope.cancelled_caught
        await bench.worker.run(bench.put("next"))
        assert bench.store.meta("next") == 1
        nursery.cancel_scope.cancel()


async def test_nor_does_it_harm_those_who_share_the_commit() -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        async with trio.open_nursery() as callers:
            with trio.CancelScope() as scope:
                callers.start_soon(bench.worker.run, bench.put("stays"))
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert bench.store.meta("stays") == 1
        nursery.cancel_scope.cancel()


async def test_stopping_finishes_what_is_under_way() -> None:
    """A commit that runs in its thread is not torn by the end of the node."""
    began, go_on = threading.Event(), threading.Event()
    store = Store(None)

    def slow() -> None:
        began.set()
        assert go_on.wait(10)
        store.set_meta("done", 1)

    async with trio.open_nursery() as nursery:
        worker = StoreWorker(store, in_thread(), lambda news: None)
        nursery.start_soon(worker.serve)
        nursery.start_soon(worker.run, slow)
        await trio.to_thread.run_sync(began.wait)
        nursery.cancel_scope.cancel()
        go_on.set()
    assert store.meta("done") == 1


async def test_in_the_node_the_store_has_one_thread_of_its_own() -> None:
    threads: list[int] = []
    async with trio.open_nursery() as nursery:
        store = Store(None)
        worker = StoreWorker(store, in_thread(), lambda news: None)
        nursery.start_soon(worker.serve)
        for _ in range(3):
            await worker.run(lambda: threads.append(threading.get_ident()))
        nursery.cancel_scope.cancel()
    assert threading.get_ident() not in threads


async def _room_events(world: World, room_id: str) -> list[dict[str, list[str]]]:
    """What node a tells its connections from here on."""
    told: list[dict[str, list[str]]] = []
    node = world.nodes["a"]
    real = node.worker._on_news

    def on_news(news: News) -> None:
        assert not node.rooms.store._db.in_transaction
        told.append(news.events)
        real(news)

    node.worker._on_news = on_news
    return told


async def test_news_come_after_the_commit_once_and_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_and_b() as (world, room):
        room_id = room.room_id
        assert room_id is not None
        told = await _room_events(world, room_id)
        sent = [await world.send("a", room_id, f"{n}") for n in range(5)]
        said = await world.send("b", room_id, "from b")
        await world.settle(lambda: "from b" in world.texts("a", room_id))
        assert [id_ for events in told for id_ in events[room_id]] == [*sent, said]


async def test_a_commit_that_fails_is_no_news(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        node = world.add("a", store=Store(tmp_path / "store"))
        room_id = await world.create("a", name="x")
        told = await _room_events(world, room_id)

        def fail() -> Any:
            node.rooms.send(room_id, "m.room.message", {"body": "lost"})
            raise StoreError("as if the disk were full")

        with pytest.raises(StoreError):
            await node.worker.run(fail)
        assert told == []
        kept = await world.send("a", room_id, "kept")
        assert told == [{room_id: [kept]}]
        assert world.texts("a", room_id) == ["kept"]
        nursery.cancel_scope.cancel()
    node.rooms.store.close()


async def test_a_node_outlives_a_full_disk(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Sending fails with a reason, links end and come back, nothing is lost, and all goes on once
    there is room."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(1))
        store = Store(tmp_path / "store")
        world.add("a", signer=signer_for("a"), store=store)
        world.add("b", signer=signer_for("b"))
        room = room_of("a", "b")
        for name in ("a", "b"):
            await put_room(world, name, room)
        await world.know("a", "b")
        world.connect("a", "b")
        room_id = room.room_id
        assert room_id is not None
        await assert_talks(world, room_id, "before")
        conn = store._db._conn
        used = conn.execute("PRAGMA page_count").fetchone()[0]
        conn.execute(f"PRAGMA max_page_count = {used}")

        async def fill() -> None:
            for _ in range(50):
                await world.send("a", room_id, "x" * 4_000)

        with pytest.raises(StoreError, match="is full"):
            await fill()
        for _ in range(10):
            await world.send("b", room_id, "y" * 4_000)
        await trio.sleep(60)
        assert world.tips("a", room_id) != world.tips("b", room_id)
        conn.execute(f"PRAGMA max_page_count = {used + 10_000}")
        await world.settle(lambda: world.equal(room_id, "a", "b"), within_s=60)
        await assert_talks(world, room_id, "after")
        nursery.cancel_scope.cancel()
    store.close()
