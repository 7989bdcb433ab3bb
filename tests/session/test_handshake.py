"""Who proves what to whom: honest ends, strangers, impostors, relays, replays, echoes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from session_pair import (
    ALICE,
    BOB,
    MALLORY,
    Pair,
    Tamper,
    make_pair,
    make_session,
    signer_of,
)

from dtnode.errors import DecodeError, HandshakeError, RemoteProtocolError
from dtnode.link_info import LinkInfo
from dtnode.session import LinkSession, PeerAuthenticated, SessionState
from dtnode.session.framing import FrameKind, fragment
from dtnode.session.handshake import MAX_HELLOS
from dtnode.session.link_session import HANDSHAKE_TIMEOUT_S, MAX_HANDSHAKE_MESSAGES

LOSSY = LinkInfo(mtu_bytes=1500, reliable=False)
NARROW = LinkInfo(mtu_bytes=64, reliable=False)


def assert_authenticated(pair: Pair) -> None:
    assert pair.initiator_events == [PeerAuthenticated(server_name=BOB.server_name)]
    assert pair.responder_events == [PeerAuthenticated(server_name=ALICE.server_name)]
    assert pair.initiator.peer == BOB.server_name
    assert pair.responder.peer == ALICE.server_name
    assert pair.initiator.state is pair.responder.state is SessionState.AUTHENTICATED


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


def names_in(frames: list[bytes], signer_name: str) -> bool:
    return any(signer_name.encode() in frame for frame in frames)


class Stranger:
    """Speaks the handshake by hand, as `name`, with the key of `seed`; keeps all it is told."""

    def __init__(self, victim: LinkSession, name: str, seed: int) -> None:
        self.victim, self.name = victim, name
        self.key = SigningKey(bytes([seed]) * 32)
        self.heard: list[bytes] = []
        self.restart(ord("N"))
        victim.start(0.0)

    def restart(self, number: int) -> None:
        self.nonce = bytes([number]) * 32
        self.tag = int.from_bytes(self.nonce[:4], "big")

    def say(self, kind: FrameKind, payload: bytes) -> None:
        try:
            for frame in fragment(kind, self.tag, payload, 1500):
                self.victim.receive_frame(frame, 0.0)
        finally:
            self.heard += self.victim.frames_to_send(0.0)

    def hello(self) -> None:
        self.say(FrameKind.HELLO, b"\x01" + self.nonce + self.name.encode())

    def claim(self) -> None:
        nonce_r = self.heard[-1][9:]
        parts = (b"dtnode link 1 initiator claim", self.nonce, nonce_r, self.name.encode())
        signed = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
        self.say(FrameKind.CLAIM, self.key.sign(signed).signature)


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
    bob = make_session(BOB, initiator=False, knows=lambda name: bool(asked.append(name)))
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


class Recorder:
    """Keeps what passes."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def __call__(self, frame: bytes) -> list[bytes]:
        self.frames.append(frame)
        return [frame]


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
