"""Messages to bytes and back: a type byte, then the fields as CBOR items (RFC 8949, 8742).

Fields at the end that have their default value are left out. A room is named in full once in each
direction of a session and by its number from then on; likewise its version. So both ends keep a
table, and messages must be decoded in the order they were encoded, each once: dtnode.session sees
to that.

What is said most has short forms: the next batch of events, of the room of the one before or of a
room with a number; the acknowledgement of the next batch. There the type byte says all but the
events, which are the rest of the message.

Not a general CBOR codec: only shortest-form unsigned integers, byte and text strings, booleans and
definite arrays are let through, and each message has exactly one encoding. The outline of the bytes
is checked before cbor2 sees them; the cost of a hostile message is bounded by its length and
MAX_CBOR_ITEMS. Called by dtnode.session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import cbor2

from dtnode.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from dtnode.wire import fields, limits
from dtnode.wire.cbor_outline import count_items
from dtnode.wire.fields import Field
from dtnode.wire.messages import (
    Ack,
    Bye,
    CardAck,
    CardKind,
    CardRequest,
    JoinRefused,
    NotHere,
    Ping,
    RoomKind,
    Tips,
    Want,
)
from dtnode.wire.packed import LinkMessage, PackedCard, PackedEvents, PackedJoin


@dataclass(slots=True)
class _Rooms:
    """Rooms named so far in one direction of a session. numbers: room id -> its number. versions:
    room id -> the version last said."""

    numbers: dict[str, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, room_id: str) -> None:
        if len(self.ids) < limits.MAX_ROOM_NUMBERS:
            self.numbers[room_id] = len(self.ids)
            self.ids.append(room_id)

    def says_version(self, room_id: str, version: str) -> None:
        """Of rooms without a number it is said each time, so that tables stay within bounds."""
        if room_id in self.numbers:
            self.versions[room_id] = version


@dataclass(slots=True)
class _Last:
    """What was said last in one direction of a session, from which the short forms go on."""

    room_id: str | None = None
    next_batch: int = 0
    next_ack: int = 0

    def note(self, message: LinkMessage) -> None:
        if isinstance(message, PackedEvents):
            self.room_id = message.room_id
            self.next_batch = _after(message.batch)
        elif isinstance(message, Ack):
            self.next_ack = _after(message.batch)

    def is_next_events(self, message: PackedEvents, rooms: _Rooms) -> bool:
        """Whether there is a short form if the room's version is the one last said."""
        number = rooms.numbers.get(message.room_id, _SHORT_ROOM_NUMBERS)
        is_next = message.batch == self.next_batch and not message.more
        return is_next and number < _SHORT_ROOM_NUMBERS

    def is_next_ack(self, ack: Ack) -> bool:
        return ack.batch == self.next_ack and not ack.refused and not ack.unread


def _after(batch: int) -> int:
    return batch + 1 if batch < limits.MAX_BATCH_NUMBER else 0


class MessageEncoder:
    """One direction of one session."""

    def __init__(self) -> None:
        self._rooms = _Rooms()
        self._last = _Last()

    def encode(self, message: LinkMessage) -> bytes:
        """The one encoding of `message`, at most MAX_MESSAGE_BYTES, 1 at least.

        Raises LocalProtocolError where a field breaks its limit: a bug of the caller, who sizes its
        batches by dtnode.wire.limits. The session can't go on then.
        """
        layout = _LAYOUT_BY_CLASS[type(message)]
        try:
            data = self._short(message)
            if data is None:
                data = self._long(message, layout)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"message can't be sent: {error}") from error
        if len(data) > limits.MAX_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"message can't be sent: {layout.name} has {len(data)} bytes, at most"
                f" {limits.MAX_MESSAGE_BYTES} are allowed; send fewer events in one message"
            )
        self._last.note(message)
        return data

    def _short(self, message: LinkMessage) -> bytes | None:
        if isinstance(message, Ack):
            _BATCH("Ack.batch", message.batch, False)
            return bytes((_NEXT_ACK,)) if self._last.is_next_ack(message) else None
        if not isinstance(message, PackedEvents):
            return None
        _BATCH("PackedEvents.batch", message.batch, False)
        _DATA("PackedEvents.data", message.data, False)
        if self._rooms.versions.get(message.room_id) != message.room_version:
            return None
        if not self._last.is_next_events(message, self._rooms):
            return None
        if message.room_id == self._last.room_id:
            return bytes((_NEXT_EVENTS,)) + message.data
        return bytes((_NEXT_EVENTS_IN, self._rooms.numbers[message.room_id])) + message.data

    def _long(self, message: LinkMessage, layout: _Layout) -> bytes:
        items: list[object] = []
        used = 0
        for name, kind, default in layout.fields:
            value = getattr(message, name)
            if kind is _ROOM:
                items.append(self._room(f"{layout.name}.{name}", value))
            elif kind is _ROOM_VERSION:
                items.append(kind(f"{layout.name}.{name}", value, False))
                default = self._rooms.versions.get(message.room_id)  # type: ignore[union-attr]
                self._rooms.says_version(message.room_id, value)  # type: ignore[union-attr]
            else:
                items.append(kind(f"{layout.name}.{name}", value, False))
            if value != default:
                used = len(items)
        return bytes([layout.number]) + b"".join(map(cbor2.dumps, items[:used]))

    def _room(self, name: str, room_id: object) -> object:
        known = self._rooms.numbers.get(room_id) if isinstance(room_id, str) else None
        if known is not None:
            return known
        item = _ROOM(name, room_id, False)
        assert isinstance(room_id, str)
        self._rooms.add(room_id)
        return item


