"""Texts to few bytes and back: what dtnode.wire puts message bodies through on slow links.

Not for bulk data, and not a secret: the same text always gives the same bytes. Short texts go
through the predictor and the arithmetic coder, 30 characters of chat in 8 to 14 bytes; longer ones
through deflate with the phrases as its dictionary, because a predictor in Python takes its time.
Each text stands alone, so that any message can be read without the others. Called by
dtnode.wire.pdus, which bounds what a batch may spend here (dtnode.wire.effort).

The first use builds the index (see `priming`); a node without slow links never does.
"""

from __future__ import annotations

import zlib
from functools import cached_property

from dtnode.errors import DecodeError, LimitError, LocalProtocolError
from dtnode.wire.effort import Effort
from dtnode.wire.text_model import case_marks
from dtnode.wire.text_model.arithmetic import Decoder, Encoder
from dtnode.wire.text_model.contexts import Contexts
from dtnode.wire.text_model.predictor import Predictor
from dtnode.wire.text_model.priming import Index, phrases
from dtnode.wire.text_model.weights import WEIGHTS

TABLE_VERSION = 1
"""Names the phrases, the weights and the arithmetic together. Both ends must have the same: whoever
raises it raises dtnode.wire.limits.WIRE_VERSION, which the handshake tells."""

MAX_PREDICTED_BYTES = 2_048
"""Texts up to here are predicted: a tenth of a second. With its marks a text has at most two
symbols per byte."""
MIN_DEFLATED_BYTES = 512
"""Texts from here on are deflated, too, and the shorter form is taken: deflate learns from the text
itself, which pays for documents sooner than for talk."""

_DEFLATED = b"\0"
_DEFLATED_PROBABILITY = 1 << 8
"""First thing coded: is this deflated? Always no, at 1 in 256, so that no predicted text starts
with a zero byte. It costs 0.006 bits."""
_WINDOW = 32_768


class TextModel:
    """`compress` and `decompress` of one table version."""

    def __init__(self, version: int = TABLE_VERSION) -> None:
        """Cheap: nothing is built before the first use.

        Raises:
            LocalProtocolError: this node has no tables of that version.
        """
        if version != TABLE_VERSION:
            raise LocalProtocolError(f"no text model {version} here, only {TABLE_VERSION}")
        self.version = version

    @cached_property
    def _contexts(self) -> Contexts:
        return Contexts(Index(phrases()))

    @cached_property
    def _dictionary(self) -> bytes:
        # The end of the dictionary is the cheapest to point at, and English comes first.
        return b"\n".join(reversed(phrases()))[-_WINDOW:]

    def compress(self, text: bytes, effort: Effort | None = None) -> bytes | None:
        """The short form of `text` (any bytes), or None if it would not be shorter.

        effort: what may be spent on it; trying is counted, whether or not it pays.
        """
        effort = effort or Effort()
        forms = []
        if 0 < len(text) <= MAX_PREDICTED_BYTES:
            symbols = case_marks.encode(text)
            if len(symbols) < effort.symbols:
                effort.symbols -= len(symbols) + 1
                forms.append(self._predict(symbols))
        if len(text) >= MIN_DEFLATED_BYTES:
            forms.append(self._deflate(text))
        short = min(forms, key=len, default=text)
        return short if len(short) < len(text) else None

    def decompress(self, data: bytes, max_bytes: int, effort: Effort | None = None) -> bytes:
        """The text whose `compress` is `data` (deflated ones have more forms than one).

        Takes at most about two tenths of a second, or what inflating `max_bytes` takes. effort:
        what may be spent on it.

        Raises:
            DecodeError: no encoder made these bytes, or the text is longer than `max_bytes`.
            LimitError: reading it takes more than `effort`.
        """
        if data[:1] == _DEFLATED:
            text = self._inflate(data[1:], max_bytes)
        else:
            text = self._read(data, max_bytes, effort or Effort())
        if len(data) >= len(text):
            raise DecodeError("compressed text that is no shorter than its text: refuse it")
        return text

    def _predict(self, symbols: bytes) -> bytes:
        encoder = Encoder()
        encoder.code(0, _DEFLATED_PROBABILITY)
        predictor = Predictor(self._contexts, WEIGHTS)
        for symbol in symbols:
            predictor.code(encoder, symbol)
        predictor.code(encoder, case_marks.END)
        return encoder.finish()

    def _read(self, data: bytes, max_bytes: int, effort: Effort) -> bytes:
        decoder = Decoder(data)
        if decoder.code(0, _DEFLATED_PROBABILITY):
            raise DecodeError("compressed text with a start that no encoder writes")
        predictor = Predictor(self._contexts, WEIGHTS)
        marked = bytearray()
        literal = False
        for _ in range(2 * min(max_bytes, MAX_PREDICTED_BYTES) + 1):
            if not effort.symbols:
                raise LimitError("texts of a batch take more effort to read than a batch may")
            effort.symbols -= 1
            symbol = predictor.code(decoder, 0)
            if symbol == case_marks.END and not literal:
                break
            literal = symbol == case_marks.LITERAL and not literal
            marked.append(symbol)
        else:
            raise DecodeError(f"compressed text of more than {max_bytes} bytes: refuse it")
        text = case_marks.decode(bytes(marked))
        if len(text) > min(max_bytes, MAX_PREDICTED_BYTES):
            raise DecodeError(f"compressed text of more than {max_bytes} bytes: refuse it")
        if not decoder.ends_here() or case_marks.encode(text) != marked:
            raise DecodeError("compressed text in another form than encoders give it: refuse it")
        return text

    def _deflate(self, text: bytes) -> bytes:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=self._dictionary)
        return _DEFLATED + deflater.compress(text) + deflater.flush()

    def _inflate(self, data: bytes, max_bytes: int) -> bytes:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=self._dictionary)
        try:
            text = inflater.decompress(data, max_bytes + 1)
        except zlib.error as error:
            raise DecodeError(f"compressed text that does not inflate: {error}") from error
        if len(text) > max_bytes:
            raise DecodeError(f"compressed text of more than {max_bytes} bytes: refuse it")
        if not inflater.eof or inflater.unused_data or len(text) < MIN_DEFLATED_BYTES:
            raise DecodeError("compressed text in another form than encoders give it: refuse it")
        return text
