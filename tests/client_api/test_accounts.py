"""Tokens, log-in, profile, filters; who may call at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from dtnode.client_api.sessions import MAX_SESSIONS
from tests.client_api.small_node import CLIENT, OWN, PASSWORD, TOKEN, Client, SmallNode, pump

Json = dict[str, Any]

PASSWORD_LOGIN: Json = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}


@pytest.fixture
def nobody(alice: SmallNode) -> Client:
    return alice.client(token=None)


async def log_in(alice: SmallNode, **more: object) -> tuple[Client, Json]:
    answer = await alice.client(token=None).post(f"{CLIENT}/login", {**PASSWORD_LOGIN, **more})
    return alice.client(answer["access_token"]), answer


async def test_what_needs_no_token(nobody: Client) -> None:
    assert "v1.11" in (await nobody.get("/_matrix/client/versions"))["versions"]
    assert await nobody.get(f"{CLIENT}/login") == {"flows": [{"type": "m.login.password"}]}
    found = await nobody.get("/.well-known/matrix/client")
    assert found == {"m.homeserver": {"base_url": "http://127.0.0.1:1234"}}


@pytest.mark.parametrize("path", [f"{CLIENT}/sync", f"{OWN}/status", f"{CLIENT}/joined_rooms"])
async def test_everything_else_needs_one(alice: SmallNode, nobody: Client, path: str) -> None:
    assert await nobody.fails("GET", path) == (401, "M_MISSING_TOKEN")
    assert await alice.client("other").fails("GET", path) == (401, "M_UNKNOWN_TOKEN")


async def test_log_in_and_out(alice: SmallNode) -> None:
    client, answer = await log_in(alice, device_id="PHONE")
    assert answer["user_id"] == alice.user_id
    who = await client.get(f"{CLIENT}/account/whoami")
    assert who == {"user_id": alice.user_id, "device_id": "PHONE", "is_guest": False}
    by_query = alice.client(token=None)
    assert await by_query.get(f"{CLIENT}/account/whoami", access_token=answer["access_token"])
    other, _ = await log_in(alice, user=alice.user_id, identifier=None)
    await client.post(f"{CLIENT}/logout")
    assert await client.fails("GET", f"{CLIENT}/sync") == (401, "M_UNKNOWN_TOKEN")
    assert await other.get(f"{CLIENT}/sync")
    await other.post(f"{CLIENT}/logout/all")
    assert await other.fails("GET", f"{CLIENT}/sync") == (401, "M_UNKNOWN_TOKEN")
    own = alice.client()
    assert await own.fails("POST", f"{CLIENT}/logout", {}) == (403, "M_FORBIDDEN")
    assert await own.get(f"{CLIENT}/sync"), "the command line stays"


async def test_logging_in_on_a_device_again_ends_its_old_session(alice: SmallNode) -> None:
    old, _ = await log_in(alice, device_id="PHONE")
    new, _ = await log_in(alice, device_id="PHONE")
    assert await old.fails("GET", f"{CLIENT}/sync") == (401, "M_UNKNOWN_TOKEN")
    assert await new.get(f"{CLIENT}/sync")


async def test_sessions_are_bounded_and_the_newest_stay(alice: SmallNode) -> None:
    clients = [(await log_in(alice))[0] for _ in range(MAX_SESSIONS + 2)]
    assert await clients[1].fails("GET", f"{CLIENT}/account/whoami") == (401, "M_UNKNOWN_TOKEN")
    assert await clients[2].get(f"{CLIENT}/account/whoami")
    assert await clients[-1].get(f"{CLIENT}/account/whoami")


async def test_tokens_are_kept_hashed_and_survive_a_restart(tmp_path: Any) -> None:
    alice = SmallNode("alice", tmp_path / "node.db")
    _, answer = await log_in(alice)
    alice.rooms.store.close()
    again = SmallNode("alice", tmp_path / "node.db")
    assert await again.client(answer["access_token"]).get(f"{CLIENT}/account/whoami")
    again.rooms.store.close()
    assert answer["access_token"].encode() not in (tmp_path / "node.db").read_bytes()
    assert TOKEN.encode() not in (tmp_path / "node.db").read_bytes()


async def test_a_rollback_loses_no_session(alice: SmallNode) -> None:
    client, _ = await log_in(alice)
    await client.fails("PUT", f"{CLIENT}/rooms/!nowhere/state/a/b", {})
    assert await client.get(f"{CLIENT}/account/whoami")


@pytest.mark.parametrize(
    ("change", "status", "errcode"),
    [
        ({"password": "wrong"}, 403, "M_FORBIDDEN"),
        ({"password": "żółć"}, 403, "M_FORBIDDEN"),
        ({"identifier": {"type": "m.id.user", "user": "bob"}}, 403, "M_FORBIDDEN"),
        ({"identifier": {"type": "m.id.phone"}}, 400, "M_UNKNOWN"),
        ({"identifier": None}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.token"}, 400, "M_UNKNOWN"),
        ({"type": None}, 400, "M_MISSING_PARAM"),
        ({"password": 1}, 400, "M_BAD_JSON"),
        ({"device_id": ""}, 400, "M_INVALID_PARAM"),
    ],
)
async def test_logins_that_fail(nobody: Client, change: Json, status: int, errcode: str) -> None:
    found = await nobody.fails("POST", f"{CLIENT}/login", {**PASSWORD_LOGIN, **change})
    assert found == (status, errcode)


async def test_guessing_is_slow(nobody: Client, autojump_clock: MockClock) -> None:
    wrong = {**PASSWORD_LOGIN, "password": "wrong"}
    for _ in range(10):
        assert (await nobody.fails("POST", f"{CLIENT}/login", wrong))[0] == 403
    response = await nobody.ask("POST", f"{CLIENT}/login", PASSWORD_LOGIN)
    assert response.status_code == 429
    assert response.json()["errcode"] == "M_LIMIT_EXCEEDED"
    assert 0 < response.json()["retry_after_ms"] <= 60_000
    await trio.sleep(61)
    assert await nobody.post(f"{CLIENT}/login", PASSWORD_LOGIN)


@pytest.mark.parametrize(
    "name",
    ["localhost", "LOCALHOST:8008", "127.0.0.1:1", "10.0.0.1", "[::1]:8008", "localhost."],
)
async def test_hosts_that_are_this_one(nobody: Client, name: str) -> None:
    response = await nobody.http.get("/_matrix/client/versions", headers={"Host": name})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:8008", "", "1.2.3.4.evil", "localhost.evil", "a b", "[::1"],
)
async def test_hosts_that_are_not(nobody: Client, name: str) -> None:
    for path in ("/_matrix/client/versions", f"{OWN}/status"):
        response = await nobody.http.get(path, headers={"Host": name})
        assert response.status_code == 403
        assert response.json()["errcode"] == "M_FORBIDDEN"


async def test_cors(nobody: Client) -> None:
    response = await nobody.http.options(f"{CLIENT}/sync", headers={"Origin": "http://x"})
    assert response.status_code == 204
    for answer in (response, await nobody.http.get(f"{CLIENT}/sync")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    own = await nobody.http.get(f"{OWN}/status")
    assert "Access-Control-Allow-Origin" not in own.headers


async def test_unknown_paths_and_methods(at_alice: Client) -> None:
    for path in (
        f"{CLIENT}/nothing",
        "/",
        f"{CLIENT}/keys/upload",
        f"{CLIENT}/sync/more",
        "//",
        "/%0A",
    ):
        assert await at_alice.fails("GET", path) == (404, "M_UNRECOGNIZED")
    assert await at_alice.fails("DELETE", f"{CLIENT}/sync") == (405, "M_UNRECOGNIZED")
    assert await at_alice.get("/_matrix/client/r0/joined_rooms") == {"joined_rooms": []}


async def test_displayname_reaches_joined_rooms_and_new_ones(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    room_id = await at_alice.create_room(name="boat")
    path = f"{CLIENT}/profile/{alice.user_id}"
    assert await at_alice.get(path) == {}
    await at_alice.put(f"{path}/displayname", {"displayname": "Alice"})
    assert await at_alice.get(f"{path}/displayname") == {"displayname": "Alice"}
    joined = await at_alice.get(f"{CLIENT}/rooms/{room_id}/joined_members")
    assert joined == {"joined": {alice.user_id: {"display_name": "Alice"}}}
    await at_alice.post(f"{CLIENT}/rooms/{room_id}/invite", {"user_id": bob.user_id})
    pump(alice, bob)
    await at_bob.put(f"{CLIENT}/profile/{bob.user_id}/displayname", {"displayname": "Bob"})
    await at_bob.post(f"{CLIENT}/join/{room_id}")
    pump(alice, bob)
    assert await at_alice.get(f"{CLIENT}/profile/{bob.user_id}") == {"displayname": "Bob"}
    await at_alice.put(f"{path}/displayname", {"displayname": ""})
    member = await at_alice.get(f"{CLIENT}/rooms/{room_id}/state/m.room.member/{alice.user_id}")
    assert member == {"membership": "join"}
    assert await at_alice.fails("GET", f"{CLIENT}/profile/@who:ever") == (404, "M_NOT_FOUND")
    foreign = f"{CLIENT}/profile/{bob.user_id}/displayname"
    assert await at_alice.fails("PUT", foreign, {"displayname": "x"}) == (403, "M_FORBIDDEN")


async def test_capabilities_and_push_rules(alice: SmallNode, at_alice: Client) -> None:
    found = (await at_alice.get(f"{CLIENT}/capabilities"))["capabilities"]
    assert found["m.room_versions"]["default"] == "12"
    assert found["m.room_versions"]["available"]["10"] == "stable"
    rules = (await at_alice.get(f"{CLIENT}/pushrules/"))["global"]
    assert rules == await at_alice.get(f"{CLIENT}/pushrules/global/")
    every = [rule["rule_id"] for kind in rules.values() for rule in kind]
    assert every[0] == ".m.rule.master"
    assert len(set(every)) == len(every)
    assert alice.user_id in json.dumps(rules)
    path = f"{CLIENT}/user/{alice.user_id}/account_data/m.push_rules"
    assert (await at_alice.get(path))["global"] == rules
    assert (await at_alice.fails("PUT", path, {}))[0] == 405


async def test_bounds_of_what_clients_may_keep(alice: SmallNode, at_alice: Client) -> None:
    mine = f"{CLIENT}/user/{alice.user_id}"
    big = {"x": "y" * 70_000}
    assert await at_alice.fails("PUT", f"{mine}/account_data/a", big) == (413, "M_TOO_LARGE")
    assert await at_alice.fails("POST", f"{mine}/filter", {"room": 1}) == (400, "M_BAD_JSON")
    for number in range(200):
        await at_alice.put(f"{mine}/account_data/t{number}", {})
    await at_alice.put(f"{mine}/account_data/t1", {"again": True})
    assert (await at_alice.fails("PUT", f"{mine}/account_data/more", {}))[0] == 400
    same = [(await at_alice.post(f"{mine}/filter", {"room": {}}))["filter_id"] for _ in range(2)]
    assert same[0] == same[1]
    for number in range(499):
        await at_alice.post(f"{mine}/filter", {"room": {"rooms": [str(number)]}})
    assert (await at_alice.fails("POST", f"{mine}/filter", {"room": {"rooms": ["x"]}}))[0] == 400
