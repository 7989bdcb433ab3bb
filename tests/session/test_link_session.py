"""The session after its handshake: messages, queue, end; and garbage in every state."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import (
    DecodeError,
    HandshakeError,
    LimitError,
    LocalProtocolError,
    RemoteProtocolError,
)
from dtnode.link_info import LinkInfo
from dtnode.session import (
    LinkSession,
    MessageReceived,
    PeerAuthenticated,
    SessionClosed,
    SessionState,
)
from dtnode.session.framing import RECENT_MESSAGES, FrameKind, fragment
from dtnode.session.link_session import MAX_EARLY_BYTES, MAX_EARLY_MESSAGES, MAX_QUEUED_BYTES
from dtnode.wire.codec import encode_message
from dtnode.wire.limits import MAX_REASON_BYTES
from dtnode.wire.messages import Bye, Events, Message, Ping, Want
from tests.session.session_pair import ALICE, BOB, Pair, make_pair, make_session

PING = Ping(reply=True)
LARGE = Events(
    batch=1, room_id="!r", room_version="12", pdus=(bytes(range(256)) * 255,) * 15, more=True
)


def received(*messages: Message) -> list[MessageReceived]:
    return [MessageReceived(message=message) for message in messages]


def test_messages_go_both_ways_in_order(connected: Pair) -> None:
    ours = [Want(room_id="!r", event_ids=(f"${number}",)) for number in range(20)]
    for message in ours:
        connected.initiator.send(message)
    connected.responder.send(PING)
    connected.exchange()
    assert connected.responder_events == received(*ours)
    assert connected.initiator_events == received(PING)


@pytest.mark.parametrize("mtu", [64, 1500, 65_535])
def test_large_messages_are_cut_and_joined(mtu: int) -> None:
    pair = make_pair(info=LinkInfo(mtu_bytes=mtu)).start()
    pair.exchange()
    pair.initiator.send(LARGE)
    frames = pair.initiator.frames_to_send(0.0)
    assert max(map(len, frames)) == mtu
    events = [event for frame in frames for event in pair.responder.receive_frame(frame, 0.0)]
    assert events == received(LARGE)


@pytest.mark.parametrize("mtu", [0, 63, 65_537])
def test_an_mtu_that_cant_be_used(mtu: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"MTU is {mtu} bytes; 64 to 65536"):
        make_session(ALICE, initiator=True, info=LinkInfo(mtu_bytes=mtu))


def test_frames_repeated_by_the_medium_give_one_message() -> None:
    pair = make_pair(info=LinkInfo(mtu_bytes=100, reliable=False)).start()
    pair.exchange()
    pair.responder_events.clear()
    sent = [Want(room_id="!r" * 60, event_ids=(f"${number}",)) for number in range(5)]
    for message in sent:
        pair.initiator.send(message)
    frames = pair.initiator.frames_to_send(0.0)
    for frame in frames + frames:
        pair.responder_events += pair.responder.receive_frame(frame, 0.0)
    assert pair.responder_events == received(*sent)


def test_a_message_with_a_lost_fragment_is_lost_alone() -> None:
    pair = make_pair(info=LinkInfo(mtu_bytes=64, reliable=False)).start()
    pair.exchange()
    pair.responder_events.clear()
    sent = [Want(room_id="!r" * 60, event_ids=(f"${number}",)) for number in range(30)]
    for message in sent:
        pair.initiator.send(message)
    frames = pair.initiator.frames_to_send(0.0)
    each = len(frames) // len(sent)
    for number, frame in enumerate(frames):
        if number % each or number // each % 2:
            pair.responder_events += pair.responder.receive_frame(frame, 0.0)
    assert pair.responder_events == received(*sent[1::2])


def test_memory_of_delivered_messages_is_short(connected: Pair) -> None:
    frames = []
    for _ in range(RECENT_MESSAGES + 1):
        connected.initiator.send(PING)
        frames += connected.initiator.frames_to_send(0.0)
    for frame in frames:
        connected.responder.receive_frame(frame, 0.0)
    assert connected.responder.receive_frame(frames[1], 0.0) == []
    assert connected.responder.receive_frame(frames[0], 0.0) == received(PING)


def test_nothing_can_be_sent_before_the_proof() -> None:
    session = make_session(ALICE, initiator=True)
    with pytest.raises(LocalProtocolError, match="can't be sent in state new"):
        session.send(PING)
    session.start(0.0)
    with pytest.raises(LocalProtocolError, match="can't be sent in state handshake"):
        session.send(PING)


def test_nothing_is_received_before_the_proof() -> None:
    bob = make_session(BOB, initiator=False)
    bob.start(0.0)
    (frame,) = fragment(FrameKind.INITIATOR_MESSAGE, 0, encode_message(PING), 1500)
    with pytest.raises(HandshakeError, match="before the peer had proved its key"):
        bob.receive_frame(frame, 0.0)


def test_large_early_messages_take_no_memory_on_an_unreliable_link() -> None:
    bob = make_session(BOB, initiator=False, info=LinkInfo(mtu_bytes=64, reliable=False))
    bob.start(0.0)
    for frame in fragment(FrameKind.INITIATOR_MESSAGE, 0, encode_message(LARGE), 64):
        assert bob.receive_frame(frame, 0.0) == []
    assert bob._reassembler.cost_bytes == 0


def late_proof() -> tuple[Pair, bytes]:
    """An unreliable link; the initiator's PROOF is still on its way."""
    pair = nearly(True, reliable=False)
    for frame in pair.responder.frames_to_send(0.0):
        pair.initiator.receive_frame(frame, 0.0)
    (proof,) = pair.initiator.frames_to_send(0.0)
    return pair, proof


