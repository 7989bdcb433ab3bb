"""The messages two nodes exchange, as values.

What a message means is dtnode.sync's business, how it travels dtnode.session's. Those with PDUs
travel as `dtnode.wire.packed`; bytes are `dtnode.wire.codec`. Every tuple here has a limit in
`dtnode.wire.limits`, enforced by the codec both ways.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Form(enum.IntEnum):
    """How far PDUs are packed (DESIGN section 6): as what the receiver can't compute from the room
    and what was said before; with everything named in full; not at all. A receiver that can't make
    the event of one form, or whose signature check fails, asks for the next."""

    COMPACT = 0
    EXPLICIT = 1
    RAW = 2


class RoomKind(enum.IntEnum):
    """How much of a room its sender holds (DESIGN section 2)."""

    INVITED = 0
    COMPLETE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tips:
    """What the sender holds of a room, at the start of a contact and again when asked or unsure.

    tips: event ids no accepted event of the sender's names as parent (DESIGN section 2).
    locator: ids of older events, exponentially spaced; whoever knows one knows its ancestors too.
    Both empty: the sender has nothing yet and wants all of it.
    reply: the sender wants the receiver's Tips of that room in answer.
    """

    room_id: str
    room_version: str
    kind: RoomKind
    tips: tuple[str, ...]
    locator: tuple[str, ...] = ()
    reply: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """PDUs of one room, parents before children; `pdus` are canonical JSON in federation format.

    batch: chosen by the sender, repeated in the Ack. more: further batches of the same answer
    follow. form: how far to pack them for the link. unread: as received, the places in the batch of
    events that could not be unpacked; they are not among `pdus`.
    """

    batch: int
    room_id: str
    room_version: str
    pdus: tuple[bytes, ...]
    more: bool = False
    form: Form = Form.COMPACT
    unread: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """All events of `batch` are durable at the receiver or judged (sent after fsync).

    refused: ids it did not keep and wants again later (its buffers are full). unread: places in the
    batch of events it could not unpack or whose signature failed as unpacked; it wants them in a
    more explicit form.
    """

    batch: int
    refused: tuple[str, ...] = ()
    unread: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Send these events of a room, with their ancestors that are not ancestors of `have`.

    have: events the asker holds with all their ancestors.
    """

    room_id: str
    event_ids: tuple[str, ...]
    have: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotHere:
    """Answer to a Want: these are not here, or not for the asker; ask another peer."""

    room_id: str
    event_ids: tuple[str, ...]


class CardKind(enum.IntEnum):
    INVITE = 0
    REMOVAL = 1
    PUBLIC = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCard:
    """What a server outside a room needs to check, from the root, an invite to it, its removal, or
    a room that its users may join or ask to be let into (DESIGN section 7).

    event_id: the invite or removal; for PUBLIC cards the latest event of the sender's (the parent
    of a join or knock). pdus: that event, the state worth knowing and all their auth chains,
    parents first. state: the event ids of those that are the room's state before that event (for
    PUBLIC cards after it, with the receiver's own users and members who may let them in), as the
    sender sees it. state_hash: 32 bytes, SHA-256 of the full such state (the form of `state_before`
    in audits).
    servers: servers with joined members.
    """

    kind: CardKind
    room_id: str
    room_version: str
    event_id: str
    pdus: tuple[bytes, ...]
    state: tuple[str, ...]
    state_hash: bytes
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRequest:
    """Asks for the PUBLIC card of a room to join or to knock at, by someone who knows its id."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardAck:
    """The card for `event_id` is durable here, or was refused; don't send it again."""

    room_id: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """Sign this join too: its sender is in a room whose members the restricted room `room_id` lets
    in, and it names a user of the receiver's in `join_authorised_via_users_server`.

    event_id: of `pdu`, which a further signature doesn't change. Asking twice means the same.
    """

    room_id: str
    room_version: str
    event_id: str
    pdu: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSigned:
    """Answer to a JoinRequest: the join with both signatures. It counts where it was signed."""

    room_id: str
    room_version: str
    event_id: str
    pdu: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRefused:
    """Answer to a JoinRequest; `reason` is one short line for the person who asked."""

    room_id: str
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there? Answered by a Ping with reply false."""

    reply: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """The sender closes the session; `reason` is one short line for the other side's log."""

    reason: str


Message = (
    Tips
    | Events
    | Ack
    | Want
    | NotHere
    | RoomCard
    | CardRequest
    | CardAck
    | JoinRequest
    | JoinSigned
    | JoinRefused
    | Ping
    | Bye
)
