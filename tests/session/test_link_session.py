"""Messages of a session: in order, once, through outages; its end; its timers; its keys' end."""

from __future__ import annotations

import pytest

from dtnode.errors import HandshakeError, LocalProtocolError
from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.session import SessionState
from dtnode.session.link_session import HANDSHAKE_TIMEOUT_S, MAX_BACKLOG_BYTES, PROOF_PATIENCE_S
from dtnode.session.sealing import BadTagError
from dtnode.session.transfer import FrameKind, kind_of
from dtnode.session.transfer.frames import WHOLE_UNIT, Flag
from dtnode.wire.limits import MAX_MESSAGE_BYTES
from dtnode.wire.messages import Ack, Bye, Ping
from dtnode.wire.packed import LinkMessage, PackedEvents
from tests.session.exchange_pair import ALICE, BOB, CAROL
from tests.session.session_pair import (
    RADIO,
    TCP,
    Book,
    Faults,
    Pair,
    converse,
    info_of,
    message,
    messages,
)

both_kinds = pytest.mark.parametrize("info", [TCP, RADIO], ids=["connection", "radio"])
FULL_RADIO = info_of(222, half=False)


# What is said


@pytest.mark.parametrize(("mtu", "there", "back"), [(20, 116, 26), (51, 108, 14), (126, 106, 14)])
def test_bytes_of_a_message_and_its_answer(mtu: int, there: int, back: int) -> None:
    """A message of 86 bytes and the Ack of 2 that answers it. There: 20 bytes of header and tag for
    the message and for what acknowledges the answer; back: the message's acknowledgement rides."""
    pair = Pair(info_of(mtu, half=False)).meet()
    pair.send(0, message(1))  # with the room's name, which is said once
    pair.settle()
    before = [pair.bytes_sent(end) for end in (0, 1)]
    assert pair.send(0, message(25)) == 86
    pair.run(pair.now + 100, lambda: len(pair.heard(1)) == 2)
    assert pair.send(1, Ack(batch=1)) == 2
    pair.settle()
    assert [pair.bytes_sent(end) - before[end] for end in (0, 1)] == [there, back]


def test_on_a_connection_a_message_costs_nine_bytes_more_than_it_has() -> None:
    pair = Pair(TCP).meet()
    pair.send(0, message(1))
    pair.settle()
    before = [pair.bytes_sent(end) for end in (0, 1)]
    size = pair.send(0, message(25))
    pair.settle()
    assert size == 81 + 5
    pair.send(1, Ack(batch=1))
    pair.settle()
    assert pair.bytes_sent(0) - before[0] == size + 9
    assert pair.bytes_sent(1) - before[1] == 11


@both_kinds
def test_what_does_not_fit_changes_nothing(info: LinkInfo) -> None:
    """The encoder's table of rooms stays in step with what the peer is told."""
    pair = Pair(info_of(65_535, bitrate=10**8, half=False) if info is RADIO else info).meet()
    said: list[LinkMessage] = []
    while pair.ends[0].queued_bytes <= MAX_BACKLOG_BYTES:
        said.append(message(len(said), 1_000_000, room=len(said)))
        pair.send(0, said[-1])
    with pytest.raises(LocalProtocolError, match="send them before queueing more"):
        pair.send(0, message(99, room=99))
    pair.settle()
    said += [message(99, room=99), message(100, room=99)]
    pair.send(0, *said[-2:])
    pair.settle()
    assert pair.heard(1) == said


def test_a_message_that_breaks_a_limit_ends_the_session() -> None:
    pair = Pair(TCP).meet()
    with pytest.raises(LocalProtocolError):
        pair.send(0, message(1, MAX_MESSAGE_BYTES, room=7))
    assert pair.ends[0].state is SessionState.CLOSED
    pair.run(100)
    assert pair.goodbye(1) is not None


def test_frames_are_given_out_in_portions() -> None:
    pair = Pair(TCP).meet()
    pair.send(0, *messages(20, 1000))
    sizes = []
    while frames := pair.ends[0].frames_to_send(pair.now, 3000):
        sizes.append(sum(map(len, frames)))
    assert all(3000 <= size < 3000 + 1100 for size in sizes[:-1])
    assert sum(sizes) > 20_000


