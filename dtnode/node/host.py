"""The node as the client API sees it (dtnode.client_api.host.Host)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import trio

from dtnode.config import LinkConfig
from dtnode.node.links import LinkManager
from dtnode.node.node import Node
from dtnode.node.status import link_objects, status, tallies
from dtnode.node.worker import News
from dtnode.rooms import Rooms

T = TypeVar("T")


class NodeHost:
    """read_links: the links now configured. stop: set to end the node."""

    def __init__(
        self,
        node: Node,
        links: LinkManager,
        *,
        api_url: str,
        read_links: Callable[[], Sequence[LinkConfig]],
        stop: trio.Event,
    ) -> None:
        self._node = node
        self._links = links
        self._api_url = api_url
        self._read_links = read_links
        self._stop = stop
        self._reloading = trio.Lock()

    @property
    def rooms(self) -> Rooms:
        return self._node.rooms

    async def run(self, work: Callable[[], T], /) -> T:
        return await self._node.worker.run(work)

    async def read(self, work: Callable[[], T], /) -> T:
        return await self._node.worker.run(work)

    async def join(self, room_id: str, /) -> str:
        return await self._node.join(room_id)

    async def knock(self, room_id: str, reason: str | None, /) -> str:
        return await self._node.knock(room_id, reason)

    async def wait_for_news(self, after_position: int, timeout_s: float, /) -> None:
        await self._node.wait_for_news(after_position, timeout_s)

    def now_ms(self) -> int:
        return self._node.clock.now_ms()

    async def status(self) -> dict[str, Any]:
        return await status(self._node, self._links, self._api_url)

    def links(self) -> list[dict[str, Any]]:
        return link_objects(self._links)

    async def trace(
        self, after: int | None, timeout_s: float, link_id: str | None, /
    ) -> dict[str, Any]:
        part = await self._node.trace.since(after, timeout_s, link_id)
        return {
            "entries": [asdict(entry) for entry in part.entries],
            "next": part.next_number,
            "lost": part.lost,
        }

    def tallies(self, link_id: str, /) -> list[dict[str, Any]]:
        return tallies(self._links, link_id)

    async def asked(self, room_id: str, /) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for connection in self._node.connections:
            if connection.sync is not None and connection.peer is not None:
                for event_id in connection.sync.asked(room_id):
                    found.setdefault(event_id, []).append(connection.peer)
        return found

    async def reload_links(self) -> list[dict[str, Any]]:
        async with self._reloading:
            await self._links.apply(self._read_links())
        return link_objects(self._links)

    async def peers_changed(self) -> None:
        await self._node.peers_changed()

    async def permissions_changed(self) -> None:
        for connection in self._node.connections:  # each looks at what it shares anew
            connection.notify(News(events={}, position=0, states_changed=True))

    def shutdown(self) -> None:
        self._stop.set()
