"""The node without its process: rooms, store worker and connections, under whatever clock, entropy,
links and `run_blocking` it is given. The simulator runs this very class.

Not here: data folder, HTTP, signals (dtnode.node.app), configured links (dtnode.node.links).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import trio

from dtnode.clock import Clock
from dtnode.errors import StoreError
from dtnode.link import Link
from dtnode.matrix.server_names import key_from_server_name
from dtnode.node.connection import Connection
from dtnode.node.peer_work import PeerWork
from dtnode.node.worker import News, RunBlocking, StoreWorker
from dtnode.rooms import Rooms
from dtnode.rooms.local import RoomNotHere
from dtnode.session import LinkSession
from dtnode.signer import Entropy, Signer
from dtnode.store import Store

CARD_PATIENCE_S = 30.0  # for a public room's card from the peers in reach
MAX_LINKS_A_PEER = 8  # at once; one is used, and some of those that stand by may be dead already
_STORE_RETRY_S = 5.0  # after the store failed (disk full): there may be room by then

logger = logging.getLogger(__name__)


class Node:
    """Methods are called in the Trio thread; everything with the store goes through `worker`."""

    def __init__(
        self,
        *,
        store: Store,
        signer: Signer,
        user_id: str,
        clock: Clock,
        entropy: Entropy,
        run_blocking: RunBlocking,
    ) -> None:
        self.clock = clock
        self.entropy = entropy
        self.rooms = Rooms(store, signer, user_id, clock, entropy)
        self.worker = StoreWorker(store, run_blocking, self._on_news)
        self.connections: dict[Connection, None] = {}  # by age
        self._signer = signer
        self._known, self._blocked = self._who_is_who()
        self._news_came = trio.Event()
        self._cards_came = trio.Event()
        self._card_answers = 0
        self._refresh = trio.Event()
        self._position = store.events.last_position()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.worker.serve)
            nursery.start_soon(self._keep_known)

    # --- who may talk to this node

    def knows(self, server_name: str) -> bool:
        """By the key: whoever is blocked stays so under a name with another domain."""
        key = key_from_server_name(server_name)
        return key in self._known and key not in self._blocked

    def _who_is_who(self) -> tuple[frozenset[bytes], frozenset[bytes]]:
        """(keys of known peers, keys of blocked ones)"""
        peers = self.rooms.store.peers.all()
        blocked = (peer.server_name for peer in peers if peer.blocked)
        return _keys(self.rooms.sharing.known_servers()), _keys(blocked)

    async def peers_changed(self) -> None:
        """Somebody was added, blocked or removed: takes effect at once."""
        self._known, self._blocked = await self.worker.run(self._who_is_who)
        for connection in list(self.connections):
            if connection.peer is not None and not connection.welcome(connection.peer):
                connection.close("this node doesn't talk to you any more")

    async def _keep_known(self) -> None:
        while True:
            await self._refresh.wait()
            self._refresh = trio.Event()
            try:
                self._known, self._blocked = await self.worker.run(self._who_is_who)
            except StoreError as exc:
                logger.error("who is known can't be looked up: %s", exc)
                await trio.sleep(_STORE_RETRY_S)
                self._refresh.set()

    # --- links

    def connection(
        self,
        link: Link,
        *,
        link_id: str,
        initiator: bool,
        expected_peer: str | None = None,
        anyone: bool = False,
    ) -> Connection:
        """A conversation over `link`, to be run by the caller; it owns the link from here on.

        expected_peer: the only server that may be at the other end. anyone: strangers are welcome.
        """

        expected_key = None if expected_peer is None else key_from_server_name(expected_peer)

        def welcome(server_name: str) -> bool:
            key = key_from_server_name(server_name)
            if key is None or key in self._blocked:
                return False
            return anyone or key == expected_key or key in self._known

        session = LinkSession(
            signer=self._signer,
            entropy=self.entropy,
            info=link.info,
            initiator=initiator,
            expected_peer=expected_peer,
            knows=welcome,
            key_of=key_from_server_name,
        )
        return Connection(
            link=link,
            link_id=link_id,
            session=session,
            worker=self.worker,
            work_for=lambda peer: PeerWork(self.rooms, peer),
            registry=self,
            welcome=welcome,
        )

    def authenticated(self, connection: Connection) -> bool:
        """Registry: of several links to a peer the first that lives is used, others stand by."""
        assert connection.peer is not None
        if not connection.welcome(connection.peer):  # since the handshake asked
            connection.close("this node doesn't talk to you any more")
            return False
        others = self.connections_to(connection.peer)
        for other in others:  # a peer that was cut off comes back before its old link is given up
            other.probe()
        alive = [other for other in others if other.close_reason is None]
        if len(alive) >= MAX_LINKS_A_PEER:
            alive[1].close(f"{MAX_LINKS_A_PEER} other links lead to you")
        self.connections[connection] = None
        return not others

    def closed(self, connection: Connection) -> None:
        """Registry."""
        if connection not in self.connections:
            return
        del self.connections[connection]
        assert connection.peer is not None
        standby = self.connections_to(connection.peer)
        if standby:
            standby[0].activate()

    def card_taken(self) -> None:
        """Registry: a card came, or the answer that there is none."""
        self._card_answers += 1
        self._cards_came.set()
        self._cards_came = trio.Event()

    def connections_to(self, peer: str) -> list[Connection]:
        return [connection for connection in self.connections if connection.peer == peer]

    # --- news

    def _on_news(self, news: News) -> None:
        self._position = news.position
        if news.states_changed:
            self._refresh.set()
        for connection in self.connections:
            connection.notify(news)
        self._news_came.set()
        self._news_came = trio.Event()

    async def wait_for_news(self, after_position: int, timeout_s: float) -> None:
        """Returns once something after `after_position` is visible, or the time is over."""
        with trio.move_on_after(timeout_s):
            while self._position <= after_position:
                await self._news_came.wait()

    def wake_waiters(self) -> None:
        """Lets every wait_for_news return now (the node stops)."""
        self._position += 1 << 62
        self._news_came.set()

    # --- joining

    async def join(self, room_id: str) -> str:
        """The join's event id: at once if the room or an invite is here, else with a public card
        from a peer. RoomNotHere: nobody in reach has it."""
        try:
            return await self.worker.run(lambda: self.rooms.join(room_id))
        except RoomNotHere:
            enough = self._card_answers + self._ask_for_card(room_id)
        with trio.move_on_after(CARD_PATIENCE_S):
            while self._card_answers < enough:
                await self._cards_came.wait()
                if await self.worker.run(lambda: self.rooms.room(room_id)) is not None:
                    return await self.worker.run(lambda: self.rooms.join(room_id))
        raise RoomNotHere(
            f"room {room_id} is not known here, and no node in reach has it as a public room: ask"
            " for an invite, or try again when one of its members is in reach"
        )

    def _ask_for_card(self, room_id: str) -> int:
        """How many peers were asked."""
        asked = [connection for connection in self.connections if connection.is_active]
        for connection in asked:
            connection.request_card(room_id)
        return len(asked)


def _keys(server_names: Iterable[str]) -> frozenset[bytes]:
    keys = (key_from_server_name(name) for name in server_names)
    return frozenset(key for key in keys if key is not None)
