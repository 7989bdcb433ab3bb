"""What clients believe of a room that forked: state that lost a conflict, soft-failed state, state
that turned over with no event of its own."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dtnode.client_api.sync_state import reconcile
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.rooms.timeline import TimelineEvent
from tests.client_api.small_node import CLIENT, Believed, Client, SmallNode, ids, pump

Json = dict[str, Any]


async def room_of(*nodes: SmallNode) -> str:
    """The first one's room, the others joined, the second a moderator."""
    first, *others = nodes
    client = first.client()
    room_id = await client.create_room(
        name="boat",
        topic="none",
        power_level_content_override={"users": {others[0].user_id: 50}},
    )
    for other in others:
        await client.post(f"{CLIENT}/rooms/{room_id}/invite", {"user_id": other.user_id})
        pump(*nodes)
        await other.client().post(f"{CLIENT}/join/{room_id}")
        pump(*nodes)
    return room_id


async def believers(room_id: str, *nodes: SmallNode) -> list[tuple[Client, Believed]]:
    found = []
    for node in nodes:
        client, believed = node.client(), Believed()
        believed.take((await client.sync())["rooms"]["join"][room_id])
        assert believed.agrees_with(node, room_id)
        found.append((client, believed))
    return found


NOTHING: Json = {"timeline": {"events": []}, "state": {"events": []}}


async def catch_up(room_id: str, client: Client, believed: Believed) -> Json:
    part: Json = (await client.sync())["rooms"]["join"].get(room_id, NOTHING)
    believed.take(part)
    assert believed.agrees_with(client.node, room_id)
    assert len(set(believed.seen)) == len(believed.seen)
    return part


async def test_topic_set_on_both_sides(alice: SmallNode, bob: SmallNode) -> None:
    room_id = await room_of(alice, bob)
    (at_alice, hers), (at_bob, his) = await believers(room_id, alice, bob)
    await at_alice.set_state(room_id, "m.room.topic", {"topic": "hers"})
    await at_bob.set_state(room_id, "m.room.topic", {"topic": "his"})
    for client, believed in ((at_alice, hers), (at_bob, his)):
        await catch_up(room_id, client, believed)
    assert hers.content("m.room.topic") != his.content("m.room.topic")
    pump(alice, bob)
    parts = [await catch_up(room_id, *one) for one in ((at_alice, hers), (at_bob, his))]
    assert hers.content("m.room.topic") == his.content("m.room.topic")
    told = sorted(len(part["timeline"]["events"]) for part in parts)
    assert told == [0, 1], "where the topic won, the other one isn't told"
    assert all(part["state"]["events"] == [] for part in parts)


async def test_topic_that_lost_can_be_scrolled_back_to(alice: SmallNode, bob: SmallNode) -> None:
    room_id = await room_of(alice, bob)
    at_alice, at_bob = alice.client(), bob.client()
    topics = {
        await at_alice.set_state(room_id, "m.room.topic", {"topic": "hers"}),
        await at_bob.set_state(room_id, "m.room.topic", {"topic": "his"}),
    }
    pump(alice, bob)
    for client in (at_alice, at_bob):
        page = await client.get(f"{CLIENT}/rooms/{room_id}/messages", dir="b", limit=50)
        assert topics <= set(ids(page["chunk"]))


async def test_state_of_someone_banned_meanwhile_is_taken_back(
    alice: SmallNode, bob: SmallNode, carol: SmallNode
) -> None:
    """Bob sets a topic while alice bans him; carol, who got it in time, carries it to alice. All
    clients end with the topic that counts."""
    room_id = await room_of(alice, bob, carol)
    (at_alice, hers), (at_bob, his), (at_carol, carols) = await believers(
        room_id, alice, bob, carol
    )
    topic = await at_bob.set_state(room_id, "m.room.topic", {"topic": "his"})
    await at_bob.set_state(room_id, "org.example.new", {"kept": False})
    await catch_up(room_id, at_bob, his)
    pump(bob, carol)
    await catch_up(room_id, at_carol, carols)
    assert carols.content("m.room.topic") == {"topic": "his"}
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/ban", {"user_id": bob.user_id})
    pump(alice, carol)
    assert alice.rooms.store.events.has(topic)
    await catch_up(room_id, at_alice, hers)
    assert hers.content("m.room.topic") == {"topic": "none"}
    assert ("org.example.new", "") not in hers.state
    await catch_up(room_id, at_carol, carols)
    assert carols.content("org.example.new") == {}
    pump(alice, bob)
    left = (await at_bob.sync())["rooms"]["leave"][room_id]
    his.take(left)
    assert his.content("m.room.member", bob.user_id)["membership"] == "ban"
    assert his.content("m.room.topic") == {"topic": "none"}
    assert his.content("org.example.new") == {}


