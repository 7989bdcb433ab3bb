"""A second, slow implementation of the room model, from the specification alone.

It shares no code with dtnode, so that the two can be compared (test_agreement.py): literal_events
has formats, hashes and signatures, literal_auth the authorisation rules, literal_resolution the
state resolution, and this module the checks on receipt of a PDU, in the order and with the report
of tests/vectors/README.md. It knows one room; it is no server.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.hostile.literal_auth import check_auth_events, check_in_state
from tests.hostile.literal_events import (
    Dropped,
    Event,
    canonical,
    check_content_hash,
    check_signatures,
    decode_base64,
    domain,
    read_event,
)
from tests.hostile.literal_levels import Powers, Rejected
from tests.hostile.literal_resolution import Resolver, State


@dataclass
class Record:
    """What became of one line. redacted: check 3 failed, and something is missing now. why: for a
    person."""

    event_id: str | None = None
    verdict: str = ""
    redacted: bool = False
    state_before: str | None = None
    soft_failed: bool = False
    redaction: dict[str, Any] | None = None
    why: str = ""


def state_hash(state: State) -> str:
    entries = sorted([type_, state_key, event_id] for (type_, state_key), event_id in state.items())
    return hashlib.sha256(canonical(entries)).hexdigest()


def flat(state: State) -> dict[str, str]:
    return {f"{type_}|{state_key}": event_id for (type_, state_key), event_id in state.items()}


@dataclass
class LiteralRoom:
    """One room as one server sees it. keys: (server, key id) -> Ed25519 key. room_id: of the first
    create event; events of other rooms aren't here. judged_anew: a whole copy came late."""

    n: int
    keys: Mapping[tuple[str, str], bytes]
    room_id: str | None = None
    events: dict[str, Event] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    before: dict[str, State] = field(default_factory=dict)
    after: dict[str, State] = field(default_factory=dict)
    soft_failed: set[str] = field(default_factory=set)
    extremities: set[str] = field(default_factory=set)
    waiting: list[tuple[Event, list[Record]]] = field(default_factory=list)
    judged_anew: bool = False

    def __post_init__(self) -> None:
        self._records: dict[str, list[Record]] = {}
        self._states: dict[frozenset[str], State] = {}
        self.resolver = Resolver(self.events, self._is_rejected, self.n)

    def _is_rejected(self, event_id: str) -> bool:
        return self.verdicts[event_id] == "rejected"

    # --- checks 1 to 3

    def receive(self, line: bytes) -> Record:
        record = Record()
        try:
            event = read_event(line, self.n)
            record.event_id = event.event_id
            if self.room_id is None and event.type == "m.room.create":
                self.room_id = event.room_id
            if event.room_id != self.room_id:
                raise Dropped("of another room")
            kept = check_content_hash(event, self.n)
            known = self._known(event.event_id)
            # Signatures aren't part of the id; an equal copy needs no second look at them.
            if known is not None and known.json == event.json:
                record.verdict = "duplicate"
                return record
            check_signatures(event, kept, self.n, self.keys)
        except Dropped as dropped:
            record.verdict, record.why = "dropped", str(dropped)
            return record
        record.redacted = kept.redacted
        if known is None:
            self._add(kept, record)
        else:
            record.verdict = "duplicate"
            self._take_whole_copy(known, kept)
        return record

    def _known(self, event_id: str) -> Event | None:
        if event_id in self.events:
            return self.events[event_id]
        return next((e for e, _ in self.waiting if e.event_id == event_id), None)

    def _take_whole_copy(self, known: Event, kept: Event) -> None:
        """A copy whose hash holds replaces one that is only here redacted, and verdicts are given
        anew, as if it had come first: a relay must not be able to blank an event for good."""
        if kept.redacted or not known.redacted:
            return
        for at, (event, records) in enumerate(self.waiting):
            if event.event_id == kept.event_id:
                self.waiting[at] = kept, records
                return
        self.judged_anew = True
        self.events[kept.event_id] = kept
        judged = list(self.events.values())
        for forgotten in (self.events, self.verdicts, self.before, self.after, self._states):
            forgotten.clear()
        self.soft_failed.clear()
        self.extremities.clear()
        self.resolver = Resolver(self.events, self._is_rejected, self.n)
        for event in judged:
            self._judge(event, self._records[event.event_id])

    # --- missing parents

    def _add(self, event: Event, record: Record) -> None:
        record.verdict = "held"
        self.waiting.append((event, [record]))
        progress = True
        while progress:
            progress = False
            for entry in list(self.waiting):
                event, records = entry
                if all(i in self.events for i in (*event.json["prev_events"], *event.auth_ids)):
                    self.waiting.remove(entry)
                    self._judge(event, records)
                    progress = True

    # --- checks 4 to 6

    def _judge(self, event: Event, records: list[Record]) -> None:
        event_id = event.event_id
        parents: list[str] = event.json["prev_events"]
        before = self.state_over(parents)
        why = self._why_rejected(event, before)
        verdict = "rejected" if why else "accepted"
        self.events[event_id] = event
        self.verdicts[event_id] = verdict
        self.before[event_id] = before
        # "If E is a state event, then S'(E) is S(E), except that its entry corresponding to the
        # event_type and state_key of E is replaced by the event_id of E." A rejected event changes
        # nothing.
        applies = event.is_state and not why
        self.after[event_id] = {**before, event.key: event_id} if applies else before
        self.resolver.auth_chain(event_id)
        soft = "" if why else self._why_soft_failed(event)
        if soft:
            self.soft_failed.add(event_id)
        elif not why:
            self._advance(event)
        self._records[event_id] = records
        for record in records:
            record.verdict, record.soft_failed, record.why = verdict, bool(soft), why or soft
            record.state_before = state_hash(before)
            record.redaction = None if why else self._redaction(event)

    def _why_rejected(self, event: Event, before: State) -> str:
        auth_events = [self.events[auth_id] for auth_id in event.auth_ids]
        by_key = {auth_event.key: auth_event for auth_event in auth_events if auth_event.is_state}
        try:
            # 4: "Passes authorisation rules based on the event's auth events".
            pairs = [
                (auth_event, self._is_rejected(auth_event.event_id)) for auth_event in auth_events
            ]
            check_auth_events(event, pairs, self.n)
            check_in_state(event, lambda type_, state_key: by_key.get((type_, state_key)), self.n)
            # 5: "Passes authorisation rules based on the state before the event".
            self.check_in(event, before)
        except Rejected as rejected:
            return str(rejected) or "rejected"
        return ""

    def check_in(self, event: Event, state: State) -> None:
        """Rejected: not allowed in that state."""

        def lookup(type_: str, state_key: str) -> Event | None:
            event_id = state.get((type_, state_key))
            return None if event_id is None else self.events[event_id]

        check_in_state(event, lookup, self.n)

    def _why_soft_failed(self, event: Event) -> str:
        # 6: "Passes authorisation rules based on the current state of the room".
        current = self.current_state()
        acl = current.get(("m.room.server_acl", ""))
        # The design's addition: a denied server's event that comes through others soft-fails.
        if acl is not None and not acl_allows(self.events[acl], domain(event.sender)):
            return "denied by the server ACL"
        if set(event.json["prev_events"]) == self.extremities:
            return ""
        try:
            self.check_in(event, current)
        except Rejected as rejected:
            return str(rejected) or "rejected"
        return ""

    def _advance(self, event: Event) -> None:
        """The event is an extremity; its parents are none any more, nor what lies before parents
        that are soft-failed or rejected."""
        todo, seen = list(event.json["prev_events"]), set[str]()
        while todo:
            parent = todo.pop()
            if parent in seen:
                continue
            seen.add(parent)
            if parent in self.soft_failed or self._is_rejected(parent):
                todo += self.events[parent].json["prev_events"]
        self.extremities -= seen
        self.extremities.add(event.event_id)

    def state_over(self, event_ids: Iterable[str]) -> State:
        """The resolution of the states after the events."""
        ids = frozenset(event_ids)
        if ids not in self._states:
            self._states[ids] = self.resolver.resolve([self.after[event_id] for event_id in ids])
        return self._states[ids]

    def state_hash_before(self, event_id: str) -> str:
        return state_hash(self.before[event_id])

    def current_state(self) -> State:
        return self.state_over(self.extremities)

    def heads(self) -> list[str]:
        """Accepted events that no accepted event has as parent."""
        accepted = {
            event_id for event_id, verdict in self.verdicts.items() if verdict == "accepted"
        }
        parents = {p for event_id in accepted for p in self.events[event_id].json["prev_events"]}
        return sorted(accepted - parents)

    def _redaction(self, event: Event) -> dict[str, Any] | None:
        """ "The server applies the redaction if: The power level of the redaction event's sender is
        greater than or equal to the redact level", or "the domain of the redaction event's sender
        matches that of the original event's sender." A room's create event is never redacted."""
        if event.type != "m.room.redaction":
            return None
        target_id = (event.content if self.n >= 11 else event.json).get("redacts")
        target = self.events.get(target_id) if isinstance(target_id, str) else None
        if target is None:
            return None
        state = self.before[event.event_id]
        levels = state.get(("m.room.power_levels", ""))
        powers = Powers(
            self.events[state["m.room.create", ""]], self.events[levels] if levels else None, self.n
        )
        applies = target.type != "m.room.create" and (
            domain(event.sender) == domain(target.sender)
            or powers.of(event.sender) >= powers.named("redact", 50)
        )
        return {"target": target_id, "applies": applies}

    def report(self, records: Sequence[Record]) -> dict[str, Any]:
        heads = self.heads()
        return {
            "room_version": str(self.n),
            "events": list(records),
            "heads": heads,
            "state": flat(self.state_over(heads)),
            "extremities": sorted(self.extremities),
            "current_state": flat(self.current_state()),
            "conflicts": self.resolver.conflicts,
            "judged_anew": self.judged_anew,
        }


