"""Strangers, impostors, relays, replays and reflections: who gets nothing out of a handshake."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import HandshakeError, RemoteProtocolError
from dtnode.session import SessionState
from dtnode.session.framing import FrameKind
from tests.session.session_pair import (
    ALICE,
    BOB,
    MALLORY,
    Recorder,
    Stranger,
    Tamper,
    make_pair,
    make_session,
    names_in,
    signer_of,
)


def test_the_hand_made_stranger_is_let_in_when_known() -> None:
    """Shows that the refusals below are not mistakes of the test's own protocol code."""
    stranger = Stranger(make_session(BOB, initiator=False), MALLORY.server_name, 3)
    stranger.hello()
    stranger.claim()
    assert names_in(stranger.heard, BOB.server_name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (MALLORY.server_name, "is not a known peer; 'dtnode peer add"),
        (ALICE.server_name, "claims to be .* but does not have its key"),
        (BOB.server_name, "claims to be .* but does not have its key"),
    ],
    ids=["own name, unknown", "a known peer's name", "the victim's name"],
)
def test_a_stranger_learns_nothing(name: str, why: str) -> None:
    """The same random challenge and the same silence, whoever it says it is."""
    bob = make_session(BOB, initiator=False, knows=lambda name: name == ALICE.server_name)
    stranger = Stranger(bob, name, 3)
    stranger.hello()
    (challenge,) = stranger.heard
    assert challenge[0] == FrameKind.CHALLENGE
    assert len(challenge) == 9 + 32
    with pytest.raises(HandshakeError, match=why):
        stranger.claim()
    assert stranger.heard == [challenge]
    assert bob.state is SessionState.CLOSED
    assert bob.peer is None


def test_whom_the_responder_knows_is_asked_only_after_a_proof() -> None:
    asked: list[str] = []

    def knows(name: str) -> bool:
        asked.append(name)
        return True

    bob = make_session(BOB, initiator=False, knows=knows)
    stranger = Stranger(bob, ALICE.server_name, 3)
    stranger.hello()
    with pytest.raises(HandshakeError):
        stranger.claim()
    assert asked == []


def test_the_initiator_tells_its_name_and_nothing_more_to_a_stranger() -> None:
    pair = make_pair(initiator={"knows": lambda name: name != MALLORY.server_name},
                     responder={"signer": MALLORY}).start()  # fmt: skip
    with pytest.raises(HandshakeError, match="is not a known peer"):
        pair.exchange()
    assert pair.initiator.frames_to_send(0.0) == []
    assert pair.responder.peer is None


def test_another_than_the_expected_peer_is_refused_before_it_gets_a_proof() -> None:
    pair = make_pair(
        initiator={"expected_peer": BOB.server_name}, responder={"signer": MALLORY}
    ).start()
    with pytest.raises(HandshakeError, match=f"{BOB.server_name} was expected on this link"):
        pair.exchange()
    assert pair.initiator.frames_to_send(0.0) == []
    assert pair.responder.state is SessionState.HANDSHAKE


def test_the_responder_may_expect_a_peer_too() -> None:
    pair = make_pair(responder={"expected_peer": MALLORY.server_name}).start()
    with pytest.raises(HandshakeError, match="was expected"):
        pair.exchange()
    assert not names_in(pair.responder.frames_to_send(0.0), BOB.server_name)


def test_a_copy_of_this_node_is_reported() -> None:
    twin = signer_of(2, "mesh.example.org")
    for name, initiator in ((BOB, twin), (twin, BOB), (BOB, BOB)):
        pair = make_pair(initiator={"signer": initiator}, responder={"signer": name}).start()
        with pytest.raises(HandshakeError, match="a copy of this node is running elsewhere"):
            pair.exchange()


def test_a_name_that_is_no_key_is_refused() -> None:
    stranger = Stranger(make_session(BOB, initiator=False), "matrix.example.org", 3)
    stranger.hello()
    with pytest.raises(HandshakeError, match="not the name of a key"):
        stranger.claim()


def test_a_key_of_small_order_proves_nothing() -> None:
    """With such a key, verifiers without libsodium's check accept signatures of anything."""
    bob = make_session(BOB, initiator=False, key_of=lambda name: b"\1" + bytes(31))
    stranger = Stranger(bob, "anything", 3)
    stranger.hello()
    with pytest.raises(HandshakeError, match="does not have its key"):
        stranger.say(FrameKind.CLAIM, b"\1" + bytes(63))


