"""Every attack on a session that the design names, on connections and on radio, through frames."""

from __future__ import annotations

from random import Random

import pytest

from dtnode.errors import HandshakeError, RemoteProtocolError
from dtnode.link_info import CipherPolicy, LinkInfo
from dtnode.session import SessionState
from dtnode.session.meeting import STALE_INTERVAL_S
from dtnode.session.opening import HandshakeKind
from dtnode.session.transfer import FrameKind, handshake_frames, kind_of
from dtnode.session.transfer.frames import WHOLE_UNIT, Flag, unit_header
from dtnode.signer import Ed25519Signer
from tests.session.exchange_pair import ALICE, BOB, CAROL, MALLORY, signer_of
from tests.session.session_pair import (
    RADIO,
    TCP,
    Book,
    Faults,
    Pair,
    converse,
    info_of,
    message,
)
from tests.session.test_noise import LOW_ORDER_POINTS

FULL_RADIO = info_of(222, half=False)
NARROW = info_of(20, bitrate=9600, half=False)

both_kinds = pytest.mark.parametrize("info", [TCP, RADIO], ids=["connection", "radio"])
radios = pytest.mark.parametrize(
    "info", [RADIO, FULL_RADIO, NARROW], ids=["half", "full", "narrow"]
)


def passive_bob(*, knows: bool = True) -> Book:
    return Book(BOB, [ALICE] if knows else [CAROL], dials=False)


def talked(info: LinkInfo, count: int = 4, *books: Book) -> Pair:
    """After a conversation of both ends."""
    pair = Pair(info, *books).meet()
    converse(pair, count)
    return pair


def sessions_of(pair: Pair) -> list[int]:
    return [len(pair.sessions(end)) for end in (0, 1)]


# Restarts, late and repeated first messages


@radios
@pytest.mark.parametrize("restarted", [0, 1])
def test_one_end_starts_again(info: LinkInfo, restarted: int) -> None:
    pair = talked(info)
    before = sessions_of(pair)
    pair.restart(restarted)
    pair.run(pair.now + 3600, lambda: len(pair.sessions(1 - restarted)) > before[1 - restarted])
    pair.meet()
    assert len(pair.sessions(restarted)) == 1
    assert len(pair.sessions(1 - restarted)) == before[1 - restarted] + 1
    for end in (0, 1):
        pair.events[end].clear()
    converse(pair)


@radios
def test_both_start_again_and_again(info: LinkInfo) -> None:
    pair = talked(info)
    for round_number in range(4):
        for end in (0, 1):
            pair.restart(end)
            pair.run(pair.now + round_number)
        pair.meet()
        converse(pair, count=2)


def test_a_new_session_replaces_the_old_one_only_when_it_works() -> None:
    """Bob has answered the restarted Alice; until a frame of hers comes he keeps the old one."""
    pair = talked(FULL_RADIO, 4, Book(ALICE, [BOB]), passive_bob())
    old = pair.ends[0]
    pair.restart(0)
    pair.tamper = lambda end, frame: frame if kind_of(frame) is FrameKind.HANDSHAKE else None
    pair.run(pair.now + 30, lambda: pair.ends[0].peer)
    assert len(pair.sessions(1)) == 1
    old.send(message(50))
    for frame in old.frames_to_send(pair.now):
        pair.inject(1, frame)
    assert pair.heard(1)[-1] == message(50), "the old one still works"
    pair.tamper = lambda end, frame: frame
    pair.run(pair.now + 30, lambda: len(pair.sessions(1)) == 2)
    old.send(message(51))
    for frame in old.frames_to_send(pair.now):
        pair.inject(1, frame)
    assert pair.heard(1)[-1] == message(50), "it doesn't any more"


@radios
def test_replayed_first_messages_do_not_disturb_a_session(info: LinkInfo) -> None:
    """Each is answered with a number that only Alice can read, at most once in an interval."""
    pair = talked(info, 4, Book(ALICE, [BOB]), passive_bob())
    before, answers = sessions_of(pair), len(pair.frames(1, FrameKind.HANDSHAKE))
    firsts = pair.frames(0, FrameKind.HANDSHAKE)
    start = pair.now
    for _ in range(20):
        for frame in firsts:
            pair.inject(1, frame)
        pair.run(pair.now + 1.0)
    converse(pair)
    assert sessions_of(pair) == before
    each = len(handshake_frames(HandshakeKind.KK_SECOND, 0, bytes(59), mtu_bytes=info.mtu_bytes))
    told = (len(pair.frames(1, FrameKind.HANDSHAKE)) - answers) / each
    assert 1 <= told <= (pair.now - start) / STALE_INTERVAL_S + 2


