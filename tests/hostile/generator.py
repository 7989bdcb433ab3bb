"""Random hostile rooms, each from a seed: several servers that write apart, merge and misbehave.

`generate(seed, version)` gives a room file in the format of tests/vectors/README.md. The literal
implementation says, while the room grows, which state an event would have before it, so that most
events are plausible; a share of them, different in every room, is not (mischief.py). Called by the
tests and by `python -m tests.hostile`.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nacl.signing import SigningKey

from tests.hostile import mischief
from tests.hostile.contents import Contents, Draft
from tests.hostile.literal import LiteralRoom, Record
from tests.hostile.literal_auth import auth_types
from tests.hostile.literal_events import (
    Event,
    Json,
    content_hash,
    make_event,
    signed_part,
    unpadded,
)
from tests.hostile.literal_levels import Rejected
from tests.hostile.literal_resolution import State

KEY_ID = "ed25519:k1"
EPOCH_MS = 1_700_000_000_000


@dataclass(frozen=True)
class HostileRoom:
    """lines: the room file, the header first, parents before children. room, records: what the
    literal implementation says of it, by line."""

    seed: int
    version: str
    lines: list[bytes]
    room: LiteralRoom
    records: list[Record]

    def file(self) -> bytes:
        return b"\n".join(self.lines) + b"\n"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What kind of room: how many events, servers and servers' views; the shares of events that are
    implausible or spoilt (mischief), that build on anything in the past, and that bring a view up
    to date; how clocks go, what people mostly do, and whether a server has a port in its name."""

    events: int
    servers: int
    users_per_server: int
    views: int
    implausible: float
    mischief: float
    merge: float
    anywhere: float
    times: str
    federate: bool
    mood: str
    port: bool

    @staticmethod
    def of(rng: random.Random) -> Profile:
        return Profile(
            events=rng.choice((50, 80, 120, 120, 180, 300)),
            servers=rng.randint(2, 5),
            users_per_server=rng.randint(1, 3),
            views=rng.randint(1, 5),
            implausible=rng.choice((0.02, 0.1, 0.3)),
            mischief=rng.choice((0.0, 0.05, 0.15, 0.3)),
            merge=rng.choice((0.05, 0.15, 0.4)),
            anywhere=rng.choice((0.0, 0.05, 0.2)),
            times=rng.choice(("forward", "ties", "random", "backward")),
            federate=rng.random() > 0.05,
            mood=rng.choice(("talk", "talk", "talk", "state", "power")),
            port=rng.random() < 0.2,
        )


