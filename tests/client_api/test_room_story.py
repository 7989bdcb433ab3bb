"""`explain` and `diff` over HTTP: what they name is there, and nothing that isn't for clients."""

from __future__ import annotations

from typing import Any

from tests.client_api.small_node import CLIENT, OWN, Client, SmallNode, pump

Json = dict[str, Any]


async def forked(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> tuple[str, Json]:
    """(room id, events by name): bob bans somebody while alice demotes him; then they meet."""
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    pump(alice, bob)
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    pump(alice, bob)
    ids: Json = {}
    levels = {"users": {bob.user_id: 50}}
    ids["promotion"] = await at_alice.set_state(room_id, "m.room.power_levels", levels)
    pump(alice, bob)
    ids["cut"] = await at_alice.say(room_id, "the line is cut")
    ids["topic"] = await at_bob.set_state(room_id, "m.room.topic", {"topic": "his"})
    ids["said"] = await at_bob.say(room_id, "over here")
    ids["demotion"] = await at_alice.set_state(room_id, "m.room.power_levels", {"users": {}})
    pump(alice, bob)
    return room_id, ids


async def test_explain(alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client) -> None:
    room_id, ids = await forked(alice, bob, at_alice, at_bob)
    path = f"{OWN}/rooms/{room_id}/explain"
    found = await at_alice.get(path, event=ids["topic"][1:9])
    assert (found["event_id"], found["verdict"]) == (ids["topic"], "soft-failed")
    assert "has power 0, needs 50 to send m.room.topic" in found["reason"]
    checks = {check["check"]: check for check in found["checks"]}
    assert list(checks)[-1] == "current_state"
    assert checks["current_state"]["obstacle"]["because_of"] == [ids["demotion"]]
    named = {
        ids["topic"],
        *(parent["event_id"] for parent in found["parents"]),
        *(auth["event_id"] for auth in found["auth_events"]),
        *checks["current_state"]["against"],
    }
    assert named <= set(found["events"])
    shown = found["events"][ids["topic"]]
    assert shown["content"] == {"topic": "his"}
    assert shown["unsigned"]["org.dtnode"]["verdict"] == "soft-failed"
    assert shown["unsigned"]["org.dtnode"]["label"] == "bob"
    assert found["state"]["lost"][0]["loss"]["reason"] == "not_allowed"
    on_bobs = await at_bob.get(path, event=ids["topic"])
    assert on_bobs["verdict"] == "accepted"
    assert on_bobs["state"]["lost"][0]["loss"] == found["state"]["lost"][0]["loss"]


async def test_explain_of_what_isnt_judged(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    pump(alice, bob)
    path = f"{OWN}/rooms/{room_id}/explain"
    room = bob.rooms.room(room_id)
    assert room is not None
    invite = await at_bob.get(path, event=room.anchor)
    assert invite["verdict"] == "on a card"
    assert invite["events"][room.anchor]["content"]["membership"] == "invite"
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    missed, last = [await at_bob.say(room_id, text) for text in ("missed", "last")]
    held = await at_bob.get(path, event=last)
    assert (held["verdict"], held["reason"][:12]) == ("held", "of this room")
    assert held["events"][last]["unsigned"]["org.dtnode"]["verdict"] == "held"
    event = bob.rooms.store.held.get(last)
    assert event is not None
    alice.rooms.receive(room_id, [event.pdu.canonical()], source=bob.server_name)
    found = await at_alice.get(path, event=last)
    assert found["verdict"] == "held"
    assert found["waits_for"][0] == missed
    assert len(found["waits_for"]) == 2, "his join, too, is one of the last one's auth events"
    assert found["asked"] == {}
    missing = await at_alice.get(path, event=missed)
    assert (missing["verdict"], missing["needed_by"]) == ("missing", [last])
    assert missed not in missing["events"]


async def test_redacted_content_isnt_shown(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    said = await at_alice.say(room_id, "oh no")
    redaction = await at_alice.put(f"{CLIENT}/rooms/{room_id}/redact/{said}/t", {})
    found = await at_alice.get(f"{OWN}/rooms/{room_id}/explain", event=said)
    shown = found["events"][said]
    assert shown["content"] == {}
    assert shown["unsigned"]["redacted_because"]["event_id"] == redaction["event_id"]


async def test_diff_since_an_event(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id, ids = await forked(alice, bob, at_alice, at_bob)
    path = f"{OWN}/rooms/{room_id}/diff"
    found = await at_bob.get(path, since=ids["cut"][:12])
    assert found["since_event"] == ids["cut"]
    assert found["kind"] == "complete"
    assert found["new_events"] == 3
    change = {"kind": "user", "name": bob.user_id, "before": 50, "after": 0}
    assert found["powers"] == [change]
    talk = {"sender": bob.user_id, "count": 1, "apart": 0, "soft_failed": 0}
    assert found["messages"] == [talk]
    (conflict,) = found["conflicts"]
    assert conflict["event_id"] == ids["topic"]
    assert found["gaps"] == {"missing": 0, "content": 0}
    assert {ids["cut"], ids["topic"], ids["demotion"]} <= set(found["events"])
    on_alices = await at_alice.get(path, since=ids["cut"])
    assert [judged["event_id"] for judged in on_alices["soft_failed"]] == [ids["topic"]]


async def test_diff_since_a_time(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id, _ = await forked(alice, bob, at_alice, at_bob)
    path = f"{OWN}/rooms/{room_id}/diff"
    now = alice.now_ms()
    everything = await at_alice.get(path, since=0)
    assert (everything["since_event"], everything["since_ms"]) == (None, 0)
    assert everything["new_events"] > 8
    assert {change["state_key"] for change in everything["members"]} == {
        alice.user_id,
        bob.user_id,
    }
    nothing = await at_alice.get(path, since=now + 10_000)
    assert nothing["new_events"] == 0
    assert nothing["events"] == {}


async def test_diff_tells_of_gaps(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    pump(alice, bob)
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    _, last = [await at_bob.say(room_id, text) for text in ("missed", "last")]
    event = bob.rooms.store.held.get(last)
    assert event is not None
    alice.rooms.receive(room_id, [event.pdu.canonical()], source=bob.server_name)
    found = await at_alice.get(f"{OWN}/rooms/{room_id}/diff", since=0)
    assert found["gaps"]["missing"] >= 1
    assert found["held"] == 1
    invited = await at_bob.get(f"{OWN}/rooms/{room_id}/diff", since=0)
    assert (invited["kind"], invited["new_events"], invited["held"]) == ("invited", 0, 3)
    path = f"{OWN}/rooms/{room_id}/diff"
    assert await at_alice.fails("GET", path, None, since=last) == (400, "M_INVALID_PARAM")


async def test_what_is_refused(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    nowhere = f"!{'a' * 43}"
    for room, call, query, expected in (
        (nowhere, "explain", {"event": "$abcdef"}, (404, "M_NOT_FOUND")),
        (nowhere, "diff", {"since": "0"}, (404, "M_NOT_FOUND")),
        (room_id, "explain", {}, (400, "M_INVALID_PARAM")),
        (room_id, "explain", {"event": ""}, (404, "M_NOT_FOUND")),
        (room_id, "explain", {"event": "$abc"}, (404, "M_NOT_FOUND")),
        (room_id, "explain", {"event": "$" + "A" * 43}, (404, "M_NOT_FOUND")),
        (room_id, "explain", {"event": "\x00" * 50}, (404, "M_NOT_FOUND")),
        (room_id, "diff", {}, (400, "M_INVALID_PARAM")),
        (room_id, "diff", {"since": "yesterday"}, (400, "M_INVALID_PARAM")),
        (room_id, "diff", {"since": "$" + "A" * 43}, (404, "M_NOT_FOUND")),
    ):
        path = f"{OWN}/rooms/{room}/{call}"
        assert await at_alice.fails("GET", path, None, **query) == expected, (call, query)
    far = await at_alice.get(f"{OWN}/rooms/{room_id}/diff", since="9" * 200)
    assert far["new_events"] == 0
