"""What is fuzzed: each target takes any bytes, and fails by an exception or an assertion.

RemoteProtocolError is what decoders are for; nothing else may come out, nothing may be accepted in
two forms, and what is held in memory stays within its bound. `make` gives a fresh target; a target
keeps its session between inputs for as long as an honest node would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import trio

from dtnode.errors import RemoteProtocolError
from dtnode.link_info import Duplex, LinkInfo
from dtnode.matrix.pdu import Pdu, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS
from dtnode.session import SessionState
from dtnode.session.transfer import (
    BroadcastAssembler,
    DatagramTransfer,
    HandshakeAssembler,
    StreamTransfer,
    broadcast_frames,
    describe,
    handshake_frames,
)
from dtnode.session.transfer.broadcast import MAX_PARTIAL_BROADCASTS, MAX_PARTIAL_BYTES
from dtnode.session.transfer.handshake_frames import MAX_HANDSHAKE_BYTES, MAX_PARTIAL_HANDSHAKES
from dtnode.session.transfer.receiving import MAX_HELD_BYTES
from dtnode.wire.codec import MessageDecoder, MessageEncoder
from dtnode.wire.limits import MAX_MESSAGE_BYTES
from dtnode.wire.pdus import Form, NothingKnown
from dtnode.wire.text_model import TextModel
from dtnode_transports.tcp import MTU_BYTES, TcpLink, _length_bytes
from tests.benchmarks.wire_texts import LINES
from tests.fuzz.plain_keys import plain_keys
from tests.fuzz.seeds import conversation, encoded_conversations, framed, joined, pieces_of
from tests.session.exchange_pair import ALICE, BOB
from tests.session.session_pair import TCP, Book, Pair
from tests.wire.pdus.known import End
from tests.wire.pdus.samples import first_events, samples
from tests.wire.pdus.test_hostile_bytes import accepted

Check = Callable[[bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """make(): a function to call with any bytes. seeds(): inputs to start from."""

    name: str
    make: Callable[[], Check]
    seeds: Callable[[], Sequence[bytes]]


RADIOS = tuple(
    LinkInfo(mtu_bytes=mtu, bitrate_bps=9_600, duplex=duplex, reliable=False, checked=checked)
    for mtu in (14, 51, 222)
    for duplex in (Duplex.HALF, Duplex.FULL)
    for checked in (True, False)
)


def stream() -> Check:
    def check(data: bytes) -> None:
        transfer = StreamTransfer(mtu_bytes=MTU_BYTES, keys=plain_keys(), initiator=False)
        try:
            for frame in pieces_of(data):
                messages = transfer.receive_frame(frame, 0.0)
                assert sum(map(len, messages)) <= MAX_MESSAGE_BYTES
        except RemoteProtocolError:
            pass
        for frame in pieces_of(data):
            describe(frame)

    return check


def datagram() -> Check:
    """The first byte chooses the link. Every few frames this end speaks, too."""

    def check(data: bytes) -> None:
        if not data:
            return
        info = RADIOS[data[0] % len(RADIOS)]
        transfer = DatagramTransfer(
            info=info, keys=plain_keys(), initiator=False, crc=not info.checked
        )
        transfer.send(bytes(300))
        now = 0.0
        try:
            for number, frame in enumerate(pieces_of(data[1:])):
                describe(frame, crc=not info.checked)
                transfer.receive_frame(frame, now)
                assert transfer.held_bytes <= MAX_HELD_BYTES + 2 * MAX_MESSAGE_BYTES
                if number % 3 == 0:
                    now = max(now + 0.1, min(transfer.next_wake_at() or 0.0, now + 400))
                    sent = transfer.frames_to_send(now)
                    assert all(len(one) <= info.mtu_bytes for one in sent)
        except RemoteProtocolError:
            pass

    return check


def handshake() -> Check:
    """Handshake frames of strangers; the assemblers never raise."""
    assemblers = {crc: HandshakeAssembler(crc=crc) for crc in (False, True)}

    def check(data: bytes) -> None:
        for frame in pieces_of(data):
            for crc, assembler in assemblers.items():
                whole = assembler.receive(frame)
                assert len(assembler) <= MAX_PARTIAL_HANDSHAKES
                if whole is None:
                    continue
                assert 0 < len(whole.message) <= MAX_HANDSHAKE_BYTES
                frames = handshake_frames(
                    whole.kind, whole.tag, whole.message, mtu_bytes=51, crc=crc
                )
                fresh = HandshakeAssembler(crc=crc)
                assert [fresh.receive(one) for one in frames][-1] == whole

    return check


def broadcast() -> Check:
    assemblers = {crc: BroadcastAssembler(crc=crc) for crc in (False, True)}

    def check(data: bytes) -> None:
        for frame in pieces_of(data):
            for crc, assembler in assemblers.items():
                message = assembler.receive(frame)
                assert len(assembler) <= MAX_PARTIAL_BROADCASTS
                assert assembler.cost_bytes <= MAX_PARTIAL_BYTES
                if message is not None and len(message) < 2_000:
                    again = broadcast_frames(b"1234", message, mtu_bytes=64, crc=crc)
                    fresh = BroadcastAssembler(crc=crc)
                    assert [fresh.receive(one) for one in again][-1] == message

    return check


class _Sessions:
    """Sessions in each state, on a stream and on a radio; a closed one is replaced."""

    def __init__(self) -> None:
        self._pairs: dict[int, Pair] = {}
        self._books = [Book(ALICE, [BOB]), Book(BOB, [ALICE])]
        self._random = Random(1)

    def check(self, data: bytes) -> None:
        if not data:
            return
        case = data[0] % 16
        end, met, sealed = case & 1, bool(case & 2), bool(case & 4)
        pair = self._pairs.get(case) or self._new(case)
        session, other = pair.ends[end], pair.ends[1 - end]
        for piece in pieces_of(data[1:]):
            frames = [piece]
            if met and sealed and piece:
                assert other._live is not None
                other._live.transfer.send(piece)
                pair.now += 30.0
                frames = other.frames_to_send(pair.now)
            for frame in frames:
                try:
                    session.receive_frame(frame, pair.now)
                    session.frames_to_send(pair.now)
                except RemoteProtocolError:
                    assert session.state is SessionState.CLOSED
            if session.state is SessionState.CLOSED:
                assert session.receive_frame(piece, pair.now) == []
                del self._pairs[case]
                return
            if met and sealed:
                pair.run(pair.now + 60.0, lambda: pair.is_clear(0) and pair.is_clear(1))

    def _new(self, case: int) -> Pair:
        info = RADIOS[self._random.randrange(len(RADIOS))] if case & 8 else TCP
        books = [book.copy() for book in self._books]
        pair = Pair(info, *books, seed=self._random.randrange(1 << 30))
        if case & 2:
            pair.meet()
        self._pairs[case] = pair
        return pair


def messages() -> Check:
    def check(data: bytes) -> None:
        decoder, encoder = MessageDecoder(), MessageEncoder()
        try:
            for piece in pieces_of(data):
                assert encoder.encode(decoder.decode(piece)) == piece, "a second form"
        except RemoteProtocolError:
            pass

    return check


def batches() -> Check:
    """The first byte chooses version and form; the rest are batches of one session. No event comes
    out that its author didn't sign."""
    rooms = {version: first_events(version) for version in ("3", "11", "12")}
    known = {version: list(room.pdus.values()) for version, room in rooms.items()}
    for room in rooms.values():
        samples(room)
    # By hash: a signature has several spellings in base64, and as JSON each of them may be sent;
    # an event of one version may be a valid one of another.
    originals = {_spelt(event_id) for room in rooms.values() for event_id in room.pdus}
    originals |= {read_pdu(data, ROOM_VERSIONS["12"]).event_id for data in conversation().events}

    def check(data: bytes) -> None:
        if not data:
            return
        version = ("3", "11", "12")[(data[0] & 0x7F) % 3]
        end = End(known[version] if data[0] & 0x80 else ())
        room_id = rooms[version].create.room_id
        for piece in pieces_of(data[1:]):
            try:
                read = end.decoder.decode(room_id, ROOM_VERSIONS[version], piece, end.known)
            except RemoteProtocolError:
                return
            for event in read:
                pdu = accepted(event, ROOM_VERSIONS[version]) if isinstance(event, bytes) else None
                assert pdu is None or _spelt(pdu.event_id) in originals, "forged"

    return check


