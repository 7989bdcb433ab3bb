"""The receive pipeline on rooms made by hand: holding, redacted copies, ACLs, hostile input."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import FormatError
from dtnode.matrix.pdu import Pdu
from dtnode.rooms.gaps import GapKind
from dtnode.rooms.outcome import Check, Verdict
from dtnode.store import RoomKind
from dtnode.store import held as held_module
from dtnode.testing.rooms_builder import RoomBuilder
from tests.rooms.nodes import Node, take_in

VERSIONS = ("3", "6", "9", "10", "11", "12")


def tampered(pdu: Pdu) -> bytes:
    """The same event id and signatures, but another content: arrives as its redacted form."""
    changed = {**pdu.json, "content": {**pdu.json["content"], "tampered": True}}
    return json.dumps(changed).encode()


def shuffled(pdus: list[bytes], seed: int) -> list[bytes]:
    copy = list(pdus)
    random.Random(seed).shuffle(copy)
    return copy


def outcome_of(node: Node, room_id: str, pdu: bytes) -> Any:
    (outcome,) = node.receive(room_id, [pdu]).outcomes
    return outcome


# --- holding and releasing


def forked_room(seed: int, version: str = "12") -> RoomBuilder:
    """Three people on a DAG with random forks and merges, moderation included."""
    rng = random.Random(seed)
    room = RoomBuilder("alice", "bob", "carol", version=version)
    room.state_event("alice", "m.room.power_levels", {"users": {room.user("bob"): 50}})
    ids = list(room.pdus)[5:]
    for number in range(30):
        parents = rng.sample(ids, min(len(ids), rng.randint(1, 3)))
        who = rng.choice(["alice", "bob", "carol"])
        what = rng.random()
        if what < 0.1:
            pdu = room.make(
                "bob", "m.room.member", {"membership": "ban"}, room.user("carol"), parents=parents
            )
        elif what < 0.3:
            pdu = room.make(who, "m.room.topic", {"topic": str(number)}, "", parents=parents)
        else:
            pdu = room.make(who, "m.room.message", {"body": str(number)}, parents=parents)
        ids.append(room.add(pdu).event_id)
    return room


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("version", VERSIONS)
def test_any_order_gives_the_same_room(seed: int, version: str) -> None:
    room = forked_room(seed, version)
    assert room.room_id is not None
    in_order = Node("dan")
    take_in(in_order, room)
    expected = in_order.view(room.room_id)
    for order in range(3):
        node = Node("dan")
        node.store.transaction()
        empty = RoomBuilder("alice", version=version)
        empty.pdus.clear()
        empty.room_id = room.room_id
        take_in(node, empty)
        mixed = shuffled(room.canonical(), order)
        for start in range(0, len(mixed), 7):
            node.receive(room.room_id, mixed[start : start + 7])
        assert node.view(room.room_id) == expected
        assert node.rooms.gaps(node.room(room.room_id)) == []
        assert node.store.held.count(node.room(room.room_id).nid) == 0


def test_gaps_are_what_held_events_name_and_nobody_sent() -> None:
    room = RoomBuilder("alice", "bob")
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    first, second = room.message("alice", "1"), room.message("bob", "2")
    third = room.message("alice", "3")
    fork = room.message("bob", "fork", parents=[first.event_id])
    outcome = outcome_of(node, room.room_id, third.canonical())
    assert outcome.verdict is Verdict.HELD
    assert outcome.missing == (second.event_id,)
    node.receive(room.room_id, [fork.canonical()])
    gaps = {gap.event_id: gap.needed_by for gap in node.rooms.gaps(node.room(room.room_id))}
    assert gaps == {second.event_id: (third.event_id,), first.event_id: (fork.event_id,)}
    outcome_of(node, room.room_id, second.canonical())
    gaps = {gap.event_id: gap.needed_by for gap in node.rooms.gaps(node.room(room.room_id))}
    assert list(gaps) == [first.event_id]
    assert set(gaps[first.event_id]) == {fork.event_id, second.event_id}
    received = node.receive(room.room_id, [first.canonical()])
    assert {outcome.event_id for outcome in received.released} == {
        second.event_id,
        third.event_id,
        fork.event_id,
    }
    assert received.accepted[0] == first.event_id
    assert node.rooms.gaps(node.room(room.room_id)) == []


def test_a_parent_that_is_no_good_stays_a_gap() -> None:
    room = RoomBuilder("alice")
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    parent = room.message("alice")
    child = room.message("alice")
    unsigned = {**parent.json, "signatures": {}}
    assert outcome_of(node, room.room_id, child.canonical()).verdict is Verdict.HELD
    outcome = outcome_of(node, room.room_id, json.dumps(unsigned).encode())
    assert (outcome.verdict, outcome.check) == (Verdict.DROPPED, Check.SIGNATURE)
    (gap,) = node.rooms.gaps(node.room(room.room_id))
    assert gap.event_id == parent.event_id
    outcome = outcome_of(node, room.room_id, parent.canonical())  # a good copy isn't kept out
    assert outcome.verdict is Verdict.ACCEPTED
    assert node.rooms.gaps(node.room(room.room_id)) == []


def test_an_event_of_another_room_counts_as_missing() -> None:
    """Or a verdict would depend on which other rooms a node is in, and the rooms would part."""
    one = RoomBuilder("alice")
    other = RoomBuilder("alice", create={"m.federate": True})
    assert one.room_id is not None
    assert other.room_id is not None
    bridge = one.message("alice", parents=[*one.heads, *other.heads])
    child = one.message("alice", parents=[bridge.event_id])
    by_auth = one.make("alice", "m.room.message", {}, auth=[*list(other.pdus)[1:3]])
    in_both, in_one = Node("dan"), Node("erin")
    take_in(in_both, other)
    for node in (in_both, in_one):
        del_last = one.canonical()[:-2]
        with node.store.transaction():
            node.store.rooms.add(one.room_id, one.version, RoomKind.COMPLETE)
        node.receive(one.room_id, del_last)
        for pdu in (bridge, child, by_auth):
            assert outcome_of(node, one.room_id, pdu.canonical()).verdict is Verdict.HELD
    assert in_both.view(one.room_id) == in_one.view(one.room_id)
    take_in(in_one, other)  # learning of the other room later changes nothing either
    assert in_one.store.held.count(in_one.room(one.room_id).nid) == 3


def test_ids_that_cant_exist_are_refused_at_once() -> None:
    room = RoomBuilder("alice")
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    for impossible in ("$", "$short", "$" + "x" * 300):
        pdu = room.make("alice", "m.room.message", {}, parents=[*room.heads, impossible])
        outcome = outcome_of(node, room.room_id, pdu.canonical())
        assert (outcome.verdict, outcome.check) == (Verdict.DROPPED, Check.FORMAT)
        assert "no event's id" in outcome.reason
    assert node.rooms.gaps(node.room(room.room_id)) == []


def test_an_endless_chain_of_unknown_parents_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "MAX_HELD_PER_SOURCE", 10)
    monkeypatch.setattr(held_module, "MAX_HELD_PER_ROOM", 25)
    room = RoomBuilder("alice")
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    chain = [room.message("alice", str(number)) for number in range(60)]
    missing_first = chain[1:]
    evicted: list[str] = []
    for pdu in missing_first[:30]:
        evicted += node.receive(room.room_id, [pdu.canonical()], "mallory").evicted
    nid = node.room(room.room_id).nid
    assert node.store.held.count(nid) == 10
    assert evicted == [pdu.event_id for pdu in missing_first[:20]]
    honest = node.receive(room.room_id, [missing_first[40].canonical()], "bob")
    assert honest.evicted == ()
    for number in range(10):
        others = missing_first[41 + number : 43 + number] + missing_first[30 + number : 32 + number]
        node.receive(room.room_id, [pdu.canonical() for pdu in others], f"liar {number % 3}")
        assert node.store.held.count(nid) <= 25
    assert node.store.held.count(nid) == 25
    assert node.store.held.has(missing_first[40].event_id)  # those with most make room, not bob
    node.receive(room.room_id, [pdu.canonical() for pdu in chain], "bob")
    assert node.store.held.count(nid) == 0
    assert node.bodies(room.room_id) == [str(number) for number in range(60)]


def test_events_for_unknown_rooms_are_refused() -> None:
    room = RoomBuilder("alice")
    assert room.room_id is not None
    with pytest.raises(FormatError, match="no part in"):
        Node("dan").receive(room.room_id, room.canonical())


# --- redacted copies


@pytest.mark.parametrize("version", VERSIONS)
def test_a_redacted_copy_is_a_content_gap_until_the_whole_one_comes(version: str) -> None:
    room = RoomBuilder("dan", "alice", version=version)
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    for pdu in (
        room.message("alice", "secret"),
        room.state_event("alice", "x.y", {"a": 1}, "alice"),
    ):
        outcome = outcome_of(node, room.room_id, tampered(pdu))
        (gap,) = node.rooms.gaps(node.room(room.room_id))
        assert (gap.event_id, gap.kind) == (pdu.event_id, GapKind.CONTENT)
        assert outcome.redacted
        assert node.pdu(pdu.event_id).content == {}
        again = outcome_of(node, room.room_id, tampered(pdu))
        assert again.verdict is Verdict.DUPLICATE
        assert outcome_of(node, room.room_id, pdu.canonical()).verdict is Verdict.DUPLICATE
        assert node.pdu(pdu.event_id).content == pdu.content
        assert node.rooms.gaps(node.room(room.room_id)) == []
        outcome_of(node, room.room_id, tampered(pdu))  # never the other way round
        assert node.pdu(pdu.event_id).content == pdu.content


def test_a_held_redacted_copy_is_replaced_too() -> None:
    room = RoomBuilder("dan", "alice")
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    parent, child = room.message("alice", "1"), room.message("alice", "2")
    outcome_of(node, room.room_id, tampered(child))
    outcome_of(node, room.room_id, child.canonical())
    outcome_of(node, room.room_id, parent.canonical())
    assert node.bodies(room.room_id) == ["1", "2"]


def blanked_power_levels(version: str) -> tuple[RoomBuilder, Pdu, list[Pdu]]:
    """bob has power 50, invites take 75. He changes something else, which a redacted copy makes
    look as if he removed `invite`; then come events that stand on his change."""
    room = RoomBuilder("alice", "bob", version=version)
    users = {room.user("bob"): 50, **({} if version == "12" else {room.user("alice"): 100})}
    levels = {"users": users, "invite": 75, "events": {"m.room.power_levels": 50}}
    room.state_event("alice", "m.room.power_levels", levels)
    changed = room.state_event("bob", "m.room.power_levels", {**levels, "kick": 40})
    topic = room.state_event("bob", "m.room.topic", {"topic": "by bob"})
    return room, changed, [changed, topic, room.message("alice", "end")]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_copy_that_comes_late_gives_the_same_verdicts(version: str) -> None:
    """Trap: before version 11 redaction takes `invite` from power levels, so that the redacted copy
    is rejected and the whole one isn't."""
    loses_invite = int(version) < 11
    room, changed, rest = blanked_power_levels(version)
    assert room.room_id is not None
    assert not room.rejected
    straight, late = Node("dan"), Node("dan")
    take_in(straight, room)
    known = [pdu for pdu in room.pdus.values() if pdu not in rest]
    with late.store.transaction():
        late.store.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
    late.receive(room.room_id, room.canonical(known))
    outcome = outcome_of(late, room.room_id, tampered(changed))
    assert (outcome.verdict is Verdict.REJECTED) == loses_invite
    late.receive(room.room_id, room.canonical(rest[1:]))
    # From version 11 on redaction takes away what was forged and nothing else: nothing is missing.
    gaps = [gap.event_id for gap in late.rooms.gaps(late.room(room.room_id))]
    assert gaps == ([changed.event_id] if loses_invite else [])
    assert (late.view(room.room_id) == straight.view(room.room_id)) == (not loses_invite)

    received = late.receive(room.room_id, [changed.canonical()])
    assert late.view(room.room_id) == straight.view(room.room_id)
    assert late.bodies(room.room_id) == straight.bodies(room.room_id)
    judged_anew = [outcome.event_id for outcome in received.released]
    assert (changed.event_id in judged_anew) == loses_invite
    shown = late.rooms.timeline.since(late.room(room.room_id), 0, 10_000, 1000)
    positions = [event.position for event in shown]
    assert len(set(positions)) == len(positions) == len(room.pdus)


