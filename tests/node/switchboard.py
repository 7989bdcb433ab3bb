"""A switchboard of memory links: links of kind "wire" that nodes listen on and dial by a name."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from dtnode.config import LinkConfig
from dtnode.errors import ConfigError
from dtnode.link import Link, Transport
from dtnode.link_info import LinkInfo
from dtnode.node import links as links_module
from dtnode.node.links import LinkManager
from dtnode.testing import MemoryLink, memory_link_pair
from dtnode.testing.rooms_builder import signer_for
from tests.node.harness import World
from tests.node.raw_peer import assert_talks, put_room, room_of

INFO = LinkInfo(mtu_bytes=60_000)


@dataclass
class Switchboard:
    """Who listens where; links of kind "wire" are plugged in here."""

    listening: dict[str, trio.MemorySendChannel[Link]] = field(default_factory=dict)
    dialled: list[tuple[str, float]] = field(default_factory=list)
    made: list[tuple[MemoryLink, MemoryLink]] = field(default_factory=list)
    buffer_frames: int = 64

    def transport(self, kind: str, options: Mapping[str, Any]) -> Transport:
        assert kind == "wire"
        return Wire(self, options)


class Wire:
    def __init__(self, board: Switchboard, options: Mapping[str, Any]) -> None:
        if not set(options) <= {"listen", "dial"}:
            raise ConfigError("wires either listen or dial")
        self._board = board
        self._listen = options.get("listen")

    async def run(self, links: trio.MemorySendChannel[Link], /) -> None:
        if self._listen is None:
            return
        if self._listen in self._board.listening:
            raise ConfigError(f"{self._listen} is in use: stop what uses it, or take another")
        self._board.listening[self._listen] = links
        try:
            await trio.sleep_forever()
        finally:
            del self._board.listening[self._listen]

    async def dial(self, address: str, /) -> Link:
        await trio.lowlevel.checkpoint()
        self._board.dialled.append((address, trio.current_time()))
        if address not in self._board.listening:
            raise OSError("nobody there")
        here, there = memory_link_pair(INFO, buffer_frames=self._board.buffer_frames)
        self._board.made.append((here, there))
        await self._board.listening[address].send(there)
        return here


@dataclass
class Net:
    world: World
    board: Switchboard
    links: dict[str, LinkManager] = field(default_factory=dict)
    room_id: str = ""

    async def set(self, name: str, *configs: LinkConfig) -> None:
        await self.links[name].apply(configs)

    def state(self, name: str) -> list[str]:
        return [status.state for status in self.links[name].statuses()]

    def detail(self, name: str) -> str | None:
        (status,) = self.links[name].statuses()
        return status.detail

    def connected(self, one: str, other: str) -> bool:
        return any(
            connection.peer == self.world.server(other) and connection.is_active
            for connection in self.world.nodes[one].connections
        )

    async def until(self, done: Callable[[], object], within_s: float = 60) -> None:
        with trio.fail_after(within_s):
            while not done():
                await trio.sleep(0.05)

    async def talks(self, text: str) -> None:
        await assert_talks(self.world, self.room_id, text, within_s=30)


def listen(where: str, **more: Any) -> LinkConfig:
    return LinkConfig(id=f"at-{where}", kind="wire", options={"listen": where}, **more)


def dial(where: str, **more: Any) -> LinkConfig:
    return LinkConfig(id=f"to-{where}", kind="wire", options={"dial": where}, **more)


@asynccontextmanager
async def net(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Net]:
    """Nodes a and b that know each other and share a room, without links yet."""
    board = Switchboard()
    monkeypatch.setattr(links_module, "load_transport", board.transport)
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(3))
        it = Net(world, board)
        for name in ("a", "b"):
            it.links[name] = LinkManager(world.add(name, signer=signer_for(name)), nursery)
        room = room_of("a", "b", "mallory")
        for name in ("a", "b"):
            it.room_id = await put_room(world, name, room)
        await world.know("a", "b")
        yield it
        nursery.cancel_scope.cancel()