def test_messages_that_overtake_the_proof_wait_for_it() -> None:
    pair, proof = late_proof()
    sent = [Want(room_id="!r" * 60, event_ids=(f"${number}" * 20,)) for number in range(5)]
    for message in sent:
        pair.initiator.send(message)
    pair.exchange()
    assert pair.responder_events == []
    assert pair.responder.peer is None
    found = pair.responder.receive_frame(proof, 0.0)
    assert found == [PeerAuthenticated(server_name=ALICE.server_name), *received(*sent)]


def test_but_only_so_many_of_them() -> None:
    pair, proof = late_proof()
    for _ in range(3):
        pair.initiator.send(LARGE)
    for _ in range(2 * MAX_EARLY_MESSAGES):
        pair.initiator.send(PING)
    pair.exchange()
    held = pair.responder._early
    assert len(held) == MAX_EARLY_MESSAGES
    assert sum(len(early.payload) for early in held) <= MAX_EARLY_BYTES
    found = pair.responder.receive_frame(proof, 0.0)
    assert found[1:] == received(LARGE, *[PING] * (MAX_EARLY_MESSAGES - 1))


def test_a_goodbye_that_overtakes_the_proof_ends_the_session_after_it() -> None:
    pair, proof = late_proof()
    pair.initiator.send(PING)
    pair.initiator.send(Bye(reason="short visit"))
    pair.initiator.send(PING)
    pair.exchange()
    found = pair.responder.receive_frame(proof, 0.0)
    assert found[1:] == [*received(PING), SessionClosed(reason="short visit")]
    assert pair.responder.state is SessionState.CLOSED


