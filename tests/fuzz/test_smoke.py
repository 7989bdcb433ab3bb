"""Every fuzz target runs on what a real conversation says and on some of what becomes of it."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from tests.fuzz.__main__ import _NAMES
from tests.fuzz.mutate import MAX_INPUT_BYTES, mutants
from tests.fuzz.seeds import conversation, joined, pieces_of
from tests.fuzz.targets import TARGETS

_FEWER = {"text": 20, "session": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str) -> None:
    target = TARGETS[name]
    check, seeds = target.make(), target.seeds()
    assert seeds
    some = seeds if name != "text" else seeds[:10]
    for seed in some:
        check(seed)
    changed = islice(mutants(some, Random(name)), len(some), None)
    for data in islice(changed, _FEWER.get(name, 500)):
        assert len(data) <= MAX_INPUT_BYTES
        check(data)


def test_all_targets_are_run() -> None:
    assert set(_NAMES) == set(TARGETS)


def test_pieces() -> None:
    for pieces in ([], [b""], [b"a", b"", b"bc"], [bytes(254)], [b"a", bytes(300)]):
        assert list(pieces_of(joined(pieces))) == pieces


def test_the_seeds_are_a_real_conversation() -> None:
    said = conversation()
    assert len(said.batches) >= 7
    assert len(said.handshake) >= 2
    assert len(said.events) > 20
