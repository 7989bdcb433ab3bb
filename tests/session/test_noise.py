"""Noise against the published vectors, and what a hostile other end can send into it."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from dtnode.errors import (
    DecodeError,
    HandshakeError,
    LocalProtocolError,
    RemoteProtocolError,
)
from dtnode.session.noise import (
    MAX_NONCE,
    CipherState,
    EphemeralKey,
    HandshakeState,
    SymmetricState,
    pattern,
)
from dtnode.signer import Ed25519Signer, exchange_key_of

HERE = Path(__file__).parent
INLINED = HERE / "data" / "noise_vectors.json"
# The whole published file is not part of a checkout; where it lies beside one it is run as well.
WHOLE = Path(os.environ.get("DTNODE_NOISE_VECTORS", HERE.parents[2] / "shared/vectors/noise.json"))

PRIME = 2**255 - 19
LOW_ORDER = [
    # https://cr.yp.to/ecdh.html#validate, and what equals them once the top bit is masked away
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
    PRIME,
    PRIME + 1,
]
LOW_ORDER_POINTS = [(u | top).to_bytes(32, "little") for u in LOW_ORDER for top in (0, 1 << 255)]


def vectors() -> list[dict[str, Any]]:
    """Those of the patterns spoken here; the inlined ones, then the whole file where it is."""
    found = []
    for path in (INLINED, WHOLE):
        if path.exists():
            found += json.loads(path.read_text("utf-8"))["vectors"]
    return [vector for vector in found if is_spoken(vector["protocol_name"])]


def is_spoken(protocol_name: str) -> bool:
    try:
        pattern(protocol_name.split("_")[1])
    except ValueError:
        return False
    return True


def end_of(vector: dict[str, Any], side: str) -> HandshakeState:
    def value(name: str) -> bytes | None:
        text = vector.get(f"{side}_{name}")
        return None if text is None else bytes.fromhex(text)

    ephemeral, static = value("ephemeral"), value("static")
    assert ephemeral is not None
    assert static is not None
    psks = vector.get(f"{side}_psks")
    return HandshakeState(
        pattern(vector["protocol_name"].split("_")[1]),
        initiator=side == "init",
        prologue=value("prologue") or b"",
        static=EphemeralKey(static),
        entropy=lambda size: ephemeral[:size],
        remote_static=value("remote_static"),
        psk=bytes.fromhex(psks[0]) if psks else None,
        hash_name=vector["protocol_name"].split("_")[-1].lower(),
    )


@pytest.mark.parametrize(
    "vector", [pytest.param(vector, id=vector["protocol_name"]) for vector in vectors()]
)
def test_published_vectors(vector: dict[str, Any]) -> None:
    ends = [end_of(vector, "init"), end_of(vector, "resp")]
    ciphers: list[list[CipherState]] = []
    for number, message in enumerate(vector["messages"]):
        writer, reader = number % 2, 1 - number % 2
        payload, expected = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        if not ends[0].finished:
            assert ends[writer].write_message(payload) == expected
            assert ends[reader].read_message(expected) == payload
            continue
        ciphers = ciphers or [[CipherState(key) for key in end.split()] for end in ends]
        assert ciphers[writer][writer].encrypt(b"", payload) == expected
        assert ciphers[reader][writer].decrypt(b"", expected) == payload
    assert ciphers
    assert [end.handshake_hash.hex() for end in ends] == [vector["handshake_hash"]] * 2
    assert ends[0].export(b"x") == ends[1].export(b"x") != ends[0].export(b"y")


def test_the_vectors_cover_every_pattern_spoken_here() -> None:
    names = {vector["protocol_name"].split("_")[1] for vector in vectors()}
    assert {"KK", "IK", "XX", "XXpsk3"} <= names
    if WHOLE.exists():
        assert len(vectors()) == 6 + 32


@pytest.mark.parametrize("name", ["NN", "XX1", "KKpsk", "KKpsk3", "KKpskx", "KK+psk0", ""])
def test_other_patterns(name: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        pattern(name)


def key(number: int) -> EphemeralKey:
    return EphemeralKey(bytes([number]) * 32)


def pair_of(
    name: str = "KK", prologues: tuple[bytes, bytes] = (b"p", b"p")
) -> list[HandshakeState]:
    shape = pattern(name)
    psk = bytes(32) if shape.has_psk else None
    alice, bob = key(1), key(2)
    return [
        HandshakeState(
            shape,
            initiator=True,
            prologue=prologues[0],
            static=alice,
            entropy=random.Random(1).randbytes,
            remote_static=bob.public_key if shape.responder_known else None,
            psk=psk,
        ),
        HandshakeState(
            shape,
            initiator=False,
            prologue=prologues[1],
            static=bob,
            entropy=random.Random(2).randbytes,
            remote_static=alice.public_key if shape.initiator_known else None,
            psk=psk,
        ),
    ]


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_low_order_points_are_refused_everywhere(point: bytes) -> None:
    with pytest.raises(ValueError, match="low order"):
        key(1).exchange(point)
    with pytest.raises(ValueError, match="low order"):
        Ed25519Signer(bytes(32), "").exchange(point)
    for name in ("KK", "IK"):
        initiator, responder = pair_of(name)
        message = initiator.write_message(b"")
        with pytest.raises(HandshakeError, match="low order"):
            responder.read_message(point + message[32:])
    initiator, responder = pair_of()
    responder.read_message(initiator.write_message(b""))
    message = responder.write_message(b"")
    with pytest.raises(HandshakeError, match="low order"):
        initiator.read_message(point + message[32:])


def test_a_key_that_is_no_point_of_the_main_subgroup_converts_to_none() -> None:
    for y in (0, 1, PRIME - 1, 2):  # order 4, 1, 2; none at all
        with pytest.raises(ValueError, match="main subgroup"):
            exchange_key_of(y.to_bytes(32, "little"))


def test_a_zero_secret_from_another_keypair_is_refused() -> None:
    class Careless:
        public_key = key(2).public_key

        def exchange(self, public_key: bytes, /) -> bytes:
            return bytes(32)

    responder = HandshakeState(
        pattern("KK"),
        initiator=False,
        prologue=b"p",
        static=Careless(),
        entropy=random.Random(2).randbytes,
        remote_static=key(1).public_key,
    )
    with pytest.raises(HandshakeError, match="zero"):
        responder.read_message(pair_of()[0].write_message(b""))


def test_the_signers_key_is_libsodiums_conversion() -> None:
    signer = Ed25519Signer(b"s" * 32, "")
    private = bindings.crypto_sign_ed25519_sk_to_curve25519(b"s" * 32 + signer.public_key)
    assert signer.exchange_key == bindings.crypto_scalarmult_base(private)
    assert signer.exchange_key == exchange_key_of(signer.public_key)
    assert signer.exchange(key(9).public_key) == key(9).exchange(signer.exchange_key)


@pytest.mark.parametrize("name", ["KK", "IK", "XX"])
def test_another_prologue_does_not_fit(name: str) -> None:
    reader, writer = pair_of(name, (b"alice bob", b"alice bobby"))
    if name == "XX":  # nothing is encrypted before the second message
        writer.read_message(reader.write_message(b""))
    else:
        reader, writer = writer, reader
    with pytest.raises(HandshakeError, match="same keys"):
        reader.read_message(writer.write_message(b""))


@pytest.mark.parametrize("name", ["KK", "IK"])
def test_every_flipped_bit_shows(name: str) -> None:
    initiator, responder = pair_of(name)
    message = initiator.write_message(b"payload")
    for bit in range(8 * len(message)):
        damaged = bytearray(message)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(HandshakeError):
            responder.copy().read_message(bytes(damaged))
    assert responder.read_message(message) == b"payload"


@pytest.mark.parametrize("name", ["KK", "IK", "XX", "XXpsk3", "KKpsk0"])
def test_truncated_messages(name: str) -> None:
    ends = pair_of(name)
    for number in range(len(pattern(name).messages)):
        writer, reader = ends[number % 2], ends[1 - number % 2]
        message = writer.write_message(b"x" * number)
        # XX's first message is a bare key and a readable payload: nothing shows that this is cut
        for size in range(32 if name == "XX" and number == 0 else len(message)):
            with pytest.raises((DecodeError, HandshakeError)):
                reader.copy().read_message(message[:size])
        assert reader.read_message(message) == b"x" * number
    assert ends[0].split() == ends[1].split()


@given(
    name=st.sampled_from(["KK", "IK", "XX", "XXpsk3", "IKpsk2"]),
    turn=st.integers(0, 2),
    garbage=st.binary(max_size=300),
    keep=st.integers(0, 200),
)
def test_garbage_raises_the_remote_error(name: str, turn: int, garbage: bytes, keep: int) -> None:
    ends = pair_of(name)
    for number in range(min(turn, len(pattern(name).messages) - 1)):
        ends[1 - number % 2].read_message(ends[number % 2].write_message(b"p"))
    turn = min(turn, len(pattern(name).messages) - 1)
    message = ends[turn % 2].write_message(b"p")
    reader = ends[1 - turn % 2]
    try:
        reader.read_message(message[:keep] + garbage)
    except RemoteProtocolError:
        with pytest.raises(LocalProtocolError):
            reader.read_message(message)
    else:
        is_open = name == "XX" and turn == 0
        assert is_open or message[:keep] + garbage == message


def test_calls_out_of_turn() -> None:
    initiator, responder = pair_of()
    with pytest.raises(LocalProtocolError, match="turn"):
        responder.write_message(b"")
    with pytest.raises(LocalProtocolError, match="turn"):
        initiator.read_message(bytes(48))
    for use in (initiator.split, lambda: initiator.export(b"x")):
        with pytest.raises(LocalProtocolError, match="not finished"):
            use()
    with pytest.raises(DecodeError, match="65536 bytes"):
        responder.read_message(initiator.write_message(b"") + bytes(65_536 - 48))


def test_too_many_or_too_few_keys() -> None:
    for name, remote, psk in (
        ("KK", None, None),
        ("XX", bytes(32), None),
        ("KKpsk0", bytes(32), None),
    ):
        with pytest.raises(LocalProtocolError, match="too many or too few"):
            HandshakeState(
                pattern(name),
                initiator=True,
                prologue=b"",
                static=key(1),
                entropy=bytes,
                remote_static=remote,
                psk=psk,
            )


def test_a_copy_is_independent() -> None:
    initiator, responder = pair_of()
    message = initiator.write_message(b"p")
    twin = responder.copy()
    with pytest.raises(HandshakeError):
        twin.read_message(message[:-1] + b"\0")
    assert responder.read_message(message) == b"p"
    answer = responder.write_message(b"q")
    second = initiator.copy()
    second.wipe()
    assert initiator.read_message(answer) == b"q"
    assert initiator.split() == responder.split()


def test_wiped_keys_are_gone() -> None:
    ephemeral = key(7)
    cipher = CipherState(b"k" * 32)
    symmetric = SymmetricState(b"name", "blake2b")
    symmetric.mix_key(b"s" * 32)
    for secret in (ephemeral, cipher, symmetric):
        secret.wipe()
    assert ephemeral._private == cipher._key == bytes(32)
    assert symmetric._chaining_key == bytes(64)
    initiator, _ = pair_of()
    initiator.write_message(b"")
    kept = initiator._ephemeral
    assert kept is not None
    initiator.wipe()
    assert kept._private == bytes(32)
    with pytest.raises(LocalProtocolError, match="not finished"):
        initiator.split()


def test_a_cipher_never_uses_the_reserved_nonce() -> None:
    cipher = CipherState(b"k" * 32, MAX_NONCE - 1)
    cipher.encrypt(b"", b"last")
    with pytest.raises(LocalProtocolError, match="used up"):
        cipher.encrypt(b"", b"one more")
