"""What is counted and told of one live link: its traffic, where its bytes went, its trace.

Of a connection (connection.py) and of an open link's broadcasts (broadcasts.py) alike. Counted
always; put into words only while somebody looks.
"""

from __future__ import annotations

from dtnode.link_info import LinkInfo
from dtnode.node.tally import Tally
from dtnode.node.trace import Layer, Trace
from dtnode.node.trace_text import frame_text, message_text
from dtnode.node.traffic import Traffic
from dtnode.wire.packed import LinkMessage


class LinkRecord:
    """peer: the server name at the other end, once proved. up_since_ms: by the wall clock."""

    def __init__(self, link_id: str, info: LinkInfo, trace: Trace) -> None:
        self.peer: str | None = None
        self.traffic = Traffic()
        self.tally = Tally(info)
        self.up_since_ms = trace.now_ms()
        self._link_id = link_id
        self._trace = trace

    def frame(self, frame: bytes, incoming: bool) -> None:
        """One that came from the link, or that the link took."""
        self.traffic.counted(len(frame), incoming=incoming)
        note = self.tally.frame(frame, incoming=incoming)
        if self._trace.is_watched:
            self._tell(Layer.FRAME, len(frame), frame_text(note), incoming=incoming)

    def message(self, message: LinkMessage, size_bytes: int, *, incoming: bool) -> None:
        """One that was read, or queued to be sent; size_bytes: encoded, before it is sealed."""
        self.tally.message(message, size_bytes, incoming=incoming)
        if self._trace.is_watched:
            self._tell(Layer.MESSAGE, size_bytes, message_text(message), incoming=incoming)

    def session_began(self, peer: str) -> None:
        self.peer = peer
        self.tally.begin_session()
        self.note("a session with this peer begins: its key is proved")

    def note(self, text: str) -> None:
        """A turn of the link itself."""
        if self._trace.is_watched:
            self._tell(Layer.SESSION, 0, text, incoming=None)

    def _tell(self, layer: Layer, size_bytes: int, text: str, *, incoming: bool | None) -> None:
        self._trace.add(self._link_id, self.peer, layer, size_bytes, text, incoming=incoming)
