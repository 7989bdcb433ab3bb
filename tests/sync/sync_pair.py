"""Two PeerSyncs joined by a fake link and a clock that the test turns, each over a room that is no
more than a set of ids with parents.

Node plays the part of dtnode.node and the store: it answers effects at once, out of a DAG in
memory. Here an event's PDU is its id, parents and a filling, as bytes; nothing is verified.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from dtnode.link_info import LinkInfo
from dtnode.sync import PeerSync
from dtnode.sync import effects as fx
from dtnode.wire.messages import (
    CardKind,
    JoinRefused,
    JoinSigned,
    Message,
    RoomCard,
    RoomKind,
    Tips,
)

ROOM = "!room"
LOSSY = LinkInfo(mtu_bytes=1500, reliable=False)
RELIABLE = LinkInfo(mtu_bytes=1500)


def card(number: int = 0, kind: CardKind = CardKind.INVITE, size_bytes: int = 100) -> RoomCard:
    return RoomCard(
        kind=kind,
        room_id=f"!card{number}",
        room_version="12",
        event_id=f"$card{number}",
        pdus=tuple(b"x" * min(50_000, size_bytes - at) for at in range(0, size_bytes, 50_000)),
        state=(),
        state_hash=bytes(32),
    )


class Dag:
    """Events of one room on one node: id -> parents. Insertion order is parents first."""

    def __init__(self) -> None:
        self.parents: dict[str, tuple[str, ...]] = {}
        self.held: dict[str, tuple[str, ...]] = {}

    def add(self, event_id: str, parents: Iterable[str]) -> bool:
        """Whether it, or what waited for it, is judged now."""
        if event_id in self.parents:
            return False
        self.held[event_id] = tuple(parents)
        before = len(self.parents)
        progress = True
        while progress:
            progress = False
            for held, needs in list(self.held.items()):
                if all(parent in self.parents for parent in needs):
                    self.parents[held] = self.held.pop(held)
                    progress = True
        return len(self.parents) > before

    def tips(self) -> tuple[str, ...]:
        named = {parent for parents in self.parents.values() for parent in parents}
        return tuple(event_id for event_id in self.parents if event_id not in named)

    def ancestors(self, of: Iterable[str]) -> set[str]:
        found: set[str] = set()
        todo = [event_id for event_id in of if event_id in self.parents]
        while todo:
            event_id = todo.pop()
            if event_id not in found:
                found.add(event_id)
                todo += self.parents[event_id]
        return found

    def beyond(self, known: Iterable[str], of: Iterable[str] | None = None) -> list[str]:
        """Ancestors of `of` (all tips) that aren't ancestors of `known`, parents first."""
        wanted = self.ancestors(self.tips() if of is None else of) - self.ancestors(known)
        return [event_id for event_id in self.parents if event_id in wanted]

    def missing(self) -> list[str]:
        return [
            parent
            for parents in self.held.values()
            for parent in parents
            if parent not in self.parents and parent not in self.held
        ]

    def locator(self) -> tuple[str, ...]:
        ids = list(self.parents)
        steps = (ids[-(2**step)] for step in range(10) if 2**step <= len(ids))
        return (*steps, *ids[:1])


def pdu(event_id: str, parents: Iterable[str], filling: int = 0) -> bytes:
    return " ".join([event_id, *parents]).encode() + b"\0" * filling


def from_pdu(data: bytes) -> tuple[str, list[str]]:
    event_id, *parents = data.rstrip(b"\0").decode().split(" ")
    return event_id, parents


