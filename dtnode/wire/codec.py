"""Messages to bytes and back: CBOR (RFC 8949) arrays [version, type, field, ...].

Not a general CBOR codec: only shortest-form unsigned integers, byte and text strings, booleans and
definite arrays are let through, so each message has exactly one encoding. The outline of the
bytes is checked before cbor2 sees them; the cost of a hostile message is bounded by its length
and MAX_CBOR_ITEMS. Called by dtnode.session.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cbor2

from dtnode.errors import DecodeError, LimitError, LocalProtocolError, RemoteProtocolError
from dtnode.wire import limits
from dtnode.wire.messages import (
    Ack,
    Bye,
    CardAck,
    CardKind,
    CardRequest,
    Events,
    JoinRefused,
    JoinRequest,
    JoinSigned,
    Message,
    NotHere,
    Ping,
    RoomCard,
    RoomKind,
    Tips,
    Want,
)


def encode_message(message: Message) -> bytes:
    """The one encoding of `message`, at most MAX_MESSAGE_BYTES.

    Raises LocalProtocolError where a field breaks its limit: a bug of the caller, who sizes its
    batches by dtnode.wire.limits.
    """
    layout = _LAYOUT_BY_CLASS[type(message)]
    body: list[object] = [limits.WIRE_VERSION, layout.number]
    try:
        for name, field in layout.fields:
            body.append(field(f"{layout.name}.{name}", getattr(message, name), False))
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"message can't be sent: {error}") from error
    data = cbor2.dumps(body)
    if len(data) > limits.MAX_MESSAGE_BYTES:
        raise LocalProtocolError(
            f"message can't be sent: {layout.name} has {len(data)} bytes, at most"
            f" {limits.MAX_MESSAGE_BYTES} are allowed; send fewer events in one message"
        )
    return data


def decode_message(data: bytes) -> Message:
    """The message that `encode_message` made `data` from.

    Raises DecodeError (not such a message) or LimitError (over a bound), nothing else.
    """
    _check_outline(data)
    try:
        body = cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError) as error:  # text that is not UTF-8
        raise DecodeError(f"message is not valid CBOR: {error}") from error
    if not isinstance(body, list) or len(body) < 2:
        raise DecodeError("message is not an array of version, type and fields")
    version, number, *values = body
    if type(version) is not int or version != limits.WIRE_VERSION:
        raise DecodeError(
            f"message has wire version {version!r:.40}, this node speaks {limits.WIRE_VERSION}"
        )
    layout = _LAYOUT_BY_NUMBER.get(number) if type(number) is int else None
    if layout is None:
        raise DecodeError(f"message type {number!r:.40} is unknown")
    if len(values) != len(layout.fields):
        raise DecodeError(
            f"{layout.name} has {len(values)} fields, {len(layout.fields)} are expected"
        )
    fields = {
        name: field(f"{layout.name}.{name}", value, True)
        for (name, field), value in zip(layout.fields, values, strict=True)
    }
    return layout.make(**fields)


def _check_outline(data: bytes) -> None:
    """Walk the heads of all items: kinds, nesting, counts and lengths, before anything is built."""
    size = len(data)
    if size > limits.MAX_MESSAGE_BYTES:
        raise LimitError(
            f"message has {size} bytes, at most {limits.MAX_MESSAGE_BYTES} are allowed"
        )
    position = 0
    items = 0
    open_arrays = [1]  # items still to come, per level
    while open_arrays:
        if open_arrays[-1] == 0:
            open_arrays.pop()
            continue
        open_arrays[-1] -= 1
        items += 1
        if items > limits.MAX_CBOR_ITEMS:
            raise LimitError(f"message has more than {limits.MAX_CBOR_ITEMS} items")
        major, argument, position = _read_head(data, position)
        if major in (_BYTES, _TEXT):
            position += argument
            if position > size:
                raise DecodeError("message ends inside a string")
        elif major == _ARRAY:
            if len(open_arrays) > limits.MAX_CBOR_DEPTH:
                raise LimitError(f"message is nested deeper than {limits.MAX_CBOR_DEPTH} arrays")
            open_arrays.append(argument)
    if position != size:
        raise DecodeError(f"{size - position} bytes follow the end of the message")


_UNSIGNED: Final = 0
_BYTES: Final = 2
_TEXT: Final = 3
_ARRAY: Final = 4
_SIMPLE: Final = 7
_FALSE: Final = 20
_TRUE: Final = 21
_KIND_NAMES: Final = ("", "a negative number", "", "", "", "a map", "a tag", "a float or null")
_SHORTEST: Final = {24: (1, 24), 25: (2, 1 << 8), 26: (4, 1 << 16), 27: (8, 1 << 32)}
"""Additional information -> bytes of argument, smallest argument needing them (RFC 8949, 4.2.1)."""


def _read_head(data: bytes, position: int) -> tuple[int, int, int]:
    """Major type, argument and the position after the head (RFC 8949, section 3)."""
    if position >= len(data):
        raise DecodeError("message is cut off")
    initial = data[position]
    position += 1
    major, info = initial >> 5, initial & 31
    if major == _SIMPLE and info in (_FALSE, _TRUE):
        return major, info, position
    if major not in (_UNSIGNED, _BYTES, _TEXT, _ARRAY):
        raise DecodeError(f"message has {_KIND_NAMES[major]}, which no field has")
    if info < 24:
        return major, info, position
    if info not in _SHORTEST:
        raise DecodeError("message has an item of indefinite or reserved length")
    width, least = _SHORTEST[info]
    end = position + width
    if end > len(data):
        raise DecodeError("message is cut off")
    argument = int.from_bytes(data[position:end], "big")
    if argument < least:
        raise DecodeError("message has a number or length that is not in its shortest form")
    return major, argument, end


# A field takes (its name, a value, whether the value comes from the wire) and gives the value for
# the other side; it raises DecodeError or LimitError.
_Field = Callable[[str, object, bool], object]


def _text(max_bytes: int) -> _Field:
    def field(name: str, value: object, _decoding: bool) -> object:
        if not isinstance(value, str):
            raise DecodeError(f"{name} is not text")
        if not value:
            raise DecodeError(f"{name} is empty")
        _check_size(name, _utf8_size(name, value), max_bytes)
        return value

    return field


def _line(max_bytes: int) -> _Field:
    """Text that goes into a log: printable, may be empty."""

    def field(name: str, value: object, _decoding: bool) -> object:
        if not isinstance(value, str) or not value.isprintable():
            raise DecodeError(f"{name} is not printable text")
        _check_size(name, _utf8_size(name, value), max_bytes)
        return value

    return field


def _bytes(min_bytes: int, max_bytes: int) -> _Field:
    def field(name: str, value: object, _decoding: bool) -> object:
        if not isinstance(value, bytes):
            raise DecodeError(f"{name} is not a byte string")
        if len(value) < min_bytes:
            raise DecodeError(f"{name} has {len(value)} bytes, at least {min_bytes} are expected")
        _check_size(name, len(value), max_bytes)
        return value

    return field


def _many(item: _Field, max_count: int) -> _Field:
    def field(name: str, value: object, decoding: bool) -> object:
        if not isinstance(value, list if decoding else tuple):
            raise DecodeError(f"{name} is not an array")
        if len(value) > max_count:
            raise LimitError(f"{name} has {len(value)} items, at most {max_count} are allowed")
        return (tuple if decoding else list)(item(name, entry, decoding) for entry in value)

    return field


def _number(maximum: int) -> _Field:
    def field(name: str, value: object, _decoding: bool) -> object:
        if type(value) is not int or value < 0:
            raise DecodeError(f"{name} is not a number from 0 up")
        if value > maximum:
            raise LimitError(f"{name} is {value}, at most {maximum} is allowed")
        return value

    return field


def _flag(name: str, value: object, _decoding: bool) -> object:
    if not isinstance(value, bool):
        raise DecodeError(f"{name} is neither true nor false")
    return value


def _choice(kind: type[enum.IntEnum]) -> _Field:
    values = {int(member): member for member in kind}

    def field(name: str, value: object, decoding: bool) -> object:
        if not decoding:
            assert isinstance(value, kind)
            return int(value)
        member = values.get(value) if type(value) is int else None
        if member is None:
            raise DecodeError(f"{name} is {value!r:.40}, none of {sorted(values)}")
        return member

    return field


def _check_size(name: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise LimitError(f"{name} has {size} bytes, at most {max_bytes} are allowed")


def _utf8_size(name: str, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise DecodeError(f"{name} has a lone surrogate, which is no text") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """A message's type number and its fields in wire order."""

    number: int
    make: Callable[..., Message]
    name: str
    fields: tuple[tuple[str, _Field], ...]


