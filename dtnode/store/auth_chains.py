"""The index of auth chains (dtnode.matrix.auth_chains.AuthChains) as tables.

It has every event in the auth chain of an accepted state event, whatever became of that event, and
grows when such an event is accepted: by what wasn't an auth event of another one before. Messages
cost it nothing. An event extends the chain of the one that it replaces (its auth event of the same
type and state key), if that is the chain's last; else it begins a chain. What it names in other
chains is a link, unless the chain reached as far before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from dtnode.matrix.auth_chains import EventSource
from dtnode.matrix.pdu import Pdu
from dtnode.store.database import Database
from dtnode.store.lru import Lru

_CACHED_CHAINS = 4_000  # event number -> chain: about 0.5 MB; the auth events of people who talk
_CACHED_ENDS = 500  # of chains that grow: few rooms have more in a week


@dataclass(slots=True)
class _End:
    """Where a chain may grow. last: its last event. reached: other chain -> highest number there
    that its events name."""

    last: int
    reached: dict[int, int] = field(default_factory=dict)


class AuthChainTable:
    """events: where those named are found; orders are event numbers, and a chain's number is that
    of its first event. id_of: of an event number."""

    def __init__(self, db: Database, events: EventSource, id_of: Callable[[int], str]) -> None:
        self._db = db
        self._events = events
        self._id_of = id_of
        self._chains: Lru[int, int] = Lru(_CACHED_CHAINS)
        self._ends: Lru[int, _End] = Lru(_CACHED_ENDS)
        db.on_rollback(self._forget)

    def _forget(self) -> None:
        self._chains.clear()
        self._ends.clear()

    # --- AuthChains

    def chains_of(self, event_ids: Iterable[str], /) -> Mapping[str, int]:
        found: dict[str, int] = {}
        unknown: dict[int, str] = {}
        for event_id in event_ids:
            nid = self._events.order(event_id)
            chain = self._chains.get(nid)
            if chain is None:
                unknown[nid] = event_id
            else:
                found[event_id] = chain
        for nid, chain in self._read(unknown):
            self._chains.put(nid, chain)
            found[unknown[nid]] = chain
        return found

    def _read(self, nids: Iterable[int]) -> list[tuple[int, int]]:
        """(event number, chain) of those that have one."""
        wanted = list(nids)
        if len(wanted) > 1:
            where = "IN (SELECT value FROM json_each(?))"
            value: object = orjson.dumps(wanted).decode()
        elif wanted:
            where, value = "= ?", wanted[0]
        else:
            return []
        return self._db.execute(
            f"SELECT event_nid, chain FROM auth_chains WHERE event_nid {where}",  # noqa: S608
            (value,),
        ).fetchall()

    def links(self, chain: int, upto: int, /) -> list[tuple[int, int]]:
        return self._db.execute(
            "SELECT target_chain, max(target_nid) FROM auth_links"
            " WHERE chain = ? AND event_nid <= ? GROUP BY target_chain",
            (chain, upto),
        ).fetchall()

    def first(self, chain: int, /) -> str:
        return self._id_of(chain)

    # --- growing

    def cover(self, event_ids: Iterable[str]) -> None:
        """Takes in these events, which an accepted state event names, and their auth chains. Nearly
        always at most one is new, and all below it are here."""
        todo = list(event_ids)
        while todo:
            event_id = todo[-1]
            if self.chains_of((event_id,)):
                todo.pop()
                continue
            auth_ids = set(self._events.event(event_id).auth_event_ids)
            missing = auth_ids.difference(self.chains_of(auth_ids))
            if missing:
                todo += missing
            else:
                todo.pop()
                self._add(event_id, auth_ids)

    def _add(self, event_id: str, auth_ids: Iterable[str]) -> None:
        nid, pdu = self._events.order(event_id), self._events.event(event_id)
        auth = {auth_id: self._events.event(auth_id) for auth_id in auth_ids}
        chains = self.chains_of(auth)
        chain = self._chain_to_extend(pdu, auth, chains)
        if chain is None:
            chain = nid
            self._ends.put(chain, _End(nid))
        else:
            self._end(chain).last = nid
        self._db.execute("INSERT INTO auth_chains (event_nid, chain) VALUES (?, ?)", (nid, chain))
        self._chains.put(nid, chain)
        implied = {named for other in auth.values() for named in other.auth_event_ids}
        reached = self._end(chain).reached
        for auth_id in sorted(chains.keys() - implied, key=self._events.order):
            target, target_nid = chains[auth_id], self._events.order(auth_id)
            if target != chain and target_nid > reached.get(target, -1):
                reached[target] = target_nid
                self._db.execute(
                    "INSERT OR REPLACE INTO auth_links (chain, target_chain, event_nid, target_nid)"
                    " VALUES (?, ?, ?, ?)",
                    (chain, target, nid, target_nid),
                )

    def _chain_to_extend(
        self, pdu: Pdu, auth: Mapping[str, Pdu], chains: Mapping[str, int]
    ) -> int | None:
        for auth_id, other in auth.items():
            if not (pdu.is_state and other.is_state and other.key == pdu.key):
                continue
            if self._end(chains[auth_id]).last == self._events.order(auth_id):
                return chains[auth_id]
        return None

    def _end(self, chain: int) -> _End:
        end = self._ends.get(chain)
        if end is None:
            row = self._db.execute(
                "SELECT max(event_nid) FROM auth_chains WHERE chain = ?", (chain,)
            ).fetchone()
            end = _End(int(row[0]), dict(self.links(chain, int(row[0]))))
            self._ends.put(chain, end)
        return end
