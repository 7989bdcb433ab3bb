"""Pairs of sessions for the tests here."""

from __future__ import annotations

import pytest

from tests.session.session_pair import Pair, make_pair


@pytest.fixture
def connected() -> Pair:
    """A pair whose handshake is done; its first events are taken off."""
    pair = make_pair().start()
    pair.exchange()
    pair.initiator_events.clear()
    pair.responder_events.clear()
    return pair
