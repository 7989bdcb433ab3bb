"""Notes on frames: right for all that is sent, and none for which it fails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtnode.session.transfer import (
    FrameKind,
    StreamTransfer,
    broadcast_frames,
    describe,
    handshake_frames,
)
from tests.session.transfer.air import Air, Faults, info_of, key_pair


def test_a_conversation() -> None:
    air = Air(info_of(51), Faults(), crc=True)
    air.send(0, bytes(100))
    air.run()
    notes = [describe(frame, crc=True) for _, _, frame in air.log]
    assert [note.kind for note in notes] == [FrameKind.DATA] * 3 + [FrameKind.ACK]
    assert [note.part for note in notes] == ["first", "middle", "last", "whole"]
    assert [note.number for note in notes] == [0, 1, 2, 3]
    assert [note.from_responder for note in notes] == [False, False, False, True]
    assert sum(note.payload_bytes for note in notes) == 100
    assert "over to you" in notes[2].words
    assert str(notes[2]) == (
        "data 2 (last) from initiator, 24 B: header 2, payload 10, tag 8, CRC 4, over to you, one"
        " whole message"
    )


def test_bytes_add_up_on_every_link() -> None:
    for mtu in (10, 20, 64, 222):
        air = Air(info_of(mtu), Faults(loss=0.2), seed=1)
        air.send(0, bytes(1000))
        air.send(1, bytes(1000))
        air.run()
        notes = [describe(frame) for _, _, frame in air.log]
        assert all("damaged" not in note.words for note in notes)
        parts = sum(n.header_bytes + n.payload_bytes + n.tag_bytes + n.crc_bytes for n in notes)
        assert parts == sum(air.sent_bytes) or mtu == 10  # halves of a tag there


def test_handshakes_broadcasts_and_streams() -> None:
    pieces = handshake_frames(3, 9, bytes(20), mtu_bytes=16, crc=True)
    assert [describe(frame, crc=True).part for frame in pieces] == [
        "1 of more",
        "2 of more",
        "3 of 3",
    ]
    assert describe(pieces[0], crc=True).handshake_kind == 3
    assert "damaged" in describe(pieces[0][:-1] + b"?", crc=True).words
    whole = describe(handshake_frames(3, 9, bytes(20), mtu_bytes=64)[0])
    assert (whole.part, whole.payload_bytes) == ("whole", 20)
    cast = describe(broadcast_frames(b"abcd", bytes(20), mtu_bytes=16)[1])
    assert (cast.kind, cast.part, cast.payload_bytes) == (FrameKind.BROADCAST, "2 of 3", 9)
    assert cast.words == ("id 61626364",)
    stream = StreamTransfer(mtu_bytes=512, keys=key_pair()[0], initiator=True)
    stream.send(bytes(30))
    note = describe(stream.frames_to_send(0.0)[0], reliable=True)
    assert (note.header_bytes, note.payload_bytes, note.tag_bytes) == (1, 30, 8)


@given(frame=st.binary(max_size=100), reliable=st.booleans(), crc=st.booleans())
def test_garbage(frame: bytes, reliable: bool, crc: bool) -> None:
    note = describe(frame, reliable=reliable, crc=crc)
    assert note.size_bytes == len(frame)
    assert str(note)
