"""Nodes without links: Rooms over stores in memory, and contacts between them through Sharing.

A contact does what dtnode.sync does in its plain form, with nothing lost: cards, tips, what the
other lacks, then wants for what is still missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.rooms.local import NewRoom
from dtnode.rooms.outcome import Received
from dtnode.rooms.rooms import Rooms
from dtnode.store import RoomKind, RoomRecord, Store
from dtnode.testing.rooms_builder import FIRST_TS_MS, RoomBuilder, signer_for, user_id_for
from dtnode.wire.messages import Want

MAX_ROUNDS = 50  # of one contact; far more than any test needs


class FakeClock:
    """Advances a second a look, so that no two events of a node carry the same time."""

    def __init__(self, now_ms: int = FIRST_TS_MS) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        self.time_ms += 1000
        return self.time_ms


class Node:
    def __init__(self, name: str, *, clock: FakeClock | None = None) -> None:
        self.name = name
        self.user_id = user_id_for(name)
        self.signer = signer_for(name)
        self.server = self.signer.server_name
        self.clock = clock or FakeClock()
        self.store = Store(None)
        self._drawn = 0
        self.rooms = Rooms(self.store, self.signer, self.user_id, self.clock, self._entropy)

    def _entropy(self, size: int) -> bytes:
        self._drawn += 1
        return sha256(f"{self.name} {self._drawn}".encode()).digest()[:size]

    # --- what the user does

    def create(self, *invite: str, version: str = "12", **options: object) -> str:
        new = NewRoom(
            version=version,
            invite=[user_id_for(name) for name in invite],
            **options,  # type: ignore[arg-type]
        )
        return self.rooms.create_room(new)

    def say(self, room_id: str, body: str = "hello") -> str:
        return self.rooms.send(room_id, "m.room.message", {"msgtype": "m.text", "body": body})

    def set_state(self, room_id: str, type_: str, content: dict[str, object]) -> str:
        return self.rooms.send(room_id, type_, content, "")

    def member(self, room_id: str, name: str, membership: str, reason: str | None = None) -> str:
        return self.rooms.set_membership(room_id, user_id_for(name), membership, reason=reason)

    # --- what there is

    def room(self, room_id: str) -> RoomRecord:
        room = self.rooms.room(room_id)
        assert room is not None
        return room

    def knows(self, room_id: str) -> bool:
        return self.rooms.room(room_id) is not None

    def receive(self, room_id: str, pdus: Sequence[bytes], source: str = "peer") -> Received:
        return self.rooms.receive(room_id, pdus, source=source)

    def bodies(self, room_id: str, limit: int = 1000) -> list[str]:
        return [
            str(event.pdu.content["body"])
            for event in self.rooms.timeline.newest(self.room(room_id), limit)
            if "body" in event.pdu.content
        ]

    def membership(self, room_id: str, name: str) -> str | None:
        """By the current state."""
        group = self.room(room_id).current_group
        return self.rooms.states.membership(group, user_id_for(name))

    def standing(self, room_id: str) -> str | None:
        return self.rooms.standing(self.room(room_id)).membership

    def pdu(self, event_id: str) -> Pdu:
        stored = self.store.events.get(event_id)
        assert stored is not None, f"{self.name} hasn't {event_id}"
        return stored.pdu

    def view(self, room_id: str) -> tuple[object, ...]:
        """What nodes with the same events agree on (DESIGN section 2)."""
        summary = self.rooms.summary(self.room(room_id))
        verdicts = {
            event.event_id: event.rejected
            for event in self.store.events.in_nid_order(self.room(room_id).nid)
        }
        return (verdicts, summary.events, summary.tips, summary.tip_state)


def take_in(node: Node, builder: RoomBuilder) -> Received:
    """A room made by hand, on a node that was never in it or is (in the builder's version)."""
    assert builder.room_id is not None
    if not node.knows(builder.room_id):
        with node.store.transaction():
            version = ROOM_VERSIONS[builder.version.identifier]
            node.store.rooms.add(builder.room_id, version, RoomKind.COMPLETE)
    return node.receive(builder.room_id, builder.canonical())


def give_cards(giver: Node, taker: Node) -> int:
    """How many of them were news."""
    news = 0
    for card in giver.rooms.sharing.cards_for(taker.server):
        news += taker.rooms.take_card(card, source=giver.server)
        with giver.store.transaction():
            giver.rooms.sharing.told(taker.server, card.event_id)
    return news


def push(giver: Node, taker: Node) -> int:
    """What the taker's tips show it lacks; how many events came."""
    pushed = 0
    for theirs in list(taker.store.rooms):
        tips = taker.rooms.sharing.tips_message(theirs, reply=False)
        if not taker.rooms.sharing.is_shared(theirs, giver.server):
            continue
        with giver.store.transaction():
            comparison = giver.rooms.sharing.compare(taker.server, tips)
        pushed += _deliver(giver, taker, theirs.room_id, comparison.to_send)
    return pushed


def offer(giver: Node, taker: Node) -> int:
    """Own events on a card, to members by that card."""
    pushed = 0
    for room in list(giver.store.rooms):
        ids = giver.rooms.sharing.offer(taker.server, room)
        if ids and taker.knows(room.room_id):
            pushed += _deliver(giver, taker, room.room_id, ids)
    return pushed


def pull(asker: Node, giver: Node) -> int:
    """Wants for the asker's gaps."""
    pulled = 0
    for room in list(asker.store.rooms):
        gaps = [gap.event_id for gap in asker.rooms.gaps(room)]
        if gaps:
            want = Want(room_id=room.room_id, event_ids=tuple(gaps))
            ids, _ = giver.rooms.sharing.serve(asker.server, want)
            pulled += _deliver(giver, asker, room.room_id, ids)
    return pulled


def _deliver(giver: Node, taker: Node, room_id: str, ids: Sequence[str]) -> int:
    loaded = giver.rooms.sharing.load(taker.server, room_id, ids)
    if not loaded:
        return 0
    received = taker.receive(room_id, [pdu for _, pdu in loaded], giver.server)
    kept = [id_ for id_, _ in loaded if id_ not in received.evicted]
    with giver.store.transaction():
        giver.rooms.sharing.acknowledged(taker.server, room_id, kept)
    changed = [
        o for o in (*received.outcomes, *received.released) if o.verdict.value != "duplicate"
    ]
    return len(changed)


def meet(one: Node, other: Node) -> None:
    """A contact, until neither has anything new for the other."""
    for _ in range(MAX_ROUNDS):
        news = 0
        for giver, taker in ((one, other), (other, one)):
            news += give_cards(giver, taker) + offer(giver, taker)
            news += push(giver, taker) + pull(giver, taker)
        if not news:
            return
    raise AssertionError(f"{one.name} and {other.name} never come to rest")


def make_room(*names: str, version: str = "12", **options: object) -> tuple[str, list[Node]]:
    """A room with these people in it, all in step."""
    nodes = [Node(name) for name in names]
    creator = nodes[0]
    room_id = creator.create(*names[1:], version=version, **options)
    for node in nodes[1:]:
        meet(creator, node)
        node.rooms.join(room_id)
        meet(creator, node)
    for node in nodes[1:]:
        meet(creator, node)
    return room_id, nodes
