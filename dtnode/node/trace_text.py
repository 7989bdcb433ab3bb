"""One line for a frame or a message, for `dtnode link trace`. Kinds, numbers and sizes; never what
anybody said, never a key."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum

from dtnode.node.peer_log import one_line
from dtnode.node.tally import message_kind
from dtnode.session.transfer import FrameNote
from dtnode.wire.packed import LinkMessage

_MAX_SHOWN = 3  # ids of a list; of the rest the number says enough


def frame_text(note: FrameNote) -> str:
    """`data 5 whole: header 2, payload 87, tag 8`, then what flags say."""
    name = "not a frame of dtnode" if note.kind is None else note.kind.value
    kind = [f"kind {note.handshake_kind}"] if note.handshake_kind is not None else []
    number = [str(note.number)] if note.number is not None else []
    parts = {
        "header": note.header_bytes,
        "payload": note.payload_bytes,
        "tag": note.tag_bytes,
        "CRC": note.crc_bytes,
    }
    sizes = ", ".join(f"{part} {size}" for part, size in parts.items() if size)
    words = () if note.kind is None else note.words
    return ", ".join((f"{' '.join([name, *kind, *number, note.part])}: {sizes}", *words))


def message_text(message: LinkMessage) -> str:
    """`events batch=3 room_id=!abc data=84 B more`: what is empty, 0 or false is left out."""
    parts = [message_kind(message)]
    for field in fields(message):
        value = getattr(message, field.name)
        if value is True:
            parts.append(field.name)
        elif value not in ((), False, ""):
            parts.append(f"{field.name}={_value(value)}")
    return one_line(" ".join(parts))


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} B"
    if isinstance(value, tuple):
        shown = [str(item) for item in value[:_MAX_SHOWN]]
        rest = [f"{len(value) - _MAX_SHOWN} more"] if len(value) > _MAX_SHOWN else []
        return "[" + ", ".join(shown + rest) + "]"
    if isinstance(value, Enum):
        return value.name.lower()
    return str(value)
