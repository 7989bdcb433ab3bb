"""A room as it is after years: members on a server each, who came one after the other, changed
their names and talked. The same for the same arguments but for the owner's key.

Signed events as they travel. Made here and not by dtnode.testing's builder, which keeps a state for
every event.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from dtnode.matrix.event_auth import auth_types_for_event
from dtnode.matrix.pdu import Pdu, StateKey, parse_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.signing import sign_event
from dtnode.signer import Signer
from dtnode.testing.rooms_builder import FIRST_TS_MS, signer_for
from tests.benchmarks.made_rooms import text_of

VERSION = ROOM_VERSIONS["12"]
_STATE_SHARE = 0.03  # of the events besides the joins change state: names, topics, levels, notes
_FORKS = 0.05  # of the messages are written at the same time as the one before


class LargeRoom:
    """`events` gives the room's events once, parents first: `size` of them, `members` joins among
    them, spread over its first four fifths. The owner creates the room and is a member.
    `further` then gives one message of another member after the other.
    """

    def __init__(self, owner: Signer, owner_id: str, *, size: int, members: int) -> None:
        self.size = size
        self.members = members
        self._rng = random.Random(f"large {size} {members}")
        self._signers: dict[str, Signer] = {owner_id: owner}
        self._owner_id = owner_id
        self._joined = [owner_id]
        self._state: dict[StateKey, str] = {}
        self._heads: tuple[str, ...] = ()
        self._before_last: tuple[str, ...] = ()
        self._depth = 0
        self._made = 0
        self.room_id = ""
        self.messages = 0

    # --- the events

    def events(self) -> Iterator[bytes]:
        yield from self._beginning()
        waiting = [f"member{number:04}" for number in range(1, self.members)]
        every = max(1, (self.size - self._made) * 4 // 5 // max(1, len(waiting)))
        while self._made < self.size:
            if waiting and (self._made % every == 0 or len(waiting) >= self.size - self._made):
                yield self._join(waiting.pop())
            elif self._rng.random() < _STATE_SHARE:
                yield self._state_change()
            else:
                yield self._message(self._talker())

    def further(self) -> bytes:
        """A message of somebody else, on top of what was made so far."""
        return self._message(self._rng.choice(self._joined[1:]))

    def stand_on(self, event_id: str) -> None:
        """The next event has this one as its only parent: the owner's node sent it."""
        self._heads = self._before_last = (event_id,)
        self._depth += 1

    def _beginning(self) -> Iterator[bytes]:
        owner = self._owner_id
        create = {"room_version": VERSION.identifier}
        yield self._event(owner, "m.room.create", create, "")
        yield self._event(owner, "m.room.member", {"membership": "join"}, owner)
        yield self._event(owner, "m.room.power_levels", {"users_default": 0}, "")
        yield self._event(owner, "m.room.join_rules", {"join_rule": "public"}, "")
        yield self._event(owner, "m.room.history_visibility", {"history_visibility": "shared"}, "")
        yield self._event(owner, "m.room.name", {"name": "The valley"}, "")

    def _join(self, name: str) -> bytes:
        signer = signer_for(name)
        user_id = f"@{name}:{signer.server_name}"
        self._signers[user_id] = signer
        self._joined.append(user_id)
        content = {"membership": "join", "displayname": name.title()}
        return self._event(user_id, "m.room.member", content, user_id)

    def _talker(self) -> str:
        """Half of what is said comes from a tenth of the people."""
        few = max(1, len(self._joined) // 10)
        people = self._joined[:few] if self._rng.random() < 0.5 else self._joined
        return self._rng.choice(people)

    def _message(self, sender: str) -> bytes:
        self.messages += 1
        content = {"msgtype": "m.text", "body": text_of(self._rng)}
        return self._event(sender, "m.room.message", content, None)

    def _state_change(self) -> bytes:
        rng, owner = self._rng, self._owner_id
        kind = rng.random()
        if kind < 0.6:
            who = rng.choice(self._joined)
            content = {"membership": "join", "displayname": text_of(rng)[:20]}
            return self._event(who, "m.room.member", content, who)
        if kind < 0.8:
            return self._event(owner, "m.room.topic", {"topic": text_of(rng)}, "")
        if kind < 0.9:
            levels = {"users_default": 0, "events": {"org.test.note": rng.randrange(50)}}
            return self._event(owner, "m.room.power_levels", levels, "")
        return self._event(owner, "org.test.note", {"text": text_of(rng)}, str(rng.randrange(40)))

    # --- one event

    def _event(
        self, sender: str, type_: str, content: dict[str, Any], state_key: str | None
    ) -> bytes:
        fork = state_key is None and self._rng.random() < _FORKS and len(self._heads) == 1
        fork = fork and self._before_last != self._heads
        parents = self._before_last if fork else self._heads
        json: dict[str, Any] = {
            "type": type_,
            "sender": sender,
            "content": content,
            "prev_events": list(parents),
            "auth_events": [],
            "depth": self._depth + (0 if fork else 1),
            "origin_server_ts": FIRST_TS_MS + 60_000 * self._made,
            "hashes": {"sha256": ""},
            "signatures": {},
        }
        if self.room_id:
            json["room_id"] = self.room_id
        if state_key is not None:
            json["state_key"] = state_key
        json["auth_events"] = self._auth_events(json)
        pdu = parse_pdu(sign_event(json, VERSION, self._signers[sender]), VERSION)
        self.room_id = pdu.room_id
        self._made += 1
        if fork:
            self._heads = (*self._heads, pdu.event_id)
        else:
            # a state event is nobody's sibling: its parents' state stays the room's
            self._before_last = self._heads if state_key is None else (pdu.event_id,)
            self._heads = (pdu.event_id,)
            self._depth += 1
        if state_key is not None:
            self._state[pdu.key] = pdu.event_id
        return pdu.canonical()

    def _auth_events(self, json: dict[str, Any]) -> list[str]:
        draft = Pdu(json, "$draft", VERSION, redacted=False)
        wanted = sorted(auth_types_for_event(draft) - {("m.room.create", "")})
        return [self._state[key] for key in wanted if key in self._state]
