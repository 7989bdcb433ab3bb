"""Sync: invites and removals by card, joins whose history comes later, polls, filters, pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from dtnode.client_api import snapshots
from tests.client_api.small_node import (
    CLIENT,
    TOKEN,
    Believed,
    Client,
    SmallNode,
    bodies,
    ids,
    pump,
)

Json = dict[str, Any]


async def invited(alice: SmallNode, bob: SmallNode, **room: object) -> str:
    """A room of alice's with a few messages, bob invited by card."""
    at_alice = alice.client()
    room_id = await at_alice.create_room(name="boat", **room)
    await at_alice.say(room_id, "one")
    await at_alice.say(room_id, "two")
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/invite", {"user_id": bob.user_id})
    pump(alice, bob)
    return room_id


async def joined(alice: SmallNode, bob: SmallNode, **room: object) -> str:
    room_id = await invited(alice, bob, **room)
    await bob.client().post(f"{CLIENT}/join/{room_id}")
    pump(alice, bob)
    return room_id


async def test_initial_sync_has_the_room_and_its_state(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat", topic="wind")
    event_id = await at_alice.say(room_id, "hello")
    part = (await at_alice.sync())["rooms"]["join"][room_id]
    believed = Believed()
    believed.take(part)
    assert believed.agrees_with(alice, room_id)
    assert believed.content("m.room.topic") == {"topic": "wind"}
    last = part["timeline"]["events"][-1]
    assert last["event_id"] == event_id
    assert last["unsigned"]["transaction_id"] == "t1"
    assert part["summary"]["m.joined_member_count"] == 1
    assert not part["timeline"]["limited"]


async def test_nothing_new_is_nothing_told_and_nothing_written(
    alice: SmallNode, at_alice: Client
) -> None:
    room_id = await at_alice.create_room(name="boat")
    await at_alice.sync()
    await at_alice.say(room_id, "hello")
    runs = alice.durable_runs
    answer = await at_alice.sync()
    assert bodies(answer["rooms"]["join"][room_id]["timeline"]["events"]) == ["hello"]
    assert answer["rooms"]["join"][room_id]["state"]["events"] == []
    answer = await at_alice.sync()
    assert answer["rooms"] == {"join": {}, "invite": {}, "leave": {}}
    assert alice.durable_runs == runs, "messages cost a sync no write"


async def test_limited_timeline_and_paging_back_give_every_event_once(
    alice: SmallNode, at_alice: Client
) -> None:
    room_id = await at_alice.create_room(name="boat")
    await at_alice.sync()
    for number in range(12):
        await at_alice.say(room_id, str(number))
        if number == 5:
            await at_alice.set_state(room_id, "m.room.topic", {"topic": "middle"})
    only = json.dumps({"room": {"timeline": {"limit": 4}}})
    part = (await at_alice.sync(filter=only))["rooms"]["join"][room_id]
    assert part["timeline"]["limited"]
    assert bodies(part["timeline"]["events"]) == ["8", "9", "10", "11"]
    assert [event["type"] for event in part["state"]["events"]] == ["m.room.topic"]
    seen = list(reversed(part["timeline"]["events"]))
    token = part["timeline"]["prev_batch"]
    while token:
        page = await at_alice.get(
            f"{CLIENT}/rooms/{room_id}/messages", dir="b", limit=3, **{"from": token}
        )
        seen += page["chunk"]
        token = page.get("end")
    assert len(set(ids(seen))) == len(seen)
    assert seen[-1]["type"] == "m.room.create"
    assert bodies(seen[::-1]) == [str(number) for number in range(12)]


async def test_state_where_a_limited_timeline_starts(at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat", topic="first")
    await at_alice.sync()
    await at_alice.set_state(room_id, "m.room.topic", {"topic": "second"})
    await at_alice.say(room_id, "between")
    await at_alice.set_state(room_id, "m.room.topic", {"topic": "third"})
    only = json.dumps({"room": {"timeline": {"limit": 1}}})
    part = (await at_alice.sync(filter=only))["rooms"]["join"][room_id]
    assert [event["content"] for event in part["state"]["events"]] == [{"topic": "second"}]
    assert [event["content"] for event in part["timeline"]["events"]] == [{"topic": "third"}]


async def test_paging_forward(at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    start = (await at_alice.sync())["next_batch"]
    for number in range(5):
        await at_alice.say(room_id, str(number))
    seen: list[Json] = []
    token: str | None = start
    while token:
        page = await at_alice.get(
            f"{CLIENT}/rooms/{room_id}/messages", dir="f", limit=2, **{"from": token}
        )
        seen += page["chunk"]
        token = page.get("end")
    assert bodies(seen) == ["0", "1", "2", "3", "4"]


async def test_invite_by_card_wakes_a_long_poll_and_is_told_once(
    alice: SmallNode, bob: SmallNode, at_bob: Client, autojump_clock: MockClock
) -> None:
    await at_bob.sync()
    started = trio.current_time()
    found: list[Json] = []

    async def poll() -> None:
        found.append(await at_bob.sync(timeout=30_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll)
        await trio.sleep(2)
        room_id = await invited(alice, bob)
    assert trio.current_time() - started < 3
    state = found[0]["rooms"]["invite"][room_id]["invite_state"]["events"]
    by_type = {event["type"]: event for event in state}
    assert by_type["m.room.name"]["content"] == {"name": "boat"}
    assert by_type["m.room.member"]["state_key"] == bob.user_id
    assert all(set(event) == {"type", "state_key", "sender", "content"} for event in state)
    pump(alice, bob)
    assert (await at_bob.sync())["rooms"] == {"join": {}, "invite": {}, "leave": {}}


async def test_long_poll_ends_empty_after_its_time(
    at_bob: Client, autojump_clock: MockClock
) -> None:
    await at_bob.sync()
    started = trio.current_time()
    answer = await at_bob.sync(timeout=30_000)
    assert trio.current_time() - started == pytest.approx(30, abs=0.1)
    assert answer["rooms"] == {"join": {}, "invite": {}, "leave": {}}


async def test_long_poll_is_answered_when_the_node_ends(
    bob: SmallNode, at_bob: Client, autojump_clock: MockClock
) -> None:
    await at_bob.sync()
    async with trio.open_nursery() as nursery:
        started = trio.current_time()
        nursery.start_soon(lambda: at_bob.sync(timeout=30_000))
        await trio.sleep(1)
        bob.shutdown()
    assert trio.current_time() - started < 2


async def test_join_by_card_then_history_each_event_told_once(
    alice: SmallNode, bob: SmallNode, at_bob: Client
) -> None:
    room_id = await invited(alice, bob)
    await at_bob.sync()
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    await at_bob.say(room_id, "from bob")
    believed = Believed()
    answer = await at_bob.sync()
    part = answer["rooms"]["join"][room_id]
    assert not answer["rooms"]["invite"]
    assert bodies(part["timeline"]["events"]) == ["from bob"]
    assert all(
        event["unsigned"]["org.dtnode"]["provisional"] for event in part["timeline"]["events"]
    )
    believed.take(part)
    assert believed.agrees_with(bob, room_id)
    pump(alice, bob)
    room = bob.rooms.room(room_id)
    assert room is not None
    assert room.kind.name == "COMPLETE"
    part = (await at_bob.sync())["rooms"]["join"][room_id]
    assert bodies(part["timeline"]["events"]) == ["one", "two"]
    believed.take(part)
    assert believed.agrees_with(bob, room_id)
    assert len(set(believed.seen)) == len(believed.seen)
    every = {
        event.event_id
        for event in bob.rooms.store.events.in_nid_order(room.nid)
        # after the join it answers, the invite would leave a client with a wrong membership
        if event.pdu.membership != "invite"
    }
    assert set(believed.seen) == every
    assert (await at_bob.sync())["rooms"] == {"join": {}, "invite": {}, "leave": {}}


async def test_removal_by_card_moves_the_room_to_leave_once(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await joined(alice, bob)
    await at_bob.sync()
    await at_alice.post(
        f"{CLIENT}/rooms/{room_id}/kick", {"user_id": bob.user_id, "reason": "asleep"}
    )
    (card,) = alice.rooms.sharing.cards_for(bob.server_name)
    bob.rooms.take_card(card, source=alice.server_name)
    answer = await at_bob.sync()
    assert not answer["rooms"]["join"]
    last = answer["rooms"]["leave"][room_id]["timeline"]["events"][-1]
    assert last["content"] == {"membership": "leave", "reason": "asleep"}
    assert last["state_key"] == bob.user_id
    pump(alice, bob)
    assert (await at_bob.sync())["rooms"] == {"join": {}, "invite": {}, "leave": {}}
    assert (await at_bob.get(f"{CLIENT}/joined_rooms")) == {"joined_rooms": []}


async def test_revoked_invite_is_told_to_the_joiner(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await invited(alice, bob)
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    await at_bob.sync()
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/kick", {"user_id": bob.user_id})
    pump(alice, bob)
    answer = await at_bob.sync()
    last = answer["rooms"]["leave"][room_id]["timeline"]["events"][-1]
    assert last["content"]["membership"] == "leave"
    assert last["sender"] == alice.user_id


async def test_invited_again_after_a_kick(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await joined(alice, bob)
    await at_bob.sync()
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/kick", {"user_id": bob.user_id})
    pump(alice, bob)
    await at_bob.sync()
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/invite", {"user_id": bob.user_id})
    pump(alice, bob)
    assert list((await at_bob.sync())["rooms"]["invite"]) == [room_id]
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    pump(alice, bob)
    part = (await at_bob.sync())["rooms"]["join"][room_id]
    believed = Believed()
    believed.take(part)
    assert believed.agrees_with(bob, room_id)


async def test_leaving_and_forgetting(at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    await at_alice.sync()
    status, _ = await at_alice.fails("POST", f"{CLIENT}/rooms/{room_id}/forget", {})
    assert status == 400
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/leave")
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/leave")
    part = (await at_alice.sync())["rooms"]["leave"][room_id]
    assert [event["content"] for event in part["timeline"]["events"]] == [{"membership": "leave"}]
    with_left = json.dumps({"room": {"include_leave": True}})
    everything = await at_alice.get(f"{CLIENT}/sync", filter=with_left)
    assert list(everything["rooms"]["leave"]) == [room_id]
    assert not (await at_alice.get(f"{CLIENT}/sync"))["rooms"]["leave"]
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/forget")
    everything = await at_alice.get(f"{CLIENT}/sync", filter=with_left)
    assert not everything["rooms"]["leave"]


async def test_full_state_and_unknown_tokens(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    await at_alice.sync()
    part = (await at_alice.sync(full_state="true"))["rooms"]["join"][room_id]
    assert part["timeline"]["events"] == []
    believed = Believed()
    believed.take(part)
    assert believed.agrees_with(alice, room_id)
    from_the_future = await at_alice.get(f"{CLIENT}/sync", since="s999_999")
    believed = Believed()
    believed.take(from_the_future["rooms"]["join"][room_id])
    assert believed.agrees_with(alice, room_id)
    for bad in ("x1", "s", "s1_x", "s-1", "s1_2_3", "s" + "9" * 30, "s²"):
        assert await at_alice.fails("GET", f"{CLIENT}/sync", since=bad) == (400, "M_INVALID_PARAM")


async def test_filters_by_type_sender_and_room(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await joined(alice, bob)
    other_id = await at_alice.create_room(name="other")
    await at_alice.sync()
    await at_alice.say(room_id, "mine")
    await at_bob.say(room_id, "his")
    await at_alice.say(other_id, "elsewhere")
    pump(alice, bob)
    since = at_alice.since

    async def texts(room: Json) -> dict[str, list[str]]:
        answer = await at_alice.get(
            f"{CLIENT}/sync", since=since, filter=json.dumps({"room": room})
        )
        return {
            key: bodies(part["timeline"]["events"]) for key, part in answer["rooms"]["join"].items()
        }

    assert await texts({}) == {room_id: ["mine", "his"], other_id: ["elsewhere"]}
    assert await texts({"rooms": [room_id]}) == {room_id: ["mine", "his"]}
    assert await texts({"not_rooms": [room_id]}) == {other_id: ["elsewhere"]}
    assert await texts({"timeline": {"senders": [bob.user_id]}}) == {room_id: ["his"]}
    assert await texts({"timeline": {"not_senders": [bob.user_id]}}) == {
        room_id: ["mine"],
        other_id: ["elsewhere"],
    }
    assert await texts({"timeline": {"types": ["m.reaction"]}}) == {}
    assert await texts({"timeline": {"types": ["m.room.*"], "not_types": ["*.message"]}}) == {}
    user = f"{CLIENT}/user/{alice.user_id}/filter"
    filter_id = (await at_alice.post(user, {"room": {"rooms": [other_id]}}))["filter_id"]
    assert (await at_alice.get(f"{user}/{filter_id}")) == {"room": {"rooms": [other_id]}}
    answer = await at_alice.get(f"{CLIENT}/sync", since=since, filter=filter_id)
    assert list(answer["rooms"]["join"]) == [other_id]
    assert await at_alice.fails("GET", f"{CLIENT}/sync", filter="nope") == (404, "M_NOT_FOUND")


async def test_account_data_reaches_the_other_session(
    alice: SmallNode, at_alice: Client, autojump_clock: MockClock
) -> None:
    room_id = await at_alice.create_room(name="boat")
    types = [event["type"] for event in (await at_alice.sync())["account_data"]["events"]]
    assert types == ["m.push_rules"]
    mine = f"{CLIENT}/user/{alice.user_id}"
    found: list[Json] = []

    async def poll() -> None:
        found.append(await at_alice.sync(timeout=60_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(poll)
        await trio.sleep(1)
        await alice.client().put(f"{mine}/account_data/m.direct", {"a": [room_id]})
    assert found[0]["account_data"]["events"] == [{"type": "m.direct", "content": {"a": [room_id]}}]
    await at_alice.put(f"{mine}/rooms/{room_id}/account_data/m.tag", {"tags": {"u.work": {}}})
    answer = await at_alice.sync()
    part = answer["rooms"]["join"][room_id]
    assert part["account_data"]["events"][0]["content"] == {"tags": {"u.work": {}}}
    assert answer["account_data"]["events"] == []
    assert await at_alice.get(f"{mine}/account_data/m.direct") == {"a": [room_id]}
    assert await at_alice.fails("GET", f"{mine}/account_data/x") == (404, "M_NOT_FOUND")


async def test_tokens_outlive_a_restart(tmp_path: Any) -> None:
    alice = SmallNode("alice", tmp_path / "node.db")
    at_alice = alice.client()
    room_id = await at_alice.create_room(name="boat")
    await at_alice.sync()
    alice.rooms.store.close()
    again = SmallNode("alice", tmp_path / "node.db")
    at_alice = _same_client(at_alice, again)
    assert (await at_alice.sync())["rooms"] == {"join": {}, "invite": {}, "leave": {}}
    await at_alice.say(room_id, "after")
    part = (await at_alice.sync())["rooms"]["join"][room_id]
    assert bodies(part["timeline"]["events"]) == ["after"]
    assert part["state"]["events"] == []
    again.rooms.store.close()


def _same_client(old: Client, node: SmallNode) -> Client:
    new = node.client()
    new.since = old.since
    return new


async def test_client_that_hangs_up_is_not_waited_for(
    bob: SmallNode, at_bob: Client, autojump_clock: MockClock
) -> None:
    await at_bob.sync()
    started = trio.current_time()
    sent: list[Any] = []

    async def receive() -> Json:
        if trio.current_time() - started < 10:
            await trio.sleep(10)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{CLIENT}/sync",
        "raw_path": f"{CLIENT}/sync".encode(),
        "query_string": f"since={at_bob.since}&timeout=30000".encode(),
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())],
    }
    await bob.app(scope, receive, send)
    assert trio.current_time() - started < 15
    assert sent[0]["status"] == 499


async def test_client_that_was_away_for_more_than_is_kept_gets_the_state_whole(
    alice: SmallNode, at_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "KEPT_VIEWS", 3)
    room_id = await at_alice.create_room(name="boat")
    believed = Believed()
    believed.take((await at_alice.sync())["rooms"]["join"][room_id])
    other = alice.client()
    for number in range(6):
        await other.set_state(room_id, "m.room.topic", {"topic": str(number)})
        await other.sync()
    part = (await at_alice.sync())["rooms"]["join"][room_id]
    believed.take(part)
    assert believed.agrees_with(alice, room_id)
    assert len(set(believed.seen)) == len(believed.seen)
    assert "m.room.create" in [event["type"] for event in part["state"]["events"]]


async def test_token_of_a_page_works_for_sync(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    page = await at_alice.get(f"{CLIENT}/rooms/{room_id}/messages", dir="b", limit=1)
    await at_alice.say(room_id, "since")
    answer = await at_alice.get(f"{CLIENT}/sync", since=page["start"])
    part = answer["rooms"]["join"][room_id]
    believed = Believed()
    believed.take(part)
    assert believed.agrees_with(alice, room_id)
    assert bodies(part["timeline"]["events"]) == ["since"]


async def test_redactions_are_found_by_what_they_name(tmp_path: Any) -> None:
    """However much was said in between, after a restart too, and each for its own event."""
    alice = SmallNode("alice", tmp_path / "node.db")
    at_alice = alice.client()
    room_id = await at_alice.create_room(name="boat")
    said = [await at_alice.say(room_id, f"secret {number}") for number in range(8)]
    for event_id in said[:5]:
        await at_alice.put(f"{CLIENT}/rooms/{room_id}/redact/{event_id}/{event_id}", {})
    alice.rooms.store.close()
    again = SmallNode("alice", tmp_path / "node.db")
    at_alice = again.client()
    await at_alice.put(f"{CLIENT}/rooms/{room_id}/redact/{said[5]}/{said[5]}", {})
    page = await at_alice.get(f"{CLIENT}/rooms/{room_id}/messages", dir="b", limit=100)
    texts = [e["content"].get("body") for e in page["chunk"] if e["type"] == "m.room.message"]
    assert texts == ["secret 7", "secret 6", None, None, None, None, None, None]
    again.rooms.store.close()


async def test_state_told_after_a_failed_request_is_still_right(
    alice: SmallNode, at_alice: Client
) -> None:
    """A rollback clears what is remembered of tokens in memory; the store has it all."""
    room_id = await at_alice.create_room(name="boat")
    await at_alice.sync()
    await at_alice.fails("PUT", f"{CLIENT}/rooms/{room_id}/send/m.x/1", {"x": 0.5})
    assert (await at_alice.sync())["rooms"] == {"join": {}, "invite": {}, "leave": {}}
    await at_alice.set_state(room_id, "m.room.topic", {"topic": "new"})
    part = (await at_alice.sync())["rooms"]["join"][room_id]
    assert part["state"]["events"] == []
    assert [event["content"] for event in part["timeline"]["events"]] == [{"topic": "new"}]
