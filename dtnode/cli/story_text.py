"""The answers of `room explain` and `room diff` in words. Pure: answers in, lines of text out.

Names, contents and ids come from anyone; nothing of them reaches the terminal unescaped. What the
fields mean stands in dtnode.rooms.explanation and dtnode.rooms.changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from dtnode.cli.describe import in_words
from dtnode.cli.output import count, local_time, printable

Json = dict[str, Any]
Labels = Mapping[str, str]

_CHECKS = {
    "format": "1 format",
    "signature": "2 signature",
    "content_hash": "  content hash",
    "ancestors": "3 ancestors",
    "auth_events": "4 rules, by its own auth events",
    "state_before": "5 rules, by the state before it",
    "current_state": "6 rules, by the state when it came",
}
_CHECK_WIDTH = max(map(len, _CHECKS.values())) + 2
_COLOURS = {"accepted": "green", "rejected": "red"}
_MEANINGS = {
    "accepted": "It is part of the room.",
    "soft-failed": (
        "It is kept and passed on as part of the room's history, but the state here isn't made"
        " from it."
    ),
    "rejected": "It is kept only because others may build on it; nothing of it counts or is shown.",
}
_MOST_POWERS = 4  # named on one line
_PLACES = {
    "current state": "in the state over the room's newest events",
    "tip state": "in the tip state, which is made from soft-failed events too",
}


class _Words:
    """One answer's events and people."""

    def __init__(self, answer: Json, labels: Labels) -> None:
        self._events: Mapping[str, Json] = answer["events"]
        self._labels = labels
        self._replaced = sorted(labels.items(), key=lambda item: -len(item[0]))

    def text(self, text: object) -> str:
        """A text of the node's, people by their names."""
        found = printable(text)
        for user_id, label in self._replaced:
            found = found.replace(printable(user_id), printable(label))
        return found

    def person(self, user_id: str) -> str:
        return printable(self._labels.get(user_id, user_id))

    def event(self, event_id: str) -> str:
        """What it does, and its id."""
        known = self._events.get(event_id)
        if known is None:
            return f"(not here)  {printable(event_id)}"
        more = _powers_set(known, self._labels) if known["type"] == "m.room.power_levels" else ""
        return f"{in_words(known, self._labels)}{more}  {printable(event_id)}"

    def sender(self, event_id: str | None) -> str:
        known = self._events.get(event_id or "")
        return "" if known is None else self.person(known["sender"])

    def content(self, event_id: str | None) -> Json:
        known = self._events.get(event_id or "")
        content = None if known is None else known.get("content")
        return content if isinstance(content, dict) else {}


def _powers_set(event: Json, labels: Labels) -> str:
    """Whose power an m.room.power_levels event changed, the first few of them."""
    new, old = (_users(part) for part in (event["content"], event["unsigned"].get("prev_content")))
    changed = [
        f"{printable(labels.get(user, user))} {before} -> {after}"
        for user in sorted(new.keys() | old.keys())
        if (before := old.get(user, "default")) != (after := new.get(user, "default"))
    ]
    more = ", ..." if len(changed) > _MOST_POWERS else ""
    return f" ({', '.join(changed[:_MOST_POWERS])}{more})" if changed else ""


def _users(content: object) -> dict[str, int]:
    users = content.get("users") if isinstance(content, dict) else None
    if not isinstance(users, dict):
        return {}
    return {user: level for user, level in users.items() if isinstance(level, int)}


# --- explain


