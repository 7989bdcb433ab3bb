"""Pairing over a shared secret: both ends prove it, and names are the keys that were shown."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, HandshakeError, LocalProtocolError, RemoteProtocolError
from dtnode.session.key_exchange import Established
from dtnode.session.noise import EphemeralKey, HandshakeState, pattern
from dtnode.session.opening import HandshakeKind, HandshakeMessage, NotOpenedError, prologue
from dtnode.session.pairing import PairingInitiator, PairingResponder
from dtnode.session.peer_secrets import PeerSecrets
from dtnode.signer import Ed25519Signer
from tests.session.exchange_pair import NOW_MS, assert_same_session, signer_of, twin_of
from tests.session.test_noise import LOW_ORDER_POINTS

ALICE, BOB = signer_of(1, "mesh.example.org"), signer_of(2)
PSK = bytes(range(32))


def pair_of(
    psks: tuple[bytes, bytes] = (PSK, PSK),
    signers: tuple[Ed25519Signer, Ed25519Signer] = (ALICE, BOB),
) -> tuple[PairingInitiator, PairingResponder]:
    return (
        PairingInitiator(
            secrets=PeerSecrets(signers[0]), entropy=random.Random(1).randbytes, psk=psks[0]
        ),
        PairingResponder(
            secrets=PeerSecrets(signers[1]), entropy=random.Random(2).randbytes, psk=psks[1]
        ),
    )


def third_of(alice: PairingInitiator, bob: PairingResponder) -> HandshakeMessage:
    third = alice.receive(bob.receive(alice.first_message, NOW_MS), NOW_MS)
    assert isinstance(third, HandshakeMessage)
    return third


def changed(message: HandshakeMessage, data: bytes) -> HandshakeMessage:
    return HandshakeMessage(kind=message.kind, data=data)


def test_both_ends_learn_each_others_names() -> None:
    alice, bob = pair_of()
    third = third_of(alice, bob)
    fourth = bob.receive(third, NOW_MS + 60_000)
    established = alice.receive(fourth, NOW_MS)
    assert isinstance(established, Established)
    assert bob.established is not None
    assert_same_session(established, bob.established)
    assert (established.peer, bob.established.peer) == (BOB.server_name, ALICE.server_name)
    assert bob.established.clock_offset_s == -60
    sizes = [len(message.data) for message in (alice.first_message, third, fourth)]
    assert sizes == [48, 64 + 5 + len(ALICE.server_name), 16]


def test_names_are_not_readable_on_the_way() -> None:
    alice, bob = pair_of()
    second = bob.receive(alice.first_message, NOW_MS)
    third = alice.receive(second, NOW_MS)
    assert isinstance(third, HandshakeMessage)
    for message in (alice.first_message, second, third):
        for signer in (ALICE, BOB):
            assert signer.server_name.encode() not in message.data
            assert signer.exchange_key not in message.data


def test_another_secret_fails_at_both_ends() -> None:
    alice, bob = pair_of((PSK, PSK[::-1]))
    third = third_of(alice, bob)  # the secret comes in with the third message
    with pytest.raises(HandshakeError, match="same keys"):
        bob.receive(third, NOW_MS)
    assert bob.established is None
    with pytest.raises(NotOpenedError):  # one guess each
        bob.receive(third, NOW_MS)
    # A responder that goes on all the same has other keys, and another confirmation.
    alice, _ = pair_of((PSK, PSK))
    _, bob = pair_of((PSK, PSK[::-1]))
    knowing, other = pair_of((PSK[::-1], PSK[::-1]))
    third_of(alice, bob)
    fourth = other.receive(third_of(knowing, other), NOW_MS)
    with pytest.raises(HandshakeError, match="doesn't know the pairing secret"):
        alice.receive(fourth, NOW_MS)


def test_a_responder_that_only_pretends_to_know_the_secret() -> None:
    """The initiator takes no session before the fourth message proves the secret."""
    alice, bob = pair_of()
    third_of(alice, bob)
    for _ in range(2):
        fourth = HandshakeMessage(kind=HandshakeKind.PAIRING_FOURTH, data=bytes(16))
        with pytest.raises(HandshakeError):
            alice.receive(fourth, NOW_MS)


@pytest.mark.parametrize("step", range(4))
def test_every_flipped_bit_ends_it(step: int) -> None:
    for bit in range(0, 128, 3):
        alice, bob = pair_of()
        messages = [alice.first_message]
        if step > 0:
            messages.append(bob.receive(messages[-1], NOW_MS))
        if step > 1:
            third = alice.receive(messages[-1], NOW_MS)
            assert isinstance(third, HandshakeMessage)
            messages.append(third)
        if step > 2:
            messages.append(bob.receive(messages[-1], NOW_MS))
        damaged = bytearray(messages[-1].data)
        damaged[bit // 8] ^= 1 << bit % 8
        reader = alice if step % 2 else bob
        with pytest.raises(HandshakeError):
            reader.receive(changed(messages[-1], bytes(damaged)), NOW_MS)
        with pytest.raises(NotOpenedError):  # it is over
            reader.receive(messages[-1], NOW_MS)


def test_the_twin_key_is_the_name_that_was_said() -> None:
    alice, bob = pair_of(signers=(twin_of(ALICE), BOB))
    bob.receive(third_of(alice, bob), NOW_MS)
    assert bob.established is not None
    assert bob.established.peer == twin_of(ALICE).server_name


@pytest.mark.parametrize("name", [BOB.server_name, "example.org", "", signer_of(9).server_name])
def test_a_name_that_is_not_the_key_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = pair_of()
    alice._secrets.own_name = name
    third = third_of(alice, bob)
    with pytest.raises(HandshakeError, match="not the key"):
        bob.receive(third, NOW_MS)
    assert bob.established is None


def test_meeting_itself() -> None:
    alice, bob = pair_of(signers=(ALICE, ALICE))
    with pytest.raises(HandshakeError, match="itself"):
        third_of(alice, bob)


def test_echoes_and_messages_out_of_turn_change_nothing() -> None:
    alice, bob = pair_of()
    first = alice.first_message
    second = bob.receive(first, NOW_MS)
    for message in (first, second):
        with pytest.raises(NotOpenedError):
            bob.receive(message, NOW_MS)
    with pytest.raises(NotOpenedError):
        alice.receive(first, NOW_MS)
    third = alice.receive(second, NOW_MS)
    assert isinstance(third, HandshakeMessage)
    for message in (first, second, third):
        with pytest.raises(NotOpenedError):
            alice.receive(message, NOW_MS)
    assert isinstance(alice.receive(bob.receive(third, NOW_MS), NOW_MS), Established)


def test_a_recorded_pairing_cannot_be_replayed() -> None:
    alice, bob = pair_of()
    third = third_of(alice, bob)
    another = PairingResponder(
        secrets=PeerSecrets(BOB), entropy=random.Random(3).randbytes, psk=PSK
    )
    another.receive(alice.first_message, NOW_MS)
    with pytest.raises(HandshakeError):
        another.receive(third, NOW_MS)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_low_order_points(point: bytes) -> None:
    """XX does DH with the first message's key only when it answers."""
    alice, bob = pair_of()
    with pytest.raises(HandshakeError):
        bob.receive(changed(alice.first_message, point + alice.first_message.data[32:]), NOW_MS)
    alice, bob = pair_of()
    second = bob.receive(alice.first_message, NOW_MS)
    with pytest.raises(HandshakeError, match="low order"):
        alice.receive(changed(second, point + second.data[32:]), NOW_MS)


