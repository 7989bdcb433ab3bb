"""Logarithms and their way back in whole numbers only, the same on every machine and Python.

Not general mathematics: what the predictor needs. Log-odds are in 1/256 of a bit (base 2),
probabilities in 1/65536. Called by dtnode.wire.text_model.predictor and contexts.
"""

from __future__ import annotations

from bisect import bisect_right
from math import isqrt

ONE = 256
"""Log-odds of two to one."""
PROBABILITY_BITS = 16
MAX_LOG_ODDS = 15 * ONE - 1
"""Surer than 1 in 32,768 nothing is said: one wrong guess costs at most two bytes then."""

_FRACTION_BITS = 32


def _powers_of_two() -> list[int]:
    """2 ** (i / 256) in 1/2**32, for i in 0..255, by repeated square roots of whole numbers."""
    bits = 96
    root = 2 << bits
    for _ in range(8):
        root = isqrt(root << bits)
    powers = [1 << bits]
    for _ in range(255):
        powers.append(powers[-1] * root >> bits)
    return [power >> (bits - _FRACTION_BITS) for power in powers]


_POWERS = _powers_of_two()
_MANTISSA_BITS = 10
_LOGS = [
    bisect_right(_POWERS, mantissa << (_FRACTION_BITS - _MANTISSA_BITS)) - 1
    for mantissa in range(1 << _MANTISSA_BITS, 2 << _MANTISSA_BITS)
]


def log2(value: int) -> int:
    """log2 of a whole number from 1 on, in 1/256, rounded down."""
    shift = value.bit_length() - 1 - _MANTISSA_BITS
    mantissa = value >> shift if shift >= 0 else value << -shift
    return (shift + _MANTISSA_BITS) * ONE + _LOGS[mantissa - (1 << _MANTISSA_BITS)]


def _probability(log_odds: int) -> int:
    whole, fraction = divmod(log_odds, ONE)
    odds = _POWERS[fraction] << 16  # in 1/2**48, so that 2**-15 keeps its digits
    odds = odds << whole if whole >= 0 else odds >> -whole
    return (odds << PROBABILITY_BITS) // (odds + (1 << 48))


PROBABILITIES = [_probability(value) for value in range(-MAX_LOG_ODDS, MAX_LOG_ODDS + 1)]
"""Probability in 1/65536 (never 0, never 65536) at index log-odds + MAX_LOG_ODDS."""