def explain_lines(answer: Json, labels: Labels) -> list[str]:
    """answer: of GET .../explain."""
    words = _Words(answer, labels)
    lines = [words.event(answer["event_id"]), *_when(answer, words)]
    verdict = answer["verdict"]
    styled = click.style(printable(verdict), fg=_COLOURS.get(verdict, "yellow"), bold=True)
    reason = f": {words.text(answer['reason'])}" if answer["reason"] else ""
    lines += ["", f"{styled}{reason}"]
    lines += [f"  {line}" for line in _remarks(answer)]
    if answer["waits_for"]:
        lines += ["", "Waits for", *_waits_for(answer, words)]
    if answer["needed_by"]:
        lines += ["", "Needed by", *(f"  {words.event(id_)}" for id_ in answer["needed_by"])]
    if answer["checks"]:
        lines += ["", "Checks", *_checks(answer["checks"], words)]
    for title, name in (("Builds on", "parents"), ("Its auth events", "auth_events")):
        if answer[name]:
            lines += ["", title, *(_named(named, words) for named in answer[name])]
    if answer["state"] is not None:
        lines += ["", "What became of it", *_state(answer["state"], words)]
    return lines


def _when(answer: Json, words: _Words) -> Iterator[str]:
    event = answer["events"].get(answer["event_id"])
    if event is not None:
        who = words.person(event["sender"])
        yield f"  sent {local_time(event.get('origin_server_ts'), seconds=True)} by {who}'s clock"
    if answer["arrived_ms"] is not None:
        verb = "came here" if answer["verdict"] == "held" else "judged here"
        source = f" from {printable(answer['source'])}" if answer["source"] else ""
        yield f"  {verb} {local_time(answer['arrived_ms'], seconds=True)}{source}"


def _remarks(answer: Json) -> Iterator[str]:
    if answer["verdict"] in _MEANINGS:
        yield _MEANINGS[answer["verdict"]]
    if answer["allowed_now"] is not None:
        still = "would allow it by now" if answer["allowed_now"] else "doesn't allow it either"
        yield f"The room's present state {still}."
    if answer["apart"]:
        yield "It was sent while apart: it doesn't build on its sender's removal from the room."
    if answer["content"] == "gap":
        yield "Only a redacted copy came; whole ones are looked for."
    elif answer["content"] == "dropped":
        yield "Its content was dropped here by the room's history limit."
    elif answer["content"] == "redacted copy":
        yield "Only a redacted copy is here: its content isn't for this node."
    event = answer["events"].get(answer["event_id"], {})
    if "redacted_because" in event.get("unsigned", {}):
        remover = event["unsigned"]["redacted_because"].get("event_id")
        yield f"Its content was removed by {printable(remover)}."


def _waits_for(answer: Json, words: _Words) -> Iterator[str]:
    for event_id in answer["waits_for"]:
        asked = answer["asked"].get(event_id)
        whom = f"asked: {' '.join(map(printable, asked))}" if asked else "nobody was asked yet"
        yield f"  {words.event(event_id)}  ({whom})"


def _checks(checks: Iterable[Json], words: _Words) -> Iterator[str]:
    for check in checks:
        name = _CHECKS.get(check["check"], printable(check["check"]))
        reason = f": {words.text(check['reason'])}" if check["reason"] else ""
        yield f"  {name:{_CHECK_WIDTH}}{printable(check['outcome'])}{reason}"
        for ground in check["grounds"]:
            yield f"      {words.text(ground['text'])}"
            yield from (f"        by: {words.event(id_)}" for id_ in ground["event_ids"])
        yield from (f"        {line}" for line in _obstacle(check["obstacle"], words))
        yield from (f"        newest then: {words.event(id_)}" for id_ in check["against"])


def _named(named: Json, words: _Words) -> str:
    mark = "" if named["verdict"] == "accepted" else f"  ({printable(named['verdict'])})"
    return f"  {words.event(named['event_id'])}{mark}"


def _state(state: Json, words: _Words) -> Iterator[str]:
    if state["in_current"]:
        yield "  It is in the room's state."
    else:
        holds = state["holds"]
        stands = "nothing stands there" if holds is None else f"there stands: {words.event(holds)}"
        yield f"  It is not in the room's state; {stands}"
    if state["in_tips"] and not state["in_current"]:
        yield "  It is in the tip state, by which nodes compare what they have."
    elif state["in_current"] and not state["in_tips"]:
        yield "  It is not in the tip state, by which nodes compare what they have."
    for event_id in state["superseded_by"]:
        yield f"  Replaced by: {words.event(event_id)}"
    for lost in state["lost"]:
        at = lost["event_id"]
        where = _PLACES.get(lost["where"]) or f"where both sides came together: {words.event(at)}"
        yield f"  Lost a conflict {where}"
        yield from (f"    {line}" for line in _loss(lost["loss"], words))


