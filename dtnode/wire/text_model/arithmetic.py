"""Binary arithmetic coder, carryless, 32 bits: probabilities and bits to bytes, and back.

It knows nothing of texts. Encoder and decoder have one method in common, `code`, so that the
predictor's loop is the same for both and can't disagree with itself. The scheme is the one of
Matt Mahoney's description of PAQ ("Data Compression Explained", section 4.1): an interval
[low, high] is cut at the probability; leading bytes that both ends share are written.

The end costs what it must: the shortest bytes whose value, with zero bytes imagined behind them,
lies in the last interval. Called by dtnode.wire.text_model.model.
"""

from __future__ import annotations

from dtnode.wire.text_model.fixed_point import PROBABILITY_BITS

_TOP = 0xFF000000
_ALL = 0xFFFFFFFF


class Encoder:
    """Bits in, `finish` gives the bytes."""

    __slots__ = ("_high", "_low", "_out")

    def __init__(self) -> None:
        self._low = 0
        self._high = _ALL
        self._out = bytearray()

    def code(self, bit: int, probability: int, /) -> int:
        """Write `bit`, which is 1 with `probability` / 65536 (1 to 65535); returns it."""
        low, high = self._low, self._high
        middle = low + ((high - low) * probability >> PROBABILITY_BITS)
        if bit:
            high = middle
        else:
            low = middle + 1
        while not (low ^ high) & _TOP:
            self._out.append(high >> 24)
            low = low << 8 & _ALL
            high = high << 8 & _ALL | 255
        self._low, self._high = low, high
        return bit

    def finish(self) -> bytes:
        return (bytes(self._out) + _shortest(self._low, self._high)).rstrip(b"\0")


class Decoder:
    """Bytes in, bits out; behind the last byte it reads zeros for ever."""

    __slots__ = ("_data", "_high", "_low", "_position", "_value")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._low = 0
        self._high = _ALL
        self._value = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
        self._position = 4

    def code(self, _bit: int, probability: int, /) -> int:
        """The next bit, written with this `probability`; the first argument is not used."""
        low, high = self._low, self._high
        middle = low + ((high - low) * probability >> PROBABILITY_BITS)
        if self._value <= middle:
            bit, high = 1, middle
        else:
            bit, low = 0, middle + 1
        while not (low ^ high) & _TOP:
            low = low << 8 & _ALL
            high = high << 8 & _ALL | 255
            position = self._position
            following = self._data[position] if position < len(self._data) else 0
            self._value = self._value << 8 & _ALL | following
            self._position = position + 1
        self._low, self._high = low, high
        return bit

    def ends_here(self) -> bool:
        """Whether an Encoder that wrote the bits read so far would have given exactly these bytes.

        So every text has one form: nothing can be hidden behind it or varied in it.
        """
        read = self._data[: self._position - 4].ljust(self._position - 4, b"\0")
        return (read + _shortest(self._low, self._high)).rstrip(b"\0") == self._data


def _shortest(low: int, high: int) -> bytes:
    for count in range(5):
        step = 1 << (32 - 8 * count)
        value = -(-low // step) * step
        if value <= high:
            return value.to_bytes(5, "big")[1 : 1 + count]
    raise AssertionError("a value of 32 bits has at most four bytes")
