"""What the transfer of frames needs of a session's keys: two protocols and the bundle of four.

Not the cryptography: that is dtnode.session.sealing. The counter given here is always the whole
one (64 bits); what of it travels, and how the rest is found again, is this package's business:

- Datagram links: a frame's or unit's counter is its number in the send window, which is at most 128
  frames wide, so 8 bits on the wire are never ambiguous, however long an outage was. A frame that
  is repeated is the same bytes again, never another plaintext under its counter; a number that was
  received once is never opened again.
- Acknowledgements have keys of their own: their counter is 256 x (frames received up to) + (how
  many different ones were told since that moved), so it is a function of what they say. It grows,
  with gaps. An old one that comes again is ignored or says what was true.
- Reliable links: counters are 0, 1, 2 ... and not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SEAL_BYTES = 8
"""What sealing adds: the tag (RFC 6655's CCM-8, or as much of a keyed BLAKE2b)."""


class Sealer(Protocol):
    def seal(self, counter: int, header: bytes, plaintext: bytes, /) -> bytes:
        """Ciphertext and tag, SEAL_BYTES longer than `plaintext` (which may be empty); `header` is
        authenticated. Each counter is used once, in growing order; acknowledgements leave gaps."""
        ...


class Opener(Protocol):
    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes:
        """The plaintext. Raises RemoteProtocolError if tag, header and counter don't fit together.

        Counters of data come in any order within 128 frames. Those of acknowledgements may jump
        ahead by any amount, since most acknowledgements ride inside data; the caller takes them
        from what it knows to be acknowledged, so no stranger moves them. None is opened
        successfully twice, but one is tried again after a failure, which must leave no trace.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferKeys:
    """One end's view of a session's four keys; reliable links use the first two only."""

    data_sealer: Sealer
    data_opener: Opener
    ack_sealer: Sealer
    ack_opener: Opener
