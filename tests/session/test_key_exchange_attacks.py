"""Every attack on the key exchange that the design names: names, damage, replays, clones."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, HandshakeError, LocalProtocolError, RemoteProtocolError
from dtnode.link_info import CipherPolicy
from dtnode.session.key_exchange import (
    MAX_ANSWERED,
    MAX_REPEATS,
    Established,
    Stale,
)
from dtnode.session.noise import HandshakeState, pattern
from dtnode.session.opening import (
    MAX_NUMBER,
    FirstPayload,
    HandshakeKind,
    NotOpenedError,
    pack_first,
    prologue,
    unpack_first,
    unpack_second,
)
from dtnode.session.peer_secrets import KnownKey
from dtnode.session.sealing import BadTagError, transfer_keys
from dtnode.signer import exchange_key_of
from tests.session.exchange_pair import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    NOW_MS,
    STALE_INTERVAL_S,
    Machine,
    agree,
    answered,
    assert_same_session,
    first_of,
    key_of,
    machines,
    message,
    signer_of,
    twin_of,
)
from tests.session.test_noise import LOW_ORDER_POINTS

modes = pytest.mark.parametrize("introduce", [False, True], ids=["KK", "IK"])


# Names and keys


@modes
def test_the_twin_key_of_another_sign_is_another_server(introduce: bool) -> None:
    """Both names have one X25519 key, and only the owner has its private half; without names in
    the prologue Bob would take Alice for her twin, or Alice would talk to Bob's."""
    twin = twin_of(ALICE)
    assert exchange_key_of(key_of(twin.server_name)) == ALICE.exchange_key
    alice = Machine(ALICE, [BOB])
    bob = Machine(BOB, [twin])
    with pytest.raises(NotOpenedError):
        bob.hear(first_of(alice.dial(bob.name)))
    twin_of_bob = Machine(BOB, [ALICE], strangers=True)
    with pytest.raises(NotOpenedError):
        twin_of_bob.hear(first_of(alice.dial(twin_of(BOB).server_name, introduce=introduce)))


def test_a_relay_cannot_answer_in_its_own_name() -> None:
    """Unknown key-share: Mallory passes Alice's message on to Bob; Alice dialled Mallory."""
    alice, bob = Machine(ALICE, [MALLORY]), Machine(BOB, [ALICE, MALLORY], strangers=True)
    for introduce in (False, True):
        with pytest.raises(NotOpenedError):
            bob.hear(first_of(alice.dial(MALLORY.server_name, introduce=introduce)))


def test_an_answer_by_somebody_else() -> None:
    alice, bob = machines()
    carol = Machine(CAROL, [ALICE])
    dialling = alice.dial(bob.name)
    answer = answered(carol.hear(first_of(Machine(ALICE, [CAROL]).dial(carol.name))))
    with pytest.raises(NotOpenedError):
        dialling.receive(answer.message, NOW_MS)
    assert dialling.failed_openings == 1
    good = answered(bob.hear(first_of(dialling)))
    assert isinstance(dialling.receive(good.message, NOW_MS), Established)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_low_order_points(point: bytes) -> None:
    alice, bob = machines()
    for introduce in (False, True):
        dialling = alice.dial(bob.name, introduce=introduce)
        first = first_of(dialling)
        with pytest.raises(NotOpenedError):
            bob.hear(message(first.kind, point + first.data[32:]))
        answer = answered(bob.hear(first)).message
        with pytest.raises(NotOpenedError):
            dialling.receive(message(answer.kind, point + answer.data[32:]), NOW_MS)
    assert bob.secrets.of(names_of_low_order()) is None


def names_of_low_order() -> str:
    return "a" * 52  # y = 0


# Echoes, damage, garbage


@modes
def test_echoes(introduce: bool) -> None:
    alice, bob = machines()
    dialling = alice.dial(bob.name, introduce=introduce)
    first = first_of(dialling)
    own = Machine(ALICE, [ALICE, BOB], strangers=True)
    with pytest.raises(NotOpenedError):
        own.hear(first, dialling)
    second = message(HandshakeKind(first.kind + 1), first.data)
    with pytest.raises(NotOpenedError):
        dialling.receive(second, NOW_MS)
    answer = answered(bob.hear(first)).message
    with pytest.raises(NotOpenedError):
        bob.hear(answer)
    with pytest.raises(NotOpenedError):
        bob.hear(message(first.kind, answer.data))


