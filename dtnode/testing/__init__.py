"""Public helpers for tests, this project's and those of plug-in authors.

`check_link` proves a transport's links, `memory_link_pair` makes links without a medium, with the
faults asked for, `RoomBuilder` makes rooms event by event. Nothing here is used by a running node.
"""

from dtnode.testing.check_link import check_link
from dtnode.testing.memory_link import LinkFaults, MemoryLink, memory_link_pair
from dtnode.testing.rooms_builder import RoomBuilder, signer_for, user_id_for

__all__ = [
    "LinkFaults",
    "MemoryLink",
    "RoomBuilder",
    "check_link",
    "memory_link_pair",
    "signer_for",
    "user_id_for",
]
