"""Two ends over a bad medium: every message arrives, in order, once."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import LocalProtocolError
from dtnode.link_info import Duplex, LinkInfo
from dtnode.session.transfer import DatagramTransfer, StreamTransfer, make_transfer
from dtnode.session.transfer.frames import Flag
from tests.session.transfer.air import Air, Faults, info_of, key_pair

MTUS = [10, 16, 20, 51, 64, 126, 128, 129, 222, 512, 65535]


def messages_of(random: Random, count: int, most: int) -> list[bytes]:
    return [random.randbytes(random.randrange(1, most)) for _ in range(count)]


def converse(air: Air, seed: int, *, count: int, most: int) -> Air:
    """Both ends send at once and later; all must come to be there."""
    random = Random(seed)
    sent: list[list[bytes]] = [[], []]
    for _ in range(3):
        for end in (0, 1):
            batch = messages_of(random, random.randrange(count + 1), most)
            for message in batch:
                air.send(end, message)
            sent[end] += batch
        air.run(until=air.now + random.random() * 30)
    air.run()
    assert air.received == sent[::-1]
    assert all(end.is_idle and end.unacknowledged_bytes == 0 for end in air.ends)
    return air


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("loss", [0.0, 0.2, 0.5])
def test_half_duplex(mtu: int, loss: float) -> None:
    faults = Faults(loss=loss, burst_loss=2 if loss == 0.2 else 1)
    air = Air(info_of(mtu), faults, seed=mtu)
    converse(air, mtu, count=8, most=min(100_000, 60 * mtu))


@pytest.mark.parametrize("mtu", [14, *MTUS[1:]])
@pytest.mark.parametrize("bitrate", [None, 9_600, 1_000_000])
def test_full_duplex_with_all_faults_at_once(mtu: int, bitrate: int | None) -> None:
    faults = Faults(loss=0.2, repeat=0.1, reorder=0.1, corrupt=0.05, echo=0.05)
    air = Air(info_of(mtu, bitrate=bitrate, half=False), faults, seed=mtu, crc=True)
    converse(air, mtu, count=8, most=min(100_000, 40 * mtu))
    assert any(end.dropped_frames for end in air.ends) or mtu > 512


@given(
    seed=st.integers(0, 2**32),
    mtu=st.sampled_from(MTUS),
    half=st.booleans(),
    loss=st.floats(0, 0.5),
    burst_loss=st.integers(1, 8),
    repeat=st.floats(0, 0.3),
    bitrate=st.sampled_from([183, 300, 1200, 9600, 250_000]),
    turnaround=st.sampled_from([0.0, 0.3, 5.0]),
)
def test_any_link(
    seed: int,
    mtu: int,
    half: bool,
    loss: float,
    burst_loss: int,
    repeat: float,
    bitrate: int,
    turnaround: float,
) -> None:
    info = info_of(mtu, bitrate=bitrate, half=half, turnaround=turnaround)
    faults = Faults(loss=loss, burst_loss=burst_loss, repeat=repeat)
    converse(Air(info, faults, seed=seed), seed, count=4, most=min(5_000, 30 * mtu))


@pytest.mark.parametrize("mtu", [10, 51, 222])
@pytest.mark.parametrize("half", [True, False])
def test_resumes_after_hours_where_it_stopped(mtu: int, half: bool) -> None:
    cut = (5.0, 9 * 3600.0)
    air = Air(info_of(mtu, half=half), Faults(cut=lambda now, end: cut[0] < now < cut[1]))
    message = Random(1).randbytes(80 * mtu)
    air.send(0, message)
    air.send(1, message)
    air.run(until=cut[1])
    in_silence = sum(1 for at, _, _ in air.log if at > cut[0] + 3600)
    assert 0 < in_silence <= 2 * 8 * 3600 / 300 + 2, "one probe each 5 minutes and end"
    air.run()
    assert air.received == [[message], [message]]
    assert max(air.received_at[0] + air.received_at[1]) < cut[1] + 300 + 300
    # What had arrived before the cut was not sent again: at most a burst of each end was lost.
    unbroken = Air(info_of(mtu, half=half))
    unbroken.send(0, message)
    unbroken.send(1, message)
    unbroken.run()
    before_and_after = sum(1 for at, _, _ in air.log if not cut[0] < at < cut[1])
    assert before_and_after <= sum(unbroken.sent_frames) + 60


def test_resume_probes_at_once() -> None:
    air = Air(info_of(51), Faults(cut=lambda now, end: now < 3600))
    air.send(0, b"hello")
    air.run(until=3601)
    air.ends[0].resume(air.now)
    air.run(until=3610)
    assert air.received[1] == [b"hello"]


@pytest.mark.parametrize("deaf", [0, 1])
def test_outage_in_one_direction(deaf: int) -> None:
    air = Air(info_of(64), Faults(cut=lambda now, end: end != deaf and 5 < now < 5000))
    converse(air, 3, count=20, most=300)


def test_small_messages_that_wait_share_a_frame() -> None:
    for mtu in (51, 222):
        air = Air(info_of(mtu))
        for _ in range(5):
            air.send(0, b"four")
        air.run()
        assert air.sent_frames == [1, 1]
        assert air.sent_bytes[0] == 2 + 8 + 5 * 5


def test_one_message_costs_ten_bytes_and_its_acknowledgement_ten() -> None:
    for mtu in (51, 128, 222, 512):
        air = Air(info_of(mtu))
        air.send(0, bytes(30))
        air.run()
        assert air.sent_bytes == [40, 10]


def test_acknowledgement_rides_with_an_answer() -> None:
    air = Air(info_of(222))
    air.send(0, bytes(30))
    air.run(until=1.0)
    assert air.received[1]
    air.send(1, bytes(20))
    air.run()
    assert air.sent_frames == [2, 1], "message; answer with its acknowledgement; and that one's"
    assert air.sent_bytes == [40 + 10, 2 + 8 + 20 + 2]


def test_half_duplex_ends_take_turns() -> None:
    air = Air(info_of(64, bitrate=300, turnaround=2.0))
    for end in (0, 1):
        air.run(until=air.now + 60)
        air.send(end, bytes(2000))
    air.run()
    assert air.collisions == 0
    polls = [frame for _, end, frame in air.log if frame[0] < 0x80 and frame[0] & Flag.POLL]
    assert len(polls) >= 4


def test_ends_that_talk_at_once_part_again() -> None:
    air = Air(info_of(64))
    air.send(0, bytes(40))
    air.send(1, bytes(40))
    air.run()
    assert air.collisions
    assert air.received == [[bytes(40)], [bytes(40)]]
    assert air.now < 30


def test_frames_are_given_out_in_portions() -> None:
    keys = key_pair()[0]
    transfer = DatagramTransfer(info=info_of(64), keys=keys, initiator=True)
    transfer.send(bytes(500))
    first = transfer.frames_to_send(0.0, max_bytes=100)
    assert len(first) == 2
    assert transfer.next_wake_at() == 0.0
    assert len(transfer.frames_to_send(0.0)) == 7
    assert transfer.frames_to_send(0.0) == []
    assert transfer.next_wake_at() is not None


def test_another_sessions_frames_are_dropped() -> None:
    ours, theirs = key_pair()
    sender = DatagramTransfer(info=info_of(20), keys=ours, initiator=True, odd=True)
    receiver = DatagramTransfer(info=info_of(20), keys=theirs, initiator=False, odd=False)
    sender.send(bytes(100))
    for frame in sender.frames_to_send(0.0):
        assert receiver.receive_frame(frame, 1.0) == []
    assert receiver.dropped_frames
    assert receiver.is_idle


def test_links_that_carry_no_session_are_refused() -> None:
    keys = key_pair()[0]
    simplex = LinkInfo(mtu_bytes=64, duplex=Duplex.SIMPLEX, reliable=False)
    for info, crc in [(info_of(9), False), (info_of(13), True), (simplex, False)]:
        with pytest.raises(LocalProtocolError):
            DatagramTransfer(info=info, keys=keys, initiator=True, crc=crc)
    reliable = LinkInfo(mtu_bytes=65535)
    assert isinstance(make_transfer(info=reliable, keys=keys, initiator=True), StreamTransfer)
    assert isinstance(make_transfer(info=info_of(20), keys=keys, initiator=True), DatagramTransfer)


def test_messages_of_the_wrong_size_are_refused() -> None:
    transfer = DatagramTransfer(info=info_of(64), keys=key_pair()[0], initiator=True)
    for message in (b"", bytes((1 << 20) + 1)):
        with pytest.raises(LocalProtocolError):
            transfer.send(message)
    for _ in range(7):
        transfer.send(bytes(1 << 20))
    with pytest.raises(LocalProtocolError, match="wait for this link"):
        transfer.send(bytes(1 << 20))


@pytest.mark.parametrize("mtu", MTUS)
def test_the_window_is_bounded(mtu: int) -> None:
    for half in (True, False):
        transfer = DatagramTransfer(
            info=info_of(mtu, half=half, bitrate=None), keys=key_pair()[0], initiator=True
        )
        transfer.send(bytes(1 << 20))
        transfer.send(bytes(1 << 20))
        frames = transfer.frames_to_send(0.0)
        assert len(frames) <= 128
        assert sum(map(len, frames)) <= 1 << 20
        assert transfer.unacknowledged_bytes <= 1 << 20
