"""Public helpers for tests, this project's and those of plug-in authors.

`check_link` proves a transport's links, `memory_link_pair` makes links without a medium, with the
faults asked for. Nothing here is used by a running node.
"""

from dtnode.testing.check_link import check_link
from dtnode.testing.memory_link import LinkFaults, MemoryLink, memory_link_pair

__all__ = ["LinkFaults", "MemoryLink", "check_link", "memory_link_pair"]
