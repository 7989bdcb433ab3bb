"""Handshake and broadcast frames: any MTU, any order, several at once, bounded for liars."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import LocalProtocolError
from dtnode.session.transfer import (
    BroadcastAssembler,
    HandshakeAssembler,
    HandshakeFrame,
    broadcast_frames,
    handshake_frames,
)
from dtnode.session.transfer.broadcast import MAX_PARTIAL_BROADCASTS, MAX_PARTIAL_BYTES
from dtnode.session.transfer.handshake_frames import MAX_PARTIAL_HANDSHAKES


@given(
    message=st.binary(min_size=1, max_size=400),
    kind=st.integers(0, 15),
    tag=st.integers(0, 255),
    mtu=st.sampled_from([10, 14, 16, 51, 128, 222, 512]),
    crc=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_handshake_round_trip(
    message: bytes, kind: int, tag: int, mtu: int, crc: bool, seed: int
) -> None:
    mtu = max(mtu, 14) if crc else mtu
    frames = handshake_frames(kind, tag, message, mtu_bytes=mtu, crc=crc)
    assert all(len(frame) <= mtu for frame in frames)
    if 2 + len(message) <= mtu:
        assert len(frames[0]) == 2 + len(message)
    Random(seed).shuffle(frames)
    assembler = HandshakeAssembler(crc=crc)
    results = [assembler.receive(frame) for frame in frames]
    assert results[:-1] == [None] * (len(frames) - 1)
    assert results[-1] == HandshakeFrame(kind=kind, tag=tag, message=message)
    assert len(assembler) == 0


def test_two_handshakes_at_once_and_repetition_of_what_was_lost() -> None:
    first = handshake_frames(1, 7, bytes(62), mtu_bytes=16)
    second = handshake_frames(1, 8, bytes([1]) * 62, mtu_bytes=16)
    assembler = HandshakeAssembler()
    whole = []
    for a, b in zip(first[1:], second[:-1], strict=True):
        whole += [assembler.receive(a), assembler.receive(b)]
    assert not any(whole)
    again = [assembler.receive(frame) for frame in (*first, *second)]
    assert [frame.tag for frame in again if frame] == [7, 8]


def test_a_forged_piece_of_a_handshake_costs_a_repetition() -> None:
    frames = handshake_frames(1, 7, bytes(62), mtu_bytes=16)
    assembler = HandshakeAssembler()
    assert assembler.receive(frames[0][:3] + b"forged") is None
    first_time = [assembler.receive(frame) for frame in frames]
    second_time = [assembler.receive(frame) for frame in frames]
    results = [frame.message for frame in first_time + second_time if frame]
    assert results[-1] == bytes(62)


@given(frames=st.lists(st.binary(max_size=450), max_size=60))
def test_handshake_garbage_costs_bounded_memory(frames: list[bytes]) -> None:
    assembler = HandshakeAssembler()
    for frame in frames:
        assembler.receive(frame)
        assembler.receive(b"\xa1" + frame)
        assembler.receive(bytes((0xA0 | len(frame) % 32,)) + frame)
        assert len(assembler) <= MAX_PARTIAL_HANDSHAKES


def test_handshakes_that_do_not_fit_are_refused() -> None:
    for kind, size, mtu in [(16, 10, 64), (1, 0, 64), (1, 401, 64), (1, 400, 6)]:
        with pytest.raises(LocalProtocolError):
            handshake_frames(kind, 0, bytes(size), mtu_bytes=mtu)


def test_a_damaged_piece_is_dropped_where_there_is_a_checksum() -> None:
    frames = handshake_frames(1, 7, bytes(62), mtu_bytes=20, crc=True)
    assembler = HandshakeAssembler(crc=True)
    damaged = frames[0][:5] + b"\xff" + frames[0][6:]
    results = [assembler.receive(frame) for frame in (damaged, *frames)]
    assert results[-1] is not None


@given(
    messages=st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=5, unique=True),
    mtu=st.sampled_from([10, 14, 51, 222, 65535]),
    crc=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_broadcasts_of_several_senders(
    messages: list[bytes], mtu: int, crc: bool, seed: int
) -> None:
    mtu = max(mtu, 14) if crc else mtu
    frames: list[bytes] = []
    for index, message in enumerate(messages):
        frames += broadcast_frames(bytes([index]) * 4, message, mtu_bytes=mtu, crc=crc)
    assert all(len(frame) <= mtu for frame in frames)
    twice = frames + frames
    Random(seed).shuffle(twice)
    assembler = BroadcastAssembler(crc=crc)
    received = [got for frame in twice if (got := assembler.receive(frame))]
    assert sorted(received) == sorted(messages)


def test_a_carousel_fills_what_was_lost() -> None:
    message = Random(1).randbytes(5000)
    frames = broadcast_frames(b"abcd", message, mtu_bytes=51, crc=True)
    random = Random(2)
    assembler = BroadcastAssembler(crc=True)
    received: list[bytes | None] = []
    for _ in range(12):
        for frame in frames:
            if random.random() > 0.4:
                if random.random() < 0.1:
                    frame = frame[:20] + bytes([frame[20] ^ 1]) + frame[21:]
                received.append(assembler.receive(frame))
    assert [got for got in received if got] == [message]


def test_broadcast_floods_cost_bounded_memory() -> None:
    random = Random(3)
    assembler = BroadcastAssembler()
    for number in range(40_000):
        id_ = random.randrange(40).to_bytes(4)
        index = random.randrange(3000).to_bytes(2)
        frame = b"\xc3" + id_ + index + (3000).to_bytes(2) + random.randbytes(20)
        assert assembler.receive(frame) is None
        if number % 100 == 0:
            assert assembler.cost_bytes <= MAX_PARTIAL_BYTES
            assert len(assembler) <= MAX_PARTIAL_BROADCASTS
    message = bytes(300)
    results = [assembler.receive(f) for f in broadcast_frames(b"good", message, mtu_bytes=51)]
    assert results[-1] == message


@given(frames=st.lists(st.binary(max_size=80), max_size=60), crc=st.booleans())
def test_broadcast_garbage(frames: list[bytes], crc: bool) -> None:
    assembler = BroadcastAssembler(crc=crc)
    for frame in frames:
        assembler.receive(frame)
        assembler.receive(bytes((0xC0 | len(frame) % 4,)) + frame)
        assert len(assembler) <= MAX_PARTIAL_BROADCASTS


def test_broadcasts_that_do_not_fit_are_refused() -> None:
    for size, mtu in [(0, 64), (65_537, 512), (100, 7)]:
        with pytest.raises(LocalProtocolError):
            broadcast_frames(b"abcd", bytes(size), mtu_bytes=mtu)
