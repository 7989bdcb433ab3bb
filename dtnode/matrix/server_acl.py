"""Server ACLs (client-server API, "Server Access Control Lists"): which servers a room refuses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache

_MAX_RULES = 10_000  # an ACL event is at most 64 KiB of JSON; this only bounds odd ones


def acl_allows(server_name: str, content: Mapping[str, object]) -> bool:
    """Whether an m.room.server_acl `content` lets `server_name` take part.

    Like the specification: no event (or one without usable lists) is not this function's case; an
    event denies what it doesn't allow. IP literals count where allow_ip_literals isn't false.
    """
    # "The suspect server's port number must not be considered when comparing against the lists."
    server_name = re.sub(r":[0-9]{1,5}\Z", "", server_name)
    if content.get("allow_ip_literals") is False and _is_ip_literal(server_name):
        return False
    if _matches(server_name, content.get("deny")):
        return False
    return _matches(server_name, content.get("allow"))


def _matches(server_name: str, globs: object) -> bool:
    if not isinstance(globs, list):
        return False
    return any(
        isinstance(glob, str) and _pattern(glob.lower()).fullmatch(server_name.lower())
        for glob in globs[:_MAX_RULES]
    )


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    # Only * and ? are special; fnmatch would also read [...]. What stands between two * matches
    # where it first does and nowhere else (an atomic group), so that no glob takes forever.
    first, *rest = (re.escape(part).replace(r"\?", ".") for part in glob.split("*"))
    if rest:
        first += "".join(f"(?>.*?{part})" for part in rest[:-1]) + f".*{rest[-1]}"
    return re.compile(first, re.DOTALL)


def _is_ip_literal(server_name: str) -> bool:
    if server_name.startswith("["):
        return True
    try:
        ipaddress.IPv4Address(server_name)
    except ValueError:
        return False
    return True
