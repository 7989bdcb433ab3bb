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
from dtnode.rooms.cards import CheckedCard
from dtnode.rooms.create import EventBuilder, OwnClock
from dtnode.rooms.membership import anchor_card, chain_state, own_chain, pending_removal, standing
from dtnode.rooms.outcome import Outcome, Verdict
from dtnode.rooms.profile import with_profile
from dtnode.rooms.receive import Receiver
from dtnode.rooms.state import RoomStates, StateLookup
from dtnode.signer import Entropy, Signer
from dtnode.store import HeldEvent, RoomKind, RoomRecord, Store
from dtnode.wire.messages import CardKind

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
        room = self.begin_room(user_id, version, new)
        for type_, state_key, content in _initial_state(user_id, version, new):
            self.send(room.room_id, user_id, type_, content, state_key)
        for invitee in new.invite:
            self.set_membership(room.room_id, user_id, invitee, "invite", is_direct=new.is_direct)
        return room.room_id

    def begin_room(self, user_id: str, version: RoomVersion, new: NewRoom) -> RoomRecord:
        """A room with nothing in it but its create event and its creator."""
        room = self._create_event(user_id, version, new)
        join = with_profile(self._store, {"membership": "join"})
        self.send(room.room_id, user_id, "m.room.member", join, user_id)
        return room

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
        room = self.room(room_id)
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
        return self.take(room, self.draft(room, fields))

    def draft(self, room: RoomRecord, fields: dict[str, Any]) -> Pdu:
        """An event built on what is known of the room, signed, allowed by the rules, not stored."""
        if room.kind is RoomKind.INVITED:
            return self._draft_by_card(room, fields)
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
        return pdu

    def _draft_by_card(self, room: RoomRecord, fields: dict[str, Any]) -> Pdu:
        """Chains on the invite: prev_events = [the invite or the last own event], auth_events from
        the invite's own auth_events (DESIGN section 7)."""
        user_id = str(fields["sender"])
        card = self._anchor(room)
        chain = own_chain(self._store, room, user_id)
        state = chain_state(card, chain)
        parent = chain[-1].pdu if chain else card.event
        pdu = self._builder.build(
            room.version, fields, [parent], lambda type_, key: state.get((type_, key))
        )
        check_state_dependent_auth_rules(pdu, self._card_lookup(card, chain))
        now = standing(self._store, self._states, room, user_id)
        asks = pdu.type == "m.room.member" and pdu.membership in ("join", "knock")
        removal = pending_removal(self._store, room, user_id)
        may_come_back = card.card.kind is CardKind.PUBLIC and asks and removal is None
        if now.membership in ("leave", "ban") and now.event is not None and not may_come_back:
            raise AuthRuleError(removed_text(now.event))
        return pdu

    def take(self, room: RoomRecord, pdu: Pdu) -> str:
        """Takes an own event in: judged, or held where its past isn't here. AuthRuleError."""
        by_card = room.kind is RoomKind.INVITED
        position = self._store.events.next_position() if by_card else None
        outcome = self._receiver.receive_own(room, pdu, self._clock.now_ms(), position)
        if by_card:
            assert outcome.verdict is Verdict.HELD, "what the room lacks can't be judged"
        else:
            _raise_unless_accepted(outcome)
        return pdu.event_id

    # --- what the next own event stands on

    def state_for_next(self, room: RoomRecord, user_id: str) -> StateLookup:
        """The current state; of a room known by a card what joins are authorised by."""
        if room.kind is RoomKind.COMPLETE:
            return self._states.lookup(room.current_group)
        return self._card_lookup(self._anchor(room), own_chain(self._store, room, user_id))

    def members_for_next(self, room: RoomRecord) -> Mapping[str, Pdu]:
        """user id -> membership event, likewise."""
        if room.kind is RoomKind.COMPLETE:
            return self._states.members(room.current_group)
        state = self._anchor(room).state
        return {key: pdu for (type_, key), pdu in state.items() if type_ == "m.room.member"}

    def known_by(self, room: RoomRecord) -> CardKind:
        """By what kind of card an INVITED room is known. RoomNotHere: by none."""
        return self._anchor(room).card.kind

    def _anchor(self, room: RoomRecord) -> CheckedCard:
        card = anchor_card(self._store, room)
        if card is None:
            raise RoomNotHere(f"nothing is known here yet of room {room.room_id}")
        return card

    def _card_lookup(self, card: CheckedCard, chain: list[HeldEvent]) -> StateLookup:
        state = chain_state(card, chain)
        events = {**card.events, **{held.pdu.event_id: held.pdu for held in chain}}
        return lambda type_, key: events.get(state.get((type_, key), ""))

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
        signed: Mapping[str, Any] | None = None,
    ) -> str:
        """Invite, kick ("leave"), ban or unban ("leave") someone, or leave. The event's id.

        signed: of an invite that redeems a third-party invite, the block with mxid, token and
        signatures (server-server API, "Third-party invites"); the auth rules check it.
        """
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
        if signed is not None:
            content["third_party_invite"] = self._third_party_invite(room_id, sender, signed)
        return self.send(room_id, sender, "m.room.member", content, user_id)

    def _third_party_invite(
        self, room_id: str, sender: str, signed: Mapping[str, Any]
    ) -> dict[str, Any]:
        look = self.state_for_next(self.room(room_id), sender)
        issued = look("m.room.third_party_invite", str(signed.get("token")))
        if issued is None:
            raise AuthRuleError("the room has no third-party invite with that token")
        name = issued.content.get("display_name")
        return {"display_name": name if isinstance(name, str) else "", "signed": dict(signed)}

    def room(self, room_id: str) -> RoomRecord:
        """RoomNotHere."""
        room = self._store.rooms.get(room_id)
        if room is None:
            raise RoomNotHere(
                f"room {room_id} is not known here: ask for an invite, or meet one of its members"
            )
        return room


def removed_text(event: Pdu) -> str:
    """Who took this user out of a room, for them to read."""
    if event.sender == event.state_key:
        return "you left this room"
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