def test_nothing_can_be_said_before_or_after() -> None:
    pair = Pair(TCP)
    with pytest.raises(LocalProtocolError, match="state handshake"):
        pair.send(0, Ping(reply=True))
    pair.meet()
    pair.ends[0].close("enough")
    with pytest.raises(LocalProtocolError, match="state closed"):
        pair.send(0, Ping(reply=True))


def test_an_open_link_has_no_session() -> None:
    with pytest.raises(LocalProtocolError, match="open link"):
        Pair(TCP, policies=(CipherPolicy.OPEN, CipherPolicy.OPEN))


# Outages


@pytest.mark.parametrize("mtu", [51, 222])
@pytest.mark.parametrize("half", [True, False])
def test_resumes_after_hours_in_the_middle_of_a_message(mtu: int, half: bool) -> None:
    """100 kB, cut off for 10,000 s half-way: what had arrived is not sent again."""
    info = info_of(mtu, bitrate=9600, half=half)
    large = message(1, 100_000)
    unbroken = Pair(info).meet()
    unbroken.send(0, large)
    unbroken.settle()
    cut = (60.0, 10_060.0)
    pair = Pair(info, faults=Faults(cut=lambda now, end: cut[0] < now < cut[1])).meet()
    pair.send(0, large)
    pair.run(cut[1])
    assert not pair.heard(1)
    in_silence = [frame for at, _, frame in pair.log if cut[0] + 1000 < at < cut[1]]
    assert 0 < len(in_silence) <= 2 * 9000 / 300 + 2
    pair.settle()
    assert pair.heard(1) == [large]
    assert pair.heard_at[1][-1] < cut[1] + 300 + unbroken.heard_at[1][-1]
    assert [len(pair.sessions(end)) for end in (0, 1)] == [1, 1]
    lost = sum(len(frame) for at, end, frame in pair.log if end == 0 and cut[0] - 10 < at < cut[1])
    again = pair.bytes_sent(0) - unbroken.bytes_sent(0)
    assert again <= lost + 20 * mtu
    assert pair.bytes_sent(0) < 1.35 * unbroken.bytes_sent(0)


@pytest.mark.parametrize("deaf", [0, 1])
def test_an_outage_right_after_the_handshake(deaf: int) -> None:
    """One end has a session, the other none yet: hours later they find to each other."""
    pair = Pair(FULL_RADIO, faults=Faults())
    pair.run(100, lambda: any(one.peer for one in pair.ends))
    start = pair.now
    pair.faults = Faults(cut=lambda now, end: end != deaf and now < start + 5 * 3600)
    pair.run(start + 5 * 3600)
    pair.meet(1000)
    converse(pair)


def test_a_confirmation_is_as_good_as_a_message() -> None:
    """The dialler has nothing to say; the other end learns that the session works."""
    pair = Pair(FULL_RADIO, faults=Faults(loss=0.5), seed=4).meet()
    assert pair.sessions(0)
    assert pair.sessions(1)
    assert not pair.heard(0)


def test_a_session_that_the_other_end_lost_before_it_was_confirmed() -> None:
    """Bob answers Alice, then somebody else's first message takes that place; Alice believes in her
    session, and calls again after a while."""
    pair = Pair(FULL_RADIO, Book(ALICE, [BOB]), Book(BOB, [ALICE], dials=False))
    pair.tamper = lambda end, frame: None if end == 0 and pair.ends[0].peer else frame
    pair.run(100, lambda: pair.ends[0].peer)
    pair.run(pair.now + 10)
    pair.tamper = lambda end, frame: frame
    pair.restart(1)
    pair.meet(PROOF_PATIENCE_S + 300)
    assert len(pair.sessions(0)) == 2
    converse(pair)


