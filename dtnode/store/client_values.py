"""Small values kept for clients: tokens, filters, transaction ids, account data. A plain map.

What a scope holds and how its values look is dtnode.client_api's business.
"""

from __future__ import annotations

from dtnode.store.database import Database


class ClientValues:
    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, scope: str, key: str) -> bytes | None:
        row = self._db.execute(
            "SELECT value FROM client_values WHERE scope = ? AND key = ?", (scope, key)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, scope: str, key: str, value: bytes) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO client_values (scope, key, value) VALUES (?, ?, ?)",
            (scope, key, value),
        )

    def remove(self, scope: str, key: str) -> None:
        self._db.execute("DELETE FROM client_values WHERE scope = ? AND key = ?", (scope, key))

    def items(self, scope: str) -> list[tuple[str, bytes]]:
        rows = self._db.execute(
            "SELECT key, value FROM client_values WHERE scope = ? ORDER BY key", (scope,)
        ).fetchall()
        return [(key, bytes(value)) for key, value in rows]

    def trim(self, scope: str, keep: int) -> None:
        """Keeps at most `keep` entries of a scope, dropping those with the lowest keys."""
        self._db.execute(
            "DELETE FROM client_values WHERE scope = ? AND key NOT IN"
            " (SELECT key FROM client_values WHERE scope = ? ORDER BY key DESC LIMIT ?)",
            (scope, scope, keep),
        )