@radios
def test_a_first_message_that_was_held_back(info: LinkInfo) -> None:
    """It is fresh to Bob, who answers; but no frame follows, and no session ends or is sought."""
    pair = talked(info)
    before = sessions_of(pair)
    elsewhere = Pair(info, *pair.books, start=False)  # with Alice's disk: a number not used yet
    elsewhere.ends[0].start(0.0)
    for frame in elsewhere.ends[0].frames_to_send(0.0):
        pair.inject(1, frame)
    pair.run(pair.now + 1)
    handshakes = [len(pair.frames(end, FrameKind.HANDSHAKE)) for end in (0, 1)]
    converse(pair, count=10)
    pair.run(pair.now + 3600)
    converse(pair, count=10)
    assert sessions_of(pair) == before
    assert [len(pair.frames(end, FrameKind.HANDSHAKE)) for end in (0, 1)] == handshakes
    for end in (0, 1):
        assert pair.ends[end].state is SessionState.AUTHENTICATED


def test_handshake_messages_in_the_middle_of_a_connection_change_nothing() -> None:
    """The first message that crossed its answer, repeated by the dialler or by somebody else."""
    pair = talked(TCP)
    frames = pair.frames(0, FrameKind.HANDSHAKE) + pair.frames(1, FrameKind.HANDSHAKE)
    for frame in 100 * [*frames, bytes([0xA2, 1]) + bytes(59), b"\xbf"]:
        for end in (0, 1):
            pair.inject(end, frame)
            assert not pair.ends[end].frames_to_send(pair.now)
    assert sessions_of(pair) == [1, 1]
    converse(pair)


# Restored backups, clones


@both_kinds
@pytest.mark.parametrize("others", [0, 7])
def test_a_restored_backup_is_told_the_number_and_comes_back(info: LinkInfo, others: int) -> None:
    """Among several that it calls, too; its clock is that of the backup."""
    crowd = [signer_of(number) for number in range(50, 50 + others)]
    pair = Pair(info, Book(ALICE, [*crowd, BOB]), passive_bob())
    backup = pair.books[0].copy()
    pair.meet()
    for _ in range(3):
        pair.restart(0)
        if info.reliable:
            pair.restart(1)
        pair.meet()
    highest = pair.books[1].taken[ALICE.server_name]
    pair.restart(0, backup)
    if info.reliable:
        pair.restart(1)
    assert backup.used[BOB.server_name] < highest
    before, start = len(pair.sessions(1)), pair.now
    pair.run(pair.now + 300, lambda: len(pair.sessions(1)) > before)
    pair.meet()
    assert pair.books[1].taken[ALICE.server_name] > highest
    assert pair.now - start < (1 if info.reliable else 25), "at once, not when it calls again"
    for end in (0, 1):
        pair.events[end].clear()
    converse(pair)


def test_a_restored_responder_takes_old_first_messages_and_nothing_comes_of_it() -> None:
    pair = Pair(FULL_RADIO, Book(ALICE, [BOB]), passive_bob())
    backup = pair.books[1].copy()
    pair.meet()
    converse(pair)
    recorded = pair.frames(0)
    pair.restart(1, backup)
    for frame in recorded:
        pair.inject(1, frame)
    assert not pair.events[1]
    assert pair.books[1].taken[ALICE.server_name] > 0
    pair.restart(0)
    pair.meet()
    converse(pair)


def test_a_clone_at_the_same_time_has_sessions_of_its_own() -> None:
    """Two cards of one image, each on its own connection to Bob, as the numbers leapfrog."""
    bob = Book(BOB, [ALICE])
    original = Pair(TCP, Book(ALICE, [BOB]), bob, seed=1).meet()
    clone = Pair(TCP, original.books[0].copy(), bob, seed=2).meet()
    original.books[0].wall_ms -= 10_000
    converse(original)
    converse(clone)
    for frame in original.frames(0, FrameKind.DATA):
        fresh = Pair(TCP, clone.books[0], bob, seed=3).meet()
        fresh.inject(1, frame)
        assert fresh.ends[1].state is SessionState.CLOSED
        assert not fresh.heard(1)
    again = Pair(TCP, original.books[0], bob, seed=4).meet()
    converse(again)


