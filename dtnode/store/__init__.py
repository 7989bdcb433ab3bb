"""The durable state of a node: one SQLite file (DESIGN section 3).

Floor 2. It knows tables, transactions and caches; it doesn't judge events (dtnode.rooms does) and
reads no clock: callers pass times in. Called by dtnode.rooms, dtnode.client_api and dtnode.node,
always from one thread at a time.
"""

from dtnode.store.event_rows import StoredEvent
from dtnode.store.held import HeldEvent
from dtnode.store.peers import PeerRecord
from dtnode.store.rooms import ClearLinks, RoomKind, RoomRecord
from dtnode.store.store import Store

__all__ = [
    "ClearLinks",
    "HeldEvent",
    "PeerRecord",
    "RoomKind",
    "RoomRecord",
    "Store",
    "StoredEvent",
]