def test_a_node_does_not_open_a_session_with_itself() -> None:
    """Nor with whoever has a copy of its key under the other sign."""
    alice = Machine(ALICE, [ALICE, twin_of(ALICE)], strangers=True)
    mirror = Machine(twin_of(ALICE), [ALICE])
    with pytest.raises(LocalProtocolError):
        mirror.dial(ALICE.server_name, introduce=True)
    assert alice.secrets.of(mirror.name) is None
    # Made by hand, since an Initiator refuses: IK with Alice's own key as the stranger's.
    state = HandshakeState(
        pattern("IK"),
        initiator=True,
        prologue=prologue(alice.name),
        static=KnownKey(alice.secrets, {}),
        entropy=alice.entropy,
        remote_static=alice.secrets.public_key,
    )
    payload = pack_first(FirstPayload(number=1, clock_s=0, application=b""), introduce=True)
    with pytest.raises(NotOpenedError):
        alice.hear(message(HandshakeKind.IK_FIRST, state.write_message(payload)))


@modes
def test_every_flipped_bit_and_every_cut_shows(introduce: bool) -> None:
    alice, bob = machines()
    dialling = alice.dial(bob.name, application=b"a", introduce=introduce)
    first = first_of(dialling)
    for data in damaged(first.data):
        with pytest.raises(NotOpenedError):
            bob.hear(message(first.kind, data))
    answer = answered(bob.hear(first)).message
    for data in damaged(answer.data):
        with pytest.raises(NotOpenedError):
            dialling.receive(message(answer.kind, data), NOW_MS)
    assert isinstance(dialling.receive(answer, NOW_MS), Established)


def damaged(data: bytes) -> list[bytes]:
    flipped = [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in (0, 7)
    ]
    return flipped + [data[:size] for size in range(len(data))] + [data + b"\0"]


@modes
def test_kinds_are_not_confused(introduce: bool) -> None:
    alice, bob = machines()
    dialling = alice.dial(bob.name, introduce=introduce)
    first = first_of(dialling)
    for kind in set(HandshakeKind) - {first.kind}:
        with pytest.raises(NotOpenedError):
            bob.hear(message(kind, first.data))
    answer = answered(bob.hear(first)).message
    for kind in set(HandshakeKind) - {answer.kind}:
        with pytest.raises(NotOpenedError):
            dialling.receive(message(kind, answer.data), NOW_MS)


@given(kind=st.sampled_from(HandshakeKind), data=st.binary(max_size=500))
def test_garbage(kind: HandshakeKind, data: bytes) -> None:
    alice, bob = machines()
    with pytest.raises(RemoteProtocolError):
        bob.hear(message(kind, data))
    with pytest.raises(RemoteProtocolError):
        alice.dial(bob.name).receive(message(kind, data), NOW_MS)


@given(data=st.binary(max_size=40), introduce=st.booleans())
def test_payloads_that_a_known_peer_spoils(data: bytes, introduce: bool) -> None:
    for unpack in (lambda data: unpack_first(data, introduce=introduce), unpack_second):
        with suppress(RemoteProtocolError):
            unpack(data)


def test_payloads_that_say_too_much_or_in_no_alphabet() -> None:
    clock = bytes(4)
    assert unpack_second(b"\x41" + clock + bytes(6)).stale == 0
    with pytest.raises(DecodeError, match="more than a number"):
        unpack_second(b"\x41" + clock + bytes(7))
    with pytest.raises(DecodeError, match="not ASCII"):
        unpack_first(b"\x01" + bytes(6) + clock + b"\x01\xff", introduce=True)