class MessageDecoder:
    """The other end of a MessageEncoder."""

    def __init__(self) -> None:
        self._rooms = _Rooms()
        self._last = _Last()

    def decode(self, data: bytes) -> LinkMessage:
        """The message that `encode` made `data` from.

        Raises DecodeError (not such a message) or LimitError (over a bound), nothing else; the
        session can't go on then.
        """
        if not data:
            raise DecodeError("message is empty")
        fields.check_size("message", len(data), limits.MAX_MESSAGE_BYTES)
        layout = _LAYOUT_BY_NUMBER.get(data[0])
        message: LinkMessage
        if layout is not None:
            message = self._long(layout, data)
        elif data[0] == _NEXT_ACK and len(data) == 1:
            message = Ack(batch=self._last.next_ack)
        elif data[0] in (_NEXT_EVENTS, _NEXT_EVENTS_IN):
            message = self._next_events(data)
        else:
            raise DecodeError(f"message type {data[0]} is unknown")
        self._last.note(message)
        return message

    def _next_events(self, data: bytes) -> PackedEvents:
        if data[0] == _NEXT_EVENTS:
            room_id, rest = self._last.room_id, data[1:]
        else:
            number, rest = data[1:2], data[2:]
            room_id = self._room("PackedEvents.room_id", number[0], True) if number else None
            if room_id == self._last.room_id:
                raise DecodeError("PackedEvents names the room of the one before")
        version = None if room_id is None else self._rooms.versions.get(room_id)
        if room_id is None or version is None or not rest:
            raise DecodeError("PackedEvents goes on from nothing, or with nothing")
        return PackedEvents(
            batch=self._last.next_batch, room_id=room_id, room_version=version, data=rest
        )

    def _long(self, layout: _Layout, data: bytes) -> LinkMessage:
        items = _items(data[1:])
        if len(items) > len(layout.fields):
            raise DecodeError(
                f"{layout.name} has {len(items)} fields, at most {len(layout.fields)} are expected"
            )
        values: dict[str, object] = {}
        last_is_default = False
        for place, (name, kind, default) in enumerate(layout.fields):
            full_name = f"{layout.name}.{name}"
            if kind is _ROOM_VERSION:
                default = self._rooms.versions.get(str(values["room_id"]), _REQUIRED)
            if place >= len(items):
                if default is _REQUIRED:
                    raise DecodeError(f"{full_name} is missing")
                values[name] = default
                continue
            decode = self._room if kind is _ROOM else kind
            values[name] = decode(full_name, items[place], True)
            last_is_default = values[name] == default
            if kind is _ROOM_VERSION:
                self._rooms.says_version(str(values["room_id"]), str(values[name]))
        if last_is_default:
            raise DecodeError(f"{layout.name} ends with a field that should be left out")
        message = layout.make(**values)
        match message:
            case PackedEvents():
                same_version = len(items) < len(layout.fields)
                is_short = same_version and self._last.is_next_events(message, self._rooms)
            case Ack():
                is_short = self._last.is_next_ack(message)
            case _:
                is_short = False
        if is_short:
            raise DecodeError(f"{layout.name} should be in its short form")
        return message

    def _room(self, name: str, item: object, _decoding: bool) -> str:
        if type(item) is int:
            if item >= len(self._rooms.ids):
                raise DecodeError(f"{name} is the number {item} of a room that was never named")
            return self._rooms.ids[item]
        room_id = _ROOM(name, item, True)
        assert isinstance(room_id, str)
        if room_id in self._rooms.numbers:
            raise DecodeError(f"{name} is named in full again")
        self._rooms.add(room_id)
        return room_id


def _items(data: bytes) -> list[object]:
    """The items of a CBOR sequence. DecodeError, LimitError."""
    count = count_items(data)
    head = cbor2.dumps(count)  # an unsigned integer's head, made an array's
    array = bytes([head[0] | 0x80]) + head[1:] + data
    try:
        items = cbor2.loads(array)
    except (cbor2.CBORDecodeError, ValueError) as error:  # text that is not UTF-8
        raise DecodeError(f"message is not valid CBOR: {error}") from error
    assert isinstance(items, list)
    return items


