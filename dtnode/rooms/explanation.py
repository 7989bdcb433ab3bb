"""What `dtnode room explain` has to say of an event, in values. dtnode.rooms.explain makes them,
dtnode.client_api and the command line show them.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.rooms.conflicts import Loss
from dtnode.rooms.grounds import NO_OBSTACLE, Ground, Obstacle

ANCESTORS = "ancestors"  # check 3, which has no name in dtnode.rooms.outcome: nothing fails it


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """check: a Check's value or ANCESTORS. outcome: "ok", "failed", "redacted" (content_hash: kept
    without content), "waiting" (for missing events), "not reached". reason: the rule that it fails,
    or what it waits for. grounds: what allows it, told once. obstacle: what forbids it. against: of
    the state read, the forward extremities (current_state)."""

    check: str
    outcome: str
    reason: str | None = None
    grounds: tuple[Ground, ...] = ()
    obstacle: Obstacle = NO_OBSTACLE
    against: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An event that another names. verdict: as Explanation's."""

    event_id: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAt:
    """where: "merge" (at the event `event_id`, which builds on both), "current state" or "tip
    state" (over the newest events)."""

    where: str
    event_id: str | None
    loss: Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReport:
    """What became of the state it set. holds: the event that stands there in the current state."""

    in_current: bool
    in_tips: bool
    holds: str | None
    superseded_by: tuple[str, ...]
    lost: tuple[LostAt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """verdict: "accepted", "soft-failed", "rejected", "held" (not judged: events that it builds on
    are missing), "on a card" (known by an invite's card, judged when the history is here),
    "missing" (others name it, it isn't here). reason: why it is anything but accepted. arrived_ms:
    when it was judged, or came where it isn't yet. source: the server that brought a held one.
    allowed_now: of a soft-failed one, whether today's current state would allow it. waits_for:
    missing events. needed_by: of a missing one. content: "whole", "gap" (a redacted copy, whole
    ones are looked for), "redacted copy" (not meant for this server), "dropped" (by this room's
    history limit). apart: concurrent with its sender's removal."""

    room_id: str
    event_id: str
    verdict: str
    reason: str | None = None
    arrived_ms: int | None = None
    source: str | None = None
    content: str = "whole"
    apart: bool = False
    allowed_now: bool | None = None
    checks: tuple[CheckReport, ...] = ()
    parents: tuple[Named, ...] = ()
    auth_events: tuple[Named, ...] = ()
    state: StateReport | None = None
    waits_for: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()

    def event_ids(self) -> set[str]:
        """Of all events that it mentions."""
        found = {self.event_id, *self.waits_for, *self.needed_by}
        found.update(named.event_id for named in (*self.parents, *self.auth_events))
        for check in self.checks:
            found.update(check.obstacle.event_ids(), check.against)
            for ground in check.grounds:
                found.update(ground.event_ids)
        if self.state is not None:
            found.update(self.state.superseded_by, filter(None, [self.state.holds]))
            for lost in self.state.lost:
                found.update(filter(None, [lost.event_id]), lost.loss.event_ids())
        return found
