"""Recorded conversations, garbage and floods into sessions in every state."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.session import SessionState
from dtnode.session.transfer import FrameKind
from tests.session.exchange_pair import ALICE, BOB
from tests.session.session_pair import (
    RADIO,
    TCP,
    Book,
    Faults,
    Pair,
    converse,
    info_of,
    messages,
)

FULL_RADIO = info_of(222, half=False)
NARROW = info_of(20, bitrate=9600, half=False)

radios = pytest.mark.parametrize(
    "info", [RADIO, FULL_RADIO, NARROW], ids=["half", "full", "narrow"]
)


def sessions_of(pair: Pair) -> list[int]:
    return [len(pair.sessions(end)) for end in (0, 1)]


# Replays of everything


@pytest.mark.parametrize("policy", [CipherPolicy.SEALED, CipherPolicy.CLEAR])
@radios
def test_a_whole_conversation_replayed_in_any_order(info: LinkInfo, policy: CipherPolicy) -> None:
    """Into the ends that held it, and into both after a start: nothing is heard twice."""
    pair = Pair(info, policies=(policy, policy), faults=Faults(loss=0.1), seed=9).meet()
    pair.faults = Faults()
    converse(pair, 10)
    recorded = [(end, frame) for _, end, frame in pair.log]
    random = Random(2)
    for again in range(6):
        if again == 3:
            for end in (0, 1):
                pair.restart(end)
            pair.meet()
        before = [[len(pair.heard(end)) for end in (0, 1)], sessions_of(pair)]
        random.shuffle(recorded)
        for sender, frame in recorded:
            pair.inject(1 - sender, frame)
            pair.inject(sender, frame)
            if random.random() < 0.05:
                pair.run(pair.now + random.random())
        pair.run(pair.now + 100)
        assert [[len(pair.heard(end)) for end in (0, 1)], sessions_of(pair)] == before
        converse(pair, 3)
    assert not any(pair.errors)


@radios
def test_replays_before_any_session(info: LinkInfo) -> None:
    """A recording of yesterday, played to ends that wait for each other."""
    pair = Pair(info).meet()
    converse(pair)
    recorded = pair.log.copy()
    for end in (0, 1):
        pair.restart(end)
    for _, _, frame in recorded:
        for end in (0, 1):
            pair.inject(end, frame)
    assert pair.events == [[], []]
    pair.meet()
    converse(pair)


@pytest.mark.parametrize("replayed", range(8))
def test_any_frame_repeated_on_a_connection_ends_it(replayed: int) -> None:
    pair = Pair(TCP).meet()
    pair.send(0, *messages(8))
    pair.settle()
    frame = pair.frames(0, FrameKind.DATA)[replayed]
    pair.inject(1, frame)
    assert pair.ends[1].state is SessionState.CLOSED
    assert pair.heard(1) == messages(8)


# Garbage


def mutated(frame: bytes, place: int, bits: int, cut: int) -> bytes:
    data = bytearray(frame)
    data[place % len(data)] ^= bits
    return bytes(data[: len(data) - cut % len(data)])


STATES = ("handshake", "unconfirmed", "live", "closed")


def pair_in(state: str, info: LinkInfo) -> Pair:
    pair = Pair(info, Book(ALICE, [BOB]), Book(BOB, [ALICE], dials=False))
    if state == "unconfirmed":
        pair.tamper = lambda end, frame: None if end == 0 and pair.ends[0].peer else frame
        pair.run(20, lambda: pair.ends[0].peer)
        pair.tamper = lambda end, frame: frame
    elif state in ("live", "closed"):
        pair.meet()
        converse(pair, 2)
    if state == "closed":
        pair.ends[1].close("enough")
    return pair


@given(
    info=st.sampled_from([TCP, RADIO, NARROW]),
    state=st.sampled_from(STATES),
    frames=st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(
                lambda kind, rest: bytes([kind]) + rest,
                st.sampled_from([0x60, 0x61, 0x62, 0x70, 0x80, 0x84, 0xA2, 0xA3, 0xA4, 0xA6, 0xC0]),
                st.binary(max_size=80),
            ),
        ),
        max_size=30,
    ),
)
def test_garbage_in_every_state(info: LinkInfo, state: str, frames: list[bytes]) -> None:
    """Refused or dropped, nothing else; on radio the ends find to each other afterwards."""
    pair = pair_in(state, info)
    before = [list(events) for events in pair.events]
    for frame in frames:
        for end in (0, 1):
            pair.inject(end, frame)
    assert pair.events == before
    if not info.reliable and state != "closed":
        pair.meet(5000)
        converse(pair, 1)


@given(
    info=st.sampled_from([RADIO, NARROW]),
    state=st.sampled_from(STATES),
    picks=st.lists(
        st.tuples(st.integers(0), st.integers(0), st.integers(0, 255), st.integers(0, 3)),
        max_size=30,
    ),
)
def test_mutated_frames_of_the_conversation(
    info: LinkInfo, state: str, picks: list[tuple[int, int, int, int]]
) -> None:
    pair = pair_in(state, info)
    if state == "handshake":
        pair.run(0.001)
    heard = [len(pair.heard(end)) for end in (0, 1)]
    recorded = pair.log.copy()
    for which, place, bits, cut in picks:
        _, sender, frame = recorded[which % len(recorded)]
        pair.inject(1 - sender, mutated(frame, place, bits, cut))
    assert [len(pair.heard(end)) for end in (0, 1)] == heard
    if state != "closed":
        pair.meet(5000)
        converse(pair, 1)


@pytest.mark.parametrize("state", ["handshake", "unconfirmed", "live"])
@pytest.mark.parametrize(("mtu", "most"), [(20, 100_000), (222, 100_000), (65_535, 4_400_000)])
def test_memory_under_hostile_input_is_bounded(mtu: int, most: int, state: str) -> None:
    """Frames of all kinds by somebody without keys: they leave behind what waits in windows, at
    most twice (an old session, a new one) 2 MiB with frames of 64 kB."""
    pair = pair_in(state, info_of(mtu, bitrate=10**6, half=False))
    random = Random(7)
    session = pair.ends[1]
    kinds = [0x00, 0x20, 0x40, 0x60, 0x80, 0x84, 0x94, 0x9C, 0xA2, 0xA3, 0xA5]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(min(20_000, (60 << 20) // mtu)):
            frame = bytes([random.choice(kinds) | random.randrange(4)])
            session.receive_frame(frame + random.randbytes(random.randrange(1, mtu)), pair.now)
            if number % 50 == 0:
                pair.now += 0.1
                session.frames_to_send(pair.now)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < most
