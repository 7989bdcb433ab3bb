"""dtnode's own calls, as the command line uses them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from dtnode.rooms.room_file import export_room
from tests.client_api.small_node import CLIENT, OWN, Client, SmallNode, bodies, pump

Json = dict[str, Any]
STRANGER = "a" * 51 + "q"  # decodes and encodes to itself


async def test_status_and_rooms_show_the_same(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    (room,) = (await at_alice.get(f"{OWN}/rooms"))["rooms"]
    assert (await at_alice.get(f"{OWN}/status"))["rooms"] == [room]
    assert set(room) == {
        *("room_id", "name", "version", "kind", "membership", "events", "tips", "tip_state"),
        *("gaps", "held", "members", "states_differ", "note", "rejected", "soft_failed"),
        *("knocks", "successor", "predecessor", "clear_links", "encrypted"),
    }
    assert (room["room_id"], room["kind"], room["membership"]) == (room_id, "complete", "join")


async def test_resolve(alice: SmallNode, bob: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="Boat", invite=[bob.user_id])
    for text in (room_id, "Boat", "boat"):
        assert await at_alice.get(f"{OWN}/resolve", room=text) == {"room_id": room_id}
    for text in (bob.user_id, "bob", bob.server_name[:6]):
        found = await at_alice.get(f"{OWN}/resolve", user=text)
        assert found == {"user_id": bob.user_id, "label": "bob"}
    for query in ({"room": "nope"}, {"user": "nope"}):
        assert await at_alice.fails("GET", f"{OWN}/resolve", None, **query) == (404, "M_NOT_FOUND")
    await at_alice.create_room(name="Boat")
    assert await at_alice.fails("GET", f"{OWN}/resolve", room="Boat") == (400, "M_INVALID_PARAM")
    assert await at_alice.fails("GET", f"{OWN}/resolve") == (400, "M_INVALID_PARAM")
    people = (await at_alice.get(f"{OWN}/people"))["people"]
    assert {"user_id": bob.user_id, "label": "bob"} in people


async def test_send_many_waits_for_the_disk_once(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    runs = alice.durable_runs
    events = [
        {"type": "m.room.message", "content": {"msgtype": "m.text", "body": str(number)}}
        for number in range(50)
    ]
    answer = await at_alice.post(f"{OWN}/rooms/{room_id}/send", {"events": events})
    assert len(set(answer["event_ids"])) == 50
    assert alice.durable_runs == runs + 1
    shown = (await at_alice.get(f"{OWN}/rooms/{room_id}/events", limit=50))["events"]
    assert [event["event_id"] for event in shown] == answer["event_ids"]
    bad = [*events[:3], {"type": "m.room.message", "content": {"x": 0.5}}]
    path = f"{OWN}/rooms/{room_id}/send"
    assert await at_alice.fails("POST", path, {"events": bad}) == (400, "M_BAD_JSON")
    again = (await at_alice.get(f"{OWN}/rooms/{room_id}/events", limit=50))["events"]
    assert [event["event_id"] for event in again] == answer["event_ids"], "all of it or nothing"
    for wrong in ([], [1], [{"type": "x"}], "x", [{"type": 1, "content": {}}], events * 21):
        assert (await at_alice.fails("POST", path, {"events": wrong}))[0] == 400


async def test_events_in_order_with_labels_and_how_far_they_got(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    await at_alice.say(room_id, "early")
    own = (await at_alice.get(f"{OWN}/rooms/{room_id}/events", limit=1))["events"][0]
    assert own["unsigned"]["org.dtnode"] == {"label": "alice", "known_at": 1, "members": 1}
    pump(alice, bob)
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    await at_bob.say(room_id, "his")
    (_, his) = (await at_bob.get(f"{OWN}/rooms/{room_id}/events"))["events"]
    assert his["unsigned"]["org.dtnode"]["provisional"]
    pump(alice, bob)
    await at_alice.say(room_id, "hers")
    events = (await at_alice.get(f"{OWN}/rooms/{room_id}/events"))["events"]
    assert bodies(events) == ["early", "his", "hers"]
    assert events[0]["type"] == "m.room.create"
    marks = {e["content"].get("body"): e["unsigned"]["org.dtnode"] for e in events}
    assert marks["his"] == {"label": "bob"}
    assert marks["early"] == {"label": "alice", "known_at": 2, "members": 2}
    assert marks["hers"] == {"label": "alice", "known_at": 1, "members": 2}
    nowhere = f"{OWN}/rooms/!{'a' * 43}/events"
    assert await at_alice.fails("GET", nowhere) == (404, "M_NOT_FOUND")


async def test_following_misses_nothing(
    alice: SmallNode, at_alice: Client, autojump_clock: MockClock
) -> None:
    room_id = await at_alice.create_room(name="boat")
    path = f"{OWN}/rooms/{room_id}/events"
    cursor = (await at_alice.get(path, limit=1))["cursor"]
    for number in range(450):
        await at_alice.say(room_id, str(number))
    seen: list[str] = []
    while True:
        answer = await at_alice.get(path, limit=200, after=cursor)
        cursor = answer["cursor"]
        if not answer["events"]:
            break
        assert len(answer["events"]) <= 200
        seen += bodies(answer["events"])
    assert seen == [str(number) for number in range(450)]
    found: list[Json] = []

    async def follow() -> None:
        found.append(await at_alice.get(path, after=cursor, timeout_ms=25_000))

    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await trio.sleep(3)
        await at_alice.say(room_id, "news")
    assert trio.current_time() - started < 4
    assert bodies(found[0]["events"]) == ["news"]
    await follow_in_vain(at_alice, path, found[0]["cursor"])


async def follow_in_vain(client: Client, path: str, cursor: str) -> None:
    started = trio.current_time()
    answer = await client.get(path, after=cursor, timeout_ms=25_000)
    assert answer == {"events": [], "cursor": cursor}
    assert trio.current_time() - started == pytest.approx(25, abs=0.1)


async def test_gaps_say_who_was_asked(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    pump(alice, bob)
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    missed = await at_bob.say(room_id, "missed")
    last = await at_bob.say(room_id, "last")
    room = bob.rooms.room(room_id)
    assert room is not None
    held = {event.pdu.event_id: event.pdu for event in bob.rooms.store.held.of_room(room.nid)}
    alice.rooms.receive(room_id, [held[last].canonical()], source=bob.server_name)
    answer = await at_alice.get(f"{OWN}/rooms/{room_id}/gaps")
    assert answer["kind"] == "complete"
    assert answer["held"] == 1
    gaps = {gap["event_id"]: gap for gap in answer["gaps"]}
    assert gaps[missed]["kind"] == "missing"
    assert gaps[missed]["needed_by"] == [last]
    assert gaps[missed]["asked"] == []
    assert gaps[missed]["since_ms"] > 0
    invited = await at_bob.get(f"{OWN}/rooms/{room_id}/gaps")
    assert invited["kind"] == "invited"


async def test_import_of_an_exported_room(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    await at_alice.say(room_id, "packed")
    lines = "\n".join(export_room(alice.rooms.store, room_id)).encode() + b"\n"
    events = lines.count(b"\n") - 1

    async def stream() -> Any:
        for start in range(0, len(lines), 1000):
            yield lines[start : start + 1000]

    response = await at_bob.http.post(f"{OWN}/import", content=stream())
    expected = {"accepted": events, "rejected": 0, "dropped": 0, "held": 0, "duplicate": 0}
    assert response.json() == {"room_id": room_id, **expected}
    response = await at_bob.http.post(f"{OWN}/import", content=lines)
    assert response.json()["duplicate"] == events
    for garbage in (b"", b"x", b"{}\n{}", lines[: lines.index(b"\n")], b"\xff\n\xff", b"x" * 2**21):
        response = await at_bob.http.post(f"{OWN}/import", content=garbage)
        assert response.status_code == 400, response.text


async def test_a_long_import_goes_in_chunk_by_chunk(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat")
    for start in range(0, 1200, 100):
        texts = [{"msgtype": "m.text", "body": str(start + i)} for i in range(100)]
        events = [{"type": "m.room.message", "content": content} for content in texts]
        await at_alice.post(f"{OWN}/rooms/{room_id}/send", {"events": events})
    lines = "\n".join(export_room(alice.rooms.store, room_id)).encode()
    before = bob.durable_runs
    cut = lines.rindex(b"\n", 0, len(lines) // 2)  # as far as it came before the node was killed
    kept = (await at_bob.http.post(f"{OWN}/import", content=lines[:cut])).json()["accepted"]
    answer = (await at_bob.http.post(f"{OWN}/import", content=lines)).json()
    assert answer["duplicate"] == kept
    assert answer["accepted"] + kept == lines.count(b"\n")
    assert bob.durable_runs - before >= 3


async def test_a_bad_line_late_in_a_file_is_counted_and_an_endless_one_refused(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat")
    lines = "\n".join(export_room(alice.rooms.store, room_id)).encode()
    events = lines.count(b"\n")
    response = await at_bob.http.post(f"{OWN}/import", content=lines + b"\n{}\n" + b"y" * 5_000_000)
    assert response.status_code == 400
    assert "is no event" in response.json()["error"]
    answer = (await at_bob.http.post(f"{OWN}/import", content=lines + b"\n{}\n")).json()
    assert answer["accepted"] + answer["duplicate"] == events
    assert answer["dropped"] == 1


async def test_peers(alice: SmallNode, bob: SmallNode, at_alice: Client) -> None:
    added = await at_alice.post(f"{OWN}/peers", {"peer": bob.user_id, "name": "Bobby"})
    assert added["server_name"] == bob.server_name
    assert (added["user_id"], added["name"], added["added"]) == (bob.user_id, "Bobby", True)
    assert (await at_alice.get(f"{OWN}/peers"))["peers"] == [added]
    by_key = await at_alice.post(f"{OWN}/peers", {"peer": bob.server_name, "name": None})
    assert by_key == added, "adding again takes nothing away"
    for text in ("Bobby", bob.server_name, bob.server_name[:5]):
        blocked = await at_alice.post(f"{OWN}/peers/{text}", {"blocked": True})
        assert blocked["blocked"]
        blocked = await at_alice.post(f"{OWN}/peers/{text}", {"blocked": False})
        assert not blocked["blocked"]
    named = await at_alice.post(f"{OWN}/peers/Bobby", {"name": "Robert"})
    assert named["name"] == "Robert"
    removed = await at_alice.ok("DELETE", f"{OWN}/peers/Robert")
    assert not removed["added"]
    stranger = await at_alice.post(f"{OWN}/peers/{STRANGER}", {"blocked": True})
    assert stranger["blocked"]
    await at_alice.ok("DELETE", f"{OWN}/peers/{STRANGER}")
    peers = (await at_alice.get(f"{OWN}/peers"))["peers"]
    assert [p["blocked"] for p in peers if p["server_name"] == STRANGER] == [True]
    domain = f"{STRANGER}.mesh.example.org"  # the same key: the same node
    unblocked = await at_alice.post(f"{OWN}/peers/{domain}", {"blocked": False})
    assert (unblocked["server_name"], unblocked["blocked"]) == (STRANGER, False)
    for wrong in ("short", "@x:dns.example", alice.server_name, alice.user_id):
        assert (await at_alice.fails("POST", f"{OWN}/peers", {"peer": wrong}))[0] in (400, 404)
    assert await at_alice.fails("POST", f"{OWN}/peers/no", {"name": "x"}) == (404, "M_NOT_FOUND")
    for body in ({}, {"name": ""}, {"name": "a\nb"}, {"name": "@a"}, {"blocked": "yes"}):
        assert (await at_alice.fails("POST", f"{OWN}/peers/Robert", body))[0] == 400


async def test_peer_that_two_fit(alice: SmallNode, at_alice: Client) -> None:
    for last in "aq":
        await at_alice.post(f"{OWN}/peers", {"peer": "b" * 51 + last})
    found = await at_alice.fails("POST", f"{OWN}/peers/bbbb", {"blocked": True})
    assert found == (400, "M_INVALID_PARAM")


async def test_links_and_ending(alice: SmallNode, at_alice: Client) -> None:
    alice.configured = [{"id": "tcp-1"}]
    assert await at_alice.post(f"{OWN}/links/reload") == {"links": [{"id": "tcp-1"}]}
    alice.configured = None
    assert await at_alice.fails("POST", f"{OWN}/links/reload", {}) == (400, "M_UNKNOWN")
    assert not alice.ended
    await at_alice.post(f"{OWN}/shutdown")
    assert alice.ended


async def test_a_rooms_limit(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    pump(alice, bob)
    await at_bob.post(f"{CLIENT}/rooms/{room_id}/join")
    for number in range(10):
        await at_alice.say(room_id, str(number))
    pump(alice, bob)
    path = f"{OWN}/rooms/{room_id}/limit"
    nothing = {"room_id": room_id, "keep_events": None, "keep_days": None}
    assert await at_alice.get(path) == nothing
    answer = await at_alice.post(path, {"keep_events": 3})
    assert answer == {**nothing, "keep_events": 3, "dropped": 7, "kept_own": 0}
    events = (await at_alice.get(f"{OWN}/rooms/{room_id}/events"))["events"]
    marks = [event["unsigned"]["org.dtnode"].get("dropped", False) for event in events[-10:]]
    assert marks == [True] * 7 + [False] * 3
    assert [event["content"] == {} for event in events[-10:]] == marks
    assert await at_alice.post(path, {}) == {**nothing, "dropped": 0, "kept_own": 0}
    bad = ({"keep_events": 0}, {"keep_days": -1}, {"keep_days": "5"}, {"keep_days": 10**9})
    for body in (*bad, {"keep_events": 1, "keep_days": 1}):
        assert (await at_alice.fails("POST", path, body))[0] == 400
    assert (await at_alice.fails("GET", f"{OWN}/rooms/!nowhere/limit"))[0] == 404
