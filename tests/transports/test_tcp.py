"""The TCP transport on the loopback of a real kernel; what needs minutes runs on a mock clock."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import trio

from dtnode.errors import ConfigError
from dtnode.link import Link
from dtnode.testing import check_link
from dtnode_transports import tcp
from dtnode_transports.tcp import TcpLink, TcpTransport


class Served:
    """A listening transport, its address, and the links that it handed over."""

    def __init__(self, address: str, links: trio.MemoryReceiveChannel[Link]) -> None:
        self.address = address
        self.links = links
        host, _, port = address.rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)

    async def connect(self) -> trio.SocketStream:
        """Not through the transport: what speaks there may be anything."""
        return await trio.open_tcp_stream(self.host, self.port)


@asynccontextmanager
async def serving(
    listen: str = "127.0.0.1:0", options: Mapping[str, object] | None = None, buffer: int = 100
) -> AsyncIterator[Served]:
    transport = TcpTransport({"listen": listen, **(options or {})})
    sender, receiver = trio.open_memory_channel[Link](buffer)
    async with trio.open_nursery() as nursery, sender, receiver:
        (address, *_) = await nursery.start(transport.run, sender)
        yield Served(address, receiver)
        nursery.cancel_scope.cancel()


async def pair_of(served: Served) -> tuple[Link, Link]:
    """A dialled and an accepted link; a first frame makes the listener hand its end over."""
    dialled = await TcpTransport({"dial": served.address}).dial(served.address)
    await dialled.send(b"first")
    accepted = await served.links.receive()
    assert await accepted.receive() == b"first"
    return dialled, accepted


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


LOOPBACKS = ["127.0.0.1:0", "[::1]:0"] if has_ipv6() else ["127.0.0.1:0"]


@pytest.mark.parametrize("listen", LOOPBACKS)
@pytest.mark.parametrize("dialled_first", [True, False])
async def test_conforms(listen: str, dialled_first: bool) -> None:
    async with serving(listen) as served:

        async def make_pair() -> tuple[Link, Link]:
            dialled, accepted = await pair_of(served)
            return (dialled, accepted) if dialled_first else (accepted, dialled)

        with trio.fail_after(60):
            await check_link(make_pair, timeout_s=20)


async def test_describes_itself() -> None:
    async with serving(options={"bitrate": 9600}) as served:
        dialled, accepted = await pair_of(served)
        async with dialled, accepted:
            assert accepted.info.bitrate_bps == 9600
            assert accepted.info.mtu_bytes == 65_535
            assert accepted.info.reliable
            assert served.address in repr(dialled)
            assert isinstance(dialled, TcpLink)
            assert dialled._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_frames_cut_anywhere_arrive_whole() -> None:
    async with serving() as served:
        stream = await served.connect()
        large = bytes(200)
        for byte in b"\5hello\1x\x80\xc8" + large + b"\x80":
            await stream.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        link = await served.links.receive()
        async with stream, link:
            assert [await link.receive() for _ in range(3)] == [b"hello", b"x", large]
            await stream.send_eof()
            with pytest.raises(trio.BrokenResourceError, match="inside a frame"):
                await link.receive()


@pytest.mark.parametrize(
    ("length", "why"),
    [
        (b"\0", "frame of 0 bytes"),
        (b"\x80\x01", "frame of 1 bytes"),  # not in its shortest form
        (b"\xc0\x3f\xff", "frame of 16383 bytes"),
        (b"\xc1\x00\x00", "frame of 65536 bytes"),
        (b"\xe0", "sent no frame"),
        (b"\xff", "sent no frame"),
    ],
)
async def test_a_length_that_is_none_breaks_the_link(length: bytes, why: str) -> None:
    async with serving() as served:
        stream = await served.connect()
        await stream.send_all(b"\1x" + length)
        link = await served.links.receive()
        async with stream, link:
            assert await link.receive() == b"x"
            with pytest.raises(trio.BrokenResourceError, match=why):
                await link.receive()


async def test_a_reset_connection_is_broken() -> None:
    async with serving() as served:
        dialled, accepted = await pair_of(served)
        assert isinstance(dialled, TcpLink)
        dialled._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await dialled.aclose()
        async with accepted:
            with pytest.raises(trio.BrokenResourceError, match="connection failed"):
                await accepted.receive()
            with pytest.raises(trio.BrokenResourceError, match="connection failed"):
                await accepted.send(b"x")


async def test_one_task_at_a_time() -> None:
    async with serving() as served:
        dialled, accepted = await pair_of(served)
        async with dialled, accepted, trio.open_nursery() as nursery:

            async def clog() -> None:
                while True:
                    await dialled.send(bytes(65_535))

            nursery.start_soon(clog)
            await trio.testing.wait_all_tasks_blocked(0.01)
            with pytest.raises(trio.BusyResourceError):
                await dialled.send(b"x")
            nursery.cancel_scope.cancel()


async def closed(stream: trio.SocketStream) -> bool:
    try:
        return await stream.receive_some(1) == b""
    except trio.BrokenResourceError:
        return True


async def test_silent_and_trickling_connections_are_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    # The kernel's part takes real time, in which the mock clock must not jump.
    autojump_clock.autojump_threshold = 0.05
    async with serving() as served:
        silent, trickling = await served.connect(), await served.connect()
        started_at = trio.current_time()

        async def trickle() -> None:
            await trickling.send_all(b"\xc0\xff\xff")
            while True:
                await trio.sleep(1)
                await trickling.send_all(b"x")

        async with silent, trickling, trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            assert await closed(silent)
            assert await closed(trickling)
            nursery.cancel_scope.cancel()
        assert 15 <= trio.current_time() - started_at <= 17
        with pytest.raises(trio.WouldBlock):
            served.links.receive_nowait()


async def test_silent_connections_are_bounded_and_the_oldest_goes() -> None:
    async with serving() as served:
        streams = []
        for _ in range(tcp.MAX_SILENT_CONNECTIONS):
            streams.append(await served.connect())
            await trio.testing.wait_all_tasks_blocked()
        honest = await TcpTransport({"dial": served.address}).dial(served.address)
        await honest.send(b"hello")
        link = await served.links.receive()
        assert await link.receive() == b"hello"
        with trio.fail_after(5):
            assert await closed(streams[0])
        await streams[-1].send_all(b"\1x")
        with trio.fail_after(5):
            late = await served.links.receive()
            assert await late.receive() == b"x"
        for resource in (*streams, honest, link, late):
            await trio.aclose_forcefully(resource)


async def test_a_stalled_receiver_blocks_nobody_else() -> None:
    async with serving() as served:
        stalled, never_reads = await pair_of(served)

        async def clog() -> None:
            while True:
                await stalled.send(bytes(65_535))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(clog)
            await trio.testing.wait_all_tasks_blocked(0.01)
            with trio.fail_after(5):
                dialled, accepted = await pair_of(served)
                await accepted.send(b"answer")
                assert await dialled.receive() == b"answer"
            nursery.cancel_scope.cancel()
        for link in (stalled, never_reads, dialled, accepted):
            await trio.aclose_forcefully(link)


async def test_links_outlive_the_listener_and_the_port_can_be_had_again() -> None:
    async with serving() as served:
        dialled, accepted = await pair_of(served)
    async with dialled, accepted:
        await dialled.send(b"still here")
        assert await accepted.receive() == b"still here"
        # As after kill -9: the port has live and dying connections, and is listened on again.
        async with serving(served.address) as again:
            assert again.address == served.address


async def test_cancellation_closes_what_is_not_handed_over() -> None:
    async with serving() as served:
        stream = await served.connect()
        await trio.testing.wait_all_tasks_blocked(0.01)
    async with stream:
        assert await closed(stream)
    with pytest.raises(OSError):
        await served.connect()


async def test_returns_when_nobody_wants_links() -> None:
    transport = TcpTransport({"listen": "127.0.0.1:0"})
    sender, receiver = trio.open_memory_channel[Link](1)
    async with trio.open_nursery() as nursery:
        (address,) = await nursery.start(transport.run, sender)
        receiver.close()
        link = await transport.dial(address)
        await link.send(b"x")
        await link.aclose()
    sender.close()


async def test_a_dialling_transport_accepts_nothing() -> None:
    sender, receiver = trio.open_memory_channel[Link](1)
    with sender, receiver:
        await TcpTransport({"dial": "127.0.0.1:4000"}).run(sender)


async def test_accepting_survives_a_shortage(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.05
    accept = trio.SocketListener.accept
    failures = [errno.EMFILE, errno.ENOBUFS]

    async def scarce(listener: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise OSError(failures[-1], os.strerror(failures.pop()))
        return await accept(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", scarce)
    async with serving() as served:
        dialled, accepted = await pair_of(served)
        async with dialled, accepted:
            assert failures == []


async def test_port_in_use_says_what_to_do() -> None:
    async with serving() as served:
        sender, receiver = trio.open_memory_channel[Link](1)
        with sender, receiver, pytest.raises(ConfigError) as caught:
            await TcpTransport({"listen": served.address}).run(sender)
    assert served.address in str(caught.value)
    assert "choose another port" in str(caught.value)


async def test_an_address_of_another_machine_says_what_to_do() -> None:
    sender, receiver = trio.open_memory_channel[Link](1)
    with sender, receiver, pytest.raises(ConfigError, match="doesn't have that address"):
        await TcpTransport({"listen": "192.0.2.1:4000"}).run(sender)


async def test_nobody_there_is_an_os_error() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(OSError):
            await TcpTransport({"dial": address}).dial(address)


async def test_dialling_gives_up(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async def unanswered(host: str, port: int) -> trio.SocketStream:
        return await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", unanswered)
    with pytest.raises(TimeoutError, match=r"10\.0\.0\.1:4000 did not answer in 20 s"):
        await TcpTransport({"dial": "10.0.0.1:4000"}).dial("10.0.0.1:4000")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either listen or dial"),
        ({"listen": "127.0.0.1:1", "dial": "127.0.0.1:1"}, "either listen or dial"),
        ({"listen": "127.0.0.1:1", "port": 4}, "no option port; they have bitrate, dial, listen"),
        ({"dial": "127.0.0.1"}, "HOST:PORT"),
        ({"dial": "::1:4000"}, "HOST:PORT"),
        ({"dial": ":4000"}, "HOST:PORT"),
        ({"dial": "host:0"}, "HOST:PORT"),
        ({"dial": "host:65536"}, "HOST:PORT"),
        ({"dial": "host:-1"}, "HOST:PORT"),
        ({"dial": "host:４"}, "HOST:PORT"),
        ({"dial": 4000}, "HOST:PORT"),
        ({"listen": "[]:4000"}, "HOST:PORT"),
        ({"listen": "[10.0.0.1]:4000"}, "HOST:PORT"),
        ({"listen": ":4000", "bitrate": 0}, "bits per second"),
        ({"listen": ":4000", "bitrate": True}, "bits per second"),
        ({"listen": ":4000", "bitrate": "fast"}, "bits per second"),
    ],
)
def test_bad_options_say_what_is_wrong(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TcpTransport(options)


@pytest.mark.parametrize("listen", [":4000", "0.0.0.0:4000", "[::]:4000", "node.example:4000"])
def test_good_addresses(listen: str) -> None:
    assert TcpTransport({"listen": listen, "bitrate": "1200"})._info.bitrate_bps == 1200
