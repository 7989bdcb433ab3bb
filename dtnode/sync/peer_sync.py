"""One conversation about rooms with one authenticated peer.

On contact both sides tell their Tips of every shared room; each then pushes what the other
lacks, parents first, in batches that are acknowledged after they are durable. New events are pushed
as they come; unknown parents are pulled with Want. What isn't answered is said again, and means the
same the second time.

Calls take `now` (monotonic seconds) and return effects (dtnode.sync.effects) in order. What a peer
sends can raise RemoteProtocolError; it ends the session.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dtnode.errors import LimitError
from dtnode.link_info import LinkInfo
from dtnode.sync.cards import MAX_REFUSED, Cards, card_bytes
from dtnode.sync.effects import (
    CardDelivered,
    Compare,
    CoSign,
    Delivered,
    Effect,
    Ingest,
    JoinAnswered,
    Load,
    MakePublicCard,
    NotFound,
    OweCards,
    PeerClosed,
    Send,
    Serve,
    Speculate,
    TakeCard,
    TellTips,
)
from dtnode.sync.joins import Joins
from dtnode.sync.liveness import Liveness
from dtnode.sync.outbox import InFlight, Outbox, fitting
from dtnode.sync.timing import (
    MAX_ATTEMPTS,
    airtime_s,
    answer_timeout_s,
    batch_bytes,
    retry_at,
    tips_timeout_s,
    window_bytes,
)
from dtnode.sync.wants import Wants
from dtnode.wire.limits import MAX_WANT_IDS
from dtnode.wire.messages import (
    Ack,
    CardAck,
    CardKind,
    CardRequest,
    Events,
    JoinRefused,
    JoinRequest,
    JoinSigned,
    Message,
    NotHere,
    Ping,
    RoomCard,
    Tips,
    Want,
)

MAX_TIPS_ATTEMPTS = 4  # askings for Tips that may be lost, before they count as withheld
MAX_BAD_EVENTS = 1_000  # dropped events in a row before a peer is taken for a flooder
MAX_BROUGHT = 20_000  # ids remembered so that they aren't sent back; more come back as duplicates
_SMALL_BYTES = 200  # a message without PDUs, for timeouts


@dataclass(slots=True)
class _Room:
    """What is going on with the peer about one room. heard: its Tips came since ours asked."""

    heard: bool = False
    ask_at: float | None = None
    attempts: int = 0
    retell: bool = False


class PeerSync:
    def __init__(self, *, peer: str, info: LinkInfo) -> None:
        self.peer = peer
        self._info = info
        self._rooms: dict[str, _Room] = {}
        self._outbox = Outbox()
        self._wants = Wants()
        self._cards = Cards()
        self._joins = Joins()
        self._batch_bytes = batch_bytes(info)
        self._window_bytes = window_bytes(info)
        self._loading: str | None = None
        self._bad_events = 0
        self._brought: OrderedDict[str, None] = OrderedDict()
        self._liveness = Liveness(info)

    # --- what the caller tells it

    def start(self, tips: Sequence[Tips], cards: Sequence[RoomCard], now: float) -> list[Effect]:
        """The contact begins: this node's Tips of shared rooms, cards the peer is owed."""
        self.heard(now)
        effects: list[Effect] = []
        for room_tips in tips:
            effects += self.tips_known(room_tips, now)
        return effects + self.owe_cards(cards, now)

    def tips_known(self, tips: Tips, now: float) -> list[Effect]:
        """Answer to TellTips, or a room that the peer turns out to share."""
        room = self._room(tips.room_id)
        if tips.reply:
            room.heard = False
        if not room.heard and room.ask_at is None:
            room.ask_at = retry_at(now, tips_timeout_s(self._info), room.attempts)
        return [Send(message=tips)]

    def owe_cards(self, cards: Sequence[RoomCard], now: float) -> list[Effect]:
        """Answer to OweCards too. What doesn't fit is asked for when the others have arrived."""
        effects: list[Effect] = []
        for card in self._cards.choose(cards):
            self._cards.sent(card, now + self._timeout(card_bytes(card)))
            effects.append(Send(message=card))
        return effects

    def push(self, room_id: str, event_ids: Iterable[str]) -> list[Effect]:
        """New events for a peer that shares the room, unless it brought them. Tips that are waited
        for will show what it lacks: sent earlier, they would overtake their parents."""
        room = self._rooms.get(room_id)
        if room is not None and (room.ask_at is not None or room.retell):
            return []
        self._outbox.add(room_id, (id_ for id_ in event_ids if id_ not in self._brought))
        return self._fill()

    def request_card(self, room_id: str, now: float) -> list[Effect]:
        self._cards.ask(room_id, now + self._timeout(_SMALL_BYTES))
        return [Send(message=CardRequest(room_id=room_id))]

    def request_join(self, join: JoinRequest, now: float) -> list[Effect]:
        """Has the peer sign an own join, which names a user of its own."""
        due = now + self._timeout(len(join.pdu))
        self._joins.ask(join, due)
        return [Send(message=join)]

    def want(
        self,
        room_id: str,
        event_ids: Iterable[str],
        have: Sequence[str],
        now: float,
        *,
        gaps: Iterable[str] = (),
    ) -> list[Effect]:
        """Pulls missing events, unless they were asked for already. gaps: those that the peer isn't
        known to have."""
        due = retry_at(now, self._timeout(_SMALL_BYTES), 0)
        chosen = self._wants.new(room_id, event_ids, have, due, gaps=gaps)
        if not chosen:
            return []
        return [Send(message=Want(room_id=room_id, event_ids=chosen, have=tuple(have)))]

    def asked(self, room_id: str) -> frozenset[str]:
        """Ids of the room that the peer was asked for and hasn't answered."""
        return self._wants.outstanding(room_id)

    def lacks(self) -> int:
        """Events waiting to be sent or acknowledged."""
        flying = sum(len(sent.event_ids) for sent in self._outbox.in_flight.values())
        return len(self._outbox) + flying

    def is_idle(self) -> bool:
        """Nothing waits to be sent, answered or pulled."""
        return (
            not self.lacks()
            and not len(self._cards)
            and not len(self._joins)
            and self._wants.next_due() is None
            and all(room.ask_at is None for room in self._rooms.values())
        )

    def heard(self, now: float) -> None:
        """Anything came from the peer: large messages take long on slow links."""
        self._liveness.heard(now)

    def probe(self, now: float) -> list[Effect]:
        """The peer has come over another link: is it still at the end of this one?"""
        return [Send(message=Ping(reply=True))] if self._liveness.probe(now) else []

    # --- messages from the peer

    def receive(self, message: Message, now: float) -> list[Effect]:
        self.heard(now)
        handle = self._handlers.get(type(message))
        assert handle is not None, "the session keeps other messages to itself"
        return handle(self, message)

    def _on_tips(self, tips: Tips) -> list[Effect]:
        effects: list[Effect] = [Compare(tips=tips)]
        room = self._rooms.get(tips.room_id)
        if room is not None:
            room.heard, room.ask_at, room.attempts = True, None, 0
        if tips.reply or room is None:
            effects.append(TellTips(room_id=tips.room_id, reply=False))
        return effects

    def _on_events(self, message: Events) -> list[Effect]:
        return [
            Ingest(
                batch=message.batch,
                room_id=message.room_id,
                room_version=message.room_version,
                pdus=message.pdus,
                more=message.more,
                unread=message.unread,
            )
        ]

    def _on_ack(self, message: Ack) -> list[Effect]:
        sent = self._outbox.in_flight.pop(message.batch, None)
        if sent is None:
            return []
        self._outbox.add_unread(sent, message.unread)
        kept = sent.kept(message)
        effects: list[Effect] = [Delivered(room_id=sent.room_id, event_ids=kept)]
        return effects + self._fill() + self._retell(sent.room_id)

    def _on_want(self, message: Want) -> list[Effect]:
        return [Serve(want=message)]

    def _on_not_here(self, message: NotHere) -> list[Effect]:
        asked = self._cards.none_there(message.room_id)
        if not message.event_ids:  # the room isn't there at all
            self._outbox.forget(message.room_id)
        self._wants.not_there(message.room_id, message.event_ids)
        found = NotFound(room_id=message.room_id, event_ids=message.event_ids)
        return [found] if asked or message.event_ids else []

    def _on_card(self, card: RoomCard) -> list[Effect]:
        if self._cards.is_worth_a_look(card):
            return [TakeCard(card=card)]
        return [Send(message=CardAck(room_id=card.room_id, event_id=card.event_id))]

    def _on_card_request(self, message: CardRequest) -> list[Effect]:
        return [MakePublicCard(room_id=message.room_id)]

    def _on_card_ack(self, message: CardAck) -> list[Effect]:
        if not self._cards.acknowledged((message.room_id, message.event_id)):
            return []
        done = CardDelivered(room_id=message.room_id, event_id=message.event_id)
        return [done] if len(self._cards) else [done, OweCards()]

    def _on_join_request(self, request: JoinRequest) -> list[Effect]:
        return [CoSign(request=request)]

    def _on_join_answer(self, answer: JoinSigned | JoinRefused) -> list[Effect]:
        return [JoinAnswered(answer=answer)] if self._joins.answered(answer.event_id) else []

    def _on_ping(self, message: Ping) -> list[Effect]:
        return [Send(message=Ping(reply=False))] if message.reply else []

    _handlers: dict[type, Callable[..., list[Effect]]] = {  # noqa: RUF012 - a constant table
        Tips: _on_tips,
        Events: _on_events,
        Ack: _on_ack,
        Want: _on_want,
        NotHere: _on_not_here,
        RoomCard: _on_card,
        CardRequest: _on_card_request,
        CardAck: _on_card_ack,
        JoinRequest: _on_join_request,
        JoinSigned: _on_join_answer,
        JoinRefused: _on_join_answer,
        Ping: _on_ping,
    }

    # --- answers to effects

    def compared(self, room_id: str, to_send: Sequence[str], *, cut: bool) -> list[Effect]:
        """Answer to Compare or Speculate: what the peer lacks, parents first. cut: there is more.

        What this node lacks, the peer finds by our Tips and pushes."""
        if to_send:  # of a room that the peer just names nothing is remembered
            room = self._room(room_id)
            room.retell = room.retell or cut
            self._outbox.add(room_id, to_send)
        return self._fill()

    def ingested(
        self,
        ingest: Ingest,
        *,
        event_ids: Sequence[str],
        missing: Sequence[str],
        gaps: Sequence[str] = (),
        refused: Sequence[str],
        judged: bool,
        dropped: int,
        have: Sequence[str],
        now: float,
        unread: Sequence[int] = (),
        released: bool = False,
    ) -> list[Effect]:
        """Answer to Ingest, after it is durable. event_ids: those in the batch. missing: ids they
        build on that are nowhere here. gaps: such ids of others' events. judged: at least one was
        accepted or rejected. dropped: how many were refused for good. have: what a Want may name
        as known. unread: places in the batch of those wanted in another form. released: they
        completed events held until then, of which the peer is told by Tips. LimitError: a flood."""
        room_id = ingest.room_id
        self._count_bad(dropped, judged=judged)
        self._wants.came(room_id, event_ids)
        self._outbox.discard(room_id, event_ids)
        self._remember_brought(event_ids)
        if judged:
            self._wants.progress(room_id)
        kept_out = tuple(refused)[: len(ingest.pdus)]
        ack = Ack(batch=ingest.batch, refused=kept_out, unread=tuple(unread))
        effects: list[Effect] = [Send(message=ack)]
        wants = [] if ingest.more else self.want(room_id, missing, have, now, gaps=gaps)
        if released and not wants:
            effects.append(TellTips(room_id=room_id, reply=False))
        return effects + wants

    def unknown_room(self, ingest: Ingest) -> list[Effect]:
        """Answer to Ingest where the peer isn't to learn whether this node has a part in the room:
        it hasn't, or the peer shows none of its own. LimitError: a flood."""
        self._count_bad(len(ingest.pdus), judged=False)
        return [Send(message=NotHere(room_id=ingest.room_id, event_ids=()))]

    def _count_bad(self, dropped: int, *, judged: bool) -> None:
        self._bad_events = 0 if judged else self._bad_events + dropped
        if self._bad_events > MAX_BAD_EVENTS:
            raise LimitError(f"{self._bad_events} events in a row were no good")

    def served(self, want: Want, event_ids: Sequence[str], not_here: Sequence[str]) -> list[Effect]:
        """Answer to Serve."""
        effects: list[Effect] = []
        if not_here:
            ids = tuple(not_here)[:MAX_WANT_IDS]
            effects.append(Send(message=NotHere(room_id=want.room_id, event_ids=ids)))
        self._outbox.add(want.room_id, event_ids)
        return effects + self._fill()

    def loaded(
        self,
        load: Load,
        room_version: str,
        pdus: Sequence[tuple[str, bytes]],
        now: float,
    ) -> list[Effect]:
        """Answer to Load: (id, PDU) for each event the peer may have and that is still here."""
        self._loading = None
        taken, size = fitting((pdu for _, pdu in pdus), load.form, self._batch_bytes)
        self._outbox.put_back(load.room_id, (event_id for event_id, _ in pdus[taken:]), load.form)
        if not taken:
            return self._fill() + self._retell(load.room_id)
        sent = InFlight(
            batch=self._outbox.new_batch(),
            room_id=load.room_id,
            room_version=room_version,
            event_ids=tuple(event_id for event_id, _ in pdus[:taken]),
            pdus=tuple(pdu for _, pdu in pdus[:taken]),
            more=self._outbox.has_queued(load.room_id),
            form=load.form,
            due=now + self._timeout(size),
        )
        self._outbox.in_flight[sent.batch] = sent
        return [Send(message=sent.message()), *self._fill()]

    def card_taken(
        self,
        card: RoomCard,
        missing: Sequence[str],
        have: Sequence[str],
        now: float,
        *,
        refused: bool = False,
    ) -> list[Effect]:
        """Answer to TakeCard, kept or refused: either way it needn't come again. LimitError: a
        flood of cards that are no good."""
        self._cards.refused += refused
        if self._cards.refused > MAX_REFUSED:
            raise LimitError(f"{self._cards.refused} cards were no good")
        ack = CardAck(room_id=card.room_id, event_id=card.event_id)
        effects: list[Effect] = [Send(message=ack), *self.want(card.room_id, missing, have, now)]
        if card.kind is CardKind.REMOVAL:  # the peer may not know what is against it
            effects.append(Speculate(room_id=card.room_id))
        return effects

    def public_card_made(self, room_id: str, card: RoomCard | None, now: float) -> list[Effect]:
        """Answer to MakePublicCard."""
        if card is None:
            return [Send(message=NotHere(room_id=room_id, event_ids=()))]
        return self.owe_cards([card], now)

    def co_signed(self, request: JoinRequest, signed: bytes | None, reason: str) -> list[Effect]:
        """Answer to CoSign: the join signed here too, or why not. LimitError: a flood."""
        return [Send(message=self._joins.answer(request, signed, reason))]

    # --- time

    def next_wake_at(self) -> float:
        """When `wake` must be called, whatever happens until then."""
        dues = [self._liveness.ping_at(), self._dead_at()]
        dues += [sent.due for sent in self._outbox.in_flight.values()]
        dues += [*self._cards.dues(), *self._joins.dues()]
        dues += [room.ask_at for room in self._rooms.values() if room.ask_at is not None]
        want_due = self._wants.next_due()
        return min(dues if want_due is None else [*dues, want_due])

    def wake(self, now: float) -> list[Effect]:
        """Repeats what wasn't answered in time; gives a silent peer up."""
        if now >= self._dead_at():
            return [PeerClosed(reason=f"nothing heard for {self._liveness.silence_s(now):.0f} s")]
        effects: list[Effect] = []
        if now >= self._liveness.ping_at():
            self._liveness.pinged(now)
            effects.append(Send(message=Ping(reply=True)))
        batches = self._outbox.overdue(now, self._timeout(0))
        if batches is None:
            return [PeerClosed(reason="events were never acknowledged")]
        effects += [Send(message=sent.message()) for sent in batches]
        effects += [Send(message=card) for card in self._cards.overdue(now, self._timeout(0))]
        asked_for = self._cards.ask_again(now, self._timeout(0))
        effects += [Send(message=CardRequest(room_id=room_id)) for room_id in asked_for]
        effects += [Send(message=join) for join in self._joins.overdue(now, self._timeout(0))]
        return effects + self._ask_tips_again(now) + self._want_again(now) + self._fill()

    def _ask_tips_again(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for room_id, room in self._rooms.items():
            if room.ask_at is None or room.ask_at > now:
                continue
            room.attempts += 1
            if room.attempts >= MAX_TIPS_ATTEMPTS or self._info.reliable:
                room.ask_at = None
                effects.append(Speculate(room_id=room_id))
                continue
            room.ask_at = retry_at(now, tips_timeout_s(self._info), room.attempts)
            effects.append(TellTips(room_id=room_id, reply=True))
        return effects

    def _want_again(self, now: float) -> list[Effect]:
        again_at = retry_at(now, self._timeout(_SMALL_BYTES), 1)
        return [
            Send(message=Want(room_id=room_id, event_ids=ids, have=self._wants.have[room_id]))
            for room_id, ids in self._wants.overdue(now, again_at, MAX_ATTEMPTS).items()
        ]

    # --- parts

    def _room(self, room_id: str) -> _Room:
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = _Room()
        return room

    def _remember_brought(self, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            self._brought[event_id] = None
        while len(self._brought) > MAX_BROUGHT:
            self._brought.popitem(last=False)

    def _timeout(self, sent_bytes: int) -> float:
        """For an answer to that many bytes, sent after all that is under way."""
        return answer_timeout_s(self._info, sent_bytes + self._flying_bytes())

    def _dead_at(self) -> float:
        return self._liveness.dead_at(airtime_s(self._info, self._flying_bytes()))

    def _flying_bytes(self) -> int:
        return self._outbox.flying_bytes + self._cards.flying_bytes

    def _fill(self) -> list[Effect]:
        """Starts loading one more batch, if there is room for it."""
        if self._loading is not None or self._outbox.flying_bytes >= self._window_bytes:
            return []
        found = self._outbox.next_ids()
        if found is None:
            return []
        room_id, event_ids, form = found
        self._loading = room_id
        return [Load(room_id=room_id, event_ids=event_ids, form=form)]

    def _retell(self, room_id: str) -> list[Effect]:
        """After all of a difference that was cut short has arrived, its rest is found by Tips."""
        room = self._room(room_id)
        if room_id in self._outbox.overflowed:
            self._outbox.overflowed.discard(room_id)
            room.retell = True
        if not room.retell or self._outbox.is_busy(room_id):
            return []
        room.retell = False
        return [TellTips(room_id=room_id, reply=True)]