_REQUIRED: Final = object()

_NEXT_EVENTS: Final = 14
_NEXT_EVENTS_IN: Final = 15
_NEXT_ACK: Final = 16
_SHORT_ROOM_NUMBERS: Final = 256
"""Types of the short forms; that of an event in another room than the one before has the room's
number in one byte."""

_CARD_ACK: Final = 8
_PONG: Final = bytes((9,))

COMMONEST_MESSAGE: Final = bytes((_NEXT_ACK,))
"""Every other message of a conversation: a transfer may have a form without any byte for it."""


def is_unhurried(data: bytes) -> bool:
    """Whether an encoded message ends what was asked for, so that its sender waits for nothing: the
    acknowledgement of the next batch or of a card, the answer to a ping."""
    return data in (COMMONEST_MESSAGE, _PONG) or data[0] == _CARD_ACK


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """A message's type number and its fields in wire order: (name, kind, default)."""

    number: int
    make: Callable[..., LinkMessage]
    name: str
    fields: tuple[tuple[str, Field, object], ...]


_ID: Final = fields.hash_id("$")
_ROOM: Final = fields.hash_id("!")
_ROOM_VERSION: Final = fields.text(limits.MAX_ROOM_VERSION_BYTES)
_BATCH: Final = fields.number(limits.MAX_BATCH_NUMBER)
_PLACE: Final = fields.number(limits.MAX_CARD_PDUS)
_DATA: Final = fields.octets(1, limits.MAX_MESSAGE_BYTES)
_HASH: Final = fields.octets(limits.STATE_HASH_BYTES, limits.STATE_HASH_BYTES)
_REASON: Final = fields.line(limits.MAX_REASON_BYTES)
_IDS: Final = fields.many(_ID, limits.MAX_WANT_IDS)


def _layout(
    number: int, make: type[LinkMessage], **wanted: Field | tuple[Field, object]
) -> _Layout:
    """Fields in wire order, with their default where they have one."""
    described: list[tuple[str, Field, object]] = []
    for name, wants in wanted.items():
        kind, default = wants if isinstance(wants, tuple) else (wants, _REQUIRED)
        described.append((name, kind, default))
    return _Layout(number=number, make=make, name=make.__name__, fields=tuple(described))


_LAYOUTS: Final = (
    _layout(
        1,
        Tips,
        room_id=_ROOM,
        kind=fields.choice(RoomKind),
        tips=fields.many(_ID, limits.MAX_TIPS),
        locator=(fields.many(_ID, limits.MAX_LOCATOR), ()),
        reply=(fields.flag, False),
        room_version=_ROOM_VERSION,
    ),
    _layout(
        2,
        PackedEvents,
        batch=_BATCH,
        room_id=_ROOM,
        data=_DATA,
        more=(fields.flag, False),
        room_version=_ROOM_VERSION,
    ),
    _layout(
        3,
        Ack,
        batch=_BATCH,
        refused=(fields.many(_ID, limits.MAX_REFUSED), ()),
        unread=(
            fields.many(fields.number(limits.MAX_EVENTS_PDUS), limits.MAX_EVENTS_PDUS),
            (),
        ),
    ),
    _layout(
        4,
        Want,
        room_id=_ROOM,
        event_ids=_IDS,
        have=(fields.many(_ID, limits.MAX_HAVE), ()),
    ),
    _layout(5, NotHere, room_id=_ROOM, event_ids=_IDS),
    _layout(
        6,
        PackedCard,
        kind=fields.choice(CardKind),
        room_id=_ROOM,
        data=_DATA,
        event=_PLACE,
        state=fields.many(_PLACE, limits.MAX_CARD_PDUS),
        state_hash=_HASH,
        servers=(fields.many(fields.server_name, limits.MAX_CARD_SERVERS), ()),
        room_version=_ROOM_VERSION,
    ),
    _layout(7, CardRequest, room_id=_ROOM),
    _layout(_CARD_ACK, CardAck, room_id=_ROOM, event_id=_ID),
    _layout(9, Ping, reply=(fields.flag, False)),
    _layout(10, Bye, reason=(_REASON, "")),
    _layout(
        11,
        PackedJoin,
        room_id=_ROOM,
        data=_DATA,
        signed=(fields.flag, False),
        room_version=_ROOM_VERSION,
    ),
    _layout(13, JoinRefused, room_id=_ROOM, event_id=_ID, reason=(_REASON, "")),
)
"""Type numbers are for ever: a field or a meaning changes only with limits.WIRE_VERSION."""

_LAYOUT_BY_NUMBER: Final = {layout.number: layout for layout in _LAYOUTS}
_LAYOUT_BY_CLASS: Final = {layout.make: layout for layout in _LAYOUTS}
