"""Time as the conversation over one link counts it."""

from __future__ import annotations

from dtnode.link_info import LinkInfo
from dtnode.session import LinkSession

_ROUNDING_S = 1e-6  # so that `at` has surely come by then, however the sums are rounded


class LinkTime:
    """Where frames get lost it stands still while something said is on its way: for what an outage
    takes, hours perhaps, nobody is to be blamed. Elsewhere it is the monotonic clock.

    runs: it goes on all the same, as the peer was met elsewhere and may be gone from here."""

    def __init__(self, info: LinkInfo, session: LinkSession) -> None:
        self._lossy = not info.reliable
        self._session = session
        self._paused_at: float | None = None
        self._lost_s = 0.0
        self.runs = False

    def at(self, now: float) -> float:
        """now: monotonic seconds."""
        paused = self._lossy and not self.runs and not self._session.is_clear
        if self._paused_at is not None:
            if paused:
                return self._paused_at - self._lost_s
            self._lost_s += now - self._paused_at
            self._paused_at = None
        elif paused:
            self._paused_at = now
        return now - self._lost_s

    def back(self, at: float, now: float) -> float | None:
        """When it will be `at`, by the monotonic clock; None: it stands still."""
        self.at(now)
        return None if self._paused_at is not None else at + self._lost_s + _ROUNDING_S
