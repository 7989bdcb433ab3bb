"""What strangers and replays may cost a node, over all of its links together.

One AnswerLimits a node: with one for each connection, whoever opens many would get as many times
more. Called by Meeting; `now` is monotonic time in seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

TRIALS_BURST: Final = 20_000
TRIALS_PER_S: Final = 5_000.0
"""Names tried for first messages that nobody known made, before more are dropped unread: 28 us each
on a desktop, so a seventh of one core at most. A node that knows ten peers reads 500 such messages
a second, one that knows a thousand reads five; honest diallers repeat themselves."""


class AnswerLimits:
    """stale_answers: server name -> when it was last told that a number was taken before."""

    def __init__(self) -> None:
        self.stale_answers: OrderedDict[str, float] = OrderedDict()
        self._left = float(TRIALS_BURST)
        self._at = 0.0

    def may_try(self, now: float) -> bool:
        """Whether one more first message may be read."""
        gained = max(0.0, now - self._at) * TRIALS_PER_S
        self._left = min(self._left + gained, float(TRIALS_BURST))
        self._at = now
        return self._left > 0

    def tried_in_vain(self, names: int) -> None:
        """A first message was tried with so many names, and none had made it."""
        self._left -= names + 1
