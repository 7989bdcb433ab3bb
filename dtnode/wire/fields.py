"""The kinds of fields that messages have: a value to its CBOR item and back, checked both ways.

Called by dtnode.wire.codec alone. A field raises DecodeError or LimitError and nothing else; what
it gives for one value is the only form that it takes back.
"""

from __future__ import annotations

import enum
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

from dtnode.errors import DecodeError, LimitError
from dtnode.matrix.server_names import KEY_BYTES, key_from_server_name, server_name_from_key
from dtnode.wire import limits

Field = Callable[[str, object, bool], object]
"""(its name for errors, a value, whether the value comes from the wire) -> the value for the other
side."""

_HASH_BYTES = 32


def text(max_bytes: int) -> Field:
    def field(name: str, value: object, _decoding: bool) -> object:
        if not isinstance(value, str):
            raise DecodeError(f"{name} is not text")
        if not value:
            raise DecodeError(f"{name} is empty")
        check_size(name, _utf8_size(name, value), max_bytes)
        return value

    return field


def line(max_bytes: int) -> Field:
    """Text that goes into a log: printable, may be empty."""

    def field(name: str, value: object, _decoding: bool) -> object:
        if not isinstance(value, str) or not value.isprintable():
            raise DecodeError(f"{name} is not printable text")
        check_size(name, _utf8_size(name, value), max_bytes)
        return value

    return field


def hash_id(sigil: str) -> Field:
    """An event id ("$"), or a room id ("!"), that is a sigil and 32 bytes in URL-safe base64, as
    those 32 bytes; any other as text."""
    as_text = text(limits.MAX_ID_BYTES)

    def field(name: str, value: object, decoding: bool) -> object:
        if not decoding:
            as_text(name, value, False)
            assert isinstance(value, str)
            digest = _digest(sigil, value)
            return value if digest is None else digest
        if isinstance(value, bytes):
            if len(value) != _HASH_BYTES:
                raise DecodeError(f"{name} has {len(value)} bytes, {_HASH_BYTES} are expected")
            return sigil + urlsafe_b64encode(value).decode().rstrip("=")
        as_text(name, value, True)
        assert isinstance(value, str)
        if _digest(sigil, value) is not None:
            raise DecodeError(f"{name} is text that should be {_HASH_BYTES} bytes")
        return value

    return field


def _digest(sigil: str, value: str) -> bytes | None:
    if len(value) != 44 or value[0] != sigil or not value.isascii():
        return None
    try:
        digest = urlsafe_b64decode(value[1:] + "=")
    except ValueError:
        return None
    exact = sigil + urlsafe_b64encode(digest).decode().rstrip("=") == value
    return digest if exact and len(digest) == _HASH_BYTES else None


def server_name(name: str, value: object, decoding: bool) -> object:
    """A server name that is nothing but a key as its 32 bytes; any other as text."""
    if decoding and isinstance(value, bytes):
        if len(value) != KEY_BYTES:
            raise DecodeError(f"{name} has {len(value)} bytes, {KEY_BYTES} are expected")
        return server_name_from_key(value)
    text(limits.MAX_ID_BYTES)(name, value, decoding)
    assert isinstance(value, str)
    key = None if "." in value else key_from_server_name(value)
    if decoding and key is not None:
        raise DecodeError(f"{name} is text that should be {KEY_BYTES} bytes")
    return value if key is None else key


def octets(min_bytes: int, max_bytes: int) -> Field:
    def field(name: str, value: object, _decoding: bool) -> object:
        if not isinstance(value, bytes):
            raise DecodeError(f"{name} is not a byte string")
        if len(value) < min_bytes:
            raise DecodeError(f"{name} has {len(value)} bytes, at least {min_bytes} are expected")
        check_size(name, len(value), max_bytes)
        return value

    return field


def many(item: Field, max_count: int) -> Field:
    def field(name: str, value: object, decoding: bool) -> object:
        if not isinstance(value, list if decoding else tuple):
            raise DecodeError(f"{name} is not an array")
        if len(value) > max_count:
            raise LimitError(f"{name} has {len(value)} items, at most {max_count} are allowed")
        return (tuple if decoding else list)(item(name, entry, decoding) for entry in value)

    return field


def number(maximum: int) -> Field:
    def field(name: str, value: object, _decoding: bool) -> object:
        if type(value) is not int or value < 0:
            raise DecodeError(f"{name} is not a number from 0 up")
        if value > maximum:
            raise LimitError(f"{name} is {value}, at most {maximum} is allowed")
        return value

    return field


def flag(name: str, value: object, _decoding: bool) -> object:
    if not isinstance(value, bool):
        raise DecodeError(f"{name} is neither true nor false")
    return value


def choice(kind: type[enum.IntEnum]) -> Field:
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


def check_size(name: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise LimitError(f"{name} has {size} bytes, at most {max_bytes} are allowed")


def _utf8_size(name: str, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise DecodeError(f"{name} has a lone surrogate, which is no text") from error
