"""Cutting messages into frames and joining them, with fragments in any order, twice or never."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, LimitError, RemoteProtocolError
from dtnode.session.framing import (
    HEADER,
    MAX_FRAME_BYTES,
    MAX_PARTIAL_BYTES,
    MAX_PARTIAL_MESSAGES,
    MIN_FRAGMENT_BYTES,
    Assembled,
    FrameKind,
    Reassembler,
    fragment,
    kind_of,
)
from dtnode.wire.limits import MAX_MESSAGE_BYTES

KIND = FrameKind.INITIATOR_MESSAGE


def reassembler(limit: int = MAX_MESSAGE_BYTES) -> Reassembler:
    return Reassembler(lambda kind: limit)


def frame(number: int, index: int, count: int, payload: bytes, kind: int = KIND) -> bytes:
    return HEADER.pack(kind, number, index, count) + payload


@given(
    st.binary(min_size=1, max_size=1000), st.integers(64, 400), st.integers(0, 2**32 - 1), st.data()
)
def test_round_trip_in_any_order_and_doubled(
    payload: bytes, mtu: int, number: int, data: st.DataObject
) -> None:
    frames = fragment(KIND, number, payload, mtu)
    assert all(HEADER.size < len(one) <= mtu for one in frames)
    expected = Assembled(kind=KIND, number=number, payload=payload)
    last = data.draw(st.sampled_from(frames))
    others = data.draw(st.permutations([one for one in frames if one != last] * 2))
    parts = reassembler()
    if len(frames) > 1:
        assert [parts.receive(one) for one in others] == [None] * len(others)
    assert parts.receive(last) == expected
    assert len(parts) == parts.cost_bytes == 0


@pytest.mark.parametrize("mtu", [64, 1500, 65_536])
def test_the_largest_message_at_each_mtu(mtu: int) -> None:
    payload = random.Random(mtu).randbytes(MAX_MESSAGE_BYTES)
    parts = reassembler()
    *most, last = fragment(KIND, 1, payload, mtu)
    for one in reversed(most):
        assert parts.receive(one) is None
    assert parts.cost_bytes <= MAX_PARTIAL_BYTES
    whole = parts.receive(last)
    assert whole is not None
    assert whole.payload == payload


def test_messages_may_be_interleaved() -> None:
    first = fragment(KIND, 1, b"a" * 100, 64)
    second = fragment(KIND, 2, b"b" * 100, 64)
    parts = reassembler()
    results = [parts.receive(one) for pair in zip(first, second, strict=True) for one in pair]
    assert [whole.payload[:1] for whole in results if whole] == [b"a", b"b"]


def test_kinds_are_kept_apart() -> None:
    parts = reassembler()
    one, _ = fragment(FrameKind.HELLO, 1, b"a" * 100, 64)
    _, other = fragment(FrameKind.CLAIM, 1, b"a" * 100, 64)
    assert parts.receive(one) is parts.receive(other) is None


def test_the_oldest_of_too_many_pieces_goes() -> None:
    parts = reassembler()
    cut = [fragment(KIND, number, b"x" * 100, 64) for number in range(MAX_PARTIAL_MESSAGES + 1)]
    for first, _ in cut:
        assert parts.receive(first) is None
    assert len(parts) == MAX_PARTIAL_MESSAGES
    assert parts.receive(cut[1][1]) is not None
    assert parts.receive(cut[0][1]) is None, "its first half was dropped"


@pytest.mark.parametrize("size", [MIN_FRAGMENT_BYTES, 1000, 60_000])
def test_memory_is_bounded_whatever_the_fragments(size: int) -> None:
    parts = reassembler()
    count = min(65_535, MAX_MESSAGE_BYTES // size)
    payload = bytes(size)
    for number in range(12):
        for index in range(count - 1):
            assert parts.receive(frame(number, index, count, payload)) is None
            assert parts.cost_bytes <= MAX_PARTIAL_BYTES
    assert 0 < len(parts) <= MAX_PARTIAL_MESSAGES


@pytest.mark.parametrize(
    ("data", "error", "why"),
    [
        (b"", DecodeError, "0 bytes, less than a header"),
        (frame(1, 0, 1, b""), DecodeError, "9 bytes, less than a header"),
        (frame(1, 0, 1, b"x", kind=0), DecodeError, "kind 0 is unknown"),
        (frame(1, 0, 1, b"x", kind=8), DecodeError, "kind 8 is unknown"),
        (frame(1, 0, 0, b"x"), DecodeError, "fragment 0 of 0"),
        (frame(1, 2, 2, b"x"), DecodeError, "fragment 2 of 2"),
        (frame(1, 0, 2, b"x" * 54), DecodeError, "54 bytes, at least 55"),
        (frame(1, 0, 1, b"x" * 1001), LimitError, "at most 1000"),
        (frame(1, 0, 65_535, b"x" * 55), LimitError, "at most 1000"),
        (bytes(MAX_FRAME_BYTES + 1), LimitError, "65537 bytes, at most 65536"),
    ],
)
def test_bad_frames_say_what_is_wrong(data: bytes, error: type[Exception], why: str) -> None:
    parts = reassembler(limit=1000)
    with pytest.raises(error, match=why):
        parts.receive(data)
    assert parts.cost_bytes == 0


def test_fragments_that_disagree() -> None:
    parts = reassembler()
    parts.receive(frame(1, 0, 3, b"x" * 60))
    with pytest.raises(DecodeError, match="disagree: 3 or 4"):
        parts.receive(frame(1, 1, 4, b"x" * 60))


def test_fragments_that_are_too_much_together() -> None:
    parts = reassembler(limit=150)
    parts.receive(frame(1, 0, 2, b"x" * 100))
    with pytest.raises(LimitError, match="160 bytes, at most 150"):
        parts.receive(frame(1, 1, 2, b"x" * 60))


@given(st.lists(st.binary(max_size=120), max_size=20))
def test_garbage(frames: list[bytes]) -> None:
    parts = reassembler(limit=1000)
    for one in frames:
        try:
            parts.receive(one)
        except RemoteProtocolError:
            continue
        assert kind_of(one) in FrameKind


headers = st.builds(
    frame,
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 5),
    st.binary(min_size=50, max_size=70),
    st.integers(0, 8),
)


@given(st.lists(headers, max_size=60))
def test_likely_garbage_keeps_the_books(frames: list[bytes]) -> None:
    parts = reassembler(limit=300)
    for one in frames:
        try:
            whole = parts.receive(one)
        except RemoteProtocolError:
            continue
        assert whole is None or len(whole.payload) <= 300
        assert len(parts) <= MAX_PARTIAL_MESSAGES
        assert (parts.cost_bytes == 0) == (len(parts) == 0)
