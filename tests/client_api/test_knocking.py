"""Knocking through the client API: the call, the sync section, what moderators see."""

from __future__ import annotations

from typing import Any

from tests.client_api.small_node import CLIENT, OWN, Client, SmallNode, pump

KNOCK = [{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]


async def hut(alice: Client) -> str:
    return await alice.create_room(name="hut", topic="warm", initial_state=KNOCK)


def nodes() -> tuple[SmallNode, SmallNode]:
    alice, bob = SmallNode("alice"), SmallNode("bob")
    bob.others.append(alice)
    return alice, bob


async def test_a_knock_from_the_call_to_the_invite() -> None:
    alice, bob = nodes()
    hers, his = alice.client(), bob.client()
    room_id = await hut(hers)
    await hers.sync()
    await his.sync()
    answer = await his.post(f"{CLIENT}/knock/{room_id}", {"reason": "it rains"})
    assert answer == {"room_id": room_id}
    rooms = (await his.sync())["rooms"]
    assert (rooms["join"], rooms["invite"], rooms["leave"]) == ({}, {}, {})
    events = rooms["knock"][room_id]["knock_state"]["events"]
    assert {"m.room.create", "m.room.name", "m.room.join_rules"} <= {e["type"] for e in events}
    assert events[-1] == {
        "type": "m.room.member",
        "state_key": bob.user_id,
        "sender": bob.user_id,
        "content": {"membership": "knock", "reason": "it rains"},
    }
    assert "knock" not in (await his.sync())["rooms"]

    pump(alice, bob)
    events = (await hers.sync())["rooms"]["join"][room_id]["timeline"]["events"]
    assert events[-1]["content"] == {"membership": "knock", "reason": "it rains"}
    members = await hers.get(f"{CLIENT}/rooms/{room_id}/members", membership="knock")
    assert [event["state_key"] for event in members["chunk"]] == [bob.user_id]
    await hers.post(f"{CLIENT}/rooms/{room_id}/invite", {"user_id": bob.user_id})
    pump(alice, bob)
    assert room_id in (await his.sync())["rooms"]["invite"]


async def test_a_moderator_refuses() -> None:
    alice, bob = nodes()
    hers, his = alice.client(), bob.client()
    room_id = await hut(hers)
    await his.post(f"{CLIENT}/knock/{room_id}")
    await his.sync()
    pump(alice, bob)
    await hers.post(f"{CLIENT}/rooms/{room_id}/kick", {"user_id": bob.user_id})
    pump(alice, bob)
    left = (await his.sync())["rooms"]["leave"][room_id]
    assert left["timeline"]["events"][-1]["content"] == {"membership": "leave"}
    rooms: Any = (await his.get(f"{OWN}/rooms"))["rooms"]
    assert "turned you down" in rooms[0]["note"]


async def test_where_knocking_is_no_use() -> None:
    alice, bob = nodes()
    hers, his = alice.client(), bob.client()
    room_id = await hers.create_room(name="closed")
    assert await his.fails("POST", f"{CLIENT}/knock/{room_id}") == (404, "M_NOT_FOUND")
    assert await his.fails("POST", f"{CLIENT}/knock/%23nowhere:x") == (404, "M_NOT_FOUND")
    assert await hers.fails("POST", f"{CLIENT}/knock/{room_id}") == (403, "M_FORBIDDEN")
    assert await his.fails("POST", f"{CLIENT}/knock/{room_id}", {"reason": 7}) == (
        400,
        "M_BAD_JSON",
    )


async def test_new_rooms_and_joins_carry_the_display_name_in_one_event() -> None:
    alice, bob = nodes()
    hers, his = alice.client(), bob.client()
    for client, name in ((hers, "Alice"), (his, "Bob")):
        path = f"{CLIENT}/profile/{client.node.user_id}/displayname"
        await client.put(path, {"displayname": name})
    room_id = await hers.create_room(name="commons", preset="public_chat")
    await his.post(f"{CLIENT}/join/{room_id}")
    pump(alice, bob)
    found = await hers.get(f"{OWN}/rooms/{room_id}/events", limit=100)
    joins = [e["content"] for e in found["events"] if e["type"] == "m.room.member"]
    assert joins == [
        {"membership": "join", "displayname": "Alice"},
        {"membership": "join", "displayname": "Bob"},
    ]
