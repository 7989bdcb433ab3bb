"""The name of a room that has none: after its members (client-server API, "Calculating the display
name for a room"), and the figures that clients make it from.

Pure; dtnode.rooms.names brings the members and what they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

MAX_HEROES = 5  # "Room summary": the first 5 members


@dataclass(frozen=True, slots=True, kw_only=True)
class Heroes:
    """user_ids: of the first members beside this node's user, joined or invited ones; where there
    is none, of those who left or were banned. others: how many more there are of that kind. joined,
    invited: members in all."""

    user_ids: tuple[str, ...]
    others: int
    joined: int
    invited: int


def heroes_of(
    memberships: Mapping[str, str | None], own_user_id: str, order: Callable[[str], int]
) -> Heroes:
    """memberships: of everyone with a membership event. order: user id -> when it came here."""
    present = [user for user, what in memberships.items() if what in ("join", "invite")]
    gone = [user for user, what in memberships.items() if what in ("leave", "ban")]
    found: list[str] = []
    for users in (present, gone):
        found = [user for user in users if user != own_user_id]
        if found:
            break
    first = nsmallest(MAX_HEROES, found, key=lambda user: (order(user), user))
    states = list(memberships.values())
    return Heroes(
        user_ids=tuple(first),
        others=len(found) - len(first),
        joined=states.count("join"),
        invited=states.count("invite"),
    )


def name_after(heroes: Heroes, called: Mapping[str, str]) -> str:
    """called: user id -> display name, told apart from equal ones."""
    names = [called.get(user_id, user_id) for user_id in heroes.user_ids]
    if heroes.others:
        names.append(f"{heroes.others} other{'s' if heroes.others > 1 else ''}")
    text = _listed(names)
    if heroes.joined + heroes.invited > 1:
        return text
    return f"Empty Room (was {text})" if text else "Empty Room"


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 2:
        return " and ".join(names)
    return ", ".join(names[:-1]) + f", and {names[-1]}"
