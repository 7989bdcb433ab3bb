"""Configured links: starting, dialling again, accepting, and what `status` says of them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import trio

from dtnode.config import LinkConfig
from dtnode.errors import ConfigError
from dtnode.link import Link, Transport, load_transport
from dtnode.link_info import CipherPolicy
from dtnode.node.broadcasts import Broadcasts
from dtnode.node.connection import Connection
from dtnode.node.node import Node
from dtnode.node.peer_log import one_line

MIN_BACKOFF_S, MAX_BACKOFF_S, BACKOFF_FACTOR = 0.5, 30.0, 1.7
"""Between two tries to dial or to listen. The longest is short enough that two nodes that meet for
a minute find each other; each is drawn between half and all of it, so that many don't dial at once.
"""

MAX_STRANGERS = 64
"""Accepted connections of one link that haven't proved a name; 30 s each. With one more the oldest
is closed: honest nodes, which prove theirs at once, get through between idle ones."""

STEADY_S = 10.0
"""A connection that lasted less is no reason to dial again at once: something ends it each time."""

_LISTENING_PROOF_S = 1.0  # a listener that failed before, and hasn't again by then, is up
_WARNINGS, _WARNINGS_S = 10, 60.0  # of strangers' refusals, for one link; more go to level info
_IS_ADDED = "is this node added there?"
_PENDING_LINKS = 16  # accepted by a transport and not yet served; then it waits

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class LinkStatus:
    """state: listening, dialling, connected, failed. unproved: connections whose other end hasn't
    proved its name."""

    config: LinkConfig
    state: str = "dialling"
    detail: str | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    stopped: trio.Event = field(default_factory=trio.Event)
    warned: deque[float] = field(default_factory=lambda: deque(maxlen=_WARNINGS))
    unproved: dict[Connection, None] = field(default_factory=dict)


class LinkManager:
    """Runs the configured links of one node in `nursery`."""

    def __init__(self, node: Node, nursery: trio.Nursery) -> None:
        self._node = node
        self._nursery = nursery
        self._links: dict[str, LinkStatus] = {}

    async def apply(self, configs: Iterable[LinkConfig]) -> None:
        """Starts what is new, stops what is gone or changed."""
        wanted = {config.id: config for config in configs}
        for link_id, status in list(self._links.items()):
            if wanted.get(link_id) != status.config:
                status.scope.cancel()
                await status.stopped.wait()
                del self._links[link_id]
        for link_id, config in wanted.items():
            if link_id not in self._links:
                status = self._links[link_id] = LinkStatus(config)
                self._nursery.start_soon(self._run, status)

    def statuses(self) -> list[LinkStatus]:
        return list(self._links.values())

    def connections(self, link_id: str) -> list[Connection]:
        return [one for one in self._node.connections if one.link_id == link_id]

    def broadcasts(self, link_id: str) -> list[Broadcasts]:
        return [one for one in self._node.broadcasts if one.link_id == link_id]

    async def _run(self, status: LinkStatus) -> None:
        try:
            with status.scope:
                transport = load_transport(status.config.kind, status.config.options)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen, status, transport)
                    address = status.config.options.get("dial")
                    if address is not None:
                        nursery.start_soon(self._dial, status, transport, str(address))
        except ConfigError as exc:
            self._failed(status, str(exc))
        except Exception:
            logger.exception("link %s stopped by an error of this program", status.config.id)
            self._failed(status, "stopped by an error of this program, see the log")
        finally:
            status.stopped.set()

    def _failed(self, status: LinkStatus, detail: str) -> None:
        if (status.state, status.detail) != ("failed", detail):
            logger.warning("link %s: %s", status.config.id, detail)
        status.state, status.detail = "failed", detail

    # --- accepting

    async def _listen(self, status: LinkStatus, transport: Transport) -> None:
        backoff = _Backoff(self._node.entropy)
        while True:
            send, receive = trio.open_memory_channel[Link](_PENDING_LINKS)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._accept, status, receive)
                async with send, trio.open_nursery() as proof:
                    if "dial" not in status.config.options:
                        proof.start_soon(self._listening, status)
                    failed = await _why_failed(transport, send)
                    proof.cancel_scope.cancel()
                if failed is None:
                    return  # nothing to accept on this kind of link
                self._failed(status, failed)
            await trio.sleep(backoff.next_s())

    async def _listening(self, status: LinkStatus) -> None:
        if status.state == "failed":
            await trio.sleep(_LISTENING_PROOF_S)
            logger.warning("link %s: works again", status.config.id)
        status.state, status.detail = "listening", None

    async def _accept(self, status: LinkStatus, links: trio.MemoryReceiveChannel[Link]) -> None:
        async with links, trio.open_nursery() as nursery:
            async for link in links:
                if len(status.unproved) >= MAX_STRANGERS:
                    oldest = next(iter(status.unproved))
                    del status.unproved[oldest]
                    oldest.close("too many others came that have yet to prove their names")
                nursery.start_soon(partial(self._serve, status, link, initiator=False))

    # --- dialling

    async def _dial(self, status: LinkStatus, transport: Transport, address: str) -> None:
        backoff = _Backoff(self._node.entropy)
        while True:
            try:
                link = await transport.dial(address)
            except ConfigError as exc:
                self._failed(status, str(exc))
            except OSError as exc:
                status.state, status.detail = "dialling", f"{address} doesn't answer: {exc}"
            else:
                status.detail = f"{address} answers, and has yet to prove a name: " + _IS_ADDED
                began = trio.current_time()
                connection = await self._serve(status, link, initiator=True)
                status.state = "dialling"
                status.detail = connection.close_reason if connection else "an error, see the log"
                worked = isinstance(connection, Broadcasts) or (
                    connection is not None and connection.peer is not None
                )
                if worked and trio.current_time() >= began + STEADY_S:
                    backoff.reset()
            await trio.sleep(backoff.next_s())

    async def _serve(
        self, status: LinkStatus, link: Link, *, initiator: bool
    ) -> Connection | Broadcasts | None:
        """A bug met on one link must not take the node down: it is logged, None is returned."""
        connection: Connection | None = None
        try:
            if status.config.cipher is CipherPolicy.OPEN:
                return await self._broadcast(status, link, initiator=initiator)
            connection = self._node.connection(
                link,
                link_id=status.config.id,
                initiator=initiator,
                expected_peer=status.config.peer,
                anyone=status.config.accept == "anyone",
                cipher=status.config.cipher,
            )
            connection.on_turned_away = partial(self._turned_away, status)
            if initiator:
                connection.on_proved = partial(self._connected, status)
            else:
                status.unproved[connection] = None
                connection.on_proved = partial(status.unproved.pop, connection, None)
            await connection.run()
        except Exception:
            logger.exception(
                "link %s: %r ended by an error of this program", status.config.id, link
            )
            await trio.aclose_forcefully(link)
            return None
        finally:
            if connection is not None:
                status.unproved.pop(connection, None)
        assert connection is not None
        level = logging.INFO if connection.peer else self._level_for_stranger(status)
        reason = one_line(connection.close_reason or "no reason given")
        logger.log(level, "link %s: %r ended: %s", status.config.id, link, reason)
        return connection

    @staticmethod
    def _connected(status: LinkStatus) -> None:
        status.state, status.detail = "connected", None

    def _turned_away(self, status: LinkStatus, reason: str) -> None:
        level = self._level_for_stranger(status)
        logger.log(level, "link %s: turned somebody away: %s", status.config.id, reason)

    async def _broadcast(self, status: LinkStatus, link: Link, *, initiator: bool) -> Broadcasts:
        if initiator:
            self._connected(status)
        broadcasts = self._node.broadcast_over(link, link_id=status.config.id)
        await broadcasts.run()
        reason = one_line(broadcasts.close_reason or "the other end closed the link")
        logger.info("link %s: %r ended: %s", status.config.id, link, reason)
        return broadcasts

    @staticmethod
    def _level_for_stranger(status: LinkStatus) -> int:
        """The operator should read why somebody was refused, but not without end."""
        now = trio.current_time()
        if len(status.warned) == _WARNINGS and now < status.warned[0] + _WARNINGS_S:
            return logging.INFO
        status.warned.append(now)
        return logging.WARNING


async def _why_failed(transport: Transport, links: trio.MemorySendChannel[Link]) -> str | None:
    """Runs a transport; None: it has nothing (more) to accept."""
    try:
        await transport.run(links)
    except ConfigError as exc:
        return str(exc)
    except OSError as exc:
        return f"it doesn't work now ({exc}); it is tried again by itself"
    return None


class _Backoff:
    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._next_s = MIN_BACKOFF_S

    def reset(self) -> None:
        self._next_s = MIN_BACKOFF_S

    def next_s(self) -> float:
        share = 0.5 + int.from_bytes(self._entropy(2), "big") / 131_072
        wait_s = self._next_s * share
        self._next_s = min(self._next_s * BACKOFF_FACTOR, MAX_BACKOFF_S)
        return wait_s
