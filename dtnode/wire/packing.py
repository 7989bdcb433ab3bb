"""Between the messages dtnode.sync speaks and those that go over a link: packs and unpacks PDUs.

Stateful like the tables below it: one Packer a session, every message packed in the order it is
sent, unpacked in the order it came, each once. Pure but for its look-ups into the room
(KnownEvents); called by dtnode.node on the store's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from dtnode.errors import DecodeError, FormatError, LocalProtocolError
from dtnode.matrix.pdu import Pdu, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.wire.effort import MAX_SYMBOLS
from dtnode.wire.limits import MAX_CARD_PDUS
from dtnode.wire.messages import Events, Form, JoinRequest, JoinSigned, RoomCard
from dtnode.wire.packed import PackedCard, PackedEvents, PackedJoin
from dtnode.wire.pdus import (
    BatchDecoder,
    BatchEncoder,
    KnownEvents,
    NothingKnown,
    TextCoder,
    Unreadable,
)

PduMessage: TypeAlias = Events | RoomCard | JoinRequest | JoinSigned
"""What must be packed before it is sent."""

PackedMessage: TypeAlias = PackedEvents | PackedCard | PackedJoin
"""What must be unpacked before dtnode.sync gets it."""


class Packer:
    """Both directions of one session. text_coder: whether or not it is `used` for what is sent, it
    reads what the peer used it for. servers: names that both ends know anyhow, in the same order:
    the session's initiator and its responder. symbols: that it may predict in a message."""

    def __init__(
        self,
        text_coder: TextCoder,
        *,
        used: bool,
        servers: Sequence[str] = (),
        symbols: int = MAX_SYMBOLS,
    ) -> None:
        self._text_coder = text_coder
        self._used = text_coder if used else None
        self._servers = tuple(servers)
        self._symbols = symbols
        self._encoder = BatchEncoder(self._used, self._servers, symbols)
        self._decoder = BatchDecoder(text_coder, self._servers, symbols)
        self._decoder.connect(self._encoder)

    def pack(self, message: PduMessage, known: KnownEvents) -> PackedMessage:
        """known: events of the message's room that the peer has, as far as this end can tell.
        LocalProtocolError: its PDUs don't fit into one message."""
        match message:
            case Events():
                return self._pack_events(message, known)
            case RoomCard():
                return self._pack_card(message)
            case JoinRequest() | JoinSigned():
                pdus = _read([message.pdu], _version(message.room_version))
                return PackedJoin(
                    room_id=message.room_id,
                    room_version=message.room_version,
                    data=self._alone(message.room_id, pdus),
                    signed=isinstance(message, JoinSigned),
                )

    def unpack(self, message: PackedMessage, known: KnownEvents | None) -> PduMessage:
        """The message that was packed. known: None where this end has no part in the room, so that
        its Events are only read as far as the session's tables need it. Raises DecodeError or
        LimitError: the session must end."""
        version = _version(message.room_version)
        match message:
            case PackedEvents():
                events = self._decoder.decode(message.room_id, version, message.data, known)
                return Events(
                    batch=message.batch,
                    room_id=message.room_id,
                    room_version=message.room_version,
                    pdus=tuple(event for event in events if isinstance(event, bytes)),
                    more=message.more,
                    unread=tuple(
                        place for place, event in enumerate(events) if isinstance(event, Unreadable)
                    ),
                )
            case PackedCard():
                return self._unpack_card(message, version)
            case PackedJoin():
                return self._unpack_join(message, version)

    def _pack_events(self, message: Events, known: KnownEvents) -> PackedEvents:
        version = _version(message.room_version)
        pdus = _read(message.pdus, version)
        data, taken = self._encoder.encode(message.room_id, version, pdus, known, form=message.form)
        _check_whole(taken, pdus)
        return PackedEvents(
            batch=message.batch,
            room_id=message.room_id,
            room_version=message.room_version,
            data=data,
            more=message.more,
        )

    def _pack_card(self, card: RoomCard) -> PackedCard:
        pdus = _read(card.pdus, _version(card.room_version))
        places = {pdu.event_id: place for place, pdu in enumerate(pdus)}
        return PackedCard(
            kind=card.kind,
            room_id=card.room_id,
            room_version=card.room_version,
            data=self._alone(card.room_id, pdus),
            event=places[card.event_id],
            state=tuple(places[event_id] for event_id in card.state),
            state_hash=card.state_hash,
            servers=card.servers,
        )

    def _unpack_card(self, card: PackedCard, version: RoomVersion) -> RoomCard:
        data = self._read_alone(card.room_id, version, card.data, MAX_CARD_PDUS)
        try:
            ids = [read_pdu(pdu, version).event_id for pdu in data]
        except FormatError as error:
            raise DecodeError(f"a card holds what is no event: {error}") from error
        if max((card.event, *card.state)) >= len(ids):
            raise DecodeError("a card names an event that it doesn't hold")
        return RoomCard(
            kind=card.kind,
            room_id=card.room_id,
            room_version=card.room_version,
            event_id=ids[card.event],
            pdus=tuple(data),
            state=tuple(ids[place] for place in card.state),
            state_hash=card.state_hash,
            servers=card.servers,
        )

    def _unpack_join(self, join: PackedJoin, version: RoomVersion) -> JoinRequest | JoinSigned:
        (data,) = self._read_alone(join.room_id, version, join.data, 1)
        try:
            event_id = read_pdu(data, version).event_id
        except FormatError as error:
            raise DecodeError(f"a join is no event: {error}") from error
        make = JoinSigned if join.signed else JoinRequest
        return make(
            room_id=join.room_id, room_version=join.room_version, event_id=event_id, pdu=data
        )

    def _alone(self, room_id: str, pdus: Sequence[Pdu]) -> bytes:
        """A batch that stands alone, as it may be acted on late."""
        data, taken = BatchEncoder(self._used, self._servers, self._symbols).encode(
            room_id,
            pdus[0].version,
            pdus,
            NothingKnown(),
            form=Form.EXPLICIT,
            max_pdus=MAX_CARD_PDUS,
        )
        _check_whole(taken, pdus)
        return data

    def _read_alone(
        self, room_id: str, version: RoomVersion, data: bytes, max_pdus: int
    ) -> list[bytes]:
        decoder = BatchDecoder(self._text_coder, self._servers, self._symbols)
        events = decoder.decode(room_id, version, data, NothingKnown(), max_pdus=max_pdus)
        whole = [event for event in events if isinstance(event, bytes)]
        if len(whole) < len(events):
            raise DecodeError("a batch that should stand alone doesn't")
        return whole


def _version(identifier: str) -> RoomVersion:
    version = ROOM_VERSIONS.get(identifier)
    if version is None:
        raise DecodeError(
            f"peer speaks of a room of version {identifier!r:.20}, which this node doesn't know:"
            " update it"
        )
    return version


def _check_whole(taken: int, pdus: Sequence[Pdu]) -> None:
    if taken < len(pdus):
        raise LocalProtocolError(
            f"a message would hold {len(pdus)} events, of which {taken} fit: send fewer at a time"
        )


def _read(pdus: Sequence[bytes], version: RoomVersion) -> list[Pdu]:
    return [read_pdu(data, version) for data in pdus]
