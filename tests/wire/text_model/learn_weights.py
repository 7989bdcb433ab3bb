"""Makes dtnode/wire/text_model/weights.py: run it when the phrases changed. Not a test.

Each phrase is predicted by an index of the phrases without its own eighth of them, and the weights
follow the error (gradient descent on the coding cost). Only phrases long enough to be messages are
learnt from. Takes about a minute; the same phrases give the same weights up to the last digits of
floating point, which is why the result is committed and never made at run time.

    python tests/wire/text_model/learn_weights.py > dtnode/wire/text_model/weights.py
"""

from __future__ import annotations

import hashlib
import math
import sys
from bisect import bisect_left

from dtnode.wire.text_model import case_marks
from dtnode.wire.text_model.contexts import Contexts, said
from dtnode.wire.text_model.fixed_point import ONE
from dtnode.wire.text_model.predictor import INPUTS, REPEAT, ROWS, WEIGHT_BITS, WORD, Predictor
from dtnode.wire.text_model.priming import Index, following_bytes, following_word, phrases

FOLDS = 8
RATES = (0.02, 0.01, 0.005, 0.003, 0.0015)
MIN_BYTES = 10
START = 0.25
MAX_WEIGHT = 4.0


class Learner(Predictor):
    """The predictor's sum in floats, with the weights moved after each bit."""

    __slots__ = ()

    def learn(self, rows: list[list[float]], symbol: int, rate: float) -> float:
        """Cost of `symbol` in bits; moves the weights."""
        lists = self._contexts.after_bytes(self._bytes)
        word = self._contexts.after_word(self._word)
        repeated, trust = self._repeated()
        longest, node, cost = len(lists) - 1, 1, 0.0
        for place in range(7, -1, -1):
            bit = symbol >> place & 1
            counts = [counted(following, node, place) for following in lists]
            while longest and not any(counts[longest]):
                longest -= 1
            inputs = [0.0] * INPUTS
            for order in range(longest + 1):
                inputs[order] = (said(order, *counts[order]) >> 3) / ONE
            by_word = counted(word, node, place)
            if any(by_word):
                inputs[WORD] = (said(WORD, *by_word) >> 3) / ONE
            if repeated >> (place + 1) == node:
                inputs[REPEAT] = (trust if repeated >> place & 1 else -trust) / ONE
            sure = said(longest, *counts[longest]) & 7
            row = rows[longest * 16 + sure + (8 if any(by_word) else 0)]
            odds = sum(weight * value for weight, value in zip(row, inputs, strict=True))
            probability = 1 / (1 + 2 ** -max(-15.0, min(15.0, odds)))
            cost -= math.log2(probability if bit else 1 - probability)
            for column, value in enumerate(inputs):
                moved = row[column] + rate * (bit - probability) * value
                row[column] = max(-MAX_WEIGHT, min(MAX_WEIGHT, moved))
            node = node * 2 + bit
        self._bytes = following_bytes(self._bytes, symbol)
        self._word = following_word(self._word, symbol)
        self._seen.append(symbol)
        return cost


def counted(following: bytes, node: int, place: int) -> tuple[int, int]:
    """How often the bit at `place` was 0 and 1 among those that begin with the bits of `node`."""
    begin = (node << (place + 1)) & 0xFF
    start = bisect_left(following, begin)
    middle = bisect_left(following, begin + (1 << place), start)
    end = bisect_left(following, begin + (2 << place), middle)
    return middle - start, end - middle


def fold_of(phrase: bytes) -> int:
    return hashlib.sha256(phrase).digest()[0] % FOLDS


def learn() -> list[list[float]]:
    known = phrases()
    contexts = [
        Contexts(Index(phrase for phrase in known if fold_of(phrase) != fold))
        for fold in range(FOLDS)
    ]
    rows = [[START] * INPUTS for _ in range(ROWS)]
    learnt = sorted(
        (phrase for phrase in set(known) if len(phrase) >= MIN_BYTES),
        key=lambda phrase: hashlib.sha256(b"order" + phrase).digest(),
    )
    for rate in RATES:
        cost = 0.0
        for phrase in learnt:
            learner = Learner(contexts[fold_of(phrase)], ())
            for symbol in [*case_marks.encode(phrase), case_marks.END]:
                cost += learner.learn(rows, symbol, rate)
        print(f"{cost / sum(map(len, learnt)):.4f} bits a byte", file=sys.stderr)
    return rows


def main() -> None:
    print('"""Weights of the predictor, learnt ahead by tests/wire/text_model/learn_weights.py.\n')
    print("Not to be edited: a change needs a new TABLE_VERSION. Rows, columns: see `predictor`.")
    print('In 1/65536. Called by dtnode.wire.text_model.model."""\n')
    print("WEIGHTS: tuple[tuple[int, ...], ...] = (")
    for row in learn():
        print(f"    ({', '.join(str(round(weight * (1 << WEIGHT_BITS))) for weight in row)}),")
    print(")")


if __name__ == "__main__":
    main()