def test_another_who_calls_takes_the_place_of_one_who_has_not_confirmed() -> None:
    """Two call Bob at once. He ends up with the one whose frames come, and with the other when that
    one calls again."""
    bob = Book(BOB, [ALICE, CAROL], dials=False)
    pair = Pair(FULL_RADIO, Book(ALICE, [BOB]), bob)
    carol = Pair(FULL_RADIO, Book(CAROL, [BOB]), bob).ends[0]
    for end in (0, 1):
        (frame,) = pair.ends[end].frames_to_send(0.0)
        pair.inject(1 - end, frame)
    for frame in carol.frames_to_send(0.0):
        pair.inject(1, frame)
    for frame in pair.ends[1].frames_to_send(0.0):
        carol.receive_frame(frame, 0.0)
    pair.run(PROOF_PATIENCE_S / 2)
    assert pair.ends[0].peer == BOB.server_name
    assert pair.peer(1) is None
    for frame in carol.frames_to_send(pair.now):
        pair.inject(1, frame)
    assert pair.peer(1) == CAROL.server_name
    pair.run(PROOF_PATIENCE_S + 60, lambda: pair.peer(1) == ALICE.server_name)
    converse(pair.settle())


# The end


def test_goodbye_on_a_connection() -> None:
    pair = Pair(TCP).meet()
    pair.send(0, *messages(3, 10_000))
    pair.ends[0].close("two\nlines \ud800 and " + "é" * 300)
    pair.ends[0].close("again")
    assert pair.ends[0].next_wake_at() == 0.0
    pair.run(100)
    assert not pair.heard(1), "what was queued gives way"
    said = pair.goodbye(1)
    assert said is not None
    assert said.startswith("two lines   and é")
    assert len(said.encode()) <= 200
    assert [one.state for one in pair.ends] == [SessionState.CLOSED] * 2
    assert [one.next_wake_at() for one in pair.ends] == [None, None]
    assert pair.ends[1].peer == ALICE.server_name, "for the log"


def test_no_goodbye_in_the_middle_of_a_message() -> None:
    pair = Pair(LinkInfo(mtu_bytes=100)).meet()
    pair.send(0, message(1, 1000))
    (begun,) = pair.ends[0].frames_to_send(pair.now, 1)
    pair.ends[0].close("enough")
    assert pair.ends[0].frames_to_send(pair.now) == []
    pair.inject(1, begun)
    assert pair.ends[1].state is SessionState.AUTHENTICATED


def test_no_goodbye_on_radio_and_to_nobody() -> None:
    pair = Pair(RADIO).meet()
    pair.send(0, message(1))
    pair.ends[0].close("enough")
    assert pair.ends[0].next_wake_at() is None
    assert pair.ends[0].frames_to_send(pair.now) == []
    alone = Pair(TCP)
    alone.ends[0].close("enough")
    assert alone.ends[0].frames_to_send(0.0) == []
    for end in (0, 1):
        pair.ends[0].receive_frame(pair.frames(1)[-1], pair.now + end)
    assert pair.ends[0].state is SessionState.CLOSED


def test_a_goodbye_said_on_radio_stops_the_timers() -> None:
    """Ours say none there, others may."""
    pair = Pair(RADIO).meet()
    pair.send(1, message(1))
    pair.send(0, Bye(reason="over and out"))
    pair.run(pair.now + 1000, lambda: pair.goodbye(1) == "over and out")
    assert pair.ends[1].next_wake_at() is None
    assert pair.ends[1].frames_to_send(pair.now) == []


def test_closing_before_the_start() -> None:
    pair = Pair(TCP, start=False)
    pair.ends[0].close("never mind")
    assert pair.ends[0].frames_to_send(0.0) == []
    assert pair.ends[0].receive_frame(b"x", 0.0) == []


def test_a_peer_that_never_confirms_holds_a_connection_no_longer_than_a_stranger() -> None:
    pair = Pair(TCP)
    pair.tamper = lambda end, frame: frame if len(frame) > 50 else None
    pair.run(HANDSHAKE_TIMEOUT_S + 1)
    assert isinstance(pair.errors[1][0], HandshakeError)
    assert pair.ends[1].peer is None