def test_the_queue_is_bounded(connected: Pair) -> None:
    session = connected.initiator
    size = len(encode_message(LARGE))
    for count in range(1, MAX_QUEUED_BYTES // size + 1):
        session.send(LARGE)
        assert session.queued_bytes == count * size
    with pytest.raises(LocalProtocolError, match="send them before queueing more"):
        session.send(LARGE)
    assert session.queued_bytes == count * size
    session.frames_to_send(0.0)
    assert session.queued_bytes == 0
    session.send(LARGE)


def test_frames_can_be_taken_a_few_at_a_time(connected: Pair) -> None:
    for _ in range(3):
        connected.initiator.send(LARGE)
    connected.initiator.send(PING)
    calls = 0
    while frames := connected.initiator.frames_to_send(0.0, 100_000):
        calls += 1
        for frame in frames:
            connected.responder_events += connected.responder.receive_frame(frame, 0.0)
    assert calls == 4
    assert connected.responder_events == received(LARGE, LARGE, LARGE, PING)


def test_a_message_over_a_limit_is_refused_and_the_session_goes_on(connected: Pair) -> None:
    with pytest.raises(LocalProtocolError, match=r"Want\.event_ids"):
        connected.initiator.send(Want(room_id="!r", event_ids=("$x",) * 501))
    connected.initiator.send(PING)
    connected.exchange()
    assert connected.responder_events == received(PING)


def test_closing_tells_an_authenticated_peer_why(connected: Pair) -> None:
    connected.initiator.send(LARGE)
    connected.initiator.close("going to sleep\n\x1b[31m" + "é" * 300)
    connected.initiator.close("again")
    frames = connected.initiator.frames_to_send(0.0)
    (event,) = (e for frame in frames for e in connected.responder.receive_frame(frame, 0.0))
    assert isinstance(event, SessionClosed)
    assert event.reason.startswith("going to sleep  [31mé")
    assert event.reason.isprintable()
    assert len(event.reason.encode()) in (MAX_REASON_BYTES - 1, MAX_REASON_BYTES)
    for session in (connected.initiator, connected.responder):
        assert session.state is SessionState.CLOSED
        assert session.frames_to_send(0.0) == []
        assert session.next_wake_at() is None
        with pytest.raises(LocalProtocolError, match="in state closed"):
            session.send(PING)


def test_closing_right_after_the_proof_still_delivers_it() -> None:
    pair = make_pair().start()
    while pair.initiator.state is not SessionState.AUTHENTICATED:
        for frame in pair.initiator.frames_to_send(0.0):
            pair.responder.receive_frame(frame, 0.0)
        for frame in pair.responder.frames_to_send(0.0):
            pair.initiator.receive_frame(frame, 0.0)
    pair.initiator.close("only looking")
    pair.exchange()
    assert pair.responder_events[-1] == SessionClosed(reason="only looking")


def test_closing_tells_a_stranger_nothing() -> None:
    for initiator in (True, False):
        session = make_session(ALICE, initiator=initiator)
        session.start(0.0)
        session.close("secret")
        assert session.frames_to_send(0.0) == []


def test_frames_after_the_end_are_ignored(connected: Pair) -> None:
    connected.responder.send(PING)
    late = connected.responder.frames_to_send(0.0)
    connected.initiator.close("")
    for frame in [*late, b"", b"garbage"]:
        assert connected.initiator.receive_frame(frame, 0.0) == []


def test_wrong_order_of_calls() -> None:
    session = make_session(ALICE, initiator=True)
    with pytest.raises(LocalProtocolError, match="before start"):
        session.receive_frame(b"x", 0.0)
    assert session.frames_to_send(0.0) == []
    assert session.next_wake_at() is None
    session.start(0.0)
    with pytest.raises(LocalProtocolError, match="from handshake to handshake"):
        session.start(0.0)
    session.close("")
    with pytest.raises(LocalProtocolError, match="from closed to handshake"):
        session.start(0.0)


BAD_MESSAGES: list[tuple[bytes, type[RemoteProtocolError]]] = [
    (b"garbage", DecodeError),
    (b"\x81" * 100_000, LimitError),
    (encode_message(PING) * 2, DecodeError),
]


@pytest.mark.parametrize(("payload", "error"), BAD_MESSAGES)
def test_a_bad_message_ends_the_session_and_says_why(
    payload: bytes, error: type[RemoteProtocolError], connected: Pair
) -> None:
    frames = fragment(FrameKind.INITIATOR_MESSAGE, 0, payload, 1500)
    for frame in frames[:-1]:
        assert connected.responder.receive_frame(frame, 0.0) == []
    with pytest.raises(error) as caught:
        connected.responder.receive_frame(frames[-1], 0.0)
    assert connected.responder.state is SessionState.CLOSED
    connected.exchange()
    assert connected.initiator_events == [SessionClosed(reason=str(caught.value)[:200])]


def test_an_echo_of_messages(connected: Pair) -> None:
    connected.initiator.send(PING)
    (frame,) = connected.initiator.frames_to_send(0.0)
    with pytest.raises(HandshakeError, match="the link echoes"):
        connected.initiator.receive_frame(frame, 0.0)


def test_numbers_wrap(connected: Pair) -> None:
    connected.initiator._next_number = 2**32 - 1
    for _ in range(2):
        connected.initiator.send(PING)
    connected.exchange()
    assert connected.responder_events == received(PING, PING)


# Garbage: sessions in every state, frames from random bytes to nearly right ones.


def fresh(initiator: bool, reliable: bool) -> Pair:
    return make_pair(info=LinkInfo(mtu_bytes=200, reliable=reliable)).start()


def halfway(initiator: bool, reliable: bool) -> Pair:
    """One frame further: a responder has heard the HELLO, an initiator the CHALLENGE."""
    pair = fresh(initiator, reliable)
    for frame in pair.initiator.frames_to_send(0.0):
        pair.responder.receive_frame(frame, 0.0)
    if initiator:
        for frame in pair.responder.frames_to_send(0.0):
            pair.initiator.receive_frame(frame, 0.0)
    return pair


def nearly(initiator: bool, reliable: bool) -> Pair:
    """The responder has verified the CLAIM; the initiator has not seen the RESPONSE."""
    pair = halfway(True, reliable)
    for frame in pair.initiator.frames_to_send(0.0):
        pair.responder.receive_frame(frame, 0.0)
    return pair


def done(initiator: bool, reliable: bool) -> Pair:
    pair = fresh(initiator, reliable)
    pair.exchange()
    return pair


Stage = Callable[[bool, bool], Pair]

frames = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda kind, number, index, count, payload: (
            bytes([kind]) + number.to_bytes(4, "big") + bytes([0, index, 0, count]) + payload
        ),
        st.integers(0, 8),
        st.sampled_from([0, 1, 2**32 - 1]),
        st.integers(0, 3),
        st.integers(0, 3),
        st.binary(min_size=1, max_size=130),
    ),
)


