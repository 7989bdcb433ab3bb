"""Whom this node knows, and the numbers its handshakes go by: what sessions ask of it.

One Acquaintances a node, in memory, renewed from the store; a LinkContacts of it for each link
(dtnode.session.Contacts). Not who is in which room: that is dtnode.rooms.sharing.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dtnode.errors import LocalProtocolError
from dtnode.matrix.server_names import key_from_server_name
from dtnode.rooms import Rooms
from dtnode.session.answer_limits import AnswerLimits
from dtnode.session.opening import MAX_NUMBER
from dtnode.session.peer_secrets import PeerSecrets
from dtnode.signer import Signer

NUMBERS_AT_ONCE = 4_096  # reserved in one write: as many dials, of which a bad day has thousands
RESERVE_BELOW = 1_024  # left: time to reserve more
MAX_REMEMBERED = 4_096  # strangers' numbers and peers' outdated ones; the oldest are let go
_KK_TRIES = 2  # in a row without an answer, before the peer is told this node's name

logger = logging.getLogger(__name__)


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
    """who: to be renewed when it changes. Handshakes need numbers that were `reserved`."""

    def __init__(self, signer: Signer, who: WhoIsWho) -> None:
        self.secrets = PeerSecrets(signer)
        self.answer_limits = AnswerLimits()
        self.who = who
        self._accepted = OrderedDict(who.handshakes)
        self._outdated: OrderedDict[str, int] = OrderedDict()
        self._unanswered: OrderedDict[str, int] = OrderedDict()
        self._next = self._end = 0

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
        _put(self._unanswered, server_name, 0)

    def introduces(self, server_name: str) -> bool:
        return self._tries(server_name) >= _KK_TRIES

    def next_number(self, server_name: str) -> int:
        if self._next >= self._end:
            raise LocalProtocolError(
                "no handshake number is left: the store took none (is the disk full?)"
            )
        number = self._next
        self._next += 1
        _put(self._unanswered, server_name, self._tries(server_name) + 1)
        if server_name in self._outdated:
            number = max(number, self._outdated[server_name] + 1)
            self._outdated[server_name] = number = min(number, MAX_NUMBER)
        return number

    def _tries(self, server_name: str) -> int:
        """Without an answer so far; whoever was never met needn't know this node."""
        never_met = 0 if server_name in self.who.met else _KK_TRIES
        return self._unanswered.get(server_name, never_met)

    def outdated(self, server_name: str, highest: int) -> None:
        """A liar's number may be the highest there is: then it can't be dialled, and only it."""
        if highest >= self._end and server_name not in self._outdated:
            logger.warning(
                "%s took a later handshake of this node's than it has made: a copy of this node is"
                " running elsewhere (stop one of them), or it was restored from a backup",
                server_name,
            )
        _put(self._outdated, server_name, highest)

    def highest_accepted(self, server_name: str) -> int:
        return self._accepted.get(server_name, 0)

    def accept(self, server_name: str, number: int) -> None:
        """Of known peers none is forgotten: a first message of theirs must not count twice."""
        self._accepted[server_name] = number
        self._accepted.move_to_end(server_name)
        if len(self._accepted) > MAX_REMEMBERED + len(self.who.names):
            known = set(self.who.names)
            del self._accepted[next(name for name in self._accepted if name not in known)]


class LinkContacts:
    """A node's contacts as one link has them. expected: the only server that may be there. anyone:
    strangers are welcome. turned_away(reason) is called when somebody came who isn't."""

    def __init__(
        self,
        known: Acquaintances,
        *,
        expected: str | None = None,
        anyone: bool = False,
    ) -> None:
        self.turned_away: Callable[[str], object] = lambda _: None
        self._known = known
        self._expected = expected
        self._expected_key = None if expected is None else key_from_server_name(expected)
        self._anyone = anyone

    def refusal(self, server_name: str) -> str | None:
        """Why that server may not talk over this link now; None: it may."""
        key = key_from_server_name(server_name)
        if key is None or key in self._known.who.blocked:
            return f"{server_name} is blocked"
        if self._expected is not None:
            if key == self._expected_key:
                return None
            return f"{self._expected} was expected on this link, not {server_name}"
        if self._anyone or key in self._known.who.keys:
            return None
        return f"{server_name} is not known here: 'dtnode peer add {server_name}' lets it in"

    def welcome(self, server_name: str) -> bool:
        reason = self.refusal(server_name)
        if reason is not None:
            self.turned_away(reason)
        return reason is None

    @property
    def secrets(self) -> PeerSecrets:
        return self._known.secrets

    @property
    def answer_limits(self) -> AnswerLimits:
        return self._known.answer_limits

    def to_dial(self) -> Sequence[str]:
        if self._expected is not None:
            return [self._expected] if self.refusal(self._expected) is None else []
        return self._known.who.names

    def candidates(self) -> Sequence[str]:
        if self._expected is None:
            return self._known.who.names
        names = (self._expected, *self._known.who.names)  # it may go by another domain here
        return [name for name in names if key_from_server_name(name) == self._expected_key]

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
