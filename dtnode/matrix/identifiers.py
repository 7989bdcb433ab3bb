"""User ids, room ids, event ids and server names (specification, appendices, "Identifier grammar").

Checks are those that events must pass in every room version, so historical user ids count as
valid; what this node's own users may be called is stricter and not decided here.
"""

from __future__ import annotations

import re

from dtnode.errors import FormatError

MAX_ID_BYTES = 255

_SERVER_NAME = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::[0-9]{1,5})?"
_server_name = re.compile(_SERVER_NAME).fullmatch
# "Historical User IDs": any code points but ":" and NUL, the empty localpart included.
_user_id = re.compile(rf"@[^:\0]*:{_SERVER_NAME}").fullmatch
_room_id_with_domain = re.compile(rf"![^:\0]*:{_SERVER_NAME}").fullmatch
_hash_id = re.compile(r"[!$][0-9A-Za-z_-]{43}").fullmatch
_localpart = re.compile(r"[a-z0-9._=/+-]+").fullmatch


def is_server_name(text: str) -> bool:
    return _server_name(text) is not None


def is_user_id(text: str) -> bool:
    return _user_id(text) is not None


def is_room_id(text: str, *, with_domain: bool) -> bool:
    """with_domain: the form of room versions 1 to 11; else `!` and a create event's hash."""
    if with_domain:
        return _room_id_with_domain(text) is not None
    return text.startswith("!") and _hash_id(text) is not None


def is_event_id(text: str) -> bool:
    """The form of room versions 4 and later: `$` and 43 characters of URL-safe Base64."""
    return text.startswith("$") and _hash_id(text) is not None


def server_name_of(identifier: str) -> str:
    """The part after the first colon. FormatError: there is no colon."""
    colon = identifier.find(":")
    if colon < 0:
        raise FormatError(f"{identifier[:80]!r} has no server name")
    return identifier[colon + 1 :]


def split_user_id(user_id: str) -> tuple[str, str]:
    """(localpart, server name). FormatError: not a user id."""
    if not is_user_id(user_id):
        raise FormatError(f"{user_id[:80]!r} is not a user id (@name:server)")
    localpart, _, server_name = user_id[1:].partition(":")
    return localpart, server_name


def is_new_localpart(text: str) -> bool:
    """Whether a new user may have this localpart ("User Identifiers": a-z 0-9 . _ = - / +)."""
    return _localpart(text) is not None