# is_clear, queued_bytes


def test_whether_all_that_was_said_is_through() -> None:
    pair = Pair(FULL_RADIO)
    assert pair.is_clear(0)
    pair.meet()
    assert pair.is_clear(0)
    pair.send(0, message(1))
    assert not pair.is_clear(0)
    assert pair.ends[0].queued_bytes > 81
    frames = pair.ends[0].frames_to_send(pair.now)
    assert pair.ends[0].queued_bytes == 0
    assert not pair.is_clear(0), "it may be lost"
    for frame in frames:
        pair.inject(1, frame)
    for frame in pair.ends[1].frames_to_send(pair.now + 1):
        pair.inject(0, frame)
    assert pair.is_clear(0)


def test_an_acknowledgement_is_not_awaited() -> None:
    pair = Pair(FULL_RADIO).meet()
    batch = message(0)
    assert isinstance(batch, PackedEvents)
    pair.send(0, batch)
    for frame in pair.ends[0].frames_to_send(pair.now):
        pair.inject(1, frame)
    pair.send(1, Ack(batch=batch.batch))
    assert not pair.is_clear(1)
    (frame,) = pair.ends[1].frames_to_send(pair.now)
    assert len(frame) == 13
    assert pair.is_clear(1), "minutes may pass until its acknowledgement"
    pair.inject(0, frame)
    assert pair.is_clear(0)
    assert not pair.ends[0].frames_to_send(pair.now + 60)


def test_on_a_connection_all_is_through_that_was_given_out() -> None:
    pair = Pair(TCP).meet()
    pair.send(0, message(1))
    assert not pair.is_clear(0)
    pair.ends[0].frames_to_send(pair.now)
    assert pair.is_clear(0)


# Clear links


@both_kinds
def test_clear_links_can_be_read_by_all(info: LinkInfo) -> None:
    secret = PackedEvents(
        batch=1, room_id="!" + "r" * 43, room_version="12", data=b"hello, all who listen"
    )
    for policy, readable in ((CipherPolicy.CLEAR, True), (CipherPolicy.SEALED, False)):
        pair = Pair(info, policies=(policy, policy)).meet()
        pair.send(0, secret)
        pair.settle()
        assert pair.heard(1) == [secret]
        assert (b"hello, all who listen" in b"".join(pair.frames(0))) is readable


@pytest.mark.parametrize("policy", [CipherPolicy.CLEAR, CipherPolicy.SEALED])
def test_every_changed_byte_on_a_connection_ends_it(policy: CipherPolicy) -> None:
    for place in range(1, 40):
        pair = Pair(TCP, policies=(policy, policy)).meet()

        def change(end: int, frame: bytes, place: int = place) -> bytes:
            at = min(place, len(frame) - 1)
            return frame[:at] + bytes([frame[at] ^ 4]) + frame[at + 1 :]

        pair.tamper = change
        pair.send(0, message(1, 30))
        pair.run(100)
        assert not pair.heard(1)
        assert isinstance(pair.errors[1][0], BadTagError)


def test_changed_bytes_on_clear_radio_are_repeated() -> None:
    pair = Pair(FULL_RADIO, policies=(CipherPolicy.CLEAR, CipherPolicy.CLEAR)).meet()
    changed = 0

    def change(end: int, frame: bytes) -> bytes:
        nonlocal changed
        if end == 1 or changed == 5:
            return frame
        changed += 1
        return frame[:-12] + b"x" + frame[-11:]

    pair.tamper = change
    pair.send(0, message(1))
    pair.settle()
    assert changed == 5
    assert pair.heard(1) == [message(1)]


@both_kinds
@pytest.mark.parametrize("clear", [0, 1])
def test_ends_with_different_policies_have_no_session(info: LinkInfo, clear: int) -> None:
    policies = [CipherPolicy.SEALED, CipherPolicy.SEALED]
    policies[clear] = CipherPolicy.CLEAR
    pair = Pair(info, policies=(policies[0], policies[1]))
    pair.run(3600)
    for end in (0, 1):
        assert not pair.sessions(end)
    handshakes = [frame for end in (0, 1) for frame in pair.frames(end, FrameKind.HANDSHAKE)]
    assert len(handshakes) < 150
    if info.reliable:
        assert isinstance(pair.errors[1][0], HandshakeError)
        assert "give both the same --cipher" in str(pair.errors[1][0])
        assert pair.ends[1].peer is None