@given(
    number=st.integers(0, MAX_NUMBER),
    clock_s=st.integers(0, 2**32 - 1),
    application=st.binary(max_size=50),
    negative=st.booleans(),
    domain=st.sampled_from([None, "example.org", "d" * 177]),
)
def test_first_payloads_round_trip(**fields: Any) -> None:
    payload = FirstPayload(**fields)
    assert unpack_first(pack_first(payload, introduce=True), introduce=True) == payload


def test_a_peer_of_another_version_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = machines()
    monkeypatch.setattr("dtnode.session.opening.PAYLOAD_VERSION", 2)
    first = first_of(alice.dial(bob.name))
    monkeypatch.undo()
    with pytest.raises(HandshakeError, match="version 2, this node in 1: update"):
        bob.hear(first)
    assert bob.taken == {}


# Replays, rollback, clones


def test_a_lost_answer_is_repeated_unchanged_but_not_for_ever() -> None:
    alice, bob = machines()
    dialling = alice.dial(bob.name)
    first = first_of(dialling)
    answer = answered(bob.hear(first))
    for _ in range(MAX_REPEATS):
        again = answered(bob.hear(first))
        assert again.message == answer.message
        assert again.established is None
    assert bob.hear(first) is None
    assert len(bob.heard) == 1
    assert isinstance(dialling.receive(answer.message, NOW_MS), Established)


def test_answers_kept_for_repetition_are_bounded() -> None:
    signers = [signer_of(number) for number in range(20, 20 + MAX_ANSWERED + 3)]
    bob = Machine(BOB, signers)
    firsts = [first_of(Machine(signer).dial(bob.name)) for signer in signers]
    for first in firsts:
        answered(bob.hear(first))
    assert len(bob.responder._answered) == MAX_ANSWERED
    assert answered(bob.hear(firsts[-1])).message.kind is HandshakeKind.KK_SECOND


def test_an_answer_is_not_repeated_once_a_newer_session_was_agreed_on() -> None:
    """Two that were resumed from one snapshot would else get the same keys."""
    alice, bob = machines()
    first = first_of(alice.dial(bob.name))
    original = answered(bob.hear(first))
    agree(alice, bob)
    again = answered(bob.hear(first))
    assert again.established is None
    assert again.message != original.message


@modes
def test_a_replayed_first_message_after_the_session(introduce: bool) -> None:
    """It is told the number at most once in an interval; nobody but Alice could read that."""
    alice, bob = machines()
    dialling = alice.dial(bob.name, introduce=introduce)
    first = first_of(dialling)
    bob.hear(first)
    bob.responder.confirm(ALICE.server_name)
    taken = dict(bob.taken)
    stale = answered(bob.hear(first))
    assert stale.established is None
    for later in (0.0, STALE_INTERVAL_S - 0.1):
        bob.now = later
        assert bob.hear(first) is None
    bob.now = STALE_INTERVAL_S
    assert answered(bob.hear(first)).established is None
    assert bob.taken == taken
    with pytest.raises(NotOpenedError):
        alice.dial(bob.name, introduce=introduce).receive(stale.message, NOW_MS)


def test_stale_answers_are_limited_for_each_name_apart() -> None:
    alice, carol, bob = Machine(ALICE), Machine(CAROL), Machine(BOB, [ALICE, CAROL])
    bob.taken = {ALICE.server_name: MAX_NUMBER - 1, CAROL.server_name: MAX_NUMBER - 1}
    for peer in (alice, carol):
        assert bob.hear(first_of(peer.dial(bob.name))) is not None
        assert bob.hear(first_of(peer.dial(bob.name))) is None


def test_times_of_stale_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dtnode.session.key_exchange.MAX_CANDIDATES", 2)
    _, bob = machines()
    peers = [Machine(signer_of(number)) for number in (30, 31, 32)]
    for peer in peers:
        bob.taken[peer.name] = MAX_NUMBER - 1
        bob.hear(first_of(peer.dial(bob.name, introduce=True)))
    assert list(bob.responder._stale_answers) == [peer.name for peer in peers[1:]]


