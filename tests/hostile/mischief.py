"""How hostile servers spoil events: wrong auth events, hashes, signatures, copies, sizes, creates.

Every function takes the maker of the room and what an honest server would have written, and writes
one line or more. The generator picks from ALL.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.hostile.contents import Draft
from tests.hostile.literal import Record
from tests.hostile.literal_events import Json, domain, event_id_of, unpadded
from tests.hostile.literal_resolution import State

if TYPE_CHECKING:
    from tests.hostile.generator import Maker

Ids: TypeAlias = Sequence[str]
Mischief: TypeAlias = "Callable[[Maker, Draft, Ids, Ids, State], list[Record]]"


# --- auth events


def missing_auth(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    kept = [event_id for event_id in auth if m.rng.random() < 0.6]
    return [m.write(m.finish(draft, parents, kept))]


def old_auth(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """Events of the right keys from anywhere in the room's past."""
    chosen = []
    for event_id in auth:
        key = m.room.events[event_id].key
        same = [e.event_id for e in m.room.events.values() if e.is_state and e.key == key]
        chosen.append(m.rng.choice(same))
    return [m.write(m.finish(draft, parents, chosen))]


def extra_auth(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """An event too many: any, the same twice, a rejected one, or more than ten."""
    known = list(m.room.events)
    rejected = [i for i in known if m.room.verdicts[i] == "rejected"] or known
    extra = m.rng.choice(
        (
            [m.rng.choice(known)],
            [m.rng.choice(list(auth) or known)],
            [m.rng.choice(rejected)],
            known[-11:],
        )
    )
    return [m.write(m.finish(draft, parents, [*auth, *extra]))]


def create_in_auth(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    create = state.get(("m.room.create", ""))
    return [m.write(m.finish(draft, parents, [*auth, create] if create else auth))]


def unknown_ids(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """Builds on what will never come, or on what is no event id."""
    ghost = m.rng.choice(("$" + "A" * 43, "$short", "$ghost:s0.test"))
    if m.rng.random() < 0.5:
        return [m.write(m.finish(draft, [*parents, ghost], auth))]
    return [m.write(m.finish(draft, parents, [*auth, ghost]))]


def other_room(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """An event of another room, and one of ours that builds on it."""
    pdu = m.finish(draft, [], [])
    pdu["room_id"] = "!" + "B" * 43 if m.n >= 12 else "!elsewhere:s0.test"
    pdu = m.sign(pdu, draft.signers())
    written = [m.write(pdu)]
    foreign = str(written[0].event_id)
    both = [*parents, foreign] if m.rng.random() < 0.5 else parents
    return [*written, m.write(m.finish(draft, both[-20:], [*auth, foreign][-10:]))]


# --- parents and depth


def odd_parents(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    known = list(m.room.events)
    few = m.rng.choice(([], [parents[0], parents[0]], known[-21:], known[-20:], known[:1]))
    return [m.write(m.finish(draft, few, auth))]


def odd_depth(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    odd: list[Any] = [0, 1, -1, 2**53 - 1, 2**53, 2**63 - 1, 2**63, "3", 4.5, True, None]
    pdu = m.finish(draft, parents, auth)
    pdu["depth"] = m.rng.choice(odd)
    return [m.write(m.sign(pdu, draft.signers()))]


# --- sizes and types


def odd_size(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    pdu = m.finish(draft, parents, auth)
    match m.rng.randrange(5):
        case 0:
            pdu["content"] = {**pdu["content"], "padding": "x" * m.rng.choice((60_000, 66_000))}
        case 1:
            pdu["state_key"] = m.rng.choice(("k" * 255, "k" * 256, "☃" * 85, "☃" * 86, "☃" * 255))
            pdu["type"] = m.rng.choice((pdu["type"], "test.state"))
        case 2:
            pdu["type"] = "t" * m.rng.choice((255, 256)) if m.rng.random() < 0.5 else "é" * 200
        case 3:
            name = "u" * m.rng.choice((200, 246, 250)) + m.rng.choice(("", "é", "é" * 40))
            pdu["sender"] = f"@{name}:{domain(draft.sender)}"
        case _:
            pdu["content"] = {**pdu["content"], "n": m.rng.choice((2**53 - 1, -(2**53) + 1))}
    return [m.write(m.sign(pdu, draft.signers()))]


def wrong_types(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """Fields that are missing or no such thing; numbers that canonical JSON doesn't have."""
    pdu = m.finish(draft, parents, auth)
    match m.rng.randrange(5):
        case 0:
            name = m.rng.choice(("sender", "prev_events", "auth_events", "origin_server_ts"))
            del pdu[name]
        case 1:
            name = m.rng.choice(("state_key", "origin_server_ts", "prev_events", "signatures"))
            pdu[name] = m.rng.choice((None, 5.5, {"a": 1}, [[]], True))
        case 2:
            nested: Any = []
            for _ in range(m.rng.choice((124, 125))):  # 127 or 128 levels, with what is around it
                nested = [nested]
            pdu["content"] = {**pdu["content"], "nested": nested}
        case 3:
            name = m.rng.choice(("event_id", "redacts", "origin", "membership", "origin_server_ts"))
            pdu[name] = m.rng.choice(("$x", parents[0], 2**63 - 1, -(2**63), 2**63, [], None))
        case _:
            pdu["content"] = {**pdu["content"], "n": m.rng.choice((1.5, 2**53, 10**30, -(2**53)))}
            if m.n <= 5:  # allowed there, as far as a canonical form of it is agreed upon
                pdu["content"]["n"] = 2**53
    if isinstance(pdu.get("signatures"), dict):
        pdu = m.sign(pdu, draft.signers())
    return [m.write(pdu)]


# --- hashes and signatures


def bad_hash(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """Signed by its server all the same: everybody keeps the redacted form."""
    pdu = m.finish(draft, parents, auth)
    digest: Any = m.rng.choice((unpadded(bytes(32)), "", "!", 5))
    pdu["hashes"] = m.rng.choice(({"sha256": digest}, {"sha256": unpadded(bytes(32))}, {}))
    return [m.write(m.sign_again(pdu, draft.signers()))]


def _badly_signed(m: Maker, pdu: Json, server: str) -> Json:
    bad = copy.deepcopy(pdu)
    others = [name for name in m.keys if name != server]
    match m.rng.randrange(5):
        case 0:
            bad["signatures"] = {}
        case 1:
            bad["signatures"].pop(server, None)
            bad = {**bad, "signatures": m.sign_again(pdu, others)["signatures"]}
        case 2:
            keys = bad["signatures"].setdefault(server, {})
            bad["signatures"][server] = dict.fromkeys(keys, unpadded(bytes(64)))
        case 3:
            keys = bad["signatures"].get(server, {})
            bad["signatures"][server] = {f"ed25519:other{k[-1]}": v for k, v in keys.items()}
        case _:
            bad["signatures"] = {server: m.rng.choice(({"curve:k1": "x"}, {}, {"ed25519:k1": "x"}))}
    return bad


def bad_signature(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """A badly signed copy, alone, before or after the good one."""
    pdu = m.finish(draft, parents, auth)
    bad = _badly_signed(m, pdu, m.rng.choice(draft.signers()))
    match m.rng.randrange(3):
        case 0:
            return [m.write(bad)]
        case 1:
            return [m.write(bad), m.write(pdu)]
    return [m.write(pdu), m.write(bad)]


def more_signatures(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """Good, with signatures beside that nobody asked for; twice, in different dress."""
    pdu = m.finish(draft, parents, auth)
    dressed = copy.deepcopy(pdu)
    dressed["signatures"].setdefault("other.test", {})["ed25519:k9"] = unpadded(bytes(64))
    dressed["signatures"].setdefault(domain(draft.sender), {})["ed25519:unknown"] = "x"
    dressed["unsigned"] = {"age": 5}
    both = [pdu, dressed]
    m.rng.shuffle(both)
    return [m.write(copy_) for copy_ in both]


def not_co_signed(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """A restricted join that the authorising user's server didn't sign."""
    user = m.contents.anybody()
    authoriser = m.contents.member(m.room, state)
    join = m.contents.membership(
        user, user, "join", join_authorised_via_users_server=m.rng.choice((authoriser, "x", 5))
    )
    return [m.write(m.finish(join, parents, m.auth_events_in(join, state)))]


def forged_sender(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """A third-party invite in somebody's name, not signed by their server, whose hash may fail."""
    invite = m.contents.third_party_invite(m.room, state)
    pdu = m.finish(invite, parents, m.auth_events_in(invite, state))
    if m.rng.random() < 0.5:
        pdu["hashes"] = {"sha256": unpadded(bytes(32))}
    others = [name for name in m.keys if name != domain(invite.sender)]
    return [m.write(m.sign_again(pdu, m.rng.sample(others, min(1, len(others)))))]


# --- copies


def duplicate(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """The same event twice, and any earlier line again."""
    pdu = m.finish(draft, parents, auth)
    first = m.write(pdu)
    m.write_line(m.rng.choice(m.lines))
    return [first, m.write(pdu)]


def tampered_copy(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """A copy with the same id and signature and something else in what redaction takes away; the
    good one comes after it, before it, or not at all."""
    pdu = m.finish(draft, parents, auth)
    tampered = copy.deepcopy(pdu)
    match m.rng.randrange(4):
        case 0:
            tampered["content"]["forged"] = True
        case 1:
            tampered["forged"] = {"by": "a relay"}
        case 2 if draft.type == "m.room.power_levels" and m.n <= 10:
            tampered["content"]["invite"] = 0
        case _:
            tampered["content"].pop("reason", None)
            tampered["content"].pop("body", None)
            tampered["content"]["x"] = 1
    if event_id_of(tampered, m.n) != event_id_of(pdu, m.n):
        return [m.write(pdu)]  # all of its content counts, as a create event's does
    match m.rng.randrange(4):
        case 0:
            return [m.write(tampered)]
        case 1:
            return [m.write(tampered), m.write(pdu)]
    return [m.write(pdu), m.write(tampered)]


# --- create events in the middle


def another_create(m: Maker, draft: Draft, parents: Ids, auth: Ids, state: State) -> list[Record]:
    """Of the room's own server or another, with parents or without, no state, of another key."""
    founder = m.rng.choice((m.users[0], m.users[0], m.contents.anybody()))
    content = m.contents.create(m.rng.choice((founder, m.users[0], m.contents.anybody())))
    match m.rng.randrange(6):
        case 0:
            content["room_version"] = m.rng.choice(("1", "99", 5, None))
        case 1:
            content.pop("creator", None)
        case 2:
            content["additional_creators"] = m.rng.choice((["nobody"], [5], "x", None, ["@x:"]))
        case 3:
            content["m.federate"] = m.rng.choice((False, 0, None, "false"))
    key = m.rng.choice(("", "", "", "", "x", None))
    create = Draft(founder, "m.room.create", key, content)
    under = m.rng.choice(([], [], [], list(parents)))
    listed = m.rng.choice(([], [], list(auth), m.rng.sample(list(m.room.events), 1)))
    pdu = m.finish(create, under, listed)
    if m.n >= 12 and m.rng.random() < 0.5:
        pdu.pop("room_id", None)
        pdu = m.sign(pdu, create.signers())
    return [m.write(pdu)]


ALL: list[Mischief] = [
    missing_auth,
    old_auth,
    old_auth,
    extra_auth,
    extra_auth,
    create_in_auth,
    unknown_ids,
    other_room,
    odd_parents,
    odd_parents,
    odd_depth,
    odd_size,
    wrong_types,
    bad_hash,
    bad_signature,
    bad_signature,
    more_signatures,
    not_co_signed,
    forged_sender,
    duplicate,
    tampered_copy,
    tampered_copy,
    another_create,
]
