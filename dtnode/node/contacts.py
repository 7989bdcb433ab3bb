"""Whom this node knows, and the numbers its handshakes go by: what sessions ask of it.

One Acquaintances a node, in memory, renewed from the store; a LinkContacts of it for each link
(dtnode.session.Contacts). Not who is in which room: that is dtnode.rooms.sharing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dtnode.errors import LocalProtocolError
from dtnode.matrix.server_names import key_from_server_name
from dtnode.rooms import Rooms
from dtnode.session.key_exchange import MAX_ATTEMPTS
from dtnode.session.peer_secrets import PeerSecrets
from dtnode.signer import Signer

NUMBERS_AT_ONCE = 4_096  # reserved in one write: as many dials, of which a bad day has thousands
RESERVE_BELOW = 1_024  # left: time to reserve more
MAX_REMEMBERED = 4_096  # strangers' numbers and peers' outdated ones; the oldest are let go
_KK_TRIES = 2  # in a row without an answer, before the peer is told this node's name


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoIsWho:
    """names: of known servers that aren't blocked, those met last first. handshakes: highest number
    accepted of each. met: servers that this node had a session with."""

    names: tuple[str, ...]
    keys: frozenset[bytes]
    blocked: frozenset[bytes]
    met: frozenset[str]
    handshakes: dict[str, int]


def who_is_who(rooms: Rooms) -> WhoIsWho:
    """Looked up in the store, on its thread."""
    peers = rooms.store.peers.all()
    blocked = _keys(peer.server_name for peer in peers if peer.blocked)
    met = {peer.server_name: peer.last_contact_ms for peer in peers if peer.last_contact_ms}
    known = {
        name: key
        for name in rooms.sharing.known_servers()
        if (key := key_from_server_name(name)) is not None and key not in blocked
    }
    return WhoIsWho(
        names=tuple(sorted(known, key=lambda name: (-met.get(name, 0), name))),
        keys=frozenset(known.values()),
        blocked=blocked,
        met=frozenset(met),
        handshakes=rooms.store.peers.handshakes(),
    )


def reserve_numbers(rooms: Rooms) -> int:
    """The first of NUMBERS_AT_ONCE handshake numbers, on the store's thread. The clock lifts them
    over those that were used after a backup that this node was restored from."""
    return rooms.store.peers.reserve_handshakes(rooms.clock.now_ms(), NUMBERS_AT_ONCE)


class Acquaintances:
    def __init__(self, signer: Signer, who: WhoIsWho, first_number: int) -> None:
        self.secrets = PeerSecrets(signer)
        self.who = who
        self._accepted = OrderedDict(who.handshakes)
        self._outdated: OrderedDict[str, int] = OrderedDict()
        self._unanswered: OrderedDict[str, int] = OrderedDict()
        self._next = first_number
        self._end = first_number + NUMBERS_AT_ONCE

    @property
    def numbers_left(self) -> int:
        return self._end - self._next

    def reserved(self, first_number: int) -> None:
        """More numbers are on disk."""
        self._next = first_number
        self._end = first_number + NUMBERS_AT_ONCE

    def knows(self, server_name: str) -> bool:
        """By the key: whoever is blocked stays so under a name with another domain."""
        key = key_from_server_name(server_name)
        return key in self.who.keys and key not in self.who.blocked

    def met(self, server_name: str) -> None:
        """There is a session with that server."""
        self._unanswered[server_name] = 0

    def introduces(self, server_name: str) -> bool:
        tries = self._unanswered.get(server_name)
        if tries is None:
            return server_name not in self.who.met
        return tries >= _KK_TRIES

    def next_number(self, server_name: str) -> int:
        if self._next >= self._end:
            raise LocalProtocolError(
                "no handshake number is left: the store took none (is the disk full?)"
            )
        number = self._next
        self._next += 1
        _put(self._unanswered, server_name, self._unanswered.get(server_name, -1) + 1)
        if server_name in self._outdated:
            number = self._outdated[server_name] = max(number, self._outdated[server_name] + 1)
        return number

    def outdated(self, server_name: str, highest: int) -> None:
        _put(self._outdated, server_name, highest)

    def highest_accepted(self, server_name: str) -> int:
        return self._accepted.get(server_name, 0)

    def accept(self, server_name: str, number: int) -> None:
        _put(self._accepted, server_name, number)


class LinkContacts:
    """A node's contacts as one link has them. expected: the only server that may be there.
    welcome: see Contacts."""

    def __init__(
        self, known: Acquaintances, expected: str | None, welcome: Callable[[str], bool]
    ) -> None:
        self._known = known
        self._expected = expected
        self.welcome = welcome

    @property
    def secrets(self) -> PeerSecrets:
        return self._known.secrets

    def to_dial(self) -> Sequence[str]:
        if self._expected is not None:
            return [self._expected] if self.welcome(self._expected) else []
        return self._known.who.names[:MAX_ATTEMPTS]

    def candidates(self) -> Sequence[str]:
        if self._expected is not None and self._expected not in self._known.who.names:
            return [self._expected, *self._known.who.names]
        return self._known.who.names

    def introduces(self, server_name: str) -> bool:
        return self._known.introduces(server_name)

    def next_number(self, server_name: str) -> int:
        return self._known.next_number(server_name)

    def outdated(self, server_name: str, highest: int) -> None:
        self._known.outdated(server_name, highest)

    def highest_accepted(self, server_name: str) -> int:
        return self._known.highest_accepted(server_name)

    def accept(self, server_name: str, number: int) -> None:
        self._known.accept(server_name, number)


def _put(table: OrderedDict[str, int], server_name: str, number: int) -> None:
    table[server_name] = number
    table.move_to_end(server_name)
    if len(table) > MAX_REMEMBERED:
        table.popitem(last=False)


def _keys(server_names: Iterable[str]) -> frozenset[bytes]:
    keys = (key_from_server_name(name) for name in server_names)
    return frozenset(key for key in keys if key is not None)
