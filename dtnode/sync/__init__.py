"""What two authenticated nodes tell each other about rooms, without I/O (floor 2).

`PeerSync` is one such conversation; `effects` is what it asks its caller (dtnode.node) to do. It
reads no store: questions go out as effects, answers come back as calls.
"""

from dtnode.sync.peer_sync import PeerSync

__all__ = ["PeerSync"]
