"""Which room took the place of which: a tombstone and a create event each say so, either may lie.

Only where both agree does one room stand for the other (dtnode.rooms.names). Pure.
"""

from __future__ import annotations

from dtnode.matrix.identifiers import is_room_id
from dtnode.rooms.state import StateLookup


def successor(look: StateLookup) -> str | None:
    """The id of the room that a tombstone names in place of this one."""
    tombstone = look("m.room.tombstone", "")
    room_id = None if tombstone is None else tombstone.content.get("replacement_room")
    return room_id if isinstance(room_id, str) and _is_room_id(room_id) else None


def predecessor(look: StateLookup) -> str | None:
    """The id of the room that this one says it replaces."""
    create = look("m.room.create", "")
    before = None if create is None else create.content.get("predecessor")
    room_id = before.get("room_id") if isinstance(before, dict) else None
    return room_id if isinstance(room_id, str) and _is_room_id(room_id) else None


def _is_room_id(text: str) -> bool:
    """Of any room version: the other room may be of another one."""
    return is_room_id(text, with_domain=True) or is_room_id(text, with_domain=False)
