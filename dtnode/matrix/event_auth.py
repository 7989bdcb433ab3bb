"""The authorisation rules (specification, "Authorisation rules" of each room version).

`check_state_independent_auth_rules` judges an event's choice of auth events, once per event;
`check_state_dependent_auth_rules` judges it against a state: that of its auth events (check 4),
the state before it (5), the current state (6), and candidate states in state resolution. Quotations
are the specification's rules. Membership has a module of its own, membership_rules.

Signatures are checked before (dtnode.matrix.signing), the rules about them are not repeated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from dtnode.errors import AuthRuleError
from dtnode.matrix.identifiers import MAX_ID_BYTES, is_user_id, server_name_of
from dtnode.matrix.membership_rules import AuthState, check_membership, third_party_token
from dtnode.matrix.pdu import Pdu, StateKey, exceeds_id_bytes
from dtnode.matrix.power_levels import PowerLevels, comparable_entries
from dtnode.matrix.room_versions import KNOWN_ROOM_VERSION_IDS

StateLookup: TypeAlias = Callable[[str, str], Pdu | None]
"""(type, state_key) -> the event at that key of a state, or None."""

_CREATE: StateKey = ("m.room.create", "")
_POWER_LEVELS: StateKey = ("m.room.power_levels", "")
_JOIN_RULES: StateKey = ("m.room.join_rules", "")


def auth_types_for_event(pdu: Pdu) -> frozenset[StateKey]:
    """The state that authorises `pdu` (server-server API, "Auth events selection").

    ("m.room.create", "") is always included, also in version 12, where the room id names that event
    and `auth_events` doesn't. Empty for a create event.
    """
    if pdu.type == "m.room.create":
        return frozenset()
    types = {_CREATE, _POWER_LEVELS, ("m.room.member", pdu.sender)}
    if pdu.type == "m.room.member" and pdu.state_key is not None:
        types.add(("m.room.member", pdu.state_key))
        if pdu.membership in ("join", "invite", "knock"):
            types.add(_JOIN_RULES)
        if pdu.membership == "invite":
            token = third_party_token(pdu)
            if token is not None:
                types.add(("m.room.third_party_invite", token))
        elif pdu.membership == "join" and "restricted" in pdu.version.join_rules:
            authorising_user = pdu.content.get("join_authorised_via_users_server")
            if type(authorising_user) is str:
                types.add(("m.room.member", authorising_user))
    return frozenset(types)


def auth_state(auth_events: Iterable[Pdu]) -> StateLookup:
    """A lookup over an event's own auth events, for check 4."""
    by_key = {event.key: event for event in auth_events if event.state_key is not None}
    return lambda event_type, state_key: by_key.get((event_type, state_key))


def check_state_independent_auth_rules(
    pdu: Pdu, auth_events: Sequence[Pdu], is_rejected: Callable[[str], bool]
) -> None:
    """The rules about the event itself and its auth events. AuthRuleError: rejected.

    auth_events: the events of `pdu.auth_event_ids`, in that order (so from version 12 on the
    create event too). is_rejected: whether the event of an id was itself rejected.
    """
    _check_byte_limits(pdu)
    if pdu.type == "m.room.create":
        _check_create(pdu)
        return
    expected = auth_types_for_event(pdu)
    seen: set[StateKey] = set()
    for auth_event in auth_events:
        event_id = auth_event.event_id
        # "If any event in auth_events has a room_id which does not match that of the event being
        # authorised, reject."
        if auth_event.room_id != pdu.room_id:
            raise AuthRuleError(f"auth event {event_id} is of another room")
        # "If there are entries whose type and state_key don't match those specified by the auth
        # events selection algorithm [...], reject."
        if auth_event.state_key is None or auth_event.key not in expected:
            raise AuthRuleError(f"auth event {event_id} ({auth_event.type}) has no business here")
        # "If there are duplicate entries for a given type and state_key pair, reject."
        if auth_event.key in seen:
            raise AuthRuleError(f"two auth events for {auth_event.type} {auth_event.state_key!r}")
        # "If there are entries which were themselves rejected [...], reject."
        if is_rejected(event_id):
            raise AuthRuleError(f"auth event {event_id} was rejected")
        seen.add(auth_event.key)
    # "If there is no m.room.create event among the entries, reject"; in version 12: "If the event's
    # room_id is not an event ID for an accepted (not rejected) m.room.create event, [...] reject."
    if _CREATE not in seen:
        raise AuthRuleError("no create event among its auth events")


