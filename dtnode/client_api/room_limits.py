"""/_dtnode/v1/rooms/{id}/limit: how much of a room's messages stays on this disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from dtnode.client_api.api import Api
from dtnode.client_api.requests import Call, bad_parameter, optional
from dtnode.client_api.routes import OWN, Route, get, post
from dtnode.rooms.history_limit import LimitStep
from dtnode.store import RoomRecord

MAX_KEEP_EVENTS = 2**31
MAX_KEEP_DAYS = 36_500  # a hundred years

Json = dict[str, Any]


async def room_limit(api: Api, call: Call) -> Json:
    return _limit(await api.host.read(lambda: api.room(call.params["room_id"])))


async def set_room_limit(api: Api, call: Call) -> Json:
    """{"keep_events": N} or {"keep_days": N}; {} for no limit. Applied at once, step by step, so
    that others have their turn; where that is broken off, `dtnode compact` does the rest."""
    body = await call.json()
    keep_events = _number(body, "keep_events", MAX_KEEP_EVENTS)
    keep_days = _number(body, "keep_days", MAX_KEEP_DAYS)
    if keep_events is not None and keep_days is not None:
        raise bad_parameter("a room has one limit: a number of events or a number of days")

    def work() -> RoomRecord:
        nid = api.room(call.params["room_id"]).nid
        return api.rooms.store.rooms.set_limit(nid, keep_events=keep_events, keep_days=keep_days)

    room = await api.host.run(work)
    done, now_ms = LimitStep(after_nid=0), api.host.now_ms()
    while (after := done.after_nid) is not None:
        done = await api.host.run(partial(api.rooms.limiter.step, room, now_ms, after)) + done
    return {**_limit(room), "dropped": done.dropped, "kept_own": done.kept_own}


def _number(body: Json, name: str, most: int) -> int | None:
    number = optional(body, name, int)
    if number is not None and not 1 <= number <= most:
        raise bad_parameter(f"{name!r} has to be a number from 1 to {most}")
    return number


def _limit(room: RoomRecord) -> Json:
    return {
        "room_id": room.room_id,
        "keep_events": room.keep_events,
        "keep_days": room.keep_days,
    }


ROUTES: Sequence[Route] = (
    get(f"{OWN}/rooms/{{room_id}}/limit", room_limit),
    post(f"{OWN}/rooms/{{room_id}}/limit", set_room_limit),
)