# Keys that are worn out


def test_worn_out_keys_on_radio_lead_to_another_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dtnode.session.sealing.MAX_FORGERIES", 50)
    pair = Pair(FULL_RADIO).meet()
    old = [len(pair.sessions(end)) for end in (0, 1)]
    forged = forged_frame(pair, 1)
    for number in range(60):
        pair.inject(1, forged + bytes([number]))
    pair.send(0, message(1))
    pair.run(pair.now + 600, lambda: all(len(pair.sessions(end)) > old[end] for end in (0, 1)))
    pair.settle()
    for end in (0, 1):
        assert len(pair.sessions(end)) == old[end] + 1, "one new session"
        pair.events[end].clear()
    converse(pair)
    assert pair.ends[1].peer == ALICE.server_name


def test_worn_out_keys_of_a_session_that_the_peer_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """This end dials nobody on its own, but that peer it does."""
    monkeypatch.setattr("dtnode.session.sealing.MAX_FORGERIES", 5)
    pair = Pair(FULL_RADIO, Book(ALICE, [BOB]), Book(BOB, [ALICE], dials=False)).meet()
    for _ in range(6):
        pair.inject(1, forged_frame(pair, 1))
    pair.run(pair.now + 60, lambda: len(pair.sessions(0)) == len(pair.sessions(1)) == 2)
    assert pair.sessions(1)[1].initiator
    for end in (0, 1):
        pair.events[end].clear()
    converse(pair)


def test_worn_out_keys_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on dialling, at growing intervals whatever else comes, and finds the peer at last."""
    monkeypatch.setattr("dtnode.session.sealing.MAX_FORGERIES", 5)
    pair = Pair(FULL_RADIO).meet()
    start = pair.now
    pair.faults = Faults(cut=lambda now, end: now < start + 7200)
    while pair.now < start + 7200:
        pair.inject(1, forged_frame(pair, 1))
        pair.run(pair.now + 1 + (pair.now - start) / 10)
    dialled = [
        at
        for at, end, frame in pair.log
        if at > start and end == 1 and kind_of(frame) is FrameKind.HANDSHAKE
    ]
    assert 7200 / 450 <= len(dialled) <= 7200 / 300 + 20
    pair.run(pair.now + 1000, lambda: len(pair.sessions(0)) == len(pair.sessions(1)) == 2)
    for end in (0, 1):
        pair.events[end].clear()
    converse(pair)


def test_after_a_session_calls_come_at_short_intervals_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dtnode.session.sealing.MAX_FORGERIES", 5)
    pair = Pair(FULL_RADIO, faults=Faults(cut=lambda now, end: now < 7200))
    pair.run(7200)
    start = pair.meet().now
    pair.faults = Faults(cut=lambda now, end: True)
    for _ in range(6):
        pair.inject(1, forged_frame(pair, 1))
    pair.run(start + 20)
    calls = [at for at, end, frame in pair.log if end == 1 and at > start and frame[0] == 0xA2]
    assert len(calls) >= 3


def test_a_wrong_tag_on_a_connection_ends_it_at_once() -> None:
    pair = Pair(TCP).meet()
    pair.inject(1, forged_frame(pair, 1))
    assert pair.ends[1].state is SessionState.CLOSED


def forged_frame(pair: Pair, to: int) -> bytes:
    """A whole unit by its first byte, of the right side and parity."""
    live = pair.ends[to]._live
    assert live is not None
    side = Flag(0) if not live.established.initiator else Flag.RESPONDER
    side |= Flag.SESSION if live.established.exporter[0] & 1 else Flag(0)
    return bytes([WHOLE_UNIT | side, 7]) + bytes(20)


# Lies of an authenticated peer