def test_replayed_to_a_new_session_nothing_proves_anything() -> None:
    there = Recorder()
    pair = make_pair().start()
    pair.exchange(there=there)
    assert [frame[0] for frame in there.frames] == [
        FrameKind.HELLO,
        FrameKind.CLAIM,
        FrameKind.PROOF,
    ]
    hello, claim, _ = there.frames
    fresh = make_session(BOB, initiator=False, entropy=random.Random(99).randbytes)
    fresh.start(0.0)
    fresh.receive_frame(hello, 0.0)
    assert len(fresh.frames_to_send(0.0)) == 1
    with pytest.raises(HandshakeError, match="does not have its key"):
        fresh.receive_frame(claim, 0.0)
    assert fresh.frames_to_send(0.0) == []


def test_a_replayed_responder_proves_nothing() -> None:
    back = Recorder()
    make_pair().start().exchange(back=back)
    alice = make_session(ALICE, initiator=True, entropy=random.Random(99).randbytes)
    alice.start(0.0)
    (hello,) = alice.frames_to_send(0.0)
    challenge, response = (
        frame[:1] + hello[1:5] + frame[5:] for frame in back.frames
    )  # numbered for this handshake
    alice.receive_frame(challenge, 0.0)
    with pytest.raises(HandshakeError, match="does not have its key"):
        alice.receive_frame(response, 0.0)
    assert alice.peer is None


def swap_name(old: str, new: str) -> Tamper:
    def tamper(frame: bytes) -> list[bytes]:
        return [frame.replace(old.encode(), new.encode())]

    return tamper


def test_a_relay_that_swaps_the_initiators_name() -> None:
    pair = make_pair().start()
    with pytest.raises(HandshakeError, match="does not have its key"):
        pair.exchange(there=swap_name(ALICE.server_name, MALLORY.server_name))
    assert pair.responder.peer is None


def test_a_relay_that_swaps_the_responders_name() -> None:
    pair = make_pair().start()
    with pytest.raises(HandshakeError, match="does not have its key"):
        pair.exchange(back=swap_name(BOB.server_name, MALLORY.server_name))
    assert pair.initiator.peer is None


def test_a_relay_between_two_that_each_mean_the_relay() -> None:
    """Mallory, dialled by Alice as Mallory, passes all on to Bob: Alice gives Bob no proof."""
    pair = make_pair(initiator={"expected_peer": MALLORY.server_name}).start()
    with pytest.raises(HandshakeError, match="was expected"):
        pair.exchange()
    assert pair.responder.peer is None


def test_mallory_cannot_pass_alices_proof_on_as_her_own() -> None:
    """Alice talks to Mallory willingly; what she signs there opens nothing at Bob's."""
    with_mallory = make_pair(responder={"signer": MALLORY}).start()
    there = Recorder()
    with_mallory.exchange(there=there)
    bob = make_session(BOB, initiator=False)
    bob.start(0.0)
    bob.receive_frame(there.frames[0], 0.0)
    with pytest.raises(HandshakeError, match="does not have its key"):
        bob.receive_frame(there.frames[1], 0.0)


@pytest.mark.parametrize(
    ("initiator", "steps"), [(True, 1), (True, 2), (True, 3), (False, 1), (False, 2)]
)
def test_reflected_frames(initiator: bool, steps: int) -> None:
    """A peer that sends our own frames back gets nowhere, in every state."""
    pair = make_pair().start()
    victim = pair.initiator if initiator else pair.responder
    other = pair.responder if initiator else pair.initiator
    for _ in range(steps):
        for frame in other.frames_to_send(0.0):
            victim.receive_frame(frame, 0.0)
        sent = victim.frames_to_send(0.0)
        for frame in sent:
            other.receive_frame(frame, 0.0)
    with pytest.raises(HandshakeError, match="echo"):
        victim.receive_frame(sent[-1], 0.0)
    assert victim.state is SessionState.CLOSED


@given(st.data())
def test_any_change_on_the_way_is_refused_or_harmless(data: st.DataObject) -> None:
    """One flipped bit anywhere: never another peer than the real one, never another exception."""
    flip_at = data.draw(st.integers(0, 600))
    position = 0

    def flip(frame: bytes) -> list[bytes]:
        nonlocal position
        index, position = flip_at - position, position + len(frame)
        if not 0 <= index < len(frame):
            return [frame]
        changed = bytearray(frame)
        changed[index] ^= 1 << data.draw(st.integers(0, 7))
        return [bytes(changed)]

    pair = make_pair().start()
    try:
        pair.exchange(there=flip, back=flip)
    except RemoteProtocolError:
        assert SessionState.CLOSED in (pair.initiator.state, pair.responder.state)
    assert pair.initiator.peer in (None, BOB.server_name)
    assert pair.responder.peer in (None, ALICE.server_name)
