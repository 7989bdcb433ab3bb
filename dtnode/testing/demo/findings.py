"""Who was judged how and why, read from room files and states. Pure but for `judged_room`.

The verdicts and reasons are those of `dtnode audit` over each node's own `dtnode export`; why one
of two states won is said by the order that state resolution works in (room version 12, "State
resolution"). Nothing here decides anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtnode.testing.demo.processes import NodeProcess

Json = dict[str, Any]
StateByKey = Mapping[tuple[str, str], Json]
Names = Mapping[str, str]
"""User id -> name."""

_CREATOR_LEVEL = 1 << 53  # room version 12: a creator has more power than anybody can be given


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """verdict: accepted, soft-failed, rejected, held or dropped."""

    pdu: Json
    verdict: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody did while apart, once or several times. verdicts: node -> verdict. reasons: why
    somewhere it is anything but accepted. holds: whether state set by it is the room's state now,
    None for what sets none."""

    who: str
    what: str
    count: int
    verdicts: dict[str, str]
    reasons: tuple[str, ...]
    holds: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One piece of state that the sides saw differently. won: "left" or "right"."""

    what: str
    left: str
    right: str
    won: str
    why: str


def judged_room(node: NodeProcess, room_id: str, file: Path) -> dict[str, Judged]:
    """Event id -> how this node's own copy of the room is judged, in the order it came."""
    node.cli("export", room_id, str(file))
    report = node.json("audit", str(file))
    pdus = [json.loads(line) for line in file.read_text("utf-8").splitlines()[1:]]
    return {
        event["event_id"]: _judged(pdu, event)
        for pdu, event in zip(pdus, report["events"], strict=True)
    }


def _judged(pdu: Json, event: Json) -> Judged:
    if event.get("soft_failed"):
        return Judged(pdu=pdu, verdict="soft-failed", reason=event["soft_fail_reason"])
    failed = [text for text in event["checks"].values() if text not in ("ok", "redacted", None)]
    return Judged(pdu=pdu, verdict=event["verdict"], reason=failed[0] if failed else None)


def by_key(state: Iterable[Json]) -> dict[tuple[str, str], Json]:
    return {(event["type"], event["state_key"]): event for event in state}


# --- verdicts


def deeds(
    rooms: Mapping[str, Mapping[str, Judged]],
    apart: Iterable[str],
    final: StateByKey,
    names: Names,
) -> list[Deed]:
    """What was done in the events `apart`, with the verdict of each node in `rooms`."""
    found: dict[tuple[str, str], list[str]] = {}
    first = next(iter(rooms.values()))
    for event_id in apart:
        pdu = first[event_id].pdu
        found.setdefault((names[pdu["sender"]], describe(pdu, names)), []).append(event_id)
    current = {event["event_id"] for event in final.values()}
    return [
        Deed(
            who=who,
            what=what,
            count=len(event_ids),
            verdicts={name: _verdicts(event_ids, room) for name, room in rooms.items()},
            reasons=tuple(_reasons(event_ids, rooms.values(), names)),
            holds=event_ids[-1] in current if "state_key" in first[event_ids[0]].pdu else None,
        )
        for (who, what), event_ids in found.items()
    ]


def _verdicts(event_ids: Iterable[str], room: Mapping[str, Judged]) -> str:
    found = {room[event_id].verdict if event_id in room else "absent" for event_id in event_ids}
    return ", ".join(sorted(found))


def _reasons(
    event_ids: Iterable[str], rooms: Iterable[Mapping[str, Judged]], names: Names
) -> dict[str, None]:
    """Each reason once, with names for user ids."""
    rooms, found = list(rooms), dict[str, None]()
    for event_id in event_ids:
        for room in rooms:
            reason = room[event_id].reason if event_id in room else None
            if reason is not None:
                for user_id, name in names.items():
                    reason = reason.replace(user_id, name)
                found[reason] = None
    return found


