"""Signatures checked ahead and over threads: the same outcomes as one after the other."""

from __future__ import annotations

import json
import threading

import pytest

from dtnode.clock import Clock
from dtnode.rooms import Rooms
from dtnode.rooms.outcome import Check, Outcome, Verdict
from dtnode.rooms.spread import Spread, one_by_one, over_threads
from dtnode.store import RoomKind, Store
from dtnode.testing.rooms_builder import RoomBuilder, signer_for, user_id_for

SPREADS = {"one by one": one_by_one, "three threads": over_threads(3)}


class FixedClock(Clock):
    def now_ms(self) -> int:
        return 1_700_100_000_000


@pytest.mark.parametrize("count", [0, 1, 7, 16, 17, 100, 101])
@pytest.mark.parametrize("threads", [0, 1, 2, 3, 8])
def test_results_come_in_order(threads: int, count: int) -> None:
    assert over_threads(threads)(lambda item: item * item, range(count)) == [
        item * item for item in range(count)
    ]


def test_threads_are_used_for_many_and_not_for_few() -> None:
    def where(_: int) -> int:
        return threading.get_ident()

    here = threading.get_ident()
    assert set(over_threads(2)(where, range(9))) == {here}
    found = over_threads(2)(where, range(100))
    assert found[0] == here
    assert found[-1] != here


def outcomes(builder: RoomBuilder, pdus: list[bytes], spread: Spread) -> tuple[Outcome, ...]:
    store = Store(None)
    rooms = Rooms(
        store, signer_for("me"), user_id_for("me"), FixedClock(), lambda size: bytes(size), spread
    )
    assert builder.room_id is not None
    store.rooms.add(builder.room_id, builder.version, RoomKind.COMPLETE)
    found = rooms.receive(builder.room_id, pdus, source="peer").outcomes
    store.close()
    return found


@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS.keys())
def test_copies_in_one_batch_are_told_apart(spread: Spread) -> None:
    """Of an event and a copy with another signature, in whichever order, the good one counts."""
    builder = RoomBuilder("alice", "bob")
    setup = builder.canonical()
    texts = [builder.message("alice", f"text {number}") for number in range(60)]
    pdus = [pdu.canonical() for pdu in texts]
    forged = []
    for pdu in pdus:
        event = json.loads(pdu)
        server = next(iter(event["signatures"]))
        event["signatures"][server]["ed25519:1"] = "A" * 86
        forged.append(json.dumps(event).encode())
    batch = [*setup, *pdus[:30], *forged[:30], *forged[30:], *pdus[30:]]
    found = outcomes(builder, batch, spread)[len(setup) :]
    assert [outcome.verdict for outcome in found[:30]] == [Verdict.ACCEPTED] * 30
    for outcome in found[30:90]:
        assert (outcome.verdict, outcome.check) == (Verdict.DROPPED, Check.SIGNATURE)
    assert [outcome.verdict for outcome in found[90:]] == [Verdict.ACCEPTED] * 30


def test_the_same_outcomes_either_way() -> None:
    builder = RoomBuilder("alice", "bob", "carol", power_levels={"events_default": 0})
    for number in range(40):
        builder.message("bob", f"before {number}")
    heads = builder.heads
    builder.member("alice", "bob", "ban")
    for number in range(40):
        builder.message("carol", f"after {number}")
        builder.message("bob", f"banned {number}", parents=heads)
    builder.message("bob", "rejected")
    pdus = builder.canonical()
    alone = outcomes(builder, pdus, one_by_one)
    assert outcomes(builder, pdus, over_threads(4)) == alone
    one_at_a_time: list[Outcome] = []
    store = Store(None)
    rooms = Rooms(
        store, signer_for("me"), user_id_for("me"), FixedClock(), lambda size: bytes(size)
    )
    assert builder.room_id is not None
    store.rooms.add(builder.room_id, builder.version, RoomKind.COMPLETE)
    for pdu in pdus:
        one_at_a_time += rooms.receive(builder.room_id, [pdu], source="peer").outcomes
    store.close()
    assert tuple(one_at_a_time) == alone
    assert sum(outcome.soft_failed for outcome in alone) == 40
    assert sum(outcome.verdict is Verdict.REJECTED for outcome in alone) == 1
