"""What a running node does by itself now and then: rooms' history limits. Started by Node.run."""

from __future__ import annotations

import logging
from functools import partial

import trio

from dtnode.clock import Clock
from dtnode.errors import StoreError
from dtnode.node.worker import StoreWorker
from dtnode.rooms import Rooms
from dtnode.rooms.history_limit import LimitStep

FIRST_LIMIT_S = 600.0  # after a start: nodes that run for some hours a day have their turn as well
LIMIT_EVERY_S = 86_400.0

logger = logging.getLogger(__name__)


async def keep_limits(rooms: Rooms, worker: StoreWorker, clock: Clock) -> None:
    """Until cancelled."""
    wait_s = FIRST_LIMIT_S
    while True:
        await trio.sleep(wait_s)
        wait_s = LIMIT_EVERY_S
        try:
            await _apply_limits(rooms, worker, clock)
        except StoreError as exc:
            logger.error("history limits can't be applied, the next time is in a day: %s", exc)


async def _apply_limits(rooms: Rooms, worker: StoreWorker, clock: Clock) -> None:
    """Step by step, so that others have their turn at the store."""

    def limited() -> list[int]:
        return [room.nid for room in rooms.store.rooms if room.is_limited]

    def step(nid: int, after_nid: int) -> LimitStep:
        return rooms.limiter.step(rooms.store.rooms.by_nid(nid), clock.now_ms(), after_nid)

    for nid in await worker.run(limited):
        done = LimitStep(after_nid=0)
        while done.after_nid is not None:
            done = await worker.run(partial(step, nid, done.after_nid)) + done
        if done.dropped:
            logger.info("room %d: %d bodies dropped by its history limit", nid, done.dropped)