@dataclass
class Maker:
    """A room being made. `room` judges every line as it is written. views: what each group of
    servers would build on."""

    seed: int
    version: str
    rng: random.Random
    profile: Profile
    lines: list[bytes] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    views: list[set[str]] = field(default_factory=list)
    clock: int = 0

    def __post_init__(self) -> None:
        self.n = int(self.version)
        names = [f"s{i}.test" for i in range(self.profile.servers)]
        if self.profile.port:
            names[-1] += ":8448"
        self.keys = {name: self._key(name) for name in names}
        self.users = [
            f"@{letter}{i}:{name}"
            for i, name in enumerate(names)
            for letter in "abc"[: self.profile.users_per_server]
        ]
        self.room = LiteralRoom(
            self.n,
            {(name, KEY_ID): bytes(key.verify_key) for name, key in self.keys.items()},
        )
        self.invite_key = self._key("identity server")
        self.contents = Contents(self.rng, self.n, self.users, self.invite_key)
        self.room_id: str | None = None if self.n >= 12 else f"!h{self.seed}:{names[0]}"

    def _key(self, name: str) -> SigningKey:
        return SigningKey(hashlib.sha256(f"{self.seed} {name}".encode()).digest())

    # --- from drafts to lines

    def finish(
        self, draft: Draft, parents: Sequence[str], auth: Sequence[str], ts: int | None = None
    ) -> Json:
        """The draft as a signed PDU."""
        depths = [self.room.events[p].json["depth"] for p in parents if p in self.room.events]
        pdu: Json = {
            "auth_events": list(auth),
            "content": draft.content,
            "depth": min(max(depths, default=0) + 1, 2**53 - 1),
            "origin_server_ts": self._next_time() if ts is None else ts,
            "prev_events": list(parents),
            "sender": draft.sender,
            "type": draft.type,
            **draft.top_level,
        }
        if draft.state_key is not None:
            pdu["state_key"] = draft.state_key
        if self.room_id is not None:
            pdu["room_id"] = self.room_id
        return self.sign(pdu, draft.signers())

    def sign(self, pdu: Json, servers: Sequence[str]) -> Json:
        """Hashes, then signs for those of the servers that there are."""
        pdu = {key: value for key, value in pdu.items() if key not in ("hashes", "signatures")}
        pdu["hashes"] = {"sha256": unpadded(content_hash(pdu))}
        return self.sign_again(pdu, servers)

    def sign_again(self, pdu: Json, servers: Sequence[str]) -> Json:
        """As `sign`, but whatever hashes the PDU has stay."""
        message = signed_part({**pdu, "signatures": {}}, self.n)
        signatures = {
            server: {KEY_ID: unpadded(self.keys[server].sign(message).signature)}
            for server in servers
            if server in self.keys
        }
        return {**pdu, "signatures": signatures}

    def _next_time(self) -> int:
        self.clock += self.rng.choice((0, 1, 5, 1000))
        match self.profile.times:
            case "forward":
                return EPOCH_MS + self.clock
            case "ties":
                return EPOCH_MS + self.clock // 5000
            case "backward":
                return EPOCH_MS - self.clock
        return EPOCH_MS + self.rng.randrange(100_000)

    def write(self, pdu: Mapping[str, Any]) -> Record:
        """A line of JSON (not canonical), judged at once."""
        return self.write_line(json.dumps(pdu, ensure_ascii=self.rng.random() < 0.5).encode())

    def write_line(self, line: bytes) -> Record:
        self.lines.append(line)
        record = self.room.receive(line)
        self.records.append(record)
        return record

    # --- what to build on

    def pick_parents(self, view: set[str]) -> list[str]:
        known = list(self.room.events)
        if self.rng.random() < self.profile.anywhere:
            most = self.rng.choice((1, 2, 5, 20))
            return self.rng.sample(known, min(most, len(known)))
        parents = sorted(view)
        self.rng.shuffle(parents)
        return parents[: self.rng.choice((1, 3, 10, 20, 20, 20))]

    def auth_events_in(self, draft: Draft, state: State) -> list[str]:
        """The auth events selection. The state before isn't needed for the version's create event
        where the room id implies it."""
        event = self.as_event(draft, ["$"], [])
        chosen = [
            state[key]
            for key in sorted(auth_types(event, self.n))
            if key in state and (self.n <= 11 or key[0] != "m.room.create")
        ]
        self.rng.shuffle(chosen)
        return chosen

    def as_event(self, draft: Draft, parents: Sequence[str], auth: Sequence[str]) -> Event:
        """Unsigned, for a look at the rules."""
        pdu: Json = {
            "type": draft.type,
            "sender": draft.sender,
            "content": draft.content,
            "prev_events": list(parents),
            "auth_events": list(auth),
            "room_id": self.room_id or self.room.room_id,
        }
        if draft.state_key is not None:
            pdu["state_key"] = draft.state_key
        return make_event(pdu, "$unsigned", self.n, redacted=False)

    def is_plausible(self, draft: Draft, parents: Sequence[str], state: State) -> bool:
        try:
            self.room.check_in(self.as_event(draft, parents, []), state)
        except Rejected:
            return False
        return True

    # --- the room

    def start(self) -> None:
        """Create event, the creator's join and, mostly, power levels and join rules."""
        rng = self.rng
        founder = self.users[0]
        create = Draft(founder, "m.room.create", "", self.contents.create(founder))
        if not self.profile.federate:
            create.content["m.federate"] = rng.choice((False, "true"))
        if rng.random() < 0.01:
            create.content["room_version"] = "99"  # all of this room is rejected
        record = self.write(self.finish(create, [], []))
        assert record.event_id is not None
        if self.n >= 12:
            self.room_id = "!" + record.event_id[1:]
        tip = [record.event_id]
        drafts = [Draft(founder, "m.room.member", founder, {"membership": "join"})]
        if rng.random() < 0.9:
            drafts.append(
                Draft(founder, "m.room.power_levels", "", self.contents.first_levels(founder))
            )
        if rng.random() < 0.9:
            rule = {"join_rule": rng.choice(("public", "public", self.contents.join_rule()))}
            drafts.append(Draft(founder, "m.room.join_rules", "", rule))
        if rng.random() < 0.7:
            drafts += [
                Draft(user, "m.room.member", user, {"membership": "join"})
                for user in self.users[1:]
            ]
        for draft in drafts:
            auth = self.auth_events_in(draft, self.room.state_over(tip))
            record = self.write(self.finish(draft, tip, auth))
            if record.verdict == "accepted" and record.event_id is not None:
                tip = [record.event_id]
        self.views = [set(tip) for _ in range(self.profile.views)]

    def step(self) -> None:
        """One more event, in one of the views."""
        rng = self.rng
        at = rng.randrange(len(self.views))
        if rng.random() < self.profile.merge:
            self.views[at] |= rng.choice(self.views)
        view = self.views[at]
        parents = self.pick_parents(view)
        state = self.room.state_over(parents)
        draft = self._draft(parents, state)
        auth = self.auth_events_in(draft, state)
        if rng.random() < self.profile.mischief:
            written = rng.choice(mischief.ALL)(self, draft, parents, auth, state)
        else:
            written = [self.write(self.finish(draft, parents, auth))]
        for record in written:
            keeps = record.verdict == "accepted" or rng.random() < 0.1
            if record.event_id in self.room.events and keeps:
                view -= set(parents)
                view.add(str(record.event_id))

    def _draft(self, parents: Sequence[str], state: State) -> Draft:
        """A plausible event if a few tries give one."""
        draft = self.contents.draft(self.room, state, self.profile.mood)
        if self.rng.random() >= self.profile.implausible:
            for _ in range(8):
                if self.is_plausible(draft, parents, state):
                    break
                draft = self.contents.draft(self.room, state, self.profile.mood)
        return draft

    def room_file(self) -> HostileRoom:
        header = {
            "key_id": KEY_ID,
            "room_version": self.version,
            "seed": self.seed,
            "servers": {n: unpadded(bytes(k.verify_key)) for n, k in self.keys.items()},
        }
        lines = [json.dumps(header).encode(), *self.lines]
        return HostileRoom(self.seed, self.version, lines, self.room, self.records)


def generate(seed: int, version: str) -> HostileRoom:
    rng = random.Random(f"{version} {seed}")
    maker = Maker(seed, version, rng, Profile.of(rng))
    maker.start()
    while len(maker.lines) < maker.profile.events:
        maker.step()
    return maker.room_file()
