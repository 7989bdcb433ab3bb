"""Rooms: the receive and create pipeline over the store (floor 3).

Plain functions and small classes that work within a transaction of the store, on whatever thread
the node gives them. `Rooms` holds them together; nothing here sends, sleeps or reads a clock that
it wasn't given.
"""

from dtnode.rooms.outcome import Check, Outcome, Received, Verdict
from dtnode.rooms.rooms import Rooms

__all__ = ["Check", "Outcome", "Received", "Rooms", "Verdict"]