async def test_demoted_moderators_acts_are_taken_back(
    alice: SmallNode, bob: SmallNode, carol: SmallNode
) -> None:
    """Bob, demoted on the left, on the right bans carol and names the room's first pin; a client on
    the right believed both."""
    room_id = await room_of(alice, bob, carol)
    (at_alice, hers), (at_bob, his), (at_carol, carols) = await believers(
        room_id, alice, bob, carol
    )
    levels = dict(hers.content("m.room.power_levels"))
    levels["users"] = {}
    await at_alice.set_state(room_id, "m.room.power_levels", levels)
    await at_bob.post(f"{CLIENT}/rooms/{room_id}/ban", {"user_id": carol.user_id})
    await at_bob.set_state(room_id, "m.room.pinned_events", {"pinned": ["$x"]})
    await catch_up(room_id, at_bob, his)
    assert his.content("m.room.member", carol.user_id)["membership"] == "ban"
    await at_carol.say(room_id, "still here")
    pump(alice, carol)
    pump(alice, bob, carol)
    await catch_up(room_id, at_alice, hers)
    part = await catch_up(room_id, at_bob, his)
    assert his.content("m.room.member", carol.user_id)["membership"] == "join"
    assert his.content("m.room.pinned_events") == {}
    undone = [event for event in part["state"]["events"] if event["content"] == {}]
    assert [event["unsigned"]["org.dtnode"] for event in undone] == [{"undone": True}]
    await catch_up(room_id, at_carol, carols)


async def test_messages_sent_while_apart_are_told_and_marked(
    alice: SmallNode, bob: SmallNode, carol: SmallNode
) -> None:
    room_id = await room_of(alice, bob, carol)
    ((at_alice, hers),) = await believers(room_id, alice)
    said = await bob.client().say(room_id, "apart")
    pump(bob, carol)
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/ban", {"user_id": bob.user_id})
    pump(alice, carol)
    part = await catch_up(room_id, at_alice, hers)
    (event,) = [event for event in part["timeline"]["events"] if event["event_id"] == said]
    assert event["unsigned"]["org.dtnode"]["apart"]
    assert event["unsigned"]["org.dtnode"]["soft_failed"]


# --- reconcile() alone: whatever is told, the client ends with what counts

KEYS: list[StateKey] = [("t", "a"), ("t", "b"), ("u", "")]


def _event(event_id: str, key: StateKey | None, soft_failed: bool) -> TimelineEvent:
    json: Json = {
        "type": key[0] if key else "m.room.message",
        "sender": "@a:b",
        "room_id": "!r:b",
        "content": {},
        "prev_events": [],
        "auth_events": [],
        "depth": 1,
        "origin_server_ts": 1,
    }
    if key:
        json["state_key"] = key[1]
    pdu = Pdu(json, event_id, ROOM_VERSIONS["11"], redacted=False)
    return TimelineEvent(pdu=pdu, position=1, soft_failed=soft_failed)


State = dict[StateKey, str]
Case = tuple[State, State, list[TimelineEvent], dict[str, State]]


@st.composite
def told_and_timeline(draw: st.DrawFn) -> Case:
    """Old events $o.., the timeline's $n..; each has its key for good, as real events do."""
    size = draw(st.integers(0, 6))
    keys = [draw(st.sampled_from([None, *KEYS])) for _ in range(size)]
    timeline = [_event(f"$n{number}", key, draw(st.booleans())) for number, key in enumerate(keys)]
    candidates: dict[StateKey, list[str | None]] = {
        key: [None, f"$o1{key}", f"$o2{key}"] for key in KEYS
    }
    told = {key: draw(st.sampled_from(values)) for key, values in candidates.items()}
    before: dict[str, State] = {}
    for event in timeline:
        before[event.pdu.event_id] = {
            key: value
            for key in KEYS
            if (value := draw(st.sampled_from(candidates[key]))) is not None
        }
        if event.pdu.is_state:
            candidates[event.pdu.key].append(event.pdu.event_id)
    now = {key: draw(st.sampled_from(values)) for key, values in candidates.items()}
    return (
        {key: value for key, value in told.items() if value is not None},
        {key: value for key, value in now.items() if value is not None},
        timeline,
        before,
    )


@given(told_and_timeline(), st.booleans())
def test_client_always_ends_with_the_state_that_counts(case: Case, limited: bool) -> None:
    told, now, timeline, before = case
    found = reconcile(told, now, timeline, before.__getitem__, limited=limited)
    key_of = {value: key for state in (told, now, *before.values()) for key, value in state.items()}
    believed = dict(told)
    for event_id in found.state:
        believed[key_of[event_id]] = event_id
    for event_id in found.undone:
        del believed[key_of[event_id]]
    for event in found.timeline:
        if event.pdu.is_state:
            believed[event.pdu.key] = event.pdu.event_id
    assert believed == now
    messages = [event for event in timeline if not event.pdu.is_state]
    assert [event for event in found.timeline if not event.pdu.is_state] == messages
    told_twice = set(found.state) & {event.pdu.event_id for event in found.timeline}
    assert not told_twice
