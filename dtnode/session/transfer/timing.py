"""Times and windows of a datagram link, from its bit rate, MTU and turnaround. Pure numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dtnode.link_info import Duplex, LinkInfo
from dtnode.session.transfer.acks import bitmap_bytes_for
from dtnode.session.transfer.frames import MAX_UNIT_FRAMES, SEAL_FIRST_MTU_BYTES, WINDOW_FRAMES

MIN_BURST_S: Final = 8.0
"""One transmission on a half-duplex link, at least: with turnarounds of 0.3 to 1 s (packet radio)
80 to 90% of the time is then frames. Shorter than any push-to-talk watchdog (30 s and more)."""

MAX_BURST_S: Final = 60.0
"""And at most: the other side's urgent message waits no longer for its turn."""

BURST_TURNAROUNDS: Final = 4
"""In between, so that two turnarounds are at most a third of a cycle."""

MIN_BURST_FRAMES: Final = 4
"""On the slowest links (LoRa SF12: 2.8 s a frame): or acknowledgements would be a third of it."""

WINDOW_BYTES: Final = 1 << 20
"""Frames in flight together: half of what the receiver holds (receiving.MAX_HELD_BYTES)."""

MIN_WINDOW_FRAMES: Final = 8

GRACE_S: Final = 0.25
"""Half duplex: how long an answer may wait for a message to ride with. Judging a batch of events
and its fsync take less; a turnaround for an acknowledgement alone takes longer."""

FULL_GRACE_S: Final = 0.03
"""The same on full duplex: one fsync."""

GUESSED_ROUND_TRIP_S: Final = 0.5
"""Full duplex, before one was measured: a Bluetooth connection interval or a satellite hop."""

MAX_PROBE_INTERVAL_S: Final = 300.0
"""Between probes after a long silence: hours of outage cost a few dozen frames, and the link is
found again within 5 minutes by itself (at once by resume())."""

PROBE_AIRTIME_SHARE: Final = 100
"""On very slow links longer: probes stay at 1% of the air, the strictest European duty cycle."""

UNHURRIED_ACK_S: Final = 120.0
"""What only acknowledges is acknowledged by itself no sooner: in a conversation something else goes
that way before, and the acknowledgement with it."""

UNHURRIED_S: Final = 180.0
"""Until then its sender waits, and the time for an answer besides: longer, by several turns of the
peer's, than an acknowledgement of it may be put off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds, bytes and frames for one link; `responder` breaks ties between two ends that
    talked at once: it waits a frame and a turnaround longer."""

    info: LinkInfo
    responder: bool

    @property
    def half_duplex(self) -> bool:
        return self.info.duplex is not Duplex.FULL

    def airtime_s(self, size_bytes: int) -> float:
        return 8 * size_bytes / self.info.bitrate_bps if self.info.bitrate_bps else 0.0

    @property
    def frame_s(self) -> float:
        """Airtime of the largest frame."""
        return self.airtime_s(self.info.mtu_bytes)

    @property
    def burst_s(self) -> float:
        return min(MAX_BURST_S, max(MIN_BURST_S, BURST_TURNAROUNDS * self.info.turnaround_s))

    @property
    def burst_frames(self) -> int:
        """Of the largest size, in one transmission on half duplex."""
        if not self.frame_s:
            return WINDOW_FRAMES
        return max(MIN_BURST_FRAMES, int(self.burst_s / self.frame_s))

    @property
    def window_frames(self) -> int:
        """In flight at most. Half duplex: what a bitmap can tell; full duplex: bit rate times
        round trip, twice, for what is lost and comes again."""
        limit = min(WINDOW_FRAMES, 8 * bitmap_bytes_for(self.info.mtu_bytes))
        by_bytes = max(MIN_WINDOW_FRAMES, WINDOW_BYTES // self.info.mtu_bytes)
        if not self.half_duplex and self.frame_s:
            round_trip_s = GUESSED_ROUND_TRIP_S + self.info.turnaround_s + self.ack_delay_s
            on_the_way = int(2 * round_trip_s / self.frame_s) + 1
            by_bytes = min(by_bytes, max(2 * MAX_UNIT_FRAMES, on_the_way))
        return min(limit, by_bytes)

    @property
    def unit_frames(self) -> int:
        """Frames sealed together: about a burst, so that a burst that arrived is delivered."""
        if self.info.mtu_bytes > SEAL_FIRST_MTU_BYTES:
            return 1
        burst = max(MIN_WINDOW_FRAMES, self.burst_frames)
        return min(MAX_UNIT_FRAMES, burst, self.window_frames // 2)

    @property
    def grace_s(self) -> float:
        return GRACE_S if self.half_duplex else FULL_GRACE_S

    @property
    def ack_delay_s(self) -> float:
        """Full duplex: how long frames may wait for their acknowledgement."""
        return min(1.0, max(0.05, 4 * self.frame_s))

    @property
    def gap_s(self) -> float:
        """Silence after which the peer's transmission is over though its last frame was not heard:
        two frames lost in a row don't look like the end."""
        return 3 * self.frame_s + GRACE_S

    @property
    def courtesy_s(self) -> float:
        """After an acknowledgement alone, until the first frame of a peer that goes on is heard:
        its airtime (twice 30 bytes), two turnarounds, a frame."""
        return 2 * self.info.turnaround_s + self.airtime_s(60) + self.frame_s + self.grace_s

    def answer_s(self, frames: int) -> float:
        """From the end of a transmission of so many frames to the answer, at the latest."""
        if not self.half_duplex:
            return GUESSED_ROUND_TRIP_S + self.ack_delay_s + 2 * self.frame_s
        answer_s = self.info.turnaround_s + self.grace_s + self.frame_s + GRACE_S
        if frames > 1:
            # The last frame may have been lost, and the peer listened for more.
            answer_s += self.gap_s
        return answer_s + (self.frame_s + self.info.turnaround_s if self.responder else 0.0)

    @property
    def max_probe_s(self) -> float:
        return max(MAX_PROBE_INTERVAL_S, PROBE_AIRTIME_SHARE * self.frame_s, 4 * self.answer_s(2))
