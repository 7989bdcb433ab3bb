"""Changes bytes without looking at what they reach: for Pythons that atheris has no wheels for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

MAX_INPUT_BYTES = 4_096
_EDGES = (0x00, 0x01, 0x17, 0x18, 0x7F, 0x80, 0xBF, 0xC0, 0xE0, 0xFE, 0xFF)


def mutants(seeds: Sequence[bytes], random: Random) -> Iterator[bytes]:
    """Without end: the seeds themselves, then what becomes of them."""
    yield from seeds
    while True:
        data = bytearray(random.choice(seeds) if random.random() < 0.95 else b"")
        for _ in range(random.choice((1, 1, 2, 3, 5, 10))):
            _change(data, seeds, random)
        yield bytes(data[:MAX_INPUT_BYTES])


def _change(data: bytearray, seeds: Sequence[bytes], random: Random) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((1, 1, 2, 4, 8, 40)))
    match random.randrange(7):
        case 0 if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        case 1 if data:
            data[random.randrange(len(data))] = random.choice(_EDGES)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = random.randbytes(random.choice((1, 1, 2, 4, 16)))
        case 4:
            data[at:at] = data[at:end] * random.choice((1, 2, 20))
        case 5:
            other = random.choice(seeds)
            start = random.randrange(len(other) + 1)
            data[at:end] = other[start : start + random.randrange(1, 60)]
        case _:
            del data[at:]
