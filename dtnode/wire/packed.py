"""Messages that carry PDUs, as they go over a link: the PDUs packed into one batch of bytes.

Values only. `dtnode.wire.packing` makes them of the messages dtnode.sync speaks and back, with
look-ups into the room; `dtnode.wire.codec` gives them bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.wire.messages import (
    Ack,
    Bye,
    CardAck,
    CardKind,
    CardRequest,
    JoinRefused,
    NotHere,
    Ping,
    Tips,
    Want,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedEvents:
    """Events (see there). data: a batch of dtnode.wire.pdus."""

    batch: int
    room_id: str
    room_version: str
    data: bytes
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedCard:
    """RoomCard. data: its PDUs as a batch that stands alone. event: the place among them of the one
    the card is about; state: the places of those that are the room's state, in the card's order."""

    kind: CardKind
    room_id: str
    room_version: str
    data: bytes
    event: int
    state: tuple[int, ...]
    state_hash: bytes
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedJoin:
    """JoinRequest, or JoinSigned where `signed`. data: the join as a batch that stands alone."""

    room_id: str
    room_version: str
    data: bytes
    signed: bool = False


LinkMessage = (
    Tips
    | PackedEvents
    | Ack
    | Want
    | NotHere
    | PackedCard
    | CardRequest
    | CardAck
    | PackedJoin
    | JoinRefused
    | Ping
    | Bye
)
