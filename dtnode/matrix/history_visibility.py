"""Whether a server may read an event (client-server API, "Room History Visibility").

A pure rule; rooms look up the state, sync sends what may not be read in redacted form.
"""

from __future__ import annotations

from collections.abc import Mapping

from dtnode.matrix.pdu import Pdu

VISIBILITIES = frozenset({"world_readable", "shared", "invited", "joined"})
DEFAULT_VISIBILITY = "shared"


def visibility_of(event: Pdu | None) -> str:
    """What an m.room.history_visibility event says; "shared" without a usable one."""
    visibility = event.content.get("history_visibility") if event is not None else None
    if type(visibility) is str and visibility in VISIBILITIES:
        return visibility
    return DEFAULT_VISIBILITY


def server_may_read(
    pdu: Pdu, server_name: str, *, visibility: str, memberships: Mapping[str, str]
) -> bool:
    """Whether `server_name` may get `pdu` unredacted, by the state after the event.

    visibility, memberships: in the state before it; memberships (user id -> membership) of at
    least the users of that server. The event's own effect on either is added here, as Synapse's
    filter for servers has it: a server gets the event that lets it in, and not the redactable part
    of the one that removes its last user. pdu is an accepted event.
    """
    if pdu.type == "m.room.history_visibility" and pdu.state_key == "":
        visibility = visibility_of(pdu)
    if visibility not in ("invited", "joined"):
        return True
    own = {user: m for user, m in memberships.items() if _is_of(user, server_name)}
    if pdu.type == "m.room.member" and pdu.state_key and _is_of(pdu.state_key, server_name):
        own[pdu.state_key] = pdu.membership or "leave"
    enough = {"join", "invite"} if visibility == "invited" else {"join"}
    return any(membership in enough for membership in own.values())


def _is_of(user_id: str, server_name: str) -> bool:
    return user_id.partition(":")[2] == server_name
