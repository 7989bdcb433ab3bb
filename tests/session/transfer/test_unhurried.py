"""What only acknowledges is acknowledged with what follows; nothing is lost for that."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.session.transfer import FrameKind, kind_of
from dtnode.session.transfer.timing import UNHURRIED_ACK_S, UNHURRIED_S
from dtnode.wire.codec import COMMONEST_MESSAGE
from tests.session.transfer.air import Air, Faults, info_of

TEXT = bytes(30)
ACK = COMMONEST_MESSAGE
ACK_UNIT_BYTES = 2 + 2 + 1 + 8
"""Header, acknowledgement of the frame, the message, tag."""


class Conversation(Air):
    """Each text is answered with ACK at once, as a store does that takes no time."""

    def heard(self, end: int, message: bytes) -> None:
        if message != ACK:
            self.send(end, ACK)

    def sizes(self) -> list[tuple[int, int]]:
        return [(end, len(frame)) for _, end, frame in self.log]


def lose(end: int, *which: int) -> Faults:
    """Those frames of `end` are lost, counted from 0."""
    sent = [0, 0]

    def cut(_at: float, of: int) -> bool:
        sent[of] += 1
        return of == end and sent[of] - 1 in which

    return Faults(cut=cut)


BOTH = pytest.mark.parametrize("half", [True, False])


@BOTH
def test_a_conversation_costs_one_acknowledgement_a_message(half: bool) -> None:
    air = Conversation(info_of(222, half=half))
    for turn in range(6):
        air.send(turn % 2, TEXT)
        air.run(until=air.now + 15)
    texts = [(turn % 2, 10 + len(TEXT)) for turn in range(6)]
    acks = [(1 - turn % 2, ACK_UNIT_BYTES) for turn in range(6)]
    assert air.sizes() == [size for pair in zip(texts, acks, strict=True) for size in pair]
    assert all(end.unacknowledged_bytes == 0 for end in air.ends)
    air.run()
    assert air.sizes()[12:] == [(1, 10)], "one at last, for the last"
    assert UNHURRIED_ACK_S <= air.now - 75 <= UNHURRIED_ACK_S + 10
    assert air.collisions == 0
    assert all(end.is_idle for end in air.ends)


@BOTH
def test_it_is_not_awaited(half: bool) -> None:
    air = Conversation(info_of(222, half=half))
    air.send(0, TEXT)
    air.run(until=10)
    assert air.received == [[ACK], [TEXT]]
    waiting = air.ends[1]
    assert waiting.unacknowledged_bytes == 0
    assert not waiting.is_idle, "it is kept, to be repeated"
    wake = waiting.next_wake_at()
    assert wake is not None
    assert wake > UNHURRIED_S


@BOTH
def test_a_lost_one_is_repeated_when_the_peer_repeats_what_it_acknowledged(half: bool) -> None:
    air = Conversation(info_of(222, half=half), lose(1, 0))
    air.send(0, TEXT)
    air.run(until=60)
    assert air.received == [[ACK], [TEXT]]
    assert air.received_at[0][0] < 10
    air.run()
    assert air.received == [[ACK], [TEXT]]
    assert sum(air.sent_frames) <= 6


@BOTH
def test_a_lost_one_shows_as_a_gap(half: bool) -> None:
    """Both its first copy and the text's repetition: what comes next from that end tells."""
    air = Conversation(info_of(222, half=half), lose(1, 0))
    air.send(0, TEXT)
    air.run(until=0.9)
    assert air.received[1] == [TEXT]
    air.run(until=1.4)
    assert air.sent_frames[1] == 1
    air.send(1, TEXT)
    air.run(until=60)
    assert air.received == [[ACK, TEXT], [TEXT, ACK]]
    assert air.received_at[0][-1] < 20


