"""A shared medium for whole nodes: whoever is tuned in hears what the others send, or doesn't.

One sends at a time, as long as the bitrate says; frames get lost, and in an outage all of them.
A link that is closed leaves the air as it is: the station can come back with another.
"""

from __future__ import annotations

import random
from functools import partial

import trio

from dtnode.link import Link, check_frame
from dtnode.link_info import Duplex, LinkInfo
from dtnode.node.connection import Connection
from tests.node.harness import World

HF = LinkInfo(mtu_bytes=126, bitrate_bps=300, duplex=Duplex.HALF, reliable=False, turnaround_s=0.5)
_BUFFER_FRAMES = 64


class Air:
    """frames: all that were sent, with their sender's link. loss: a share of them. outage: nobody
    hears anything."""

    def __init__(self, info: LinkInfo, rng: random.Random, loss: float = 0.0) -> None:
        self.info = info
        self.loss = loss
        self.outage = False
        self.frames: list[tuple[AirLink, bytes]] = []
        self.busy_until = 0.0
        self.stations: list[AirLink] = []
        self._rng = rng

    def tune_in(self) -> AirLink:
        link = AirLink(self)
        self.stations.append(link)
        return link

    def deliver(self, sender: AirLink, frame: bytes) -> None:
        self.frames.append((sender, frame))
        for station in self.stations:
            if station is not sender and not self.outage and self._rng.random() >= self.loss:
                station.hear(frame)


class AirLink(Link):
    def __init__(self, air: Air) -> None:
        self._air = air
        self._send, self._heard = trio.open_memory_channel[bytes](_BUFFER_FRAMES)

    @property
    def info(self) -> LinkInfo:
        return self._air.info

    def hear(self, frame: bytes) -> None:
        try:
            self._send.send_nowait(frame)
        except trio.WouldBlock:
            return  # lost

    async def send(self, value: bytes) -> None:
        check_frame(self.info, value)
        if self not in self._air.stations:
            raise trio.ClosedResourceError("this link was closed here")
        airtime_s = 8 * len(value) / self.info.bitrate_bps if self.info.bitrate_bps else 0.0
        self._air.busy_until = max(trio.current_time(), self._air.busy_until) + airtime_s
        await trio.sleep_until(self._air.busy_until)
        self._air.deliver(self, bytes(value))

    async def receive(self) -> bytes:
        try:
            return await self._heard.receive()
        except trio.EndOfChannel:
            raise trio.ClosedResourceError("this link was closed here") from None

    async def aclose(self) -> None:
        if self in self._air.stations:
            self._air.stations.remove(self)
            self._send.close()
        await trio.lowlevel.checkpoint()


def on_air(world: World, name: str, air: Air) -> Connection:
    """The node's session link on the air, run until the world ends."""
    node = world.nodes[name]
    connection = node.connection(air.tune_in(), link_id="air", initiator=True)
    world.nursery.start_soon(connection.run)
    return connection


async def permit(world: World, name: str, room_id: str) -> None:
    rooms = world.nodes[name].rooms
    await world.nodes[name].worker.run(partial(rooms.permit_clear, room_id, True))
