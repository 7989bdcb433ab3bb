"""Branches of one room to resolve: unsigned events, made for dtnode.matrix alone.

A room with members, a tenth of them moderators by name in the power levels, splits; each side
writes state for itself: mostly room state of moderators (all sides the same keys, half of the
time), some profile changes and kicks, and a power levels change in every ten events.
"""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from dtnode.matrix.event_auth import auth_types_for_event
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.store.auth_chains import AuthChainTable
from dtnode.store.database import Database

State = dict[StateKey, str]
ALICE = "@alice:a.test"


@dataclass
class Conflict:
    """An EventSource with states to resolve, and the store's index of their auth chains, in memory.
    looked_up: how many events and rows of the index were asked for."""

    version: RoomVersion
    events: dict[str, Pdu] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    looked_up: int = 0
    _room_id: str = "!room:a.test"

    def __post_init__(self) -> None:
        self._ids: list[str] = []
        self._chains = AuthChainTable(Database(None), self, self._ids.__getitem__)

    def event(self, event_id: str, /) -> Pdu:
        self.looked_up += 1
        return self.events[event_id]

    def rejected(self, event_id: str, /) -> bool:
        return False

    def order(self, event_id: str, /) -> int:
        return self.orders[event_id]

    def chains_of(self, event_ids: Iterable[str], /) -> Mapping[str, int]:
        wanted = list(event_ids)
        self.looked_up += len(wanted)
        return self._chains.chains_of(wanted)

    def links(self, chain: int, upto: int, /) -> list[tuple[int, int]]:
        found = self._chains.links(chain, upto)
        self.looked_up += 1 + len(found)
        return found

    def first(self, chain: int, /) -> str:
        self.looked_up += 1
        return self._chains.first(chain)

    @property
    def conflicted(self) -> int:
        """Events that the states name for keys on which they differ."""
        keys = {key for state in self.states for key in state}
        named = [{state.get(key) for state in self.states} for key in keys]
        return sum(len(ids - {None}) for ids in named if len(ids) > 1)

    def add(self, state: State, sender: str, type_: str, key: str, content: dict[str, Any]) -> None:
        json: dict[str, Any] = {
            "type": type_,
            "sender": sender,
            "state_key": key,
            "content": content,
            "room_id": self._room_id,
            "prev_events": [],
            "auth_events": [],
            "depth": 1,
            "origin_server_ts": 1_700_000_000_000 + len(self.events),
        }
        wanted = auth_types_for_event(Pdu(json, "$draft", self.version, redacted=False))
        if self.version.room_id_is_create_hash:
            wanted -= {("m.room.create", "")}
        json["auth_events"] = [state[name] for name in sorted(wanted) if name in state]
        digest = sha256(f"{len(self.events)}".encode()).digest()
        event_id = "$" + urlsafe_b64encode(digest).decode().rstrip("=")
        if type_ == "m.room.create" and self.version.room_id_is_create_hash:
            self._room_id = "!" + event_id[1:]
        self.orders[event_id] = len(self.events)
        pdu = self.events[event_id] = Pdu(json, event_id, self.version, redacted=False)
        self._ids.append(event_id)
        self._chains.cover(pdu.auth_event_ids)
        state[type_, key] = event_id


def two_branches(version_id: str, members: int, written: int) -> Conflict:
    """`written` state events after the split, half of them on each side."""
    return branches(version_id, members, written)


def branches(
    version_id: str, members: int, written: int, sides: int = 2, history: int = 0
) -> Conflict:
    """`written` state events after the split, in turn on each of `sides`; `history` of the same
    kinds before it."""
    conflict = Conflict(version=ROOM_VERSIONS[version_id])
    people = [f"@member{number:04}:{'abcde'[number % 5]}.test" for number in range(members - 1)]
    moderators = people[::10]
    common = _beginning(conflict, people, moderators)
    rng = random.Random(f"{version_id} {members} {written}")
    for number in range(history):
        _write(conflict, common, (0, number), rng, moderators, people)
    conflict.states = [dict(common) for _ in range(sides)]
    for number in range(written):
        turn, side = divmod(number, sides)
        _write(conflict, conflict.states[side], (side, turn), rng, moderators, people)
    return conflict


def _beginning(conflict: Conflict, people: list[str], moderators: list[str]) -> State:
    common: State = {}
    creator = {} if conflict.version.implicit_room_creator else {"creator": ALICE}
    conflict.add(
        common, ALICE, "m.room.create", "", {"room_version": conflict.version.identifier, **creator}
    )
    conflict.add(common, ALICE, "m.room.member", ALICE, {"membership": "join"})
    levels: dict[str, Any] = {"users": dict.fromkeys(moderators, 50), "events": {}}
    if not conflict.version.privileged_creators:
        levels["users"][ALICE] = 100
    conflict.add(common, ALICE, "m.room.power_levels", "", levels)
    conflict.add(common, ALICE, "m.room.join_rules", "", {"join_rule": "public"})
    for person in people:
        conflict.add(common, person, "m.room.member", person, {"membership": "join"})
    return common


def _write(
    conflict: Conflict,
    state: State,
    place: tuple[int, int],
    rng: random.Random,
    moderators: list[str],
    people: list[str],
) -> None:
    """place: (side, how many this side has written before)"""
    side, number = place
    moderator = rng.choice(moderators)
    if number % 10 == 0:
        levels = conflict.events[state["m.room.power_levels", ""]].content
        events = {**levels["events"], f"org.test.{rng.randrange(20)}": rng.randrange(50)}
        conflict.add(state, ALICE, "m.room.power_levels", "", {**levels, "events": events})
    elif number % 10 == 1:
        person = rng.choice(people)
        membership = "join" if person in moderators or rng.random() < 0.5 else "leave"
        sender = person if membership == "join" else moderator
        content = {"membership": membership, "displayname": f"{number}"}
        conflict.add(state, sender, "m.room.member", person, content)
    else:
        key = f"{number}" if number % 2 else f"{side} {number}"
        conflict.add(state, moderator, "org.test.item", key, {"text": f"item {number}"})
