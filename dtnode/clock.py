"""The wall clock as a seam. Floor 0: the real one lives in dtnode.node, simulations bring theirs.

Monotonic time is not here: protocol machines get `now` (seconds) passed in, tasks use
trio.current_time().
"""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, as wrong as the machine's clock is."""
        ...
