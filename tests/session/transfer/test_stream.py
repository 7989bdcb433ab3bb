"""Messages over reliable links: nine bytes each, and nothing that was changed passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import LimitError, LocalProtocolError, RemoteProtocolError
from dtnode.session.transfer import StreamTransfer
from dtnode.session.transfer.frames import Flag
from dtnode.wire.codec import COMMONEST_MESSAGE
from tests.session.transfer.air import key_pair


def pair(mtu: int = 65535) -> tuple[StreamTransfer, StreamTransfer]:
    ours, theirs = key_pair()
    return (
        StreamTransfer(mtu_bytes=mtu, keys=ours, initiator=True),
        StreamTransfer(mtu_bytes=mtu, keys=theirs, initiator=False),
    )


def test_a_message_costs_nine_bytes() -> None:
    sender, receiver = pair()
    sender.send(b"hello")
    (frame,) = sender.frames_to_send(0.0)
    assert len(frame) == 5 + 9
    assert receiver.receive_frame(frame, 0.0) == [b"hello"]
    assert sender.is_idle


def test_the_commonest_message_costs_nothing_more() -> None:
    sender, receiver = pair()
    for message in (COMMONEST_MESSAGE, b"hello", COMMONEST_MESSAGE):
        sender.send(message)
    frames = sender.frames_to_send(0.0)
    assert list(map(len, frames)) == [9, 14, 9]
    received = [receiver.receive_frame(frame, 0.0) for frame in frames]
    assert received == [[COMMONEST_MESSAGE], [b"hello"], [COMMONEST_MESSAGE]]
    assert sender.queued_bytes == 0


@pytest.mark.parametrize("flags", [Flag.START, Flag.END, Flag(0)])
def test_no_piece_of_a_longer_message_is_empty(flags: Flag) -> None:
    keys, _ = key_pair()
    _, receiver = pair()
    header = bytes((flags,))
    with pytest.raises(RemoteProtocolError):
        receiver.receive_frame(header + keys.data_sealer.seal(0, header, b""), 0.0)


@given(
    sizes=st.lists(st.integers(1, 3000), max_size=10),
    mtu=st.sampled_from([10, 20, 129, 65535]),
    portion=st.integers(1, 500),
)
def test_round_trip(sizes: list[int], mtu: int, portion: int) -> None:
    sender, receiver = pair(mtu)
    messages = [bytes([index]) * size for index, size in enumerate(sizes)]
    for message in messages:
        sender.send(message)
    assert sender.queued_bytes == sum(sizes)
    received: list[bytes] = []
    while frames := sender.frames_to_send(0.0, max_bytes=portion):
        for frame in frames:
            assert len(frame) <= mtu
            received += receiver.receive_frame(frame, 0.0)
    assert received == messages
    assert sender.queued_bytes == 0


@given(frame=st.binary(max_size=60))
def test_garbage_is_refused(frame: bytes) -> None:
    _, receiver = pair()
    with pytest.raises(RemoteProtocolError):
        receiver.receive_frame(frame, 0.0)


@given(data=st.data())
def test_changed_repeated_and_reordered_frames_are_refused(data: st.DataObject) -> None:
    sender, receiver = pair(20)
    sender.send(bytes(30))
    frames = sender.frames_to_send(0.0)
    at = data.draw(st.integers(0, len(frames[0]) - 1))
    changed = bytearray(frames[0])
    changed[at] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(changed), frames[1], frames[0][:-1]):
        with pytest.raises(RemoteProtocolError):
            receiver.receive_frame(bad, 0.0)
    receiver.receive_frame(frames[0], 0.0)
    with pytest.raises(RemoteProtocolError):
        receiver.receive_frame(frames[0], 0.0)


def test_an_echo_is_refused() -> None:
    sender, _ = pair()
    sender.send(b"hello")
    with pytest.raises(RemoteProtocolError, match="own side"):
        sender.receive_frame(sender.frames_to_send(0.0)[0], 0.0)


def test_a_peer_cannot_send_without_end() -> None:
    ours, theirs = key_pair()
    receiver = StreamTransfer(mtu_bytes=65535, keys=theirs, initiator=False)
    frames: list[bytes] = []
    for counter in range(18):
        header = bytes((Flag.START if counter == 0 else 0,))
        frames.append(header + ours.data_sealer.seal(counter, header, bytes(60_000)))
    for frame in frames[:-1]:
        assert receiver.receive_frame(frame, 0.0) == []
    with pytest.raises(LimitError):
        receiver.receive_frame(frames[-1], 0.0)


def test_messages_of_the_wrong_size_are_refused() -> None:
    sender, _ = pair()
    for message in (b"", bytes((1 << 20) + 1)):
        with pytest.raises(LocalProtocolError):
            sender.send(message)
    for _ in range(8):
        sender.send(bytes(1 << 20))
    with pytest.raises(LocalProtocolError, match="wait for this link"):
        sender.send(b"x")
    with pytest.raises(LocalProtocolError, match="MTU"):
        pair(9)
