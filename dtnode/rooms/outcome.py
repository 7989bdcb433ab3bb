"""What became of an event, in values (DESIGN section 2, receive order)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"  # kept as an ancestor, never part of the state (checks 4, 5)
    DROPPED = "dropped"  # not kept at all (checks 1, 2)
    HELD = "held"  # parents or auth events are missing (check 3)
    DUPLICATE = "duplicate"


class Check(enum.Enum):
    """The checks in the order applied; the names of `dtnode audit --json`."""

    FORMAT = "format"
    SIGNATURE = "signature"
    CONTENT_HASH = "content_hash"
    AUTH_EVENTS = "auth_events"
    STATE_BEFORE = "state_before"
    CURRENT_STATE = "current_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """event_id: None if the event was too broken to have one. check: the one that failed. reason:
    one line for a person. missing: what a held event waits for. redacted: kept in redacted form,
    its content hash failed."""

    event_id: str | None
    verdict: Verdict
    check: Check | None = None
    reason: str | None = None
    soft_failed: bool = False
    redacted: bool = False
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """outcomes: of the events given, in their order. released: of events that were held until now.
    evicted: ids of held events that made room; they are to be asked for again."""

    outcomes: tuple[Outcome, ...]
    released: tuple[Outcome, ...] = ()
    evicted: tuple[str, ...] = ()

    @property
    def accepted(self) -> list[str]:
        """Ids of all newly accepted events, parents first."""
        return [
            outcome.event_id
            for outcome in (*self.outcomes, *self.released)
            if outcome.verdict is Verdict.ACCEPTED and outcome.event_id is not None
        ]
