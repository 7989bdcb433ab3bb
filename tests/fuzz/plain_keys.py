"""Keys that open everything: past the tags, where else no fuzzer gets."""

from __future__ import annotations

from dtnode.errors import DecodeError
from dtnode.session.transfer import SEAL_BYTES, TransferKeys


class _Plain:
    """A tag is eight zero bytes; a first byte of 0xff in it stands for a wrong one."""

    def seal(self, counter: int, header: bytes, plaintext: bytes, /) -> bytes:
        return plaintext + bytes(SEAL_BYTES)

    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes:
        if len(sealed) < SEAL_BYTES or sealed[-SEAL_BYTES] == 0xFF:
            raise DecodeError("wrong tag")
        return sealed[:-SEAL_BYTES]


def plain_keys() -> TransferKeys:
    keys = _Plain()
    return TransferKeys(data_sealer=keys, data_opener=keys, ack_sealer=keys, ack_opener=keys)
