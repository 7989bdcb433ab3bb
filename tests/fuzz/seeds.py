"""What fuzzing starts from: a real conversation of two nodes, and messages that it lacks.

Inputs are rows of pieces (frames, messages): each after its length in one byte, the last one
without if it is longer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import trio
import trio.testing

from dtnode.link_info import LinkInfo
from dtnode.session.transfer import FrameKind, kind_of, make_transfer
from dtnode.wire.codec import MessageEncoder
from dtnode.wire.messages import Ack, Bye, CardAck, CardRequest, JoinRefused, NotHere, Ping, Want
from dtnode.wire.packed import LinkMessage, PackedEvents, PackedJoin
from tests.benchmarks.wire_live import PEOPLE, contact, link_of, two_nodes
from tests.benchmarks.wire_texts import LINES
from tests.fuzz.plain_keys import plain_keys
from tests.wire.test_codec import CARD, EVENTS, TIPS

_LONG = 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """messages: of either end, in order. handshake: frames. batches: of PDUs. events: all of the
    room, as canonical JSON."""

    messages: tuple[Sequence[LinkMessage], ...]
    handshake: Sequence[bytes]
    events: frozenset[bytes]

    @property
    def batches(self) -> list[bytes]:
        said = [message for end in self.messages for message in end]
        return [message.data for message in said if isinstance(message, PackedEvents)]


@functools.cache
def conversation() -> Conversation:
    return trio.run(_talk, clock=trio.testing.MockClock(autojump_threshold=0))


async def _talk() -> Conversation:
    async with two_nodes() as (world, room):
        async with contact(world, room, link_of(126, model=True)) as link:
            for number, line in enumerate(LINES[:6]):
                await link.say(PEOPLE[number % 2], line)
                await link.quiet()
            batch = [room.message(PEOPLE[i % 5], LINES[i]) for i in range(5)]
            await link.take("alice", batch)
            await link.quiet()
        rooms = world.nodes["alice"].rooms
        record = rooms.room(link.room_id)
        assert record is not None
        events = rooms.timeline.newest(record, 1_000)
        frames = [frame for end in link.ends for frame in end.frames]
    return Conversation(
        messages=link.messages,
        handshake=[frame for frame in frames if kind_of(frame) is FrameKind.HANDSHAKE],
        events=frozenset(event.pdu.canonical() for event in events),
    )


def other_messages() -> list[LinkMessage]:
    """One of each kind, in one session."""
    return [
        TIPS,
        EVENTS,
        CARD,
        Ack(batch=7, refused=("$a",), unread=(1, 2)),
        Want(room_id="!r", event_ids=("$a",), have=("$" + "A" * 43,)),
        NotHere(room_id="!r", event_ids=("$a",)),
        CardRequest(room_id="!s"),
        CardAck(room_id="!s", event_id="$" + "B" * 43),
        PackedJoin(room_id="!r", room_version="12", data=b"join", signed=True),
        JoinRefused(room_id="!r", event_id="$a", reason="no"),
        Ping(reply=True),
        Bye(reason="over"),
    ]


def encoded_conversations() -> list[list[bytes]]:
    """Messages as bytes, in the order they were said."""
    rows = [*conversation().messages, other_messages()]
    return [list(map(MessageEncoder().encode, row)) for row in rows]


def framed(info: LinkInfo, messages: Iterable[bytes]) -> list[bytes]:
    """Frames of these messages, sealed by nobody."""
    ends = [make_transfer(info=info, keys=plain_keys(), initiator=n == 0) for n in (0, 1)]
    frames: list[bytes] = []
    now = 0.0
    for message in messages:
        ends[0].send(message)
        for _ in range(6):
            now += 5.0
            for frame in ends[0].frames_to_send(now):
                frames.append(frame)
                ends[1].receive_frame(frame, now)
            for frame in ends[1].frames_to_send(now):
                ends[0].receive_frame(frame, now)
    return frames


def joined(pieces: Iterable[bytes]) -> bytes:
    """One input of these pieces; longer ones end it."""
    out = bytearray()
    for piece in pieces:
        if len(piece) >= _LONG:
            return bytes(out) + bytes((_LONG,)) + piece
        out.append(len(piece))
        out += piece
    return bytes(out)


def pieces_of(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        size = data[position]
        position += 1
        end = len(data) if size == _LONG else position + size
        yield data[position:end]
        position = end
