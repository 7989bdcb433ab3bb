"""Who is in a room by one of its states: a table for a state group, derived from the table of the
group before it, so that neither a message nor a membership event costs what a room has members.

Called by dtnode.rooms.state alone; others ask RoomStates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dtnode.store import Store
from dtnode.store.lru import WeighedLru
from dtnode.store.state_groups import EMPTY_GROUP, Delta

_TYPE = "m.room.member"
_CACHED_MEMBERS = 20_000  # entries of all tables together, most shared: about 5 MB at the most
_MAX_STEPS = 200  # deltas applied to a table that is known, before reading anew is cheaper


class Member(NamedTuple):
    """What a membership event says of its user. displayname: its text as it stands, if it is."""

    membership: str | None
    sender: str
    displayname: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """by_user: all that have a membership event, whatever the membership. by_server: the same
    users by server. joined_servers: those with at least one joined member."""

    by_user: Mapping[str, Member]
    by_server: Mapping[str, tuple[str, ...]]
    joined_servers: frozenset[str]


NOBODY = Members(by_user={}, by_server={}, joined_servers=frozenset())


class MemberTables:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: WeighedLru[int, Members] = WeighedLru(_CACHED_MEMBERS, _weight)
        self.generation = 0  # of what a group's number stands for

    def forget(self) -> None:
        self._known.clear()
        self.generation += 1

    def of(self, group: int) -> Members:
        """By the state of a group."""
        deltas: list[Delta] = []
        at = group
        while at != EMPTY_GROUP:
            found = self._known.get(at)
            if found is not None:
                break
            origin = self._store.state_groups.origin(at)
            if origin is None or len(deltas) >= _MAX_STEPS:
                return self._keep(group, self._read(group))
            at, delta = origin
            deltas.append(delta)
        else:
            found = NOBODY
        if not deltas:
            return found
        changed: dict[str, str | None] = {}
        for delta in reversed(deltas):
            changed.update(
                (key, event_id) for (type_, key), event_id in delta.items() if type_ == _TYPE
            )
        return self._keep(group, self._changed(found, changed))

    def _keep(self, group: int, members: Members) -> Members:
        self._known.put(group, members)
        return members

    def _read(self, group: int) -> Members:
        state = self._store.state_groups.state(group)
        ids = {event_id: key for (type_, key), event_id in state.items() if type_ == _TYPE}
        rows = self._store.events.read_fields(ids)
        return _changed(NOBODY, {ids[event_id]: _member(json) for event_id, json in rows})

    def _changed(self, before: Members, changed: Mapping[str, str | None]) -> Members:
        if not changed:
            return before
        users: dict[str, Member | None] = {}
        for user_id, event_id in changed.items():
            users[user_id] = None if event_id is None else self._member_of(event_id)
        return _changed(before, users)

    def _member_of(self, event_id: str) -> Member:
        event = self._store.events.get(event_id)
        assert event is not None, "a state names stored events only"
        return _member(event.pdu.json)


def _member(json: Mapping[str, object]) -> Member:
    content = json["content"]
    assert isinstance(content, dict)
    membership, name = content.get("membership"), content.get("displayname")
    return Member(
        membership=membership if type(membership) is str else None,
        sender=str(json["sender"]),
        displayname=name if type(name) is str else None,
    )


def _changed(before: Members, users: Mapping[str, Member | None]) -> Members:
    """before: with the users given as they are now, None: no membership event any more."""
    by_user = dict(before.by_user)
    by_server = dict(before.by_server)
    for user_id, member in users.items():
        server = _server_of(user_id)
        if member is None:
            by_user.pop(user_id, None)
            by_server[server] = tuple(u for u in by_server.get(server, ()) if u != user_id)
            continue
        if user_id not in by_user:
            by_server[server] = (*by_server.get(server, ()), user_id)
        by_user[user_id] = member
    concerned = {_server_of(user_id) for user_id in users}
    joined = _joined(concerned, by_server, by_user)
    servers = before.joined_servers
    if joined != servers & concerned:
        servers = (servers - concerned) | joined
    return Members(by_user=by_user, by_server=by_server, joined_servers=servers)


def _joined(
    servers: Iterable[str],
    by_server: Mapping[str, tuple[str, ...]],
    by_user: Mapping[str, Member],
) -> frozenset[str]:
    return frozenset(
        server
        for server in servers
        if any(by_user[user_id].membership == "join" for user_id in by_server.get(server, ()))
    )


def _server_of(user_id: str) -> str:
    """Also of what is no user id: anything can be banned."""
    return user_id.partition(":")[2]


def _weight(members: Members) -> int:
    return 1 + len(members.by_user)


def is_removal(user_id: str, member: Member) -> bool:
    """Whether it is a kick, ban, unban or revoked invite: done by somebody else."""
    return member.membership in ("leave", "ban") and member.sender != user_id
