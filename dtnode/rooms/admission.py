"""Asking to be let in: joins, knocks, and the co-signature that a join by membership in another
room needs; and giving that co-signature.

An invite or a public room needs nobody's answer (DESIGN section 7). Who may come in by which rule
is dtnode.rooms.join_rules; how requests travel is dtnode.sync's business.
"""

from __future__ import annotations

from typing import Any

from dtnode.errors import AuthRuleError, FormatError, PduError
from dtnode.matrix.event_auth import check_state_dependent_auth_rules
from dtnode.matrix.pdu import Pdu, parse_pdu, read_pdu
from dtnode.matrix.signing import KeyLookup, check_content_hash, sign_event, verify_pdu
from dtnode.rooms.join_rules import (
    KNOCK,
    RESTRICTED,
    authorisers,
    join_rule,
    lets_server_in,
    lets_user_in,
)
from dtnode.rooms.local import LocalRooms, RoomNotHere, removed_text
from dtnode.rooms.membership import pending_removal, standing
from dtnode.rooms.outcome import Verdict
from dtnode.rooms.profile import with_profile
from dtnode.rooms.receive import Receiver
from dtnode.rooms.sharing import Sharing
from dtnode.rooms.state import RoomStates
from dtnode.signer import Signer
from dtnode.store import RoomKind, RoomRecord, Store
from dtnode.wire.messages import CardKind

_CANT_LET_IN = (
    "it doesn't know that room, or doesn't see you in a room whose members may join it: meet a"
    " member who does, or ask for an invite"
)
"""The same for a room that isn't here and for one that is none of the asker's business."""


class NeedsCoSignature(PduError):
    """The join has to be signed by a member's node too. authorisers: user ids of members who may,
    as far as is known here, the likeliest first."""

    def __init__(self, room_id: str, authorisers: tuple[str, ...]) -> None:
        super().__init__(
            f"whoever joins {room_id} as a member of another room is let in by a member with the"
            " power to invite"
        )
        self.authorisers = authorisers