def test_secrets_of_another_length() -> None:
    for size in (0, 31, 33):
        with pytest.raises(LocalProtocolError, match="32 bytes"):
            pair_of((bytes(size), PSK))


def test_a_message_longer_than_any() -> None:
    alice, bob = pair_of()
    second = bob.receive(alice.first_message, NOW_MS)
    with pytest.raises(DecodeError, match="401 bytes"):
        alice.receive(changed(second, second.data.ljust(401, b"x")), NOW_MS)


def test_a_pairing_that_is_given_up() -> None:
    alice, bob = pair_of()
    second = bob.receive(alice.first_message, NOW_MS)
    alice.erase()
    with pytest.raises(NotOpenedError):
        alice.receive(second, NOW_MS)


@given(kind=st.sampled_from(HandshakeKind), data=st.binary(max_size=500))
def test_garbage(kind: HandshakeKind, data: bytes) -> None:
    message = HandshakeMessage(kind=kind, data=data)
    for started in (False, True):
        alice, bob = pair_of()
        if started:
            third_of(alice, bob)
        for end in (alice, bob):
            with pytest.raises(RemoteProtocolError):
                end.receive(message, NOW_MS)


def test_a_first_message_that_carries_something() -> None:
    """Anybody could read it: nothing is expected there, so nothing is taken."""
    _, bob = pair_of()
    state = HandshakeState(
        pattern("XXpsk3"),
        initiator=True,
        prologue=prologue(),
        static=EphemeralKey(bytes(32)),
        entropy=random.Random(1).randbytes,
        psk=PSK,
    )
    first = HandshakeMessage(kind=HandshakeKind.PAIRING_FIRST, data=state.write_message(b"x"))
    with pytest.raises(DecodeError, match="more than a key"):
        bob.receive(first, NOW_MS)
