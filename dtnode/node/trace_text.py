"""One line for a frame or a message, for `dtnode link trace`. Kinds, numbers and sizes; never what
anybody said."""

from __future__ import annotations

from dataclasses import fields

from dtnode.link_info import LinkInfo
from dtnode.node.peer_log import one_line
from dtnode.session.transfer.describe import describe
from dtnode.wire.packed import LinkMessage

_MAX_SHOWN = 3  # ids of a list; of the rest the number says enough


def frame_text(frame: bytes, info: LinkInfo) -> str:
    return str(describe(frame, reliable=info.reliable, crc=not info.checked))


def message_text(message: LinkMessage) -> str:
    """`PackedEvents batch=3 room_id=!abc data=84 B`: what is empty or false is left out."""
    parts = [type(message).__name__]
    for field in fields(message):
        value = getattr(message, field.name)
        if value not in ((), False, ""):
            parts.append(f"{field.name}={_value(value)}")
    return one_line(" ".join(parts))


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} B"
    if isinstance(value, tuple):
        shown = [str(item) for item in value[:_MAX_SHOWN]]
        rest = [f"{len(value) - _MAX_SHOWN} more"] if len(value) > _MAX_SHOWN else []
        return "[" + ", ".join(shown + rest) + "]"
    return str(getattr(value, "name", value))
