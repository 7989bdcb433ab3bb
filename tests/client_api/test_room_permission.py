"""Rooms are permitted for links that others can read, one by one, by whoever is told what it means;
and who joins over such a link alone is told that nobody hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from dtnode.link_info import CipherPolicy
from dtnode.rooms.sharing import Sharing
from tests.client_api.small_node import CLIENT, OWN, Client, SmallNode, pump
from tests.rooms.nodes import give_cards

Json = dict[str, Any]
MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": MEGOLM}


def path(room_id: str) -> str:
    return f"{OWN}/rooms/{room_id}/permission"


def over_clear(node: SmallNode) -> Sharing:
    return node.rooms.sharing.over(CipherPolicy.CLEAR)


def link(link_id: str, cipher: str, *peers: str) -> Json:
    return {"id": link_id, "cipher": cipher, "peers": list(peers)}


async def test_a_room_is_permitted_and_not_any_more(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    room = alice.rooms.room(room_id)
    assert room is not None
    answer = {"room_id": room_id, "clear_links": "no", "encrypted": False}
    assert await at_alice.get(path(room_id)) == answer
    for permitted, shown in ((True, "yes"), (True, "yes"), (False, "no")):
        answer["clear_links"] = shown
        told = alice.permissions_told
        assert await at_alice.post(path(room_id), {"clear_links": permitted}) == answer
        assert alice.permissions_told == told + 1
        assert await at_alice.get(path(room_id)) == answer
        (listed,) = (await at_alice.get(f"{OWN}/rooms"))["rooms"]
        assert (listed["clear_links"], listed["encrypted"]) == (shown, False)
        now = alice.rooms.room(room_id)
        assert now is not None
        assert over_clear(alice).permits(now) == permitted


async def test_an_encrypted_room_is_permitted_knowingly(alice: SmallNode, at_alice: Client) -> None:
    room_id = await at_alice.create_room(name="boat")
    await at_alice.post(path(room_id), {"clear_links": True})
    await at_alice.set_state(room_id, "m.room.encryption", MEGOLM)
    ended = {"room_id": room_id, "clear_links": "ended", "encrypted": True}
    assert await at_alice.get(path(room_id)) == ended
    response = await at_alice.ask("POST", path(room_id), {"clear_links": True})
    assert response.status_code == 403
    assert "--although-encrypted" in response.json()["error"]
    assert await at_alice.get(path(room_id)) == ended
    body = {"clear_links": True, "although_encrypted": True}
    assert (await at_alice.post(path(room_id), body))["clear_links"] == "yes"


@pytest.mark.parametrize(
    "body", [{}, {"clear_links": "yes"}, {"clear_links": True, "although_encrypted": 1}]
)
async def test_what_is_no_permission(at_alice: Client, body: Json) -> None:
    room_id = await at_alice.create_room(name="boat")
    status, _ = await at_alice.fails("POST", path(room_id), body)
    assert status == 400
    assert (await at_alice.get(path(room_id)))["clear_links"] == "no"


async def test_an_unknown_room_has_no_permission(at_alice: Client) -> None:
    for method, body in (("GET", None), ("POST", {"clear_links": True})):
        assert await at_alice.fails(method, path("!nowhere"), body) == (404, "M_NOT_FOUND")


async def test_a_room_is_made_for_clear_links(alice: SmallNode, at_alice: Client) -> None:
    permit: Json = {"org.dtnode.clear_links": True}
    room_id = await at_alice.create_room(name="boat", **permit)
    assert (await at_alice.get(path(room_id)))["clear_links"] == "yes"
    other = await at_alice.create_room(name="pier", **{"org.dtnode.clear_links": False})
    assert (await at_alice.get(path(other)))["clear_links"] == "no"
    body = {"name": "hut", "initial_state": [ENCRYPTION], **permit}
    status = await at_alice.fails("POST", f"{CLIENT}/createRoom", body)
    assert status == (403, "M_FORBIDDEN")
    assert len(list(alice.rooms.store.rooms)) == 2, "no room is left of what was refused"


@pytest.mark.parametrize(
    ("links", "named"),
    [
        ([("a", "clear", "alice")], ["a"]),
        ([("a", "clear", "alice"), ("b", "sealed", "alice")], None),
        ([("a", "clear", "alice"), ("b", "sealed", "other")], ["a"]),
        ([("a", "clear", "alice"), ("b", "open")], ["a"]),
        ([("a", "sealed", "alice"), ("b", "clear")], None),
        ([("a", "clear"), ("b", "open")], ["a", "b"]),  # nobody is in reach, nor will be otherwise
        ([("a", "clear"), ("b", "sealed")], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("permitted", [False, True])
async def test_who_joins_over_a_clear_link_alone_is_told(
    alice: SmallNode,
    bob: SmallNode,
    at_alice: Client,
    at_bob: Client,
    links: list[tuple[str, ...]],
    named: list[str] | None,
    permitted: bool,
) -> None:
    room_id = await at_alice.create_room(name="boat", invite=[bob.user_id])
    give_cards(alice.node, bob.node)
    servers = {"alice": alice.server_name, "other": "k" * 52}
    bob.configured = [
        link(link_id, cipher, *(servers[peer] for peer in peers))
        for link_id, cipher, *peers in links
    ]
    if permitted:
        await at_bob.post(path(room_id), {"clear_links": True})
        named = None
    answer = await at_bob.post(f"{CLIENT}/join/{room_id}")
    assert answer.get("org.dtnode.unpermitted_links") == named
    pump(alice, bob)
    again = await at_bob.post(f"{CLIENT}/join/{room_id}")  # now the room is complete here
    assert again.get("org.dtnode.unpermitted_links") == named


async def test_who_invites_over_a_clear_link_alone_is_told(
    alice: SmallNode, bob: SmallNode, at_alice: Client
) -> None:
    room_id = await at_alice.create_room(name="boat")
    alice.configured = [
        link("hf-1", "clear", bob.server_name),
        link("tcp-1", "sealed", "k" * 52),
    ]
    invite = f"{CLIENT}/rooms/{room_id}/invite"
    answer = await at_alice.post(invite, {"user_id": bob.user_id})
    assert answer == {"org.dtnode.unpermitted_links": ["hf-1"]}
    carol = SmallNode("carol")
    assert await at_alice.post(invite, {"user_id": carol.user_id}) == {}  # may come over tcp-1
    await at_alice.post(path(room_id), {"clear_links": True})
    assert await at_alice.post(invite, {"user_id": bob.user_id}) == {}


async def test_who_knocks_over_a_clear_link_alone_is_told(
    alice: SmallNode, bob: SmallNode, at_alice: Client, at_bob: Client
) -> None:
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room_id = await at_alice.create_room(name="boat", initial_state=[rules])
    bob.others = [alice]
    bob.configured = [link("hf-1", "clear", alice.server_name)]
    answer = await at_bob.post(f"{CLIENT}/knock/{room_id}")
    assert answer["org.dtnode.unpermitted_links"] == ["hf-1"]
