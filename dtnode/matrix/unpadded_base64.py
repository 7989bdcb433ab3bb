"""Unpadded Base64 (specification, appendices, "Unpadded Base64"). Used by hashing and signing."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from binascii import Error, a2b_base64


def encode_unpadded_base64(data: bytes) -> str:
    return b64encode(data).decode("ascii").rstrip("=")


def encode_url_safe_unpadded_base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decode_unpadded_base64(text: str) -> bytes | None:
    """The bytes, or None where `text` is no Base64.

    As lenient as deployed homeservers are (either alphabet, padding or not, stray characters
    skipped): whether a hash or a signature matches is consensus.
    """
    try:
        standard = text.encode("ascii").replace(b"-", b"+").replace(b"_", b"/")
        return a2b_base64(standard + b"=" * (-len(standard) % 4))
    except (Error, UnicodeEncodeError):
        return None
