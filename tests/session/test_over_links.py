"""Two sessions over links, pumped as a node pumps them: memory links good and bad, then TCP."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable

import pytest
import trio

from dtnode.link import Link
from dtnode.link_info import LinkInfo
from dtnode.session import LinkSession, MessageReceived, PeerAuthenticated, SessionEvent
from dtnode.testing import LinkFaults, memory_link_pair
from dtnode.wire.messages import Events, Message, Want
from dtnode_transports.tcp import TcpTransport
from tests.session.session_pair import ALICE, BOB, make_session

WANTS: list[Message] = [Want(room_id="!r", event_ids=(f"${n}",) * 20) for n in range(50)]
LARGE = Events(batch=1, room_id="!r", room_version="12", pdus=(bytes(50_000),) * 20)


def expected(messages: list[Message]) -> list[SessionEvent]:
    return [
        PeerAuthenticated(server_name=ALICE.server_name),
        *(MessageReceived(message=message) for message in messages),
    ]


async def pump(session: LinkSession, link: Link, on_event: Callable[[SessionEvent], None]) -> None:
    """Until cancelled: frames out, frames in, and the session's own wake-ups."""
    session.start(trio.current_time())
    while True:
        for frame in session.frames_to_send(trio.current_time()):
            await link.send(frame)
        wake_at = session.next_wake_at()
        with trio.move_on_at(math.inf if wake_at is None else wake_at):
            frame = await link.receive()
            for event in session.receive_frame(frame, trio.current_time()):
                on_event(event)


async def transfer(
    dialled: Link, accept: Callable[[], Awaitable[Link]], messages: list[Message], time_s: float
) -> list[SessionEvent]:
    """Alice, who dialled, sends `messages` to Bob: what Bob's session tells him in `time_s`."""
    alice = make_session(ALICE, initiator=True, info=dialled.info, expected_peer=BOB.server_name)
    told: list[SessionEvent] = []
    all_there = trio.Event()

    def send_all(event: SessionEvent) -> None:
        assert event == PeerAuthenticated(server_name=BOB.server_name)
        for message in messages:
            alice.send(message)

    def keep(event: SessionEvent) -> None:
        told.append(event)
        if len(told) == 1 + len(messages):
            all_there.set()

    async with trio.open_nursery() as nursery, dialled:
        nursery.start_soon(pump, alice, dialled, send_all)
        accepted = await accept()
        bob = make_session(BOB, initiator=False, info=accepted.info)
        async with accepted:
            nursery.start_soon(pump, bob, accepted, keep)
            with trio.move_on_after(time_s):
                await all_there.wait()
            nursery.cancel_scope.cancel()
    return told


async def over_memory(a: Link, b: Link, messages: list[Message]) -> list[SessionEvent]:
    async def accept() -> Link:
        return b

    return await transfer(a, accept, messages, time_s=600)


@pytest.mark.parametrize("info", [LinkInfo(mtu_bytes=64), LinkInfo(mtu_bytes=65_535)])
async def test_memory(info: LinkInfo, autojump_clock: trio.testing.MockClock) -> None:
    told = await over_memory(*memory_link_pair(info), [*WANTS, LARGE])
    assert told == expected([*WANTS, LARGE])


@pytest.mark.parametrize("seed", range(10))
async def test_bad_memory_link(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    """The handshake gets through; of the messages some, each once and as it was sent."""
    pair = memory_link_pair(
        LinkInfo(mtu_bytes=200, reliable=False, bitrate_bps=50_000),
        faults=LinkFaults(loss=0.1, duplication=0.1, reordering=0.2, delay_s=0.05),
        random=random.Random(seed).random,
        buffer_frames=1000,
    )
    told = await over_memory(*pair, WANTS)
    assert told[0] == expected([])[0]
    assert 10 < len(told) == len(set(told))
    assert set(told) < set(expected(WANTS))


async def test_tcp() -> None:
    listening = TcpTransport({"listen": "127.0.0.1:0"})
    sender, receiver = trio.open_memory_channel[Link](1)
    async with sender, receiver, trio.open_nursery() as nursery:
        (address,) = await nursery.start(listening.run, sender)
        dialled = await TcpTransport({"dial": address}).dial(address)
        told = await transfer(dialled, receiver.receive, [*WANTS, LARGE], time_s=10)
        nursery.cancel_scope.cancel()
    assert told == expected([*WANTS, LARGE])
