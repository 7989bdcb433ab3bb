"""What the log says of a peer's bad events: the reason, on one line, and never without end.

Called by dtnode.node.connection.
"""

from __future__ import annotations

import logging

from dtnode.node.peer_work import Ingested
from dtnode.rooms import Outcome, Verdict

_LINE_CHARS = 300  # of what a peer chose; ids have at most 255
_LOGGED_A_BATCH = 5  # outcomes told one by one; a flood must not fill the disk with log lines

logger = logging.getLogger(__name__)


def log_refused(peer: str, room_id: str, done: Ingested) -> None:
    """Events that were dropped, rejected, soft-failed, or came with other content than they say."""
    refused = [
        outcome
        for outcome in done.outcomes
        if outcome.verdict in (Verdict.DROPPED, Verdict.REJECTED)
        or outcome.soft_failed
        or outcome.event_id in done.altered
    ]
    for outcome in refused[:_LOGGED_A_BATCH]:
        logger.warning(
            "%s: event %s of %s from %s: %s",
            _verdict(outcome),
            outcome.event_id,
            room_id,
            peer,
            one_line(outcome.reason or "its content is not what its hash says"),
        )
    if len(refused) > _LOGGED_A_BATCH:
        logger.warning("and %d more in the same batch", len(refused) - _LOGGED_A_BATCH)


def _verdict(outcome: Outcome) -> str:
    if outcome.soft_failed:
        return "soft-failed"
    refused = outcome.verdict in (Verdict.DROPPED, Verdict.REJECTED)
    return outcome.verdict.value if refused else "altered"


def one_line(text: str) -> str:
    """What a peer chose, fit for one line of a log."""
    return "".join(char if char.isprintable() else "?" for char in text[:_LINE_CHARS])