@modes
def test_a_restored_backup_is_told_the_number_and_starts_again(introduce: bool) -> None:
    alice, bob = machines()
    agree(alice, bob, introduce=introduce)
    alice.now_ms += 5_000_000
    agree(alice, bob, introduce=introduce)
    restored = Machine(ALICE, [BOB])  # with the clock of the backup, too
    dialling = restored.dial(bob.name, introduce=introduce)
    answer = answered(bob.hear(first_of(dialling)))
    assert answer.established is None
    told = dialling.receive(answer.message, NOW_MS)
    assert isinstance(told, Stale)
    assert told == Stale(peer=bob.name, highest=bob.taken[ALICE.server_name])
    assert dialling.pending == frozenset()
    restored.used[bob.name] = told.highest
    assert_same_session(*agree(restored, bob, introduce=introduce))


def test_a_peer_that_refuses_for_no_reason() -> None:
    alice, bob = machines()
    dialling = alice.dial(bob.name)
    bob.responder._highest_accepted = lambda name: MAX_NUMBER  # nobody could go beyond it
    answer = answered(bob.hear(first_of(dialling)))
    with pytest.raises(HandshakeError, match="refuses handshake"):
        dialling.receive(answer.message, NOW_MS)
    assert dialling.pending == frozenset()


def test_a_restored_responder_takes_an_old_message_but_no_frame_comes_of_it() -> None:
    """Its session stays unconfirmed: whoever replays can't make a frame, nor read one."""
    alice, bob = machines()
    dialling = alice.dial(bob.name)
    first = first_of(dialling)
    bob.hear(first)
    restored = Machine(BOB, [ALICE])
    answer = answered(restored.hear(first))
    assert answer.established is not None
    at_alice, at_bob = agree(alice, bob)
    assert at_alice.send_key != answer.established.receive_key
    frame = keys_of(at_alice).data_sealer.seal(0, b"", b"hello")
    with pytest.raises(BadTagError):
        keys_of(answer.established).data_opener.open(0, b"", frame)
    assert keys_of(at_bob).data_opener.open(0, b"", frame) == b"hello"


def keys_of(established: Established) -> Any:
    return transfer_keys(
        send_key=established.send_key,
        receive_key=established.receive_key,
        policy=CipherPolicy.SEALED,
    )


def test_a_clone_shares_no_key_with_its_original() -> None:
    """Both run, from one disk image: sessions of their own, and neither reads the other's."""
    alice, bob = machines()
    agree(alice, bob)
    clone = Machine(ALICE, [BOB])
    clone.entropy = random.Random("another card, the same image").randbytes
    clone.used, clone.now_ms = dict(alice.used), alice.now_ms + 1
    of_clone, with_clone = agree(clone, bob)
    assert_same_session(of_clone, with_clone)
    # The original comes with the number that the clone has used: it is told, and goes on.
    dialling = alice.dial(bob.name)
    told = dialling.receive(answered(bob.hear(first_of(dialling))).message, NOW_MS)
    assert told == Stale(peer=bob.name, highest=of_clone.number)
    alice.used[bob.name] = of_clone.number
    of_original, with_original = agree(alice, bob)
    assert of_original.send_key not in {of_clone.send_key, of_clone.receive_key}
    frame = keys_of(of_original).data_sealer.seal(0, b"", b"x")
    with pytest.raises(BadTagError):
        keys_of(with_clone).data_opener.open(0, b"", frame)
    assert keys_of(with_original).data_opener.open(0, b"", frame) == b"x"


def test_the_same_randomness_twice_gives_other_keys_with_other_peers_randomness() -> None:
    """A virtual machine resumed twice from one snapshot: the responder's key still is new."""
    bob = Machine(BOB, [ALICE])
    sessions = []
    for _ in range(2):
        snapshot = Machine(ALICE, [BOB])
        bob.taken.clear()
        bob.responder.confirm(ALICE.server_name)
        sessions.append(agree(snapshot, bob)[0])
    assert sessions[0].send_key != sessions[1].send_key


def test_a_first_message_held_back_is_worth_nothing_later() -> None:
    alice, bob = machines()
    held_back = first_of(alice.dial(bob.name))
    agree(alice, bob)
    answer = answered(bob.hear(held_back))
    assert answer.established is None
