"""Values, names and references from bytes: the mirror of dtnode.wire.pdus.writer.

Everything read adds to the tables what the writer added. An event that can't be named here leaves
its bytes read and `unreadable` set. DecodeError: no such bytes; LimitError: over a bound.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any, Final

from dtnode.errors import ConfigError, DecodeError, FormatError, LimitError
from dtnode.matrix.canonical_json import MAX_INTEGER_DIGITS, MAX_NESTING, parse_json_object
from dtnode.matrix.room_versions import RoomVersion
from dtnode.matrix.server_names import KEY_BYTES, server_name_from_key
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64, encode_url_safe_unpadded_base64
from dtnode.wire import limits
from dtnode.wire.effort import MAX_LOOK_UPS, Effort
from dtnode.wire.pdus import codes, words
from dtnode.wire.pdus.context import PREFIX_BYTES, KnownEvents, NothingKnown, TextCoder
from dtnode.wire.pdus.tables import UNKNOWN, Said, Tables
from dtnode.wire.pdus.writer import HASH_TEXT_LENGTH, is_remembered_shape

HASH_BYTES: Final = 32
_NOTHING: Final = NothingKnown()


class Reader:
    """pos: the next byte. sent: the tables of the other direction at this end. known: None in a
    room that this end has no part in: then no text is spent effort on, and nothing is looked up.

    unreadable: why the event being read can't be put together here, if so.
    """

    __slots__ = (
        "_data",
        "_effort",
        "_end",
        "_hash_text",
        "_left",
        "_model",
        "known",
        "pos",
        "sent",
        "tables",
        "unreadable",
    )

    def __init__(
        self,
        data: bytes,
        version: RoomVersion,
        tables: Tables,
        sent: Tables | None,
        known: KnownEvents | None,
        model: TextCoder | None,
        effort: Effort | None = None,
    ) -> None:
        self.load(data)
        self.tables = tables
        self.sent = sent
        self.known = known
        self.unreadable: str | None = None
        self._model = model
        self._effort = effort or Effort()
        self._left = limits.MAX_PDU_BYTES
        self._hash_text = (
            encode_url_safe_unpadded_base64
            if version.url_safe_event_ids
            else encode_unpadded_base64
        )

    def load(self, data: bytes) -> None:
        """Takes up other bytes, where the same context holds."""
        self._data = data
        self._end = len(data)
        self.pos = 0

    def next_event(self) -> None:
        """What is bounded per event begins anew."""
        self.unreadable = None
        self._left = limits.MAX_PDU_BYTES

    @property
    def spent(self) -> int:
        """Bytes of JSON that the event being read surely has."""
        return limits.MAX_PDU_BYTES - self._left

    @property
    def at_end(self) -> bool:
        return self.pos >= self._end

    # --- bytes, numbers and lengths

    def byte(self) -> int:
        pos = self.pos
        if pos >= self._end:
            raise DecodeError("batch is cut off")
        self.pos = pos + 1
        return self._data[pos]

    def take(self, count: int) -> bytes:
        pos = self.pos
        end = self.pos = pos + count
        if end > self._end:
            raise DecodeError("batch is cut off")
        return self._data[pos:end]

    def rest(self) -> bytes:
        return self.take(self._end - self.pos)

    def varint(self) -> int:
        number = self.byte()
        if number < 128:
            return number
        number &= 127
        for shift in range(7, 7 * codes.MAX_VARINT_BYTES, 7):
            byte = self.byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise DecodeError(f"batch has a number of more than {codes.MAX_VARINT_BYTES} bytes")

    def signed(self) -> int:
        number = self.varint()
        return -(number + 1 >> 1) if number & 1 else number >> 1

    def sized(self, most: int = limits.MAX_PDU_BYTES) -> bytes:
        size = self.varint()
        if size > most:
            raise LimitError(f"batch has a text of {size} bytes, at most {most} are allowed")
        return self.take(size)

    def _spend(self, size: int) -> None:
        """Of what an event may have as JSON, so that short codes don't swell beyond it."""
        self._left -= size
        if self._left < 0:
            raise LimitError(f"an event has more than {limits.MAX_PDU_BYTES} bytes")

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise DecodeError(f"batch has text that is not UTF-8: {error}") from None

    # --- values

    def value(self, levels: int = MAX_NESTING) -> Any:
        code = self.byte()
        if code < codes.SHAPE:
            return self._word(code)
        if code < codes.TEXT:
            return self._object(words.SHAPES[code - codes.SHAPE], levels)
        if code < codes.NUMBER:
            return self._plain(code - codes.TEXT)
        if code < codes.OBJECT:
            self._spend(1)
            return code - codes.NUMBER
        if code < codes.ARRAY:
            return self._object(self._new_shape(code - codes.OBJECT), levels)
        if code < codes.ARRAY + codes.ARRAYS_OF_ONE_BYTE:
            return self._array(code - codes.ARRAY, levels)
        read = _STRUCTURES.get(code)
        if read is not None:
            return read(self, levels)
        return self._scalar(code)

    def _scalar(self, code: int) -> Any:
        if code in _CONSTANTS:
            self._spend(2)
            return _CONSTANTS[code]
        if code in _NUMBER_SIZES:
            self._spend(1)
            return int.from_bytes(self.take(_NUMBER_SIZES[code]), "big")
        if code == codes.NEGATIVE:
            self._spend(2)
            return -1 - self.varint()
        if code == codes.LITERAL:
            return self._literal()
        return self._text(code)

    def text(self) -> str:
        """A value that must be text."""
        value = self.value()
        if type(value) is not str:
            raise DecodeError("batch has something else where a text is expected")
        return value

    def _text(self, code: int) -> str:
        read = _TEXTS.get(code)
        if read is None:
            raise DecodeError(f"batch has a value of the unknown code {code:#x}")
        text = read(self)
        self._spend(len(text) + 2)
        return text

    def _word(self, number: int) -> str:
        if number >= len(words.VALUES):
            raise DecodeError(f"batch names word {number}, which there isn't")
        text = words.VALUES[number]
        self._spend(len(text) + 2)
        return text

    def _array(self, count: int, levels: int) -> list[Any]:
        self._spend(count + 1)
        self._check_levels(levels)
        return [self.value(levels - 1) for _ in range(count)]

    def _object(self, shape: tuple[str, ...], levels: int) -> dict[str, Any]:
        self._spend(sum(map(len, shape)) + 4 * len(shape) + 1)
        self._check_levels(levels)
        return {key: self.value(levels - 1) for key in shape}

    def _check_levels(self, levels: int) -> None:
        if levels == 0:
            raise DecodeError(f"an event is nested deeper than {MAX_NESTING} levels")

    def _new_shape(self, count: int) -> tuple[str, ...]:
        shape = tuple([self._key() for _ in range(count)])
        if is_remembered_shape(shape):
            self.tables.shapes.add(shape)
        return shape

    def _static_shape(self, levels: int) -> dict[str, Any]:
        number = codes.SHAPES_OF_ONE_BYTE + self.byte()
        if number >= len(words.SHAPES):
            raise DecodeError(f"batch names shape {number}, which there isn't")
        return self._object(words.SHAPES[number], levels)

    def _recent_shape(self, levels: int) -> dict[str, Any]:
        return self._object(self.tables.shapes.at(self.byte()), levels)

    def _key(self) -> str:
        code = self.byte()
        if code == codes.KEY_USER:
            return self.user()
        if code == codes.KEY_MORE:
            code = codes.KEYS_OF_ONE_BYTE + self.byte()
        elif code == codes.KEY_LONG:
            return self._decoded(self.sized())
        elif code >= codes.KEY_TEXT:
            return self._decoded(self.take(code - codes.KEY_TEXT))
        if code >= len(words.KEYS):
            raise DecodeError(f"batch names key {code}, which there isn't")
        return words.KEYS[code]

    def _literal(self) -> int | float:
        data = self.sized(MAX_INTEGER_DIGITS + 1)
        self._spend(len(data))
        try:
            number = parse_json_object(b'{"":' + data + b"}", strict=False)[""]
        except (FormatError, KeyError):
            number = None
        if type(number) is not int and type(number) is not float:
            raise DecodeError("batch has a literal that is not a number")
        return number

    # --- texts

    def _plain(self, size: int) -> str:
        data = self.take(size)
        text = self._decoded(data)
        self._spend(size + 2)
        if codes.MIN_WORD_BYTES <= size <= codes.MAX_WORD_BYTES and b" " not in data:
            self.tables.words.add(text)
        return text

    def _long_text(self) -> str:
        size = self.varint()
        if size > self._left:
            raise LimitError(f"an event has more than {limits.MAX_PDU_BYTES} bytes")
        self._left += size + 2  # _text counts what it returns
        return self._plain(size)

    def plain_text(self, data: bytes) -> str:
        self._spend(len(data))
        return self._decoded(data)

    def model_text(self, data: bytes) -> str:
        if self._model is None:
            raise DecodeError("batch has text of a text model, which is off on this link")
        if self.known is None:
            self.unreadable = "it has a text of a room that this node has no part in"
            return ""
        return self._decoded(self._model.decompress(data, max(self._left, 0), self._effort))

    def _model_text(self) -> str:
        return self.model_text(self.sized())

    def _base64(self) -> str:
        return self._as_word(encode_unpadded_base64(self.sized()))

    def _base64_url(self) -> str:
        return self._as_word(encode_url_safe_unpadded_base64(self.sized()))

    def _base64_padded(self) -> str:
        return self._as_word(b2a_base64(self.sized(), newline=False).decode("ascii"))

    def _as_word(self, text: str) -> str:
        if len(text) <= codes.MAX_WORD_BYTES:
            self.tables.words.add(text)
        return text

    def _recent_word(self) -> str:
        return self.tables.words.at(self.byte())

    def _more_words(self) -> str:
        number = codes.WORDS_OF_ONE_BYTE + self.byte()
        if number >= len(words.VALUES):
            raise DecodeError(f"batch names word {number}, which there isn't")
        return words.VALUES[number]

    def _media(self) -> str:
        server = self.server()
        media_id = self.text()
        self._left += len(media_id) + 2  # _text counts what it returns
        return f"mxc://{server}/{media_id}"

    def _room_hash(self) -> str:
        return "!" + encode_url_safe_unpadded_base64(self.take(HASH_BYTES))

    def _event(self) -> str:
        event_id = self.ref().event_id
        if event_id is None:
            self.unreadable = self.unreadable or "it names an event that could not be read before"
            self._spend(HASH_TEXT_LENGTH + 1)
            return ""
        return event_id

    # --- names

    def user(self) -> str:
        code = self.byte()
        if code != codes.NAME_NEW:
            return self.tables.users.at(code)
        server = self.server()
        user_id = f"@{self._decoded(self.sized(codes.MAX_NAME_BYTES))}:{server}"
        self.tables.users.add(user_id)
        return user_id

    def server(self) -> str:
        code = self.byte()
        if code == codes.NAME_TEXT:
            name = self._decoded(self.sized(codes.MAX_NAME_BYTES))
        elif code == codes.NAME_KEY:
            name = server_name_from_key(self.take(KEY_BYTES))
        elif code == codes.NAME_KEY_DOMAIN:
            key = self.take(KEY_BYTES)
            try:
                name = server_name_from_key(key, self._decoded(self.sized(codes.MAX_NAME_BYTES)))
            except ConfigError as error:
                raise DecodeError(f"batch has a server name that can't be: {error}") from None
        else:
            return self.tables.servers.at(code)
        self.tables.servers.add(name)
        return name

    # --- events

    def ref(self) -> Said:
        """What `Writer.ref` named. Its event_id is None if this end can't tell, and the event being
        read is unreadable then."""
        code = self.byte()
        events = self.tables.events
        if code < codes.REF_PREFIX:
            said = events.at(code)
            if said is None:
                raise DecodeError(f"batch names event {code}, which was never said")
        elif code == codes.REF_RECEIVED:
            said = self.received()
        elif code == codes.REF_TEXT:
            return Said(self._decoded(self.sized()), None, None)
        else:
            if code == codes.REF_PREFIX:
                said = self._by_prefix(self.take(PREFIX_BYTES))
            elif code == codes.REF_HASH:
                said = Said("$" + self._hash_text(self.take(HASH_BYTES)), None, None)
            else:
                raise DecodeError(f"batch has a reference of the unknown code {code:#x}")
            events.add(said)
        return said

    def received(self) -> Said:
        """An event that went by in the other direction."""
        self.tables.named_place += self.signed()
        found = self.sent.events.at_place(self.tables.named_place) if self.sent else None
        return found if found is not None else UNKNOWN

    def _by_prefix(self, prefix: bytes) -> Said:
        if self._effort.look_ups == 0:
            raise LimitError(f"batch names more than {MAX_LOOK_UPS} events by a prefix")
        self._effort.look_ups -= 1
        known = self.known or _NOTHING
        event_id = known.by_prefix(prefix)
        found = known.find(event_id) if event_id is not None else None
        if event_id is None or found is None:
            self.unreadable = f"it names an event by {prefix.hex()}, which is not one known here"
            return UNKNOWN
        return Said(event_id, found.depth, found.origin_server_ts)


