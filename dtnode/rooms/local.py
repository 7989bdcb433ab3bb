"""What this node's user does: create rooms, send, invite, join, leave, moderate.

Every function works within the caller's transaction and raises PduError, with nothing stored, where
the room's rules forbid the act. dtnode.client_api and dtnode.node call this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dtnode.errors import AuthRuleError, FormatError, PduError
from dtnode.matrix.event_auth import check_state_dependent_auth_rules
from dtnode.matrix.identifiers import is_user_id, server_name_of
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.room_versions import DEFAULT_ROOM_VERSION, ROOM_VERSIONS, RoomVersion
from dtnode.matrix.server_names import key_from_server_name
from dtnode.matrix.unpadded_base64 import encode_unpadded_base64
from dtnode.rooms.create import EventBuilder, OwnClock
from dtnode.rooms.membership import anchor_card, chain_state, own_chain, standing
from dtnode.rooms.outcome import Outcome, Verdict
from dtnode.rooms.receive import Receiver
from dtnode.rooms.state import RoomStates
from dtnode.signer import Entropy, Signer
from dtnode.store import RoomKind, RoomRecord, Store

_MAX_INITIAL_EVENTS = 200  # of one createRoom: state and invites together


class RoomNotHere(PduError):
    """The room isn't known on this node; a peer may have a card of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoom:
    """What createRoom asks for (client-server API, "Creation"); None and empty mean defaults."""

    name: str | None = None
    topic: str | None = None
    version: str = DEFAULT_ROOM_VERSION
    public: bool = False
    invite: Sequence[str] = ()
    trusted_invitees: bool = False
    is_direct: bool = False
    creation_content: Mapping[str, Any] = field(default_factory=dict)
    initial_state: Sequence[Mapping[str, Any]] = ()
    power_levels: Mapping[str, Any] = field(default_factory=dict)


