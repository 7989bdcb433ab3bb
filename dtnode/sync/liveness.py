"""Whether the peer is still at the other end of the link: by when it was last heard.

Pure; PeerSync asks at its timers. A link that loses frames (radio) is never pinged and never given
up: its session outlasts silence, and every transmission there costs somebody's airtime.
"""

from __future__ import annotations

from dtnode.link_info import LinkInfo

QUIET_S = 60.0  # silence after which a Ping is sent, and the next: at most one a minute
DEAD_S = 180.0  # silence, beyond the airtime of what is under way, that makes a link count as dead

_NEVER = float("inf")
PROBE_S = 20.0  # the same, for a link whose peer has come over another one


class Liveness:
    def __init__(self, info: LinkInfo) -> None:
        self._info = info
        self._heard_at = 0.0
        self._pinged_at = 0.0
        self._probed_at: float | None = None

    def heard(self, now: float) -> None:
        """Anything came from the peer: large messages take long on slow links."""
        self._heard_at = now
        self._pinged_at = now
        self._probed_at = None

    def silence_s(self, now: float) -> float:
        return now - self._heard_at

    def ping_at(self) -> float:
        return self._pinged_at + QUIET_S if self._info.reliable else _NEVER

    def pinged(self, now: float) -> None:
        self._pinged_at = now

    def probe(self, now: float) -> bool:
        """The peer has come over another link. True: it must be asked whether it is still here."""
        if self._probed_at is not None:
            return False
        self._probed_at = now
        return True

    def dead_at(self, flying_s: float) -> float:
        """flying_s: airtime of what is under way."""
        dead_at = self._heard_at + DEAD_S if self._info.reliable else _NEVER
        if self._probed_at is not None:
            dead_at = min(dead_at, self._probed_at + PROBE_S + 2 * self._info.turnaround_s)
        return dead_at + flying_s
