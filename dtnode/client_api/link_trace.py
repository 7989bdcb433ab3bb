"""/_dtnode/v1/trace and /_dtnode/v1/tally: what goes over the links, and where their bytes went.

No content of rooms and no keys: kinds, sizes, ids, numbers. Called by `dtnode link trace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from dtnode.client_api.api import MAX_POLL_S, Api, unless_hung_up
from dtnode.client_api.requests import Call, not_found
from dtnode.client_api.routes import OWN, Route, get

Json = dict[str, Any]

_MAX_NUMBER = 1 << 53


async def trace(api: Api, call: Call) -> Json:
    """?after=N&timeout_ms=T&link=ID: {"entries": [...], "next": N, "lost": K}.

    Entries after the answer whose `next` was N: at once if there are some, else as soon as there
    are, within timeout_ms. Without `after` nothing but `next`: from now on links are watched. lost:
    entries that went by unread. An entry: number, at_ms, link_id, peer (server name or null),
    incoming (true, false or null), layer ("frame", "message", "session"), size_bytes, text.
    """
    link_id = _link(api, call)
    after = None if call.query("after") is None else call.query_int("after", 0, 0, _MAX_NUMBER)
    timeout_s = min(call.query_int("timeout_ms", 0, 0, 600_000) / 1000, MAX_POLL_S)
    return await unless_hung_up(call.request, partial(api.host.trace, after, timeout_s, link_id))


async def tally(api: Api, call: Call) -> Json:
    """?link=ID: {"links": [{"id", "cipher", "state", "connections": [...]}]}.

    A connection: peer (null: not proved, or an open link), up_since_ms, bytes, frames and events in
    and out, rows of {incoming, kind, count, bytes} whose bytes add up to bytes_in and bytes_out.
    """
    link_id = _link(api, call)
    states = {link["id"]: link for link in api.host.links()}
    wanted = states if link_id is None else (link_id,)
    return {
        "links": [
            {
                "id": one,
                "cipher": states[one]["cipher"],
                "state": states[one]["state"],
                "connections": list(api.host.tallies(one)),
            }
            for one in wanted
        ]
    }


def _link(api: Api, call: Call) -> str | None:
    link_id = call.query("link")
    known = [link["id"] for link in api.host.links()]
    if link_id is not None and link_id not in known:
        there = ", ".join(known) or "none"
        raise not_found(f"there is no link {link_id[:80]!r}; the links here: {there}")
    return link_id


ROUTES: Sequence[Route] = (get(f"{OWN}/trace", trace), get(f"{OWN}/tally", tally))
