"""Tables of the store, as numbered migrations. Not the code that uses them.

A migration is never edited after a release: a new one is appended. `PRAGMA user_version` holds the
number of the last one applied; each runs in one transaction with its version bump.

Conventions: `*_nid` are this store's own small numbers, `*_ms` milliseconds since the epoch,
`position` numbers what clients see in the order it arrived here. Event numbers are topological:
an event's parents and auth events always have smaller ones.
"""

from __future__ import annotations

APPLICATION_ID = 0x64746E31  # "dtn1": tells a dtnode store from any other SQLite file

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

    CREATE TABLE rooms (
        room_nid      INTEGER PRIMARY KEY,
        room_id       TEXT NOT NULL UNIQUE,
        version       TEXT NOT NULL,
        kind          INTEGER NOT NULL,          -- RoomKind
        current_group INTEGER NOT NULL DEFAULT 0,
        anchor        TEXT,                      -- invite or parent of a public join, while INVITED
        note          TEXT                       -- for the person, e.g. why the room is lost
    );

    CREATE TABLE events (
        event_nid    INTEGER PRIMARY KEY,
        event_id     TEXT NOT NULL UNIQUE,
        room_nid     INTEGER NOT NULL REFERENCES rooms,
        topo         INTEGER NOT NULL,           -- 1 + the highest of its parents'
        ts           INTEGER NOT NULL,           -- origin_server_ts
        rejected     INTEGER NOT NULL,
        soft_failed  INTEGER NOT NULL,
        redacted     INTEGER NOT NULL,           -- content hash failed: redacted form only
        before_group INTEGER NOT NULL,
        after_group  INTEGER NOT NULL,
        parents      BLOB NOT NULL,              -- event numbers, 8 bytes little-endian each
        position     INTEGER UNIQUE,             -- NULL: no client was told (rejected)
        reason       TEXT,
        pdu          BLOB NOT NULL,              -- canonical JSON, federation format
        sender_server TEXT NOT NULL,
        witness      INTEGER NOT NULL            -- its server had all its ancestors
    );
    CREATE INDEX events_by_room ON events (room_nid, event_nid);
    CREATE INDEX events_by_server ON events (room_nid, sender_server, event_nid);
    CREATE INDEX events_odd ON events (room_nid) WHERE rejected OR soft_failed;
    CREATE INDEX events_by_order ON events (room_nid, topo, ts, event_id);
    CREATE INDEX events_by_position ON events (room_nid, position);
    CREATE INDEX events_redacted ON events (room_nid) WHERE redacted;

    CREATE TABLE state_groups (
        group_nid  INTEGER PRIMARY KEY,          -- 0, the empty state, has no row
        base_group INTEGER NOT NULL,
        hops       INTEGER NOT NULL,             -- length of the chain of deltas below it
        delta      BLOB NOT NULL                 -- JSON [[type, state_key, event_id or null], ...]
    );

    CREATE TABLE forward_extremities (room_nid INTEGER, event_nid INTEGER,
        PRIMARY KEY (room_nid, event_nid)) WITHOUT ROWID;
    CREATE TABLE tips (room_nid INTEGER, event_nid INTEGER,
        PRIMARY KEY (room_nid, event_nid)) WITHOUT ROWID;

    CREATE TABLE held (
        held_nid    INTEGER PRIMARY KEY,
        event_id    TEXT NOT NULL UNIQUE,
        room_nid    INTEGER NOT NULL REFERENCES rooms,
        redacted    INTEGER NOT NULL,
        source      TEXT NOT NULL,               -- server name it came from, maybe our own
        received_ms INTEGER NOT NULL,
        position    INTEGER UNIQUE,              -- own events are shown to clients at once
        pdu         BLOB NOT NULL
    );
    CREATE INDEX held_by_source ON held (room_nid, source);
    CREATE INDEX held_own ON held (room_nid) WHERE position IS NOT NULL;
    CREATE TABLE held_missing (missing_id TEXT, held_nid INTEGER REFERENCES held ON DELETE CASCADE,
        PRIMARY KEY (missing_id, held_nid)) WITHOUT ROWID;
    CREATE INDEX held_missing_by_child ON held_missing (held_nid);

    CREATE TABLE cards (
        room_nid    INTEGER NOT NULL REFERENCES rooms,
        event_id    TEXT NOT NULL,
        kind        INTEGER NOT NULL,            -- CardKind
        source      TEXT NOT NULL,
        received_ms INTEGER NOT NULL,
        position    INTEGER NOT NULL,            -- clients hear of it as of an event
        state_hash  BLOB NOT NULL,
        servers     TEXT NOT NULL,               -- JSON list
        state       TEXT NOT NULL,               -- JSON list of event ids
        pdus        BLOB NOT NULL,               -- JSON list of PDUs, parents first
        PRIMARY KEY (room_nid, event_id)
    ) WITHOUT ROWID;

    CREATE TABLE peers (
        server_name     TEXT PRIMARY KEY,
        user_id         TEXT,
        name            TEXT,
        added           INTEGER NOT NULL DEFAULT 0,
        blocked         INTEGER NOT NULL DEFAULT 0,
        last_contact_ms INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE peer_frontier (room_nid INTEGER, server_name TEXT, event_nid INTEGER,
        PRIMARY KEY (room_nid, server_name, event_nid)) WITHOUT ROWID;
    CREATE TABLE delivered_alone (server_name TEXT, event_id TEXT,   -- cards, unjudged own events
        PRIMARY KEY (server_name, event_id)) WITHOUT ROWID;

    CREATE TABLE client_values (scope TEXT, key TEXT, value BLOB NOT NULL,
        PRIMARY KEY (scope, key)) WITHOUT ROWID;
    """,
    """
    CREATE TABLE arrivals (
        event_nid INTEGER PRIMARY KEY,           -- events from this number on were judged ...
        ms        INTEGER NOT NULL               -- ... within a second from then, by the own clock
    );
    """,
    """
    ALTER TABLE rooms ADD COLUMN keep_events INTEGER;   -- history limits; NULL: none
    ALTER TABLE rooms ADD COLUMN keep_days INTEGER;
    -- events.redacted is 2 where the body was dropped by the room's limit: no gap to pull again.
    DROP INDEX events_redacted;
    CREATE INDEX events_redacted ON events (room_nid) WHERE redacted = 1;
    """,
    """
    -- The auth chains of accepted state events, for the differences that state resolution needs
    -- (dtnode.store.auth_chains).
    CREATE TABLE auth_chains (
        event_nid INTEGER PRIMARY KEY,           -- an event that another names as auth event
        chain     INTEGER NOT NULL               -- the number of the first event of its chain
    );
    CREATE INDEX auth_chains_by_chain ON auth_chains (chain, event_nid);
    CREATE TABLE auth_links (                    -- an auth event in another chain
        chain        INTEGER NOT NULL,
        target_chain INTEGER NOT NULL,
        event_nid    INTEGER NOT NULL,
        target_nid   INTEGER NOT NULL,
        PRIMARY KEY (chain, target_chain, event_nid)
    ) WITHOUT ROWID;

    CREATE TABLE redactions (target TEXT, event_nid INTEGER,
        PRIMARY KEY (target, event_nid)) WITHOUT ROWID;
    DELETE FROM client_values WHERE scope = 'redactions';      -- what this table is there for now

    -- 1: each accepted event of the room with a smaller number is its ancestor; 0: not known
    ALTER TABLE events ADD COLUMN sees_all INTEGER NOT NULL DEFAULT 0;

    ALTER TABLE rooms ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;      -- events; soft-failed
    ALTER TABLE rooms ADD COLUMN rejected INTEGER NOT NULL DEFAULT 0;      -- ones are accepted
    ALTER TABLE rooms ADD COLUMN soft_failed INTEGER NOT NULL DEFAULT 0;
    UPDATE rooms SET (accepted, rejected, soft_failed) = (
        SELECT count(*) - coalesce(sum(e.rejected), 0), coalesce(sum(e.rejected), 0),
            coalesce(sum(e.soft_failed), 0)
        FROM events e WHERE e.room_nid = rooms.room_nid);
    DROP INDEX events_odd;
    DROP INDEX events_by_order;                  -- ids are compared where all else is equal
    CREATE INDEX events_by_order ON events (room_nid, topo, ts);

    -- What of this is made of events judged before is made when the store is opened, in steps.
    INSERT INTO meta SELECT 'indexed_upto', 0 WHERE EXISTS (SELECT 1 FROM events);
    """,
    """
    ALTER TABLE rooms ADD COLUMN clear_links INTEGER NOT NULL DEFAULT 0;    -- ClearLinks
    ALTER TABLE peers ADD COLUMN handshake INTEGER;  -- the highest number accepted; NULL: none yet
    """,
)
