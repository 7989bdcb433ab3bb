"""One conversation with one peer over one link, without I/O (sans-IO). Floor 2.

`LinkSession` is what dtnode.node drives; the rest of the package is its parts. What messages mean
is dtnode.sync's business.
"""

from dtnode.session.contacts import Contacts
from dtnode.session.events import MessageReceived, PeerAuthenticated, SessionClosed, SessionEvent
from dtnode.session.link_session import LinkSession, SessionState

__all__ = [
    "Contacts",
    "LinkSession",
    "MessageReceived",
    "PeerAuthenticated",
    "SessionClosed",
    "SessionEvent",
    "SessionState",
]
