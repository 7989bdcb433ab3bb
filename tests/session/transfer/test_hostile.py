"""Forged, replayed and lying frames: bounded cost, a reason where only a liar can be the cause."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, LimitError
from dtnode.session.transfer import DatagramTransfer
from dtnode.session.transfer.acks import Ack, ack_frames, pack_inside
from dtnode.session.transfer.frames import WHOLE_UNIT, Flag, unit_header
from dtnode.session.transfer.leb128 import leb128
from dtnode.session.transfer.receiving import MAX_HELD_BYTES
from dtnode.session.transfer.seals import TransferKeys
from tests.session.transfer.air import Air, Faults, info_of, key_pair


def receiver_and_liar(mtu: int = 222) -> tuple[DatagramTransfer, TransferKeys]:
    """The responder, and the keys of an initiator that lies."""
    liar, honest = key_pair()
    return DatagramTransfer(info=info_of(mtu), keys=honest, initiator=False), liar


def unit(keys: TransferKeys, number: int, plaintext: bytes, flags: Flag) -> bytes:
    sealed = keys.data_sealer.seal(number, unit_header(flags, number), plaintext)
    return bytes((flags | WHOLE_UNIT, number & 0xFF)) + sealed


@pytest.mark.parametrize(
    ("plaintext", "flags", "error"),
    [
        (b"", Flag(0), DecodeError),
        (b"", Flag.LONE, LimitError),
        (b"\x00", Flag(0), LimitError),
        (leb128((1 << 20) + 1), Flag(0), LimitError),
        (b"\xff\xff\xff\x01", Flag(0), DecodeError),
        (b"", Flag.ACK, DecodeError),
        (b"\x00\x09ab", Flag.ACK, DecodeError),
        (b"\x00\x7f" + bytes(127), Flag.ACK, DecodeError),
        (pack_inside(Ack(up_to=1)) + b"\x01x", Flag.ACK, LimitError),
        (b"\xff" * 9, Flag.ACK, DecodeError),
    ],
)
def test_what_no_honest_peer_seals(plaintext: bytes, flags: Flag, error: type[Exception]) -> None:
    receiver, liar = receiver_and_liar()
    with pytest.raises(error):
        receiver.receive_frame(unit(liar, 0, plaintext, flags), 0.0)


def test_a_whole_message_in_the_middle_of_another() -> None:
    receiver, liar = receiver_and_liar()
    assert receiver.receive_frame(unit(liar, 0, b"\x05ab", Flag(0)), 0.0) == []
    with pytest.raises(DecodeError):
        receiver.receive_frame(unit(liar, 1, b"whole", Flag.LONE), 0.0)


def test_acknowledgement_of_frames_never_sent_changes_nothing() -> None:
    receiver, liar = receiver_and_liar()
    receiver.send(bytes(30))
    sent = receiver.frames_to_send(0.0)
    for ack in (Ack(up_to=2), Ack(up_to=200)):
        for frame in ack_frames(ack, liar.ack_sealer, 0, 222):
            receiver.receive_frame(frame, 0.0)
    assert receiver.unacknowledged_bytes == len(sent[0])


def test_forged_acknowledgements_lose_nothing() -> None:
    random = Random(4)
    for mtu in (16, 222):
        receiver, _ = receiver_and_liar(mtu)
        receiver.send(bytes(300))
        receiver.frames_to_send(0.0)
        before = receiver.unacknowledged_bytes
        for _ in range(3000):
            first = 0x80 | random.randrange(8) << 2
            receiver.receive_frame(bytes((first,)) + random.randbytes(random.randrange(40)), 0.0)
        assert receiver.unacknowledged_bytes == before
        assert receiver.dropped_frames > 1000


def test_replayed_frames_deliver_nothing_twice_and_cost_one_answer_a_turn() -> None:
    air = Air(info_of(51))
    message = Random(5).randbytes(600)
    air.send(0, message)
    air.run()
    for _, end, frame in list(air.log):
        for _ in range(50):
            assert air.ends[1 - end].receive_frame(frame, air.now) == []
    before = sum(air.sent_frames)
    air.run()
    assert sum(air.sent_frames) - before <= 2
    assert air.received == [[], [message]]


def test_pieces_without_end_cost_bounded_memory() -> None:
    receiver, _ = receiver_and_liar(65535)
    for number in range(2000):
        flags = Flag.START if number % 7 == 1 else Flag(0)
        receiver.receive_frame(bytes((flags, number & 0xFF)) + bytes(65_000), 0.0)
        assert receiver.held_bytes <= MAX_HELD_BYTES


class Liar(Air):
    """Someone near who has no keys puts forged pieces on the air while there are any left."""

    forged = 0

    def forge(self, end: int, pieces: Iterator[bytes]) -> Liar:
        for piece in pieces:
            self.ends[end].receive_frame(piece, self.now)
            self.forged += 1
        return self


@pytest.mark.parametrize("mtu", [16, 64])
def test_a_forged_piece_costs_at_most_a_unit_of_repetitions(mtu: int) -> None:
    message = Random(6).randbytes(20 * mtu)
    honest = Air(info_of(mtu))
    honest.send(0, message)
    honest.run()
    for flags in (Flag(0), Flag.START, Flag.END):
        for number in (0, 1, 5, 31, 60, 127):
            air = Liar(info_of(mtu))
            air.forge(1, iter([bytes((flags, number)) + bytes(mtu - 2)]))
            air.send(0, message)
            air.run()
            assert air.received == [[], [message]]
            assert air.sent_frames[0] <= honest.sent_frames[0] + 32 + 4


@pytest.mark.parametrize("half", [True, False])
def test_a_forged_last_piece_does_not_stop_the_session(half: bool) -> None:
    """Every number is taken then and nothing can be opened: all of the unit is sent again."""
    for number, flags in [(5, Flag(0)), (0, Flag(0)), (0, Flag.START), (3, Flag.START)]:
        air = Liar(info_of(20, half=half), Faults(loss=0.3), seed=number)
        message = Random(9).randbytes(6 * 18 - 8)
        air.send(0, message)
        air.forge(1, iter([bytes((flags, number)) + bytes(18)]))
        air.run()
        assert air.received == [[], [message]]
        assert air.ends[0].unacknowledged_bytes == 0


def test_units_get_smaller_where_pieces_are_spoiled() -> None:
    air = Air(info_of(64), Faults(corrupt=0.05), seed=8)
    for _ in range(40):
        air.send(0, bytes(600))
    air.run()
    assert air.received == [[], [bytes(600)] * 40]
    assert air.ends[1].spoiled_units < 20
    last = [frame for _, end, frame in air.log if end == 0][-1]
    assert last[0] & WHOLE_UNIT == WHOLE_UNIT, "each frame proves itself by now"


def test_a_forger_who_stops_leaves_the_session_whole() -> None:
    random = Random(7)
    air = Liar(info_of(20))
    message = random.randbytes(1500)
    air.send(0, message)
    for _ in range(300):
        air.run(until=air.now + 1.0)
        flags = random.choice([0, Flag.START, Flag.END, Flag.END | Flag.LONE])
        air.forge(1, iter([bytes((flags, random.randrange(256))) + random.randbytes(18)]))
    air.run()
    assert air.received == [[], [message]]


def test_a_whole_unit_takes_the_place_of_a_forged_piece() -> None:
    receiver, liar = receiver_and_liar()
    receiver.receive_frame(bytes((Flag.START, 0)) + b"forged", 0.0)
    assert receiver.receive_frame(unit(liar, 0, b"true", Flag.LONE), 0.0) == [b"true"]
    assert receiver.held_bytes == 0


@given(
    seed=st.integers(0, 2**32),
    mtu=st.sampled_from([10, 20, 64, 129, 222]),
    crc=st.booleans(),
    half=st.booleans(),
)
def test_garbage_and_mutated_frames_into_both_ends(
    seed: int, mtu: int, crc: bool, half: bool
) -> None:
    random = Random(seed)
    mtu = max(mtu, 14)
    air = Air(info_of(mtu, half=half), Faults(loss=0.1), seed=seed, crc=crc)
    sent = [random.randbytes(random.randrange(1, 8 * mtu)) for _ in range(4)]
    for message in sent:
        air.send(0, message)
        air.send(1, message)
    for _ in range(10):
        air.run(until=air.now + 3)
        frame = bytearray(random.choice(air.log)[2])
        frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
        for bad in (bytes(frame), random.randbytes(random.randrange(mtu + 1))):
            for end in (0, 1):
                got = air.ends[end].receive_frame(bad, air.now)
                air.received[end] += got
    air.run()
    assert air.received == [sent, sent]
