"""Links over TCP, IPv4 and IPv6: each frame after its length (1 to 3 bytes).

Options: listen="HOST:PORT" (accept) or dial="HOST:PORT" (the node calls dial with it), and
bitrate (bits per second of a slow path, so that the node spares it). IPv6 hosts stand in
brackets: "[::1]:4000"; an empty host listens on all addresses. Nothing is encrypted here and no
peer is known by its address: who it is, the session proves.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

import trio

from dtnode.errors import ConfigError
from dtnode.link import Link, check_frame, check_option_names
from dtnode.link_info import LinkInfo

KIND: Final = "tcp"
OPTIONS: Final = ("listen", "dial", "bitrate")

MTU_BYTES: Final = 65_535
"""As much as a node holds for a connection that hasn't said anything sensible yet."""

_ONE_BYTE: Final = 0x80
_TWO_BYTES: Final = 0x40_00
"""A length from here on takes a byte more. The first bits say how many: 0, 10 or 110, before 7,
14 or 21 bits, big-endian."""

CONNECT_TIMEOUT_S: Final = 20.0
"""The system's own is two minutes: too long for a node that has other addresses to try."""

FIRST_FRAME_TIMEOUT_S: Final = 15.0
"""A dialling node speaks at once; this leaves time for a slow path and frees the socket of a
connection that is not a node."""

MAX_SILENT_CONNECTIONS: Final = 64
"""Accepted ones without a first frame. Each may hold a 64 kB frame in pieces, so 4 MB in all. With
one more the oldest is closed: honest nodes, who speak at once, get through between silent ones."""

ACCEPT_PAUSE_S: Final = 0.25
"""After a failed accept (no file descriptors, no memory): time for something to be closed."""

_RECEIVE_BYTES: Final = 65_536


class TcpLink(Link):
    """A connected socket. Owns it from the constructor on."""

    def __init__(self, sock: trio.socket.SocketType, info: LinkInfo) -> None:
        self._sock = sock
        self._info = info
        self._name = f"<TCP link, {_endpoint(sock.getpeername())}>"
        self._received = bytearray()
        self._unsent = bytearray()
        self._sending = False
        self._receiving = False
        self._closed = False

    def __repr__(self) -> str:
        return self._name

    @property
    def info(self) -> LinkInfo:
        return self._info

    async def send(self, value: bytes) -> None:
        check_frame(self._info, value)
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this link")
        self._sending = True
        try:
            # A frame that a cancelled send() began is finished before the next one.
            await self._flush()
            self._unsent += _length_bytes(len(value)) + value
            before = len(self._unsent)
            try:
                await self._flush()
            except trio.Cancelled:
                if len(self._unsent) == before:
                    self._unsent.clear()
                raise
        finally:
            self._sending = False

    async def receive(self) -> bytes:
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving on this link")
        self._receiving = True
        try:
            await self.wait_frame()
            await trio.lowlevel.checkpoint()
            self._check_open()
            span = self._frame_span()
            assert span is not None, "wait_frame returns when there is one"
            start, end = span
            frame = bytes(self._received[start:end])
            del self._received[:end]
            return frame
        finally:
            self._receiving = False

    async def wait_frame(self) -> None:
        """Block until receive() has a whole frame to give; raises as receive() does."""
        self._check_open()
        while (span := self._frame_span()) is None or len(self._received) < span[1]:
            try:
                data = await self._sock.recv(_RECEIVE_BYTES)
            except OSError as error:
                self._check_open()
                raise trio.BrokenResourceError(f"connection failed: {error}") from error
            if not data and self._received:
                raise trio.BrokenResourceError("connection ended inside a frame")
            if not data:
                raise trio.EndOfChannel
            self._received += data

    async def aclose(self) -> None:
        self._closed = True
        self._sock.close()
        await trio.lowlevel.checkpoint()

    async def _flush(self) -> None:
        self._check_open()
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._unsent:
            try:
                sent = await self._sock.send(self._unsent)
            except OSError as error:
                self._check_open()
                raise trio.BrokenResourceError(f"connection failed: {error}") from error
            del self._unsent[:sent]

    def _frame_span(self) -> tuple[int, int] | None:
        """Where in what was received the first frame begins and ends, as soon as its length is
        here. BrokenResourceError: no length of ours."""
        if not self._received:
            return None
        width = _length_width(self._received[0])
        if width is None:
            raise trio.BrokenResourceError("the other end sent no frame: not a node's link")
        if len(self._received) < width:
            return None
        size = int.from_bytes(self._received[:width], "big") & ((1 << 7 * width) - 1)
        if not 0 < size <= MTU_BYTES or len(_length_bytes(size)) != width:
            raise trio.BrokenResourceError(
                f"the other end sent a frame of {size} bytes: not a node's link"
            )
        return width, width + size

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this link was closed here")


def _length_bytes(size: int) -> bytes:
    if size < _ONE_BYTE:
        return bytes([size])
    if size < _TWO_BYTES:
        return (0x8000 | size).to_bytes(2, "big")
    return (0xC0_0000 | size).to_bytes(3, "big")


