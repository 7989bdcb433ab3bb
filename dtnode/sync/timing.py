"""How long to wait for an answer on a link before saying things again."""

from __future__ import annotations

from dtnode.link_info import LinkInfo
from dtnode.wire.limits import MAX_PDUS_BYTES

_PATIENCE_S = 5.0  # the other end's store may be busy with a large batch
_RELIABLE_PATIENCE_S = 60.0  # nothing is lost there but with the link itself
_LARGEST_ANSWER_BYTES = 4_096
_BATCH_S = 30.0
BACKOFF = 1.6
MAX_ATTEMPTS = 8  # with BACKOFF about a minute of 5 s steps growing to 2 minutes: then it is gone


def batch_bytes(info: LinkInfo) -> int:
    """Bytes of PDUs in one batch: what takes about half a minute, so that a cut link or a lost
    message costs no more; one event always fits."""
    if info.bitrate_bps is None:
        return MAX_PDUS_BYTES
    return min(MAX_PDUS_BYTES, int(info.bitrate_bps * _BATCH_S / 8))


def answer_timeout_s(info: LinkInfo, sent_bytes: int) -> float:
    """Seconds until an answer is overdue: airtime both ways, turnarounds, patience."""
    base_s = _RELIABLE_PATIENCE_S if info.reliable else _PATIENCE_S
    airtime_s = 0.0
    if info.bitrate_bps:
        airtime_s = 8 * (sent_bytes + _LARGEST_ANSWER_BYTES) / info.bitrate_bps
    return base_s + airtime_s + 2 * info.turnaround_s


def tips_timeout_s(info: LinkInfo) -> float:
    """Seconds until Tips are overdue: both sides tell them unasked, so a turn each is enough."""
    airtime_s = 8 * _LARGEST_ANSWER_BYTES / info.bitrate_bps if info.bitrate_bps else 0.0
    return _PATIENCE_S + 2 * (airtime_s + info.turnaround_s)


def retry_at(now: float, timeout_s: float, attempts: int) -> float:
    return now + timeout_s * BACKOFF ** min(attempts, MAX_ATTEMPTS)
