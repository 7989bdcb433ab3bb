"""What a session asks of its node about peers: names, numbers, who is welcome. A protocol only.

dtnode.node implements it; one object serves all links of a node but for `to_dial` and `welcome`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dtnode.session.answer_limits import AnswerLimits
from dtnode.session.peer_secrets import PeerSecrets


class Contacts(Protocol):
    @property
    def secrets(self) -> PeerSecrets: ...

    @property
    def answer_limits(self) -> AnswerLimits:
        """The node's."""
        ...

    def to_dial(self) -> Sequence[str]:
        """Server names to try on this link, the likeliest first; empty: only wait."""
        ...

    def introduces(self, server_name: str) -> bool:
        """Whether to dial that peer by IK, with this node's name inside: it may not know it yet."""
        ...

    def candidates(self) -> Sequence[str]:
        """Names that may dial this node, the likeliest first."""
        ...

    def welcome(self, server_name: str) -> bool:
        """Whether that server may talk over this link, now."""
        ...

    def next_number(self, server_name: str) -> int:
        """For a handshake with that peer: higher than any before, and on disk already.
        LocalProtocolError: the store takes none now."""
        ...

    def outdated(self, server_name: str, highest: int) -> None:
        """The peer says that it has taken this number: the next one must be higher."""
        ...

    def highest_accepted(self, server_name: str) -> int:
        """0: none yet."""
        ...

    def accept(self, server_name: str, number: int) -> None:
        """That handshake of the peer's is taken. It must be on disk before messages are acted on
        that come under it."""
        ...