def _length_width(first: int) -> int | None:
    """Bytes of a length, by its first one."""
    if first < 0x80:
        return 1
    if first < 0xC0:
        return 2
    return 3 if first < 0xE0 else None


class TcpTransport:
    """One `link add tcp`; see the module's text for the options."""

    def __init__(self, options: Mapping[str, object]) -> None:
        check_option_names(KIND, options, OPTIONS)
        listen, dial = options.get("listen"), options.get("dial")
        if (listen is None) == (dial is None):
            raise ConfigError("a tcp link needs either listen or dial, each as HOST:PORT")
        self._listen = None if listen is None else _parse_address(listen, listening=True)
        if dial is not None:
            _parse_address(dial)
        self._info = LinkInfo(mtu_bytes=MTU_BYTES, bitrate_bps=_parse_bitrate(options))

    async def run(
        self,
        links: trio.MemorySendChannel[Link],
        /,
        *,
        task_status: trio.TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """As Transport.run. `task_status` is given the addresses listened on (`nursery.start`)."""
        if self._listen is None:
            task_status.started(())
            return
        listeners = await _open_listeners(*self._listen)
        silent: dict[TcpLink, trio.CancelScope] = {}
        try:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(self._accept, listener, links, silent, nursery)
                task_status.started(tuple(_endpoint(x.socket.getsockname()) for x in listeners))
        finally:
            for listener in listeners:
                listener.socket.close()

    async def dial(self, address: str, /) -> Link:
        """As Transport.dial; `address` is HOST:PORT."""
        host, port = _parse_address(address)
        assert host is not None
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            stream = await trio.open_tcp_stream(host, port)
            return self._link(stream)
        raise TimeoutError(
            errno.ETIMEDOUT, f"{address} did not answer in {CONNECT_TIMEOUT_S:.0f} s"
        )

    async def _accept(
        self,
        listener: trio.SocketListener,
        links: trio.MemorySendChannel[Link],
        silent: dict[TcpLink, trio.CancelScope],
        nursery: trio.Nursery,
    ) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError:  # resources are short; it passes
                await trio.sleep(ACCEPT_PAUSE_S)
                continue
            try:
                link = self._link(stream)
            except OSError:  # gone already
                continue
            if len(silent) == MAX_SILENT_CONNECTIONS:
                silent.pop(next(iter(silent))).cancel()
            silent[link] = trio.CancelScope(deadline=trio.current_time() + FIRST_FRAME_TIMEOUT_S)
            nursery.start_soon(_hand_over, link, links, silent, nursery)

    def _link(self, stream: trio.SocketStream) -> TcpLink:
        # SocketStream has set TCP_NODELAY: a frame must not wait for the answer to the one before.
        try:
            return TcpLink(stream.socket, self._info)
        except OSError:
            stream.socket.close()
            raise


async def _hand_over(
    link: TcpLink,
    links: trio.MemorySendChannel[Link],
    silent: dict[TcpLink, trio.CancelScope],
    nursery: trio.Nursery,
) -> None:
    """Give `link` to the node once it has spoken; close it if it doesn't."""
    handed_over = False
    try:
        with silent[link]:
            await link.wait_frame()
            try:
                await links.send(link)
                handed_over = True
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                nursery.cancel_scope.cancel()  # nobody wants links any more: run() returns
    except (trio.EndOfChannel, trio.BrokenResourceError):
        pass  # it left, or is no node
    finally:
        silent.pop(link, None)
        if not handed_over:
            await trio.aclose_forcefully(link)


async def _open_listeners(host: str | None, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        where = f"{_endpoint((host or '*', port))}"
        hints = {
            errno.EADDRINUSE: "another program, or another node, listens there; stop it or choose"
            " another port",
            errno.EADDRNOTAVAIL: "this machine doesn't have that address; choose one that it has,"
            " or leave the host empty for all",
            errno.EACCES: "ports below 1024 are reserved; choose a higher one",
        }
        hint = hints.get(error.errno or 0, f"{error}; choose another address")
        raise ConfigError(f"can't listen on {where}: {hint}") from error


def _parse_address(value: object, *, listening: bool = False) -> tuple[str | None, int]:
    """Host (None: every address of this machine) and port of HOST:PORT."""
    text = value if isinstance(value, str) else ""
    host, colon, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    port = int(port_text) if port_text.isascii() and port_text.isdecimal() else -1
    if (
        not colon
        or not (1 <= port <= 65_535 or (listening and port == 0))
        or (":" in host) is not bracketed
        or not (host or (listening and not bracketed))
    ):
        raise ConfigError(
            f"{value!r} is not HOST:PORT; write for example 192.168.1.20:4000 or [fe80::1]:4000"
            + (" or :4000 for every address" if listening else "")
        )
    return host or None, port


def _parse_bitrate(options: Mapping[str, object]) -> int | None:
    value = options.get("bitrate")
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ConfigError(f"bitrate is {value!r}; give bits per second as a number above 0")
    return value


def _endpoint(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
