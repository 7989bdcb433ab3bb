"""What the phrases say about the next byte: for a context, log-odds of each of its bits.

Not a prediction yet: dtnode.wire.text_model.predictor mixes what several contexts say. The only
mutable part is a memo of contexts already counted; it changes speed, never a result.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from dtnode.wire.text_model.fixed_point import log2
from dtnode.wire.text_model.priming import Index

MAX_ORDER = 6
"""Bytes of context at most; the seventh gained less than it cost."""

_MAX_KNOWN = 4_000
"""Contexts remembered, about 5 MB; a line of 30 characters needs some 200, most of them again."""

_SCALE = 20
_DOUBTS = (8, 6, 6, 4, 3, 2, 2, 6)
"""Added to both counts (in 1/20) for orders 0 to 6 and words: the longer a context, the more a
single occurrence says."""
_WORDS = MAX_ORDER + 1

Tree = dict[int, int]
"""Node -> log-odds * 8 + how sure. Nodes are the bits of the byte so far with a 1 before them (1 to
255); a node that never occurred after the context is not there. How sure: 4 if both bits occurred,
and 0 to 3 by how often the node did."""

_NOTHING: Tree = {}


class Contexts:
    """Look-ups into an Index."""

    __slots__ = ("_index", "_known")

    def __init__(self, index: Index) -> None:
        self._index = index
        self._known: dict[tuple[int, int], Tree] = {}

    def after_bytes(self, context: int) -> list[Tree]:
        """Trees of orders 0, 1, ... up to the longest that occurs, at most MAX_ORDER."""
        trees = []
        for order in range(MAX_ORDER + 1):
            width = 64 - 8 * order
            start = context >> width << width
            tree = self._known.get((order, start))
            if tree is None:
                tree = self._count(order, start, start + (1 << width))
            if not tree:
                break
            trees.append(tree)
        return trees

    def after_word(self, context: int) -> Tree:
        """The tree of the word so far and the word before; empty if it never occurs."""
        tree = self._known.get((_WORDS, context))
        return self._count(_WORDS, context, context + 256) if tree is None else tree

    def _count(self, order: int, start: int, end: int) -> Tree:
        keys = self._index.by_words if order == _WORDS else self._index.by_bytes
        found = keys[bisect_left(keys, start) : bisect_left(keys, end)]
        tree = _tree(found, _DOUBTS[order]) if found else _NOTHING
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[order, start] = tree
        return tree


def _tree(keys: Iterable[int], doubt: int) -> Tree:
    counts: dict[int, int] = {}
    for symbol, count in Counter([key & 0xFF for key in keys]).items():
        node = 256 | symbol
        while node:
            counts[node] = counts.get(node, 0) + count
            node >>= 1
    tree = {}
    for node, count in counts.items():
        if node < 256:
            ones = counts.get(2 * node + 1, 0)
            odds = log2(_SCALE * ones + doubt) - log2(_SCALE * (count - ones) + doubt)
            often = 0 if count < 2 else 1 if count < 4 else 2 if count < 12 else 3
            tree[node] = odds * 8 + often + (4 if 0 < ones < count else 0)
    return tree
