"""The node without its process: rooms, store worker and connections, under whatever clock, entropy,
links and `run_blocking` it is given. The simulator runs this very class.

Not here: data folder, HTTP, signals (dtnode.node.app), configured links (dtnode.node.links).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf

import trio

from dtnode.clock import Clock
from dtnode.errors import AuthRuleError, StoreError
from dtnode.link import Link
from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import Pdu
from dtnode.node.broadcasts import Broadcasts
from dtnode.node.connection import Connection
from dtnode.node.contacts import (
    RESERVE_BELOW,
    Acquaintances,
    LinkContacts,
    WhoIsWho,
    reserve_numbers,
    who_is_who,
)
from dtnode.node.peer_clocks import PeerClocks
from dtnode.node.peer_work import PeerWork
from dtnode.node.trace import Trace
from dtnode.node.upkeep import keep_limits
from dtnode.node.worker import News, RunBlocking, StoreWorker
from dtnode.rooms import Rooms
from dtnode.rooms.admission import NeedsCoSignature
from dtnode.rooms.local import RoomNotHere
from dtnode.rooms.spread import Spread, one_by_one
from dtnode.session import LinkSession, PeerAuthenticated
from dtnode.signer import Entropy, Signer
from dtnode.store import Store
from dtnode.wire.messages import JoinRequest
from dtnode.wire.packing import Packer
from dtnode.wire.text_model import TextModel

CARD_PATIENCE_S = 45.0  # for the card of a room that isn't known here, from the peers in reach
TEXT_MODEL_UP_TO_BPS = 20_000  # faster links carry a text before the model has shortened it
SIGNATURE_PATIENCE_S = 60.0  # for a member's signature; one that comes later counts all the same
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
        spread: Spread = one_by_one,
    ) -> None:
        self.clock = clock
        self.entropy = entropy
        self.rooms = Rooms(store, signer, user_id, clock, entropy, spread)
        self.worker = StoreWorker(store, run_blocking, self._on_news)
        self.connections: dict[Connection, None] = {}  # by age
        self.broadcasts: dict[Broadcasts, None] = {}
        self.trace = Trace(clock.now_ms)
        self.peer_clocks = PeerClocks(clock)
        self._acquaintances = self._introduce(signer)
        self._text_coder = TextModel()
        self._news_came = trio.Event()
        self._cards_came = trio.Event()
        self._card_answers = 0
        self._join_answers: dict[str, _JoinAnswer] = {}
        self._refresh = trio.Event()
        self._position = store.events.last_position()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.worker.serve)
            nursery.start_soon(self._keep_known)
            nursery.start_soon(keep_limits, self.rooms, self.worker, self.clock)

    # --- who may talk to this node

    def knows(self, server_name: str) -> bool:
        """By the key: whoever is blocked stays so under a name with another domain."""
        return self._acquaintances.knows(server_name)

    def _introduce(self, signer: Signer) -> Acquaintances:
        known = Acquaintances(signer, self._who_is_who())
        try:
            with self.rooms.store.transaction():
                known.reserved(reserve_numbers(self.rooms))
        except StoreError as exc:  # a full disk: what is here can be read all the same
            logger.error("no handshake numbers could be reserved: %s", exc)
        return known

    def _who_is_who(self) -> WhoIsWho:
        return who_is_who(self.rooms)

    async def peers_changed(self) -> None:
        """Somebody was added, blocked or removed: takes effect at once."""
        self._acquaintances.who = await self.worker.run(self._who_is_who)
        for connection in list(self.connections):
            if connection.peer is not None and connection.refusal(connection.peer):
                connection.close("this node doesn't talk to you any more")

    async def _keep_known(self) -> None:
        while True:
            await self._refresh.wait()
            self._refresh = trio.Event()
            try:
                self._acquaintances.who = await self.worker.run(self._who_is_who)
                if self._acquaintances.numbers_left < RESERVE_BELOW:
                    first = await self.worker.run(lambda: reserve_numbers(self.rooms))
                    self._acquaintances.reserved(first)
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
        cipher: CipherPolicy = CipherPolicy.SEALED,
    ) -> Connection:
        """A conversation over `link`, to be run by the caller; it owns the link from here on.

        expected_peer: the only server that may be at the other end. anyone: strangers are welcome.
        cipher: how this node's operator wants it protected.
        """
        if self._acquaintances.numbers_left < RESERVE_BELOW:
            self._refresh.set()
        info = replace(link.info, cipher=cipher)
        contacts = LinkContacts(
            self._acquaintances,
            expected=expected_peer,
            anyone=anyone,
        )
        session = LinkSession(
            contacts=contacts,
            entropy=self.entropy,
            info=info,
            initiator=initiator,
            wall_ms=self.clock.now_ms,
        )
        connection = Connection(
            link=link,
            info=info,
            link_id=link_id,
            session=session,
            worker=self.worker,
            work_for=partial(self._work_for, info),
            trace=self.trace,
            registry=self,
            refusal=contacts.refusal,
        )
        contacts.turned_away = connection.turned_away
        return connection

    def broadcast_over(self, link: Link, *, link_id: str) -> Broadcasts:
        """Sending to and hearing whoever is there, to be run by the caller; owns the link too."""
        found = Broadcasts(
            link=link,
            link_id=link_id,
            rooms=self.rooms,
            worker=self.worker,
            entropy=self.entropy,
            text_coder=self._text_coder,
            shortens=_is_slow(link.info),
            trace=self.trace,
            on_close=lambda over: self.broadcasts.pop(over, None),
        )
        self.broadcasts[found] = None
        return found

    def _work_for(self, info: LinkInfo, session: PeerAuthenticated) -> PeerWork:
        ends = (self.rooms.own_name, session.server_name)
        return PeerWork(
            self.rooms,
            session.server_name,
            cipher=info.cipher,
            handshake=self._acquaintances.highest_accepted(session.server_name),
            packer=Packer(
                self._text_coder,
                used=_is_slow(info),
                servers=ends if session.initiator else ends[::-1],
            ),
        )

    def authenticated(self, connection: Connection) -> bool:
        """Registry: of several links to a peer the first that lives is used, others stand by."""
        assert connection.peer is not None
        if connection.refusal(connection.peer):  # since the handshake asked
            connection.close("this node doesn't talk to you any more")
            return False
        self._acquaintances.met(connection.peer)
        if connection.clock_offset_s is not None:
            self.peer_clocks.told(connection.peer, connection.clock_offset_s)
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
        for broadcasts in self.broadcasts:
            broadcasts.notify(news)
        self._news_came.set()
        self._news_came = trio.Event()

    async def wait_for_news(self, after_position: int, timeout_s: float) -> None:
        """Returns once something after `after_position` is visible, or the time is over."""
        with trio.move_on_after(timeout_s):
            while self._position <= after_position:
                await self._news_came.wait()

    def wake_waiters(self) -> None:
        """Lets every wait_for_news and every wait for a trace return now (the node stops)."""
        self.trace.close()
        self._position += 1 << 62
        self._news_came.set()

    # --- joining

    async def join(self, room_id: str) -> str:
        """The join's event id: at once if the room or an invite is here, else with a card from a
        peer, and a signature where the room needs one. RoomNotHere: nobody in reach can help."""
        return await self._with_cards(room_id, partial(self._join_once, room_id))

    async def knock(self, room_id: str, reason: str | None) -> str:
        """Asks to be let into a room: the knock's event id. RoomNotHere: nobody in reach has it."""

        async def knock_once() -> str:
            return await self.worker.run(lambda: self.rooms.knock(room_id, reason))

        return await self._with_cards(room_id, knock_once)

    async def _with_cards(self, room_id: str, attempt: Callable[[], Awaitable[str]]) -> str:
        """Tries with what is here, then with each card that peers have."""
        try:
            return await attempt()
        except RoomNotHere as exc:
            missing = exc
        seen = self._card_answers
        enough = seen + self._ask_for_card(room_id)
        with trio.move_on_after(CARD_PATIENCE_S) as patience:
            while seen < enough:
                while self._card_answers == seen:
                    await self._cards_came.wait()
                seen = self._card_answers
                patience.deadline = inf  # an attempt may ask for a signature, and waits for that
                try:
                    return await attempt()
                except RoomNotHere as exc:
                    missing = exc
                patience.deadline = trio.current_time() + CARD_PATIENCE_S
        if await self.worker.run(lambda: self.rooms.room(room_id)) is not None:
            raise missing
        raise RoomNotHere(
            f"room {room_id} is not known here, and no node in reach lets you in: ask for an"
            " invite, or try again when one of its members is in reach"
        )

    async def _join_once(self, room_id: str) -> str:
        try:
            return await self.worker.run(lambda: self.rooms.join(room_id))
        except NeedsCoSignature as exc:
            needed = exc
        refusal: str | None = None
        for authoriser in needed.authorisers:
            connection = self._active_to(server_name_of(authoriser))
            if connection is None:
                continue
            if not await self.worker.run(partial(connection.permits, room_id)):
                continue
            pdu = await self.worker.run(partial(self.rooms.draft_join, room_id, authoriser))
            connection.request_join(_join_request(room_id, pdu))
            refusal = await self._join_answer(pdu.event_id)
            if refusal is None:
                return pdu.event_id
        if refusal is None:
            raise RoomNotHere(f"{needed}: try again when one of them is in reach")
        raise AuthRuleError(f"who could let you in didn't: {refusal}")

    async def _join_answer(self, event_id: str) -> str | None:
        """None: signed and in; else why not."""
        answer = self._join_answers[event_id] = _JoinAnswer()
        try:
            with trio.move_on_after(SIGNATURE_PATIENCE_S):
                await answer.came.wait()
                return answer.refusal
        finally:
            del self._join_answers[event_id]
        return "no answer came in time; when it comes you are in the room"

    def join_answered(self, event_id: str, refusal: str | None) -> None:
        """Registry."""
        answer = self._join_answers.get(event_id)
        if answer is not None:
            answer.refusal = refusal
            answer.came.set()

    def _active_to(self, peer: str) -> Connection | None:
        return next((c for c in self.connections_to(peer) if c.is_active), None)

    def _ask_for_card(self, room_id: str) -> int:
        """How many peers were asked."""
        asked = [connection for connection in self.connections if connection.is_active]
        for connection in asked:
            connection.request_card(room_id)
        return len(asked)


def _is_slow(info: LinkInfo) -> bool:
    return info.bitrate_bps is not None and info.bitrate_bps <= TEXT_MODEL_UP_TO_BPS


def _join_request(room_id: str, pdu: Pdu) -> JoinRequest:
    return JoinRequest(
        room_id=room_id,
        room_version=pdu.version.identifier,
        event_id=pdu.event_id,
        pdu=pdu.canonical(),
    )


@dataclass(slots=True)
class _JoinAnswer:
    came: trio.Event = field(default_factory=trio.Event)
    refusal: str | None = None