def _check_byte_limits(pdu: Pdu) -> None:
    if pdu.version.strict_byte_limits:
        return
    # Up to version 10 deployed servers keep these in the DAG, as rejected ("Size limits").
    for name in ("sender", "type", "state_key", "room_id"):
        if exceeds_id_bytes(getattr(pdu, name) or ""):
            raise AuthRuleError(f"{name!r} is longer than {MAX_ID_BYTES} bytes")


def _check_create(pdu: Pdu) -> None:
    version = pdu.version
    # "If it has any prev_events, reject."
    if pdu.prev_events:
        raise AuthRuleError("a create event has no previous events, this one does")
    # "If the domain of the room_id does not match the domain of the sender, reject." (That there is
    # no room_id from version 12 on is part of the event format.)
    if not version.room_id_is_create_hash and server_name_of(pdu.room_id) != pdu.sender_server:
        raise AuthRuleError(f"room {pdu.room_id} isn't of its creator's server")
    # "If content.room_version is present and is not a recognised version, reject."
    room_version = pdu.content.get("room_version", "1")
    if type(room_version) is not str or room_version not in KNOWN_ROOM_VERSION_IDS:
        raise AuthRuleError(f"room version {room_version!r:.40} is not known")
    # "If content has no creator property, reject."
    if not version.implicit_room_creator and "creator" not in pdu.content:
        raise AuthRuleError("the create event names no creator")
    # "If additional_creators is present in content and is not an array of strings where each string
    # passes the same user ID validation applied to sender, reject."
    if version.privileged_creators and "additional_creators" in pdu.content:
        creators = pdu.content["additional_creators"]
        if type(creators) is not list or not all(map(_is_valid_user_id, creators)):
            raise AuthRuleError("'additional_creators' is not an array of user ids")


def _is_valid_user_id(value: object) -> bool:
    return type(value) is str and is_user_id(value) and len(value.encode()) <= MAX_ID_BYTES


def check_state_dependent_auth_rules(pdu: Pdu, state: StateLookup) -> None:
    """The rules that read a state. AuthRuleError: not allowed in it, and why.

    state: asked only for `auth_types_for_event(pdu)`; the events it gives are accepted ones.
    """
    if pdu.type == "m.room.create":
        return
    create = state(*_CREATE)
    if create is None:
        raise AuthRuleError("there is no create event in the state")
    power_levels_event = state(*_POWER_LEVELS)
    auth = AuthState(
        create=create,
        power_levels=power_levels_event.power_levels if power_levels_event else None,
        lookup=state,
    )
    # "If the content of the m.room.create event in the room state has the property m.federate set
    # to false, and the sender domain of the event does not match the sender domain of the create
    # event, reject."
    auth.check_federation(pdu.sender)
    if pdu.type == "m.room.aliases" and pdu.version.aliases_by_server:
        # "If event has no state_key, reject. If sender's domain doesn't match state_key, reject.
        # Otherwise, allow."
        if pdu.state_key != pdu.sender_server:
            raise AuthRuleError(f"aliases of {pdu.state_key!r:.80} can't be set by {pdu.sender}")
        return
    if pdu.type == "m.room.member":
        check_membership(pdu, auth)
        return
    # "If the sender's current membership state is not join, reject."
    auth.check_joined(pdu.sender)
    power = auth.user_power(pdu.sender)
    if pdu.type == "m.room.third_party_invite":
        # "Allow if and only if sender's current power level is greater than or equal to the invite
        # level."
        auth.check_power(pdu.sender, "invite", "to invite")
        return
    # "If the event type's required power level is greater than the sender's power level, reject."
    required = auth.levels.send_level(pdu.type, is_state=pdu.is_state)
    if required > power:
        raise AuthRuleError(
            f"sender {pdu.sender} has power {power}, needs {required} to send {pdu.type}"
        )
    # "If the event has a state_key that starts with an @ and does not match the sender, reject."
    if pdu.state_key is not None and pdu.state_key.startswith("@") and pdu.state_key != pdu.sender:
        raise AuthRuleError(f"the state of {pdu.state_key} can't be set by {pdu.sender}")
    if pdu.type == "m.room.power_levels":
        _check_power_levels(pdu, power, create, power_levels_event)
    if pdu.type == "m.room.redaction":
        # No rule from version 3 on, but deployed servers read it: below 10 it can be unreadable.
        auth.levels.level("redact")