def _spelt(event_id: str) -> str:
    """Room version 3 has another base64 alphabet."""
    return event_id.replace("+", "-").replace("/", "_")


def batch_seeds() -> list[bytes]:
    found = [bytes((2,)) + joined([batch]) for batch in conversation().batches]
    for number, version in enumerate(("3", "11", "12")):
        room = first_events(version)
        before: list[Pdu] = list(room.pdus.values())
        samples(room)
        made = list(room.pdus.values())[len(before) :]
        for form in Form:
            here = End(before)
            args = (room.create.room_id, room.version)
            packed = [here.encoder.encode(*args, [p], here.known, form=form)[0] for p in made]
            found += [bytes((number | 0x80,)) + joined([batch]) for batch in packed]
            found.append(bytes((number | 0x80,)) + joined(packed))
        alone, _ = End().encoder.encode(
            room.create.room_id, room.version, before, NothingKnown(), form=Form.EXPLICIT
        )
        found.append(bytes((number,)) + joined([alone]))
    return found


def text() -> Check:
    model = TextModel()

    def check(data: bytes) -> None:
        try:
            found = model.decompress(data, 64)
        except RemoteProtocolError:
            return
        assert len(data) < len(found) <= 64
        short = model.compress(found)
        assert short is not None
        assert model.decompress(short, 64) == found

    return check


