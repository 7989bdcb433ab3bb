"""A child process that writes transactions to a store and reports each once it has ended, until it
is killed. Run by test_durability with the store's path; one line of standard output per commit."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script

from dtnode.store import Store
from tests.store.samples import add_event, add_room, sample_pdu


def write_until_killed(path: Path) -> None:
    store = Store(path)
    room = next(iter(store.rooms), None) or add_room(store)
    number = store.events.last_position()
    print("ready", flush=True)
    while True:
        first = number + 1
        with store.transaction():
            group = store.rooms.by_nid(room.nid).current_group
            for number in range(first, first + 1 + first % 7):
                tips = tuple(sorted(store.rooms.tips(room.nid)))
                group = store.state_groups.derive(group, {("n", str(number % 10)): f"${number}"})
                event = add_event(store, room, number, tips, group=group)
                store.rooms.set_tips(room.nid, [event.nid])
                store.rooms.set_forward_extremities(room.nid, [event.nid])
            store.rooms.set_current_group(room.nid, group)
            held = sample_pdu(f"held {number}", [f"$missing{number}"])
            store.held.add(room.nid, held, held.prev_events, source="peer", now_ms=number)
            store.set_meta("last", number)
        print(number, flush=True)


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]))
