"""What this node's user calls themselves: kept on the node, and told to rooms by membership events.

Read by dtnode.rooms.admission (joins and knocks carry it) and by the client API's profile calls.
"""

from __future__ import annotations

from typing import Any

from dtnode.store import Store

_SCOPE, _KEY = "profile", "displayname"


def own_displayname(store: Store) -> str | None:
    value = store.client_values.get(_SCOPE, _KEY)
    return value.decode() if value else None


def set_own_displayname(store: Store, name: str) -> None:
    """An empty one takes it away."""
    store.client_values.put(_SCOPE, _KEY, name.encode())


def with_profile(store: Store, content: dict[str, Any]) -> dict[str, Any]:
    """The content of an own membership event with the display name in it: a second event that only
    tells the name would cost its airtime at every node of the room."""
    name = own_displayname(store)
    return content if name is None else {**content, "displayname": name}