def tcp() -> Check:
    """What comes over a socket, in any pieces: frames, or the connection is given up."""

    def check(data: bytes) -> None:
        link = TcpLink.__new__(TcpLink)
        link._received = bytearray()
        for piece in pieces_of(data):
            link._received += piece
            try:
                while (span := link._frame_span()) is not None and len(link._received) >= span[1]:
                    start, end = span
                    assert 0 < end - start <= MTU_BYTES
                    assert bytes(link._received[:start]) == _length_bytes(end - start)
                    del link._received[:end]
            except trio.BrokenResourceError:
                return
            assert len(link._received) < 3 + MTU_BYTES

    return check


def _frames_for(info: LinkInfo) -> list[bytes]:
    """Short: what takes long is tried less often."""
    found = []
    for row in encoded_conversations():
        frames = framed(info, row)
        found += [joined(frames[at : at + 12]) for at in range(0, min(len(frames), 36), 12)]
    return found


def _datagram_seeds() -> list[bytes]:
    return [
        bytes((number,)) + seed
        for number, info in enumerate(RADIOS)
        for seed in _frames_for(replace(info, checked=True))
    ]


def _session_seeds() -> list[bytes]:
    pair = Pair(TCP).meet()
    handshakes = [frame for _, _, frame in pair.log]
    rows = [handshakes, conversation().handshake, *encoded_conversations()]
    return [bytes((case,)) + joined(row) for case in range(16) for row in rows]


def _broadcast_seeds() -> list[bytes]:
    return [
        joined(broadcast_frames(bytes((number,)) * 4, batch, mtu_bytes=mtu, crc=crc))
        for number, batch in enumerate(conversation().batches)
        for mtu in (51, 222)
        for crc in (False, True)
    ]


def _tcp_seeds() -> list[bytes]:
    found = []
    for row in encoded_conversations():
        stream_bytes = b"".join(_length_bytes(len(message)) + message for message in row)
        found.append(joined(stream_bytes[at : at + 60] for at in range(0, len(stream_bytes), 60)))
    return found


def _text_seeds() -> list[bytes]:
    return [short for line in LINES if (short := TextModel().compress(line.encode()))]


TARGETS = {
    target.name: target
    for target in (
        Target(name="stream", make=stream, seeds=lambda: _frames_for(TCP)),
        Target(name="datagram", make=datagram, seeds=_datagram_seeds),
        Target(name="handshake", make=handshake, seeds=lambda: [joined(conversation().handshake)]),
        Target(name="broadcast", make=broadcast, seeds=_broadcast_seeds),
        Target(name="session", make=lambda: _Sessions().check, seeds=_session_seeds),
        Target(
            name="messages", make=messages, seeds=lambda: list(map(joined, encoded_conversations()))
        ),
        Target(name="batches", make=batches, seeds=batch_seeds),
        Target(name="text", make=text, seeds=_text_seeds),
        Target(name="tcp", make=tcp, seeds=_tcp_seeds),
    )
}
