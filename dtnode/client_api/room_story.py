"""dtnode's own calls that tell a room's story: `explain` (why one event is judged as it is) and
`diff` (what changed since an event or a time). Under /_dtnode/v1/rooms/{room_id}.

The answers name events by id; `events` holds each of those that are here, in client format, with
its verdict under `unsigned`. What the other fields mean stands in dtnode.rooms.explanation and
dtnode.rooms.changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from dtnode.client_api.api import Api
from dtnode.client_api.render import OWN as OWN_UNSIGNED
from dtnode.client_api.requests import Call, bad_parameter
from dtnode.client_api.routes import OWN, Route, get
from dtnode.errors import ClientApiError
from dtnode.rooms.explain import verdict_of
from dtnode.rooms.timeline import TimelineEvent, client_event
from dtnode.store import RoomRecord

Json = dict[str, Any]

_MAX_MS = 2**53  # what JSON integers hold; the store's have 64 bits


async def explain(api: Api, call: Call) -> Json:
    """?event=the id or the beginning of it (5 characters or more), with or without the $."""
    room_id, text = call.params["room_id"], call.query("event")
    if text is None:
        raise bad_parameter("say which event: ?event=ID")

    def work() -> Json:
        room = api.room(room_id)
        explainer = api.rooms.explainer
        found = explainer.explain(room, explainer.find(room, text))
        return {**asdict(found), "events": _events(api, room, found.event_ids())}

    answer = await api.host.read(work)
    asked = await api.host.asked(room_id)
    answer["asked"] = {
        event_id: list(asked[event_id]) for event_id in answer["waits_for"] if event_id in asked
    }
    return answer


async def diff(api: Api, call: Call) -> Json:
    """?since=an event's id (or the beginning of it, as for `explain`, with the $), or milliseconds
    since the epoch by this node's clock."""
    since = call.query("since")
    if since is None:
        raise bad_parameter("say since when: ?since=$EVENT or ?since=MILLISECONDS")
    event, ms = (since, 0) if since.startswith("$") else (None, _milliseconds(since))

    def work() -> Json:
        room = api.room(call.params["room_id"])
        if event is None:
            found = api.rooms.changes.since_time(room, ms)
        else:
            event_id = api.rooms.explainer.find(room, event)
            judged = api.rooms.changes.since_event(room, event_id)
            if judged is None:
                raise ClientApiError(
                    400,
                    "M_INVALID_PARAM",
                    f"{event_id} isn't judged here yet, so nothing can be compared with it: choose"
                    " an earlier event, or a time",
                )
            found = judged
        gaps = Counter(gap.kind.value for gap in api.rooms.gaps(room))
        return {
            **asdict(found),
            "kind": room.kind.name.lower(),
            "gaps": {"missing": gaps["missing"], "content": gaps["content"]},
            "events": _events(api, room, found.event_ids()),
        }

    return await api.host.read(work)


def _milliseconds(text: str) -> int:
    try:
        ms = int(text[:20])
    except ValueError:
        raise bad_parameter(
            f"{text[:80]!r} is neither an event's id, which begins with $, nor milliseconds"
        ) from None
    return max(-_MAX_MS, min(_MAX_MS, ms))


def _events(api: Api, room: RoomRecord, event_ids: Iterable[str]) -> Json:
    """Id -> client event, of those that are here."""
    labels, now_ms = api.rooms.names.labels(), api.host.now_ms()
    on_cards = api.rooms.explainer.on_cards(room)
    found: Json = {}
    for event_id in sorted(event_ids):
        stored = api.rooms.store.events.get(event_id)
        held = None if stored is not None else api.rooms.store.held.get(event_id)
        if stored is not None and stored.room_nid == room.nid:
            verdict = verdict_of(stored)
            event = TimelineEvent(
                pdu=stored.pdu, position=stored.position, soft_failed=stored.soft_failed
            )
        elif held is not None and held.room_nid == room.nid:
            verdict = "held"
            event = TimelineEvent(pdu=held.pdu, position=held.position, provisional=True)
        elif event_id in on_cards:
            pdu = on_cards[event_id]
            own = {"verdict": "on a card", "label": labels.get(pdu.sender, pdu.sender)}
            found[event_id] = {**client_event(pdu), "unsigned": {OWN_UNSIGNED: own}}
            continue
        else:
            continue
        label = labels.get(event.pdu.sender, event.pdu.sender)
        rendered = api.renderer.event(room, event, now_ms=now_ms, label=label)
        rendered["unsigned"][OWN_UNSIGNED]["verdict"] = verdict
        found[event_id] = rendered
    return found


ROUTES: Sequence[Route] = (
    get(f"{OWN}/rooms/{{room_id}}/explain", explain),
    get(f"{OWN}/rooms/{{room_id}}/diff", diff),
)
