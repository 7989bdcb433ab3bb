"""A room's events as the codec of PDUs looks them up (dtnode.wire.pdus.KnownEvents).

By it a peer's batch may name events that this node holds by four bytes. Only for rooms that the
peer has a part in: elsewhere it could ask by guesses what is here.
"""

from __future__ import annotations

from dtnode.matrix.unpadded_base64 import (
    decode_unpadded_base64,
    encode_unpadded_base64,
    encode_url_safe_unpadded_base64,
)
from dtnode.store import RoomRecord, Store
from dtnode.wire.pdus import KnownEvent


class RoomEvents:
    """Judged and held events of one room. To be used within one transaction."""

    def __init__(self, store: Store, room: RoomRecord) -> None:
        self._store = store
        self._room = room

    def find(self, event_id: str, /) -> KnownEvent | None:
        stored = self._store.events.get(event_id)
        if stored is not None and stored.room_nid == self._room.nid:
            pdu = stored.pdu
        else:
            held = self._store.held.get(event_id)
            if held is None or held.room_nid != self._room.nid:
                return None
            pdu = held.pdu
        return KnownEvent(depth=pdu.depth, origin_server_ts=pdu.origin_server_ts)

    def by_prefix(self, prefix: bytes, /) -> str | None:
        whole_chars = 8 * len(prefix) // 6
        encode = (
            encode_url_safe_unpadded_base64
            if self._room.version.url_safe_event_ids
            else encode_unpadded_base64
        )
        text = "$" + encode(prefix)[:whole_chars]
        found = {
            *self._store.events.ids_starting(self._room.nid, text),
            *self._store.held.ids_starting(self._room.nid, text),
        }
        fitting = [id_ for id_ in found if _digest_of(id_).startswith(prefix)]
        return fitting[0] if len(fitting) == 1 else None


def _digest_of(event_id: str) -> bytes:
    return decode_unpadded_base64(event_id[1:]) or b""
