"""How far peers' clocks are off this machine's, as their handshakes said (DESIGN section 1).

Nobody's clock is set by it, and no verdict rests on it: people are told. Events from the future
are another sign, which dtnode.node.status looks at.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

import trio

from dtnode.clock import Clock

FAR_OFF_S = 3_600
MAX_PEERS = 256  # met last; enough to know by whom this clock is contradicted

logger = logging.getLogger(__name__)


class PeerClocks:
    """To be used in the Trio thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s: OrderedDict[str, float] = OrderedDict()  # of Trio's time, at the peer
        self._reported = False

    def told(self, server_name: str, ahead_s: int) -> None:
        """A handshake said that the peer's clock is that far ahead of this machine's (or behind,
        below 0)."""
        self._ahead_s[server_name] = ahead_s + self._own_s()
        self._ahead_s.move_to_end(server_name)
        if len(self._ahead_s) > MAX_PEERS:
            self._ahead_s.popitem(last=False)
        note, reported = self.note(), self._reported
        self._reported = note is not None
        if note is not None and not reported:
            logger.warning("%s", note)

    @property
    def is_doubtful(self) -> bool:
        """Whether half of the peers, or more, contradict this machine's clock."""
        return 2 * len(self._far_off()) >= max(len(self._ahead_s), 1)

    def note(self) -> str | None:
        """For people; None: no peer's clock is an hour off. Follows when this clock is set."""
        far_off = sorted(self._far_off())
        if not far_off:
            return None
        known = len(self._ahead_s)
        of_whom = "the one peer" if known == 1 else f"{len(far_off)} of {known} peers"
        middle_s = far_off[len(far_off) // 2]
        way = "behind" if middle_s > 0 else "ahead of"
        advice = (
            "if it is the wrong one, set it"
            if known == 1
            else "set it"
            if self.is_doubtful
            else "theirs may be wrong"
        )
        return f"this machine's clock is {_hours(middle_s)} {way} that of {of_whom}: {advice}"

    def _far_off(self) -> list[float]:
        """How far peers are ahead whose clocks are an hour off or more."""
        own_s = self._own_s()
        offsets = (ahead_s - own_s for ahead_s in self._ahead_s.values())
        return [offset for offset in offsets if abs(offset) >= FAR_OFF_S]

    def _own_s(self) -> float:
        """This machine's wall clock, ahead of Trio's: another value once the clock was set."""
        return self._clock.now_ms() / 1000 - trio.current_time()


def _hours(offset_s: float) -> str:
    hours = round(abs(offset_s) / 3_600)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"
