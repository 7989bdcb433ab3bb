"""What the model knows before it has seen anything: the phrases, indexed by what stands before.

The index is a sorted array of 64-bit numbers, one for each byte of the phrases: the seven bytes
before it, the nearest first, then the byte itself. What follows a context of n bytes is one stretch
of that array, found by bisection. So nothing else has to be built at the start, and it takes eight
bytes a byte; a second array does the same with words. Called by dtnode.wire.text_model.contexts.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from importlib import import_module

from dtnode.wire.text_model import case_marks

MODULES = (
    "english_talk",
    "english_field",
    "english_words",
    "english_lines",
    "european",
    "world",
)

CONTEXT = 0xFFFF_FFFF_FFFF_FF00
"""The seven bytes of context in a key."""
_WORD_TAIL = 0xFFFF_FFFF_FFFF_0000
_TAG = 0x0000_0000_0000_FF00


def phrases() -> list[bytes]:
    """All phrases, as they are written, in the order of the modules."""
    # Not imported above: most nodes never need them.
    package = __name__.rpartition(".")[0]
    texts = (import_module(f"{package}.{name}").PHRASES for name in MODULES)
    return [
        phrase.encode()
        for text in texts
        for line in text.splitlines()
        for phrase in line.split("|")
        if phrase
    ]


def following_bytes(context: int, symbol: int) -> int:
    """The context after `symbol` was added to it."""
    return (context >> 8 | symbol << 56) & CONTEXT


def following_word(context: int, symbol: int) -> int:
    """The same for words: the last six bytes of the word so far, and 8 bits of the word before."""
    if 97 <= symbol <= 122 or 128 <= symbol < case_marks.CAPITALS:
        return (context >> 8 | symbol << 56) & _WORD_TAIL | context & _TAG
    if symbol >= case_marks.CAPITALS:
        return context
    word = context >> 16
    return (word * 0x9E3779B1 >> 24 & 0xFF) << 8 if word else context & _TAG


class Index:
    """The two sorted arrays, and the last bytes of their keys once more for quick slices.

    About 18 bytes for each byte of phrases.
    """

    __slots__ = ("after_bytes", "after_words", "by_bytes", "by_words")

    def __init__(self, texts: Iterable[bytes]) -> None:
        marked = [_ends(text) for text in texts]
        self.by_bytes = array("Q", sorted(_byte_keys(marked)))
        self.by_words = array("Q", sorted(_word_keys(marked)))
        self.after_bytes = bytes([key & 0xFF for key in self.by_bytes])
        self.after_words = bytes([key & 0xFF for key in self.by_words])


def _ends(text: bytes) -> bytes:
    end = bytes((case_marks.END,))
    return end + case_marks.encode(text) + end


def _byte_keys(marked: Iterable[bytes]) -> Iterator[int]:
    for text in marked:
        context = 0
        for symbol in text[1:]:
            yield context | symbol
            context = following_bytes(context, symbol)


def _word_keys(marked: Iterable[bytes]) -> Iterator[int]:
    for text in marked:
        context = 0
        for symbol in text[1:]:
            yield context | symbol
            context = following_word(context, symbol)
