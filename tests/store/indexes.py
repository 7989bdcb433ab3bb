"""A store as an older dtnode left it: with events, and without what is looked up of them."""

from __future__ import annotations

from dtnode.store import Store

_TABLES = ("auth_chains", "auth_links", "redactions")


def tables(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: sorted(store._db.execute(f"SELECT * FROM {table}").fetchall()) for table in _TABLES
    }


def forget_indexes(store: Store) -> None:
    """All of it; `store.indexes.catch_up` makes it anew."""
    with store.transaction():
        for table in _TABLES:
            store._db.execute(f"DELETE FROM {table}")
        store._db.execute("UPDATE events SET sees_all = 0")
        store.set_meta("indexed_upto", 0)
    store.indexes.auth_chains._forget()
