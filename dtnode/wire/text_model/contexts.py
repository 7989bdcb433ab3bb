"""What followed a context in the phrases, and what such counts say about the next bit.

Not a prediction yet: dtnode.wire.text_model.predictor mixes what several contexts say. The memo of
long stretches changes speed, never a result.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

from dtnode.wire.text_model.fixed_point import log2
from dtnode.wire.text_model.priming import Index

MAX_ORDER = 6
"""Bytes of context at most; a seventh gained 0.2%, the sixth 0.3%."""

_LONG = 16
"""Stretches from here on are remembered once sorted. The stretches of one order don't overlap, so
there can't be more than 8 / 16 of the bytes of the phrases (40,000); in fact there are 4,000."""

_SCALE = 20
_DOUBTS = (8, 6, 6, 4, 3, 2, 2, 6)
"""Added to both counts (in 1/20) for orders 0 to 6 and words: the longer a context, the more a
single occurrence says."""
WORDS = MAX_ORDER + 1


class Contexts:
    """Look-ups into an Index: context -> the bytes that followed it, sorted, each as often as it
    did."""

    __slots__ = ("_index", "_sorted")

    def __init__(self, index: Index) -> None:
        self._index = index
        self._sorted: dict[tuple[int, int, int], bytes] = {}

    def after_bytes(self, context: int) -> list[bytes]:
        """What followed the last 0, 1, ... bytes, up to the longest that occurs, at most 6."""
        keys = self._index.by_bytes
        start, end = 0, len(keys)
        found = [self._sort(0, start, end)]
        for order in range(1, MAX_ORDER + 1):
            width = 64 - 8 * order
            first = context >> width << width
            start = bisect_left(keys, first, start, end)
            end = bisect_left(keys, first + (1 << width), start, end)
            if start == end:
                break
            found.append(self._sort(order, start, end))
        return found

    def after_word(self, context: int) -> bytes:
        """What followed the word so far after the word before; nothing if it never occurs."""
        keys = self._index.by_words
        start = bisect_left(keys, context)
        return self._sort(WORDS, start, bisect_left(keys, context + 256, start))

    def _sort(self, order: int, start: int, end: int) -> bytes:
        index = self._index
        following = index.after_words if order == WORDS else index.after_bytes
        if end - start == 1:
            return following[start:end]
        if end - start < _LONG:
            return bytes(sorted(following[start:end]))
        known = self._sorted.get((order, start, end))
        if known is None:
            known = self._sorted[order, start, end] = bytes(sorted(following[start:end]))
        return known


@lru_cache(maxsize=8_192)
def said(order: int, zeros: int, ones: int) -> int:
    """What a context of that order says if its next bit was 0 and 1 so often (together at least 1).

    Log-odds * 8 + how sure: 4 if both bits occurred, and 0 to 3 by how often either did.
    """
    count = zeros + ones
    doubt = _DOUBTS[order]
    odds = log2(_SCALE * ones + doubt) - log2(_SCALE * zeros + doubt)
    often = 0 if count < 2 else 1 if count < 4 else 2 if count < 12 else 3
    return odds * 8 + often + (4 if zeros and ones else 0)
