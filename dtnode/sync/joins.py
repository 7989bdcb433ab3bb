"""Joins that need the peer's signature, until it has answered; and the peer's asking for ours.

Asking costs the other side four signature checks and a transaction: whoever keeps asking for what
it is refused is taken for a flooder.
"""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.errors import LimitError
from dtnode.sync.timing import MAX_ATTEMPTS, retry_at
from dtnode.wire.limits import MAX_REASON_BYTES
from dtnode.wire.messages import JoinRefused, JoinRequest, JoinSigned

MAX_REFUSED = 50  # requests of a contact in vain; each may come as often as one is repeated


@dataclass(slots=True)
class _Asked:
    request: JoinRequest
    due: float
    attempts: int = 0


class Joins:
    """The requests are this node's own: as many as its user has asked for."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}
        self._refused = 0

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, request: JoinRequest, due: float) -> None:
        self._asked[request.event_id] = _Asked(request, due)

    def answered(self, event_id: str) -> bool:
        """Whether an answer was waited for."""
        return self._asked.pop(event_id, None) is not None

    def dues(self) -> list[float]:
        return [asked.due for asked in self._asked.values()]

    def overdue(self, now: float, timeout_s: float) -> list[JoinRequest]:
        """Requests to send again now. One sent too often is given up: the person may ask again, and
        a join that was signed all the same comes with the room's other events."""
        again: list[JoinRequest] = []
        for event_id, asked in list(self._asked.items()):
            if asked.due > now:
                continue
            asked.attempts += 1
            if asked.attempts >= MAX_ATTEMPTS:
                del self._asked[event_id]
                continue
            asked.due = retry_at(now, timeout_s, asked.attempts)
            again.append(asked.request)
        return again

    def answer(
        self, request: JoinRequest, signed: bytes | None, reason: str
    ) -> JoinSigned | JoinRefused:
        """The answer to the peer's request. LimitError: a flood."""
        if signed is not None:
            return JoinSigned(
                room_id=request.room_id,
                room_version=request.room_version,
                event_id=request.event_id,
                pdu=signed,
            )
        self._refused += 1
        if self._refused > MAX_REFUSED:
            raise LimitError(f"{self._refused} joins were no good")
        line = "".join(char if char.isprintable() else " " for char in reason)
        line = line.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
        return JoinRefused(room_id=request.room_id, event_id=request.event_id, reason=line)
