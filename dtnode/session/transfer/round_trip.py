"""Until when an answer is awaited: measured round trips, and growing intervals in silence.

Called by datagram.py only. The estimate is that of TCP (RFC 6298); answers to repeated frames are
not measured (Karn), for they may answer an earlier one; on half duplex nor is what followed a lost
answer.
"""

from __future__ import annotations

from typing import Final

from dtnode.session.transfer.sending import Packet
from dtnode.session.transfer.timing import UNHURRIED_S, Timing

EVEN_PROBES: Final = 3
"""Probes at even intervals before these grow. A probe and its answer pass together with 64% at 20%
loss, so three in a row fail at 5% of lost answers; beyond that it is an outage."""

MAX_DOUBLINGS: Final = 16
"""2**16 of the shortest interval is beyond any cap."""

MAX_SAMPLE_ANSWERS: Final = 8
"""Full duplex: a round trip measured longer than so many expected ones was an outage."""


class RoundTrip:
    """The one retransmission timer of a session's sending half; all times in seconds."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._free_at = 0.0
        self._burst_frames = 0
        self._smoothed_s: float | None = None
        self._variation_s = 0.0
        self._timeouts = 0
        self._probing = False
        self._probe_turn: int | None = None
        self._sent_at: dict[int, float] = {}
        self.overdue_at: float | None = None
        self.is_unhurried = False  # all that is unacknowledged: the timer is a long one

    @property
    def is_silent(self) -> bool:
        """A probe is out and unanswered: nothing else is sent."""
        return self._probing

    def _wait_s(self, frames: int) -> float:
        """From the end of a transmission of so many frames until its answer is overdue."""
        wait_s = self._timing.answer_s(frames)
        if self._smoothed_s is not None:
            measured_s = self._smoothed_s + 4 * self._variation_s + self._timing.grace_s
            # Full duplex starts from a guess, which measuring may lower; half duplex from facts.
            wait_s = max(measured_s, wait_s if self._timing.half_duplex else self._floor_s)
        doublings = min(max(0, self._timeouts - EVEN_PROBES), MAX_DOUBLINGS)
        return min(wait_s * 2.0**doublings, self._timing.max_probe_s)

    @property
    def _floor_s(self) -> float:
        return self._timing.ack_delay_s + 2 * self._timing.frame_s + 0.02

    def on_sent(self, frame: bytes, packet: Packet | None, now: float, *, begins: bool) -> None:
        """A frame goes to the link, which may still be busy with earlier ones."""
        if begins and self._free_at < now:
            self._burst_frames = 0
            self._free_at = now
            if self._timing.half_duplex:
                self._free_at += self._timing.info.turnaround_s
        self._burst_frames += 1
        self._free_at = max(self._free_at, now) + self._timing.airtime_s(len(frame))
        if packet is None:
            return
        if self._may_wait(packet):
            if self.overdue_at is None:
                self.overdue_at = self._free_at + UNHURRIED_S + self._wait_s(1)
                self.is_unhurried = True
            return
        if self.is_unhurried:
            self.is_unhurried = False
            self.overdue_at = None
        if packet.turn == packet.first_turn:
            self._sent_at[packet.number] = self._free_at
        else:
            self._sent_at.pop(packet.number, None)
            if self.is_silent:
                self._probe_turn = packet.turn
        if self.overdue_at is None or self._timing.half_duplex or self.is_silent:
            # Without the poll bit the peer listens for more, as if a last frame had been lost.
            frames = self._burst_frames + int(packet.unhurried)
            self.overdue_at = self._free_at + self._wait_s(frames)

    def _may_wait(self, packet: Packet) -> bool:
        is_first = packet.unhurried and packet.turn == packet.first_turn
        return is_first and (self.overdue_at is None or self.is_unhurried)

    def on_probe(self) -> None:
        """The answer is overdue."""
        self.is_unhurried = False
        self._timeouts += 1
        self._probing = True

    def on_ack(self, news: list[Packet], now: float) -> int | None:
        """The peer answered. The turn of the probe that it answered, if it was one."""
        sent = [
            self._sent_at.pop(packet.number) for packet in news if packet.number in self._sent_at
        ]
        if sent and not (self._timeouts and self._timing.half_duplex):
            longest_s = MAX_SAMPLE_ANSWERS * self._timing.answer_s(1)
            self._measure(min(max(0.0, now - max(sent)), longest_s))
        self._timeouts = 0
        return self._on_answer(now, moves=bool(news))

    def on_same_ack(self, now: float) -> None:
        """The peer answered a probe, but has nothing new: what it lacks may be sent. Intervals go
        on growing, for anyone could repeat that answer."""
        self._on_answer(now, moves=True)

    def _on_answer(self, now: float, *, moves: bool) -> int | None:
        self._probing = False
        answered, self._probe_turn = self._probe_turn, None
        if self._timing.half_duplex:
            self.overdue_at = None
            self.is_unhurried = False
        elif moves and not self.is_unhurried:
            self.overdue_at = max(now, self._free_at) + self._wait_s(1)
        return answered

    def put_off(self, until: float) -> None:
        """Half duplex: the peer is heard, so this end's turn comes when it is done, whether that
        was the answer or not."""
        if self.overdue_at is not None and not self.is_unhurried:
            self.overdue_at = until

    def hurry(self, now: float) -> None:
        if self.overdue_at is not None:
            self.overdue_at = min(self.overdue_at, now)
            self._timeouts = min(self._timeouts, 1)

    def stop(self) -> None:
        """Nothing is unacknowledged."""
        self.overdue_at = None
        self.is_unhurried = False
        self._timeouts = 0
        self._probing = False
        self._probe_turn = None
        self._sent_at.clear()

    def _measure(self, sample_s: float) -> None:
        if self._smoothed_s is None:
            self._smoothed_s, self._variation_s = sample_s, sample_s / 2
            return
        self._variation_s += (abs(self._smoothed_s - sample_s) - self._variation_s) / 4
        self._smoothed_s += (sample_s - self._smoothed_s) / 8
