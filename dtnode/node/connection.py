"""One live link: the pump between a Link, its LinkSession and its PeerSync.

Three tasks share them: one reads frames, one writes them, one (the only one that speaks to the
worker) takes frames, news and timers in turn. Whatever goes wrong ends this link, nothing else.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Protocol

import trio

from dtnode.errors import LimitError, LocalProtocolError, RemoteProtocolError, StoreError
from dtnode.link import Link
from dtnode.link_info import LinkInfo
from dtnode.node.link_pump import LinkPump
from dtnode.node.link_record import LinkRecord
from dtnode.node.link_time import LinkTime
from dtnode.node.peer_log import log_refused, one_line
from dtnode.node.peer_work import PeerView, PeerWork
from dtnode.node.trace import Trace
from dtnode.node.worker import News, StoreWorker
from dtnode.session import (
    LinkSession,
    MessageReceived,
    PeerAuthenticated,
    SessionClosed,
    SessionState,
)
from dtnode.session.transfer.packing import MAX_QUEUED_BYTES
from dtnode.sync import PeerSync
from dtnode.sync import effects as fx
from dtnode.wire.limits import MAX_MESSAGE_BYTES
from dtnode.wire.messages import CardKind, Events, JoinRequest, Message, RoomCard
from dtnode.wire.packed import LinkMessage
from dtnode.wire.packing import PackedMessage, PduMessage

_BUSY_BYTES = 1 << 20  # queued beyond this, overdue answers are the link's fault, not the peer's
_MAX_BACKLOG_BYTES = MAX_QUEUED_BYTES - MAX_MESSAGE_BYTES  # there is always room for one more
_MAX_BACKLOG_MESSAGES = 20_000  # of any size: a few MB; honest queues have hundreds
_MAX_NEWS = 1_000  # commits not yet looked at; a store that commits that fast is looked at anew

logger = logging.getLogger(__name__)


class Registry(Protocol):
    """What the node is told of its connections."""

    def authenticated(self, connection: Connection) -> bool:
        """True: this link is the one to use with the peer; False: it stands by behind another, or
        was closed."""
        ...

    def closed(self, connection: Connection) -> None: ...

    def card_taken(self) -> None: ...

    def join_answered(self, event_id: str, refusal: str | None) -> None:
        """An own join was signed by the peer and is in, or was refused."""
        ...


class Connection:
    def __init__(
        self,
        *,
        link: Link,
        info: LinkInfo,
        link_id: str,
        session: LinkSession,
        worker: StoreWorker,
        work_for: Callable[[PeerAuthenticated], PeerWork],
        trace: Trace,
        registry: Registry,
        refusal: Callable[[str], str | None],
    ) -> None:
        """info: the link's, as the operator wants it used. refusal(server name): why that peer may
        not talk over this link now; None: it may."""
        self.link_id = link_id
        self.refusal = refusal
        self.peer: str | None = None
        self.record = LinkRecord(link_id, info, trace)
        self.traffic = self.record.traffic
        self.clock_offset_s: int | None = None
        self.close_reason: str | None = None
        self.on_proved: Callable[[], object] = lambda: None
        turned_away = "link %s: somebody was turned away: %s"
        self.on_turned_away: Callable[[str], object] = partial(logger.info, turned_away, link_id)
        self._turned_away: str | None = None
        self._link = link
        self._info = info
        self._session = session
        self._worker = worker
        self._work_for = work_for
        self._registry = registry
        self._sync: PeerSync | None = None
        self._work: PeerWork | None = None
        self._active = False
        self._contacted = False
        self._told: frozenset[str] = frozenset()
        self._news: deque[News] = deque()
        self._missed_news = False
        self._probe_wanted = False
        self._backlog_messages = 0
        self._is_held_up = False  # so much waits for the link that timers wait too
        self._requests: list[str] = []
        self._joins: list[JoinRequest] = []
        self._time = LinkTime(info, session)
        self._pump = LinkPump(
            link, session, on_frame=self.record.frame, on_end=self._ended, on_drained=self._drained
        )

    # --- from the node, in the Trio thread

    @property
    def sync(self) -> PeerSync | None:
        return self._sync

    @property
    def is_active(self) -> bool:
        """Whether this is the link in use with its peer."""
        return self._active

    def permits(self, room_id: str) -> bool:
        """Whether anything of the room may go over this link; to be asked on the store's thread."""
        return self._work is not None and self._work.permits(room_id)

    def turned_away(self, reason: str) -> None:
        """Somebody came who may not talk to this node; each reason is told once."""
        if reason != self._turned_away:
            self._turned_away = reason
            self.on_turned_away(one_line(reason))

    def notify(self, news: News) -> None:
        """Something became visible here."""
        if len(self._news) >= _MAX_NEWS:
            self._news.clear()
            self._missed_news = True
        self._news.append(news)
        self._pump.poke()

    def probe(self) -> None:
        """The peer has come over another link: see whether it is still there on this one."""
        self._probe_wanted = self._time.runs = True
        self._pump.poke()

    def activate(self) -> None:
        """The link that was used with this peer is gone: use this one."""
        self._active = True
        self._pump.poke()

    def request_card(self, room_id: str) -> None:
        """Ask the peer for the card of a room to join or knock at."""
        self._requests.append(room_id)
        self._pump.poke()

    def request_join(self, join: JoinRequest) -> None:
        """Have the peer sign an own join."""
        self._joins.append(join)
        self._pump.poke()

    def close(self, reason: str) -> None:
        self.close_reason = self.close_reason or reason
        self._session.close(reason)
        self._pump.poke()

    # --- the tasks

    async def run(self) -> None:
        """Until the link, the peer or the node ends it. Never raises for what a peer does."""
        self.record.note(f"{self._link!r} is up")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump.read)
                nursery.start_soon(self._write, nursery.cancel_scope)
                try:
                    await self._main()
                except RemoteProtocolError as exc:
                    self._refused(exc)
                except LocalProtocolError as exc:
                    self._end(f"this node's own fault: {exc}")
                except StoreError as exc:
                    self._end(f"the store failed: {exc}")
                await self._pump.farewell()
                nursery.cancel_scope.cancel()
        finally:
            self.record.note(f"{self._link!r} ends: {one_line(self.close_reason or '')}")
            self._registry.closed(self)
            await self._pump.close()

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            await self._pump.write(scope)
        except RemoteProtocolError as exc:  # the handshake took too long
            self._refused(exc)
            scope.cancel()
        except LocalProtocolError as exc:  # no number is left to dial with
            self._end(f"this node's own fault: {exc}")
            scope.cancel()

    def _refused(self, exc: RemoteProtocolError) -> None:
        """The peer broke a rule. Of strangers dtnode.node.links tells, as far as is bearable."""
        logger.log(
            logging.INFO if self.peer is None else logging.WARNING,
            "link %s: %s at %r was refused: %s",
            self.link_id,
            self.peer or "somebody",
            self._link,
            one_line(str(exc)),
        )
        self._end(str(exc))

    def _end(self, reason: str) -> None:
        self.close_reason = self.close_reason or reason
        self._session.close(reason)

    def _ended(self, reason: str) -> None:
        unproved = "" if self.peer else ", and proved no name: is this node added there?"
        self.close_reason = self.close_reason or reason + unproved

    def _drained(self) -> None:
        self._backlog_messages = 0
        if self._is_held_up or self._session.state is SessionState.CLOSED:
            self._pump.poke()

    async def _main(self) -> None:
        self._session.start(trio.current_time())
        self._pump.flush()
        while self._session.state is not SessionState.CLOSED:
            frame = await self._pump.next_input(self._wake_at())
            if frame is None and self._pump.is_over:
                return
            if frame is not None:
                await self._on_frame(frame)
            now = self._now()
            await self._on_news(now)
            await self._on_timers(now)
            self._pump.flush()

    def _wake_at(self) -> float:
        """For the conversation's timers; the session's are the writer's."""
        self._is_held_up = self._session.queued_bytes >= _BUSY_BYTES
        if self._sync is None or self._is_held_up:
            return inf
        at = self._time.back(self._sync.next_wake_at(), trio.current_time())
        return inf if at is None else at

    def _now(self) -> float:
        return self._time.at(trio.current_time())

    # --- inputs

    async def _on_frame(self, frame: bytes) -> None:
        before = self._session.frames_opened
        events = self._session.receive_frame(frame, trio.current_time())
        if self._session.frames_opened != before:  # nobody but the peer made this frame
            self._time.runs = False
            if self._sync is not None:
                self._sync.heard(self._now())
        for event in events:
            match event:
                case PeerAuthenticated():
                    await self._on_authenticated(event)
                case MessageReceived(message=message, size_bytes=size_bytes):
                    self.record.message(message, size_bytes, incoming=True)
                    await self._on_message(message)
                case SessionClosed(reason=reason):
                    self.close_reason = f"the peer closed: {reason}"

    async def _on_message(self, message: LinkMessage) -> None:
        sync, work = self._sync, self._work
        assert sync is not None, "messages come after authentication"
        assert work is not None
        if isinstance(message, PackedMessage):
            packed = message
            await self._perform(
                sync.receive(await self._worker.run(lambda: work.unpack(packed)), self._now())
            )
        else:
            await self._perform(sync.receive(message, self._now()))

    async def _on_authenticated(self, event: PeerAuthenticated) -> None:
        if self.peer is not None:  # another session, on a link without connections
            self._registry.closed(self)
        self.peer = peer = event.server_name
        self.record.session_began(peer)
        self.clock_offset_s = event.clock_offset_s
        self.on_proved()
        self._contacted = False
        self._sync = PeerSync(peer=peer, info=self._info)
        self._work = self._work_for(event)
        self._sync.start((), (), self._now())
        self._active = self._registry.authenticated(self)
        logger.info("link %s: %s is here (%r)", self.link_id, peer, self._link)
        await self._worker.run(self._work.take_handshake)
        if self._active:
            await self._begin_contact()

    async def _begin_contact(self) -> None:
        assert self._work is not None
        self._contacted = True
        self._news.clear()
        self._missed_news = False
        await self._apply(await self._worker.run(self._work.contact))

    async def _apply(self, view: PeerView) -> None:
        """Tells the peer what it is owed; what was told already is not told again."""
        assert self._sync is not None
        now = self._now()
        self._told = view.shared
        effects: list[fx.Effect] = []
        for room_id, event_ids in view.offers.items():
            effects += self._sync.push(room_id, event_ids)
        effects += self._sync.start(view.tips, view.cards, now)
        for pull in view.pulls:
            effects += self._sync.want(pull.room_id, (), pull.have, now, gaps=pull.event_ids)
        await self._perform(effects)

    async def _on_news(self, now: float) -> None:
        if self._sync is None or self._session.state is not SessionState.AUTHENTICATED:
            return
        if self._probe_wanted:
            self._probe_wanted = False
            await self._perform(self._sync.probe(now))
        if not self._active:
            self._news.clear()
            return
        if not self._contacted:
            await self._begin_contact()
        if self._missed_news:
            self._missed_news = False
            await self._look_at_all_anew()
        for room_id in self._requests:
            await self._perform(self._sync.request_card(room_id, now))
        self._requests.clear()
        for join in self._joins:
            await self._perform(self._sync.request_join(join, now))
        self._joins.clear()
        while self._news:
            await self._on_one_news(self._news.popleft())

    async def _look_at_all_anew(self) -> None:
        """Tells the Tips of all rooms again, and asks for the peer's."""
        assert self._work is not None
        work = self._work
        await self._apply(await self._worker.run(lambda: work.view(frozenset())))

    async def _on_one_news(self, news: News) -> None:
        assert self._sync is not None
        assert self._work is not None
        if news.states_changed or any(room_id not in self._told for room_id in news.events):
            told, work = self._told, self._work
            await self._apply(await self._worker.run(lambda: work.view(told)))
        effects: list[fx.Effect] = []
        for room_id, event_ids in news.events.items():
            if room_id in self._told:
                effects += self._sync.push(room_id, event_ids)
        await self._perform(effects)

    async def _on_timers(self, now: float) -> None:
        if self._sync is None or self._session.queued_bytes >= _BUSY_BYTES:
            return
        if now >= self._sync.next_wake_at():
            await self._perform(self._sync.wake(now))

    # --- effects

    async def _perform(self, effects: list[fx.Effect]) -> None:
        todo = deque(effects)
        while todo and self._session.state is SessionState.AUTHENTICATED:
            todo.extend(await self._perform_one(todo.popleft()))
            self._pump.flush()

    async def _perform_one(self, effect: fx.Effect) -> list[fx.Effect]:
        sync, work, run = self._sync, self._work, self._worker.run
        assert sync is not None
        assert work is not None
        match effect:
            case fx.Send(message=message):
                await self._queue(message)
            case fx.TellTips(room_id=room_id, reply=reply):
                tips = await run(lambda: work.tips(room_id, reply))
                return [] if tips is None else sync.tips_known(tips, self._now())
            case fx.Compare(tips=theirs):
                found = await run(lambda: work.compare(theirs))
                return sync.compared(found.room_id, found.to_send, cut=found.cut)
            case fx.Speculate(room_id=room_id):
                found = await run(lambda: work.speculate(room_id))
                return sync.compared(found.room_id, found.to_send, cut=found.cut)
            case fx.Ingest():
                return await self._ingest(effect)
            case fx.Serve(want=want):
                ids, not_here = await run(lambda: work.serve(want))
                return sync.served(want, ids, not_here)
            case fx.Load():
                version, pdus = await run(lambda: work.load(effect))
                return sync.loaded(effect, version, pdus, self._now())
            case fx.TakeCard(card=card):
                return await self._take_card(card)
            case fx.OweCards():
                return sync.owe_cards(await run(work.cards), self._now())
            case fx.MakePublicCard(room_id=room_id):
                card_made = await run(lambda: work.public_card(room_id))
                return sync.public_card_made(room_id, card_made, self._now())
            case fx.CoSign(request=request):
                signed, reason = await run(lambda: work.co_sign(request))
                return sync.co_signed(request, signed, reason)
            case fx.JoinAnswered(answer=answer):
                refusal = await run(lambda: work.join_answered(answer))
                self._registry.join_answered(answer.event_id, refusal)
            case fx.Delivered(room_id=room_id, event_ids=event_ids):
                await run(lambda: work.delivered(room_id, event_ids))
            case fx.CardDelivered(event_id=event_id):
                await run(lambda: work.told(event_id))
            case fx.NotFound(room_id=room_id, event_ids=event_ids):
                shown = one_line(room_id)
                logger.debug("%s hasn't %d events of %s", self.peer, len(event_ids), shown)
                if not event_ids:
                    self._registry.card_taken()
            case fx.PeerClosed(reason=reason):
                self._end(reason)
        return []

    async def _queue(self, message: Message) -> None:
        """LimitError: the peer has this node say more than it takes."""
        self._backlog_messages += 1
        if (
            self._session.queued_bytes > _MAX_BACKLOG_BYTES
            or self._backlog_messages > _MAX_BACKLOG_MESSAGES
        ):
            raise LimitError(
                f"{self._session.queued_bytes} bytes wait for the peer, which doesn't take them"
            )
        if isinstance(message, PduMessage):
            await self._queue_packed(message)
        else:
            self.record.message(message, self._session.send(message), incoming=False)

    async def _queue_packed(self, message: PduMessage) -> None:
        work, to_pack = self._work, message
        assert work is not None
        packed = await self._worker.run(lambda: work.pack(to_pack))
        if self._session.state is not SessionState.AUTHENTICATED:
            return  # closed meanwhile
        self.record.message(packed, self._session.send(packed), incoming=False)
        if isinstance(message, Events):
            self.traffic.events_out += len(message.pdus)

    async def _take_card(self, card: RoomCard) -> list[fx.Effect]:
        assert self._sync is not None
        assert self._work is not None
        work = self._work
        refused, missing, have = await self._worker.run(lambda: work.take_card(card))
        if refused is not None:
            logger.warning(
                "%s: card of %s refused: %s", self.peer, one_line(card.room_id), one_line(refused)
            )
        if card.kind is CardKind.PUBLIC:  # one for each request; of the others a liar has many
            self._registry.card_taken()
        now = self._now()
        return self._sync.card_taken(card, missing, have, now, refused=refused is not None)

    async def _ingest(self, effect: fx.Ingest) -> list[fx.Effect]:
        assert self._sync is not None
        assert self._work is not None
        work = self._work
        done = await self._worker.run(lambda: work.ingest(effect))
        if done is None:
            logger.warning(
                "%s sent %d events of %s, a room (of version %s) unknown here: not kept",
                self.peer,
                len(effect.pdus),
                one_line(effect.room_id),
                one_line(effect.room_version),
            )
            return self._sync.unknown_room(effect)
        self.traffic.events_in += len(effect.pdus)
        assert self.peer is not None
        log_refused(self.peer, effect.room_id, done)
        if not done.known:
            return self._sync.unknown_room(effect)
        return self._sync.ingested(
            effect,
            event_ids=done.event_ids,
            missing=done.missing,
            gaps=done.gaps,
            refused=done.refused,
            judged=done.judged,
            dropped=done.dropped,
            unread=done.unread,
            have=done.have,
            now=self._now(),
            released=done.released,
        )
