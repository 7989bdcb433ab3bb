"""What was asked of one peer and hasn't come: bounded, repeated, given up without progress."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_OUTSTANDING = 500  # ids per room; as many as one Want may name
MAX_GAPS = 250  # of them what others' events lack: some may be invented, and must leave room
MAX_FRUITLESS_ROUNDS = 64  # Wants in a row whose answers only led to more unknown parents
MAX_NOT_THERE = 20_000  # ids a peer said it hasn't; beyond it some may be asked for twice
MAX_ROOMS = 1_000  # rooms with outstanding Wants; more than a node has


@dataclass(slots=True)
class _Asked:
    due: float
    attempts: int = 0


class Wants:
    def __init__(self) -> None:
        self._asked: dict[str, dict[str, _Asked]] = {}
        self._fruitless: dict[str, int] = {}
        self._not_there: set[str] = set()
        self.have: dict[str, tuple[str, ...]] = {}

    def new(
        self,
        room_id: str,
        event_ids: Iterable[str],
        have: Sequence[str],
        due: float,
        *,
        gaps: Iterable[str] = (),
    ) -> tuple[str, ...]:
        """Those of `event_ids`, then of `gaps`, to ask for now; outstanding from here on.

        What the peer said it hasn't is not asked for again in this contact."""
        if len(self._asked) >= MAX_ROOMS and room_id not in self._asked:
            return ()
        if self._fruitless.get(room_id, 0) >= MAX_FRUITLESS_ROUNDS:
            return ()
        asked = self._asked.setdefault(room_id, {})
        chosen = []
        for wanted, limit in ((event_ids, MAX_OUTSTANDING), (gaps, MAX_GAPS)):
            for event_id in wanted:
                if len(asked) >= limit:
                    break
                if event_id not in asked and event_id not in self._not_there:
                    asked[event_id] = _Asked(due)
                    chosen.append(event_id)
        if chosen:
            self.have[room_id] = tuple(have)
            self._fruitless[room_id] = self._fruitless.get(room_id, 0) + 1
        return tuple(chosen)

    def came(self, room_id: str, event_ids: Iterable[str]) -> None:
        asked = self._asked.get(room_id, {})
        for event_id in event_ids:
            asked.pop(event_id, None)

    def not_there(self, room_id: str, event_ids: Iterable[str]) -> None:
        """Only what was asked for counts: a peer can't fill this with inventions."""
        asked = self._asked.get(room_id, {})
        if len(self._not_there) < MAX_NOT_THERE:
            self._not_there.update(event_id for event_id in event_ids if event_id in asked)
        self.came(room_id, event_ids)

    def progress(self, room_id: str) -> None:
        """Something was judged: the chain of unknown parents has an end."""
        self._fruitless.pop(room_id, None)

    def outstanding(self, room_id: str) -> frozenset[str]:
        return frozenset(self._asked.get(room_id, ()))

    def next_due(self) -> float | None:
        return min(
            (asked.due for room in self._asked.values() for asked in room.values()), default=None
        )

    def overdue(self, now: float, again_at: float, max_attempts: int) -> dict[str, tuple[str, ...]]:
        """room -> ids to ask for again; ids asked too often are given up."""
        found: dict[str, tuple[str, ...]] = {}
        for room_id, asked in self._asked.items():
            late = [event_id for event_id, entry in asked.items() if entry.due <= now]
            for event_id in late:
                entry = asked[event_id]
                entry.attempts += 1
                entry.due = again_at
                if entry.attempts >= max_attempts:
                    del asked[event_id]
            again = tuple(event_id for event_id in late if event_id in asked)
            if again:
                found[room_id] = again
        return found
