"""How long to wait for an answer on a link before saying things again."""

from __future__ import annotations

from dtnode.link_info import LinkInfo
from dtnode.wire.limits import MAX_PDUS_BYTES

_PATIENCE_S = 5.0  # the other end's store may be busy with a large batch
_RELIABLE_PATIENCE_S = 60.0  # nothing is lost there but with the link itself
_LARGEST_ANSWER_BYTES = 4_096
_BATCH_S = 15.0
MAX_IN_FLIGHT = 4  # batches: enough to keep a fast link busy while the other end syncs its disk
BACKOFF = 1.6
MAX_ATTEMPTS = 8  # with BACKOFF about a minute of 5 s steps growing to 2 minutes: then it is gone


def batch_bytes(info: LinkInfo) -> int:
    """Bytes of PDUs in one batch: what takes a quarter of a minute, so that a cut link or a lost
    message costs no more; one event always fits."""
    if info.bitrate_bps is None:
        return MAX_PDUS_BYTES
    return min(MAX_PDUS_BYTES, int(info.bitrate_bps * _BATCH_S / 8))


def window_bytes(info: LinkInfo) -> int:
    """Bytes of PDUs on their way from which on no further batch is sent. Where the bitrate limits,
    one batch is sent while another waits for its answer."""
    return batch_bytes(info) * (MAX_IN_FLIGHT if info.bitrate_bps is None else 1)


def airtime_s(info: LinkInfo, size_bytes: int) -> float:
    return 8 * size_bytes / info.bitrate_bps if info.bitrate_bps else 0.0


def answer_timeout_s(info: LinkInfo, sent_bytes: int) -> float:
    """Seconds until an answer is overdue: airtime both ways (the answer may have to wait for a
    batch of the peer's), turnarounds, patience."""
    base_s = _RELIABLE_PATIENCE_S if info.reliable else _PATIENCE_S
    answer_bytes = _LARGEST_ANSWER_BYTES + batch_bytes(info)
    return base_s + airtime_s(info, sent_bytes + answer_bytes) + 2 * info.turnaround_s


def tips_timeout_s(info: LinkInfo) -> float:
    """Seconds until Tips are overdue: both sides tell them unasked, so a turn each is enough."""
    return _PATIENCE_S + 2 * (airtime_s(info, _LARGEST_ANSWER_BYTES) + info.turnaround_s)


def retry_at(now: float, timeout_s: float, attempts: int) -> float:
    return now + timeout_s * BACKOFF ** min(attempts, MAX_ATTEMPTS)
