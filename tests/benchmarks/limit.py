"""What ingest is measured against: the least anybody must do to keep an event that came from afar.

Parse, two canonical encodes, two SHA-256, one Ed25519 verification, one row; no authorisation, no
state, no DAG, no bounds. With the same libraries as dtnode and SQLite set the same way, one
transaction for each batch.
"""

from __future__ import annotations

import sqlite3
from base64 import b32decode, b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

import orjson
from nacl.bindings import crypto_sign_open

_CONTENT_KEPT = {  # the redaction algorithm, for the events that chat_room makes
    "m.room.create": None,
    "m.room.member": {"membership"},
    "m.room.power_levels": {
        "ban", "events", "events_default", "invite", "kick", "redact", "state_default", "users",
        "users_default",
    },
    "m.room.join_rules": {"join_rule", "allow"},
    "m.room.history_visibility": {"history_visibility"},
}  # fmt: skip


@cache
def _key(server_name: str) -> bytes:
    return b32decode(server_name[:52].upper() + "====")


def check_event(line: bytes) -> tuple[str, bytes]:
    """(event id, the line) of a line that must be good."""
    event = orjson.loads(line)
    signatures, hashes = event.pop("signatures"), event.pop("hashes")
    content = sha256(orjson.dumps(event, option=orjson.OPT_SORT_KEYS)).digest()
    assert b64decode(hashes["sha256"] + "=") == content
    kept = _CONTENT_KEPT.get(event["type"], ())
    if kept is not None and not (event["type"] == "m.room.create" and "creator" not in event):
        event["content"] = {k: v for k, v in event["content"].items() if k in kept}
    event["hashes"] = hashes
    signed = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
    server = event["sender"].partition(":")[2]
    signature = b64decode(signatures[server]["ed25519:1"] + "==")
    crypto_sign_open(signature + signed, _key(server))
    return "$" + urlsafe_b64encode(sha256(signed).digest())[:-1].decode(), line


def open_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE events (nid INTEGER PRIMARY KEY, event_id TEXT UNIQUE, pdu BLOB)"
    )
    return database


def ingest(database: sqlite3.Connection, lines: Sequence[bytes], batch: int) -> None:
    """Every event is durable when its batch is done."""
    for start in range(0, len(lines), batch):
        rows = [check_event(line) for line in lines[start : start + batch]]
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO events (event_id, pdu) VALUES (?, ?)", rows)
        database.execute("COMMIT")
