"""Two LinkSessions over a simulated medium in virtual time, as dtnode.node drives them.

What the tests here share; nothing is a test. All randomness comes from one seed.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from dtnode.errors import RemoteProtocolError
from dtnode.link_info import CipherPolicy, Duplex, LinkInfo
from dtnode.session import (
    LinkSession,
    MessageReceived,
    PeerAuthenticated,
    SessionClosed,
    SessionEvent,
    SessionState,
)
from dtnode.session.answer_limits import AnswerLimits
from dtnode.session.opening import next_number
from dtnode.session.peer_secrets import PeerSecrets
from dtnode.session.transfer import FrameKind, kind_of
from dtnode.signer import Ed25519Signer
from dtnode.wire.messages import Tips
from dtnode.wire.packed import LinkMessage, PackedEvents
from tests.session.exchange_pair import ALICE, BOB, NOW_MS
from tests.session.transfer.air import Faults, info_of

__all__ = ["RADIO", "TCP", "Book", "Faults", "Pair", "converse", "info_of", "message", "messages"]

TCP = LinkInfo(mtu_bytes=65_536)
RADIO = info_of(126)
MAX_STEPS_WITHOUT_FRAMES = 3
"""At one moment: calls of an end that says it has something to do and then hasn't."""


class Book:
    """A node's Contacts, and what its disk says: `used`, `taken`."""

    def __init__(
        self,
        signer: Ed25519Signer,
        knows: Sequence[Ed25519Signer] = (),
        *,
        anyone: bool = False,
        introduces: bool = False,
        expects: Ed25519Signer | None = None,
        dials: bool = True,
    ) -> None:
        self.name = signer.server_name
        self.secrets = PeerSecrets(signer)
        self.answer_limits = AnswerLimits()
        self.knows = [peer.server_name for peer in knows]
        self.blocked: set[str] = set()
        self.anyone = anyone
        self.introducing = introduces
        self.expects = expects
        self.dials = dials
        self.used: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.wall_ms = NOW_MS

    def copy(self) -> Book:
        """A backup of the disk, or a cloned card."""
        twin = Book.__new__(Book)
        twin.__dict__.update(self.__dict__)
        twin.used, twin.taken = dict(self.used), dict(self.taken)
        twin.answer_limits = AnswerLimits()
        return twin

    def to_dial(self) -> Sequence[str]:
        if not self.dials:
            return []
        return self.knows if self.expects is None else [self.expects.server_name]

    def introduces(self, server_name: str) -> bool:
        return self.introducing

    def candidates(self) -> Sequence[str]:
        return [name for name in self.knows if name not in self.blocked]

    def welcome(self, server_name: str) -> bool:
        return server_name not in self.blocked and (self.anyone or server_name in self.knows)

    def next_number(self, server_name: str) -> int:
        self.used[server_name] = next_number(self.used.get(server_name, 0), self.wall_ms)
        return self.used[server_name]

    def outdated(self, server_name: str, highest: int) -> None:
        self.used[server_name] = highest

    def highest_accepted(self, server_name: str) -> int:
        return self.taken.get(server_name, 0)

    def accept(self, server_name: str, number: int) -> None:
        assert number > self.taken.get(server_name, 0)
        self.taken[server_name] = number


