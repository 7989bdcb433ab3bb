"""`Rooms`: everything a node does with rooms, put together once.

Methods work in one transaction each (nested in the caller's, if there is one) and are called by one
thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from dtnode.clock import Clock
from dtnode.errors import FormatError
from dtnode.link_info import CipherPolicy
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.server_names import key_from_server_name
from dtnode.rooms.admission import Admission
from dtnode.rooms.changes import ChangeReporter
from dtnode.rooms.create import OwnClock
from dtnode.rooms.explain import Explainer
from dtnode.rooms.gaps import Gap, gaps_of
from dtnode.rooms.history_limit import HistoryLimiter
from dtnode.rooms.invites import CardTaker
from dtnode.rooms.local import LocalRooms, NewRoom
from dtnode.rooms.membership import Standing, standing
from dtnode.rooms.names import Names, state_to_show
from dtnode.rooms.outcome import Received
from dtnode.rooms.permission import permit_clear
from dtnode.rooms.receive import Receiver
from dtnode.rooms.room_import import SOURCE, RoomImport, chunks
from dtnode.rooms.sharing import Sharing
from dtnode.rooms.spread import Spread, one_by_one
from dtnode.rooms.state import RoomStates
from dtnode.rooms.summary import RoomSummary, summarise
from dtnode.rooms.timeline import Timeline
from dtnode.rooms.upgrade import Upgrade, upgrade_room
from dtnode.signer import KEY_ID, Entropy, Signer
from dtnode.store import RoomKind, RoomRecord, Store
from dtnode.wire.messages import RoomCard

# The servers that talk in a node's rooms: decoding a name costs half a signature check.
_MAX_REJECTED = 1_000  # of outsiders, a room: 64 MB at the very worst, far more than errors make
_REMEMBERED_KEYS = 1_024


def key_of_name(server_name: str, key_id: str) -> bytes | None:
    """Keys of servers named by their key; of no others (DESIGN section 1)."""
    return key_from_server_name(server_name) if key_id == KEY_ID else None


class Rooms:
    """user_id: this node's user. spread: how signatures are checked. Reads go through the parts:
    states, names, timeline, sharing."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        user_id: str,
        clock: Clock,
        entropy: Entropy,
        spread: Spread = one_by_one,
    ) -> None:
        self.store = store
        self.user_id = user_id
        self.own_name = signer.server_name
        self.clock = OwnClock(store, clock)
        self.states = RoomStates(store)
        keys = lru_cache(_REMEMBERED_KEYS)(key_of_name)
        receiver = Receiver(
            store, self.states, keys, self.own_name, spread, max_rejected=_MAX_REJECTED
        )
        self._receiver = receiver
        self._cards = CardTaker(store, self.states, receiver, keys, user_id)
        self._local = LocalRooms(store, self.states, receiver, signer, self.clock, entropy)
        self._admission = Admission(
            store, self.states, receiver, self._local, signer, keys, user_id
        )
        self.sharing = Sharing(store, self.states, self.own_name, user_id)
        self.names = Names(store, self.states, user_id)
        self.timeline = Timeline(store, self.states, self.own_name)
        self.explainer = Explainer(store, self.states, self.sharing, self.timeline, self.own_name)
        self.limiter = HistoryLimiter(store, self.states, self.own_name)
        self.changes = ChangeReporter(store, self.states, self.timeline)

    # --- the user's acts

    def create_room(self, new: NewRoom) -> str:
        with self.store.transaction():
            return self._local.create_room(self.user_id, new)

    def upgrade(self, room_id: str, upgrade: Upgrade) -> str:
        """Puts a new room in the place of this one: its id. AuthRuleError, RoomNotHere."""
        with self.store.transaction():
            room = self._local.room(room_id)
            return upgrade_room(self.store, self.states, self._local, room, self.user_id, upgrade)

    def send(
        self,
        room_id: str,
        type_: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        redacts: str | None = None,
    ) -> str:
        """The event's id. AuthRuleError: the room's rules forbid it; RoomNotHere."""
        with self.store.transaction():
            return self._local.send(room_id, self.user_id, type_, content, state_key, redacts)

    def set_membership(
        self,
        room_id: str,
        user_id: str,
        membership: str,
        *,
        reason: str | None = None,
        is_direct: bool = False,
        signed: Mapping[str, Any] | None = None,
    ) -> str:
        """Invite, kick, ban, unban, leave: the event's id. signed: see LocalRooms."""
        with self.store.transaction():
            return self._local.set_membership(
                room_id,
                self.user_id,
                user_id,
                membership,
                reason=reason,
                is_direct=is_direct,
                signed=signed,
            )

    def join(self, room_id: str) -> str:
        """RoomNotHere: only a peer's card can help; NeedsCoSignature: only a member's node."""
        with self.store.transaction():
            return self._admission.join(room_id)

    def knock(self, room_id: str, reason: str | None = None) -> str:
        """RoomNotHere: only a peer's card can help."""
        with self.store.transaction():
            return self._admission.knock(room_id, reason)

    def draft_join(self, room_id: str, authoriser: str) -> Pdu:
        """A join that lacks nothing but the signature of `authoriser`'s server."""
        with self.store.transaction():
            return self._admission.draft_join(room_id, authoriser)

    def take_signed_join(self, room_id: str, data: bytes) -> str:
        """The answer to such a draft: the join's event id. PduError: it is no good."""
        with self.store.transaction():
            event_id = self._admission.take_signed_join(room_id, data)
            self._complete_if_whole(self.store.rooms.by_nid(self._local.room(room_id).nid))
        return event_id

    def co_sign(
        self, peer: str, room_id: str, data: bytes, cipher: CipherPolicy = CipherPolicy.SEALED
    ) -> Pdu:
        """Lets a user of the peer's into a room of which this user is a member: the join with this
        server's signature. PduError: why not, in words for the peer. cipher: of their link."""
        sharing = self.sharing.over(cipher)
        with self.store.transaction():
            return self._admission.co_sign(peer, room_id, data, self.clock.now_ms(), sharing)

    def permit_clear(
        self, room_id: str, permitted: bool, *, although_encrypted: bool = False
    ) -> None:
        """Whether the room may go over links that others can read. RoomNotHere; RoomIsEncrypted:
        not without `although_encrypted`."""
        with self.store.transaction():
            permit_clear(
                self.store,
                self.states,
                self._local.room(room_id),
                self.user_id,
                permitted=permitted,
                although_encrypted=although_encrypted,
            )

    # --- from peers and files

    def receive(self, room_id: str, pdus: Sequence[bytes], *, source: str) -> Received:
        """Events of a room this node takes part in; FormatError for any other room."""
        room = self.store.rooms.get(room_id)
        if room is None:
            raise FormatError(f"events for room {room_id}, which this node has no part in")
        with self.store.transaction(), self.store.indexes.source.keeping():
            received = self._receiver.receive(room, pdus, source=source, now_ms=self.clock.now_ms())
            self._complete_if_whole(room)
        return received

    def receive_broadcast(
        self, room_id: str, pdus: Sequence[bytes], *, source: str
    ) -> Received | None:
        """Events that came over an open link, from nobody in particular; None: its user isn't in
        that room, nothing was kept. source: a name of the link that no server can have."""
        room = self.store.rooms.get(room_id)
        if room is None or self.standing(room).membership != "join":
            return None
        return self.receive(room_id, pdus, source=source)

    def _complete_if_whole(self, room: RoomRecord) -> None:
        """An invited room is complete once what its card stands on was judged here."""
        now = self.store.rooms.by_nid(room.nid)
        if now.kind is RoomKind.INVITED and now.anchor and self.store.events.has(now.anchor):
            self.store.rooms.set_kind(room.nid, RoomKind.COMPLETE, None)

    def take_card(self, card: RoomCard, *, source: str) -> bool:
        """True: something new for the person. PduError: the card is no good."""
        with self.store.transaction():
            news = self._cards.take(card, source=source, now_ms=self.clock.now_ms())
            room = self.store.rooms.get(card.room_id)
            if room is not None:
                self._complete_if_whole(room)
        return news

    def start_import(self) -> RoomImport:
        """For a room file, to be handed over in chunks."""
        return RoomImport(
            self.store, lambda room_id, lines: self.receive(room_id, lines, source=SOURCE)
        )

    def import_lines(self, lines: Iterable[bytes]) -> tuple[str, dict[str, int]]:
        """A whole room file: (room id, count per verdict). FormatError: no room file."""
        started = self.start_import()
        for chunk in chunks(lines):
            started.take(chunk)
        return started.report()

    # --- reads

    def room(self, room_id: str) -> RoomRecord | None:
        return self.store.rooms.get(room_id)

    def standing(self, room: RoomRecord, user_id: str | None = None) -> Standing:
        """Where a user (this node's by default) stands in the room."""
        return standing(self.store, self.states, room, user_id or self.user_id)

    def state(self, room: RoomRecord) -> Mapping[StateKey, Pdu]:
        """The current state; of a room known by a card what that shows."""
        return state_to_show(self.store, self.states, room, self.user_id)

    def summary(self, room: RoomRecord) -> RoomSummary:
        return summarise(
            self.store,
            self.states,
            self.sharing,
            self.names,
            room,
            user_id=self.user_id,
            own_name=self.own_name,
        )

    def gaps(self, room: RoomRecord) -> list[Gap]:
        return gaps_of(self.store, self.sharing, room, self.own_name)
