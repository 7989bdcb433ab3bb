"""What events of a hostile room say: drafts with sender, type, state key and content.

No parents, hashes or signatures: the generator adds those, mischief.py spoils them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from nacl.signing import SigningKey

from tests.hostile.literal import LiteralRoom
from tests.hostile.literal_events import Json, canonical, domain, unpadded
from tests.hostile.literal_resolution import State

NAMED = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")


@dataclass
class Draft:
    """top_level: more keys of the event. co_signers: servers that sign beside the sender's."""

    sender: str
    type: str
    state_key: str | None
    content: Json
    top_level: Json = field(default_factory=dict)
    co_signers: list[str] = field(default_factory=list)

    def signers(self) -> list[str]:
        return [domain(self.sender), *self.co_signers]


class Contents:
    """users: everybody who ever writes in the room; the first one made it."""

    def __init__(
        self, rng: random.Random, n: int, users: list[str], invite_key: SigningKey
    ) -> None:
        self.rng = rng
        self.n = n
        self.users = users
        self.invite_key = invite_key
        self._tokens = 0

    # --- the beginning

    def create(self, founder: str) -> Json:
        content: Json = {"room_version": str(self.n)}
        if self.n <= 10:
            content["creator"] = founder
        if self.n >= 12 and self.rng.random() < 0.4:
            content["additional_creators"] = self.rng.sample(self.users, self.rng.randint(0, 2))
        return content

    def first_levels(self, founder: str) -> Json:
        levels: Json = {"users": {} if self.n >= 12 else {founder: 100}, "users_default": 0}
        for user in self.rng.sample(self.users[1:], min(len(self.users) - 1, 3)):
            levels["users"][user] = self.rng.choice((0, 25, 50, 50, 100))
        if self.rng.random() < 0.4:
            levels[self.rng.choice(NAMED)] = self.rng.choice((0, 25, 50, 100))
        if self.rng.random() < 0.3:
            levels["events"] = {"m.room.power_levels": self.rng.choice((25, 50, 100))}
        return levels

    def join_rule(self) -> str:
        return self.rng.choice(
            ("public", "public", "invite", "knock", "restricted", "knock_restricted")
        )

    # --- any event

    def draft(self, room: LiteralRoom, state: State, mood: str) -> Draft:
        kinds = {
            self.message: 6 if mood == "talk" else 1,
            self.plain_state: 5 if mood == "state" else 3,
            self.join: 4,
            self.leave: 1,
            self.invite: 2,
            self.kick_or_ban: 3,
            self.unban: 1,
            self.knock: 1,
            self.power_levels: 15 if mood == "power" else 4,
            self.join_rules: 2,
            self.redaction: 1,
            self.third_party_token: 0.7,
            self.third_party_invite: 0.7,
            self.server_acl: 0.2,
            self.odd_membership: 0.4,
            self.odd_levels: 0.5,
        }
        make = self.rng.choices(list(kinds), list(kinds.values()))[0]
        return make(room, state)

    def member(self, room: LiteralRoom, state: State) -> str:
        """Somebody in the room, often with power; or anybody."""
        joined = [
            key[1]
            for key, event_id in state.items()
            if key[0] == "m.room.member" and room.events[event_id].membership == "join"
        ]
        if not joined or self.rng.random() < 0.05:
            return self.rng.choice(self.users)
        if self.users[0] in joined and self.rng.random() < 0.3:
            return self.users[0]
        return self.rng.choice(sorted(joined))

    def anybody(self) -> str:
        return self.rng.choice(self.users)

    def content_in(self, room: LiteralRoom, state: State, type_: str) -> Json:
        event_id = state.get((type_, ""))
        return dict(room.events[event_id].content) if event_id else {}

    def message(self, room: LiteralRoom, state: State) -> Draft:
        body = f"hello {self.rng.randrange(10**9)} ☃ \u2028 🦀"
        return Draft(self.member(room, state), "m.room.message", None, {"body": body})

    def plain_state(self, room: LiteralRoom, state: State) -> Draft:
        sender = self.member(room, state)
        type_ = self.rng.choice(
            (
                "m.room.topic",
                "m.room.name",
                "test.state",
                "m.room.history_visibility",
                "m.room.aliases",
            )
        )
        key = self.rng.choice(("", "", "", sender, self.anybody(), "x", "@", domain(sender)))
        content: Json = {"n": self.rng.randrange(5), type_.split(".")[-1]: "shared"}
        return Draft(sender, type_, key, content)

    # --- membership

    def membership(self, sender: str, target: str, membership: str, **more: Any) -> Draft:
        content = {"membership": membership, "reason": str(self.rng.randrange(10**6)), **more}
        return Draft(sender, "m.room.member", target, content)

    def join(self, room: LiteralRoom, state: State) -> Draft:
        user = self.anybody()
        draft = self.membership(user, user, "join")
        rule = self.content_in(room, state, "m.room.join_rules").get("join_rule")
        if self.rng.random() < (0.9 if rule in ("restricted", "knock_restricted") else 0.1):
            authoriser = self.member(room, state)
            draft.content["join_authorised_via_users_server"] = authoriser
            draft.co_signers.append(domain(authoriser))
        return draft

    def leave(self, room: LiteralRoom, state: State) -> Draft:
        user = self.member(room, state)
        return self.membership(user, user, "leave")

    def invite(self, room: LiteralRoom, state: State) -> Draft:
        return self.membership(self.member(room, state), self.anybody(), "invite")

    def kick_or_ban(self, room: LiteralRoom, state: State) -> Draft:
        kind = self.rng.choice(("leave", "ban"))
        return self.membership(self.member(room, state), self.anybody(), kind)

    def unban(self, room: LiteralRoom, state: State) -> Draft:
        banned = [
            key[1]
            for key, event_id in state.items()
            if key[0] == "m.room.member" and room.events[event_id].membership == "ban"
        ]
        target = self.rng.choice(sorted(banned)) if banned else self.anybody()
        return self.membership(self.member(room, state), target, "leave")

    def knock(self, room: LiteralRoom, state: State) -> Draft:
        user = self.anybody()
        return self.membership(user, user, "knock")

    def odd_membership(self, room: LiteralRoom, state: State) -> Draft:
        user = self.member(room, state)
        draft = self.membership(user, user, "join")
        match self.rng.randrange(6):
            case 0:
                del draft.content["membership"]
            case 1:
                draft.content["membership"] = self.rng.choice(("dance", 5, None, ["join"]))
            case 2:
                draft.state_key = None
            case 3:
                draft.state_key = self.rng.choice(("", "x", "@nobody", ":s0.test"))
                draft.content["membership"] = self.rng.choice(("invite", "ban", "leave", "join"))
            case 4:
                draft.content["join_authorised_via_users_server"] = self.rng.choice(
                    (5, None, "x", "@ghost:nowhere.test", ["@a0:s0.test"])
                )
            case _:
                draft.sender, draft.state_key = user, self.anybody()
        return draft

    # --- third-party invites

    def third_party_token(self, room: LiteralRoom, state: State) -> Draft:
        self._tokens += 1
        key = unpadded(bytes(self.invite_key.verify_key))
        other = unpadded(bytes(32))
        content: Json = self.rng.choice(
            (
                {"public_key": key},
                {"public_key": other, "public_keys": [{"public_key": key}]},
                {"public_keys": [{"public_key": key}, {"public_key": other}]},
                {"public_keys": [{"public_key": key}, self.odd_key()]},
                {"public_key": other, "public_keys": [self.odd_key(), {"public_key": key}]},
                {"public_key": key, "public_keys": self.rng.choice((None, 5, "x", {}, {"a": 1}))},
                {"public_key": other},
                {"display_name": "nobody"},
            )
        )
        token = self.rng.choice(("t0", "t1", f"t{self._tokens}"))
        return Draft(self.member(room, state), "m.room.third_party_invite", token, content)

    def odd_key(self) -> Any:
        odd: list[Any] = [None, 5, "", "A", "!" * 43, "A" * 42, "A" * 43 + "=", [], {}]
        return self.rng.choice(({"public_key": self.rng.choice(odd)}, self.rng.choice(odd)))

    def third_party_invite(self, room: LiteralRoom, state: State) -> Draft:
        tokens = sorted(key[1] for key in state if key[0] == "m.room.third_party_invite")
        token = self.rng.choice(tokens) if tokens else "t0"
        issued = state.get(("m.room.third_party_invite", token))
        sender = room.events[issued].sender if issued else self.member(room, state)
        target = self.anybody()
        signed: Json = {"mxid": target, "token": token}
        signature = self.invite_key.sign(canonical(signed)).signature
        signed["signatures"] = {"id.test": {"ed25519:0": unpadded(signature)}}
        invite: Json = {"display_name": "somebody", "signed": signed}
        match self.rng.randrange(13):
            case 12:
                blocks: Json = signed["signatures"]
                server = self.rng.choice(("a.test", "id.test", "z.test"))
                wrong: Any = self.rng.choice(
                    ({}, {"x": 5}, {"ed25519:z": unpadded(bytes(64))}, "x", None)
                )
                blocks[server] = {**blocks["id.test"], **wrong} if type(wrong) is dict else wrong
            case 0:
                signed["mxid"] = self.anybody()
            case 1:
                signed["signatures"] = {"id.test": {"ed25519:0": unpadded(bytes(64))}}
            case 2:
                del invite["signed"]
            case 3:
                del signed[self.rng.choice(("mxid", "token", "signatures"))]
            case 4:
                sender = self.member(room, state)
            case 5:
                signed["token"] = self.rng.choice(("elsewhere", 5))
        draft = self.membership(sender, target, "invite", third_party_invite=invite)
        if self.rng.random() < 0.3:
            draft.co_signers = [domain(target)]
        return draft

    # --- rules of the room

    def power_levels(self, room: LiteralRoom, state: State) -> Draft:
        levels = self.content_in(room, state, "m.room.power_levels")
        for name in ("users", "events", "notifications"):
            if name in levels:
                found = levels[name]
                levels[name] = dict(found) if isinstance(found, dict) else {}
        value = self.rng.choice((0, 10, 25, 49, 50, 50, 99, 100))
        users = levels.setdefault("users", {})
        match self.rng.randrange(8):
            case 0:
                levels[self.rng.choice(NAMED)] = value
            case 1:
                levels.pop(self.rng.choice(NAMED), None)
            case 2:
                type_ = self.rng.choice(("m.room.power_levels", "m.room.message", "test.state"))
                levels.setdefault("events", {})[type_] = value
            case 3:
                levels.setdefault("notifications", {})["room"] = value
            case 4 if users:
                users.pop(self.rng.choice(sorted(users)))
            case _:
                users[self.anybody()] = value
        return Draft(self.member(room, state), "m.room.power_levels", "", levels)

    def odd_levels(self, room: LiteralRoom, state: State) -> Draft:
        draft = self.power_levels(room, state)
        levels = draft.content
        odd: list[Any] = ["50", " +0050 ", "-5", -5, 2**53 - 1, -(2**53) + 1]
        odd += [None, True, "fifty", [], {}, "", "0x10", [0], [1, 5], ["room"]]
        odd += ["5_0", "\u00a0\u0665\u0660\u3000", "\x1f50"]  # the first two are 50
        if self.n <= 5:
            odd += [50.5, -0.5, 10**30, 1e300]
        value = self.rng.choice(odd)
        match self.rng.randrange(7):
            case 0:
                levels[self.rng.choice(NAMED)] = value
            case 1:
                levels["users"] = {**levels.get("users", {}), self.anybody(): value}
            case 2:
                key = self.rng.choice(("m.room.message", "m.room.redaction", "", "state_default"))
                levels["events"] = {key: value}
            case 3:
                user = self.rng.choice(("nobody", "@nobody", "", "s0.test"))
                levels["users"] = {**levels.get("users", {}), user: 1}
            case 4:
                draft.state_key = self.rng.choice((None, "x", draft.sender))
            case 5:
                levels[self.rng.choice(("users", "events", "notifications"))] = value
            case _:
                draft.content = {}
        return draft

    def join_rules(self, room: LiteralRoom, state: State) -> Draft:
        content: Json = {"join_rule": self.join_rule()}
        match self.rng.randrange(12):
            case 0:
                content = {}
            case 1:
                content["join_rule"] = self.rng.choice((None, "private", 5, ["public"]))
            case 2:
                content["allow"] = [{"type": "m.room_membership", "room_id": "!x:s0.test"}]
        return Draft(self.member(room, state), "m.room.join_rules", "", content)

    def server_acl(self, room: LiteralRoom, state: State) -> Draft:
        content: Json = {"allow": ["*"], "deny": [f"S{self.rng.randrange(5)}.t?st"]}
        if self.rng.random() < 0.2:
            content = self.rng.choice(({}, {"allow": ["s0.*"]}, {"allow": "*"}, {"deny": ["*"]}))
        return Draft(self.member(room, state), "m.room.server_acl", "", content)

    def redaction(self, room: LiteralRoom, state: State) -> Draft:
        target = self.rng.choice(list(room.events))
        draft = Draft(self.member(room, state), "m.room.redaction", None, {"reason": "x"})
        (draft.content if self.n >= 11 else draft.top_level)["redacts"] = target
        return draft
