"""Sealed and tagged frames: what opens, what doesn't, and what a stolen key is good for."""

from __future__ import annotations

import random

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import DecodeError, LimitError, LocalProtocolError, RemoteProtocolError
from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.session.sealing import (
    EPOCH_FRAMES,
    MAX_COUNTER,
    MAX_FORGERIES,
    MAX_JUMP_EPOCHS,
    WINDOW_FRAMES,
    BadTagError,
    FrameOpener,
    FrameSealer,
    ReplayedError,
    SessionKeys,
    transfer_keys,
)
from dtnode.session.transfer import SEAL_BYTES, make_transfer

SEALED, CLEAR = CipherPolicy.SEALED, CipherPolicy.CLEAR
MAX_JUMP_FRAMES = MAX_JUMP_EPOCHS * EPOCH_FRAMES
both = pytest.mark.parametrize("policy", [SEALED, CLEAR])
KEY = bytes(range(32))


def pair_of(policy: CipherPolicy = SEALED) -> tuple[FrameSealer, FrameOpener]:
    return FrameSealer(KEY, policy), FrameOpener(KEY, policy)


def ends_of(policy: CipherPolicy = SEALED) -> tuple[SessionKeys, SessionKeys]:
    there, back = b"t" * 32, b"b" * 32
    return (
        transfer_keys(send_key=there, receive_key=back, policy=policy),
        transfer_keys(send_key=back, receive_key=there, policy=policy),
    )


@both
@given(header=st.binary(max_size=20), plaintext=st.binary(max_size=300), skip=st.integers(0, 5000))
def test_round_trip(policy: CipherPolicy, header: bytes, plaintext: bytes, skip: int) -> None:
    sealer, opener = pair_of(policy)
    for counter in (0, 1, 2 + skip, 3 + 2 * skip):
        sealed = sealer.seal(counter, header, plaintext)
        assert len(sealed) == len(plaintext) + SEAL_BYTES
        assert (plaintext in sealed) or policy is SEALED
        assert opener.open(counter, header, sealed) == plaintext


def test_sealed_frames_show_nothing() -> None:
    sealer, _ = pair_of(SEALED)
    plaintext = b"the same long plaintext " * 3
    first, second = sealer.seal(0, b"", plaintext), sealer.seal(1, b"", plaintext)
    assert plaintext[:8] not in first
    assert first != second


@pytest.mark.parametrize(
    ("policy", "counter", "expected"),
    [
        (SEALED, 0, "4b54eefd3a9598c3e3176b4105"),
        (SEALED, 70_000, "8b092b235cc454c37f2972086a"),
        (CLEAR, 0, "68656c6c6fad06a0318793c421"),
        (CLEAR, 70_000, "68656c6c6f17cc31bc8f04b93b"),
    ],
)
def test_the_bytes_on_the_wire_stay(policy: CipherPolicy, counter: int, expected: str) -> None:
    keys = transfer_keys(send_key=KEY, receive_key=KEY, policy=policy)
    assert keys.data_sealer.seal(counter, b"head", b"hello").hex() == expected


@both
def test_a_whole_message_of_a_mebibyte_is_sealed_at_once(policy: CipherPolicy) -> None:
    sealer, opener = pair_of(policy)
    message = random.Random(1).randbytes(1 << 20)
    assert opener.open(0, b"", sealer.seal(0, b"", message)) == message


@both
def test_every_flipped_bit_shows(policy: CipherPolicy) -> None:
    sealer, opener = pair_of(policy)
    sealed = sealer.seal(5, b"\x01\x02", b"hello")
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadTagError):
            opener.open(5, b"\x01\x02", bytes(damaged))
    for header in (b"", b"\x01", b"\x01\x03", b"\x01\x02\x00"):
        with pytest.raises(BadTagError):
            opener.open(5, header, sealed)
    for counter in (0, 4, 6, 5 + 256, 5 + EPOCH_FRAMES):
        with pytest.raises(BadTagError):
            opener.open(counter, b"\x01\x02", sealed)
    assert opener.open(5, b"\x01\x02", sealed) == b"hello"


