"""Why the authorisation rules allow an event, and what in a state forbids it, for people.

Nothing is decided here: dtnode.matrix.event_auth does that, and is asked again. Called by explain
and conflicts, for events that were judged before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from dtnode.errors import AuthRuleError, PduError
from dtnode.matrix.event_auth import (
    StateLookup,
    auth_types_for_event,
    check_state_dependent_auth_rules,
)
from dtnode.matrix.membership_rules import AuthState
from dtnode.matrix.pdu import Pdu, StateKey
from dtnode.matrix.power_levels import CREATOR_POWER

_POWER_LEVELS: StateKey = ("m.room.power_levels", "")
_JOIN_RULES: StateKey = ("m.room.join_rules", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One thing that allows an event, in words, and the events of the state that say so."""

    text: str
    event_ids: tuple[str, ...]


def why_forbidden(pdu: Pdu, state: StateLookup) -> str | None:
    """The rule that forbids `pdu` in a state, None if it is allowed."""
    try:
        check_state_dependent_auth_rules(pdu, state)
    except PduError as exc:
        return exc.reason
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What in a state forbids an event. because_of: events of the state. lacks: events that the
    event's author went by and that have no counterpart there. Ids, sorted."""

    because_of: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def event_ids(self) -> tuple[str, ...]:
        return (*self.because_of, *self.lacks)


NO_OBSTACLE = Obstacle()


def what_forbids(pdu: Pdu, state: StateLookup, known: StateLookup) -> Obstacle:
    """Why `state` forbids `pdu`, where `known`, the state that its author went by, allowed it: each
    difference without which it would be allowed; where there is no such single one, all of them."""
    differing = [
        key for key in sorted(auth_types_for_event(pdu)) if _id(state(*key)) != _id(known(*key))
    ]

    def without(left_out: StateKey) -> StateLookup:
        return lambda type_, key: (known if (type_, key) == left_out else state)(type_, key)

    single = [key for key in differing if why_forbidden(pdu, without(key)) is None]
    because_of, lacks = [], []
    for key in single or differing:
        event, expected = state(*key), known(*key)
        if event is not None:
            because_of.append(event.event_id)
        elif expected is not None:
            lacks.append(expected.event_id)
    return Obstacle(because_of=tuple(sorted(because_of)), lacks=tuple(sorted(lacks)))


def _id(pdu: Pdu | None) -> str | None:
    return None if pdu is None else pdu.event_id


def grounds(pdu: Pdu, state: StateLookup) -> tuple[Ground, ...]:
    """What in `state`, which allows `pdu`, does so."""
    if pdu.type == "m.room.create":
        return (Ground(text="it is the event that the room began with", event_ids=()),)
    create = state("m.room.create", "")
    if create is None:
        return ()
    found: list[Ground] = []
    # Below version 10 a level can be unreadable; what comes before it is still said.
    with suppress(AuthRuleError):
        found.extend(_Grounds(pdu, state, create).all())
    return tuple(found)


