"""Rooms made by hand: several signers, events with chosen parents, times and auth events, forks.

For tests of whatever takes events in: a transport's end-to-end test, a gateway, the pipeline.
Nothing here judges for anybody: the builder keeps just enough state to choose auth events, and
makes events that break rules when told to.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from dtnode.errors import AuthRuleError
from dtnode.matrix.event_auth import (
    auth_state,
    auth_types_for_event,
    check_state_dependent_auth_rules,
    check_state_independent_auth_rules,
)
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import Pdu, StateKey, parse_pdu
from dtnode.matrix.room_versions import DEFAULT_ROOM_VERSION, ROOM_VERSIONS
from dtnode.matrix.server_names import server_name_from_key
from dtnode.matrix.signing import sign_event
from dtnode.matrix.state_resolution import resolve
from dtnode.signer import Ed25519Signer, Signer

FIRST_TS_MS = 1_700_000_000_000


def signer_for(name: str) -> Ed25519Signer:
    """Always the same signer for the same name, with the server name of its key."""
    seed = sha256(b"dtnode test signer " + name.encode()).digest()
    public_key = Ed25519Signer(seed, "").public_key
    return Ed25519Signer(seed, server_name_from_key(public_key))


def user_id_for(name: str) -> str:
    """`@name:<key of signer_for(name)>`"""
    return f"@{name}:{signer_for(name).server_name}"


class RoomBuilder:
    """A room of people called by short names ("alice"); the first is its creator.

    The room has its create event, the creator's join, power levels, join rules ("public" unless
    given) and history visibility. `pdus` are all events in the order they were made, parents first;
    `heads` what the next event will have as parents.
    """

    def __init__(
        self,
        *names: str,
        version: str = DEFAULT_ROOM_VERSION,
        join_rule: str = "public",
        history_visibility: str = "shared",
        power_levels: Mapping[str, Any] | None = None,
        create: Mapping[str, Any] | None = None,
    ) -> None:
        self.version = ROOM_VERSIONS[version]
        self.pdus: dict[str, Pdu] = {}
        self.heads: tuple[str, ...] = ()
        self.rejected: set[str] = set()
        self._orders: dict[str, int] = {}
        self._after: dict[str, dict[StateKey, str]] = {}
        self._signers: dict[str, Signer] = {}
        creator = names[0] if names else "alice"
        self.creator = self.user(creator)
        self.room_id: str | None = None
        if not self.version.room_id_is_create_hash:
            self.room_id = f"!room:{server_name_of(self.creator)}"
        content = {"room_version": version, **(create or {})}
        if not self.version.implicit_room_creator:
            content["creator"] = self.creator
        self.create = self.state_event(creator, "m.room.create", content)
        self.room_id = self.create.room_id
        self.join(creator)
        levels = {} if self.version.privileged_creators else {"users": {self.creator: 100}}
        self.state_event(creator, "m.room.power_levels", {**levels, **(power_levels or {})})
        self.state_event(creator, "m.room.join_rules", {"join_rule": join_rule})
        self.state_event(
            creator, "m.room.history_visibility", {"history_visibility": history_visibility}
        )
        for name in names[1:]:
            self.join(name)

    # --- people

    def user(self, name: str) -> str:
        """The user id of a short name; a user id stands for itself."""
        if name.startswith("@"):
            return name
        signer = signer_for(name)
        self._signers[signer.server_name] = signer
        return f"@{name}:{signer.server_name}"

    # --- making events

    def make(
        self,
        sender: str,
        type_: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        *,
        parents: Iterable[str] | None = None,
        ts: int | None = None,
        auth: Iterable[str] | None = None,
        depth: int | None = None,
        signers: Sequence[Signer] | None = None,
        **fields: Any,
    ) -> Pdu:
        """A signed event that is not added to the room.

        parents: event ids, `heads` if not given. auth: event ids for `auth_events`; chosen from the
        state over the parents if not given. signers: instead of the sender's. fields: further
        top-level keys, or others' values for those set here.
        """
        user_id = self.user(sender)
        prev = list(self.heads if parents is None else parents)
        json: dict[str, Any] = {
            "type": type_,
            "sender": user_id,
            "content": dict(content),
            "prev_events": prev,
            "auth_events": [],
            "depth": depth
            or 1 + max((self.pdus[p].depth for p in prev if p in self.pdus), default=0),
            "origin_server_ts": FIRST_TS_MS + 1000 * len(self.pdus) if ts is None else ts,
            "hashes": {"sha256": ""},
            "signatures": {},
        }
        has_no_room_id = type_ == "m.room.create" and self.version.room_id_is_create_hash
        if self.room_id is not None and not has_no_room_id:
            json["room_id"] = self.room_id
        if state_key is not None:
            json["state_key"] = state_key
        json.update(fields)
        if "auth_events" not in fields:
            draft = Pdu(json, "$draft", self.version, redacted=False)
            json["auth_events"] = list(self._auth_events(draft, prev) if auth is None else auth)
        signed = json
        for signer in signers if signers is not None else [self._signer(user_id)]:
            signed = sign_event(signed, self.version, signer)
        return parse_pdu(signed, self.version)

    def _signer(self, user_id: str) -> Signer:
        return self._signers[server_name_of(user_id)]

    def _auth_events(self, draft: Pdu, parents: Sequence[str]) -> list[str]:
        state = self.state(parents)
        wanted = auth_types_for_event(draft)
        if self.version.room_id_is_create_hash:
            wanted -= {("m.room.create", "")}
        return [state[key] for key in sorted(wanted) if key in state]

    def add(self, pdu: Pdu) -> Pdu:
        """Takes an event in and makes it a head instead of its parents. One that the rules reject
        has no effect on the state, as on every node."""
        before = self.state(pdu.prev_events)
        auth = [self.pdus[event_id] for event_id in pdu.auth_event_ids]
        after = dict(before)
        try:
            check_state_independent_auth_rules(pdu, auth, self.rejected.__contains__)
            check_state_dependent_auth_rules(pdu, auth_state(auth))
            check_state_dependent_auth_rules(
                pdu, lambda type_, key: self.pdus.get(before.get((type_, key), ""))
            )
        except AuthRuleError:
            self.rejected.add(pdu.event_id)
        else:
            if pdu.is_state:
                after[pdu.key] = pdu.event_id
            self.heads = (*(h for h in self.heads if h not in pdu.prev_events), pdu.event_id)
        self._orders[pdu.event_id] = len(self.pdus)
        self.pdus[pdu.event_id] = pdu
        self._after[pdu.event_id] = after
        return pdu

    def event(
        self,
        sender: str,
        type_: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        **options: Any,
    ) -> Pdu:
        """`make` and `add`."""
        return self.add(self.make(sender, type_, content, state_key, **options))

    def message(self, sender: str, body: str = "hello", **options: Any) -> Pdu:
        return self.event(sender, "m.room.message", {"msgtype": "m.text", "body": body}, **options)

    def state_event(
        self,
        sender: str,
        type_: str,
        content: Mapping[str, Any],
        state_key: str = "",
        **options: Any,
    ) -> Pdu:
        return self.event(sender, type_, content, state_key, **options)

    def member(self, sender: str, target: str, membership: str, **options: Any) -> Pdu:
        content = {"membership": membership, **options.pop("content", {})}
        return self.event(sender, "m.room.member", content, self.user(target), **options)

    def join(self, name: str, **options: Any) -> Pdu:
        return self.member(name, name, "join", **options)

    # --- what there is

    def canonical(self, pdus: Iterable[Pdu] | None = None) -> list[bytes]:
        """PDUs as they travel, all of the room's in the order made if none are given."""
        return [pdu.canonical() for pdu in (self.pdus.values() if pdus is None else pdus)]

    def state(self, parents: Iterable[str] | None = None) -> dict[StateKey, str]:
        """(type, state_key) -> event id: the state over `parents`, `heads` if not given."""
        heads = self.heads if parents is None else parents
        afters = [self._after[event_id] for event_id in heads if event_id in self._after]
        return resolve(self.version, afters, _Source(self.pdus, self._orders, self.rejected))


class _Source:
    """dtnode.matrix's EventSource over the builder's events."""

    def __init__(
        self, pdus: Mapping[str, Pdu], orders: Mapping[str, int], rejected: Container[str]
    ) -> None:
        self._pdus = pdus
        self._orders = orders
        self._rejected = rejected

    def event(self, event_id: str, /) -> Pdu:
        return self._pdus[event_id]

    def rejected(self, event_id: str, /) -> bool:
        return event_id in self._rejected

    def order(self, event_id: str, /) -> int:
        return self._orders[event_id]
