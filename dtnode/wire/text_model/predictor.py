"""The model's guess of each bit, and the loop that codes a byte by it.

Seven contexts of growing length, the word so far, and the last place in this same text that looks
like here each say log-odds; the guess is their sum, weighted by rows of `weights` (learnt ahead,
never changed by a text). Texts don't depend on one another. Called by dtnode.wire.text_model.model;
tests/wire/text_model/learn_weights.py makes the weights with it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

from dtnode.wire.text_model.contexts import MAX_ORDER, WORDS, Contexts, said
from dtnode.wire.text_model.fixed_point import MAX_LOG_ODDS, ONE, PROBABILITIES
from dtnode.wire.text_model.priming import following_bytes, following_word

WORD = WORDS
REPEAT = MAX_ORDER + 2
INPUTS = MAX_ORDER + 3
"""Columns of the weights: orders 0 to 6, word, repetition."""
ROWS = (MAX_ORDER + 1) * 16
"""Rows: by the longest order that still knows the node, how sure it is there, whether the word
context knows it."""
WEIGHT_BITS = 16

_REPEAT_LENGTHS = (8, 6, 5, 4, 3)
"""Bytes that must be equal before the last place like this is believed; longer is surer."""


class Coder(Protocol):
    """An Encoder or a Decoder of dtnode.wire.text_model.arithmetic."""

    def code(self, bit: int, probability: int, /) -> int: ...


class Predictor:
    """One text from its start on. Feed it a coder; it codes byte by byte."""

    __slots__ = ("_bytes", "_contexts", "_seen", "_weights", "_word")

    def __init__(self, contexts: Contexts, weights: Sequence[Sequence[int]]) -> None:
        self._contexts = contexts
        self._weights = weights
        self._bytes = 0
        self._word = 0
        self._seen = bytearray()

    def code(self, coder: Coder, symbol: int) -> int:
        """Code one byte of the alphabet (`symbol` is not looked at if `coder` decodes)."""
        # Each list of bytes is sorted, so the ones that agree with the bits coded so far are a
        # stretch of it, from starts to ends, and the next bit cuts that at a place to be bisected.
        lists = self._contexts.after_bytes(self._bytes)
        starts = [0] * len(lists)
        ends = [len(following) for following in lists]
        longest = len(lists) - 1
        word = self._contexts.after_word(self._word)
        word_start, word_end = 0, len(word)
        repeated, trust = self._repeated()
        node = 1
        for place in range(7, -1, -1):
            cut = (2 * node + 1 << place) & 0xFF
            while longest and starts[longest] == ends[longest]:
                longest -= 1
            middles = []
            says = []
            for order in range(longest + 1):
                start, end = starts[order], ends[order]
                middle = bisect_left(lists[order], cut, start, end)
                middles.append(middle)
                says.append(said(order, middle - start, end - middle))
            row = longest * 16 + (says[longest] & 7)
            word_middle = word_start
            if word_start < word_end:
                word_middle = bisect_left(word, cut, word_start, word_end)
                by_word = said(WORD, word_middle - word_start, word_end - word_middle)
                weights = self._weights[row + 8]
                total = weights[WORD] * (by_word >> 3)
            else:
                weights = self._weights[row]
                total = 0
            for order, says_order in enumerate(says):
                total += weights[order] * (says_order >> 3)
            if repeated >> (place + 1) == node:
                total += weights[REPEAT] * (trust if repeated >> place & 1 else -trust)
            odds = max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, total >> WEIGHT_BITS))
            bit = coder.code(symbol >> place & 1, PROBABILITIES[odds + MAX_LOG_ODDS])
            node = node * 2 + bit
            if bit:
                starts[: longest + 1] = middles
                word_start = word_middle
            else:
                ends[: longest + 1] = middles
                word_end = word_middle
        symbol = node & 0xFF
        self._bytes = following_bytes(self._bytes, symbol)
        self._word = following_word(self._word, symbol)
        self._seen.append(symbol)
        return symbol

    def _repeated(self) -> tuple[int, int]:
        """The byte (with bit 8 set) that followed the last place like here, and its trust."""
        seen = self._seen
        for length in _REPEAT_LENGTHS:
            if len(seen) > length:
                at = seen.rfind(seen[-length:], 0, len(seen) - 1)
                if at >= 0:
                    return 256 | seen[at + length], (length - 1) * ONE
        return 0, 0
