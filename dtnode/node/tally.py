"""Where one link's bytes went, byte by byte: the rows add up to what the link carried, always.

dtnode.node.link_record feeds it; `dtnode link trace --summary` and the demo show it. It sees frames
without keys and messages without frames, and puts the two together by their order: payload that
went out belongs to the messages that were queued, one after the other; payload that came waits
under "rest" until the message made of it is read. On reliable links frames show where messages end;
elsewhere they are counted off byte by byte.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from dtnode.link_info import LinkInfo
from dtnode.session.transfer import FrameKind, FrameNote, describe
from dtnode.session.transfer.frames import Flag
from dtnode.wire.messages import (
    Ack,
    Bye,
    CardAck,
    CardRequest,
    JoinRefused,
    NotHere,
    Ping,
    Tips,
    Want,
)
from dtnode.wire.packed import LinkMessage, PackedCard, PackedEvents, PackedJoin

HANDSHAKES: Final = "handshakes"
HEADERS: Final = "frame headers"
TAGS: Final = "tags"
CRC: Final = "CRC"
FRAME_ACKS: Final = "frame acks"
REPEATS: Final = "repeats"
DAMAGED: Final = "damaged"
REST: Final = "rest"
"""Lengths of messages and acknowledgements inside sealed units, the session's own first word, parts
of messages that are on their way; on open links also what was heard and was no good."""

_KINDS: Final[dict[type[LinkMessage], str]] = {
    PackedEvents: "events",
    Ack: "acks",
    Tips: "tips",
    Want: "wants",
    NotHere: "not here",
    PackedCard: "cards",
    CardRequest: "card requests",
    CardAck: "card acks",
    PackedJoin: "joins",
    JoinRefused: "join refusals",
    Ping: "pings",
    Bye: "byes",
}

_RECENT_FRAMES: Final = 192
"""Remembered to know repeats: more than a window (128), less than numbers go before they recur."""

_ALL_BUT_POLL: Final = 0xFF & ~int(Flag.POLL)


def message_kind(message: LinkMessage) -> str:
    """What this message is called in rows and traces."""
    return _KINDS[type(message)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyRow:
    """count: frames for what is whole frames, headers, tags and CRC; messages for messages.
    size_bytes: 0 for messages that a frame says by being there."""

    incoming: bool
    kind: str
    count: int
    size_bytes: int


class Tally:
    """Of one connection since it came up. info: of its link."""

    def __init__(self, info: LinkInfo) -> None:
        self._info = info
        self._in, self._out = _Incoming(), _Outgoing()

    def frame(self, frame: bytes, *, incoming: bool) -> FrameNote:
        """Counts a frame that came or went, and says what it is."""
        note = describe(frame, reliable=self._info.reliable, crc=not self._info.checked)
        way = self._in if incoming else self._out
        if note.kind is None or "damaged" in note.words:
            way.add(DAMAGED, len(frame))
        elif note.kind is FrameKind.HANDSHAKE:
            way.add(HANDSHAKES, len(frame))
        elif note.kind is FrameKind.ACK:
            way.add(FRAME_ACKS, len(frame))
        elif not self._info.reliable and way.is_repeat(frame, note):
            way.add(REPEATS, len(frame))
        else:
            ends = note.part in ("whole", "last") if self._info.reliable else None
            way.add_parts(note, ends)
        return note

    def message(self, message: LinkMessage, size_bytes: int, *, incoming: bool) -> None:
        """A message that was read, or queued to be sent."""
        (self._in if incoming else self._out).message(message_kind(message), size_bytes)

    def begin_session(self) -> None:
        """What an older session still had to send never goes."""
        self._out.forget()

    def rows(self) -> list[TallyRow]:
        """Outgoing first, then most bytes first."""
        return [
            TallyRow(incoming=incoming, kind=kind, count=way.counts[kind], size_bytes=size)
            for incoming, way in ((False, self._out), (True, self._in))
            for kind, size in way.sizes.most_common()
            if size or (way.counts[kind] and kind != REST)
        ]


class _Way(ABC):
    """One direction."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self._recent: OrderedDict[int, None] = OrderedDict()

    def add(self, kind: str, size_bytes: int) -> None:
        self.counts[kind] += 1
        self.sizes[kind] += size_bytes

    def add_parts(self, note: FrameNote, ends: bool | None) -> None:
        """ends: whether a message ends with this frame; None: frames don't show it."""
        self.add(HEADERS, note.header_bytes)
        if note.crc_bytes:
            self.add(CRC, note.crc_bytes)
        body = note.size_bytes - note.header_bytes - note.crc_bytes
        tag = min(note.tag_bytes, body)
        if note.tag_bytes:
            self.add(TAGS, tag)
        self._payload(body - tag, ends)
        if tag < note.tag_bytes:  # the seal was cut within its tag: it began in the frame before
            before = min(note.tag_bytes - tag, self.sizes[REST])
            self.sizes[TAGS] += before
            self.sizes[REST] -= before

    def is_repeat(self, frame: bytes, note: FrameNote) -> bool:
        """Whether these bytes went this way lately; the poll bit and its checksum may differ."""
        body = frame[: len(frame) - note.crc_bytes]
        if note.kind is FrameKind.DATA:
            body = bytes((body[0] & _ALL_BUT_POLL,)) + body[1:]
        digest = hash(body)
        known = digest in self._recent
        self._recent[digest] = None
        self._recent.move_to_end(digest)
        if len(self._recent) > _RECENT_FRAMES:
            self._recent.popitem(last=False)
        return known

    @abstractmethod
    def message(self, kind: str, size_bytes: int) -> None: ...

    @abstractmethod
    def _payload(self, size_bytes: int, ends: bool | None) -> None: ...


class _Incoming(_Way):
    """Frames come before the messages that are in them. What waits here is as much as the link's
    pump reads ahead."""

    def __init__(self) -> None:
        super().__init__()
        self._partial = 0
        self._whole: deque[int] = deque()

    def message(self, kind: str, size_bytes: int) -> None:
        here = self._whole.popleft() if self._whole else min(size_bytes, self.sizes[REST])
        self.sizes[REST] -= here
        self.add(kind, here)

    def _payload(self, size_bytes: int, ends: bool | None) -> None:
        self.add(REST, size_bytes)
        if ends is None:
            return
        self._partial += size_bytes
        if ends:
            self._whole.append(self._partial)
            self._partial = 0


class _Outgoing(_Way):
    """Messages are queued before the frames that they go in. What waits here is bounded by what the
    connection queues (connection.py)."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[tuple[str, int]] = deque()

    def message(self, kind: str, size_bytes: int) -> None:
        self._waiting.append((kind, size_bytes))

    def forget(self) -> None:
        self._waiting.clear()

    def _payload(self, size_bytes: int, ends: bool | None) -> None:
        if ends is None:
            self._count_off(size_bytes)
            return
        kind = self._waiting[0][0] if self._waiting else REST
        self.sizes[kind] += size_bytes
        if ends:
            self.counts[kind] += 1
            if self._waiting:
                self._waiting.popleft()

    def _count_off(self, size_bytes: int) -> None:
        while size_bytes and self._waiting:
            kind, wanted = self._waiting.popleft()
            taken = min(wanted, size_bytes)
            size_bytes -= taken
            self.sizes[kind] += taken
            if taken == wanted:
                self.counts[kind] += 1
            else:
                self._waiting.appendleft((kind, wanted - taken))
        if size_bytes:
            self.add(REST, size_bytes)