@both
def test_truncation_and_extension(policy: CipherPolicy) -> None:
    sealer, opener = pair_of(policy)
    sealed = sealer.seal(0, b"h", b"hello")
    for size in range(len(sealed)):
        with pytest.raises(DecodeError if size < SEAL_BYTES else BadTagError):
            opener.open(0, b"h", sealed[:size])
    with pytest.raises(BadTagError):
        opener.open(0, b"h", sealed + b"\0")


def test_a_byte_moved_between_header_and_plaintext_shows_in_clear() -> None:
    sealer, opener = pair_of(CLEAR)
    sealed = sealer.seal(0, b"head", b"hello")
    with pytest.raises(BadTagError):
        opener.open(0, b"headh", sealed[1:])


@both
def test_replays(policy: CipherPolicy) -> None:
    sealer, opener = pair_of(policy)
    frames = [sealer.seal(counter, b"", b"x") for counter in range(600)]
    for counter, sealed in enumerate(frames):
        opener.open(counter, b"", sealed)
        for old in {counter, counter // 2, 0}:
            with pytest.raises(ReplayedError):
                opener.open(old, b"", frames[old])
    assert opener.forgeries == 0


@both
def test_reordering_within_the_window(policy: CipherPolicy) -> None:
    """Across the end of an epoch as well; what is older than the window is refused."""
    sealer, opener = pair_of(policy)
    start = EPOCH_FRAMES - WINDOW_FRAMES // 2
    frames = {
        counter: sealer.seal(counter, b"", counter.to_bytes(4, "big"))
        for counter in range(start, start + WINDOW_FRAMES + 1)
    }
    newest = start + WINDOW_FRAMES
    opener.open(newest, b"", frames[newest])
    order = list(range(start + 1, newest))
    random.Random(1).shuffle(order)
    for counter in order:
        assert opener.open(counter, b"", frames[counter]) == counter.to_bytes(4, "big")
    with pytest.raises(ReplayedError, match="too old"):
        opener.open(start, b"", frames[start])


@both
@given(seed=st.integers(0, 2**32))
def test_each_frame_opens_at_most_once_in_any_order(policy: CipherPolicy, seed: int) -> None:
    chance = random.Random(seed)
    sealer, opener = pair_of(policy)
    frames: dict[int, bytes] = {}
    counter = 0
    opened: list[int] = []
    for _ in range(200):
        counter += chance.choice([1, 1, 1, 2, 40, 300, EPOCH_FRAMES])
        frames[counter] = sealer.seal(counter, b"", counter.to_bytes(8, "big"))
        for old in chance.sample(list(frames), min(3, len(frames))):
            damaged = chance.random() < 0.3
            sealed = frames[old] if not damaged else frames[old][:-1] + bytes([frames[old][-1] ^ 1])
            try:
                assert opener.open(old, b"", sealed) == old.to_bytes(8, "big")
            except BadTagError:
                assert damaged
            except ReplayedError:
                assert old in opened or old <= max(opened) - WINDOW_FRAMES
            else:
                assert not damaged
                opened.append(old)
    assert len(set(opened)) == len(opened)


@both
def test_an_outage_of_thousands_of_frames(policy: CipherPolicy) -> None:
    sealer, opener = pair_of(policy)
    opener.open(0, b"", sealer.seal(0, b"", b"before"))
    late = sealer.seal(MAX_JUMP_FRAMES, b"", b"after")
    assert opener.open(MAX_JUMP_FRAMES, b"", late) == b"after"
    too_late = 2 * MAX_JUMP_FRAMES + 1
    with pytest.raises(LimitError, match="too far ahead"):
        opener.open(too_late, b"", sealer.seal(too_late, b"", b"x"))


def test_a_failure_far_ahead_leaves_what_is_here_usable() -> None:
    sealer, opener = pair_of()
    frames = [sealer.seal(counter, b"", b"x") for counter in range(3)]
    for counter in (MAX_JUMP_FRAMES - 1, 5 * EPOCH_FRAMES, -1, MAX_COUNTER, 2**70):
        with pytest.raises(RemoteProtocolError):
            opener.open(counter, b"", bytes(20))
    assert [opener.open(counter, b"", frames[counter]) for counter in range(3)] == [b"x"] * 3


@both
def test_reflected_and_confused_frames(policy: CipherPolicy) -> None:
    """Not to their sender, not data as acknowledgement, not between links of another policy."""
    alice, bob = ends_of(policy)
    other = ends_of(CLEAR if policy is SEALED else SEALED)[1]
    sealed = alice.data_sealer.seal(0, b"", b"hello")
    openers = [alice.data_opener, alice.ack_opener, bob.ack_opener, other.data_opener]
    for opener in openers:
        with pytest.raises(BadTagError):
            opener.open(0, b"", sealed)
    assert bob.data_opener.open(0, b"", sealed) == b"hello"
    told = bob.ack_sealer.seal(256, b"", b"")
    assert alice.ack_opener.open(256, b"", told) == b""


def test_acknowledgements_may_leave_out_any_number() -> None:
    """Most ride on frames, so that the next one of its own may be millions of counters later."""
    alice, bob = ends_of()
    for counter in (0, 256, 2**40, MAX_COUNTER - 1):
        assert bob.ack_opener.open(counter, b"", alice.ack_sealer.seal(counter, b"", b"")) == b""


@both
@pytest.mark.parametrize("reliable", [True, False])
def test_a_transfer_over_these_keys(policy: CipherPolicy, reliable: bool) -> None:
    """Through several epochs, with losses, repetitions and late frames where the link has them."""
    chance = random.Random(1)
    info = LinkInfo(mtu_bytes=200, reliable=reliable, cipher=policy)
    keys = ends_of(policy)
    ends = [make_transfer(info=info, keys=keys[n], initiator=n == 0) for n in (0, 1)]
    messages = [chance.randbytes(chance.randrange(1, 400)) for _ in range(2000)]
    received: list[list[bytes]] = [[], []]
    for message in messages:
        ends[0].send(message)
        ends[1].send(message[::-1])
    now = 0.0
    late: list[tuple[int, bytes]] = []
    while not all(end.is_idle for end in ends):
        arriving, late = late, []
        for n in (0, 1):
            for frame in ends[n].frames_to_send(now):
                fate = 1.0 if reliable else chance.random()
                if fate > 0.1:
                    arriving.append((1 - n, frame))
                if 0.05 < fate < 0.15:
                    late.append((1 - n, frame))
        for n, frame in arriving:
            received[n] += ends[n].receive_frame(frame, now)
        wakes = [wake for end in ends if (wake := end.next_wake_at()) is not None]
        now = max(now + 0.01, min(wakes, default=0.0))
    assert received == [[message[::-1] for message in messages], messages]
    for thing in (keys[0].data_sealer, keys[1].data_opener):
        assert min(thing._epochs._ciphers) >= 1
    assert [key.data_opener.forgeries for key in keys] == [0, 0]


def test_an_open_link_has_no_keys() -> None:
    with pytest.raises(LocalProtocolError, match="open"):
        ends_of(CipherPolicy.OPEN)


@both
def test_no_counter_seals_twice(policy: CipherPolicy) -> None:
    sealer, _ = pair_of(policy)
    sealer.seal(7, b"", b"x")
    for counter in (7, 6, 0, -1, MAX_COUNTER, MAX_COUNTER + 1):
        with pytest.raises(LocalProtocolError, match="can't be sealed"):
            sealer.seal(counter, b"", b"y")
    sealer.seal(8, b"", b"z")


def test_counters_come_to_an_end() -> None:
    sealer, _ = pair_of()
    sealer._next_counter = MAX_COUNTER - 1
    sealer._epochs._next = (MAX_COUNTER - 1) // EPOCH_FRAMES
    sealer.seal(MAX_COUNTER - 1, b"", b"last")
    with pytest.raises(LocalProtocolError, match="can't be sealed"):
        sealer.seal(MAX_COUNTER, b"", b"x")


def test_a_session_with_too_many_wrong_tags_is_given_up() -> None:
    sealer, opener = pair_of()
    good = sealer.seal(0, b"", b"x")
    opener.forgeries = MAX_FORGERIES - 1
    with pytest.raises(BadTagError):
        opener.open(0, b"", bytes(20))
    assert opener.worn_out
    with pytest.raises(LimitError, match="wrong tags"):
        opener.open(0, b"", good)


@pytest.mark.parametrize("opener", ["data_opener", "ack_opener"])
def test_a_session_wears_out_with_either_opener_and_is_erased_whole(opener: str) -> None:
    keys, others = ends_of()
    getattr(keys, opener).forgeries = MAX_FORGERIES
    assert (keys.worn_out, others.worn_out) == (True, False)
    keys.erase()
    for thing in (keys.data_sealer, keys.data_opener, keys.ack_sealer, keys.ack_opener):
        assert chain_of(thing) == bytes(32)
        assert not thing._epochs._ciphers


def chain_of(thing: FrameSealer | FrameOpener) -> bytes:
    """What all keys still to come are made of."""
    return bytes(thing._epochs._chain)


def test_a_key_stolen_later_opens_nothing_of_an_earlier_epoch() -> None:
    sealer, opener = pair_of()
    early = sealer.seal(0, b"", b"long ago")
    opener.open(0, b"", early)
    now = EPOCH_FRAMES + WINDOW_FRAMES
    late = sealer.seal(now, b"", b"today")
    opener.open(now, b"", late)
    for thing in (sealer, opener):
        assert list(thing._epochs._ciphers) == [1]
        thief = FrameOpener(chain_of(thing), SEALED)
        for counter in (0, now):  # the chain is beyond both by now
            for sealed in (early, late):
                with pytest.raises(RemoteProtocolError):
                    thief.open(counter, b"", sealed)
        stolen = thing._epochs.cipher(now)
        assert stolen is not None
        assert stolen.open(0, b"", early) is None
        assert thing._epochs.cipher(0) is None


def test_the_last_epoch_is_kept_for_the_window_only() -> None:
    sealer, opener = pair_of()
    frames = {n: sealer.seal(n, b"", b"") for n in range(EPOCH_FRAMES + WINDOW_FRAMES)}
    opener.open(0, b"", frames[0])
    opener.open(EPOCH_FRAMES + WINDOW_FRAMES - 2, b"", frames[EPOCH_FRAMES + WINDOW_FRAMES - 2])
    assert opener.open(EPOCH_FRAMES - 1, b"", frames[EPOCH_FRAMES - 1]) == b""
    opener.open(EPOCH_FRAMES + WINDOW_FRAMES - 1, b"", frames[EPOCH_FRAMES + WINDOW_FRAMES - 1])
    assert list(opener._epochs._ciphers) == [1]


def test_keys_of_epochs_differ() -> None:
    sealer, _ = pair_of()
    first = sealer._epochs.cipher(0)
    second = sealer._epochs.cipher(EPOCH_FRAMES)
    assert first is not None
    assert second is not None
    assert second.open(0, b"", first.seal(0, b"", b"x")) is None


def test_erased_keys() -> None:
    sealer, opener = pair_of()
    sealed = sealer.seal(0, b"", b"x")
    for thing in (sealer, opener):
        thing.erase()
        assert chain_of(thing) == bytes(32)
    with pytest.raises(LocalProtocolError, match="erased"):
        sealer.seal(1, b"", b"x")
    with pytest.raises(LimitError, match="erased"):
        opener.open(0, b"", sealed)


@both
@given(counter=st.integers(-5, 2**65), header=st.binary(max_size=8), data=st.binary(max_size=80))
def test_garbage(policy: CipherPolicy, counter: int, header: bytes, data: bytes) -> None:
    sealer, opener = pair_of(policy)
    opener.open(0, b"", sealer.seal(0, b"", b"x"))
    with pytest.raises(RemoteProtocolError):
        opener.open(counter, header, data)


def test_aes_ccm_is_that_of_rfc_3610() -> None:
    """Packet vector 1, so that a library that means something else by its name shows."""
    key = bytes.fromhex("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")
    nonce = bytes.fromhex("00000003020100a0a1a2a3a4a5")
    header, plaintext = bytes(range(8)), bytes(range(8, 31))
    sealed = bytes.fromhex("588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0")
    aead = AESCCM(key, tag_length=8)
    assert aead.encrypt(nonce, plaintext, header) == sealed
    with pytest.raises(InvalidTag):
        aead.decrypt(nonce, sealed, b"")
