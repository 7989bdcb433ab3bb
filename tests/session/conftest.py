"""Puts this folder on the path, so that its tests share `session_pair`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from session_pair import Pair, make_pair


@pytest.fixture
def connected() -> Pair:
    """A pair whose handshake is done; its first events are taken off."""
    pair = make_pair().start()
    pair.exchange()
    pair.initiator_events.clear()
    pair.responder_events.clear()
    return pair