def test_what_was_accepted_on_a_redacted_copy_is_taken_back() -> None:
    """Before version 11 a redacted create event doesn't say that the room is for one server."""
    room = RoomBuilder("alice", version="10", create={"m.federate": False})
    assert room.room_id is not None
    stranger = room.join("bob")
    said = room.message("alice", "among us")
    assert room.rejected == {stranger.event_id}
    straight, late = Node("dan"), Node("dan")
    take_in(straight, room)
    with late.store.transaction():
        late.store.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
    late.receive(room.room_id, [tampered(room.create), *room.canonical()[1:]])
    assert late.membership(room.room_id, "bob") == "join"
    shown = late.store.events.get(stranger.event_id)
    assert shown is not None
    received = late.receive(room.room_id, [room.create.canonical()])
    assert late.membership(room.room_id, "bob") is None
    assert late.view(room.room_id) == straight.view(room.room_id)
    assert [(o.event_id, o.verdict) for o in received.released] == [
        (stranger.event_id, Verdict.REJECTED)
    ]
    now = late.store.events.get(stranger.event_id)
    assert now is not None
    assert now.position == shown.position  # its number isn't given again, but nobody sees it
    timeline = late.rooms.timeline.since(late.room(room.room_id), 0, 10_000, 1000)
    assert stranger.event_id not in [event.pdu.event_id for event in timeline]
    assert said.event_id in [event.pdu.event_id for event in timeline]


