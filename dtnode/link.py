"""The seam between a node and the media it talks over: Link, Transport, and how one is found.

Not a transport: those live in `dtnode_transports` and in other people's packages, registered under
the entry-point group `dtnode.transports`. Called by dtnode.node; transports implement it, and
`dtnode.testing.check_link` tells whether they do so correctly.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

import trio

from dtnode.errors import ConfigError, LocalProtocolError
from dtnode.link_info import LinkInfo

ENTRY_POINT_GROUP = "dtnode.transports"


class Link(trio.abc.Channel[bytes]):
    """One live hop to one neighbour: a channel of frames (datagrams), 1 to `info.mtu_bytes` bytes.

    Frames arrive whole. Where `info.reliable` they also arrive once and in order until the link
    ends; elsewhere they may be lost, repeated or reordered. A repr names the medium and the other
    end's address, for logs.

    One task may send while another receives; what two tasks doing the same at once get is
    trio.BusyResourceError.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def info(self) -> LinkInfo:
        """What this link can do; the same for its whole life."""

    @abstractmethod
    async def send(self, value: bytes) -> None:
        """Hand one frame to the medium. Blocks while the medium is busy or the other end doesn't
        keep up; returning doesn't mean that the frame has arrived.

        Cancellation: the link stays usable. The frame is sent whole or not at all; a part already
        on its way is completed by the next send().

        Raises:
          LocalProtocolError: the frame is empty or larger than `info.mtu_bytes`; nothing is sent.
          trio.ClosedResourceError: this link was closed here, perhaps while send() waited.
          trio.BrokenResourceError: the other end is gone or the medium failed; only aclose() is
            of use then.
          trio.BusyResourceError: another task is in send().
        """

    @abstractmethod
    async def receive(self) -> bytes:
        """The next frame. Blocks until there is one.

        Cancellation: no frame is lost, and the link stays usable.

        Raises:
          trio.EndOfChannel: the other end closed, and all it sent before has been received.
          trio.ClosedResourceError: this link was closed here, perhaps while receive() waited.
          trio.BrokenResourceError: the connection broke off, or the other end broke the framing.
          trio.BusyResourceError: another task is in receive().
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Give the hop up. Frames in flight may be lost. Tasks in send() or receive() get
        ClosedResourceError. Closing twice is harmless; a cancelled aclose() closes all the same,
        without farewell."""


class Transport(Protocol):
    """One configured `link`: a medium that brings Links about."""

    async def run(self, links: trio.MemorySendChannel[Link], /) -> None:
        """Accept neighbours and send a Link into `links` for each; whoever receives it owns it.

        Runs until cancelled, or returns when there is nothing to accept (a link that only dials) or
        nobody receives from `links` any more. One neighbour that stalls or breaks the rules
        doesn't end it, nor does a passing shortage of resources. Cancellation closes what it
        listens on and what it hasn't handed over; Links handed over live on.

        Raises ConfigError when it can't begin (address in use, device missing): a text for the
        operator. Trying again later is the caller's decision.
        """
        ...

    async def dial(self, address: str, /) -> Link:
        """A new Link to `address`, in the transport's own notation. The caller owns it, and retries
        at its own pace.

        Blocks until connected, for a time that the transport bounds. Cancellation leaves nothing
        behind. Raises ConfigError (not an address) or OSError (nobody there, now).
        """
        ...


TransportFactory = Callable[[Mapping[str, object]], Transport]
"""What an entry point names: options (as in the config file) to a Transport; opens nothing yet.
Raises ConfigError for options it can't use."""


def transport_kinds() -> tuple[str, ...]:
    """The kinds of link that are installed, sorted."""
    return tuple(sorted({point.name for point in _installed()}))


def load_transport(kind: str, options: Mapping[str, object]) -> Transport:
    """The transport registered as `kind`, set up with `options`.

    Raises ConfigError: no such kind, its package can't be loaded, or the options are wrong.
    """
    point = next((point for point in _installed() if point.name == kind), None)
    if point is None:
        kinds = ", ".join(transport_kinds()) or "none: reinstall dtnode"
        raise ConfigError(f"no kind of link is called {kind!r}; installed are: {kinds}")
    try:
        factory: TransportFactory = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"links of kind {kind!r} can't be used, {point.value} fails to load: {error}; install"
            " what it needs"
        ) from error
    return factory(options)


def check_option_names(kind: str, options: Iterable[str], known: Iterable[str]) -> None:
    """For transports: ConfigError for an option that is not one of `known`."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"{kind} links have no option {', '.join(unknown)}; they have"
            f" {', '.join(sorted(known))}"
        )


def check_frame(info: LinkInfo, frame: bytes) -> None:
    """For transports: the LocalProtocolError that send() owes its caller."""
    if not 0 < len(frame) <= info.mtu_bytes:
        raise LocalProtocolError(
            f"a frame of {len(frame)} bytes can't be sent on a link that takes 1 to"
            f" {info.mtu_bytes}"
        )


def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))