def acl_allows(acl: Event, server: str) -> bool:
    """client-server API, m.room.server_acl. One in redacted form has lost its lists."""
    if acl.redacted:
        return True
    # "The suspect server's port number must not be considered."
    host = re.sub(r":[0-9]{1,5}$", "", server)
    # "2. If the server name is an IP address (v4 or v6) literal, and allow_ip_literals is present
    # and false, deny."
    if acl.content.get("allow_ip_literals") is False and is_ip_literal(host):
        return False
    # "3. If the server name matches an entry in the deny list, deny. 4. If the server name matches
    # an entry in the allow list, allow. 5. Otherwise, deny."
    return not matches(host, acl.content.get("deny")) and matches(host, acl.content.get("allow"))


def is_ip_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def matches(host: str, globs: object) -> bool:
    """ "Case-insensitive glob expressions": * and ? (appendices, "Glob-style matching")."""
    patterns = [
        glob for glob in (globs if isinstance(globs, list) else []) if isinstance(glob, str)
    ]
    texts = [re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".") for glob in patterns]
    return any(re.fullmatch(text, host, re.DOTALL | re.IGNORECASE) for text in texts)


def room_of(header: bytes) -> LiteralRoom:
    """An empty room as the header line of a room file describes it."""
    found = json.loads(header)
    keys = {}
    for server, text in found["servers"].items():
        key = decode_base64(text)
        assert key is not None, f"the key of {server} is no base64"
        keys[server, found["key_id"]] = key
    return LiteralRoom(int(found["room_version"]), keys)


def judge(lines: Sequence[bytes]) -> dict[str, Any]:
    """A room file in file order; the report has the form of tests/vectors/README.md, with a Record
    for every event."""
    room = room_of(lines[0])
    return room.report([room.receive(line) for line in lines[1:]])
