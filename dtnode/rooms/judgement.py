"""What the checks 4 to 6 found of one event, before it is stored. Values and pure rules, for
dtnode.rooms.receive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dtnode.matrix.pdu import Pdu
from dtnode.rooms.outcome import Check, Outcome, Verdict
from dtnode.store import StoredEvent


class Judgement(NamedTuple):
    """before: the state group. failed: the check (4 or 5) that rejects it, and why. soft_reason:
    why check 6 soft-fails it."""

    before: int
    failed: tuple[Check, str] | None
    soft_reason: str | None

    @property
    def reason(self) -> str | None:
        return self.failed[1] if self.failed else self.soft_reason

    def outcome(self, pdu: Pdu) -> Outcome:
        check = self.failed[0] if self.failed else None
        if self.soft_reason is not None:
            check = Check.CURRENT_STATE
        return Outcome(
            event_id=pdu.event_id,
            verdict=Verdict.REJECTED if self.failed else Verdict.ACCEPTED,
            check=check,
            reason=self.reason,
            soft_failed=self.soft_reason is not None,
            redacted=pdu.redacted,
        )


def is_witness(pdu: Pdu, parents: Sequence[StoredEvent]) -> bool:
    """Whether an event shows that its server had everything before it. A join may have been made on
    an invite or a card alone, and so may what its server chained on that."""
    if pdu.membership == "join" and pdu.state_key == pdu.sender:
        return False
    server = pdu.sender_server
    return not all(p.pdu.sender_server == server and not p.witness for p in parents)
