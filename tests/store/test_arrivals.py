"""When events were judged here, under clocks good and bad."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from dtnode.store import Store
from dtnode.store.arrivals import STEP_MS

DAY = 86_400_000


def store_with(*readings: tuple[int, int]) -> Store:
    """(first event number, clock) as they were noted."""
    store = Store(None)
    with store.transaction():
        for nid, ms in readings:
            store.arrivals.note(nid, ms)
    return store


def test_an_event_came_at_the_reading_before_it() -> None:
    arrivals = store_with((1, 10_000), (5, 20_000)).arrivals
    assert [arrivals.of(nid) for nid in (1, 4, 5, 900)] == [10_000, 10_000, 20_000, 20_000]


def test_nothing_is_known_of_events_before_the_first_reading() -> None:
    arrivals = store_with((7, 10_000)).arrivals
    assert arrivals.of(6) is None
    assert Store(None).arrivals.of(1) is None
    assert Store(None).arrivals.first_since(0) is None


def test_one_row_a_second_at_most() -> None:
    arrivals = store_with((1, 10_000), (2, 10_000 + STEP_MS - 1), (3, 10_000 + STEP_MS)).arrivals
    assert [arrivals.of(nid) for nid in (1, 2, 3)] == [10_000, 10_000, 10_000 + STEP_MS]


@pytest.mark.parametrize(
    ("since", "first"),
    [(0, 1), (10_000, 1), (10_000 + STEP_MS - 1, 1), (10_000 + STEP_MS, 5), (25_000, None)],
)
def test_since_takes_in_whatever_may_have_come_then(since: int, first: int | None) -> None:
    assert store_with((1, 10_000), (5, 20_000)).arrivals.first_since(since) == first


def test_what_came_under_a_clock_that_had_lost_its_time_may_be_news() -> None:
    """As on a board without a battery: 50 to 89 came between two good readings."""
    arrivals = store_with((1, 100 * DAY), (50, 1_000), (60, 5_000), (90, 200 * DAY)).arrivals
    assert arrivals.first_since(150 * DAY) == 50
    assert arrivals.first_since(100 * DAY) == 1
    assert arrivals.first_since(201 * DAY) is None


def test_a_clock_that_was_ahead_hides_nothing() -> None:
    arrivals = store_with((1, 100 * DAY), (50, 9_000 * DAY), (90, 101 * DAY)).arrivals
    assert arrivals.first_since(102 * DAY) == 50, "more than asked for, never less"


def test_readings_are_durable_and_go_with_a_rollback(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    with store.transaction():
        store.arrivals.note(1, 10_000)
    with suppress(ZeroDivisionError), store.transaction():
        store.arrivals.note(2, 50_000)
        raise ZeroDivisionError
    assert store.arrivals.of(2) == 10_000
    with store.transaction():
        store.arrivals.note(2, 50_000)
    store.close()
    again = Store(tmp_path / "a.db")
    assert (again.arrivals.of(1), again.arrivals.of(2)) == (10_000, 50_000)
    with again.transaction():
        again.arrivals.note(3, 50_010)
    assert again.arrivals.of(3) == 50_000, "the last reading is remembered over a restart"
    again.close()