class Admission:
    """Methods work within the caller's transaction; PduError: with nothing stored."""

    def __init__(
        self,
        store: Store,
        states: RoomStates,
        receiver: Receiver,
        local: LocalRooms,
        signer: Signer,
        keys: KeyLookup,
        user_id: str,
    ) -> None:
        self._store = store
        self._states = states
        self._receiver = receiver
        self._local = local
        self._signer = signer
        self._keys = keys
        self._user_id = user_id

    # --- asking

    def join(self, room_id: str) -> str:
        """Joins at once, with no peer in reach if need be: the join's event id. Joining twice is
        joining once. RoomNotHere: only a peer's card can help; NeedsCoSignature: only a member's
        signature."""
        room = self._local.room(room_id)
        now = standing(self._store, self._states, room, self._user_id)
        if now.membership == "join" and now.event is not None:
            return now.event.event_id
        rule = join_rule(room.version, self._local.state_for_next(room, self._user_id))
        if now.membership != "invite":
            self._check_fresh(room, rule)
            if rule in RESTRICTED and now.membership != "ban":
                raise NeedsCoSignature(room_id, self._authorisers(room))
            if rule == "knock" and now.membership != "ban":
                raise AuthRuleError(
                    "only invited people join this room; ask to be let in with:"
                    f" dtnode room knock {room_id}"
                )
        return self._send(room_id, {"membership": "join"})

    def knock(self, room_id: str, reason: str | None) -> str:
        """Asks to be let in: the knock's event id. Knocking twice is knocking once. RoomNotHere: as
        for join."""
        room = self._local.room(room_id)
        now = standing(self._store, self._states, room, self._user_id)
        if now.membership == "knock" and now.event is not None:
            return now.event.event_id
        rule = join_rule(room.version, self._local.state_for_next(room, self._user_id))
        self._check_fresh(room, rule)
        if now.membership in ("join", "invite"):
            what = "are in this room" if now.membership == "join" else "are invited: join it"
            raise AuthRuleError(f"you {what}; there is nobody to ask")
        if rule == "public":
            raise AuthRuleError("anyone may join this room: join it")
        if rule not in KNOCK:
            raise AuthRuleError(
                f"nobody can ask to be let into this room (join rule {rule}): ask a member for an"
                " invite"
            )
        content = {"membership": "knock"} if reason is None else _knock_for(reason)
        return self._send(room_id, content)

    def _check_fresh(self, room: RoomRecord, rule: str) -> None:
        """RoomNotHere: what is known of the room ends with this user's leaving or removal; a
        member's new card may say that they can come back."""
        if room.kind is RoomKind.COMPLETE or rule == "invite":
            return
        removal = pending_removal(self._store, room, self._user_id)
        now = standing(self._store, self._states, room, self._user_id)
        by_invite = self._local.known_by(room) is CardKind.INVITE
        if now.event is not None and now.membership == "leave" and (removal or by_invite):
            raise RoomNotHere(f"{removed_text(now.event)}: try again when a member is in reach")

    def _send(self, room_id: str, content: dict[str, Any]) -> str:
        content = with_profile(self._store, content)
        return self._local.send(room_id, self._user_id, "m.room.member", content, self._user_id)

    def _authorisers(self, room: RoomRecord) -> tuple[str, ...]:
        look = self._local.state_for_next(room, self._user_id)
        members = self._local.members_for_next(room)
        return tuple(user for user in authorisers(look, members, "") if user != self._user_id)

    def draft_join(self, room_id: str, authoriser: str) -> Pdu:
        """A join that lacks the signature of `authoriser`'s server, and nothing else."""
        room = self._local.room(room_id)
        content = {"membership": "join", "join_authorised_via_users_server": authoriser}
        fields = {
            "room_id": room_id,
            "type": "m.room.member",
            "sender": self._user_id,
            "state_key": self._user_id,
            "content": with_profile(self._store, content),
        }
        return self._local.draft(room, fields)

    def take_signed_join(self, room_id: str, data: bytes) -> str:
        """An own join that a member's server signed too: its event id. It counts there already.
        PduError: it is no such join."""
        room = self._local.room(room_id)
        pdu = read_pdu(data, room.version)
        if pdu.room_id != room_id or pdu.type != "m.room.member" or pdu.membership != "join":
            raise FormatError("what came back is no join of this room")
        if pdu.sender != self._user_id or pdu.state_key != self._user_id:
            raise FormatError("what came back is no join of this user's")
        verify_pdu(pdu, self._keys)
        pdu = check_content_hash(pdu)
        if pdu.redacted:
            raise FormatError("what came back isn't what was sent")
        if not self._store.events.has(pdu.event_id) and not self._store.held.has(pdu.event_id):
            self._local.take(room, pdu)
        return pdu.event_id

    # --- letting in

    def co_sign(self, peer: str, room_id: str, data: bytes, now_ms: int, sharing: Sharing) -> Pdu:
        """The join of a user of `peer`'s, signed by this server too and taken in here. Asking twice
        gives the same. PduError: why not, in words for the asker. sharing: over its link."""
        room = self._store.rooms.get(room_id)
        if room is None or room.kind is not RoomKind.COMPLETE or not sharing.permits(room):
            raise AuthRuleError(_CANT_LET_IN)
        look = self._states.lookup(room.current_group)
        if (
            not self._states.acl_allows(room.current_group, peer)
            or join_rule(room.version, look) not in RESTRICTED
            or not lets_server_in(self._store, self._states, look, peer)
        ):
            raise AuthRuleError(_CANT_LET_IN)
        pdu = read_pdu(data, room.version)
        if pdu.sender_server != peer or not lets_user_in(
            self._store, self._states, look, pdu.sender
        ):
            raise AuthRuleError(_CANT_LET_IN)
        known = self._known(pdu.event_id)
        if known is not None:
            return known
        signed = self._signed(room_id, pdu)
        check_state_dependent_auth_rules(signed, look)
        received = self._receiver.receive(room, [signed.canonical()], source=peer, now_ms=now_ms)
        outcome = received.outcomes[0]
        if outcome.verdict not in (Verdict.ACCEPTED, Verdict.HELD) or outcome.soft_failed:
            raise AuthRuleError(outcome.reason or f"the join was {outcome.verdict.value}")
        return signed

    def _known(self, event_id: str) -> Pdu | None:
        stored = self._store.events.get(event_id)
        if stored is not None:
            return stored.pdu if stored.accepted and not stored.pdu.redacted else None
        held = self._store.held.get(event_id)
        return None if held is None else held.pdu

    def _signed(self, room_id: str, pdu: Pdu) -> Pdu:
        """PduError: it isn't the join, signed by its sender, that names this user as authoriser."""
        if pdu.room_id != room_id or pdu.type != "m.room.member" or pdu.membership != "join":
            raise FormatError("that is no join of this room")
        if pdu.state_key != pdu.sender:
            raise FormatError("one can only join by oneself")
        if pdu.content.get("join_authorised_via_users_server") != self._user_id:
            raise FormatError(f"the join doesn't name {self._user_id} as who lets its user in")
        if check_content_hash(pdu) is not pdu:
            raise FormatError("the join isn't what its content hash says")
        signed = parse_pdu(sign_event(pdu.json, pdu.version, self._signer), pdu.version)
        verify_pdu(signed, self._keys)
        return signed


def _knock_for(reason: str) -> dict[str, Any]:
    return {"membership": "knock", "reason": reason}
