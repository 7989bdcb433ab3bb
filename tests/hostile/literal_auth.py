"""The authorisation rules by the letter of the specification, for room versions 3 to 12.

Part of the second implementation (literal.py), which shares no code with dtnode. Rule numbers
change between versions, so sentences stand here without them. Where deployed servers differ from
the sentence, and so have decided what rooms look like, that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tests.hostile.literal_events import (
    Event,
    Json,
    canonical,
    decode_base64,
    domain,
    is_user_id,
    lengths_checked,
    verifies,
)
from tests.hostile.literal_levels import Powers, Rejected, check_power_levels, reject_if

Key: TypeAlias = tuple[str, str]
Lookup: TypeAlias = Callable[[str, str], Event | None]


# --- auth events selection (server-server API)


def auth_types(event: Event, n: int) -> set[Key]:
    """The (type, state_key) pairs that an event's auth_events may have; in version 12 with the
    create event, which the room id implies."""
    if event.type == "m.room.create":
        return set()
    types = {
        ("m.room.create", ""),
        ("m.room.power_levels", ""),
        ("m.room.member", event.sender),
    }
    if event.type != "m.room.member":
        return types
    # "The target's current m.room.member event, if any."
    if event.is_state:
        types.add(("m.room.member", event.key[1]))
    # "If membership is join, invite or knock, the current m.room.join_rules event, if any."
    if event.membership in ("join", "invite", "knock"):
        types.add(("m.room.join_rules", ""))
    # "If membership is invite and content contains a third_party_invite property, the current
    # m.room.third_party_invite event with state_key matching [...] signed.token, if any."
    token = signed_of(event).get("token")
    if event.membership == "invite" and isinstance(token, str):
        types.add(("m.room.third_party_invite", token))
    # "If membership is join, content.join_authorised_via_users_server is present, and the room
    # version supports restricted rooms, then the m.room.member event with [that] state_key".
    authoriser = event.content.get("join_authorised_via_users_server")
    if n >= 8 and event.membership == "join" and isinstance(authoriser, str):
        types.add(("m.room.member", authoriser))
    return types


def signed_of(event: Event) -> Json:
    invite = event.content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, dict) else None
    return signed if isinstance(signed, dict) else {}


# --- rules that read no state


def check_auth_events(event: Event, auth_events: Iterable[tuple[Event, bool]], n: int) -> None:
    """auth_events: the events of `event.auth_ids`, and whether each was rejected."""
    reject_if(
        n <= 10 and any(len(value.encode()) > 255 for value in lengths_checked(event.json)),
        "longer than 255 bytes",
    )
    if event.type == "m.room.create":
        check_create(event, n)
        return
    seen = set()
    for auth_event, rejected in auth_events:
        # "If any event in auth_events has a room_id which does not match that of the event being
        # authorised, reject."
        reject_if(auth_event.room_id != event.room_id, "auth event of another room")
        # "If there are entries whose type and state_key don't match those specified by the auth
        # events selection algorithm described in the server specification, reject."
        reject_if(
            not auth_event.is_state or auth_event.key not in auth_types(event, n),
            "unexpected auth event",
        )
        # "If there are duplicate entries for a given type and state_key pair, reject."
        reject_if(auth_event.key in seen, "two auth events for one key")
        # "If there are entries which were themselves rejected under the checks performed on receipt
        # of a PDU, reject."
        reject_if(rejected, "rejected auth event")
        seen.add(auth_event.key)
    # "If there is no m.room.create event among the entries, reject." From version 12: "If the
    # event's room_id is not an event ID for an accepted (not rejected) m.room.create event, with
    # the sigil ! instead of $, reject."
    reject_if(("m.room.create", "") not in seen, "no create event")


def check_create(event: Event, n: int) -> None:
    # "If it has any prev_events, reject."
    reject_if(event.json["prev_events"], "create event with prev_events")
    # "If the domain of the room_id does not match the domain of the sender, reject."
    reject_if(n <= 11 and domain(event.room_id) != domain(event.sender), "not the room's domain")
    # "If content.room_version is present and is not a recognised version, reject."
    known = [str(number) for number in range(1, 13)]
    reject_if(event.content.get("room_version", "1") not in known, "unknown room version")
    # "If content has no creator property, reject."
    reject_if(n <= 10 and "creator" not in event.content, "no creator")
    # "If additional_creators is present in content and is not an array of strings where each string
    # passes the same user ID validation applied to sender, reject."
    if n >= 12 and "additional_creators" in event.content:
        listed = event.content["additional_creators"]
        reject_if(not isinstance(listed, list), "additional_creators is no array")
        for user_id in listed:
            valid = is_user_id(user_id) and len(user_id.encode()) <= 255
            reject_if(not valid, "additional_creators has what is no user id")


# --- rules that read a state


def check_in_state(event: Event, state: Lookup, n: int) -> None:
    if event.type == "m.room.create":
        return
    create = state("m.room.create", "")
    if create is None:
        raise Rejected("no create event in the state")
    powers = Powers(create, state("m.room.power_levels", ""), n)
    check_federation(event.sender, create)
    if event.type == "m.room.aliases" and n <= 5:
        # "If event has no state_key, reject. If sender's domain doesn't match state_key, reject.
        # Otherwise, allow."
        reject_if(event.state_key != domain(event.sender), "aliases of another domain")
        return
    if event.type == "m.room.member":
        Membership(event, state, create, powers, n).check()
        return
    # "If the sender's current membership state is not join, reject."
    reject_if(membership(state, event.sender) != "join", "the sender is not in the room")
    if event.type == "m.room.third_party_invite":
        # "Allow if and only if sender's current power level is greater than or equal to the invite
        # level."
        reject_if(powers.of(event.sender) < powers.named("invite", 0), "invite level")
        return
    # "If the event type's required power level is greater than the sender's power level, reject."
    reject_if(powers.required(event) > powers.of(event.sender), "required power level")
    # "If the event has a state_key that starts with an @ and does not match the sender, reject."
    state_key = event.state_key
    reject_if(
        state_key is not None and state_key.startswith("@") and state_key != event.sender,
        "another's state_key",
    )
    if event.type == "m.room.power_levels":
        check_power_levels(event, powers, n)
    if event.type == "m.room.redaction":
        # No rule from version 3 on. Before version 10 the level may be no number, and deployed
        # servers, which read it, fail then.
        powers.named("redact", 50)


def check_federation(user_id: str, create: Event) -> None:
    """ "If the content of the m.room.create event in the room state has the property m.federate set
    to false, and the sender domain of the event does not match the sender domain of the create
    event, reject." Deployed servers apply it to a membership's target too, and to all but true."""
    reject_if(
        create.content.get("m.federate", True) is not True
        and domain(user_id) != domain(create.sender),
        "not federated",
    )


