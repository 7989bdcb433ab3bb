"""Who may come in by which join rule, as this node's own copies of rooms show it.

The authorisation rules themselves are dtnode.matrix.membership_rules; this is what a card, a knock
or a co-signature needs beside them. Plain functions over the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dtnode.errors import AuthRuleError
from dtnode.matrix.membership_rules import AuthState
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import RoomVersion
from dtnode.rooms.state import RoomStates, StateLookup
from dtnode.store import RoomKind, Store

RESTRICTED = frozenset({"restricted", "knock_restricted"})
KNOCK = frozenset({"knock", "knock_restricted"})
MAX_AUTHORISERS = 10  # members named in a card who may let people in; one in reach is enough


def join_rule(version: RoomVersion, look: StateLookup) -> str:
    """The rule in force; "invite" where there is none, or one that this room version doesn't
    know."""
    event = look("m.room.join_rules", "")
    rule = None if event is None else event.content.get("join_rule")
    return rule if isinstance(rule, str) and rule in version.join_rules else "invite"


def allowed_rooms(look: StateLookup) -> Iterator[str]:
    """Ids of the rooms whose members a restricted room lets in (client-server API, "Restricted
    rooms")."""
    event = look("m.room.join_rules", "")
    allow = None if event is None else event.content.get("allow")
    for entry in allow if type(allow) is list else ():
        if type(entry) is dict and entry.get("type") == "m.room_membership":
            room_id = entry.get("room_id")
            if type(room_id) is str:
                yield room_id


def lets_user_in(store: Store, states: RoomStates, look: StateLookup, user_id: str) -> bool:
    """Whether the user is joined to one of the allowed rooms, by a complete copy of it here."""
    return any(
        states.membership(group, user_id) == "join" for group in _allowed_groups(store, look)
    )


def lets_server_in(store: Store, states: RoomStates, look: StateLookup, server: str) -> bool:
    """Whether any user of the server is."""
    return any(
        server in states.joined_servers(group) and states.acl_allows(group, server)
        for group in _allowed_groups(store, look)
    )


def _allowed_groups(store: Store, look: StateLookup) -> Iterator[int]:
    for room_id in allowed_rooms(look):
        room = store.rooms.get(room_id)
        if room is not None and room.kind is RoomKind.COMPLETE:
            yield room.current_group


def authorisers(look: StateLookup, members: Mapping[str, Pdu], first: str) -> list[str]:
    """Joined members with the power to invite, at most MAX_AUTHORISERS: `first`, if it is one, then
    those who joined last."""
    create = look("m.room.create", "")
    if create is None:
        return []
    power_levels = look("m.room.power_levels", "")
    auth = AuthState(
        create=create,
        power_levels=None if power_levels is None else power_levels.power_levels,
        lookup=look,
    )
    joined = [(user, event) for user, event in members.items() if event.membership == "join"]
    joined.sort(key=lambda item: (item[0] != first, -item[1].depth, item[0]))
    return _with_power(auth, (user for user, _ in joined))


def _with_power(auth: AuthState, user_ids: Iterable[str]) -> list[str]:
    found: list[str] = []
    for user_id in user_ids:
        try:
            auth.check_power(user_id, "invite", "to let people in")
        except AuthRuleError:
            continue
        found.append(user_id)
        if len(found) == MAX_AUTHORISERS:
            break
    return found
