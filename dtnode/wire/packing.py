"""Between the messages dtnode.sync speaks and those that go over a link: packs and unpacks PDUs.

Stateful like the tables below it: one Packer a session, every message packed in the order it is
sent, unpacked in the order it came, each once. Pure but for its look-ups into the room
(KnownEvents); called by dtnode.node on the store's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dtnode.errors import DecodeError, FormatError
from dtnode.matrix.pdu import Pdu, parse_pdu, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.wire.limits import MAX_CARD_PDUS, MAX_EVENTS_PDUS
from dtnode.wire.messages import Events, JoinRequest, JoinSigned, Message, RoomCard
from dtnode.wire.packed import LinkMessage, PackedCard, PackedEvents, PackedJoin
from dtnode.wire.pdus import (
    BatchDecoder,
    BatchEncoder,
    KnownEvents,
    TextCoder,
    Unreadable,
    form_of,
)

PDU_MESSAGES: Final = (Events, RoomCard, JoinRequest, JoinSigned)
"""What must be packed before it is sent."""

PACKED_MESSAGES: Final = (PackedEvents, PackedCard, PackedJoin)
"""What must be unpacked before dtnode.sync gets it."""
