"""Checks that need nothing but the event itself, for many events at once: over threads where the
caller has some, else one after the other. Which of the two, the composition decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_MIN_SHARE = 8  # items for a thread: waking one costs about as much as checking two signatures


class Spread(Protocol):
    """What `work` gives for each of `items`, in their order. `work` raises nothing and shares
    nothing with its other calls."""

    def __call__(self, work: Callable[[T], R], items: Sequence[T], /) -> list[R]: ...


def one_by_one(work: Callable[[T], R], items: Sequence[T], /) -> list[R]:
    """For simulations, audits, and machines with one core."""
    return [work(item) for item in items]


def over_threads(threads: int) -> Spread:
    """Up to `threads` of them, the caller's included. Worth it for signatures: libsodium works
    without the interpreter's lock. The others are started when there is first something to do."""
    if threads < 2:
        return one_by_one
    pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="dtnode-check")

    def spread(work: Callable[[T], R], items: Sequence[T], /) -> list[R]:
        shares = min(threads, len(items) // _MIN_SHARE)
        if shares < 2:
            return one_by_one(work, items)
        size = -(-len(items) // shares)
        others = [
            pool.submit(one_by_one, work, items[start : start + size])
            for start in range(size, len(items), size)
        ]
        found = one_by_one(work, items[:size])
        for other in others:
            found += other.result()
        return found

    return spread
