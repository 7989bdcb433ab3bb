"""Nodes for the tests of the client API, and a client of each."""

from __future__ import annotations

import pytest

from tests.client_api.small_node import Client, SmallNode


@pytest.fixture
def alice() -> SmallNode:
    return SmallNode("alice")


@pytest.fixture
def bob() -> SmallNode:
    return SmallNode("bob")


@pytest.fixture
def at_alice(alice: SmallNode) -> Client:
    return alice.client()


@pytest.fixture
def at_bob(bob: SmallNode) -> Client:
    return bob.client()


@pytest.fixture
def carol() -> SmallNode:
    return SmallNode("carol")
