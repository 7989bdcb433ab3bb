"""The authorisation rules for m.room.member events, and the state they are judged against.

Called by event_auth only. Quotations are the specification's (room version 12, rule 5), with
the version that brought what earlier ones lack in brackets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dtnode.errors import AuthRuleError
from dtnode.matrix.canonical_json import encode_checked_json
from dtnode.matrix.identifiers import server_name_of
from dtnode.matrix.pdu import Pdu
from dtnode.matrix.power_levels import CREATOR_POWER, NO_POWER_LEVELS, PowerLevels
from dtnode.matrix.signing import ED25519_KEY_BYTES, verify_signature
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64

MAX_THIRD_PARTY_KEYS = 64
"""Public keys tried for a third-party invite; real ones have one or two, and an event of 64 kB has
room for a thousand, each to be tried on 64 kB whenever the invite is judged."""


@dataclass(slots=True, kw_only=True)
class AuthState:
    """A state as the rules read it: create event and power levels at hand, the rest looked up."""

    create: Pdu
    power_levels: PowerLevels | None
    lookup: Callable[[str, str], Pdu | None]

    @property
    def levels(self) -> PowerLevels:
        return NO_POWER_LEVELS if self.power_levels is None else self.power_levels

    def user_power(self, user_id: str) -> int:
        creators = self.create.creators
        if self.create.version.privileged_creators:
            if user_id in creators:
                return CREATOR_POWER
        elif self.power_levels is None and user_id in creators:
            return 100
        return self.levels.user_level(user_id)

    def membership(self, user_id: str) -> str | None:
        member = self.lookup("m.room.member", user_id)
        return None if member is None else member.membership

    def check_power(self, user_id: str, level_name: str, purpose: str) -> None:
        power, required = self.user_power(user_id), self.levels.level(level_name)
        if power < required:
            raise AuthRuleError(f"{user_id} has power {power}, needs {required} {purpose}")

    def check_joined(self, user_id: str) -> None:
        membership = self.membership(user_id)
        if membership != "join":
            raise AuthRuleError(f"{user_id} is not in the room (membership: {membership})")

    def check_readable(self, *user_ids: str) -> None:
        """Below version 10 a level in force can be unreadable, and deployed servers read these for
        every membership. AuthRuleError."""
        for user_id in user_ids:
            self.user_power(user_id)
        self.levels.level("invite")
        self.levels.level("ban")

    def check_federation(self, user_id: str) -> None:
        """Also for the target of a membership, and for any m.federate but true: so deployed
        servers have it, and they agree on whom such a room admits."""
        if ":" not in user_id:
            raise AuthRuleError(f"{user_id!r:.300} is not a user id")
        if self.create.content.get("m.federate", True) is not True:
            home = self.create.sender_server
            if server_name_of(user_id) != home:
                raise AuthRuleError(f"the room is for {home} alone, {user_id} is of another server")


def check_membership(pdu: Pdu, auth: AuthState) -> None:
    # "If there is no state_key property, or no membership property in content, reject."
    if pdu.state_key is None or pdu.membership is None:
        raise AuthRuleError("a membership event without 'state_key' or without 'membership'")
    target = pdu.state_key
    # "If the only previous event is an m.room.create and the state_key is the creator, allow."
    if pdu.membership == "join" and pdu.prev_events == (auth.create.event_id,):
        creator = _founder(auth.create)
        if target == creator:
            return
    auth.check_federation(target)
    if not pdu.version.integer_power_levels:
        auth.check_readable(pdu.sender, target)
    rule = _RULES.get(pdu.membership)
    if rule is None or (rule is _check_knock and "knock" not in pdu.version.join_rules):
        # "Otherwise, the membership is unknown. Reject."
        raise AuthRuleError(f"membership {pdu.membership!r:.40} is not known")
    rule(pdu, target, auth)


def _founder(create: Pdu) -> object:
    return create.sender if create.version.implicit_room_creator else create.content.get("creator")


def _join_rule(auth: AuthState) -> object:
    event = auth.lookup("m.room.join_rules", "")
    return "invite" if event is None else event.content.get("join_rule", "invite")


def _check_join(pdu: Pdu, target: str, auth: AuthState) -> None:
    # "If the sender does not match state_key, reject."
    if pdu.sender != target:
        raise AuthRuleError(f"{pdu.sender} can't make {target} join")
    membership = auth.membership(target)
    # "If the sender is banned, reject."
    if membership == "ban":
        raise AuthRuleError(f"{target} is banned")
    join_rule = _join_rule(auth)
    # "If the join_rule is public, allow."; "If the join_rule is invite or knock then allow if
    # membership state is invite or join." (knock: 7); the same for restricted (8) and
    # knock_restricted (10).
    if join_rule == "public":
        return
    if type(join_rule) is not str or join_rule not in pdu.version.join_rules:
        raise AuthRuleError(f"join rule {join_rule!r:.40} lets nobody in")
    if membership in ("invite", "join"):
        return
    if join_rule in ("invite", "knock"):
        raise AuthRuleError(f"{target} is not invited (join rule {join_rule})")
    # "If the join_authorised_via_users_server key in content is not a user with sufficient
    # permission to invite other users or is not a joined member of the room, reject."
    authorising_user = pdu.content.get("join_authorised_via_users_server")
    if type(authorising_user) is not str:
        raise AuthRuleError(f"no member authorises the join of {target} (join rule {join_rule})")
    auth.check_joined(authorising_user)
    auth.check_power(authorising_user, "invite", f"to authorise the join of {target}")


def _check_invite(pdu: Pdu, target: str, auth: AuthState) -> None:
    membership = auth.membership(target)
    if "third_party_invite" in pdu.content:
        _check_third_party_invite(pdu, target, auth)
        # "If target user is banned, reject."
        if membership == "ban":
            raise AuthRuleError(f"{target} is banned")
        return
    # "If the sender's current membership state is not join, reject."
    auth.check_joined(pdu.sender)
    # "If target user's current membership state is join or ban, reject."
    if membership in ("join", "ban"):
        raise AuthRuleError(f"{target} can't be invited (membership: {membership})")
    # "If the sender's power level is greater than or equal to the invite level, allow."
    auth.check_power(pdu.sender, "invite", "to invite")


def _check_leave(pdu: Pdu, target: str, auth: AuthState) -> None:
    sender_membership = auth.membership(pdu.sender)
    # "If the sender matches state_key, allow if and only if that user's current membership state is
    # invite, join, or knock (7)."
    if pdu.sender == target:
        may_leave = sender_membership in ("invite", "join") or (
            sender_membership == "knock" and "knock" in pdu.version.join_rules
        )
        if not may_leave:
            raise AuthRuleError(f"{target} can't leave (membership: {sender_membership})")
        return
    # "If the sender's current membership state is not join, reject."
    auth.check_joined(pdu.sender)
    # "If the target user's current membership state is ban, and the sender's power level is less
    # than the ban level, reject."
    if auth.membership(target) == "ban":
        auth.check_power(pdu.sender, "ban", f"to unban {target}")
    # "If the sender's power level is greater than or equal to the kick level, and the target user's
    # power level is less than the sender's power level, allow."
    auth.check_power(pdu.sender, "kick", f"to kick {target}")
    _check_outranks(pdu.sender, target, auth)


def _check_ban(pdu: Pdu, target: str, auth: AuthState) -> None:
    # "If the sender's current membership state is not join, reject."
    auth.check_joined(pdu.sender)
    # "If the sender's power level is greater than or equal to the ban level, and the target user's
    # power level is less than the sender's power level, allow."
    auth.check_power(pdu.sender, "ban", f"to ban {target}")
    _check_outranks(pdu.sender, target, auth)


def _check_outranks(sender: str, target: str, auth: AuthState) -> None:
    power, target_power = auth.user_power(sender), auth.user_power(target)
    if target_power >= power:
        raise AuthRuleError(f"{sender} has power {power}, {target} has {target_power}")


def _check_knock(pdu: Pdu, target: str, auth: AuthState) -> None:
    # "If the join_rule is anything other than knock or knock_restricted (10), reject."
    join_rule = _join_rule(auth)
    if join_rule not in ("knock", "knock_restricted") or join_rule not in pdu.version.join_rules:
        raise AuthRuleError(f"join rule {join_rule!r:.40} allows no knocking")
    # "If sender does not match state_key, reject."
    if pdu.sender != target:
        raise AuthRuleError(f"{pdu.sender} can't knock for {target}")
    # "If the sender's current membership is not ban, invite, or join, allow."
    membership = auth.membership(target)
    if membership in ("ban", "invite", "join"):
        raise AuthRuleError(f"{target} can't knock (membership: {membership})")


_RULES: dict[str, Callable[[Pdu, str, AuthState], None]] = {
    "join": _check_join,
    "invite": _check_invite,
    "leave": _check_leave,
    "ban": _check_ban,
    "knock": _check_knock,
}


def third_party_token(pdu: Pdu) -> str | None:
    """content.third_party_invite.signed.token, or None where there is no such text."""
    signed = _signed(pdu)
    token = signed.get("token") if signed is not None else None
    return token if type(token) is str else None


def _signed(pdu: Pdu) -> dict[str, Any] | None:
    invite = pdu.content.get("third_party_invite")
    signed = invite.get("signed") if type(invite) is dict else None
    return signed if type(signed) is dict else None


def _check_third_party_invite(pdu: Pdu, target: str, auth: AuthState) -> None:
    # "If content.third_party_invite does not have a signed property, reject. If signed does not
    # have mxid and token properties, reject."
    signed, token = _signed(pdu), third_party_token(pdu)
    if signed is None or token is None:
        raise AuthRuleError("the third-party invite has no usable 'signed'")
    # "If mxid does not match state_key, reject."
    if signed.get("mxid") != target:
        raise AuthRuleError(f"the third-party invite is not for {target}")
    # "If there is no m.room.third_party_invite event in the current room state with state_key
    # matching token, reject."
    issued = auth.lookup("m.room.third_party_invite", token)
    if issued is None:
        raise AuthRuleError("the room has no third-party invite with this token")
    # "If sender does not match sender of the m.room.third_party_invite, reject."
    if issued.sender != pdu.sender:
        raise AuthRuleError(f"the third-party invite is {issued.sender}'s, not {pdu.sender}'s")
    _check_third_party_signature(signed, issued, strict=pdu.version.strict_canonical_json)


def _check_third_party_signature(signed: dict[str, Any], issued: Pdu, *, strict: bool) -> None:
    # "If any signature in signed matches any public key in the m.room.third_party_invite event,
    # allow. [...] Otherwise, reject." Deployed servers try each key on the first signature only,
    # and fail at a key that is none before one fits.
    signature = _first_signature(signed)
    if signature is None:
        raise AuthRuleError("the third-party invite has no usable signature")
    message = encode_checked_json(
        {key: value for key, value in signed.items() if key not in ("signatures", "unsigned")},
        strict=strict,
    )
    for tried, key in enumerate(_public_keys(issued)):
        if tried == MAX_THIRD_PARTY_KEYS:
            raise AuthRuleError("the third-party invite has too many public keys")
        if verify_signature(key, message, signature):
            return
    raise AuthRuleError("no signature of the third-party invite fits one of its public keys")


def _first_signature(signed: dict[str, Any]) -> bytes | None:
    """By server name, then by key id; None also where something else stands before one."""
    servers = signed.get("signatures")
    for _, keys in sorted(servers.items()) if type(servers) is dict else ():
        if type(keys) is not dict:
            return None
        for key_id in sorted(keys):
            if key_id.startswith("ed25519:"):
                text = keys[key_id]
                return decode_unpadded_base64(text) if type(text) is str else None
    return None


def _public_keys(issued: Pdu) -> Iterator[bytes]:
    """`public_key`, then those in `public_keys`. AuthRuleError: the next one is none."""
    content = issued.content
    entries: list[Any] = [content] if "public_key" in content else []
    listed = content.get("public_keys", [])
    if type(listed) not in (list, dict, str):
        raise AuthRuleError("'public_keys' of the third-party invite is not an array")
    entries += listed  # of an object or text deployed servers make entries, which are no keys
    for entry in entries:
        text = entry.get("public_key") if type(entry) is dict else None
        key = decode_unpadded_base64(text) if type(text) is str else None
        if key is None or len(key) != ED25519_KEY_BYTES:
            raise AuthRuleError("the third-party invite has a public key that is none")
        yield key