class LocalRooms:
    def __init__(
        self,
        store: Store,
        states: RoomStates,
        receiver: Receiver,
        signer: Signer,
        clock: OwnClock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._states = states
        self._receiver = receiver
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._builder = EventBuilder(store, signer, clock)

    # --- creating

    def create_room(self, user_id: str, new: NewRoom) -> str:
        """The new room's id."""
        version = ROOM_VERSIONS.get(new.version)
        if version is None:
            known = ", ".join(ROOM_VERSIONS)
            raise FormatError(f"room version {new.version!r} can't be made here: choose {known}")
        if len(new.initial_state) + len(new.invite) > _MAX_INITIAL_EVENTS:
            raise FormatError(f"at most {_MAX_INITIAL_EVENTS} initial events and invites at once")
        room = self._create_event(user_id, version, new)
        self.send(room.room_id, user_id, "m.room.member", {"membership": "join"}, user_id)
        for type_, state_key, content in _initial_state(user_id, version, new):
            self.send(room.room_id, user_id, type_, content, state_key)
        for invitee in new.invite:
            self.set_membership(room.room_id, user_id, invitee, "invite", is_direct=new.is_direct)
        return room.room_id

    def _create_event(self, user_id: str, version: RoomVersion, new: NewRoom) -> RoomRecord:
        content = {**new.creation_content, "room_version": version.identifier}
        if not version.implicit_room_creator:
            content["creator"] = user_id
        if version.privileged_creators and new.trusted_invitees and new.invite:
            named = content.get("additional_creators", [])
            content["additional_creators"] = sorted({*named, *new.invite})
        fields: dict[str, Any] = {
            "type": "m.room.create",
            "state_key": "",
            "sender": user_id,
            "content": content,
        }
        if not version.room_id_is_create_hash:
            opaque = encode_unpadded_base64(self._entropy(12)).replace("+", "-").replace("/", "_")
            fields["room_id"] = f"!{opaque}:{self._signer.server_name}"
        pdu = self._builder.build(version, fields, (), lambda _type, _key: None)
        if self._store.rooms.get(pdu.room_id) is not None:
            raise FormatError("a room just like this was made in the same millisecond: try again")
        room = self._store.rooms.add(pdu.room_id, version, RoomKind.COMPLETE)
        _raise_unless_accepted(
            self._receiver.receive_own(room, pdu, self._clock.now_ms(), position=None)
        )
        return room

    # --- sending

    def send(
        self,
        room_id: str,
        user_id: str,
        type_: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        redacts: str | None = None,
    ) -> str:
        """The new event's id."""
        room = self._room(room_id)
        fields: dict[str, Any] = {
            "room_id": room_id,
            "type": type_,
            "sender": user_id,
            "content": dict(content),
        }
        if state_key is not None:
            fields["state_key"] = state_key
        if redacts is not None:
            if room.version.redacts_in_content:
                fields["content"]["redacts"] = redacts
            else:
                fields["redacts"] = redacts
        if room.kind is RoomKind.INVITED:
            return self._send_by_card(room, user_id, fields)
        return self._send_complete(room, fields)

    def _send_complete(self, room: RoomRecord, fields: dict[str, Any]) -> str:
        parents = self._builder.parents_for(room)
        before = self._states.resolve(room.version, (parent.after for parent in parents))
        state = self._store.state_groups.state(before)
        pdu = self._builder.build(
            room.version,
            fields,
            (parent.pdu for parent in parents),
            lambda type_, key: state.get((type_, key)),
        )
        check_state_dependent_auth_rules(pdu, self._states.lookup(before))
        _raise_unless_accepted(
            self._receiver.receive_own(room, pdu, self._clock.now_ms(), position=None)
        )
        return pdu.event_id

    def _send_by_card(self, room: RoomRecord, user_id: str, fields: dict[str, Any]) -> str:
        """Chains on the invite: prev_events = [the invite or the last own event], auth_events from
        the invite's own auth_events (DESIGN section 7)."""
        card = anchor_card(self._store, room)
        if card is None:
            raise RoomNotHere(f"nothing is known here yet of room {room.room_id}")
        chain = own_chain(self._store, room, user_id)
        state = chain_state(card, chain)
        events = {**card.events, **{held.pdu.event_id: held.pdu for held in chain}}
        parent = chain[-1].pdu if chain else card.event
        pdu = self._builder.build(
            room.version, fields, [parent], lambda type_, key: state.get((type_, key))
        )
        check_state_dependent_auth_rules(
            pdu, lambda type_, key: events.get(state.get((type_, key), ""))
        )
        now = standing(self._store, self._states, room, user_id)
        if now.membership in ("leave", "ban") and now.event is not None:
            raise AuthRuleError(_removed_text(now.event))
        position = self._store.events.next_position()
        outcome = self._receiver.receive_own(room, pdu, self._clock.now_ms(), position)
        assert outcome.verdict is Verdict.HELD, "what the room lacks can't be judged"
        return pdu.event_id

    # --- membership

    def set_membership(
        self,
        room_id: str,
        sender: str,
        user_id: str,
        membership: str,
        *,
        reason: str | None = None,
        is_direct: bool = False,
    ) -> str:
        """Invite, kick ("leave"), ban or unban ("leave") someone, or leave. The event's id."""
        if not is_user_id(user_id):
            raise FormatError(f"{user_id!r} is not a user id; one looks like @name:server")
        if membership == "invite" and key_from_server_name(server_name_of(user_id)) is None:
            raise FormatError(
                f"{user_id} isn't a user of a dtnode node (its server name is no key), so an invite"
                " can't reach it"
            )
        content: dict[str, Any] = {"membership": membership}
        if reason is not None:
            content["reason"] = reason
        if is_direct:
            content["is_direct"] = True
        return self.send(room_id, sender, "m.room.member", content, user_id)

    def join(self, room_id: str, user_id: str) -> str:
        """Joins at once, with no peer in reach if need be: the join's event id. Joining twice is
        joining once. RoomNotHere: only a peer's card can help."""
        room = self._room(room_id)
        now = standing(self._store, self._states, room, user_id)
        if now.membership == "join" and now.event is not None:
            return now.event.event_id
        return self.send(room_id, user_id, "m.room.member", {"membership": "join"}, user_id)

    def _room(self, room_id: str) -> RoomRecord:
        room = self._store.rooms.get(room_id)
        if room is None:
            raise RoomNotHere(
                f"room {room_id} is not known here: ask for an invite, or meet one of its members"
            )
        return room


def _removed_text(event: Pdu) -> str:
    what = {"ban": "banned you", "leave": "revoked your invite or removed you"}
    return f"{event.sender} {what.get(event.membership or '', 'removed you')} from this room"


def _raise_unless_accepted(outcome: Outcome) -> None:
    if outcome.verdict is not Verdict.ACCEPTED or outcome.soft_failed:
        raise AuthRuleError(outcome.reason or f"the event was {outcome.verdict.value}")


def _initial_state(
    user_id: str, version: RoomVersion, new: NewRoom
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """In the order of the client-server API, "Creation"; later entries win over presets."""
    state: dict[tuple[str, str], Mapping[str, Any]] = {
        ("m.room.power_levels", ""): _power_levels(user_id, version, new),
        ("m.room.join_rules", ""): {"join_rule": "public" if new.public else "invite"},
        ("m.room.history_visibility", ""): {"history_visibility": "shared"},
    }
    for event in new.initial_state:
        state[(str(event["type"]), str(event.get("state_key", "")))] = event["content"]
    if new.name is not None:
        state[("m.room.name", "")] = {"name": new.name}
    if new.topic is not None:
        state[("m.room.topic", "")] = {"topic": new.topic}
    return [(type_, key, content) for (type_, key), content in state.items()]


def _power_levels(user_id: str, version: RoomVersion, new: NewRoom) -> dict[str, Any]:
    users = {} if version.privileged_creators else {user_id: 100}
    if new.trusted_invitees and not version.privileged_creators:
        users.update((invitee, 100) for invitee in new.invite)
    levels: dict[str, Any] = {
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.power_levels": 100,
            "m.room.history_visibility": 100,
            "m.room.encryption": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": 150 if version.privileged_creators else 100,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": 50,
    }
    return {**levels, **new.power_levels}