def membership(state: Lookup, user_id: str) -> object:
    event = state("m.room.member", user_id)
    return None if event is None else event.membership


@dataclass(frozen=True)
class Membership:
    """The rules for m.room.member."""

    event: Event
    state: Lookup
    create: Event
    powers: Powers
    n: int

    def check(self) -> None:
        event = self.event
        # "If there is no state_key property, or no membership property in content, reject."
        reject_if(not event.is_state or "membership" not in event.content, "incomplete")
        # "If the only previous event is an m.room.create and the state_key is the creator" (from
        # version 11: "the sender of the m.room.create"), "allow."
        create = self.create
        founder = create.sender if self.n >= 11 else create.content.get("creator")
        if (
            event.membership == "join"
            and event.json["prev_events"] == [create.event_id]
            and event.state_key == founder
        ):
            return
        target = event.key[1]
        reject_if(":" not in target, "the target is no user id")
        check_federation(target, create)
        if self.n <= 9:
            self.read_all_levels(target)
        match event.membership:
            case "join":
                self.check_join(target)
            case "invite" if "third_party_invite" in event.content:
                self.check_third_party_invite(target)
            case "invite":
                self.check_invite(target)
            case "leave":
                self.check_leave(target)
            case "ban":
                self.check_ban(target)
            case "knock" if self.n >= 7:
                self.check_knock(target)
            case _:
                raise Rejected("the membership is unknown")

    def read_all_levels(self, target: str) -> None:
        """Before version 10 a level in force may be no number. Deployed servers read these of every
        membership event, whatever it is about, and fail then."""
        self.powers.of(self.event.sender)
        self.powers.of(target)
        self.powers.named("invite", 0)
        self.powers.named("ban", 50)

    def join_rule(self) -> object:
        event = self.state("m.room.join_rules", "")
        return "invite" if event is None else event.content.get("join_rule", "invite")

    def reject_below(self, user_id: object, name: str, default: int) -> None:
        power = self.powers.of(str(user_id))
        reject_if(power < self.powers.named(name, default), f"{name} level")

    def reject_unless_joined(self, user_id: object) -> None:
        joined = membership(self.state, str(user_id)) == "join"
        reject_if(not joined, f"{user_id} is not in the room")

    def check_join(self, target: str) -> None:
        # "If the sender does not match state_key, reject."
        reject_if(self.event.sender != target, "forced join")
        # "If the sender is banned, reject."
        current = membership(self.state, target)
        reject_if(current == "ban", "banned")
        rule = self.join_rule()
        # "If the join_rule is invite [from version 7: or knock] then allow if membership state is
        # invite or join."
        if rule == "invite" or (rule == "knock" and self.n >= 7):
            reject_if(current not in ("invite", "join"), "not invited")
            return
        # "If the join_rule is restricted [version 8] or knock_restricted [version 10]:"
        if (rule == "restricted" and self.n >= 8) or (rule == "knock_restricted" and self.n >= 10):
            # "If membership state is join or invite, allow."
            if current in ("join", "invite"):
                return
            # "If the join_authorised_via_users_server key in content is not a user with sufficient
            # permission to invite other users or is not a joined member of the room, reject."
            authoriser = self.event.content.get("join_authorised_via_users_server")
            reject_if(not isinstance(authoriser, str), "no authorising user")
            self.reject_unless_joined(authoriser)
            self.reject_below(authoriser, "invite", 0)
            return
        # "If the join_rule is public, allow. Otherwise, reject."
        reject_if(rule != "public", "the join rule lets nobody in")

    def check_invite(self, target: str) -> None:
        # "If the sender's current membership state is not join, reject."
        self.reject_unless_joined(self.event.sender)
        # "If target user's current membership state is join or ban, reject."
        reject_if(membership(self.state, target) in ("join", "ban"), "already joined or banned")
        # "If the sender's power level is greater than or equal to the invite level, allow."
        self.reject_below(self.event.sender, "invite", 0)

    def check_third_party_invite(self, target: str) -> None:
        # "If target user is banned, reject."
        reject_if(membership(self.state, target) == "ban", "banned")
        # "If content.third_party_invite does not have a signed property, reject. If signed does not
        # have mxid and token properties, reject."
        signed = signed_of(self.event)
        token = signed.get("token")
        if "mxid" not in signed or not isinstance(token, str):
            raise Rejected("no signed, mxid or token")
        # "If mxid does not match state_key, reject."
        reject_if(signed["mxid"] != target, "mxid")
        # "If there is no m.room.third_party_invite event in the current room state with state_key
        # matching token, reject."
        issued = self.state("m.room.third_party_invite", token)
        if issued is None:
            raise Rejected("no such token")
        # "If sender does not match sender of the m.room.third_party_invite, reject."
        reject_if(self.event.sender != issued.sender, "another's third-party invite")
        # "If any signature in signed matches any public key in the m.room.third_party_invite event,
        # allow." "Otherwise, reject." Deployed servers: the first signature must match one.
        message = canonical(
            {k: v for k, v in signed.items() if k not in ("signatures", "unsigned")}
        )
        signature = first_signature(signed)
        for key in public_keys(issued):
            if verifies(key, message, signature):
                return
        raise Rejected("the signature matches no public key")

    def check_leave(self, target: str) -> None:
        sender = self.event.sender
        if sender == target:
            # "If the sender matches state_key, allow if and only if that user's current membership
            # state is invite, join, or [from version 7] knock."
            may_leave = ("invite", "join", "knock") if self.n >= 7 else ("invite", "join")
            reject_if(membership(self.state, sender) not in may_leave, "can't leave")
            return
        # "If the sender's current membership state is not join, reject."
        self.reject_unless_joined(sender)
        # "If the target user's current membership state is ban, and the sender's power level is
        # less than the ban level, reject."
        if membership(self.state, target) == "ban":
            self.reject_below(sender, "ban", 50)
        # "If the sender's power level is greater than or equal to the kick level, and the target
        # user's power level is less than the sender's power level, allow. Otherwise, reject."
        self.reject_below(sender, "kick", 50)
        reject_if(self.powers.of(target) >= self.powers.of(sender), "the target's power level")

    def check_ban(self, target: str) -> None:
        # "If the sender's current membership state is not join, reject."
        self.reject_unless_joined(self.event.sender)
        # "If the sender's power level is greater than or equal to the ban level, and the target
        # user's power level is less than the sender's power level, allow. Otherwise, reject."
        self.reject_below(self.event.sender, "ban", 50)
        power = self.powers.of(self.event.sender)
        reject_if(self.powers.of(target) >= power, "the target's power level")

    def check_knock(self, target: str) -> None:
        # "If the join_rule is anything other than knock or [from version 10] knock_restricted,
        # reject."
        allowed = ("knock", "knock_restricted") if self.n >= 10 else ("knock",)
        reject_if(self.join_rule() not in allowed, "the join rule allows no knocking")
        # "If sender does not match state_key, reject."
        reject_if(self.event.sender != target, "knocking for another")
        # "If the sender's current membership is not ban, invite, or join, allow."
        reject_if(membership(self.state, target) in ("ban", "invite", "join"), "can't knock")


def public_keys(issued: Event) -> Iterator[bytes]:
    """ "A single public key in the public_key property", "a list of public keys in public_keys".
    Deployed servers fail at the first that is no key, if none before it matches."""
    listed = issued.content.get("public_keys", [])
    if not isinstance(listed, (list, dict, str)):
        raise Rejected("public_keys can't be iterated")
    if "public_key" in issued.content:
        yield as_key(issued.content)
    for entry in listed:
        yield as_key(entry)


def as_key(entry: object) -> bytes:
    text = entry.get("public_key") if isinstance(entry, dict) else None
    key = decode_base64(text)
    if key is None or len(key) != 32:
        raise Rejected("not a public key")
    return key


def first_signature(signed: Json) -> object:
    """In the order of canonical JSON; of what is no Ed25519 key id nothing is asked."""
    servers = signed.get("signatures")
    reject_if(not isinstance(servers, dict), "no signatures")
    for _, keys in sorted(signed["signatures"].items()):
        reject_if(not isinstance(keys, dict), "signatures of a server are no object")
        for key_id, signature in sorted(keys.items()):
            if key_id.startswith("ed25519:"):
                return signature
    raise Rejected("no signature")