def _loss(loss: Json, words: _Words) -> Iterator[str]:
    yield "to nothing" if loss["winner"] is None else f"to: {words.event(loss['winner'])}"
    yield f"why: {words.text(loss['why'])}"
    yield from (f"  {line}" for line in _obstacle(loss["obstacle"], words))
    yield f"rule: {printable(loss['rule'])}"


def _obstacle(obstacle: Json, words: _Words) -> Iterator[str]:
    yield from (f"because of: {words.event(event_id)}" for event_id in obstacle["because_of"])
    yield from (f"not in that state: {words.event(event_id)}" for event_id in obstacle["lacks"])


# --- diff


def diff_lines(answer: Json, labels: Labels) -> list[str]:
    """answer: of GET .../diff."""
    words = _Words(answer, labels)
    sections = (
        ("People", list(_people(answer, words))),
        ("Settings", list(_settings(answer, words))),
        ("Powers", list(_powers(answer, words))),
        ("Messages", list(_messages(answer, words))),
        ("Conflicts", list(_conflicts(answer, words))),
        ("Soft-failed: kept, but the state here isn't made from them", _judged(answer, words)),
        ("Rejected", _judged(answer, words, "rejected")),
        ("Not here yet", list(_missing(answer))),
    )
    lines = [_headline(answer, words)]
    for title, found in sections:
        if found:
            lines += ["", title, *(f"  {line}" for line in found)]
    return lines


def _headline(answer: Json, words: _Words) -> str:
    if answer["since_event"] is None:
        since = local_time(answer["since_ms"], seconds=True)
    else:
        since = words.event(answer["since_event"])
    if answer["kind"] == "invited":
        return "The room's history isn't here yet: nothing is judged, so nothing can be compared."
    news = count(answer["new_events"], "event")
    nothing = "; nothing changed" if not (answer["new_events"] + answer["rejected_count"]) else ""
    return f"{news[0].upper()}{news[1:]} new since {since}{nothing}"


def _people(answer: Json, words: _Words) -> Iterator[str]:
    for change in answer["members"]:
        before, after = words.content(change["before"]), words.content(change["after"])
        by = words.sender(change["after"])
        who = words.person(change["state_key"])
        themselves = change["after"] is not None and by == who
        yield f"{who} {_membership(before, after, None if themselves else by)}{_reason(after)}"


def _membership(before: Json, after: Json, by: str | None) -> str:
    """by: who did it, None for the person."""
    was, now = before.get("membership"), after.get("membership")
    by_whom = f" by {by}" if by else ""
    if was == now:
        if now == "join":
            name, other = before.get("displayname"), after.get("displayname")
            if name != other:
                return f'is called "{printable(other)}" now, was "{printable(name)}"'
            return "changed their profile"
        return f"is still {_IS.get(str(now), printable(now))}" + (f" ({by})" if by else "")
    match now:
        case "join":
            return "joined"
        case "invite":
            return f"was invited{by_whom}"
        case "knock":
            return "asked to join"
        case "ban":
            return f"was banned{by_whom}, was {_IS.get(str(was), 'not in the room')} before"
        case "leave" if by is None:
            return "declined the invite" if was == "invite" else "left"
        case "leave":
            taken = {"ban": "is banned no more, the ban was lifted", "invite": "was uninvited"}
            return f"{taken.get(str(was), 'was removed')}{by_whom}"
        case None:
            return f"is not in the room any more, was {_IS.get(str(was), printable(was))}"
        case other:
            return f"has the membership {printable(other)}{by_whom}"


