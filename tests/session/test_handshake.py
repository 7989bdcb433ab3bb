"""The handshake between honest ends: its steps, its limits, and frames lost on the way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, HandshakeError
from dtnode.link_info import LinkInfo
from dtnode.session import SessionState
from dtnode.session.framing import FrameKind, fragment
from dtnode.session.handshake import MAX_HELLOS
from dtnode.session.link_session import HANDSHAKE_TIMEOUT_S, MAX_HANDSHAKE_MESSAGES
from tests.session.session_pair import (
    ALICE,
    BOB,
    LOSSY,
    MALLORY,
    Recorder,
    Stranger,
    assert_authenticated,
    make_pair,
    make_session,
    names_in,
    signer_of,
)

NARROW = LinkInfo(mtu_bytes=64, reliable=False)


def test_both_prove_their_keys_in_five_frames() -> None:
    pair = make_pair().start()
    assert pair.exchange() == 5
    assert_authenticated(pair)
    assert pair.initiator.next_wake_at() is pair.responder.next_wake_at() is None


@pytest.mark.parametrize("mtu", [64, 65, 100, 300, 65_536])
def test_at_every_mtu(mtu: int) -> None:
    pair = make_pair(info=LinkInfo(mtu_bytes=mtu)).start()
    pair.exchange()
    assert_authenticated(pair)


def test_an_expected_peer_is_compared_by_its_key() -> None:
    bob_elsewhere = signer_of(2, "mesh.example.org")
    pair = make_pair(
        initiator={"expected_peer": BOB.server_name}, responder={"signer": bob_elsewhere}
    ).start()
    pair.exchange()
    assert pair.initiator.peer == bob_elsewhere.server_name


def test_echoes_are_ignored_where_the_medium_makes_them() -> None:
    pair = make_pair(info=LOSSY).start()
    while True:
        to_responder = pair.initiator.frames_to_send(0.0)
        to_initiator = pair.responder.frames_to_send(0.0)
        if not to_responder and not to_initiator:
            break
        for frame in to_responder + to_initiator:  # everybody hears everything
            pair.initiator_events += pair.initiator.receive_frame(frame, 0.0)
            pair.responder_events += pair.responder.receive_frame(frame, 0.0)
    assert_authenticated(pair)


def test_two_dialling_ends_refuse_each_other() -> None:
    a, b = make_session(ALICE, initiator=True), make_session(BOB, initiator=True)
    a.start(0.0)
    b.start(0.0)
    with pytest.raises(HandshakeError, match="another handshake"):
        a.receive_frame(b.frames_to_send(0.0)[0], 0.0)


@pytest.mark.parametrize(
    ("payload", "error", "why"),
    [
        (b"\x02" + b"N" * 32 + b"x", HandshakeError, "version 2, this node 1"),
        (b"\x01" + b"N" * 32, DecodeError, "too short"),
        (b"\x01" + b"N" * 32 + b"x" * 256, DecodeError, "256 bytes"),
        (b"\x01" + b"N" * 32 + b"\xff", DecodeError, "not ASCII"),
        (b"\x01" + b"N" * 32 + b"a b", DecodeError, "spaces or control"),
        (b"\x01" + b"N" * 32 + b"a\x1b[31m", DecodeError, "spaces or control"),
        (b"\x01" + b"M" * 32 + b"x", DecodeError, "not numbered by its nonce"),
    ],
)
def test_bad_hellos(payload: bytes, error: type[Exception], why: str) -> None:
    stranger = Stranger(make_session(BOB, initiator=False), "x", 3)
    with pytest.raises(error, match=why):
        stranger.say(FrameKind.HELLO, payload)
    assert stranger.heard == []


def test_bad_lengths_of_later_steps() -> None:
    stranger = Stranger(make_session(BOB, initiator=False), MALLORY.server_name, 3)
    stranger.hello()
    with pytest.raises(DecodeError, match="signature has 63 bytes"):
        stranger.say(FrameKind.CLAIM, bytes(63))
    for kind, payload, why in (
        (FrameKind.CHALLENGE, bytes(31), "CHALLENGE has 31 bytes"),
        (FrameKind.CHALLENGE, bytes(33), "CHALLENGE has 33 bytes"),
    ):
        alice = make_session(ALICE, initiator=True)
        alice.start(0.0)
        tag = int.from_bytes(alice.frames_to_send(0.0)[0][1:5], "big")
        with pytest.raises(DecodeError, match=why):
            alice.receive_frame(fragment(kind, tag, payload, 1500)[0], 0.0)


def test_a_response_without_a_name() -> None:
    pair = make_pair().start()
    with pytest.raises(DecodeError, match="RESPONSE is too short"):
        pair.exchange(back=lambda frame: [frame[: 9 + 64]])


@pytest.mark.parametrize("kind", [FrameKind.CLAIM, FrameKind.PROOF, FrameKind.INITIATOR_MESSAGE])
def test_steps_out_of_turn_end_a_reliable_link_only(kind: FrameKind) -> None:
    (frame,) = fragment(kind, 1, bytes(64), 1500)
    for info in (LinkInfo(mtu_bytes=1500), LOSSY):
        bob = make_session(BOB, initiator=False, info=info)
        bob.start(0.0)
        if info.reliable:
            with pytest.raises(HandshakeError):
                bob.receive_frame(frame, 0.0)
        else:
            assert bob.receive_frame(frame, 0.0) == []
            assert bob.state is SessionState.HANDSHAKE
        assert bob.frames_to_send(0.0) == []


def test_an_answer_before_its_question() -> None:
    pair = make_pair().start()
    tag = int.from_bytes(pair.initiator.frames_to_send(0.0)[0][1:5], "big")
    (response,) = fragment(FrameKind.RESPONSE, tag, bytes(100), 1500)
    with pytest.raises(HandshakeError, match="RESPONSE came before the CHALLENGE"):
        pair.initiator.receive_frame(response, 0.0)


def test_a_proof_before_its_claim() -> None:
    stranger = Stranger(make_session(BOB, initiator=False), MALLORY.server_name, 3)
    stranger.hello()
    with pytest.raises(HandshakeError, match="PROOF came before the CLAIM"):
        stranger.say(FrameKind.PROOF, bytes(64))


def test_another_name_after_the_proof_of_one() -> None:
    stranger = Stranger(make_session(BOB, initiator=False), MALLORY.server_name, 3)
    stranger.hello()
    stranger.claim()
    stranger.name = ALICE.server_name
    with pytest.raises(HandshakeError, match="another HELLO came after the key was proved"):
        stranger.hello()


def test_time_runs_out_for_whoever_does_not_prove_itself() -> None:
    for initiator in (True, False):
        session = make_session(BOB, initiator=initiator)
        session.start(5.0)
        session.frames_to_send(5.0)
        assert session.next_wake_at() == 5.0 + HANDSHAKE_TIMEOUT_S
        session.frames_to_send(4.9 + HANDSHAKE_TIMEOUT_S)
        with pytest.raises(HandshakeError, match="within 30 s"):
            session.frames_to_send(5.0 + HANDSHAKE_TIMEOUT_S)
        assert session.state is SessionState.CLOSED
        assert session.next_wake_at() is None


def test_time_runs_out_on_a_dead_link_after_a_bounded_number_of_tries() -> None:
    pair = make_pair(info=LOSSY).start()
    sent = 0
    while pair.now < HANDSHAKE_TIMEOUT_S:
        sent += pair.exchange(there=lambda frame: [])
        assert pair.turn_clock()
    with pytest.raises(HandshakeError, match="within 30 s"):
        pair.exchange()
    assert 5 <= sent <= 11
    assert pair.now == HANDSHAKE_TIMEOUT_S


def test_a_reliable_link_is_not_repeated_on() -> None:
    pair = make_pair().start()
    assert pair.exchange(there=lambda frame: []) == 1
    assert pair.initiator.frames_to_send(HANDSHAKE_TIMEOUT_S - 1) == []


@pytest.mark.parametrize("lost", range(5))
def test_any_one_step_may_be_lost(lost: int) -> None:
    pair = make_pair(info=LOSSY).start()
    count = iter(range(1000))

    def lose_one(frame: bytes) -> list[bytes]:
        return [] if next(count) == lost else [frame]

    pair.exchange(there=lose_one, back=lose_one)
    while pair.turn_clock():
        pair.exchange(there=lose_one, back=lose_one)
    assert_authenticated(pair)
    assert pair.now < 2


@given(st.integers(0, 2**32))
def test_loss_repetition_and_reordering(seed: int) -> None:
    """Eight fragments are lost or held back; others are doubled or overtaken by later ones."""
    chance = random.Random(seed)
    late: dict[int, list[bytes]] = {0: [], 1: []}
    faults_left = 8  # fewer than the tries of one step, so that the handshake must succeed

    def bad_medium(direction: int, frame: bytes) -> list[bytes]:
        nonlocal faults_left
        arrived, late[direction] = late[direction], []
        fate = chance.random()
        if fate < 0.6 and faults_left > 0:
            faults_left -= 1
            if fate < 0.3:
                late[direction].append(frame)
            return arrived
        return [frame, *arrived] + [frame] * (fate > 0.8)

    pair = make_pair(info=NARROW).start()
    tamper = {
        "there": lambda frame: bad_medium(0, frame),
        "back": lambda frame: bad_medium(1, frame),
    }
    pair.exchange(**tamper)
    while pair.turn_clock() and pair.now < HANDSHAKE_TIMEOUT_S:
        pair.exchange(**tamper)
    assert_authenticated(pair)


def test_handshake_frames_after_the_end_of_it_are_ignored() -> None:
    there, back = Recorder(), Recorder()
    pair = make_pair(info=LOSSY).start()
    pair.exchange(there=there, back=back)
    for frame in there.frames:
        assert pair.responder.receive_frame(frame, 0.0) == []
        assert pair.responder.frames_to_send(0.0) == []
    for frame, answers in zip(back.frames, (0, 1), strict=True):
        assert pair.initiator.receive_frame(frame, 0.0) == []
        repeated = pair.initiator.frames_to_send(0.0)
        assert repeated == [there.frames[2]] * answers, "the PROOF again, for a peer that lost it"
    assert_authenticated(pair)


def test_repetition_is_answered_alike_but_not_for_ever() -> None:
    bob = make_session(BOB, initiator=False, info=LOSSY)
    stranger = Stranger(bob, MALLORY.server_name, 3)
    for _ in range(MAX_HANDSHAKE_MESSAGES):
        stranger.hello()
    with pytest.raises(HandshakeError, match="more than 64 handshake messages"):
        stranger.hello()
    assert len(stranger.heard) == MAX_HANDSHAKE_MESSAGES
    assert len(set(stranger.heard)) == 1


def test_a_restarted_initiator_is_heard_a_few_times() -> None:
    bob = make_session(BOB, initiator=False, info=LOSSY)
    stranger = Stranger(bob, MALLORY.server_name, 3)
    for number in range(MAX_HELLOS):
        stranger.restart(number)
        stranger.hello()
    assert len(set(stranger.heard)) == MAX_HELLOS
    stranger.claim()
    assert names_in(stranger.heard, BOB.server_name)


def test_and_no_more_than_a_few_times() -> None:
    stranger = Stranger(make_session(BOB, initiator=False), MALLORY.server_name, 3)
    for number in range(MAX_HELLOS):
        stranger.restart(number)
        stranger.hello()
    stranger.restart(MAX_HELLOS)
    with pytest.raises(HandshakeError, match="more than 8 different HELLOs"):
        stranger.hello()
