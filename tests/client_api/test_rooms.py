"""Creating, moderating, sending, reading: the calls about rooms."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from dtnode.client_api import transactions
from tests.client_api.small_node import CLIENT, Client, SmallNode, bodies, pump

Json = dict[str, Any]


async def room_of_two(alice: SmallNode, bob: SmallNode, **options: object) -> str:
    room_id = await alice.client().create_room(name="boat", invite=[bob.user_id], **options)
    pump(alice, bob)
    await bob.client().post(f"{CLIENT}/rooms/{room_id}/join")
    pump(alice, bob)
    return room_id


def room(room_id: str, rest: str) -> str:
    return f"{CLIENT}/rooms/{room_id}/{rest}"


async def test_created_as_asked(alice: SmallNode, bob: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(
        name="boat",
        topic="wind",
        preset="public_chat",
        room_version="11",
        initial_state=[
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
            {"type": "org.x", "state_key": "k", "content": {"a": 1}},
        ],
        creation_content={"m.federate": True, "type": "m.space"},
        power_level_content_override={"events_default": 7},
        invite=[bob.user_id],
        is_direct=True,
    )
    state = {
        (event["type"], event["state_key"]): event["content"]
        for event in await at_alice.get(room(room_id, "state"))
    }
    assert state["m.room.name", ""] == {"name": "boat"}
    assert state["m.room.topic", ""] == {"topic": "wind"}
    assert state["m.room.join_rules", ""] == {"join_rule": "public"}
    assert state["m.room.history_visibility", ""] == {"history_visibility": "joined"}
    assert state["org.x", "k"] == {"a": 1}
    assert state["m.room.create", ""]["room_version"] == "11"
    assert state["m.room.create", ""]["type"] == "m.space"
    assert state["m.room.power_levels", ""]["events_default"] == 7
    assert state["m.room.member", bob.user_id] == {"membership": "invite", "is_direct": True}
    assert await at_alice.get(f"{CLIENT}/joined_rooms") == {"joined_rooms": [room_id]}


async def test_trusted_private_chat_makes_creators(
    alice: SmallNode, bob: SmallNode, at_alice: Client
) -> None:
    room_id = await at_alice.create_room(preset="trusted_private_chat", invite=[bob.user_id])
    create = await at_alice.get(room(room_id, "state/m.room.create"))
    assert create["additional_creators"] == [bob.user_id]


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({"room_version": "1"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
        ({"room_version": 12}, 400, "M_BAD_JSON"),
        ({"name": 1}, 400, "M_BAD_JSON"),
        ({"preset": "odd"}, 400, "M_BAD_JSON"),
        ({"visibility": "odd"}, 400, "M_BAD_JSON"),
        ({"invite": ["nobody"]}, 400, "M_INVALID_PARAM"),
        ({"invite": [1]}, 400, "M_BAD_JSON"),
        ({"invite": ["@a:dns.example"]}, 400, "M_BAD_JSON"),
        ({"room_alias_name": "x"}, 400, "M_INVALID_PARAM"),
        ({"invite_3pid": [{}]}, 400, "M_INVALID_PARAM"),
        ({"initial_state": [1]}, 400, "M_BAD_JSON"),
        ({"initial_state": [{"type": "a"}]}, 400, "M_MISSING_PARAM"),
        ({"initial_state": [{"type": "a", "content": {"x": 1.5}}]}, 400, "M_BAD_JSON"),
        ({"initial_state": [{"type": "a", "content": {}, "state_key": 1}]}, 400, "M_BAD_JSON"),
        ({"creation_content": {"additional_creators": "x"}}, 400, "M_BAD_JSON"),
        ({"creation_content": {"additional_creators": ["x"]}}, 400, "M_BAD_JSON"),
        ({"power_level_content_override": {"users": 1}}, 403, "M_FORBIDDEN"),
        ({"power_level_content_override": []}, 400, "M_BAD_JSON"),
    ],
)
async def test_rooms_that_can_not_be_made(
    alice: SmallNode, at_alice: Client, body: Json, status: int, errcode: str
) -> None:
    assert await at_alice.fails("POST", f"{CLIENT}/createRoom", body) == (status, errcode)
    assert list(alice.rooms.store.rooms) == [], "nothing is left of it"


async def test_moderation(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await room_of_two(alice, bob)
    target = {"user_id": bob.user_id, "reason": "why"}

    async def membership() -> str:
        chunk = (await at_alice.get(room(room_id, "members")))["chunk"]
        (found,) = [e["content"] for e in chunk if e["state_key"] == bob.user_id]
        assert found.get("reason") in (None, "why")
        return str(found["membership"])

    assert await at_bob.fails("POST", room(room_id, "kick"), {"user_id": alice.user_id}) == (
        403,
        "M_FORBIDDEN",
    )
    assert await at_alice.fails("POST", room(room_id, "invite"), target) == (403, "M_FORBIDDEN")
    assert await at_alice.fails("POST", room(room_id, "unban"), target) == (403, "M_FORBIDDEN")
    await at_alice.post(room(room_id, "kick"), target)
    assert await membership() == "leave"
    assert await at_alice.fails("POST", room(room_id, "kick"), target) == (403, "M_FORBIDDEN")
    await at_alice.post(room(room_id, "ban"), target)
    assert await membership() == "ban"
    assert await at_alice.fails("POST", room(room_id, "kick"), target) == (403, "M_FORBIDDEN")
    assert await membership() == "ban", "a kick lifts no ban"
    await at_alice.post(room(room_id, "unban"), target)
    assert await membership() == "leave"
    await at_alice.post(room(room_id, "invite"), target)
    assert await membership() == "invite"
    for body in ({}, {"user_id": 1}, {"user_id": "x"}):
        assert (await at_alice.fails("POST", room(room_id, "kick"), body))[0] == 400
    nowhere = "!" + "a" * 43
    assert await at_alice.fails("POST", room(nowhere, "kick"), target) == (404, "M_NOT_FOUND")


async def test_public_room_by_id_and_by_alias(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat", visibility="public")
    assert await at_bob.fails("POST", f"{CLIENT}/join/{room_id}", {}) == (404, "M_NOT_FOUND")
    bob.others.append(alice)
    assert await at_bob.post(f"{CLIENT}/join/{room_id}") == {"room_id": room_id}
    alias = f"#boat:{alice.server_name}"
    path = f"{CLIENT}/join/{quote(alias)}"
    assert await at_alice.fails("POST", path, {}) == (404, "M_NOT_FOUND")
    await at_alice.set_state(room_id, "m.room.canonical_alias", {"alias": alias})
    assert await at_alice.post(path) == {"room_id": room_id}


async def test_transaction_ids(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    other_id = await at_alice.create_room(name="other")
    body = {"msgtype": "m.text", "body": "once"}
    path = room(room_id, "send/m.room.message/x")
    first = await at_alice.put(path, body)
    assert await at_alice.put(path, body) == first
    assert await at_alice.put(room(other_id, "send/m.room.message/x"), body) != first
    answer = await alice.client(token=None).post(
        f"{CLIENT}/login",
        {"type": "m.login.password", "user": "alice", "password": "correct horse"},
    )
    phone = alice.client(answer["access_token"])
    assert await phone.put(path, body) != first, "another session has transaction ids of its own"
    page = await at_alice.get(room(room_id, "messages"), dir="b", limit=2)
    assert [e["unsigned"].get("transaction_id") for e in page["chunk"]] == [None, "x"]
    page = await phone.get(room(room_id, "messages"), dir="b", limit=2)
    assert [e["unsigned"].get("transaction_id") for e in page["chunk"]] == ["x", None]


async def test_transaction_ids_are_bounded_and_the_newest_stay(
    alice: SmallNode, at_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "KEPT", 10)
    monkeypatch.setattr(transactions, "_PRUNE_EVERY", 5)
    room_id = await at_alice.create_room(name="boat")
    path = room(room_id, "send/m.x")
    sent = [await at_alice.put(f"{path}/t{number}", {}) for number in range(40)]
    assert await at_alice.put(f"{path}/t39", {}) == sent[39]
    assert await at_alice.put(f"{path}/t31", {}) == sent[31]
    assert await at_alice.put(f"{path}/t3", {}) != sent[3]


async def test_redaction_takes_the_content_from_every_answer(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await room_of_two(alice, bob)
    said = await at_bob.say(room_id, "regretted")
    hers = await at_alice.say(room_id, "stays")
    pump(alice, bob)
    path = room(room_id, f"redact/{said}/r1")
    redaction = (await at_bob.put(path, {"reason": "typo"}))["event_id"]
    assert (await at_bob.put(path, {}))["event_id"] == redaction
    pump(alice, bob)
    event = await at_alice.get(room(room_id, f"event/{said}"))
    assert event["content"] == {}
    assert event["unsigned"]["redacted_because"]["event_id"] == redaction
    assert event["unsigned"]["org.dtnode"]["redacted"]
    page = await at_alice.get(room(room_id, "messages"), dir="b", limit=50)
    assert "regretted" not in str(page)
    (shown,) = [e for e in page["chunk"] if e["event_id"] == redaction]
    assert shown["redacts"] == said
    fresh = await alice.client().sync()
    assert "regretted" not in str(fresh)
    # a member without the power for it redacts nothing of others
    await at_bob.put(room(room_id, f"redact/{hers}/r2"), {})
    pump(alice, bob)
    assert (await at_alice.get(room(room_id, f"event/{hers}")))["content"]["body"] == "stays"
    missing = room(room_id, f"redact/{'$' + 'a' * 43}/r3")
    assert await at_alice.fails("PUT", missing, {}) == (404, "M_NOT_FOUND")


async def test_redaction_by_a_moderator_before_version_11(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await room_of_two(alice, bob, room_version="10")
    said = await at_bob.say(room_id, "rude")
    pump(alice, bob)
    await at_alice.put(room(room_id, f"redact/{said}/r"), {})
    pump(alice, bob)
    for client in (at_alice, at_bob):
        assert (await client.get(room(room_id, f"event/{said}")))["content"] == {}


async def test_state_keys_with_slashes_and_without(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    for key in ("a/b", "ü", "%", "a b?c#d"):
        path = room(room_id, f"state/org.x/{quote(key, safe='')}")
        await at_alice.put(path, {"key": key})
        assert await at_alice.get(path) == {"key": key}
    assert await at_alice.get(room(room_id, "state/m.room.name")) == {"name": "boat"}
    assert await at_alice.get(room(room_id, "state/m.room.name/")) == {"name": "boat"}
    event = await at_alice.get(room(room_id, "state/m.room.name/"), format="event")
    assert event["content"] == {"name": "boat"}
    assert event["state_key"] == ""
    assert await at_alice.fails("GET", room(room_id, "state/no/no")) == (404, "M_NOT_FOUND")


async def test_events_over_the_limits(at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    path = room(room_id, "send/m.room.message/t1")
    assert await at_alice.fails("PUT", path, {"b": "x" * 70_000}) == (413, "M_TOO_LARGE")
    assert await at_alice.fails("PUT", path, {"b": "x" * 65_400}) == (400, "M_BAD_JSON")
    assert await at_alice.fails("PUT", path, {"b": "x" * 600_000}) == (413, "M_TOO_LARGE")
    assert await at_alice.fails("PUT", path, {"b": 0.5}) == (400, "M_BAD_JSON")
    deep: Json = {}
    for _ in range(150):
        deep = {"d": deep}
    assert await at_alice.fails("PUT", path, deep) == (400, "M_BAD_JSON")
    assert await at_alice.put(path, {"b": "fits"}), "nothing of that used the transaction id up"


async def test_previous_content_is_told(at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat", topic="one")
    await at_alice.sync()
    await at_alice.set_state(room_id, "m.room.topic", {"topic": "two"})
    part = (await at_alice.sync())["rooms"]["join"][room_id]
    (event,) = part["timeline"]["events"]
    assert event["unsigned"]["prev_content"] == {"topic": "one"}


async def test_members_by_membership(alice: SmallNode, bob: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(invite=[bob.user_id])

    async def who(**query: object) -> list[str]:
        found = await at_alice.get(room(room_id, "members"), **query)
        return [event["state_key"] for event in found["chunk"]]

    assert await who(membership="join") == [alice.user_id]
    assert await who(not_membership="join") == [bob.user_id]
    assert sorted(await who()) == sorted([alice.user_id, bob.user_id])


async def test_messages_with_a_filter_and_bounds(at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    for number in range(30):
        await at_alice.say(room_id, str(number))
        await at_alice.set_state(room_id, "org.x", {"n": number})
    path = room(room_id, "messages")
    only = '{"types": ["m.room.message"]}'
    page = await at_alice.get(path, dir="b", limit=4, filter=only)
    assert bodies(page["chunk"]) == ["29", "28", "27", "26"]
    page = await at_alice.get(path, dir="b", limit=4, filter=only, **{"from": page["end"]})
    assert bodies(page["chunk"]) == ["25", "24", "23", "22"]
    until = await at_alice.get(
        path, dir="b", limit=100, filter=only, **{"from": page["end"], "to": page["start"]}
    )
    assert until["chunk"] == []
    for query in ({"dir": "x"}, {"dir": "b", "limit": "many"}, {"dir": "b", "from": "y"}):
        assert await at_alice.fails("GET", path, None, **query) == (400, "M_INVALID_PARAM")
    assert await at_alice.fails("GET", path, dir="b", filter="[1]") == (400, "M_BAD_JSON")
    assert await at_alice.fails("GET", path, dir="b", filter="{") == (400, "M_NOT_JSON")


async def test_numbers_beyond_64_bits_of_an_old_room_reach_clients(
    alice: SmallNode, at_alice: Client
) -> None:
    """Room versions 3 to 5 allow them; a client's own sending doesn't matter here."""
    room_id = await at_alice.create_room(name="old", room_version="5")
    huge = 10**30
    with alice.rooms.store.transaction():
        alice.rooms.send(room_id, "org.x", {"n": huge})
        alice.rooms.send(room_id, "org.state", {"n": -huge}, "")
    events = (await at_alice.get(room(room_id, "messages?dir=b")))["chunk"]
    assert {event["content"].get("n") for event in events} >= {huge, -huge}
    sync = await at_alice.get(f"{CLIENT}/sync")
    timeline = sync["rooms"]["join"][room_id]["timeline"]["events"]
    assert timeline[-1]["content"] == {"n": -huge}
    state = await at_alice.get(room(room_id, "state"))
    assert {"n": -huge} in [event["content"] for event in state]
    read = await at_alice.get(f"/_dtnode/v1/rooms/{room_id}/events")
    assert [event["content"]["n"] for event in read["events"][-2:]] == [huge, -huge]
