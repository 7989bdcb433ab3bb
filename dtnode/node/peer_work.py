"""The store's side of one peer's conversation: what each effect of PeerSync looks up or writes.

Plain functions run on the store's thread by dtnode.node.worker, one transaction each.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.errors import PduError
from dtnode.rooms import Outcome, Rooms, Verdict
from dtnode.rooms.gaps import GapKind
from dtnode.rooms.sharing import Comparison
from dtnode.store import RoomKind, RoomRecord
from dtnode.sync.effects import Ingest, Load
from dtnode.wire.limits import MAX_WANT_IDS
from dtnode.wire.messages import RoomCard, Tips, Want

MAX_CONTENT_PULLS = 20  # whole copies asked of one peer in a contact
MAX_CARDS_A_CONTACT = 100  # owed to one peer at a time; the rest follows at the next news


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Missing events of a room to ask the peer for. have: what a Want may name as known."""

    room_id: str
    event_ids: tuple[str, ...]
    have: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """shared: ids of the rooms the peer takes part in. tips: of those asked for. cards: owed to it.
    offers: room id -> own events that wait to be judged by somebody. pulls: gaps it may fill."""

    shared: frozenset[str]
    tips: tuple[Tips, ...]
    cards: tuple[RoomCard, ...]
    offers: dict[str, tuple[str, ...]]
    pulls: tuple[Pull, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """outcomes: of the events, for the log. See PeerSync.ingested for the rest."""

    outcomes: tuple[Outcome, ...]
    event_ids: tuple[str, ...]
    missing: tuple[str, ...]
    refused: tuple[str, ...]
    have: tuple[str, ...]

    @property
    def judged(self) -> bool:
        return any(o.verdict in (Verdict.ACCEPTED, Verdict.REJECTED) for o in self.outcomes)

    @property
    def dropped(self) -> int:
        return sum(o.verdict is Verdict.DROPPED for o in self.outcomes)


class PeerWork:
    def __init__(self, rooms: Rooms, peer: str) -> None:
        self._rooms = rooms
        self._peer = peer

    def contact(self) -> PeerView:
        """At the start of a contact."""
        self._rooms.store.peers.contacted(self._peer, self._rooms.clock.now_ms())
        return self.view(None)

    def view(self, told: frozenset[str] | None) -> PeerView:
        """How things stand with the peer; Tips only of shared rooms that are not in `told`.

        told: None at the start of a contact, when both sides tell their Tips unasked and gaps are
        asked for again.
        """
        sharing = self._rooms.sharing
        shared = sharing.shared_rooms(self._peer)
        fresh = [room for room in shared if room.room_id not in (told or ())]
        return PeerView(
            shared=frozenset(room.room_id for room in shared),
            tips=tuple(sharing.tips_message(room, reply=told is not None) for room in fresh),
            cards=tuple(sharing.cards_for(self._peer)[:MAX_CARDS_A_CONTACT]),
            offers={
                room.room_id: ids
                for room in shared
                if room.kind is RoomKind.INVITED and (ids := sharing.offer(self._peer, room))
            },
            pulls=()
            if told is not None
            else tuple(pull for room in shared for pull in self._pulls(room)),
        )

    def _pulls(self, room: RoomRecord) -> list[Pull]:
        """Gaps of a room: parents of held events, and whole copies of what is here redacted. The
        latter one by one, with their parents as known, so that nothing else comes along."""
        missing = self._missing(room)
        pulls = [Pull(room_id=room.room_id, event_ids=missing, have=self._have(room))]
        events = self._rooms.store.events
        for gap in self._rooms.gaps(room)[:MAX_CONTENT_PULLS]:
            event = events.get(gap.event_id) if gap.kind is GapKind.CONTENT else None
            if event is not None:
                have = tuple(event.pdu.prev_events)
                pulls.append(Pull(room_id=room.room_id, event_ids=(gap.event_id,), have=have))
        return [pull for pull in pulls if pull.event_ids]

    def _missing(self, room: RoomRecord) -> tuple[str, ...]:
        found = self._rooms.store.held.missing(room.nid, MAX_WANT_IDS)
        return tuple(missing.event_id for missing in found)

    def _have(self, room: RoomRecord) -> tuple[str, ...]:
        tips = self._rooms.sharing.tips_message(room, reply=False)
        return (*tips.tips, *tips.locator)

    def tips(self, room_id: str, reply: bool) -> Tips | None:
        room = self._rooms.room(room_id)
        if room is None or not self._rooms.sharing.is_shared(room, self._peer):
            return None
        return self._rooms.sharing.tips_message(room, reply=reply)

    def compare(self, tips: Tips) -> Comparison:
        return self._rooms.sharing.compare(self._peer, tips)

    def speculate(self, room_id: str) -> Comparison:
        return self._rooms.sharing.speculate(self._peer, room_id)

    def ingest(self, ingest: Ingest) -> Ingested | None:
        """None: this node has no part in that room, nothing was kept."""
        room = self._rooms.room(ingest.room_id)
        if room is None or room.version.identifier != ingest.room_version:
            return None
        received = self._rooms.receive(ingest.room_id, ingest.pdus, source=self._peer)
        outcomes = received.outcomes
        missing = () if ingest.more else self._missing(room)
        return Ingested(
            outcomes=(*outcomes, *received.released),
            event_ids=tuple(o.event_id for o in outcomes if o.event_id is not None),
            missing=missing,
            refused=received.evicted,
            have=self._have(room) if missing else (),
        )

    def serve(self, want: Want) -> tuple[list[str], list[str]]:
        return self._rooms.sharing.serve(self._peer, want)

    def load(self, load: Load) -> tuple[str, list[tuple[str, bytes]]]:
        """(room version, PDUs)"""
        room = self._rooms.room(load.room_id)
        if room is None:
            return "", []
        pdus = self._rooms.sharing.load(self._peer, load.room_id, load.event_ids)
        return room.version.identifier, pdus

    def take_card(self, card: RoomCard) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
        """(why it was refused; events of the room to ask the peer for; what to name as known)"""
        try:
            self._rooms.take_card(card, source=self._peer)
        except PduError as exc:
            return exc.reason, (), ()
        room = self._rooms.room(card.room_id)
        missing = () if room is None else self._missing(room)
        return None, missing, () if room is None else self._have(room)

    def public_card(self, room_id: str) -> RoomCard | None:
        return self._rooms.sharing.public_card(room_id)

    def delivered(self, room_id: str, event_ids: tuple[str, ...]) -> None:
        self._rooms.sharing.acknowledged(self._peer, room_id, event_ids)

    def told(self, event_id: str) -> None:
        self._rooms.sharing.told(self._peer, event_id)
