"""The real clock and randomness: the one place in dtnode that reads them for the node."""

from __future__ import annotations

import os
import time


class SystemClock:
    """dtnode.clock.Clock over the machine's wall clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


def system_entropy(count: int) -> bytes:
    return os.urandom(count)
