"""Auth differences over hostile rooms: the store's index gives what whole chains give, however the
events came, kept as they came or made afterwards."""

from __future__ import annotations

import os
import random

import pytest

from dtnode.matrix.auth_chains import PlainChains, conflicted_state_subgraph
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.state_resolution import resolve
from dtnode.store import Store
from dtnode.store.event_source import StoredEvents
from tests.hostile.agreement import Feed, orders
from tests.hostile.generator import generate
from tests.hostile.literal import room_of
from tests.matrix.test_auth_chains import difference, literal_difference, literal_subgraph, separate
from tests.store.indexes import forget_indexes, tables

DEEP = os.environ.get("DTNODE_FUZZ") == "deep"
SEEDS = range(3000, 3300) if DEEP else (1001, 1003)
CASES = 40  # of states taken together, a room and order


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_the_index_agrees_with_whole_chains(version: str, seed: int) -> None:
    lines = generate(seed, version).lines
    room = room_of(lines[0])
    for line in lines[1:]:
        room.receive(line)
    assert room.room_id is not None
    for name, batches in orders(lines[1:], seed, 1):
        feed = Feed(lines[0], room.room_id)
        for batch in batches:
            feed.receive(batch)
        assert disagreement(feed.store, random.Random(seed)) == "", f"{version} {seed} {name}"
        before = tables(feed.store)
        forget_indexes(feed.store)
        feed.store.indexes.catch_up()
        assert disagreement(feed.store, random.Random(seed)) == "", f"{version} {seed} {name} late"
        assert tables(feed.store)["redactions"] == before["redactions"]
        feed.store.close()


def disagreement(store: Store, rng: random.Random) -> str:
    """Over some states together that the room had, whether they ever met or not."""
    (room,) = store.rooms
    events, chains = StoredEvents(store.events), store.indexes.auth_chains
    groups = sorted({event.after for event in store.events.in_nid_order(room.nid)} - {0})
    for _ in range(CASES):
        chosen = rng.sample(groups, min(len(groups), rng.randint(2, 4)))
        states = [store.state_groups.state(group) for group in chosen]
        found = difference(states, events, chains)
        if found != literal_difference(states, events):
            return f"auth difference of groups {chosen}"
        conflicted = separate(states)[1]
        between = conflicted_state_subgraph(conflicted, found, events, chains)
        if between != literal_subgraph(conflicted, events):
            return f"subgraph of groups {chosen}"
        if resolve(room.version, states, events, chains=chains) != resolve(
            room.version, states, events, chains=PlainChains(events)
        ):
            return f"resolution of groups {chosen}"
    return ""