_CONSTANTS: Final = {
    codes.NULL: None,
    codes.FALSE: False,
    codes.TRUE: True,
    codes.FIFTY: 50,
    codes.HUNDRED: 100,
}
_NUMBER_SIZES: Final = {
    codes.NUMBER_8: 1,
    codes.NUMBER_16: 2,
    codes.NUMBER_32: 4,
    codes.NUMBER_64: 8,
}
_STRUCTURES: Final = {
    codes.LONG_ARRAY: lambda reader, levels: reader._array(reader.varint(), levels),
    codes.LONG_OBJECT: lambda reader, levels: reader._object(
        reader._new_shape(reader.varint()), levels
    ),
    codes.MORE_SHAPES: Reader._static_shape,
    codes.RECENT_SHAPE: Reader._recent_shape,
}
_TEXTS: Final = {
    codes.EVENT: Reader._event,
    codes.USER: Reader.user,
    codes.SERVER: Reader.server,
    codes.ROOM_HASH: Reader._room_hash,
    codes.MEDIA: Reader._media,
    codes.RECENT_WORD: Reader._recent_word,
    codes.BASE64: Reader._base64,
    codes.BASE64_URL: Reader._base64_url,
    codes.BASE64_PADDED: Reader._base64_padded,
    codes.LONG_TEXT: Reader._long_text,
    codes.MODEL_TEXT: Reader._model_text,
    codes.MORE_WORDS: Reader._more_words,
}
