"""Server names that are keys: 52 characters of lowercase base32, optionally with a domain.

Anyone can check a signature from the name alone (DESIGN section 1). What to do with servers named
by DNS is not decided here.
"""

from __future__ import annotations

from base64 import b32encode

from dtnode.errors import ConfigError
from dtnode.matrix.identifiers import is_server_name

KEY_BYTES = 32
KEY_TEXT_LENGTH = 52

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_TO_DIGITS = str.maketrans(_BASE32, "0123456789abcdefghijklmnopqrstuv")
_SPARE_BITS = 0b1111

# A user id is at most 255 bytes and names are recommended to stay below 230 characters.
MAX_SERVER_NAME_LENGTH = 230


def server_name_from_key(key: bytes, domain: str | None = None) -> str:
    """`<key>` or `<key>.<domain>` for a 32-byte Ed25519 key. ConfigError: no usable domain."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(key)}")
    name = b32encode(key).decode("ascii").rstrip("=").lower()
    if domain is None:
        return name
    name = f"{name}.{domain}"
    if len(name) > MAX_SERVER_NAME_LENGTH or not _is_plain_domain(domain):
        raise ConfigError(
            f"{domain!r} can't be the domain of a server name; give a DNS name in lower case"
            " without a port, as mesh.example.org"
        )
    return name


def key_from_server_name(name: str) -> bytes | None:
    """The 32-byte key a server name is, or None: not the name of a key.

    Only the one spelling that encoding gives counts: base32 leaves four bits over, and two names of
    one key would be two servers to everybody else.
    """
    text, dot, domain = name.partition(".")
    if len(text) != KEY_TEXT_LENGTH or (dot and not _is_plain_domain(domain)):
        return None
    if len(name) > MAX_SERVER_NAME_LENGTH:
        return None
    if text.strip(_BASE32):  # something else is in it
        return None
    bits = int(text.translate(_TO_DIGITS), 32)  # a tenth of what b32decode takes
    return None if bits & _SPARE_BITS else (bits >> 4).to_bytes(KEY_BYTES, "big")


def _is_plain_domain(domain: str) -> bool:
    labels = domain.split(".")
    return (
        is_server_name(domain)
        and ":" not in domain
        and domain == domain.lower()
        and all(0 < len(label) <= 63 and label.strip("-") == label for label in labels)
    )
