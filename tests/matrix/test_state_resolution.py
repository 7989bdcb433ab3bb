"""Resolution on small rooms by hand, and of any states of the vector rooms.

That whole resolutions agree with Synapse is in test_vector_rooms; auth differences are in
test_auth_chains.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.state_resolution import (
    resolve,
    state_hash,
)
from tests.matrix.small_room import ALICE, BOB, CAROL, DAN, SmallRoom
from tests.matrix.vector_pipeline import ROOM_NAMES, load_room, run

ALL_VERSIONS = pytest.mark.parametrize("version", ROOM_VERSIONS)


def topic(room: SmallRoom, sender: str, text: str, prev: list[str], **kwargs: Any) -> Pdu:
    return room.send(sender, "m.room.topic", {"topic": text}, "", prev=prev, **kwargs)


def levels(version: str, **users: int) -> dict[str, Any]:
    names = {"bob": BOB, "carol": CAROL, "dan": DAN}
    own = {} if version == "12" else {ALICE: 100}
    return {"users": own | {names[name]: level for name, level in users.items()}}


def group(version: str, **users: int) -> SmallRoom:
    room = SmallRoom(version, power_levels=levels(version, **users))
    for user in (BOB, CAROL, DAN):
        room.join(user)
    return room


@ALL_VERSIONS
def test_one_state_or_none_needs_no_resolution(version: str) -> None:
    room = SmallRoom(version)
    state = room.state()
    assert resolve(room.version, [], room) == {}
    assert resolve(room.version, [state], room) == state
    assert resolve(room.version, [state, dict(state)], room) == state


@ALL_VERSIONS
def test_the_later_topic_wins_and_ids_break_ties(version: str) -> None:
    room = group(version)
    fork = room.latest
    one = topic(room, ALICE, "1", fork, ts=5000)
    two = topic(room, ALICE, "2", fork, ts=4000)
    key = ("m.room.topic", "")
    assert room.state([one.event_id, two.event_id])[key] == one.event_id
    tied = topic(room, ALICE, "3", fork, ts=5000)
    winner = max(one.event_id, tied.event_id)
    assert room.state([one.event_id, tied.event_id])[key] == winner


@ALL_VERSIONS
def test_a_ban_beats_what_the_banned_did_meanwhile(version: str) -> None:
    room = group(version, bob=50)
    fork = room.latest
    ban = room.member(ALICE, BOB, "ban", prev=fork, ts=9000)
    theirs = topic(room, BOB, "bob was here", fork, ts=9999)
    state = room.state([ban.event_id, theirs.event_id])
    assert state["m.room.member", BOB] == ban.event_id
    assert ("m.room.topic", "") not in state


@ALL_VERSIONS
def test_a_demotion_beats_the_ban_it_concurs_with(version: str) -> None:
    room = group(version, bob=50)
    fork = room.latest
    demotion = room.send(ALICE, "m.room.power_levels", levels(version), "", prev=fork, ts=9000)
    ban = room.member(BOB, CAROL, "ban", prev=fork, ts=1)
    state = room.state([demotion.event_id, ban.event_id])
    assert state["m.room.power_levels", ""] == demotion.event_id
    assert room.events[state["m.room.member", CAROL]].membership == "join"


@ALL_VERSIONS
def test_a_topic_set_under_newer_power_levels_wins(version: str) -> None:
    room = group(version, bob=50)
    fork = room.latest
    raised = room.send(ALICE, "m.room.power_levels", levels(version, bob=60), "", prev=fork)
    newer = topic(room, BOB, "under the new levels", [raised.event_id], ts=1)
    older = topic(room, ALICE, "under the old ones", fork, ts=9999)
    state = room.state([newer.event_id, older.event_id])
    assert state["m.room.topic", ""] == newer.event_id


@ALL_VERSIONS
def test_the_order_of_the_states_does_not_matter(version: str) -> None:
    room = group(version, bob=50, carol=50)
    fork = room.latest
    tips = [
        room.member(BOB, DAN, "ban", prev=fork),
        room.member(CAROL, BOB, "leave", prev=fork, ts=1),
        topic(room, CAROL, "c", fork),
        room.send(ALICE, "m.room.power_levels", levels(version, bob=50), "", prev=fork),
    ]
    states = [room.after[tip.event_id] for tip in tips]
    results = [resolve(room.version, order, room) for order in permutations(states)]
    assert all(result == results[0] for result in results)


def test_version_12_starts_from_nothing() -> None:
    """A state that leaves out what it is based on (v2.1's reason to be) can't void a ban's base."""
    room = group("12", bob=50)
    fork = room.latest
    one = topic(room, BOB, "1", fork, ts=1)
    two = topic(room, ALICE, "2", fork, ts=2)
    bogus = {
        key: event_id
        for key, event_id in room.after[one.event_id].items()
        if key != ("m.room.power_levels", "")
    }
    other = {k: v for k, v in room.after[two.event_id].items() if k in bogus}
    # Neither state has power levels; the events' own auth events still authorise them.
    state = resolve(room.version, [bogus, other], room)
    assert state["m.room.topic", ""] == two.event_id


def test_the_hash_of_a_state() -> None:
    # SHA-256 of "[]", and of canonical JSON sorted by type, state key and event id.
    assert state_hash({}).startswith("4f53cda18c2baa0c")
    state: dict[StateKey, str] = {("b", ""): "$2", ("a", "x"): "$1", ("a", ""): "$3"}
    assert state_hash(state) == state_hash(dict(reversed(state.items())))
    assert state_hash(state) != state_hash({**state, ("a", "x"): "$9"})


# Over the real shapes of the vector rooms


PIPELINES = {name: run(load_room(name))[0] for name in ROOM_NAMES}
room_and_events = st.sampled_from(ROOM_NAMES).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.lists(
            st.sampled_from([i for i, v in PIPELINES[name].verdicts.items() if v == "accepted"]),
            min_size=1,
            max_size=5,
        ),
    )
)


@given(room_and_events)
def test_resolution_of_any_states_is_stable(case: tuple[str, list[str]]) -> None:
    pipeline, event_ids = PIPELINES[case[0]], case[1]
    states = [pipeline.after[event_id] for event_id in event_ids]
    resolved = resolve(pipeline.version, states, pipeline)
    assert resolved == resolve(pipeline.version, states[::-1] + states[:1], pipeline)
    assert resolved.keys() <= {key for state in states for key in state}
    for key in set.intersection(*({*state.items()} for state in states)):
        assert key in resolved.items()
