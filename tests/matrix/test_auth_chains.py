"""Auth differences and conflicted subgraphs against their definitions, taken literally, over the
real shapes of the vector rooms, without an index and with the store's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.matrix.auth_chains import (
    AuthChains,
    EventSource,
    PlainChains,
    auth_difference,
    conflicted_state_subgraph,
)
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.state_resolution import resolve
from dtnode.store.auth_chains import AuthChainTable
from dtnode.store.database import Database
from tests.benchmarks import literal_resolution
from tests.benchmarks.made_conflicts import branches
from tests.matrix.small_room import ALICE, BOB, SmallRoom
from tests.matrix.vector_pipeline import ROOM_NAMES, Pipeline, load_room, run

State = dict[StateKey, str]


@cache
def judged(name: str) -> Pipeline:
    return run(load_room(name))[0]


def table(events: EventSource, ids: Sequence[str], covered: Iterable[str]) -> AuthChainTable:
    """The store's index of what the events `covered` name. ids: by order."""
    chains = AuthChainTable(Database(None), events, ids.__getitem__)
    for event_id in covered:
        chains.cover(events.event(event_id).auth_event_ids)
    return chains


@cache
def indexed(name: str) -> AuthChainTable:
    pipeline = judged(name)
    state_events = (
        event_id
        for event_id, verdict in pipeline.verdicts.items()
        if verdict == "accepted" and pipeline.event(event_id).is_state
    )
    return table(pipeline, sorted(pipeline.orders, key=pipeline.order), state_events)


def plain(name: str) -> PlainChains:
    return PlainChains(judged(name))


INDEXES = pytest.mark.parametrize("index", [plain, indexed])

room_and_events = st.sampled_from(ROOM_NAMES).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.lists(
            st.sampled_from([i for i, v in judged(name).verdicts.items() if v == "accepted"]),
            min_size=1,
            max_size=5,
        ),
    )
)


def chain(events: EventSource, event_ids: Iterable[str]) -> set[str]:
    found: set[str] = set()
    queue = list(event_ids)
    while queue:
        event_id = queue.pop()
        if event_id not in found:
            found.add(event_id)
            queue += events.event(event_id).auth_event_ids
    return found


def separate(states: Sequence[State]) -> tuple[State, set[str]]:
    shared = set.intersection(*({*state.items()} for state in states)) if states else set()
    unconflicted = dict(shared)
    return unconflicted, {
        event_id for state in states for key, event_id in state.items() if key not in unconflicted
    }


def difference(states: Sequence[State], events: EventSource, chains: AuthChains) -> set[str]:
    return set(auth_difference(states, *separate(states), events, chains))


def literal_difference(states: Sequence[State], events: EventSource) -> set[str]:
    chains = [chain(events, state.values()) for state in states]
    everything: set[str] = set().union(*chains)
    found = (everything - everything.intersection(*chains)) | separate(states)[1]
    return {event_id for event_id in found if events.event(event_id).is_state}


def literal_subgraph(conflicted: set[str], events: EventSource) -> set[str]:
    above = chain(events, conflicted)
    return {id_ for id_ in above if not conflicted.isdisjoint(chain(events, [id_]))}


@INDEXES
@given(case=room_and_events)
def test_auth_difference_by_definition(
    index: Callable[[str], AuthChains], case: tuple[str, list[str]]
) -> None:
    pipeline = judged(case[0])
    states = [pipeline.after[event_id] for event_id in case[1]]
    expected = literal_difference(states, pipeline)
    assert difference(states, pipeline, index(case[0])) == expected


@INDEXES
@given(case=room_and_events)
def test_conflicted_state_subgraph_by_definition(
    index: Callable[[str], AuthChains], case: tuple[str, list[str]]
) -> None:
    pipeline, chains = judged(case[0]), index(case[0])
    states = [pipeline.after[event_id] for event_id in case[1]]
    conflicted = separate(states)[1]
    expected = literal_subgraph(conflicted, pipeline)
    assert conflicted_state_subgraph(conflicted, conflicted, pipeline, chains) == expected
    known = difference(states, pipeline, chains)
    assert conflicted_state_subgraph(conflicted, known, pipeline, chains) == expected


