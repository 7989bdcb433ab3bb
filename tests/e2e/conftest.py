"""Real processes, each test with folders and ports of its own; none outlives its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dtnode.testing.demo.processes import NodeProcess, end_all

MakeNode = Callable[[str], NodeProcess]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeNode]:
    """make("alice"): a node with an identity, not started."""
    made: list[NodeProcess] = []

    def make_node(name: str) -> NodeProcess:
        node = NodeProcess(name, tmp_path)
        made.append(node)
        node.init()
        return node

    yield make_node
    end_all(made)
