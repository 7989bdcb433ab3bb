"""The time of one link: it stands still while something is on its way where frames get lost."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.link_info import LinkInfo
from dtnode.node.link_time import LinkTime

RADIO = LinkInfo(mtu_bytes=100, reliable=False)
TCP = LinkInfo(mtu_bytes=100)


@dataclass
class Session:
    """What LinkTime asks of a LinkSession."""

    is_clear: bool = True


def link_time(info: LinkInfo) -> tuple[LinkTime, Session]:
    session = Session()
    return LinkTime(info, session), session  # type: ignore[arg-type]


def test_it_is_the_clock_while_nothing_is_on_its_way() -> None:
    time, _ = link_time(RADIO)
    assert [time.at(now) for now in (10.0, 20.0, 1e6)] == [10.0, 20.0, 1e6]
    assert time.back(2e6, 1e6) == pytest.approx(2e6)


def test_it_stands_still_for_as_long_as_something_is() -> None:
    time, session = link_time(RADIO)
    session.is_clear = False
    assert time.at(100.0) == 100.0
    assert time.at(20_000.0) == 100.0
    assert time.back(130.0, 20_000.0) is None
    session.is_clear = True
    assert time.at(20_100.0) == 100.0
    assert time.at(20_105.0) == 105.0
    assert time.back(130.0, 20_105.0) == pytest.approx(20_130.0)
    session.is_clear = False
    time.at(20_110.0)
    time.at(50_000.0)
    session.is_clear = True
    assert time.at(60_000.0) == pytest.approx(110.0)


def test_where_nothing_gets_lost_it_never_stands_still() -> None:
    time, session = link_time(TCP)
    session.is_clear = False
    assert time.at(100.0) == 100.0
    assert time.at(20_000.0) == 20_000.0
    assert time.back(30_000.0, 20_000.0) == pytest.approx(30_000.0)


def test_it_runs_all_the_same_when_told_to() -> None:
    """The peer is looked for: nobody waits for hours to learn that it is gone."""
    time, session = link_time(RADIO)
    session.is_clear = False
    time.at(100.0)
    time.at(5_000.0)
    time.runs = True
    assert time.at(6_000.0) == 100.0
    assert time.at(6_030.0) == pytest.approx(130.0)
    assert time.back(140.0, 6_030.0) == pytest.approx(6_040.0)
    time.runs = False
    time.at(6_040.0)
    assert time.at(9_000.0) == pytest.approx(140.0)


@given(
    pauses=st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), max_size=10),
    wait_s=st.floats(0, 1e5),
)
def test_when_it_says_that_a_time_has_come_it_has(
    pauses: list[tuple[float, float]], wait_s: float
) -> None:
    """Else whoever sleeps until then wakes too early for ever."""
    time, session = link_time(RADIO)
    now = 1e6
    for runs_s, stands_s in pauses:
        session.is_clear = True
        now += runs_s
        time.at(now)
        session.is_clear = False
        time.at(now)
        now += stands_s
        time.at(now)
    session.is_clear = True
    due = time.at(now) + wait_s
    woken = time.back(due, now)
    assert woken is not None
    assert time.at(woken) >= due
    assert woken - now < wait_s + 0.001
