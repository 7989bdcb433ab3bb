"""Giving disk back: states that nothing refers to go, then the file is written anew.

Called on a store that nobody else has open (`dtnode compact`), never by a running node: rewriting
the file takes as long as copying it, and its room on the disk twice over.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from dtnode.store.database import Database
from dtnode.store.state_groups import EMPTY_GROUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """groups_dropped: states that no event and no room referred to any more."""

    before_bytes: int
    after_bytes: int
    groups_dropped: int


def compact(db: Database) -> Compacted:
    """StoreError: the disk is too full for the copy, or the file is damaged; nothing is lost."""
    before = db.size_bytes()
    db.quick_check()
    with db.transaction():
        dropped = drop_unreferenced_groups(db)
    db.rewrite()
    return Compacted(before_bytes=before, after_bytes=db.size_bytes(), groups_dropped=dropped)


def drop_unreferenced_groups(db: Database) -> int:
    """How many went. What a group holds stays the same; one on which several others stand stays as
    their base, since each of them would have to repeat it."""
    bases = dict(db.execute("SELECT group_nid, base_group FROM state_groups").fetchall())
    children: dict[int, set[int]] = {}
    for group, base in bases.items():
        children.setdefault(base, set()).add(group)
    dropped = 0
    # A base has a smaller number: by the time a group is looked at, all that stands on it was.
    for group in sorted(bases.keys() - _referenced(db), reverse=True):
        above = children.get(group, set())
        if len(above) > 1:
            continue
        base = bases[group]
        for child in above:
            _put_on_base_of(db, child, group, base)
            bases[child] = base
            children[base].add(child)
        children[base].discard(group)
        db.execute("DELETE FROM state_groups WHERE group_nid = ?", (group,))
        dropped += 1
    return dropped


def _referenced(db: Database) -> set[int]:
    rows = db.execute(
        "SELECT before_group FROM events UNION SELECT after_group FROM events"
        " UNION SELECT current_group FROM rooms"
    )
    return {row[0] for row in rows.fetchall()}


def _put_on_base_of(db: Database, child: int, group: int, base: int) -> None:
    """Lets `child` stand on what `group` stands on; what that changed becomes the child's."""
    merged = _delta(db, group)
    merged.update(_delta(db, child))
    if base == EMPTY_GROUP:  # nothing there to be taken away
        merged = {key: event_id for key, event_id in merged.items() if event_id is not None}
    data = orjson.dumps([[type_, key, event_id] for (type_, key), event_id in merged.items()])
    db.execute(
        "UPDATE state_groups SET base_group = ?, delta = ? WHERE group_nid = ?",
        (base, data, child),
    )


def _delta(db: Database, group: int) -> dict[tuple[str, str], str | None]:
    row = db.execute("SELECT delta FROM state_groups WHERE group_nid = ?", (group,)).fetchone()
    return {(type_, key): event_id for type_, key, event_id in orjson.loads(row[0])}
