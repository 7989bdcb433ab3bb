"""Values, names and references to bytes: the writing half; the mirror of dtnode.wire.pdus.reader.

One Writer writes one batch. What it says for the first time it adds to the tables as the reader
will; who drops the bytes must call `Tables.undo`.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from typing import Any, Final

from dtnode.matrix.canonical_json import encode_checked_json
from dtnode.matrix.room_versions import RoomVersion
from dtnode.matrix.server_names import KEY_TEXT_LENGTH, key_from_server_name
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64, encode_url_safe_unpadded_base64
from dtnode.wire.effort import Effort
from dtnode.wire.pdus import codes, words
from dtnode.wire.pdus.context import PREFIX_BYTES, KnownEvent, KnownEvents, TextCoder
from dtnode.wire.pdus.tables import Said, Tables


def _coded(entries: tuple[Any, ...], first: int, count: int, more: int) -> dict[Any, bytes]:
    return {
        entry: bytes((first + i,)) if i < count else bytes((more, i - count))
        for i, entry in enumerate(entries)
    }


WORD_CODES: Final[dict[str, bytes]] = _coded(
    words.VALUES, codes.WORD, codes.WORDS_OF_ONE_BYTE, codes.MORE_WORDS
)
SHAPE_CODES: Final[dict[tuple[str, ...], bytes]] = _coded(
    words.SHAPES, codes.SHAPE, codes.SHAPES_OF_ONE_BYTE, codes.MORE_SHAPES
)
KEY_CODES: Final[dict[str, bytes]] = _coded(words.KEYS, 0, codes.KEYS_OF_ONE_BYTE, codes.KEY_MORE)
TYPE_CODES: Final[dict[str, int]] = {name: i for i, name in enumerate(words.TYPES)}

_base64 = re.compile(r"[A-Za-z0-9+/]{10,}").fullmatch
_base64_url = re.compile(r"[A-Za-z0-9_-]{10,}").fullmatch
_base64_padded = re.compile(r"[A-Za-z0-9+/]{10,}={1,2}").fullmatch
_user = re.compile(r"@[^:]*:[0-9A-Za-z.:\[\]-]+").fullmatch
_media = re.compile(r"mxc://([0-9A-Za-z.:\[\]-]+)/([^/]+)").fullmatch

HASH_TEXT_LENGTH: Final = 43


class Unpackable(Exception):
    """The compact form has no room for this event; it goes as canonical JSON."""


class Writer:
    """out: the bytes so far. received: the tables of the other direction at this end. effort: what
    the batch may still cost its reader."""

    __slots__ = ("_url_safe", "effort", "known", "model", "out", "received", "tables")

    def __init__(
        self,
        version: RoomVersion,
        tables: Tables,
        received: Tables | None,
        known: KnownEvents,
        model: TextCoder | None,
        effort: Effort | None = None,
    ) -> None:
        self.out = bytearray()
        self.tables = tables
        self.received = received
        self.known = known
        self.model = model
        self.effort = effort or Effort()
        self._url_safe = version.url_safe_event_ids

    # --- numbers and lengths

    def varint(self, number: int) -> None:
        out = self.out
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)

    def signed(self, number: int) -> None:
        self.varint(number * 2 if number >= 0 else -2 * number - 1)

    def sized(self, data: bytes) -> None:
        self.varint(len(data))
        self.out += data

    # --- values

    def value(self, value: Any) -> None:
        kind = type(value)
        if kind is str:
            self.text(value)
        elif kind is dict:
            self._object(value)
        elif kind is int:
            self._number(value)
        elif kind is bool:
            self.out.append(codes.TRUE if value else codes.FALSE)
        elif kind is list or kind is tuple:
            self._array(value)
        elif value is None:
            self.out.append(codes.NULL)
        else:
            self.out.append(codes.LITERAL)
            self.sized(encode_checked_json(value, strict=False))

    def _number(self, number: int) -> None:
        out = self.out
        if 0 <= number < codes.NUMBERS_OF_ONE_BYTE:
            out.append(codes.NUMBER + number)
        elif number == 50:
            out.append(codes.FIFTY)
        elif number == 100:
            out.append(codes.HUNDRED)
        elif number < -(2**63) or number >= 2**64:
            out.append(codes.LITERAL)
            self.sized(str(number).encode())
        elif number < 0:
            out.append(codes.NEGATIVE)
            self.varint(-1 - number)
        else:
            width = (number.bit_length() + 7) // 8
            for code, size in _NUMBER_WIDTHS:
                if width <= size:
                    out.append(code)
                    out += number.to_bytes(size, "big")
                    break

    def _array(self, items: list[Any] | tuple[Any, ...]) -> None:
        if len(items) < codes.ARRAYS_OF_ONE_BYTE:
            self.out.append(codes.ARRAY + len(items))
        else:
            self.out.append(codes.LONG_ARRAY)
            self.varint(len(items))
        for item in items:
            self.value(item)

    def _object(self, members: dict[str, Any]) -> None:
        out = self.out
        shape = tuple(sorted(members))
        code = SHAPE_CODES.get(shape)
        if code is not None:
            out += code
        elif (slot := self.tables.shapes.find(shape)) is not None:
            out += bytes((codes.RECENT_SHAPE, slot))
        else:
            self._new_shape(shape)
        for key in shape:
            self.value(members[key])

    def _new_shape(self, shape: tuple[str, ...]) -> None:
        if len(shape) < codes.OBJECTS_OF_ONE_BYTE:
            self.out.append(codes.OBJECT + len(shape))
        else:
            self.out.append(codes.LONG_OBJECT)
            self.varint(len(shape))
        for key in shape:
            self._key(key)
        if is_remembered_shape(shape):
            self.tables.shapes.add(shape)

    def _key(self, key: str) -> None:
        out = self.out
        code = KEY_CODES.get(key)
        if code is not None:
            out += code
        elif key.startswith("@") and _packs_as_user(key):
            out.append(codes.KEY_USER)
            self.user(key)
        else:
            data = key.encode()
            if len(data) < codes.KEY_TEXT_LENGTHS:
                out.append(codes.KEY_TEXT + len(data))
                out += data
            else:
                out.append(codes.KEY_LONG)
                self.sized(data)

    # --- texts

    def text(self, text: str) -> None:
        code = WORD_CODES.get(text)
        if code is not None:
            self.out += code
            return
        if len(text) >= codes.MIN_WORD_BYTES:
            slot = self.tables.words.find(text)
            if slot is not None:
                self.out += bytes((codes.RECENT_WORD, slot))
                return
            if " " not in text and self._identifier(text):
                return
        self._plain(text)

    def _plain(self, text: str) -> None:
        data = text.encode()
        spaced = b" " in data
        if spaced and self.model is not None:
            packed = self.model.compress(data, self.effort)
            if packed is not None and len(packed) < len(data):
                self.out.append(codes.MODEL_TEXT)
                self.sized(packed)
                return
        if len(data) < codes.TEXTS_OF_ONE_BYTE:
            self.out.append(codes.TEXT + len(data))
            self.out += data
        else:
            self.out.append(codes.LONG_TEXT)
            self.sized(data)
        if not spaced and codes.MIN_WORD_BYTES <= len(data) <= codes.MAX_WORD_BYTES:
            self.tables.words.add(text)

    def _identifier(self, text: str) -> bool:
        """Writes an id, a name or Base64; False: it is none that packing gives back exactly."""
        first = text[0]
        if first == "$":
            digest = self.hash_of(text)
            if digest is None:
                return False
            self.out.append(codes.EVENT)
            self.ref(text)
            return True
        if first == "@":
            if not _packs_as_user(text):
                return False
            self.out.append(codes.USER)
            self.user(text)
            return True
        if first == "!":
            digest = exact_base64(text[1:], url_safe=True) if len(text) == 44 else None
            if digest is None:
                return False
            self.out.append(codes.ROOM_HASH)
            self.out += digest
            return True
        if first == "m" and text.startswith("mxc://"):
            return self._media(text)
        return self._server_or_base64(text)

    def _media(self, text: str) -> bool:
        match = _media(text)
        if match is None or len(match[1]) > codes.MAX_NAME_BYTES:
            return False
        self.out.append(codes.MEDIA)
        self.server(match[1])
        self.text(match[2])
        return True

    def _server_or_base64(self, text: str) -> bool:
        is_key = len(text) >= KEY_TEXT_LENGTH and key_from_server_name(text) is not None
        if is_key or self.tables.servers.find(text) is not None:
            self.out.append(codes.SERVER)
            self.server(text)
            return True
        if _base64(text):
            code, data = codes.BASE64, exact_base64(text)
        elif _base64_url(text):
            code, data = codes.BASE64_URL, exact_base64(text, url_safe=True)
        elif _base64_padded(text) and len(text) % 4 == 0:
            code, data = codes.BASE64_PADDED, exact_base64(text.rstrip("="))
            if data is not None and len(data) % 3 == 0:
                return False
        else:
            return False
        if data is None:
            return False
        self.out.append(code)
        self.sized(data)
        if len(text) <= codes.MAX_WORD_BYTES:
            self.tables.words.add(text)
        return True

    # --- names

    def user(self, user_id: str) -> None:
        """A user id of at most MAX_NAME_BYTES bytes."""
        slot = self.tables.users.find(user_id)
        if slot is not None:
            self.out.append(slot)
            return
        localpart, _, server = user_id[1:].partition(":")
        self.out.append(codes.NAME_NEW)
        self.server(server)
        self.sized(localpart.encode())
        self.tables.users.add(user_id)

    def server(self, name: str) -> None:
        slot = self.tables.servers.find(name)
        if slot is not None:
            self.out.append(slot)
            return
        key = key_from_server_name(name) if len(name) >= KEY_TEXT_LENGTH else None
        if key is None:
            self.out.append(codes.NAME_TEXT)
            self.sized(name.encode())
        elif len(name) == KEY_TEXT_LENGTH:
            self.out.append(codes.NAME_KEY)
            self.out += key
        else:
            self.out.append(codes.NAME_KEY_DOMAIN)
            self.out += key
            self.sized(name[KEY_TEXT_LENGTH + 1 :].encode())
        self.tables.servers.add(name)

    # --- events

    def hash_of(self, event_id: str) -> bytes | None:
        """The 32 bytes that the event id is made of; None: it is not in the room version's form."""
        if len(event_id) != HASH_TEXT_LENGTH + 1:
            return None
        return exact_base64(event_id[1:], url_safe=self._url_safe)

    def ref(self, event_id: str) -> Said:
        """Names an event; gives what both ends know of it then."""
        events = self.tables.events
        named = events.named(event_id)
        if named is not None:
            slot, said = named
            self.out.append(slot)
            return said
        received = self.find_received(event_id)
        if received is not None:
            self.out.append(codes.REF_RECEIVED)
            self.name_received(*received)
            return received[1]
        digest = self.hash_of(event_id)
        if digest is None:
            self.out.append(codes.REF_TEXT)
            self.sized(event_id.encode())
            return Said(event_id, None, None)
        prefix = digest[:PREFIX_BYTES]
        found = self._look_up(event_id, prefix)
        if found is not None:
            self.out.append(codes.REF_PREFIX)
            self.out += prefix
            said = Said(event_id, found.depth, found.origin_server_ts)
        else:
            self.out.append(codes.REF_HASH)
            self.out += digest
            said = Said(event_id, None, None)
        events.add(said)
        return said

    def find_received(self, event_id: str) -> tuple[int, Said] | None:
        """Its place in the other direction, and what both ends know of it."""
        return None if self.received is None else self.received.events.place_of(event_id)

    def name_received(self, place: int, _said: Said) -> None:
        """By how far it is from the one of the other direction named last: a byte in a talk."""
        self.signed(place - self.tables.named_place)
        self.tables.named_place = place

    def _look_up(self, event_id: str, prefix: bytes) -> KnownEvent | None:
        """None: its prefix doesn't name it to the reader."""
        if self.effort.look_ups == 0:
            return None
        self.effort.look_ups -= 1
        found = self.known.find(event_id)
        return found if found is not None and self.known.by_prefix(prefix) == event_id else None


_NUMBER_WIDTHS: Final = (
    (codes.NUMBER_8, 1),
    (codes.NUMBER_16, 2),
    (codes.NUMBER_32, 4),
    (codes.NUMBER_64, 8),
)


def exact_base64(text: str, *, url_safe: bool = False) -> bytes | None:
    """What unpadded Base64 in that alphabet stands for, if encoding it gives `text` again."""
    try:
        standard = text.replace("-", "+").replace("_", "/") if url_safe else text
        data = a2b_base64(standard + "=" * (-len(text) % 4))
    except ValueError:
        return None
    encode = encode_url_safe_unpadded_base64 if url_safe else encode_unpadded_base64
    return data if encode(data) == text else None


def is_remembered_shape(shape: tuple[str, ...]) -> bool:
    return (
        0 < len(shape) <= codes.MAX_SHAPE_KEYS
        and sum(map(len, shape)) <= codes.MAX_SHAPE_CHARACTERS
    )


def _packs_as_user(text: str) -> bool:
    return (
        len(text) <= codes.MAX_NAME_BYTES
        and _user(text) is not None
        and len(text.encode()) <= codes.MAX_NAME_BYTES
    )
