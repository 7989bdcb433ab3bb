"""Two nodes that are in a room together, for the tests here."""

from __future__ import annotations

from dtnode.testing.demo.processes import (
    Json,
    NodeProcess,
    dial,
    introduce,
    listen,
    start_all,
    wait_until,
)

PATIENCE_S = 20.0  # what has to happen by itself takes well under a second on an idle machine


def eventually(true: object, what: str) -> None:
    """AssertionError unless `true()` within PATIENCE_S."""
    assert callable(true)
    assert wait_until(lambda: bool(true()), PATIENCE_S) is not None, f"not in time: {what}"


def peer(node: NodeProcess, other: NodeProcess) -> Json:
    """What `node` says of `other`; {} if it doesn't know it."""
    found = [p for p in node.status()["peers"] if p["server_name"] == other.server_name]
    return found[0] if found else {}


def connected(node: NodeProcess, other: NodeProcess) -> bool:
    return bool(peer(node, other).get("connected"))


def membership(node: NodeProcess, room: str) -> str | None:
    found = node.room(room)
    return None if found is None else found["membership"]


def agree(one: NodeProcess, other: NodeProcess, room: str) -> bool:
    rooms = [node.room(room) for node in (one, other)]
    keys = ("tips", "tip_state", "events")
    return None not in rooms and len({str([r[k] for k in keys]) for r in rooms if r}) == 1


def together(one: NodeProcess, other: NodeProcess, room: str) -> str:
    """Both run, `other` dials `one` and joins its new room; the room's id."""
    address = listen(one)
    dial(other, address)
    start_all((one, other))
    introduce(one, other)
    room_id = one.cli("room", "create", room).strip()
    one.cli("room", "invite", room, other.user_id)
    eventually(lambda: membership(other, room_id) == "invite", "the invite")
    other.cli("room", "join", room)
    eventually(lambda: agree(one, other, room_id), "both have the same room")
    return room_id
