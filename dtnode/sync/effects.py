"""What a PeerSync asks of its caller. Values only.

Effects are carried out in order. Those with an answer name the PeerSync method that takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.wire.messages import (
    Form,
    JoinRefused,
    JoinRequest,
    JoinSigned,
    Message,
    RoomCard,
    Tips,
    Want,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class TellTips:
    """Look up this node's Tips of a room shared with the peer -> PeerSync.tips_known."""

    room_id: str
    reply: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """What does the peer lack, by its Tips? -> PeerSync.compared."""

    tips: Tips


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculate:
    """The peer doesn't tell its Tips: it may not see this server in the room. What does it lack, by
    what is known of it? -> PeerSync.compared."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """Judge and store these PDUs durably -> PeerSync.ingested."""

    batch: int
    room_id: str
    room_version: str
    pdus: tuple[bytes, ...]
    more: bool
    unread: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """Which events answer this Want, as far as the peer may have them? -> PeerSync.served."""

    want: Want


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The PDUs of these events as the peer may have them -> PeerSync.loaded."""

    room_id: str
    event_ids: tuple[str, ...]
    form: Form = Form.COMPACT


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCard:
    """Verify and keep a card -> PeerSync.card_taken."""

    card: RoomCard


@dataclass(frozen=True, slots=True, kw_only=True)
class OweCards:
    """The cards sent so far have arrived: are more owed to the peer? -> PeerSync.owe_cards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakePublicCard:
    """The card of a room that the peer's users may join or knock at, if it is one ->
    PeerSync.public_card_made."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoSign:
    """Let a user of the peer's in by signing their join, or not -> PeerSync.co_signed."""

    request: JoinRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinAnswered:
    """The peer has signed an own join, or says why not."""

    answer: JoinSigned | JoinRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The peer has these events durably."""

    room_id: str
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDelivered:
    """The peer has seen the card about this event."""

    room_id: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """The peer hasn't these events, or not for us: ask others. None named: nor the room's card that
    it was asked for; once for each request."""

    room_id: str
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerClosed:
    """End the session, for this reason."""

    reason: str


Effect = (
    Send
    | TellTips
    | Compare
    | Speculate
    | Ingest
    | Serve
    | Load
    | TakeCard
    | OweCards
    | MakePublicCard
    | CoSign
    | JoinAnswered
    | Delivered
    | CardDelivered
    | NotFound
    | PeerClosed
)
