"""What state a sync response must carry so that its client ends with the room's current state.

Clients put together what they believe: the state section, then every state event of the timeline in
turn. In a room that forked that would be wrong: the last topic to arrive here need not be the one
that won. So state events that are not the current state, and that nothing later in the timeline
overrides, are left out of the timeline (scrolling back finds them), and what turned over without an
event of its own is told in the state section. Pure: ids and events in, ids and events out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dtnode.client_api.snapshots import StateIds
from dtnode.matrix.pdu import StateKey
from dtnode.rooms.timeline import TimelineEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """timeline: what to show. state: event ids for the state section, the state where the timeline
    starts as far as it differs from what was told. undone: ids of events that were told and whose
    key has no value any more."""

    timeline: tuple[TimelineEvent, ...]
    state: tuple[str, ...]
    undone: tuple[str, ...]


def reconcile(
    told: StateIds,
    now: StateIds,
    timeline: Sequence[TimelineEvent],
    before: Callable[[str], StateIds],
    *,
    limited: bool,
) -> Reconciled:
    """told: what the client believes. now: what it shall believe in the end. before: event id ->
    the state before that event ({} if not known). limited: the room has events before the timeline
    that the client wasn't told."""
    kept = _without_losers(now, timeline)
    shown = {event.pdu.event_id for event in kept}
    first: dict[StateKey, str] = {}
    for event in kept:
        if event.pdu.is_state:
            first.setdefault(event.pdu.key, event.pdu.event_id)
    state = (
        []
        if now is told
        else [
            event_id
            for key, event_id in now.items()
            if key not in first and told.get(key) != event_id
        ]
    )
    for key, event_id in first.items():
        if key in told and not limited:
            continue  # what the client believes is what it was just before
        earlier = before(event_id).get(key)
        if earlier is not None and earlier != told.get(key) and earlier not in shown:
            state.append(earlier)
    undone = tuple(told[key] for key in told if key not in now) if now is not told else ()
    return Reconciled(timeline=tuple(kept), state=tuple(state), undone=undone)


def _without_losers(now: StateIds, timeline: Sequence[TimelineEvent]) -> list[TimelineEvent]:
    """The timeline without state events that would leave a client with another state than `now`."""
    kept: list[TimelineEvent] = []
    settled: set[StateKey] = set()  # keys whose present value comes later in the timeline
    for event in reversed(timeline):
        pdu = event.pdu
        if not pdu.is_state:
            kept.append(event)
        elif now.get(pdu.key) == pdu.event_id:
            settled.add(pdu.key)
            kept.append(event)
        elif pdu.key in settled and not event.soft_failed:
            kept.append(event)
    kept.reverse()
    return kept