def test_judging_anew_keeps_positions() -> None:
    room, changed, rest = blanked_power_levels("10")
    assert room.room_id is not None
    node = Node("dan")
    with node.store.transaction():
        node.store.rooms.add(room.room_id, room.version, RoomKind.COMPLETE)
    before = [pdu for pdu in room.pdus.values() if pdu not in rest]
    node.receive(room.room_id, room.canonical(before))
    old = {
        e.event_id: e.position for e in node.store.events.in_nid_order(node.room(room.room_id).nid)
    }
    node.receive(room.room_id, [tampered(changed), rest[1].canonical(), rest[2].canonical()])
    last = node.store.events.last_position()
    node.receive(room.room_id, [changed.canonical()])
    new = {
        e.event_id: e.position for e in node.store.events.in_nid_order(node.room(room.room_id).nid)
    }
    assert {event_id: new[event_id] for event_id in old} == old
    assert (new[changed.event_id] or 0) > last  # clients hear of it now


# --- server ACLs


def acl_room(**acl: Any) -> RoomBuilder:
    room = RoomBuilder("alice", "bob")
    assert room.creator
    denied = room.user("bob").partition(":")[2]
    room.state_event("alice", "m.room.server_acl", {"allow": ["*"], "deny": [denied], **acl})
    return room


