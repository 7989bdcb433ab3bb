"""The store's side of one peer's conversation: what each effect of PeerSync looks up or writes.

Plain functions run on the store's thread by dtnode.node.worker, one transaction each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from dtnode.errors import PduError
from dtnode.link_info import CipherPolicy
from dtnode.matrix.pdu import Pdu
from dtnode.node.card_sizes import fitting
from dtnode.rooms import Outcome, Rooms, Verdict
from dtnode.rooms.gaps import GapKind
from dtnode.rooms.known_events import RoomEvents
from dtnode.rooms.sharing import Comparison
from dtnode.store import RoomKind, RoomRecord
from dtnode.sync.cards import MAX_FLYING_BYTES, card_bytes
from dtnode.sync.effects import Ingest, Load
from dtnode.wire.messages import JoinRefused, JoinRequest, JoinSigned, RoomCard, Tips, Want
from dtnode.wire.packing import PackedMessage, Packer, PduMessage
from dtnode.wire.pdus import KnownEvents, NothingKnown

logger = logging.getLogger(__name__)

MAX_CONTENT_PULLS = 20  # whole copies asked of one peer in a contact
MAX_MISSING = 5_000  # gaps looked at after a batch: many may be a liar's inventions


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
    """outcomes: of the events, for the log. known: whether the peer may learn that this node has
    the room. unread: places in the batch of events that could not be unpacked, or are no valid ones
    as unpacked. altered: ids of those whose content is not what their hash says. For the rest see
    PeerSync.ingested."""

    outcomes: tuple[Outcome, ...]
    unread: tuple[int, ...]
    event_ids: tuple[str, ...]
    missing: tuple[str, ...]
    gaps: tuple[str, ...]
    refused: tuple[str, ...]
    have: tuple[str, ...]
    known: bool
    altered: frozenset[str]
    released: bool

    @property
    def judged(self) -> bool:
        return any(o.verdict in (Verdict.ACCEPTED, Verdict.REJECTED) for o in self.outcomes)

    @property
    def dropped(self) -> int:
        return sum(o.verdict is Verdict.DROPPED for o in self.outcomes)


class PeerWork:
    """cipher: of the link. handshake: the highest number taken from the peer, to be kept (0: none).
    packer: the session's."""

    def __init__(
        self,
        rooms: Rooms,
        peer: str,
        *,
        cipher: CipherPolicy,
        handshake: int,
        packer: Packer,
    ) -> None:
        self._rooms = rooms
        self._sharing = rooms.sharing.over(cipher)
        self._peer = peer
        self._handshake = handshake
        self._packer = packer
        self._cipher = cipher
        self._proved: set[str] = set()  # rooms of this node that the peer showed to be in
        self._too_large: set[str] = set()  # events whose cards the log speaks of already

    def take_handshake(self) -> None:
        """Before anything that comes under it counts: its number never counts again."""
        if self._handshake:
            self._rooms.store.peers.set_handshake(self._peer, self._handshake)

    def contact(self) -> PeerView:
        """At the start of a contact."""
        peers = self._rooms.store.peers
        peers.contacted(self._peer, self._rooms.clock.now_ms())
        return self.view(None)

    def view(self, told: frozenset[str] | None) -> PeerView:
        """How things stand with the peer; Tips only of shared rooms that are not in `told`.

        told: None at the start of a contact, when both sides tell their Tips unasked and gaps are
        asked for again.
        """
        sharing = self._sharing
        shared = sharing.shared_rooms(self._peer)
        fresh = [room for room in shared if room.room_id not in (told or ())]
        return PeerView(
            shared=frozenset(room.room_id for room in shared),
            tips=tuple(sharing.tips_message(room, reply=told is not None) for room in fresh),
            cards=self.cards(),
            offers={
                room.room_id: ids
                for room in self._rooms.store.rooms
                if room.kind is RoomKind.INVITED and (ids := sharing.offer(self._peer, room))
            },
            pulls=()
            if told is not None
            else tuple(pull for room in shared for pull in self._pulls(room)),
        )

    # --- what goes over the link

    def pack(self, message: PduMessage) -> PackedMessage:
        known = self._known_events(message.room_id) or NothingKnown()
        return self._packer.pack(message, known)

    def unpack(self, message: PackedMessage) -> PduMessage:
        """RemoteProtocolError: the session must end."""
        return self._packer.unpack(message, self._known_events(message.room_id))

    def _known_events(self, room_id: str) -> KnownEvents | None:
        """Both ends may count on what the other holds of a room that both are in; of others who is
        not in it must not learn by guesses what is here. None: nothing of the room is here."""
        room = self._room(room_id)
        if room is None:
            return None
        if not self._sharing.is_shared(room, self._peer):
            return NothingKnown()
        return RoomEvents(self._rooms.store, room)

    # --- rooms

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
        found = self._rooms.store.held.missing(room.nid, MAX_MISSING)
        return tuple(missing.event_id for missing in found)

    def _have(self, room: RoomRecord) -> tuple[str, ...]:
        tips = self._sharing.tips_message(room, reply=False)
        return (*tips.tips, *tips.locator)

    def _room(self, room_id: str) -> RoomRecord | None:
        """None too where the room may not go over this link."""
        room = self._rooms.room(room_id)
        return room if room is not None and self._sharing.permits(room) else None

    def permits(self, room_id: str) -> bool:
        """Whether anything of the room may go over this link."""
        return self._room(room_id) is not None

    def tips(self, room_id: str, reply: bool) -> Tips | None:
        room = self._room(room_id)
        if room is None or not self._sharing.is_shared(room, self._peer):
            return None
        return self._sharing.tips_message(room, reply=reply)

    def compare(self, tips: Tips) -> Comparison:
        return self._sharing.compare(self._peer, tips)

    def speculate(self, room_id: str) -> Comparison:
        return self._sharing.speculate(self._peer, room_id)

    def ingest(self, ingest: Ingest) -> Ingested | None:
        """None: this node has no part in that room, nothing was kept."""
        room = self._room(ingest.room_id)
        if room is None or room.version.identifier != ingest.room_version:
            return None
        received = self._rooms.receive(ingest.room_id, ingest.pdus, source=self._peer)
        outcomes = received.outcomes
        self._sharing.brought(
            self._peer, ingest.room_id, [o.event_id for o in outcomes if o.event_id is not None]
        )
        known = self._may_know(room, outcomes)
        missing: tuple[str, ...] = ()
        gaps: tuple[str, ...] = ()
        if known and not ingest.more:
            missing, gaps = self._missing_of(outcomes), self._missing(room)
        return Ingested(
            outcomes=(*outcomes, *received.released),
            unread=_unread(ingest, outcomes),
            event_ids=tuple(o.event_id for o in outcomes if o.event_id is not None),
            missing=missing,
            gaps=gaps,
            refused=received.evicted,
            have=self._have(room) if missing or gaps else (),
            known=known,
            altered=frozenset(self._altered(ingest.pdus, outcomes)),
            released=bool(received.released),
        )

    def _altered(self, pdus: Sequence[bytes], outcomes: Sequence[Outcome]) -> Iterator[str]:
        """Kept in redacted form, but not because they came so."""
        for data, outcome in zip(pdus, outcomes, strict=True):
            if outcome.redacted and outcome.event_id is not None:
                pdu = self._pdu(outcome.event_id)
                if pdu is not None and pdu.redacted_form().canonical() != data:
                    yield outcome.event_id

    def _pdu(self, event_id: str) -> Pdu | None:
        stored = self._rooms.store.events.get(event_id)
        if stored is not None:
            return stored.pdu
        held = self._rooms.store.held.get(event_id)
        return None if held is None else held.pdu

    def _missing_of(self, outcomes: Iterable[Outcome]) -> tuple[str, ...]:
        """What events just received build on and is still nowhere here: these come first, or the
        inventions of somebody else would be asked for until nothing else is."""
        named = dict.fromkeys(id_ for outcome in outcomes for id_ in outcome.missing)
        return tuple(event_id for event_id in named if self._pdu(event_id) is None)

    def _may_know(self, room: RoomRecord, outcomes: Iterable[Outcome]) -> bool:
        """Whether the peer may learn that this node has the room: it takes part as far as is known
        here, did so once, or shows events of others who do. Who guesses a room's id and sends own
        events for it hears what it would hear if the room weren't here (DESIGN section 6)."""
        if room.room_id in self._proved:
            return True
        known = (
            self._had_part(room)
            or self._is_expected(room)
            or any(self._is_others_event(room, outcome) for outcome in outcomes)
        )
        if known:
            self._proved.add(room.room_id)
        return known

    def _is_expected(self, room: RoomRecord) -> bool:
        members = self._rooms.states.members_of_server(room.current_group, self._peer)
        return any(event.membership in ("invite", "knock") for event in members.values())

    def _had_part(self, room: RoomRecord) -> bool:
        """Whether the peer is in the room or ever wrote in it."""
        newest = self._rooms.store.events.newest_of_server
        return self._sharing.is_shared(room, self._peer) or any(
            (event := self._rooms.store.events.by_nid(nid)) is not None and event.accepted
            for nid in newest(room.nid, self._peer)
        )

    def _is_others_event(self, room: RoomRecord, outcome: Outcome) -> bool:
        """An event that the peer can't have made itself."""
        if outcome.event_id is None or outcome.verdict is Verdict.DROPPED:
            return False
        if outcome.verdict is Verdict.ACCEPTED:
            return True
        pdu = self._pdu(outcome.event_id)
        if pdu is None or pdu.sender_server == self._peer:
            return False
        joined = self._rooms.states.joined_servers(room.current_group)
        return pdu.sender_server in joined | {self._rooms.own_name}

    def serve(self, want: Want) -> tuple[list[str], list[str]]:
        asked = tuple(dict.fromkeys(want.event_ids))
        room = self._room(want.room_id)
        if room is None or not self._had_part(room):
            return [], list(asked)  # the same in both cases, and cheap
        return self._sharing.serve(self._peer, replace(want, event_ids=asked))

    def load(self, load: Load) -> tuple[str, list[tuple[str, bytes]]]:
        """(room version, PDUs)"""
        room = self._room(load.room_id)
        if room is None:
            return "", []
        pdus = self._sharing.load(self._peer, load.room_id, load.event_ids)
        return room.version.identifier, pdus

    def take_card(self, card: RoomCard) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
        """(why it was refused; events of the room to ask the peer for; what to name as known)"""
        try:
            self._rooms.take_card(card, source=self._peer)
        except PduError as exc:
            return exc.reason, (), ()
        room = self._room(card.room_id)
        missing = () if room is None else self._missing(room)
        return None, missing, () if room is None else self._have(room)

    def cards(self) -> tuple[RoomCard, ...]:
        """Owed to the peer, as many as are sent at a time and at least one."""
        chosen: list[RoomCard] = []
        size = 0
        for card in self._sharing.cards_for(self._peer):
            fits = self._fitting(card)
            if fits is None:
                continue
            size += card_bytes(fits)
            if chosen and size > MAX_FLYING_BYTES:
                break
            chosen.append(fits)
        return tuple(chosen)

    def public_card(self, room_id: str) -> RoomCard | None:
        card = self._sharing.public_card(room_id, self._peer)
        return None if card is None else self._fitting(card)

    def co_sign(self, request: JoinRequest) -> tuple[bytes | None, str]:
        """(the peer's join with this server's signature, or why it gets none)"""
        try:
            signed = self._rooms.co_sign(self._peer, request.room_id, request.pdu, self._cipher)
        except PduError as exc:
            return None, exc.reason
        return signed.canonical(), ""

    def join_answered(self, answer: JoinSigned | JoinRefused) -> str | None:
        """None: this node is in the room. Else why not."""
        if isinstance(answer, JoinRefused):
            return answer.reason or "it gave no reason"
        try:
            self._rooms.take_signed_join(answer.room_id, answer.pdu)
        except PduError as exc:
            return exc.reason
        return None

    def _fitting(self, card: RoomCard) -> RoomCard | None:
        fits = fitting(self._rooms.store, card)
        if fits is not card and card.event_id not in self._too_large:
            self._too_large.add(card.event_id)
            logger.warning(
                "the card for %s in %s, with %d events in %d bytes, is too large for a message%s",
                card.event_id,
                card.room_id,
                len(card.pdus),
                sum(map(len, card.pdus)),
                ": its server can't be told; the room's power levels and memberships have changed"
                " too often, start a new room"
                if fits is None
                else ": it goes with less of the room's state",
            )
        return fits

    def delivered(self, room_id: str, event_ids: tuple[str, ...]) -> None:
        self._sharing.acknowledged(self._peer, room_id, event_ids)

    def told(self, event_id: str) -> None:
        self._sharing.told(self._peer, event_id)


def _unread(ingest: Ingest, outcomes: Sequence[Outcome]) -> tuple[int, ...]:
    """A signature that fails is the codec's acceptance check failing, or the sender is no good:
    that it shows by the next form."""
    unread = set(ingest.unread)
    places = (place for place in count() if place not in ingest.unread)
    for place, outcome in zip(places, outcomes, strict=False):
        if outcome.verdict is Verdict.DROPPED:
            unread.add(place)
    return tuple(sorted(unread))
