"""`dtnode check`, the part about what is looked up of a room's judged events: auth chains,
redactions, counts, and which events have all earlier ones as ancestors.

Called by dtnode.rooms.verify when it has judged a room again; reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dtnode.store import Store, StoredEvent

Finding = tuple[str | None, str]
"""(event id, what is wrong)"""


def index_findings(
    store: Store, room_nid: int, judged: Mapping[int, StoredEvent]
) -> Iterator[Finding]:
    """judged: the events by their numbers in `store`, as they were judged again just now (numbers
    and states in them are those of another store)."""
    yield from _redactions(store, room_nid, judged)
    yield from _counts_and_marks(store, room_nid)
    yield from _AuthChainCheck(store, room_nid, judged).findings()


def _redactions(
    store: Store, room_nid: int, judged: Mapping[int, StoredEvent]
) -> Iterator[Finding]:
    listed = set(store.inspection.redactions(room_nid))
    expected = {
        (event.pdu.redacts, nid)
        for nid, event in judged.items()
        if event.pdu.redacts is not None and event.pdu.state_key is None
    }
    for target, nid in sorted(listed ^ expected):
        event_id = judged[nid].event_id if nid in judged else None
        what = "isn't listed as a redaction of" if (target, nid) in expected else "doesn't redact"
        yield event_id, f"it {what} {target}"


def _counts_and_marks(store: Store, room_nid: int) -> Iterator[Finding]:
    marked = store.inspection.seeing_all(room_nid)
    tips: set[int] = set()
    accepted = rejected = soft_failed = 0
    for outline in store.events.outlines(room_nid, 0, store.events.last_nid()):
        rejected += outline.rejected
        soft_failed += outline.soft_failed
        if outline.rejected:
            continue
        accepted += 1
        if outline.nid in marked and not tips.issubset(outline.parents):
            yield store.events.id_of(outline.nid), "not all earlier events are its ancestors"
        tips.difference_update(outline.parents)
        tips.add(outline.nid)
    if store.events.counts(room_nid) != (accepted, rejected, soft_failed):
        yield None, f"its counts aren't those of its events: {accepted} accepted, {rejected} not"


class _AuthChainCheck:
    """Sound: neighbours in a chain, and the ends of links, name each other. Complete: what an event
    names is in its chain, or linked, or named by another that it names."""

    def __init__(self, store: Store, room_nid: int, judged: Mapping[int, StoredEvent]) -> None:
        self._judged = judged
        self._numbers = {event.event_id: nid for nid, event in judged.items()}
        self._chains = dict(store.inspection.auth_chains(room_nid))
        self._links: dict[int, list[tuple[int, int, int]]] = {}
        for chain, target_chain, nid, target in store.inspection.auth_links(room_nid):
            self._links.setdefault(nid, []).append((chain, target_chain, target))

    def findings(self) -> Iterator[Finding]:
        last: dict[int, int] = {}
        reached: dict[int, dict[int, int]] = {}
        for nid in sorted(self._chains):
            chain = self._chains[nid]
            if nid not in self._judged:
                yield None, f"event {nid} of its auth chains isn't there"
                continue
            before = last.get(chain)
            if chain != nid if before is None else not self._follows(nid, before):
                yield self._judged[nid].event_id, "it is in another's auth chain"
            last[chain] = nid
            of_chain = reached.setdefault(chain, {})
            for linked in self._links.pop(nid, ()):
                if not self._is_sound(nid, *linked):
                    yield self._judged[nid].event_id, "a link from it leads to what it doesn't name"
                of_chain[linked[1]] = max(linked[2], of_chain.get(linked[1], 0))
            if not self._is_complete(nid, chain, of_chain):
                yield self._judged[nid].event_id, "its auth chain isn't all there"
        for nid in self._links:
            yield None, f"a link of auth chains begins at event {nid}, which is in none"
        yield from self._left_out()

    def _auth(self, nid: int) -> Sequence[int]:
        return [self._numbers[auth_id] for auth_id in self._judged[nid].pdu.auth_event_ids]

    def _follows(self, nid: int, before: int) -> bool:
        pdus = self._judged[nid].pdu, self._judged[before].pdu
        same_key = all(pdu.is_state for pdu in pdus) and pdus[0].key == pdus[1].key
        return same_key and before in self._auth(nid)

    def _is_sound(self, nid: int, chain: int, target_chain: int, target: int) -> bool:
        same_chains = self._chains[nid] == chain and self._chains.get(target) == target_chain
        return same_chains and target in self._auth(nid)

    def _is_complete(self, nid: int, chain: int, reached: Mapping[int, int]) -> bool:
        auth = self._auth(nid)
        for target in auth:
            of_target = self._chains.get(target)
            if of_target is None:
                return False
            if of_target == chain or reached.get(of_target, 0) >= target:
                continue
            if not any(target in self._auth(other) for other in auth):
                return False
        return True

    def _left_out(self) -> Iterator[Finding]:
        for nid, event in self._judged.items():
            named = self._auth(nid) if event.accepted and event.pdu.is_state else ()
            if any(target not in self._chains for target in named):
                yield event.event_id, "what it names as auth events is in no auth chain"