def test_a_denied_servers_events_are_soft_failed_never_dropped() -> None:
    room = acl_room()
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    on_top = room.message("bob", "on top")  # names exactly the forward extremities
    outcome = outcome_of(node, room.room_id, on_top.canonical())
    assert outcome.verdict is Verdict.ACCEPTED
    assert outcome.soft_failed
    assert outcome.check is Check.CURRENT_STATE
    assert "ACL denies" in outcome.reason
    allowed = room.message("alice", "beside")
    assert not outcome_of(node, room.room_id, allowed.canonical()).soft_failed
    assert node.bodies(room.room_id) == ["on top", "beside"]


def test_an_acl_held_in_redacted_form_denies_nobody() -> None:
    room = RoomBuilder("alice", "bob")
    assert room.room_id is not None
    node = Node("dan")
    take_in(node, room)
    acl = room.state_event("alice", "m.room.server_acl", {"allow": ["*"], "deny": []})
    outcome_of(node, room.room_id, tampered(acl))
    assert not outcome_of(node, room.room_id, room.message("bob").canonical()).soft_failed


# --- garbage

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)
_ROOM = RoomBuilder("alice", "bob")
_BASE = _ROOM.make("bob", "m.room.message", {"body": "x"}).json
_MEMBER = _ROOM.make("bob", "m.room.member", {"membership": "join"}, _ROOM.user("bob")).json
_TYPES = [
    *("m.room.member", "m.room.power_levels", "m.room.create", "m.room.join_rules"),
    *("m.room.server_acl", "m.room.history_visibility", "m.room.redaction", "x"),
]
_KEYS = sorted({*_BASE, "state_key", "redacts", "unsigned", "event_id", "membership"})


