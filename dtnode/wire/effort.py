"""What reading one batch of PDUs may cost beyond its length: bounds, and the count of what is left.

Not what a message may hold (dtnode.wire.limits). Counted alike by who writes a batch and who reads
it, so that no honest batch is over. Called by dtnode.wire.pdus and dtnode.wire.text_model.
"""

from __future__ import annotations

from typing import Final

MAX_SYMBOLS: Final = 6_000
"""Bytes that the text model predicts in one batch, marks and ends of texts with them. A symbol
takes about 40 us, so a quarter of a second; a hundred lines of chat of 50 characters stay below."""

MAX_BROADCAST_SYMBOLS: Final = 1_000
"""Likewise in a message of an open link, which holds one event and which anybody can send."""

MAX_LOOK_UPS: Final = 400
"""Events of the room that one batch names by a prefix; the encoder names further ones by their
hash. A hundred events of a chat name a few dozen that were not said before."""


class Effort:
    """Of one batch, at one end. symbols, look_ups: how many may still follow."""

    __slots__ = ("look_ups", "symbols")

    def __init__(self, symbols: int = MAX_SYMBOLS) -> None:
        self.symbols = symbols
        self.look_ups = MAX_LOOK_UPS
