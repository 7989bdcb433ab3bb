"""Nodes small enough for these tests: real rooms over a store in memory, the app, and a pump that
carries cards and events between two of them as their links would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import httpx
import trio
from starlette.applications import Starlette

from dtnode.client_api import create_app, room_object
from dtnode.errors import ConfigError
from dtnode.rooms import Rooms
from dtnode.rooms.local import RoomNotHere
from dtnode.store import Store
from tests.rooms.nodes import Node, meet

T = TypeVar("T")
Json = dict[str, Any]

TOKEN = "token-of-the-command-line"
PASSWORD = "correct horse"
CLIENT = "/_matrix/client/v3"
OWN = "/_dtnode/v1"


class SmallNode:
    """A Host. `others`: nodes asked for a public room's card."""

    def __init__(self, user: str, path: Path | None = None) -> None:
        self.node = node = Node(user)
        if path is not None:
            node.store = Store(path)
            node.rooms = Rooms(node.store, node.signer, node.user_id, node.clock, node._entropy)
        self.rooms = node.rooms
        self.user_id, self.server_name = node.user_id, node.server
        self.app: Starlette = create_app(
            self,
            user_id=self.user_id,
            server_name=node.server,
            access_token=TOKEN,
            password=lambda: PASSWORD,
            entropy=Random(user).randbytes,
        )
        self.others: list[SmallNode] = []
        self.ended = False
        self.said = 0
        self.durable_runs = 0
        self.permissions_told = 0
        self.configured: list[Json] | None = []
        self.traced: list[tuple[int | None, float, str | None]] = []
        self._news = trio.Event()

    # --- Host

    async def run(self, work: Callable[[], T], /) -> T:
        await trio.lowlevel.checkpoint()
        self.durable_runs += 1
        with self.rooms.store.transaction():
            result = work()
        self.tell()
        return result

    async def read(self, work: Callable[[], T], /) -> T:
        await trio.lowlevel.checkpoint()
        return work()

    async def join(self, room_id: str, /) -> str:
        try:
            return await self.run(lambda: self.rooms.join(room_id))
        except RoomNotHere:
            self._ask_for_cards(room_id)
            return await self.run(lambda: self.rooms.join(room_id))

    async def knock(self, room_id: str, reason: str | None, /) -> str:
        self._ask_for_cards(room_id)
        return await self.run(lambda: self.rooms.knock(room_id, reason))

    def _ask_for_cards(self, room_id: str) -> None:
        for other in self.others:
            card = other.rooms.sharing.public_card(room_id, self.server_name)
            if card is not None:
                self.rooms.take_card(card, source=other.server_name)

    async def wait_for_news(self, after_position: int, timeout_s: float, /) -> None:
        if self.ended or self.rooms.store.events.last_position() > after_position:
            return
        with trio.move_on_after(timeout_s):
            await self._news.wait()

    def tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def now_ms(self) -> int:
        return self.node.clock.now_ms()

    async def status(self) -> Json:
        peers = []
        for peer in self.rooms.store.peers.all():
            more = {"connected": False, "via": [], "lacks": None}
            peers.append({**asdict(peer), **more})
        rooms = [room_object(self.rooms.summary(room)) for room in self.rooms.store.rooms]
        return {"user_id": self.user_id, "peers": peers, "links": self.links(), "rooms": rooms}

    def links(self) -> list[Json]:
        return self.configured or []

    async def trace(self, after: int | None, timeout_s: float, link_id: str | None, /) -> Json:
        self.traced.append((after, timeout_s, link_id))
        if after is not None:
            await trio.sleep(timeout_s)
        return {"entries": [], "next": 7, "lost": 0}

    def tallies(self, link_id: str, /) -> list[Json]:
        return [{"peer": None, "link": link_id}]

    async def asked(self, room_id: str, /) -> Mapping[str, Sequence[str]]:
        return {"$" + "m" * 43: ["somebody"]}

    async def reload_links(self) -> list[Json]:
        if self.configured is None:
            raise ConfigError("config.toml isn't TOML: correct it")
        return self.configured

    async def peers_changed(self) -> None:
        self.tell()

    async def permissions_changed(self) -> None:
        self.permissions_told += 1

    def shutdown(self) -> None:
        self.ended = True
        self.tell()

    # --- for tests

    def client(self, token: str | None = TOKEN) -> Client:
        return Client(self, token)