def assert_reasoned(node: Node, pdus: list[bytes]) -> None:
    assert _ROOM.room_id is not None
    received = node.receive(_ROOM.room_id, pdus)
    assert len(received.outcomes) == len(pdus)
    for outcome in received.outcomes:
        if outcome.verdict in (Verdict.DROPPED, Verdict.REJECTED, Verdict.HELD):
            assert outcome.reason
        if outcome.verdict is not Verdict.DROPPED:
            assert outcome.event_id is not None


@pytest.fixture(scope="module")
def taker() -> Node:
    node = Node("dan")
    take_in(node, _ROOM)
    return node


@given(data=st.binary(max_size=200))
def test_garbage_bytes_are_an_outcome(taker: Node, data: bytes) -> None:
    assert_reasoned(taker, [data])


@given(changes=st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=4), base=st.booleans())
def test_events_with_odd_fields_are_an_outcome(
    taker: Node, changes: dict[str, Any], base: bool
) -> None:
    json_text = json.dumps({**(_BASE if base else _MEMBER), **changes}).encode()
    assert_reasoned(taker, [json_text])


@given(
    type_=st.sampled_from(_TYPES),
    content=st.dictionaries(
        st.sampled_from(["membership", "users", "invite", "join_rule", "allow", "deny", "redacts"])
        | st.text(max_size=8),
        _JSON,
        max_size=4,
    ),
    state_key=st.none() | st.text(max_size=10) | st.sampled_from(["", _ROOM.user("bob")]),
    strangers=st.lists(st.sampled_from(sorted(_ROOM.pdus)), max_size=3),
    sender=st.sampled_from(["alice", "bob"]),
)
def test_signed_events_with_odd_content_are_an_outcome(
    taker: Node,
    type_: str,
    content: dict[str, Any],
    state_key: str | None,
    strangers: list[str],
    sender: str,
) -> None:
    """Whatever somebody with a key signs: nothing raises, nothing is left unexplained."""
    try:
        pdu = _ROOM.make(
            sender,
            type_,
            content,
            state_key,
            parents=strangers or None,
            auth=strangers if len(content) == 1 else None,
        )
    except FormatError:
        return
    assert_reasoned(taker, [pdu.canonical(), pdu.canonical()])


def test_deep_nesting_is_an_outcome(taker: Node) -> None:
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    assert_reasoned(taker, [deep, b"[" * 100_000, b'{"type":"m.room.create"}'])
