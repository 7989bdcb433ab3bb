"""Every bound on what a peer may send, with its reason. Numbers only.

`dtnode.wire.codec` enforces them both ways: a peer that exceeds one gets a LimitError, this node's
own code a LocalProtocolError. dtnode.sync reads them to size its batches.
"""

from __future__ import annotations

WIRE_VERSION = 1
"""Of messages and of all that both ends must read alike: the codec's tables, the text model's
dictionary. Told in the handshake (dtnode.session.opening): whoever changes one of them raises it.
"""

MAX_MESSAGE_BYTES = 1 << 20
"""One encoded message. What a node must be ready to hold per peer while it is reassembled; about
1,500 text events of 662 bytes, several seconds on any link that is not a LAN."""

MAX_ID_BYTES = 255
"""An event id, room id or server name (Matrix specification, Appendices, "Common Identifier
Format": at most 255 bytes)."""

MAX_ROOM_VERSION_BYTES = 32
"""A room version (Matrix specification, "Room Versions": at most 32 characters)."""

MAX_TIPS = 200
"""Tips of one room. An event can name at most 20 parents, so ten events merge them all; a room with
more is under attack or badly split, and what is left out is found through the locator."""

MAX_LOCATOR = 64
"""Exponentially spaced older ids: 64 reach back further than any room is deep."""

MAX_PDU_BYTES = 65_536
"""One event as canonical JSON (Client-Server API, "Size limits")."""

MAX_EVENTS_PDUS = 100
"""PDUs in one Events message: one store transaction, a tenth of a second of signature checks."""

MAX_CARD_PDUS = 1_000
"""PDUs in one RoomCard: the state worth knowing and its auth chains, not every member."""

MAX_PDUS_BYTES = MAX_MESSAGE_BYTES - 4_096
"""PDUs of one Events message together as JSON (1,044,480 bytes): what surely fits in
MAX_MESSAGE_BYTES beside the other fields, even if none of them can be packed."""

MAX_CARD_PDUS_BYTES = 700_000
"""PDUs of one RoomCard together, likewise: 328 kB are left for the ids of its state, its servers
and the heads."""

MAX_CARD_SERVERS = 250
"""Servers named in a RoomCard; a joiner needs a few to ask, not all."""

MAX_WANT_IDS = 500
"""Ids in one Want or NotHere; the next Want follows when these are answered."""

MAX_HAVE = MAX_TIPS + MAX_LOCATOR
"""Ids an asker names as known, as in its Tips."""

MAX_REFUSED = MAX_EVENTS_PDUS
"""Ids an Ack refuses: at most the batch."""

MAX_BATCH_NUMBER = 23
"""Batch numbers are chosen by the sender and only repeated to it. A few are in flight at a time,
and numbers up to this take one byte."""

MAX_ROOM_NUMBERS = 4_096
"""Rooms of a session that get a number in its table; what is named beyond them is named in full."""

STATE_HASH_BYTES = 32
"""SHA-256."""

MAX_REASON_BYTES = 200
"""A Bye's or JoinRefused's reason: one line."""

MAX_CBOR_ITEMS = 1_280
"""CBOR items in one message: the largest is a PackedCard (1,000 places, 250 servers and 11 others).
"""

MAX_CBOR_DEPTH = 1
"""A message is a sequence of scalars and flat arrays."""