_IS = {
    "join": "a member",
    "invite": "invited",
    "ban": "banned",
    "knock": "asking to join",
    "leave": "not in the room",
}


def _reason(content: Json) -> str:
    reason = content.get("reason")
    return f": {printable(reason)}" if isinstance(reason, str) and reason else ""


_FIELDS = {
    "m.room.name": ("name", "name"),
    "m.room.topic": ("topic", "topic"),
    "m.room.join_rules": ("join rule", "join_rule"),
    "m.room.history_visibility": ("who may read history", "history_visibility"),
    "m.room.canonical_alias": ("alias", "alias"),
    "m.room.avatar": ("picture", "url"),
    "m.room.guest_access": ("guests", "guest_access"),
}


def _settings(answer: Json, words: _Words) -> Iterator[str]:
    for change in answer["settings"]:
        name, field = _FIELDS.get(change["type"], (None, None))
        by = words.sender(change["after"])
        by_whom = f"  ({by})" if by else ""
        if name is not None and field is not None and not change["state_key"]:
            before, after = (words.content(change[side]).get(field) for side in ("before", "after"))
            yield f"{name}: {_value(before)} -> {_value(after)}{by_whom}"
        elif change["after"] is None:
            yield f"no longer set: {words.event(change['before'])}"
        else:
            yield words.event(change["after"])


def _value(value: object) -> str:
    return "(none)" if value is None or value == "" else f'"{printable(value)}"'


_POWER_OF = {
    "users_default": "everybody else's power",
    "events_default": "to send messages",
    "state_default": "to change settings",
}


def _powers(answer: Json, words: _Words) -> Iterator[str]:
    by = words.sender(answer["powers_event"])
    by_whom = f"  ({by})" if by else ""
    for change in answer["powers"]:
        if change["kind"] == "user":
            what = words.person(change["name"])
        elif change["kind"] == "level":
            what = _POWER_OF.get(change["name"], f"to {printable(change['name'])}")
        else:
            what = f"to send {printable(change['name'])}"
        before, after = (
            "as others" if change[side] is None else change[side] for side in ("before", "after")
        )
        yield f"{what}: {before} -> {after}{by_whom}"


def _messages(answer: Json, words: _Words) -> Iterator[str]:
    for talk in answer["messages"]:
        marks = [
            f"{talk[name]} {meaning}"
            for name, meaning in (("apart", "sent while apart"), ("soft_failed", "soft-failed"))
            if talk[name]
        ]
        more = f"  ({', '.join(marks)})" if marks else ""
        yield f"{talk['count']} from {words.person(talk['sender'])}{more}"
    if answer["other_events"]:
        yield f"{count(answer['other_events'], 'other event')}, such as reactions"


def _conflicts(answer: Json, words: _Words) -> Iterator[str]:
    for conflict in answer["conflicts"]:
        yield f"lost: {words.event(conflict['event_id'])}"
        yield from (f"  {line}" for line in _loss(conflict["loss"], words))
    yield from _more(answer["conflict_count"], answer["conflicts"])


def _judged(answer: Json, words: _Words, verdict: str = "soft_failed") -> list[str]:
    lines: list[str] = []
    for judged in answer[verdict]:
        lines += [words.event(judged["event_id"]), f"  why: {words.text(judged['reason'])}"]
    return [*lines, *_more(answer[f"{verdict}_count"], answer[verdict])]


def _more(number: int, listed: list[Json]) -> Iterator[str]:
    if number > len(listed):
        yield f"and {number - len(listed)} more"


def _missing(answer: Json) -> Iterator[str]:
    gaps = answer["gaps"]
    if gaps["missing"]:
        yield f"{count(gaps['missing'], 'event')} that others build on; see: dtnode gaps ROOM"
    if gaps["content"]:
        yield f"the content of {count(gaps['content'], 'event')}"
    if answer["held"]:
        yield f"{count(answer['held'], 'event')} held until then"