_ID: Final = _text(limits.MAX_ID_BYTES)
_VERSION: Final = _text(limits.MAX_ROOM_VERSION_BYTES)
_PDU: Final = _bytes(1, limits.MAX_PDU_BYTES)
_HASH: Final = _bytes(limits.STATE_HASH_BYTES, limits.STATE_HASH_BYTES)


def _layout(number: int, make: type[Message], **fields: _Field) -> _Layout:
    return _Layout(number=number, make=make, name=make.__name__, fields=tuple(fields.items()))


_LAYOUTS: Final = (
    _layout(
        1,
        Tips,
        room_id=_ID,
        room_version=_VERSION,
        kind=_choice(RoomKind),
        tips=_many(_ID, limits.MAX_TIPS),
        locator=_many(_ID, limits.MAX_LOCATOR),
        reply=_flag,
    ),
    _layout(
        2,
        Events,
        batch=_number(limits.MAX_BATCH_NUMBER),
        room_id=_ID,
        room_version=_VERSION,
        pdus=_many(_PDU, limits.MAX_EVENTS_PDUS),
        more=_flag,
    ),
    _layout(3, Ack, batch=_number(limits.MAX_BATCH_NUMBER), refused=_many(_ID, limits.MAX_REFUSED)),
    _layout(
        4,
        Want,
        room_id=_ID,
        event_ids=_many(_ID, limits.MAX_WANT_IDS),
        have=_many(_ID, limits.MAX_HAVE),
    ),
    _layout(5, NotHere, room_id=_ID, event_ids=_many(_ID, limits.MAX_WANT_IDS)),
    _layout(
        6,
        RoomCard,
        kind=_choice(CardKind),
        room_id=_ID,
        room_version=_VERSION,
        event_id=_ID,
        pdus=_many(_PDU, limits.MAX_CARD_PDUS),
        state=_many(_ID, limits.MAX_CARD_PDUS),
        state_hash=_HASH,
        servers=_many(_ID, limits.MAX_CARD_SERVERS),
    ),
    _layout(7, CardRequest, room_id=_ID),
    _layout(8, CardAck, room_id=_ID, event_id=_ID),
    _layout(9, Ping, reply=_flag),
    _layout(10, Bye, reason=_line(limits.MAX_REASON_BYTES)),
    _layout(11, JoinRequest, room_id=_ID, event_id=_ID, pdu=_PDU),
    _layout(12, JoinSigned, room_id=_ID, event_id=_ID, pdu=_PDU),
    _layout(13, JoinRefused, room_id=_ID, event_id=_ID, reason=_line(limits.MAX_REASON_BYTES)),
)
"""Type numbers are for ever: a field or a meaning changes only with WIRE_VERSION."""

_LAYOUT_BY_NUMBER: Final = {layout.number: layout for layout in _LAYOUTS}
_LAYOUT_BY_CLASS: Final = {layout.make: layout for layout in _LAYOUTS}