def describe(event: Json, names: Names) -> str:
    """What an event does, in words: "says something", "bans carol"."""
    content = event["content"]
    match event["type"]:
        case "m.room.message":
            return "says something"
        case "m.room.topic":
            return f'sets the topic to "{content["topic"]}"'
        case "m.room.power_levels":
            return f"changes powers: {_powers(content, names)}"
        case "m.room.member":
            words = {"ban": "bans", "invite": "invites", "join": "has", "leave": "removes"}
            verb = words[content["membership"]]
            target = names[event["state_key"]]
            return f"{verb} {target}" if verb != "has" else f"{target} is a member"
        case other:
            return str(other)


def _powers(content: Json, names: Names) -> str:
    users = content.get("users", {})
    return ", ".join(f"{names[user]} {level}" for user, level in users.items()) or "nobody has any"


# --- conflicts


def conflicts(
    *,
    before: StateByKey,
    left: StateByKey,
    right: StateByKey,
    final: StateByKey,
    room: Mapping[str, Judged],
    names: Names,
) -> list[Conflict]:
    """Each state that differed between the sides, which won, and by which rule."""
    found = []
    for key in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(key), right.get(key)
        if _id(ours) == _id(theirs):
            continue
        won = "left" if _id(final.get(key)) == _id(ours) else "right"
        old = _id(before.get(key))
        winner, loser = (ours, theirs) if won == "left" else (theirs, ours)
        found.append(
            Conflict(
                what=_what(key, names),
                left=_side(ours, old, names),
                right=_side(theirs, old, names),
                won=won,
                why=_why(winner, loser, old, final, room, names),
            )
        )
    return found


def _id(event: Json | None) -> str | None:
    return None if event is None else str(event["event_id"])


def _what(key: tuple[str, str], names: Names) -> str:
    event_type, state_key = key
    if event_type == "m.room.member":
        return f"{names[state_key]}'s membership"
    return {"m.room.topic": "topic", "m.room.power_levels": "powers"}.get(event_type, event_type)


def _side(event: Json | None, old: str | None, names: Names) -> str:
    if event is None:
        return "(not set)"
    text = describe(event, names)
    return f"as before: {text}" if _id(event) == old else f"{names[event['sender']]} {text}"


def _why(
    winner: Json | None,
    loser: Json | None,
    old: str | None,
    final: StateByKey,
    room: Mapping[str, Judged],
    names: Names,
) -> str:
    if loser is None or _id(loser) == old:
        return "nobody changed it on the other side"
    sender = names[loser["sender"]]
    level, needed = _level(final, loser["sender"]), _needed(final, loser)
    if level < needed:
        taken_by = names[final["m.room.power_levels", ""]["sender"]]
        return (
            f"{taken_by}, who has more power, set {sender}'s level to {level}; it takes {needed}:"
            " power is settled first, what it no longer allows falls away"
        )
    assert winner is not None, "the old value gives way to a change that is allowed"
    ours, theirs = (_power_levels_of(event, room) for event in (winner, loser))
    if ours != theirs:
        return (
            f"{names[winner['sender']]}'s stands on the newer powers, {sender}'s on older ones;"
            " clocks don't count here"
        )
    return "both stand on the same powers, and it carries the later time"


def _level(state: StateByKey, user_id: str) -> int:
    create = state["m.room.create", ""]
    if user_id in (create["sender"], *create["content"].get("additional_creators", ())):
        return _CREATOR_LEVEL
    content = state["m.room.power_levels", ""]["content"]
    level: int = content.get("users", {}).get(user_id, content.get("users_default", 0))
    return level


def _needed(state: StateByKey, event: Json) -> int:
    content = state["m.room.power_levels", ""]["content"]
    membership = event["content"].get("membership") if event["type"] == "m.room.member" else None
    if membership == "ban":
        level: int = content.get("ban", 50)
    else:
        level = content.get("events", {}).get(event["type"], content.get("state_default", 50))
    return level


def _power_levels_of(event: Json, room: Mapping[str, Judged]) -> str | None:
    """The power levels among an event's auth events."""
    for event_id in room[event["event_id"]].pdu["auth_events"]:
        if room[event_id].pdu["type"] == "m.room.power_levels":
            return str(event_id)
    return None
