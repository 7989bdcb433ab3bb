"""Unpadded Base64 (specification, appendices, "Unpadded Base64"). Used by hashing and signing."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def encode_unpadded_base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def encode_url_safe_unpadded_base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL_SAFE).decode("ascii")


def decode_unpadded_base64(text: str) -> bytes | None:
    """The bytes, or None where `text` is no Base64.

    As lenient as deployed homeservers are (either alphabet, padding or not, stray characters
    skipped): whether a hash or a signature matches is consensus.
    """
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
    try:
        return a2b_base64(text + "=" * (-len(text) % 4))
    except ValueError:  # not ASCII, or a length that nothing encodes to
        return None