@dataclass
class Node:
    """One end: carries out what its PeerSync asks for, writes the transcript."""

    name: str
    sync: PeerSync
    rooms: dict[str, Dag] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    filling: int = 0
    cut_at: int = 20_000
    out: list[Message] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    delivered: set[str] = field(default_factory=set)
    not_found: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    owed: list[RoomCard] = field(default_factory=list)
    cards: list[RoomCard] = field(default_factory=list)
    signs: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    answers: list[JoinSigned | JoinRefused] = field(default_factory=list)
    closed: str | None = None

    def room(self, room_id: str = ROOM) -> Dag:
        self.shared.add(room_id)
        return self.rooms.setdefault(room_id, Dag())

    def tips(self, room_id: str, *, reply: bool = False) -> Tips:
        dag = self.rooms[room_id]
        return Tips(
            room_id=room_id,
            room_version="12",
            kind=RoomKind.COMPLETE,
            tips=dag.tips()[-200:],
            locator=dag.locator(),
            reply=reply,
        )

    def start(self, now: float) -> None:
        tips = [self.tips(room_id) for room_id in sorted(self.shared)]
        self.perform(self.sync.start(tips, self.owed, now), now)

    def make(self, event_id: str, now: float, room_id: str = ROOM) -> None:
        """A new event of this node's own, pushed."""
        dag = self.rooms[room_id]
        dag.add(event_id, dag.tips())
        self.perform(self.sync.push(room_id, [event_id]), now)

    def receive(self, message: Message, now: float) -> None:
        self.perform(self.sync.receive(message, now), now)

    def wake(self, now: float) -> None:
        self.perform(self.sync.wake(now), now)

    def perform(self, effects: list[fx.Effect], now: float) -> None:
        todo = list(effects)
        while todo and self.closed is None:
            todo += self.perform_one(todo.pop(0), now)

    def perform_one(self, effect: fx.Effect, now: float) -> list[fx.Effect]:
        sync = self.sync
        match effect:
            case fx.Send(message=message):
                self.out.append(message)
                self.transcript.append(type(message).__name__)
            case fx.TellTips(room_id=room_id, reply=reply):
                if room_id in self.shared:
                    return sync.tips_known(self.tips(room_id, reply=reply), now)
            case fx.Compare(tips=theirs):
                if theirs.room_id not in self.shared:
                    return sync.compared(theirs.room_id, (), cut=False)
                return self._compared(theirs.room_id, [*theirs.tips, *theirs.locator])
            case fx.Speculate(room_id=room_id):
                if room_id not in self.shared:
                    return sync.compared(room_id, (), cut=False)
                return self._compared(room_id, self.delivered)
            case fx.Ingest():
                return self._ingest(effect, now)
            case fx.Serve(want=want):
                dag = self.rooms.get(want.room_id, Dag())
                here = [event_id for event_id in want.event_ids if event_id in dag.parents]
                not_here = [event_id for event_id in want.event_ids if event_id not in here]
                return sync.served(want, dag.beyond(want.have, here), not_here)
            case fx.Load(room_id=room_id, event_ids=event_ids):
                parents = self.rooms[room_id].parents
                found = [(id_, pdu(id_, parents[id_], self.filling)) for id_ in event_ids]
                return sync.loaded(effect, "12", found, now)
            case fx.TakeCard(card=taken):
                self.cards.append(taken)
                return sync.card_taken(taken, (), (), now)
            case fx.OweCards():
                return sync.owe_cards(self.owed, now)
            case fx.MakePublicCard(room_id=room_id):
                return sync.public_card_made(room_id, None, now)
            case fx.CoSign(request=request):
                self.asked.append(request.event_id)
                signed = request.pdu + b" signed" if request.event_id in self.signs else None
                return sync.co_signed(request, signed, "" if signed else "not\nfor you")
            case fx.JoinAnswered(answer=answer):
                self.answers.append(answer)
            case fx.Delivered(event_ids=event_ids):
                self.delivered.update(event_ids)
            case fx.CardDelivered(event_id=event_id):
                self.owed = [owed for owed in self.owed if owed.event_id != event_id]
            case fx.NotFound(room_id=room_id, event_ids=event_ids):
                self.not_found.append((room_id, event_ids))
            case fx.PeerClosed(reason=reason):
                self.closed = reason
        return []

    def _compared(self, room_id: str, known: Iterable[str]) -> list[fx.Effect]:
        to_send = self.rooms[room_id].beyond(known)
        cut = len(to_send) > self.cut_at
        return self.sync.compared(room_id, to_send[: self.cut_at], cut=cut)

    def _ingest(self, effect: fx.Ingest, now: float) -> list[fx.Effect]:
        dag = self.rooms.get(effect.room_id)
        if dag is None:
            return self.sync.unknown_room(effect)
        ids, judged = [], False
        for data in effect.pdus:
            event_id, parents = from_pdu(data)
            ids.append(event_id)
            judged |= dag.add(event_id, parents)
        return self.sync.ingested(
            effect,
            event_ids=ids,
            missing=dag.missing(),
            refused=(),
            judged=judged,
            dropped=0,
            have=(*dag.tips()[-200:], *dag.locator()),
            now=now,
        )


@dataclass
class Medium:
    """What becomes of messages on their way: probabilities, and a delay."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay_s: float = 0.0


class Pair:
    """Two nodes, and the messages between them in order of arrival."""

    def __init__(self, info: LinkInfo = LOSSY, medium: Medium | None = None, seed: int = 0) -> None:
        self.a = Node("a", PeerSync(peer="b", info=info))
        self.b = Node("b", PeerSync(peer="a", info=info))
        self.medium = medium or Medium()
        self.now = 0.0
        self.sent = 0
        self._random = random.Random(seed)
        self._on_the_way: list[tuple[float, int, Node, Message]] = []

    def start(self) -> Pair:
        self.a.start(self.now)
        self.b.start(self.now)
        return self

    def run(self, until_s: float, *, max_messages: int = 100_000) -> None:
        """Turns the clock to `until_s`: carries messages, wakes whoever asked for it."""
        while self.a.closed is None and self.b.closed is None:
            self._send()
            assert self.sent <= max_messages, "they never stop talking"
            wake_at = {node.name: node.sync.next_wake_at() for node in (self.a, self.b)}
            next_at = min(wake_at.values())
            if self._on_the_way:
                next_at = min(next_at, self._on_the_way[0][0])
            if next_at > until_s:
                break
            self.now = max(self.now, next_at)
            if self._on_the_way and self._on_the_way[0][0] <= self.now:
                _, _, node, message = heapq.heappop(self._on_the_way)
                node.receive(message, self.now)
                continue
            for node in (self.a, self.b):
                if wake_at[node.name] <= self.now:
                    node.wake(self.now)
                    assert node.closed or node.sync.next_wake_at() > self.now, "no progress"
        self.now = max(self.now, until_s)

    def _send(self) -> None:
        for node, other in ((self.a, self.b), (self.b, self.a)):
            messages, node.out = node.out, []
            for message in messages:
                self.sent += 1
                if self._random.random() < self.medium.loss:
                    continue
                copies = 2 if self._random.random() < self.medium.duplication else 1
                for _ in range(copies):
                    late = self._random.random() < self.medium.reordering
                    at = self.now + self.medium.delay_s + (late and self._random.random() * 20)
                    item = (at, self.sent * 2 + _, other, message)
                    heapq.heappush(self._on_the_way, item)

    def equal(self, room_id: str = ROOM) -> bool:
        return self.a.rooms[room_id].parents.keys() == self.b.rooms[room_id].parents.keys()


def chain(dag: Dag, *ids: str, after: tuple[str, ...] = ()) -> None:
    for event_id in ids:
        dag.add(event_id, after)
        after = (event_id,)
