"""What one end of a session holds of a room, over a dictionary; one end's encoder and decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dtnode.matrix.pdu import Pdu
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64
from dtnode.wire.pdus import BatchDecoder, BatchEncoder, KnownEvent, TextCoder
from dtnode.wire.pdus.context import PREFIX_BYTES


class KnownRoom:
    def __init__(self, pdus: Iterable[Pdu] = ()) -> None:
        self.pdus: dict[str, Pdu] = {}
        self._prefixes: dict[bytes, set[str]] = {}
        for pdu in pdus:
            self.add(pdu)

    def add(self, pdu: Pdu) -> None:
        self.pdus[pdu.event_id] = pdu
        digest = decode_unpadded_base64(pdu.event_id[1:])
        assert digest is not None
        self._prefixes.setdefault(digest[:PREFIX_BYTES], set()).add(pdu.event_id)

    def find(self, event_id: str, /) -> KnownEvent | None:
        pdu = self.pdus.get(event_id)
        if pdu is None:
            return None
        return KnownEvent(depth=pdu.depth, origin_server_ts=pdu.origin_server_ts)

    def by_prefix(self, prefix: bytes, /) -> str | None:
        found = self._prefixes.get(prefix, set())
        return next(iter(found)) if len(found) == 1 else None


class End:
    """One end of a session, and what it holds of one room."""

    def __init__(
        self,
        pdus: Iterable[Pdu] = (),
        model: TextCoder | None = None,
        servers: Sequence[str] = (),
    ) -> None:
        self.known = KnownRoom(pdus)
        self.encoder = BatchEncoder(model, servers)
        self.decoder = BatchDecoder(model, servers)
        self.decoder.connect(self.encoder)
