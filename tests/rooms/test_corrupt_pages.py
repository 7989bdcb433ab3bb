"""Bytes flipped in every page of a store: SQLite tells of it, or the check does, or nothing that a
room consists of reads differently. Never a wrong event, state or tip without a word.
"""

from __future__ import annotations

import os
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dtnode.errors import StoreError
from dtnode.rooms.room_file import export_room
from dtnode.rooms.rooms import key_of_name
from dtnode.rooms.state import RoomStates
from dtnode.rooms.verify import check_store
from dtnode.store import Store
from dtnode.testing.rooms_builder import user_id_for
from tests.rooms.nodes import Node, make_room, meet

PAGE = 4096
ROUNDS = 20 if os.environ.get("DTNODE_FUZZ") == "deep" else 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a conflict, a held event and states in it."""
    room_id, (alice, bob) = make_room("alice", "bob")
    levels: Any = {"users": {bob.user_id: 50}}
    alice.set_state(room_id, "m.room.power_levels", levels)
    meet(alice, bob)
    for number in range(25):
        alice.set_state(room_id, "m.room.topic", {"topic": f"alice's {number}"})
        bob.set_state(room_id, "m.room.topic", {"topic": f"bob's {number}"})
        alice.say(room_id, "x" * 300)
        if number % 5 == 0:
            meet(alice, bob)
    meet(alice, bob)
    bob.say(room_id, "missing")
    last = bob.pdu(bob.say(room_id, "held"))
    path = tmp_path_factory.mktemp("whole") / "node.db"
    carol = Node("carol")
    carol.store = Store(path)
    rooms = type(carol.rooms)(
        carol.store, carol.signer, user_id_for("carol"), carol.clock, carol._entropy
    )
    rooms.import_lines(line.encode() for line in export_room(alice.store, room_id))
    rooms.receive(room_id, [last.canonical()], source="peer")
    carol.store.close()
    return path


def content(store: Store) -> object:
    """Everything that a room consists of."""
    (room,) = store.rooms
    events = list(store.events.in_nid_order(room.nid))
    return (
        room.room_id,
        list(export_room(store, room.room_id)),
        [(event.event_id, event.rejected, event.parents) for event in events],
        [store.state_groups.state(event.after) for event in events],
        store.rooms.tips(room.nid),
        store.state_groups.state(RoomStates(store).tip_group(room.nid)),
        store.state_groups.state(room.current_group),
    )


def is_noticed(path: Path, expected: object) -> bool:
    """Whether damage is told, by opening, reading or checking; AssertionError: something is wrong
    and nobody says so."""
    try:
        with closing(Store(path, read_only=True)) as store:
            if check_store(store, key_of_name, lambda _: None).found:
                return True
            found = content(store)
    except StoreError:
        return True
    assert found == expected
    return False


def test_a_whole_store_is_not_suspected(whole: Path) -> None:
    with closing(Store(whole, read_only=True)) as store:
        expected = content(store)
    assert not is_noticed(whole, expected)


@pytest.mark.parametrize("kind", ["a byte", "sixteen bytes", "zeroed", "random"])
def test_flipped_bytes_in_every_page(whole: Path, tmp_path: Path, kind: str) -> None:
    with closing(Store(whole, read_only=True)) as store:
        expected = content(store)
    original = whole.read_bytes()
    pages = len(original) // PAGE
    assert pages > 40
    rng = random.Random(kind)
    noticed = 0
    for at in range(0, ROUNDS * len(original), PAGE):
        start = at % len(original)
        data = bytearray(original)
        if kind in ("zeroed", "random"):
            page = bytes(PAGE) if kind == "zeroed" else rng.randbytes(PAGE)
            data[start : start + PAGE] = page
        else:
            for _ in range(1 if kind == "a byte" else 16):
                data[start + rng.randrange(PAGE)] ^= rng.randrange(1, 256)
        path = tmp_path / "node.db"
        path.write_bytes(data)
        noticed += is_noticed(path, expected)
    # One byte may lie where nothing is kept.
    assert noticed >= ROUNDS * pages * (0.3 if kind == "a byte" else 0.6)
