"""The codes of the compact form. A code is the first byte of a value, a key or a reference.

Values (one byte: a static word, a static shape, the length of a short text, a small number):

    00-4f word  50-7f shape  80-af text  b0-cf number 0-31  d0-d7 object  d8-df array  e0- below
"""

from __future__ import annotations

from typing import Final

WORD: Final = 0x00
SHAPE: Final = 0x50
TEXT: Final = 0x80
NUMBER: Final = 0xB0
OBJECT: Final = 0xD0
ARRAY: Final = 0xD8
WORDS_OF_ONE_BYTE: Final = SHAPE - WORD
SHAPES_OF_ONE_BYTE: Final = TEXT - SHAPE
TEXTS_OF_ONE_BYTE: Final = NUMBER - TEXT
NUMBERS_OF_ONE_BYTE: Final = OBJECT - NUMBER
OBJECTS_OF_ONE_BYTE: Final = ARRAY - OBJECT
ARRAYS_OF_ONE_BYTE: Final = 8

NULL: Final = 0xE0
FALSE: Final = 0xE1
TRUE: Final = 0xE2
NUMBER_8: Final = 0xE3
NUMBER_16: Final = 0xE4
NUMBER_32: Final = 0xE5
NUMBER_64: Final = 0xE6
NEGATIVE: Final = 0xE7  # varint: -1 - value
LITERAL: Final = 0xE8  # a number as JSON: floats and longer integers (room versions 3 to 5)
EVENT: Final = 0xE9
USER: Final = 0xEA
SERVER: Final = 0xEB
ROOM_HASH: Final = 0xEC  # ! and the hash of a create event
MEDIA: Final = 0xED  # mxc://server/id: server, then the id as a text value
RECENT_WORD: Final = 0xEE
BASE64: Final = 0xEF
BASE64_URL: Final = 0xF0
BASE64_PADDED: Final = 0xF1
LONG_TEXT: Final = 0xF2
MODEL_TEXT: Final = 0xF3
LONG_ARRAY: Final = 0xF4
LONG_OBJECT: Final = 0xF5
MORE_WORDS: Final = 0xF6
MORE_SHAPES: Final = 0xF7
RECENT_SHAPE: Final = 0xF8
FIFTY: Final = 0xF9  # the levels that power levels are made of
HUNDRED: Final = 0xFA

# Keys: 00-df static, then these, then texts of up to 28 bytes.
KEYS_OF_ONE_BYTE: Final = 0xE0
KEY_USER: Final = 0xE0
KEY_MORE: Final = 0xE1
KEY_LONG: Final = 0xE2
KEY_TEXT: Final = 0xE3
KEY_TEXT_LENGTHS: Final = 0x100 - KEY_TEXT

# References to events, users and servers: below 0xe0 a slot of the ring, then these.
REF_PREFIX: Final = 0xE0
REF_HASH: Final = 0xE1
REF_TEXT: Final = 0xE2
REF_RECEIVED: Final = 0xE3  # a place in the other direction, from the one named last
NAME_NEW: Final = 0xE0  # a user: server, then localpart
NAME_KEY: Final = 0xE0  # a server whose name is its key
NAME_KEY_DOMAIN: Final = 0xE1
NAME_TEXT: Final = 0xE2

MIN_WORD_BYTES: Final = 8
MAX_WORD_BYTES: Final = 128
"""A text without spaces of this length is remembered as an opaque word: device ids, keys, tokens.
Shorter ones gain little; longer ones are ciphertexts and waste the ring."""

MAX_SHAPE_KEYS: Final = 32
MAX_SHAPE_CHARACTERS: Final = 512
"""Objects with more or longer keys don't come again and again."""

MAX_NAME_BYTES: Final = 255
"""User and server names in tables (identifier grammar)."""

MAX_VARINT_BYTES: Final = 10
"""64 bits and a sign: what origin_server_ts and depth can have."""