@given(case=room_and_events)
def test_resolutions_are_the_same_with_and_without_the_index(case: tuple[str, list[str]]) -> None:
    pipeline = judged(case[0])
    states = [pipeline.after[event_id] for event_id in case[1]]
    with_index = resolve(pipeline.version, states, pipeline, chains=indexed(case[0]))
    assert with_index == resolve(pipeline.version, states, pipeline)


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_the_index_is_what_it_says(name: str) -> None:
    """Chains are disjoint successions, and what is reached over links is the auth chain."""
    pipeline, chains = judged(name), indexed(name)
    by_order = {order: event_id for event_id, order in pipeline.orders.items()}
    here = chains.chains_of(pipeline.events)
    members: dict[int, list[str]] = {}
    for event_id in sorted(here, key=pipeline.order):
        members.setdefault(here[event_id], []).append(event_id)
    for number, succession in members.items():
        assert chains.first(number) == succession[0]
        for older, newer in pairwise(succession):
            assert older in pipeline.event(newer).auth_event_ids
            assert pipeline.event(older).key == pipeline.event(newer).key
    for event_id, number in here.items():
        upto = {number: pipeline.order(event_id)}
        queue = list(upto)
        while queue:
            at = queue.pop()
            for target, order in chains.links(at, upto[at]):
                assert by_order[order] in members[target]
                if order > upto.get(target, -1):
                    upto[target] = order
                    queue.append(target)
        reached = {i for c, most in upto.items() for i in members[c] if pipeline.order(i) <= most}
        assert reached == chain(pipeline, [event_id])


def test_nothing_is_between_no_events() -> None:
    room = SmallRoom()
    assert conflicted_state_subgraph(set(), (), room, PlainChains(room)) == set()
    assert difference([], room, PlainChains(room)) == set()


class Counting:
    """An event source and index that notes what is looked at."""

    def __init__(self, room: SmallRoom) -> None:
        self.looked_at = 0
        self._room = room
        self._chains = table(room, list(room.events), room.events)

    def event(self, event_id: str, /) -> Pdu:
        self.looked_at += 1
        return self._room.event(event_id)

    def rejected(self, event_id: str, /) -> bool:
        return False

    def order(self, event_id: str, /) -> int:
        return self._room.order(event_id)

    def chains_of(self, event_ids: Iterable[str], /) -> dict[str, int]:
        wanted = list(event_ids)
        self.looked_at += len(wanted)
        return dict(self._chains.chains_of(wanted))

    def links(self, chain: int, upto: int, /) -> list[tuple[int, int]]:
        found = self._chains.links(chain, upto)
        self.looked_at += 1 + len(found)
        return found

    def first(self, chain: int, /) -> str:
        self.looked_at += 1
        return self._chains.first(chain)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
@pytest.mark.parametrize("changes", [10, 300])
def test_what_is_read_follows_the_difference_not_the_age(version: str, changes: int) -> None:
    """One branch names a topic from before all those power levels."""
    levels = {"users": {BOB: 50} | ({} if version == "12" else {ALICE: 100})}
    room = SmallRoom(version, power_levels=levels)
    room.join(BOB)
    room.send(ALICE, "m.room.topic", {"topic": "old"}, "")
    for number in range(changes):
        room.send(ALICE, "m.room.power_levels", {**levels, "kick": number % 50}, "")
    fork = room.latest
    one = room.send(BOB, "m.room.topic", {"topic": "new"}, "", prev=fork)
    two = room.send(ALICE, "m.room.name", {"name": "other"}, "", prev=fork)
    states = [room.after[one.event_id], room.after[two.event_id]]
    counting = Counting(room)
    resolved = resolve(room.version, states, counting, chains=counting)
    assert resolved == resolve(room.version, states, room)
    assert counting.looked_at < 60


@pytest.mark.parametrize("version", ["10", "12"])
def test_a_room_of_ten_thousand_state_events_costs_what_a_small_one_does(version: str) -> None:
    """Of which 1,000 changed the power levels; some of what the branches replace is as old."""
    looked_up = []
    for history in (1_000, 10_000):
        conflict = branches(version, 100, 50, history=history)
        conflict.looked_up = 0
        resolved = resolve(conflict.version, conflict.states, conflict, chains=conflict)
        looked_up.append(conflict.looked_up)
        assert resolved == literal_resolution.resolve(conflict.states, conflict.events)
    assert looked_up[1] < 1.2 * looked_up[0] < 1_800