class Pair:
    """Ends 0 (dials, where only one does) and 1. run() moves time on."""

    def __init__(
        self,
        info: LinkInfo = TCP,
        *books: Book,
        faults: Faults | None = None,
        seed: int = 0,
        policies: tuple[CipherPolicy, CipherPolicy] | None = None,
        start: bool = True,
    ) -> None:
        self.info = info
        self.infos = [replace(info, cipher=policy) for policy in policies or (info.cipher,) * 2]
        self.faults = faults or Faults()
        self.random = Random(seed)
        self.books = list(books) or [Book(ALICE, [BOB]), Book(BOB, [ALICE])]
        self.now = 0.0
        self.events: list[list[SessionEvent]] = [[], []]
        self.heard_at: list[list[float]] = [[], []]
        self.errors: list[list[RemoteProtocolError]] = [[], []]
        self.log: list[tuple[float, int, bytes]] = []
        self.tamper: Callable[[int, bytes], bytes | None] = lambda end, frame: frame
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        self._free_at = [0.0, 0.0]
        self._on_air: list[list[tuple[float, float]]] = [[], []]
        self._idle_steps = [(0.0, 0), (0.0, 0)]
        self.ends = [self.new_session(end) for end in (0, 1)]
        if start:
            for session in self.ends:
                session.start(self.now)

    # --- what tests do

    def new_session(self, end: int) -> LinkSession:
        return LinkSession(
            contacts=self.books[end],
            entropy=Random(self.random.random()).randbytes,
            info=self.infos[end],
            initiator=end == 0,
            wall_ms=lambda: self.books[end].wall_ms + int(self.now * 1000),
        )

    def restart(self, end: int, book: Book | None = None) -> None:
        """The process at that end dies and comes back; with another disk, if given."""
        self.books[end] = book or self.books[end]
        self.ends[end] = self.new_session(end)
        self.events[end].clear()
        self.ends[end].start(self.now)

    def send(self, end: int, *messages: LinkMessage) -> int:
        return sum(self.ends[end].send(message) for message in messages)

    def inject(self, end: int, frame: bytes) -> None:
        """A frame of somebody else's arrives at an end."""
        try:
            self._take(end, self.ends[end].receive_frame(frame, self.now))
        except RemoteProtocolError as error:
            self.errors[end].append(error)
            assert self.ends[end].state is SessionState.CLOSED

    def run(
        self, until: float = 1e6, done: Callable[[], object] | None = None, *, steps: int = 200_000
    ) -> Pair:
        """Until `done`, or nothing is left to do before `until`."""
        for _ in range(steps):
            for end in (0, 1):
                self._transmit(end)
            if done is not None and done():
                return self
            times = [self._queue[0][0]] if self._queue else []
            times += [wake for one in self.ends if (wake := one.next_wake_at()) is not None]
            if not times or min(times) > until:
                self.now = until if done is None else self.now
                assert done is None, f"not done at {self.now:.0f} s: {self.errors} {self.events}"
                return self
            self.now = max(self.now, min(times))
            while self._queue and self._queue[0][0] <= self.now:
                _, _, end, frame = heapq.heappop(self._queue)
                self.inject(end, frame)
        raise AssertionError(f"no end in sight after {steps} steps, at {self.now:.0f} s")

    def meet(self, within_s: float = 3600) -> Pair:
        """Until both ends have authenticated each other and what confirms it is through."""
        self.run(self.now + within_s, lambda: all(one.peer for one in self.ends))
        return self.settle(within_s)

    def settle(self, within_s: float = 36_000) -> Pair:
        """Until all that was said is through, and nothing is on the way."""
        return self.run(
            self.now + within_s,
            lambda: not self._queue and all(one.is_clear for one in self.ends),
        )

    # --- what tests look at

    def peer(self, end: int) -> str | None:
        return self.ends[end].peer

    def is_clear(self, end: int) -> bool:
        return self.ends[end].is_clear

    def sessions(self, end: int) -> list[PeerAuthenticated]:
        return [event for event in self.events[end] if isinstance(event, PeerAuthenticated)]

    def heard(self, end: int) -> list[LinkMessage]:
        """Without the Ping that confirms a session."""
        received = [event for event in self.events[end] if isinstance(event, MessageReceived)]
        return [
            event.message for event in received if isinstance(event.message, Tips | PackedEvents)
        ]

    def goodbye(self, end: int) -> str | None:
        said = [event.reason for event in self.events[end] if isinstance(event, SessionClosed)]
        return said[0] if said else None

    def frames(self, end: int, kind: FrameKind | None = None) -> list[bytes]:
        return [
            frame
            for _, sender, frame in self.log
            if sender == end and (kind is None or kind_of(frame) is kind)
        ]

    def bytes_sent(self, end: int) -> int:
        return sum(map(len, self.frames(end)))

    # --- the medium

    def _transmit(self, end: int) -> None:
        session = self.ends[end]
        due = session.next_wake_at()
        try:
            frames = session.frames_to_send(self.now)
        except RemoteProtocolError as error:
            self.errors[end].append(error)
            return
        self._watch(end, due, frames)
        for frame in frames:
            assert 0 < len(frame) <= self.info.mtu_bytes
            self.log.append((self.now, end, frame))
            airtime = 8 * len(frame) / self.info.bitrate_bps if self.info.bitrate_bps else 1e-5
            start = max(self._free_at[end], self.now)
            if start == self.now:
                start += self.info.turnaround_s
            stop = self._free_at[end] = start + airtime
            if self.info.duplex is Duplex.HALF and self._collides(end, start, stop):
                continue
            tampered = self.tamper(end, frame)
            if tampered is not None:
                self._deliver(end, tampered, stop)

    def _watch(self, end: int, due: float | None, frames: list[bytes]) -> None:
        """No busy loop: an end that is due sends something, or is due later from then on."""
        if due is None or due > self.now or frames:
            self._idle_steps[end] = (self.now, 0)
            return
        at, count = self._idle_steps[end]
        count = count + 1 if at == self.now else 1
        self._idle_steps[end] = (self.now, count)
        again = self.ends[end].next_wake_at()
        assert count < MAX_STEPS_WITHOUT_FRAMES, f"busy at {self.now}: due at {due}, then {again}"

    def _collides(self, end: int, start: float, stop: float) -> bool:
        self._on_air[end] = [(a, b) for a, b in self._on_air[end] if b > self.now]
        self._on_air[end].append((start, stop))
        return any(a < stop and start < b for a, b in self._on_air[1 - end])

    def _deliver(self, end: int, frame: bytes, at: float) -> None:
        if self.info.reliable:
            self._arrive(at + 1e-3, 1 - end, frame)
            return
        faults, random = self.faults, self.random
        if faults.cut(at, end) or random.random() < faults.loss:
            return
        if random.random() < faults.corrupt:
            place = random.randrange(len(frame))
            flipped = frame[place] ^ random.randrange(1, 256)
            frame = frame[:place] + bytes((flipped,)) + frame[place + 1 :]
        if random.random() < faults.reorder:
            at += random.random() * 0.5
        self._arrive(at + 1e-6, 1 - end, frame)
        if random.random() < faults.repeat:
            self._arrive(at + random.random() * 5, 1 - end, frame)
        if random.random() < faults.echo:
            self._arrive(at + 1e-6, end, frame)

    def _arrive(self, at: float, end: int, frame: bytes) -> None:
        heapq.heappush(self._queue, (at, next(self._order), end, frame))

    def _take(self, end: int, events: list[SessionEvent]) -> None:
        self.events[end] += events
        self.heard_at[end] += [self.now] * sum(isinstance(e, MessageReceived) for e in events)


def message(number: int, size_bytes: int = 81, room: int = 0) -> PackedEvents:
    """A message that says which it is."""
    data = number.to_bytes(4, "big") + Random(number).randbytes(max(0, size_bytes - 4))
    return PackedEvents(
        batch=number % 24, room_id=f"!{room:043d}", room_version="12", data=data[:size_bytes]
    )


def messages(count: int, size_bytes: int = 81) -> list[LinkMessage]:
    return [message(number, size_bytes, room=number % 3) for number in range(count)]


def converse(pair: Pair, count: int = 5, size_bytes: int = 81) -> None:
    """Both ends say `count` messages each, at once; all arrive, in order, once."""
    said = messages(count, size_bytes)
    before = [len(pair.heard(end)) for end in (0, 1)]
    for end in (0, 1):
        pair.send(end, *said)
    pair.run(
        pair.now + 1e5, lambda: all(len(pair.heard(end)) >= before[end] + count for end in (0, 1))
    )
    pair.settle()
    for end in (0, 1):
        assert pair.heard(end)[before[end] :] == said