class _Grounds:
    def __init__(self, pdu: Pdu, state: StateLookup, create: Pdu) -> None:
        self._pdu = pdu
        self._state = state
        self._create = create
        levels = state(*_POWER_LEVELS)
        self._auth = AuthState(
            create=create,
            power_levels=None if levels is None else levels.power_levels,
            lookup=state,
        )

    def all(self) -> Iterator[Ground]:
        pdu = self._pdu
        if self._create.content.get("m.federate", True) is not True:
            home = self._create.sender_server
            yield Ground(text=f"the room is for {home} alone", event_ids=(self._create.event_id,))
        if pdu.type == "m.room.member":
            yield from self._membership(pdu.state_key or "")
            return
        if pdu.type == "m.room.aliases" and pdu.version.aliases_by_server:
            yield Ground(text="a server may set its own aliases", event_ids=())
            return
        yield self._member(pdu.sender)
        if pdu.type == "m.room.third_party_invite":
            yield self._level(pdu.sender, "invite", "to invite")
            return
        required = self._auth.levels.send_level(pdu.type, is_state=pdu.is_state)
        yield self._power(pdu.sender, required, f"to send {pdu.type}")
        if pdu.is_state and pdu.key == _POWER_LEVELS:
            yield Ground(
                text=f"it changes no level that is above {pdu.sender}'s own power",
                event_ids=self._levels_id(),
            )

    def _membership(self, target: str) -> Iterator[Ground]:
        pdu = self._pdu
        themselves = pdu.sender == target
        match pdu.membership:
            case "join":
                yield from self._join(target)
            case "invite" if "third_party_invite" in pdu.content:
                yield Ground(
                    text=f"a third-party invite of {pdu.sender}'s, signed as promised",
                    event_ids=(),
                )
            case "invite":
                yield self._member(pdu.sender)
                yield self._level(pdu.sender, "invite", "to invite")
            case "leave" if themselves:
                yield self._member(target)
            case "knock":
                yield self._rule("which lets anyone ask to join")
            case "leave" | "ban":
                yield self._member(pdu.sender)
                banned = self._auth.membership(target) == "ban"
                if pdu.membership == "ban":
                    yield self._level(pdu.sender, "ban", f"to ban {target}")
                else:
                    if banned:
                        yield self._level(pdu.sender, "ban", f"to lift the ban of {target}")
                    yield self._level(pdu.sender, "kick", f"to remove {target}")
                yield self._outranked(target)
            case _:
                return

    def _join(self, target: str) -> Iterator[Ground]:
        pdu = self._pdu
        if pdu.prev_events == (self._create.event_id,):
            text = "the room's creator joins right after the create event"
            yield Ground(text=text, event_ids=(self._create.event_id,))
            return
        rules = self._state(*_JOIN_RULES)
        rule = "invite" if rules is None else rules.content.get("join_rule", "invite")
        if rule == "public":
            yield self._rule("which lets anyone in")
            return
        if self._auth.membership(target) in ("invite", "join"):
            yield self._rule("which lets in whoever is invited")
            yield self._member(target)
            return
        yield self._rule("which lets in whom a member vouches for")
        voucher = pdu.content.get("join_authorised_via_users_server")
        if isinstance(voucher, str):
            yield self._member(voucher, f"{voucher} vouches for {target} and")
            yield self._level(voucher, "invite", "to invite")

    def _rule(self, meaning: str) -> Ground:
        rules = self._state(*_JOIN_RULES)
        rule = "invite" if rules is None else rules.content.get("join_rule", "invite")
        ids = () if rules is None else (rules.event_id,)
        return Ground(text=f"the join rule is {str(rule)[:40]!r}, {meaning}", event_ids=ids)

    def _member(self, user_id: str, text: str | None = None) -> Ground:
        event = self._state("m.room.member", user_id)
        words = {"join": "is in the room", "invite": "is invited", "knock": "asked to join"}
        membership = None if event is None else event.membership
        is_so = words.get(membership or "", f"has the membership {membership}")
        ids = () if event is None else (event.event_id,)
        return Ground(text=f"{user_id if text is None else text} {is_so}", event_ids=ids)

    def _level(self, user_id: str, name: str, purpose: str) -> Ground:
        return self._power(user_id, self._auth.levels.level(name), purpose)

    def _power(self, user_id: str, required: int, purpose: str) -> Ground:
        power = power_in_words(self._auth.user_power(user_id))
        text = f"{user_id} has {power}, it takes {required} {purpose}"
        return Ground(text=text, event_ids=self._levels_id())

    def _outranked(self, target: str) -> Ground:
        power = power_in_words(self._auth.user_power(target))
        return Ground(text=f"{target} has less: {power}", event_ids=self._levels_id())

    def _levels_id(self) -> tuple[str, ...]:
        event = self._state(*_POWER_LEVELS)
        return (self._create.event_id,) if event is None else (event.event_id,)


def power_in_words(power: int) -> str:
    return "a creator's infinite power" if power == CREATOR_POWER else f"power {power}"
