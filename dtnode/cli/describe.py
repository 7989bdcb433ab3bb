"""Events in words, for `dtnode read`, `room explain` and `room diff`. Pure: events in client format
in, text out.

Content comes from anyone: every field may be missing or of any type, and nothing of it reaches the
terminal unescaped. How an event is judged is not decided here; the node says so in
unsigned["org.dtnode"].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dtnode.cli.output import json_line, local_time, printable, printable_lines

Json = dict[str, Any]
Labels = Mapping[str, str]

CONTINUATION = "    | "
"""Before each further line of a message, so that no message can pass for two."""

_FILES = {"m.image": "image", "m.file": "file", "m.audio": "audio", "m.video": "video"}
_JOIN_RULES = {
    "public": "opened the room to anyone",
    "invite": "closed the room to all but invited people",
    "knock": "closed the room to all but invited people, who may ask to join",
    "restricted": "opened the room to members of certain other rooms",
    "knock_restricted": "opened the room to members of certain other rooms; others may ask",
}
_VISIBILITY = {
    "world_readable": "made the history readable for anyone",
    "shared": "made the whole history readable for members",
    "invited": "made the history readable for members from their invitation on",
    "joined": "made the history readable for members from their joining on",
}


def event_lines(event: Json, labels: Labels) -> list[str]:
    """Time, who, what, marks: one line, and continuation lines of a longer message."""
    content = event.get("content")
    own = _own_unsigned(event)
    label = own.get("label") or labels.get(event["sender"], event["sender"])
    first, *more = _what(event, content if isinstance(content, dict) else {}, labels, own)
    line = f"{local_time(event.get('origin_server_ts'))}  {printable(label)}  {first}"
    lines = [line, *(CONTINUATION + text for text in more)]
    lines[-1] += "".join(f"  ({mark})" for mark in _marks(own))
    return lines


def in_words(event: Json, labels: Labels) -> str:
    """Who did what, on one line, without time and marks."""
    content = event.get("content")
    own = _own_unsigned(event)
    label = printable(own.get("label") or labels.get(event["sender"], event["sender"]))
    first, *more = _what(event, content if isinstance(content, dict) else {}, labels, own)
    if first.startswith("* "):
        return f"{label} {first.removeprefix('* ')}"
    return f'{label} said "{first}{" ..." if more else ""}"'


def _own_unsigned(event: Json) -> Json:
    unsigned = event.get("unsigned")
    own = unsigned.get("org.dtnode") if isinstance(unsigned, dict) else None
    return own if isinstance(own, dict) else {}


def _marks(own: Json) -> list[str]:
    marks = []
    if "members" in own and "known_at" in own:
        known_at, members = own["known_at"], own["members"]
        marks.append("here only" if known_at <= 1 else f"{known_at} of {members}")
    if own.get("apart"):
        marks.append("sent while apart")
    if own.get("provisional"):
        marks.append("provisional")
    if own.get("soft_failed"):
        marks.append("soft-failed")
    return marks


def _what(event: Json, content: Json, labels: Labels, own: Json) -> list[str]:
    event_type = str(event.get("type"))
    if own.get("dropped"):
        return ["[no longer kept on this node]"]
    if event_type == "m.room.message":
        return _message(content)
    if own.get("redacted") and "state_key" not in event:
        return ["[content removed]"]
    if event_type == "m.room.encrypted":
        return ["[encrypted: read it in a Matrix client]"]
    if event_type == "m.room.redaction":
        target = content.get("redacts", event.get("redacts"))
        return [f"* removed the message {printable(target)}{_reason(content)}"]
    if event_type == "m.reaction":
        relation = content.get("m.relates_to")
        key = relation.get("key") if isinstance(relation, dict) else None
        return [f"* reacted with {printable(key)}"]
    if "state_key" in event:
        describe = _STATE.get(event_type, _other_state)
        return [f"* {describe(event, content, labels)}"]
    return [f"[{printable(event_type)}] {json_line(content)}"]


def _message(content: Json) -> list[str]:
    body = content.get("body")
    if not isinstance(body, str):
        return ["[content removed]"]
    lines = printable_lines(body)
    kind = content.get("msgtype")
    if kind == "m.emote":
        lines[0] = f"* {lines[0]}"
    elif kind in _FILES:
        lines[0] = f"[{_FILES[kind]}] {lines[0]}"
    elif kind == "m.location":
        lines[0] = f"[place] {lines[0]} {printable(content.get('geo_uri', ''))}".rstrip()
    return lines


def _member(event: Json, content: Json, labels: Labels) -> str:
    target = event["state_key"]
    who = printable(labels.get(target, target))
    themselves = target == event["sender"]
    previous = _previous_membership(event)
    match content.get("membership"):
        case "join":
            text = "joined" if previous != "join" else "changed their profile"
            name = content.get("displayname")
            text += f" as {printable(name)}" if isinstance(name, str) else ""
        case "invite":
            text = f"invited {who}"
        case "leave" if themselves:
            text = "declined the invite" if previous == "invite" else "left"
        case "leave":
            text = {
                "ban": f"lifted the ban of {who}",
                "invite": f"withdrew the invite of {who}",
            }.get(previous, f"removed {who}")
        case "ban":
            text = f"banned {who}"
        case "knock":
            text = "asked to join"
        case other:
            text = f"set the membership of {who} to {printable(other)}"
    return text + _reason(content)


def _previous_membership(event: Json) -> str:
    unsigned = event.get("unsigned")
    previous = unsigned.get("prev_content") if isinstance(unsigned, dict) else None
    return str(previous.get("membership")) if isinstance(previous, dict) else ""


def _reason(content: Json) -> str:
    reason = content.get("reason")
    return f": {printable(reason)}" if isinstance(reason, str) and reason else ""


def _text_field(field: str, said: str, cleared: str) -> Callable[[Json, Json, Labels], str]:
    def describe(_event: Json, content: Json, _labels: Labels) -> str:
        value = content.get(field)
        return f'{said} "{printable(value)}"' if isinstance(value, str) and value else cleared

    return describe


def _choice(
    field: str, words: Mapping[str, str], otherwise: str
) -> Callable[[Json, Json, Labels], str]:
    def describe(_event: Json, content: Json, _labels: Labels) -> str:
        value = content.get(field)
        known = words.get(value) if isinstance(value, str) else None
        return known or f"{otherwise} {printable(value)}"

    return describe


def _create(_event: Json, content: Json, _labels: Labels) -> str:
    return f"created the room (version {printable(content.get('room_version', '1'))})"


def _fixed(text: str) -> Callable[[Json, Json, Labels], str]:
    return lambda _event, _content, _labels: text


def _tombstone(_event: Json, content: Json, _labels: Labels) -> str:
    successor = printable(content.get("replacement_room"))
    return f"replaced this room by {successor}; go on with: dtnode room join {successor}"


def _other_state(event: Json, content: Json, _labels: Labels) -> str:
    key = f" of {printable(event['state_key'])}" if event["state_key"] else ""
    return f"set {printable(event['type'])}{key} to {json_line(content)}"


_STATE: Mapping[str, Callable[[Json, Json, Labels], str]] = {
    "m.room.create": _create,
    "m.room.member": _member,
    "m.room.name": _text_field("name", "named the room", "took the room's name away"),
    "m.room.topic": _text_field("topic", "set the topic to", "cleared the topic"),
    "m.room.join_rules": _choice("join_rule", _JOIN_RULES, "set the join rule to"),
    "m.room.history_visibility": _choice(
        "history_visibility", _VISIBILITY, "set the history visibility to"
    ),
    "m.room.power_levels": _fixed("changed who may do what"),
    "m.room.encryption": _fixed("turned encryption on"),
    "m.room.server_acl": _fixed("changed which servers may take part"),
    "m.room.tombstone": _tombstone,
}
