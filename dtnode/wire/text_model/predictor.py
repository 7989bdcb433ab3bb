"""The model's guess of each bit, and the loop that codes a byte by it.

Seven contexts of growing length, the word so far, and the last place in this same text that looks
like here each say log-odds; the guess is their sum, weighted by rows of `weights` (learnt ahead,
never changed by a text). Texts don't depend on one another. Called by dtnode.wire.text_model.model;
tests/wire/text_model/learn_weights.py makes the weights with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dtnode.wire.text_model.contexts import MAX_ORDER, Contexts
from dtnode.wire.text_model.fixed_point import MAX_LOG_ODDS, ONE, PROBABILITIES
from dtnode.wire.text_model.priming import following_bytes, following_word

WORD = MAX_ORDER + 1
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
        trees = self._contexts.after_bytes(self._bytes)
        word = self._contexts.after_word(self._word)
        repeated, trust = self._repeated()
        weights = self._weights
        longest = len(trees) - 1
        node = 1
        for place in range(7, -1, -1):
            while longest and node not in trees[longest]:
                longest -= 1
            said = trees[longest].get(node, 0)
            row = longest * 16 + (said & 7)
            by_word = word.get(node)
            if by_word is not None:
                row += 8
            line = weights[row]
            total = line[longest] * (said >> 3)
            for order in range(longest):
                total += line[order] * (trees[order][node] >> 3)
            if by_word is not None:
                total += line[WORD] * (by_word >> 3)
            if repeated >> (place + 1) == node:
                total += line[REPEAT] * (trust if repeated >> place & 1 else -trust)
            odds = total >> WEIGHT_BITS
            if odds > MAX_LOG_ODDS:
                odds = MAX_LOG_ODDS
            elif odds < -MAX_LOG_ODDS:
                odds = -MAX_LOG_ODDS
            bit = coder.code(symbol >> place & 1, PROBABILITIES[odds + MAX_LOG_ODDS])
            node = node * 2 + bit
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