@BOTH
def test_the_late_acknowledgement_may_be_lost(half: bool) -> None:
    air = Conversation(info_of(222, half=half), lose(0, 1))
    air.send(0, TEXT)
    air.run(until=UNHURRIED_S - 1)
    assert air.sent_frames == [2, 1], "text and late acknowledgement; acknowledgement"
    air.run()
    assert air.sent_frames == [3, 2], "repeated, then acknowledged at once"
    assert air.received == [[ACK], [TEXT]]
    assert air.now < UNHURRIED_S + 20
    assert all(end.is_idle for end in air.ends)


@BOTH
def test_either_end_may_talk_after_it(half: bool) -> None:
    for speaker in (0, 1):
        air = Conversation(info_of(222, half=half))
        air.send(0, TEXT)
        while not air.received[0]:
            air.run(until=air.now + 0.01)
        air.send(speaker, TEXT)
        start = air.now
        air.run(until=start + 60)
        assert air.received[1 - speaker][-1:] == [TEXT]
        assert air.received_at[1 - speaker][-1] < start + 6
        assert air.collisions == 0


def test_a_later_message_makes_the_ordinary_rules_apply_to_all() -> None:
    """Nothing of the answering end arrives for a minute: it probes as it always did."""
    faults = Faults(cut=lambda now, end: end == 1 and now < 60)
    air = Conversation(info_of(222), faults)
    air.send(0, TEXT)
    air.run(until=2)
    air.send(1, TEXT)
    air.run(until=30)
    assert air.ends[1].unacknowledged_bytes > 0
    assert air.sent_frames[1] > 3
    air.run(until=UNHURRIED_ACK_S)
    assert air.received == [[ACK, TEXT], [TEXT, ACK]]


def test_resume_repeats_it_at_once() -> None:
    air = Conversation(info_of(222), lose(0, 1))
    air.send(0, TEXT)
    air.run(until=UNHURRIED_ACK_S + 10)
    air.ends[1].resume(air.now)
    air.run()
    assert air.now < UNHURRIED_S
    assert air.received == [[ACK], [TEXT]]


@pytest.mark.parametrize("mtu", [20, 51, 65_535])
def test_many_before_anything_goes_back_fill_no_window(mtu: int) -> None:
    """A text in several frames has no room for an acknowledgement; large frames a small window."""
    air = Conversation(info_of(mtu, bitrate=9_600))
    texts = [bytes(60 if mtu < 100 else 60_000) for _ in range(80)]
    for number, text in enumerate(texts, 1):
        air.send(0, text)
        air.run(until=air.now + 70)
        assert air.received == [[ACK] * number, texts[:number]]
    alone = sum(kind_of(frame) is FrameKind.ACK for _, end, frame in air.log if end == 0)
    assert alone <= len(texts) * 70 / UNHURRIED_ACK_S
    air.run()
    assert all(end.is_idle for end in air.ends)


@given(
    seed=st.integers(0, 1 << 30),
    mtu=st.sampled_from([10, 20, 51, 126, 222, 512]),
    half=st.booleans(),
    loss=st.floats(0, 0.5),
    repeat=st.floats(0, 0.3),
    bitrate=st.sampled_from([183, 1200, 9600]),
    turnaround=st.sampled_from([0.0, 0.3, 5.0]),
    pause=st.sampled_from([1.0, 20.0, 200.0]),
)
def test_any_conversation(
    seed: int,
    mtu: int,
    half: bool,
    loss: float,
    repeat: float,
    bitrate: int,
    turnaround: float,
    pause: float,
) -> None:
    random = Random(seed)
    info = info_of(mtu, bitrate=bitrate, half=half, turnaround=turnaround)
    air = Conversation(info, Faults(loss=loss, repeat=repeat), seed=seed)
    sent: list[list[bytes]] = [[], []]
    for number in range(12):
        end = random.randrange(2)
        text = bytes((0, number)) + random.randbytes(random.randrange(120))
        air.send(end, text)
        sent[end].append(text)
        air.run(until=air.now + random.random() * pause)
    air.run()
    for end in (0, 1):
        texts = [message for message in air.received[end] if message != ACK]
        assert texts == sent[1 - end]
        assert len(air.received[end]) - len(texts) == len(sent[end])
    assert all(end.is_idle and end.unacknowledged_bytes == 0 for end in air.ends)