# Anonymity of who answers


@both_kinds
@pytest.mark.parametrize("introduces", [False, True], ids=["KK", "IK"])
def test_unknown_malformed_and_misdirected_look_alike(info: LinkInfo, introduces: bool) -> None:
    """Not one byte, whatever came: neither who is there nor whom it knows can be asked."""
    random = Random(5)
    kind = HandshakeKind.IK_FIRST if introduces else HandshakeKind.KK_FIRST
    heard = [
        first_frames(MALLORY, info, introduces=introduces),
        first_frames(ALICE, info, CAROL, introduces=introduces),
    ]
    for size in (1, 47, 48, 59, 60, 300):
        data = random.randbytes(size)
        heard.append(handshake_frames(kind, 1, data, mtu_bytes=info.mtu_bytes))
    heard += [[b"\xa0"], [b"\xbf\xff"], [b"\xa2" + bytes(60)]]
    for frames_of_one in heard:
        bob = Pair(info, Book(ALICE), passive_bob())
        for frame in frames_of_one:
            bob.inject(1, frame)
        bob.run(29.0)
        assert not bob.log
        assert bob.ends[1].state is SessionState.HANDSHAKE
        assert not bob.errors[1]


def test_a_first_message_costs_an_unknown_sender_what_it_costs_a_malformed_one() -> None:
    """The same trials over the candidates, by count: nothing stops earlier for one of them."""
    counts: list[int] = []
    for data in (Random(1).randbytes(59), first_frames(MALLORY, TCP)[0][2:]):
        bob = Pair(TCP, Book(ALICE), Book(BOB, [signer_of(n) for n in range(60, 70)]))
        trials = 0
        of = bob.books[1].secrets.of

        def counting(name: str, of: object = of) -> object:
            nonlocal trials
            trials += 1
            return of(name)  # type: ignore[operator]

        bob.books[1].secrets.of = counting  # type: ignore[method-assign, assignment]
        for frame in handshake_frames(HandshakeKind.KK_FIRST, 1, data, mtu_bytes=500):
            bob.inject(1, frame)
        counts.append(trials)
    assert counts == [10, 10]


def first_frames(
    dialler: Ed25519Signer, info: LinkInfo, to: Ed25519Signer = BOB, *, introduces: bool = False
) -> list[bytes]:
    book = Book(dialler, [to], introduces=introduces)
    pair = Pair(info, book, passive_bob(), start=False)
    pair.ends[0].start(0.0)
    return pair.ends[0].frames_to_send(0.0)


# Keys, names, versions, echoes


@both_kinds
@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_low_order_points(info: LinkInfo, point: bytes) -> None:
    """In either message's place for an ephemeral key: no session, no answer, no crash."""
    for spoiled in (0, 1):
        pair = Pair(info, Book(ALICE, [BOB]), passive_bob())

        def change(end: int, frame: bytes, spoiled: int = spoiled) -> bytes:
            if end != spoiled or kind_of(frame) is not FrameKind.HANDSHAKE:
                return frame
            return frame[:2] + point + frame[34:]

        pair.tamper = change
        pair.run(29.0)
        assert not pair.sessions(0)
        assert not pair.sessions(1)
        assert bool(pair.frames(1)) == (spoiled == 1)


@both_kinds
def test_swapped_names(info: LinkInfo) -> None:
    """Bob's answer to Alice, given to Carol, who called too; and Alice's call, to Carol."""
    alice = Pair(info, Book(ALICE, [BOB]), Book(BOB, [ALICE, CAROL], dials=False), start=False)
    carol = Pair(info, Book(CAROL, [BOB]), Book(BOB, [ALICE, CAROL], dials=False), start=False)
    for pair in (alice, carol):
        for session in pair.ends:
            session.start(0.0)
    for frame in alice.ends[0].frames_to_send(0.0):
        alice.inject(1, frame)
    carol.ends[0].frames_to_send(0.0)
    for frame in alice.ends[1].frames_to_send(0.0):
        carol.inject(0, frame)
    assert not carol.sessions(0)
    third = Pair(info, Book(MALLORY), Book(CAROL, [ALICE, BOB], dials=False))
    for frame in first_frames(ALICE, info):
        third.inject(1, frame)
    assert third.ends[1].frames_to_send(0.1) == []


