"""/_dtnode/v1/trace and /_dtnode/v1/tally."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.client_api.small_node import OWN, Client, SmallNode

LINKS = [
    {"id": "tcp-1", "cipher": "sealed", "state": "listening", "peers": []},
    {"id": "radio-1", "cipher": "clear", "state": "connected", "peers": ["b"]},
]


async def test_watching_begins_without_waiting_and_goes_on_with_a_number(
    alice: SmallNode, at_alice: Client, autojump_clock: MockClock
) -> None:
    alice.configured = LINKS
    empty = {"entries": [], "next": 7, "lost": 0}
    assert await at_alice.get(f"{OWN}/trace") == empty
    assert await at_alice.get(f"{OWN}/trace", after=3, timeout_ms=2_500) == empty
    assert trio.current_time() == 2.5
    assert await at_alice.get(f"{OWN}/trace", after=0, link="radio-1") == empty
    await at_alice.get(f"{OWN}/trace", after=7, timeout_ms=10**9)
    assert alice.traced == [
        (None, 0, None),
        (3, 2.5, None),
        (0, 0, "radio-1"),
        (7, 90, None),
    ]


async def test_tallies_of_one_link_or_of_all(alice: SmallNode, at_alice: Client) -> None:
    assert await at_alice.get(f"{OWN}/tally") == {"links": []}
    alice.configured = LINKS
    expected = [
        {
            "id": link["id"],
            "cipher": link["cipher"],
            "state": link["state"],
            "connections": [{"peer": None, "link": link["id"]}],
        }
        for link in LINKS
    ]
    assert await at_alice.get(f"{OWN}/tally") == {"links": expected}
    assert await at_alice.get(f"{OWN}/tally", link="radio-1") == {"links": expected[1:]}


@pytest.mark.parametrize("path", ["trace", "tally"])
async def test_bad_questions(alice: SmallNode, at_alice: Client, path: str) -> None:
    for known in ([], LINKS):
        alice.configured = known
        response = await at_alice.ask("GET", f"{OWN}/{path}", link="tcp-9")
        assert response.status_code == 404
        names = "tcp-1, radio-1" if known else "none"
        assert response.json()["error"] == f"there is no link 'tcp-9'; the links here: {names}"
    assert await alice.client(token=None).fails("GET", f"{OWN}/{path}") == (401, "M_MISSING_TOKEN")
    if path == "trace":
        for number in ("x", "1.5"):
            found = await at_alice.fails("GET", f"{OWN}/trace", after=number)
            assert found == (400, "M_INVALID_PARAM")
    assert alice.traced == []
