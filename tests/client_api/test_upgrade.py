"""Room upgrades through the client API."""

from __future__ import annotations

from tests.client_api.small_node import CLIENT, OWN, SmallNode, pump


async def test_an_upgrade_as_clients_see_it() -> None:
    alice, bob = SmallNode("alice"), SmallNode("bob")
    hers, his = alice.client(), bob.client()
    room_id = await hers.create_room(name="hut", invite=[bob.user_id])
    pump(alice, bob)
    await his.post(f"{CLIENT}/join/{room_id}")
    pump(alice, bob)
    await his.sync()
    answer = await hers.post(
        f"{CLIENT}/rooms/{room_id}/upgrade", {"new_version": "12", "org.dtnode.invite": True}
    )
    new_id = answer["replacement_room"]
    pump(alice, bob)

    rooms = (await his.sync())["rooms"]
    tombstone = rooms["join"][room_id]["timeline"]["events"][-1]
    assert tombstone["type"] == "m.room.tombstone"
    assert tombstone["content"]["replacement_room"] == new_id
    events = {e["type"]: e for e in rooms["invite"][new_id]["invite_state"]["events"]}
    assert events["m.room.create"]["content"]["predecessor"]["room_id"] == room_id
    found = {room["room_id"]: room for room in (await his.get(f"{OWN}/rooms"))["rooms"]}
    assert found[room_id]["successor"] == new_id
    assert found[new_id]["predecessor"] == room_id
    assert (await his.get(f"{OWN}/resolve", room="hut"))["room_id"] == new_id
    joined = await his.post(f"{CLIENT}/join/{room_id}")
    assert joined == {"room_id": room_id, "org.dtnode.replaced_by": new_id}
    assert await his.post(f"{CLIENT}/join/{new_id}") == {"room_id": new_id}


async def test_upgrades_that_are_refused() -> None:
    alice = SmallNode("alice")
    client = alice.client()
    room_id = await client.create_room(name="hut")
    path = f"{CLIENT}/rooms/{room_id}/upgrade"
    assert await client.fails("POST", path, {}) == (400, "M_MISSING_PARAM")
    assert await client.fails("POST", path, {"new_version": "99"}) == (
        400,
        "M_UNSUPPORTED_ROOM_VERSION",
    )
    bad = {"new_version": "12", "additional_creators": ["bob"]}
    assert await client.fails("POST", path, bad) == (400, "M_BAD_JSON")
    nowhere = f"{CLIENT}/rooms/!nowhere/upgrade"
    assert await client.fails("POST", nowhere, {"new_version": "12"}) == (404, "M_NOT_FOUND")
    await client.post(path, {"new_version": "12"})
    assert await client.fails("POST", path, {"new_version": "12"}) == (403, "M_FORBIDDEN")


async def test_people_are_invited_by_user_id_only() -> None:
    client = SmallNode("alice").client()
    room_id = await client.create_room()
    body = {"id_server": "id.example", "medium": "email", "address": "bob@example.org"}
    path = f"{CLIENT}/rooms/{room_id}/invite"
    assert await client.fails("POST", path, body) == (400, "M_THREEPID_DENIED")
    signed = {"user_id": SmallNode("bob").user_id, "org.dtnode.signed": {"token": "none"}}
    assert await client.fails("POST", path, signed) == (403, "M_FORBIDDEN")
