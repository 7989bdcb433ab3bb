"""Cards on their way to one peer, and which of the peer's are worth a look.

A card costs its receiver up to a thousand signature checks and a link up to 700 kB: few are under
way at a time, one taken already is only acknowledged, and so is a public room's nobody asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from dtnode.sync.timing import MAX_ATTEMPTS, retry_at
from dtnode.wire.messages import CardKind, RoomCard

MAX_FLYING_BYTES = 1 << 20  # of cards not yet acknowledged, or one card; the rest follows
MAX_TAKEN = 500  # cards remembered as taken; beyond, an old one that comes again is checked again
MAX_REFUSED = 20  # cards of a contact that were no good before a peer is taken for a flooder
_HEAD_BYTES = 200  # a card without its PDUs, for timeouts

CardKey = tuple[str, str]
"""(room id, event id)"""


@dataclass(slots=True)
class SentCard:
    """A card sent and not acknowledged. due: when it is sent again."""

    card: RoomCard
    due: float
    attempts: int = 0


@dataclass(slots=True)
class _Request:
    """For the card of a room to join or knock at. due: when it is sent again."""

    due: float
    attempts: int = 0


class Cards:
    """refused: cards of the peer's that were no good."""

    def __init__(self) -> None:
        self._flying: dict[CardKey, SentCard] = {}
        self._given_up: set[CardKey] = set()
        self._taken: OrderedDict[tuple[str, str, bytes], None] = OrderedDict()
        self._requests: dict[str, _Request] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._flying)

    @property
    def flying_bytes(self) -> int:
        return sum(card_bytes(sent.card) for sent in self._flying.values())

    def choose(self, cards: Sequence[RoomCard]) -> list[RoomCard]:
        """Those of `cards` to send now; each of them must then be given to `sent`."""
        chosen: list[RoomCard] = []
        size = self.flying_bytes
        for card in cards:
            key = (card.room_id, card.event_id)
            if key in self._flying or key in self._given_up:
                continue
            if size and size + card_bytes(card) > MAX_FLYING_BYTES:
                break
            size += card_bytes(card)
            chosen.append(card)
        return chosen

    def sent(self, card: RoomCard, due: float) -> None:
        self._flying[card.room_id, card.event_id] = SentCard(card, due)

    def acknowledged(self, key: CardKey) -> bool:
        """Whether it was waited for."""
        return self._flying.pop(key, None) is not None

    def ask(self, room_id: str, due: float) -> None:
        """The peer is asked for a room's card."""
        self._requests[room_id] = _Request(due)

    def none_there(self, room_id: str) -> bool:
        """The peer has no card of that room for us. True: that was asked."""
        return self._requests.pop(room_id, None) is not None

    def dues(self) -> list[float]:
        flying = (sent.due for sent in self._flying.values())
        return [*flying, *(request.due for request in self._requests.values())]

    def ask_again(self, now: float, timeout_s: float) -> list[str]:
        """Ids of rooms to ask for again now. One asked for too often is given up."""
        again: list[str] = []
        for room_id, request in list(self._requests.items()):
            if request.due > now:
                continue
            request.attempts += 1
            if request.attempts >= MAX_ATTEMPTS:
                del self._requests[room_id]
                continue
            request.due = retry_at(now, timeout_s, request.attempts)
            again.append(room_id)
        return again

    def overdue(self, now: float, timeout_s: float) -> list[RoomCard]:
        """Cards to send again now. One sent too often is given up for this contact: it is owed
        still, and the next one begins with it."""
        again: list[RoomCard] = []
        for key, sent in list(self._flying.items()):
            if sent.due > now:
                continue
            sent.attempts += 1
            if sent.attempts >= MAX_ATTEMPTS:
                del self._flying[key]
                self._given_up.add(key)
                continue
            sent.due = retry_at(now, timeout_s, sent.attempts)
            again.append(sent.card)
        return again

    def is_worth_a_look(self, card: RoomCard) -> bool:
        """Whether to verify a card that came. A room's that may be joined answers the request for
        it, also where it is the same again."""
        if card.kind is CardKind.PUBLIC:
            return self._requests.pop(card.room_id, None) is not None
        key = (card.room_id, card.event_id, card.state_hash)
        if key in self._taken:
            return False
        self._taken[key] = None
        if len(self._taken) > MAX_TAKEN:
            self._taken.popitem(last=False)
        return True


def card_bytes(card: RoomCard) -> int:
    return sum(map(len, card.pdus)) + _HEAD_BYTES