def pump(*nodes: SmallNode) -> None:
    """Every two of them meet until nobody has anything for anybody."""
    for _ in nodes[1:]:
        for one, other in combinations(nodes, 2):
            meet(one.node, other.node)
    for node in nodes:
        node.tell()


class Client:
    """A client of one node: short names for the calls the tests make. Answers below 400 come back
    as JSON; `fails` gives (status, errcode)."""

    def __init__(self, node: SmallNode, token: str | None) -> None:
        self.node = node
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(node.app),
            base_url="http://127.0.0.1:1234",
            headers=headers,
        )
        self.since: str | None = None

    async def ask(
        self, method: str, path: str, body: object = None, **query: object
    ) -> httpx.Response:
        params = {key: str(value) for key, value in query.items()}
        json = None if body is None else body
        return await self.http.request(method, path, json=json, params=params)

    async def ok(self, method: str, path: str, body: object = None, **query: object) -> Any:
        response = await self.ask(method, path, body, **query)
        assert response.status_code < 400, response.text
        return response.json()

    async def fails(
        self, method: str, path: str, body: object = None, **query: object
    ) -> tuple[int, str]:
        response = await self.ask(method, path, body, **query)
        error = response.json()
        assert set(error) >= {"errcode", "error"}
        assert error["error"], "an error says something"
        return response.status_code, error["errcode"]

    async def get(self, path: str, **query: object) -> Any:
        return await self.ok("GET", path, None, **query)

    async def post(self, path: str, body: object = None) -> Any:
        return await self.ok("POST", path, {} if body is None else body)

    async def put(self, path: str, body: object) -> Any:
        return await self.ok("PUT", path, body)

    # --- calls

    async def create_room(self, **body: object) -> str:
        answer = await self.post(f"{CLIENT}/createRoom", body)
        return str(answer["room_id"])

    async def say(self, room_id: str, text: str) -> str:
        self.node.said += 1
        answer = await self.put(
            f"{CLIENT}/rooms/{room_id}/send/m.room.message/t{self.node.said}",
            {"msgtype": "m.text", "body": text},
        )
        return str(answer["event_id"])

    async def set_state(self, room_id: str, type_: str, content: object, key: str = "") -> str:
        answer = await self.put(f"{CLIENT}/rooms/{room_id}/state/{type_}/{key}", content)
        return str(answer["event_id"])

    async def sync(self, **query: object) -> Json:
        """From where the last one ended."""
        if self.since is not None:
            query.setdefault("since", self.since)
        answer: Json = await self.get(f"{CLIENT}/sync", **query)
        self.since = answer["next_batch"]
        return answer


def bodies(events: Sequence[Json]) -> list[str]:
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


def ids(events: Sequence[Json]) -> list[str]:
    return [event["event_id"] for event in events]


class Believed:
    """What a client that follows the specification (and nio) believes of a room's state."""

    def __init__(self) -> None:
        self.state: dict[tuple[str, str], Json] = {}
        self.seen: list[str] = []

    def take(self, part: Json) -> None:
        for event in part["state"]["events"]:
            self.state[event["type"], event["state_key"]] = event
        for event in part["timeline"]["events"]:
            self.seen.append(event["event_id"])
            if "state_key" in event:
                self.state[event["type"], event["state_key"]] = event

    def content(self, type_: str, key: str = "") -> Json:
        content: Json = self.state[type_, key]["content"]
        return content

    def agrees_with(self, node: SmallNode, room_id: str) -> bool:
        room = node.rooms.room(room_id)
        assert room is not None
        real = {key: pdu.event_id for key, pdu in node.rooms.state(room).items()}
        mine = {
            key: event["event_id"]
            for key, event in self.state.items()
            if not event["unsigned"].get("org.dtnode", {}).get("undone")
        }
        return mine == real
