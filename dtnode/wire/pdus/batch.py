"""Batches of events of one room to bytes and back: what Events, cards and joins carry.

Both ends of a session keep one encoder and one decoder each, for as long as the session lives;
every batch is decoded once, in the order of encoding. Signatures aren't checked here. Called by
dtnode.node on the store's thread.

A batch is a row of events, each of which is compact (dtnode.wire.pdus.events) or canonical JSON.
One that starts with EXPLICIT is read with empty tables and without looking into the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtnode.errors import DecodeError, FormatError, LimitError, RemoteProtocolError
from dtnode.matrix.hashing import event_id_of, signed_bytes
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import Pdu, read_pdu
from dtnode.matrix.room_versions import RoomVersion
from dtnode.wire import limits
from dtnode.wire.effort import MAX_SYMBOLS, Effort
from dtnode.wire.messages import Form
from dtnode.wire.pdus.context import KnownEvents, NothingKnown, TextCoder, Unreadable
from dtnode.wire.pdus.events import ESCAPE, OTHER, ReadEvent, complete, read_event, write_event
from dtnode.wire.pdus.reader import Reader
from dtnode.wire.pdus.tables import UNKNOWN, Said, Tables
from dtnode.wire.pdus.writer import Unpackable, Writer

_RAW_EVENT: Final = OTHER | ESCAPE
_RAW_FRAMING: Final = 4  # a byte for its form and a length of up to 65,536
MAX_FRAMING: Final = _RAW_FRAMING + 1  # an explicit batch starts with a byte
"""Bytes that an event of a batch takes at most beyond its canonical JSON."""
_EXPLICIT_BATCH: Final = OTHER | ESCAPE | 0x02
_NOTHING: Final = NothingKnown()


class BatchEncoder:
    """The sending direction of a session.

    servers: names that both ends know from the start, the same at both: the initiator's and the
    responder's. symbols: that the text model may predict in a batch. received: the tables of the
    same end's decoder (`BatchDecoder.connect`).
    """

    def __init__(
        self,
        model: TextCoder | None = None,
        servers: Sequence[str] = (),
        symbols: int = MAX_SYMBOLS,
    ) -> None:
        self.tables = Tables(servers)
        self._servers = tuple(servers)
        self.received: Tables | None = None
        self._model = model
        self._symbols = symbols

    def encode(
        self,
        room_id: str,
        version: RoomVersion,
        pdus: Sequence[Pdu],
        known: KnownEvents,
        *,
        form: Form = Form.COMPACT,
        max_bytes: int = limits.MAX_PDUS_BYTES,
        max_pdus: int = limits.MAX_EVENTS_PDUS,
    ) -> tuple[bytes, int]:
        """(batch, how many of `pdus` it holds): the first at least, even beyond `max_bytes`.

        pdus: of this room, parents before children. max_pdus: no more than the decoder is told.
        """
        explicit = form is Form.EXPLICIT
        tables = Tables(self._servers) if explicit else self.tables
        received = None if explicit else self.received
        known = _NOTHING if explicit else known
        writer = Writer(version, tables, received, known, self._model, Effort(self._symbols))
        checker = Reader(b"", version, tables, received, known, self._model, Effort(self._symbols))
        out = writer.out
        if explicit:
            out.append(_EXPLICIT_BATCH)
        taken = json_bytes = 0
        told: set[str | None] = set()
        for pdu in pdus[:max_pdus]:
            start = len(out)
            json_bytes += len(pdu.canonical())
            packed = None
            if form is not Form.RAW:
                packed = self._pack(writer, checker, pdu, room_id, last=taken + 1 == len(pdus))
            if packed is not None and len(out) - start > _RAW_FRAMING + len(pdu.canonical()):
                packed = None
                del out[start:]
                tables.undo()
            if packed is None:
                _write_raw(writer, pdu)
            if taken and (len(out) > max_bytes or json_bytes > limits.MAX_PDUS_BYTES):
                del out[start:]
                tables.undo()
                break
            taken += 1
            said = Said(pdu.event_id, pdu.depth, pdu.origin_server_ts)
            if packed is not None:
                _note_carried(tables, room_id, said, packed)
            else:
                tables.carried_alone(room_id, said)
            if explicit:
                _note_explicit(self.tables, room_id, said, packed, told)
        return bytes(out), taken

    def _pack(
        self, writer: Writer, checker: Reader, pdu: Pdu, room_id: str, *, last: bool
    ) -> ReadEvent | None:
        """Appends the compact form, and reads it again: what comes out is what the peer will get
        if it holds the same. None: there is none that would come back the same."""
        # Whether the content hash is that of the content, reading it shows as well; so it is only
        # computed before where reading failed, or will.
        for hash_is_right in (False,) if pdu.redacted else (True, False):
            start = len(writer.out)
            try:
                write_event(writer, pdu, room_id, last=last, hash_is_right=hash_is_right)
                writer.tables.undo()
                event = _read_again(checker, bytes(writer.out[start:]), pdu, room_id)
            except (Unpackable, RemoteProtocolError, FormatError):
                event = None
            if event is not None:
                return event
            del writer.out[start:]
            writer.tables.undo()
        return None


class BatchDecoder:
    """The receiving direction of a session. servers, symbols: as the other end's encoder's."""

    def __init__(
        self,
        model: TextCoder | None = None,
        servers: Sequence[str] = (),
        symbols: int = MAX_SYMBOLS,
    ) -> None:
        self.tables = Tables(servers)
        self._servers = tuple(servers)
        self._sent: Tables | None = None
        self._model = model
        self._symbols = symbols

    def connect(self, encoder: BatchEncoder) -> None:
        """Makes the two one end of a session: each may name what went by in the other direction."""
        self._sent = encoder.tables
        encoder.received = self.tables

    def decode(
        self,
        room_id: str,
        version: RoomVersion,
        data: bytes,
        known: KnownEvents | None,
        *,
        max_pdus: int = limits.MAX_EVENTS_PDUS,
    ) -> list[bytes | Unreadable]:
        """Per event its canonical JSON, or why it can't be put together here.

        known: None where this end has no part in the room, and will keep nothing of the batch: the
        tables learn from it, at the least cost.

        DecodeError: no batch. LimitError: over a bound. After either the session's tables can't be
        in step any more; it must end.
        """
        explicit = data[:1] == bytes((_EXPLICIT_BATCH,))
        reader = Reader(
            data,
            version,
            Tables(self._servers) if explicit else self.tables,
            None if explicit else self._sent,
            _NOTHING if explicit and known is not None else known,
            self._model,
            Effort(self._symbols),
        )
        reader.pos = 1 if explicit else 0
        events: list[bytes | Unreadable] = []
        told: set[str | None] = set()
        size = 0
        while not reader.at_end:
            if len(events) == max_pdus:
                raise LimitError(f"batch has more than {max_pdus} events")
            event, said, read = self._next(reader, room_id, version)
            if explicit:
                _note_explicit(self.tables, room_id, said, read, told)
            size += len(event) if isinstance(event, bytes) else reader.spent
            if size > limits.MAX_PDUS_BYTES:
                raise LimitError(f"batch has more than {limits.MAX_PDUS_BYTES} bytes of events")
            events.append(event)
        if not events:
            raise DecodeError("batch has no event")
        return events

    def _next(
        self, reader: Reader, room_id: str, version: RoomVersion
    ) -> tuple[bytes | Unreadable, Said, ReadEvent | None]:
        reader.next_event()
        head = reader.byte()
        if head == _RAW_EVENT:
            data = reader.sized()
            said = _said_raw(data, version)
            reader.tables.carried_alone(room_id, said)
            return data, said, None
        if head & OTHER and head & ESCAPE:
            raise DecodeError(f"batch has an event of the unknown kind {head:#x}")
        read = read_event(reader, head, room_id, version)
        result: bytes | Unreadable
        said = Said(None, read.depth, read.ts)
        if read.json is None:
            result = Unreadable(reason=reader.unreadable or "it names an event not known here")
        else:
            try:
                result = complete(read.json, version)
                event_id = event_id_of(signed_bytes(read.json, version), version)
                said = Said(event_id, read.depth, read.ts)
            except FormatError as error:
                result = Unreadable(reason=str(error))
        _note_carried(reader.tables, room_id, said, read)
        return result, said, read


def _read_again(checker: Reader, data: bytes, pdu: Pdu, room_id: str) -> ReadEvent | None:
    """What the peer reads, its tables being as ours; None: something else than `pdu`."""
    checker.load(data)
    checker.next_event()
    event = read_event(checker, checker.byte(), room_id, pdu.version)
    same = event.json is not None and complete(event.json, pdu.version) == pdu.canonical()
    return event if same else None


def _note_carried(tables: Tables, room_id: str, said: Said, event: ReadEvent) -> None:
    tables.carried(room_id, said, event.sender, event.auth_events)
    if event.key_id is not None:
        tables.signed_with(server_name_of(event.sender), event.key_id)


def _note_explicit(
    tables: Tables, room_id: str, said: Said, event: ReadEvent | None, told: set[str | None]
) -> None:
    """In the session's tables. event: None if it went by as canonical JSON."""
    if event is None:
        tables.carried_alone(room_id, said)
    else:
        tables.carried_explicitly(
            room_id, said, event.sender, event.prev_events, event.auth_events, told
        )


def _write_raw(writer: Writer, pdu: Pdu) -> None:
    writer.out.append(_RAW_EVENT)
    writer.sized(pdu.canonical())


def _said_raw(data: bytes, version: RoomVersion) -> Said:
    """Of an event that went by as canonical JSON; whether it is a valid one shows later."""
    try:
        pdu = read_pdu(data, version)
    except FormatError:
        return UNKNOWN
    return Said(pdu.event_id, pdu.depth, pdu.origin_server_ts)