def _check_power_levels(pdu: Pdu, power: int, create: Pdu, current: Pdu | None) -> None:
    if pdu.state_key is None:
        raise AuthRuleError("power levels without a state_key")
    new = pdu.power_levels  # the rules about integers and user ids are in its parser
    # "If the users property in content contains the sender of the m.room.create event or any of the
    # additional_creators array (if present) from the content of the m.room.create event, reject."
    if pdu.version.privileged_creators and not create.creators.isdisjoint(new.users):
        raise AuthRuleError("the power levels name a creator, whose power is infinite")
    # "If there is no previous m.room.power_levels event in the room, allow." Another state_key than
    # the empty one has no previous event that counts.
    if current is None or pdu.state_key != "":
        return
    _check_power_level_changes(pdu.sender, power, current.power_levels, new)


def _check_power_level_changes(sender: str, power: int, old: PowerLevels, new: PowerLevels) -> None:
    # "For the properties users_default, [...], invite check if they were added, changed or removed.
    # For each found alteration: if the current value is higher than the sender's current power
    # level, reject; if the new value is higher than the sender's current power level, reject."
    # "For each entry being changed in, or removed from, the events or notifications properties: if
    # the current value is greater than the sender's current power level, reject." Likewise the new.
    # (Notifications from version 6 on; before, they aren't parsed.)
    old.check_comparable()
    new.check_comparable()
    _check_altered("", old.levels, new.levels, power)
    for name in ("events", "notifications"):
        _check_altered(f"{name} ", *comparable_entries(old, new, name), power)
    # "For each entry being added to, or changed in, the users property: if the new value is greater
    # than the sender's current power level, reject."
    _check_altered("users ", old.users, new.users, power)
    # "For each entry being changed in, or removed from, the users property, other than the sender's
    # own entry: if the current value is greater than or equal to the sender's current power level,
    # reject."
    for user_id, level in old.users.items():
        if level >= power and user_id != sender and new.users.get(user_id) != level:
            raise AuthRuleError(
                f"sender has power {power}, can't change {user_id}, who has {level}"
            )


def _check_altered(prefix: str, old: Mapping[Any, int], new: Mapping[Any, int], power: int) -> None:
    if old == new:
        return
    for name, level in old.items():
        if level > power and new.get(name) != level:
            raise AuthRuleError(
                f"sender has power {power}, can't change {prefix}{name!r:.300}, which is {level}"
            )
    for name, level in new.items():
        if level > power and old.get(name) != level:
            raise AuthRuleError(
                f"sender has power {power}, can't set {prefix}{name!r:.300} to {level}"
            )


def redaction_applies(redaction: Pdu, target: Pdu, state: StateLookup) -> bool:
    """Whether an accepted redaction takes effect ("Handling redactions").

    state: the state before the redaction. Its `redacts` is `target.event_id`.
    """
    if target.room_id != redaction.room_id or target.type == "m.room.create":
        return False
    # "The domain of the redaction event's sender matches that of the original event's sender."
    if redaction.sender_server == target.sender_server:
        return True
    create = state(*_CREATE)
    if create is None:
        return False
    event = state(*_POWER_LEVELS)
    auth = AuthState(
        create=create, power_levels=event.power_levels if event else None, lookup=state
    )
    # "The power level of the redaction event's sender is greater than or equal to the redact
    # level."
    return auth.user_power(redaction.sender) >= auth.levels.level("redact")
