"""A room made by hand for the tests of this folder: events that nobody checked, and their states.

States are over the parents as `resolve` gives them; events may break any rule on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from dtnode.errors import AuthRuleError
from dtnode.matrix.event_auth import (
    auth_types_for_event,
    check_state_dependent_auth_rules,
)
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import Pdu, StateKey, parse_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.matrix.signing import sign_event
from dtnode.matrix.state_resolution import resolve
from dtnode.signer import Ed25519Signer

ALICE, BOB, CAROL, DAN = "@alice:a.test", "@bob:b.test", "@carol:c.test", "@dan:d.test"


def signer_of(server: str) -> Ed25519Signer:
    return Ed25519Signer(sha256(server.encode()).digest(), server)


def key_of(server: str, key_id: str) -> bytes | None:
    return signer_of(server).public_key if key_id == "ed25519:1" else None


class SmallRoom:
    """ALICE's room: created, ALICE joined, power levels and join rule set. An EventSource."""

    def __init__(
        self,
        version: str = "12",
        *,
        join_rule: str = "public",
        power_levels: dict[str, Any] | None = None,
        create: dict[str, Any] | None = None,
    ) -> None:
        self.version = ROOM_VERSIONS[version]
        self.events: dict[str, Pdu] = {}
        self.orders: dict[str, int] = {}
        self.after: dict[str, dict[StateKey, str]] = {}
        self.latest: list[str] = []
        self.room_id: str | None = None if self.version.room_id_is_create_hash else "!room:a.test"
        content = {"room_version": version, **(create or {})}
        if not self.version.implicit_room_creator:
            content["creator"] = ALICE
        self.create = self.send(ALICE, "m.room.create", content, "")
        self.room_id = self.create.room_id
        self.join(ALICE)
        if power_levels is None:
            power_levels = {"users": {} if version == "12" else {ALICE: 100}}
        self.power_levels = self.send(ALICE, "m.room.power_levels", power_levels, "")
        self.join_rules = self.send(ALICE, "m.room.join_rules", {"join_rule": join_rule}, "")

    def event(self, event_id: str, /) -> Pdu:
        return self.events[event_id]

    def rejected(self, event_id: str, /) -> bool:
        return False

    def order(self, event_id: str, /) -> int:
        return self.orders[event_id]

    def state(self, prev: list[str] | None = None) -> dict[StateKey, str]:
        parents = self.latest if prev is None else prev
        return resolve(self.version, [self.after[event_id] for event_id in parents], self)

    def lookup(self, prev: list[str] | None = None) -> Callable[[str, str], Pdu | None]:
        state = self.state(prev)

        def lookup(event_type: str, state_key: str) -> Pdu | None:
            event_id = state.get((event_type, state_key))
            return None if event_id is None else self.events[event_id]

        return lookup

    def make(
        self,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        state_key: str | None = None,
        *,
        prev: list[str] | None = None,
        auth: list[str] | None = None,
        ts: int | None = None,
        signers: tuple[str, ...] = (),
        **fields: Any,
    ) -> Pdu:
        """An event that isn't added. auth: without version 12's implied create event."""
        parents = list(self.latest if prev is None else prev)
        json: dict[str, Any] = {
            "type": event_type,
            "sender": sender,
            "content": content,
            "prev_events": parents,
            "auth_events": [],
            "depth": 1 + max((self.events[event_id].depth for event_id in parents), default=0),
            "origin_server_ts": 1000 + len(self.events) if ts is None else ts,
            **fields,
        }
        if state_key is not None:
            json["state_key"] = state_key
        if self.room_id is not None:
            json["room_id"] = self.room_id
        if auth is None:
            state = self.state(parents)
            draft = parse_pdu({**json, "hashes": {"sha256": ""}, "signatures": {}}, self.version)
            wanted = sorted(auth_types_for_event(draft) & state.keys())
            auth = [state[key] for key in wanted]
            if self.version.room_id_is_create_hash:
                auth = [event_id for event_id in auth if event_id != self.create.event_id]
        json["auth_events"] = auth
        for server in signers or (server_name_of(sender),):
            json = sign_event(json, self.version, signer_of(server))
        return parse_pdu(json, self.version)

    def add(self, pdu: Pdu) -> Pdu:
        """Takes an event into the room, whatever the rules say, and makes it the latest."""
        before = self.state(list(pdu.prev_events))
        self.orders[pdu.event_id] = len(self.events)
        self.events[pdu.event_id] = pdu
        self.after[pdu.event_id] = (
            {**before, pdu.key: pdu.event_id} if pdu.is_state else dict(before)
        )
        self.latest = [pdu.event_id]
        return pdu

    def send(self, *args: Any, **kwargs: Any) -> Pdu:
        return self.add(self.make(*args, **kwargs))

    def join(self, user: str, **kwargs: Any) -> Pdu:
        return self.member(user, user, "join", **kwargs)

    def member(self, sender: str, target: str, membership: str, **kwargs: Any) -> Pdu:
        content = {"membership": membership, **kwargs.pop("content", {})}
        return self.send(sender, "m.room.member", content, target, **kwargs)

    def refusal(self, sender: str, event_type: str, content: dict[str, Any], *args: Any) -> str:
        """Why the state before it forbids this event; empty where it is allowed."""
        pdu = self.make(sender, event_type, content, *args)
        try:
            check_state_dependent_auth_rules(pdu, self.lookup())
        except AuthRuleError as error:
            return error.reason
        return ""

    def membership_refusal(self, sender: str, target: str, membership: str, **content: Any) -> str:
        content = {"membership": membership, **content}
        return self.refusal(sender, "m.room.member", content, target)