@pytest.mark.parametrize("reliable", [True, False])
@pytest.mark.parametrize("initiator", [True, False])
@pytest.mark.parametrize("stage", [fresh, halfway, nearly, done])
@given(st.lists(frames, min_size=1, max_size=8), st.booleans())
def test_garbage_in_every_state(
    stage: Stage, initiator: bool, reliable: bool, garbage: list[bytes], right_tag: bool
) -> None:
    pair = stage(initiator, reliable)
    session = pair.initiator if initiator else pair.responder
    before = session.peer
    tag = session._handshake.tag.to_bytes(4, "big")
    for frame in garbage:
        feed(session, frame[:1] + tag + frame[5:] if right_tag and len(frame) > 5 else frame)
    assert session.peer == before, "garbage proves nobody's key"
    session.frames_to_send(1.0)


def feed(session: LinkSession, frame: bytes) -> None:
    try:
        session.receive_frame(frame, 0.5)
    except RemoteProtocolError as error:
        assert str(error), "a refusal has a reason"  # noqa: PT017
        assert session.state is SessionState.CLOSED
        assert session.receive_frame(frame, 0.5) == []


@given(st.integers(0, 2**32), st.integers(64, 200))
def test_messages_over_a_bad_link_arrive_whole_or_not_at_all(seed: int, mtu: int) -> None:
    chance = random.Random(seed)
    pair = make_pair(info=LinkInfo(mtu_bytes=mtu, reliable=False)).start()
    pair.exchange()
    pair.responder_events.clear()
    sent: list[Message] = [
        Want(room_id="!r", event_ids=(f"${n}" * 40,) * (1 + n % 4)) for n in range(20)
    ]
    for message in sent:
        pair.initiator.send(message)
    flight = pair.initiator.frames_to_send(0.0)
    flight = [f for frame in flight for f in [frame] * chance.choice([0, 1, 1, 1, 1, 1, 1, 1, 2])]
    for at in range(len(flight) - 1):  # neighbours overtake each other
        if chance.random() < 0.3:
            flight[at], flight[at + 1] = flight[at + 1], flight[at]
    for frame in flight:
        pair.responder_events += pair.responder.receive_frame(frame, 0.0)
    messages = [e.message for e in pair.responder_events if isinstance(e, MessageReceived)]
    assert len(messages) == len(pair.responder_events) == len(set(messages))
    assert set(messages) <= set(sent)
    whole = set(range(20)) - lost_numbers(sent, flight, mtu)
    assert {sent.index(message) for message in messages} == whole


def lost_numbers(sent: list[Message], flight: list[bytes], mtu: int) -> set[int]:
    arrived = {(frame[1:5], frame[5:7]) for frame in flight}
    lost = set()
    for number, message in enumerate(sent):
        for frame in fragment(FrameKind.INITIATOR_MESSAGE, number, encode_message(message), mtu):
            if (frame[1:5], frame[5:7]) not in arrived:
                lost.add(number)
    return lost