@both_kinds
def test_another_version_is_named_where_somebody_can_read_it(
    info: LinkInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(info, Book(ALICE, dials=False), passive_bob())
    with monkeypatch.context() as patched:
        patched.setattr("dtnode.session.opening.PAYLOAD_VERSION", 2)
        frames = first_frames(ALICE, info)
    for frame in frames:
        pair.inject(1, frame)
    assert not pair.ends[1].frames_to_send(0.1)
    assert pair.books[1].taken == {}
    if info.reliable:
        assert isinstance(pair.errors[1][0], HandshakeError)
        assert "version 2, this node in 1: update the older one" in str(pair.errors[1][0])


@both_kinds
def test_another_protocol_label_is_not_understood(
    info: LinkInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(info, Book(ALICE, dials=False), passive_bob())
    with monkeypatch.context() as patched:
        patched.setattr("dtnode.session.opening.LABEL", b"dtnode link 3")
        frames = first_frames(ALICE, info)
    for frame in frames:
        pair.inject(1, frame)
    assert not pair.ends[1].frames_to_send(0.1)


@radios
def test_echoes_on_radio(info: LinkInfo) -> None:
    """Each end hears itself all the time."""
    pair = Pair(info, faults=Faults(echo=1.0)).meet()
    converse(pair, 10)


def test_reflected_frames_on_a_connection() -> None:
    for policy in (CipherPolicy.SEALED, CipherPolicy.CLEAR):
        pair = Pair(TCP, policies=(policy, policy)).meet()
        converse(pair)
        for end in (0, 1):
            before = len(pair.events[end])
            pair.inject(end, pair.frames(end, FrameKind.DATA)[-1])
            assert len(pair.events[end]) == before
            assert "own side" in str(pair.errors[end][0])


@pytest.mark.parametrize("kind", [HandshakeKind.PAIRING_FIRST, HandshakeKind.PAIRING_FOURTH])
@both_kinds
def test_pairing_is_not_under_way(info: LinkInfo, kind: HandshakeKind) -> None:
    pair = Pair(info, Book(ALICE), passive_bob())
    for frame in handshake_frames(kind, 1, bytes(60), mtu_bytes=info.mtu_bytes):
        pair.inject(1, frame)
    assert bool(pair.errors[1]) == info.reliable
    assert not pair.ends[1].frames_to_send(0.1)


# Who has the keys, and lies


@both_kinds
def test_what_is_sealed_and_no_message_ends_the_session(info: LinkInfo) -> None:
    pair = Pair(info).meet()
    live = pair.ends[0]._live
    assert live is not None
    live.transfer.send(b"\xff garbage")
    pair.run(pair.now + 100, lambda: pair.errors[1])
    assert isinstance(pair.errors[1][0], RemoteProtocolError)
    assert pair.ends[1].state is SessionState.CLOSED
    if info.reliable:
        pair.run(pair.now + 10)
        assert pair.goodbye(0) == "message type 255 is unknown"


@pytest.mark.parametrize(
    ("more_flags", "plaintext", "why"),
    [
        (Flag.LONE, b"\xff", "message type 255 is unknown"),
        (Flag(0), b"", "a unit holds nothing of any message"),
    ],
)
def test_a_first_frame_that_is_a_lie(more_flags: Flag, plaintext: bytes, why: str) -> None:
    """On radio, of a session that it confirms: whoever sealed it has the keys, and lies."""
    pair = Pair(FULL_RADIO, Book(ALICE, [BOB]), Book(BOB, [ALICE], dials=False))
    for end in (0, 1):
        (frame,) = pair.ends[end].frames_to_send(0.0)
        pair.inject(1 - end, frame)
    live = pair.ends[0]._live
    assert live is not None
    side = Flag.SESSION if live.established.exporter[0] & 1 else Flag(0)
    flags = WHOLE_UNIT | side | more_flags
    sealed = live.keys.data_sealer.seal(0, unit_header(flags, 0), plaintext)
    pair.inject(1, bytes([flags, 0]) + sealed)
    assert [str(error) for error in pair.errors[1]] == [why]
    assert pair.ends[1].state is SessionState.CLOSED
