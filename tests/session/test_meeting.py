"""Who meets whom: known peers and strangers, on connections and on shared media."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import HandshakeError, LimitError, LocalProtocolError
from dtnode.link_info import Duplex, LinkInfo
from dtnode.session import SessionState
from dtnode.session.answer_limits import TRIALS_BURST, TRIALS_PER_S
from dtnode.session.key_exchange import MAX_ATTEMPTS
from dtnode.session.link_session import HANDSHAKE_TIMEOUT_S, MAX_FAILED_HANDSHAKES
from dtnode.session.meeting import MAX_PROMPT_DIALS
from dtnode.session.opening import HandshakeKind
from dtnode.session.transfer import FrameKind, handshake_frames, kind_of
from tests.session.exchange_pair import ALICE, BOB, CAROL, MALLORY, signer_of, twin_of
from tests.session.session_pair import RADIO, TCP, Book, Faults, Pair, converse, info_of, message

NOBODY = "a" * 52
"""A server name by its form, but no key: a point of low order."""

both_kinds = pytest.mark.parametrize("info", [TCP, RADIO], ids=["connection", "radio"])
higher, lower = sorted((ALICE, BOB), key=lambda signer: signer.server_name, reverse=True)


def silent(pair: Pair, end: int) -> bool:
    return not pair.frames(end)


# On connections


def test_known_peers_meet_and_talk() -> None:
    pair = Pair(TCP).meet()
    for end, name in ((0, BOB.server_name), (1, ALICE.server_name)):
        (session,) = pair.sessions(end)
        assert session.server_name == pair.ends[end].peer == name
        assert session.initiator == (end == 0)
        assert session.clock_offset_s == 0
        assert pair.ends[end].state is SessionState.AUTHENTICATED
    converse(pair)
    pair.run(10 * HANDSHAKE_TIMEOUT_S)
    converse(pair)


def test_clocks_that_differ_are_told() -> None:
    pair = Pair(TCP, start=False)
    pair.books[1].wall_ms += 3_600_000
    for session in pair.ends:
        session.start(0.0)
    pair.meet()
    assert [pair.sessions(end)[0].clock_offset_s for end in (0, 1)] == [3600, -3600]


def test_bytes_of_a_meeting() -> None:
    """First, second, confirmation; below the 130 bytes of the design."""
    pair = Pair(TCP).meet()
    assert [len(frame) for frame in pair.frames(0)] == [61, 10]
    assert [len(frame) for frame in pair.frames(1)] == [55]


def test_what_is_to_be_said_confirms_the_session() -> None:
    pair = Pair(TCP)
    pair.ends[1].frames_to_send(0.0)
    (first,) = pair.ends[0].frames_to_send(0.0)
    pair.inject(1, first)
    (second,) = pair.ends[1].frames_to_send(0.0)
    pair.inject(0, second)
    assert pair.ends[0].peer == BOB.server_name
    pair.send(0, message(1))
    (said,) = pair.ends[0].frames_to_send(0.0)
    assert pair.ends[1].peer is None
    pair.inject(1, said)
    assert pair.heard(1) == [message(1)]


def test_an_unknown_dialler_gets_not_one_byte() -> None:
    pair = Pair(TCP, Book(ALICE, [BOB]), Book(BOB, [CAROL]))
    pair.run(100)
    assert silent(pair, 1)
    assert [str(error) for error in pair.errors[0]] == [
        "peer did not prove its key within 30 s (it may not know this node: is it added there?)"
    ]
    assert isinstance(pair.errors[1][0], HandshakeError)
    assert all(session.state is SessionState.CLOSED for session in pair.ends)
    assert pair.log[-1][0] < HANDSHAKE_TIMEOUT_S


def test_a_dialler_who_is_being_added_meanwhile_is_heard_soon() -> None:
    pair = Pair(TCP, Book(ALICE, [BOB]), Book(BOB))
    pair.run(11.0)
    pair.books[1].knows.append(ALICE.server_name)
    pair.meet()
    assert pair.now < 11.0 + 6.1


def test_the_one_who_is_expected() -> None:
    """A dialler that was told whom it dials sends one message; that one must answer."""
    book = Book(ALICE, [CAROL, MALLORY, BOB], expects=BOB)
    assert len(Pair(TCP, book, Book(BOB, [ALICE])).meet().frames(0, FrameKind.HANDSHAKE)) == 1
    wrong = Pair(TCP, Book(ALICE, [CAROL, BOB], expects=CAROL), Book(BOB, [ALICE]))
    wrong.run(100)
    assert silent(wrong, 1)
    assert not wrong.sessions(0)


@both_kinds
def test_several_candidates(info: LinkInfo) -> None:
    """The dialler isn't sure whom it meets, and the listener who calls."""
    others = [signer_of(number) for number in range(50, 50 + MAX_ATTEMPTS - 1)]
    pair = Pair(info, Book(ALICE, [*others, BOB]), Book(BOB, [*others, ALICE])).meet()
    assert pair.sessions(1)[0].server_name == ALICE.server_name
    converse(pair)


@both_kinds
def test_names_that_are_nobodys_key_are_not_dialled(info: LinkInfo) -> None:
    """Anyone can invite @somebody:aaaa... to a room, and its server becomes known to all in it."""
    books = Book(ALICE, [BOB]), Book(BOB, [ALICE])
    for book in books:
        book.knows = [NOBODY, "example.org", book.name, *book.knows]
    converse(Pair(info, *books).meet(), count=1)


def test_strangers_where_anyone_is_welcome() -> None:
    """By IK: the dialler's name is inside."""
    pair = Pair(TCP, Book(ALICE, [BOB], introduces=True), Book(BOB, anyone=True)).meet()
    assert pair.sessions(1)[0].server_name == ALICE.server_name
    assert all(ALICE.server_name.encode() not in frame for frame in pair.frames(0))
    converse(pair)


@pytest.mark.parametrize("introduces", [False, True], ids=["KK", "IK"])
def test_strangers_elsewhere(introduces: bool) -> None:
    pair = Pair(TCP, Book(ALICE, [BOB], introduces=introduces), Book(BOB, [CAROL]))
    pair.run(100)
    assert silent(pair, 1)


@both_kinds
@pytest.mark.parametrize("introduces", [False, True], ids=["KK", "IK"])
@pytest.mark.parametrize("anyone", [False, True])
def test_the_blocked_get_not_one_byte(info: LinkInfo, introduces: bool, anyone: bool) -> None:
    pair = Pair(
        info,
        Book(ALICE, [BOB], introduces=introduces),
        Book(BOB, [ALICE], anyone=anyone),
        start=False,
    )
    pair.books[1].blocked = {ALICE.server_name}
    pair.books[1].dials = False
    for session in pair.ends:
        session.start(0.0)
    pair.run(100)
    assert silent(pair, 1)
    assert not pair.sessions(0)


@both_kinds
def test_a_candidate_that_is_not_welcome_on_this_link(info: LinkInfo) -> None:
    books = Book(ALICE, [BOB]), Book(BOB, [ALICE])
    for book in books:
        book.welcome = lambda server_name: False  # type: ignore[method-assign]
    books[1].dials = False
    pair = Pair(info, *books)
    pair.run(100)
    assert silent(pair, 1)


def test_who_answers_and_is_not_welcome_any_more_is_refused() -> None:
    pair = Pair(TCP, Book(ALICE, [BOB]), Book(BOB, [ALICE]))
    pair.books[0].welcome = lambda server_name: False  # type: ignore[method-assign]
    pair.run(100)
    assert "not welcome" in str(pair.errors[0][0])
    assert pair.ends[0].peer is None


def test_the_twin_of_a_known_key_is_a_stranger() -> None:
    pair = Pair(TCP, Book(twin_of(ALICE), [BOB]), Book(BOB, [ALICE]))
    pair.run(100)
    assert silent(pair, 1)


def test_a_message_before_the_handshake() -> None:
    pair = Pair(TCP)
    pair.inject(1, b"\x70" + bytes(20))
    assert "before the peer had proved its key" in str(pair.errors[1][0])


def test_a_connection_on_which_too_much_fails_is_closed() -> None:
    pair = Pair(TCP, Book(ALICE, []), Book(BOB, [CAROL]))
    random = Random(1)
    count = 0
    while pair.ends[1].state is not SessionState.CLOSED:
        pair.now += 1.0
        pair.inject(1, bytes([0xA0 | HandshakeKind.KK_FIRST << 1, count]) + random.randbytes(59))
        count += 1
    assert count == MAX_FAILED_HANDSHAKES + 1
    assert isinstance(pair.errors[1][0], LimitError)
    assert silent(pair, 1)


# On shared media


@given(
    mtu=st.sampled_from([10, 14, 20, 51, 126, 222, 512, 65_535]),
    half=st.booleans(),
    checked=st.booleans(),
    bitrate=st.sampled_from([300, 1200, 50_000]),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    disturbed=st.booleans(),
    seed=st.integers(0, 999),
)
def test_any_link(
    mtu: int, half: bool, checked: bool, bitrate: int, loss: float, disturbed: bool, seed: int
) -> None:
    """Both dial at once; frames are lost, doubled, reordered, echoed and damaged."""
    faults = Faults(loss=loss)
    if disturbed:
        faults = Faults(loss=loss, repeat=0.05, reorder=0.05, echo=0.05, corrupt=0.05)
    mtu = mtu if checked else max(mtu, 14)
    base = info_of(mtu, bitrate=bitrate, half=half)
    info = LinkInfo(
        mtu_bytes=mtu,
        bitrate_bps=bitrate,
        duplex=base.duplex,
        reliable=False,
        checked=checked,
        turnaround_s=base.turnaround_s,
    )
    if checked and mtu < 40:
        faults.corrupt = 0.0  # a link that says it drops damaged frames does
    pair = Pair(info, faults=faults, seed=seed).meet(100_000)
    assert {one.peer for one in pair.ends} == {ALICE.server_name, BOB.server_name}
    converse(pair, count=3, size_bytes=60)


@pytest.mark.parametrize("seed", range(10))
def test_two_that_dial_at_once_at_300_bit_per_s(seed: int) -> None:
    """The first messages collide; they part, and the lower name is the initiator, or the other one
    where only its message was heard."""
    pair = Pair(info_of(64, bitrate=300, turnaround=1.0), seed=seed)
    pair.run(300, lambda: all(one.peer for one in pair.ends))
    assert pair.now < 60
    roles = {pair.sessions(end)[-1].initiator for end in (0, 1)}
    assert roles == {True, False}
    assert max(map(len, pair.events)) <= 2, "one session, one Ping"


def test_the_lower_name_stays_the_initiator() -> None:
    pair = Pair(info_of(126, half=False), Book(higher, [lower]), Book(lower, [higher])).meet()
    assert pair.sessions(1)[0].initiator
    assert not pair.sessions(0)[0].initiator


def test_a_lost_answer_in_small_frames_is_repeated_though_the_call_comes_with_gaps() -> None:
    pair = Pair(info_of(20, half=False), Book(ALICE, [BOB]), Book(BOB, [ALICE], dials=False))
    pair.tamper = lambda end, frame: frame if end == 0 else None
    pair.run(100, lambda: pair.frames(1))
    start, answer = pair.now, len(pair.frames(1))
    pair.tamper = lambda end, frame: None if end == 0 and frame[2] == 1 else frame
    pair.run(100, lambda: pair.ends[0].peer)
    assert len(pair.frames(1)) == 2 * answer
    assert pair.now - start < 6


def test_two_handshakes_that_cross_end_in_one_session() -> None:
    """Each end has answered the other's call, and each one's confirmation comes late: they must not
    end up with one session each."""
    pair = Pair(info_of(126, half=False), Book(lower, [higher]), Book(higher, [lower]))
    own, other = pair.ends

    def passed_on(sender: int) -> None:
        for frame in pair.ends[sender].frames_to_send(pair.now):
            pair.inject(1 - sender, frame)

    other.frames_to_send(0.0)  # its first call is lost
    passed_on(0)
    passed_on(1)
    late = own.frames_to_send(0.0)
    assert [one.peer for one in pair.ends] == [higher.server_name, None]
    pair.now = 100.0
    passed_on(1)  # it calls, having heard nothing
    for frame in own.frames_to_send(pair.now):
        if kind_of(frame) is FrameKind.HANDSHAKE:
            pair.inject(1, frame)
    confirmation = other.frames_to_send(pair.now)
    assert [one.peer for one in pair.ends] == [higher.server_name, lower.server_name]
    for frame in late:
        pair.inject(1, frame)
    for frame in confirmation:
        pair.inject(0, frame)
    pair.meet()
    converse(pair)


def test_a_dialler_of_eight_does_not_talk_over_the_answer() -> None:
    """At 300 bit/s eight first messages take 13 s; repeated sooner, no answer could be heard."""
    others = [signer_of(number) for number in range(50, 57)]
    info = info_of(64, bitrate=300)
    pair = Pair(info, Book(ALICE, [BOB, *others]), Book(BOB, []))
    pair.run(120)
    times = sorted({at for at, _, _ in pair.log})
    airtime = 8 * sum(len(frame) for at, _, frame in pair.log if at == 0) / 300
    assert airtime > 13
    assert times[1] > airtime + 2 * info.turnaround_s + 8 * 55 / 300


def test_a_link_with_nobody_there_is_called_each_five_minutes() -> None:
    pair = Pair(RADIO, faults=Faults(cut=lambda now, end: True))
    pair.run(24 * 3600)
    last_hours = [at for at, end, _ in pair.log if end == 0 and at > 2 * 3600]
    assert 22 * 3600 / 450 <= len(last_hours) <= 22 * 3600 / 300
    pair.faults = Faults()
    pair.meet(1000)
    for end in (0, 1):
        assert -2400 < pair.sessions(end)[0].clock_offset_s <= 0, "repeated for less than an hour"


def test_more_peers_than_can_be_dialled_at_once_take_turns() -> None:
    others = [signer_of(number) for number in range(50, 70)]
    pair = Pair(RADIO, Book(ALICE, [*others, BOB]), Book(BOB, [ALICE]), start=False)
    pair.books[1].dials = False
    for session in pair.ends:
        session.start(0.0)
    pair.run(1.0)
    assert len({frame[1:] for frame in pair.frames(0)}) == MAX_ATTEMPTS
    assert not pair.sessions(0)
    pair.meet(5000)


def test_somebody_added_while_others_are_called_is_called_too() -> None:
    """Both have only called peers that aren't there, when they are made known to each other."""
    pair = Pair(RADIO, Book(ALICE, [CAROL]), Book(BOB, [MALLORY]))
    pair.run(20_000)
    pair.books[0].knows.append(BOB.server_name)
    pair.books[1].knows.append(ALICE.server_name)
    pair.meet(500)  # the next time that one of them calls


def test_a_peer_that_has_forgotten_this_node_is_told_its_name() -> None:
    """The node's contacts turn to IK after a few first messages without an answer."""
    pair = Pair(RADIO, Book(ALICE, [BOB]), Book(BOB, anyone=True))
    pair.books[0].introduces = lambda server_name: pair.now > 100  # type: ignore[method-assign]
    pair.meet(3600)
    assert pair.sessions(1)[0].server_name == ALICE.server_name


def test_numbers_that_cannot_be_had_now_may_be_had_later() -> None:
    """The disk is full for an hour: nothing is raised where no caller could do anything."""
    books = Book(ALICE, [BOB]), Book(BOB, [ALICE])
    books[1].dials = False
    pair = Pair(RADIO, *books, faults=Faults(cut=lambda now, end: now < 3600))
    take = books[0].next_number

    def next_number(server_name: str) -> int:
        if 10 < pair.now < 7200:
            raise LocalProtocolError("no handshake number is left")
        return take(server_name)

    books[0].next_number = next_number  # type: ignore[method-assign]
    pair.meet(10_000)
    assert pair.now > 7200


@both_kinds
def test_a_peer_that_always_says_stale_uses_up_few_numbers(
    info: LinkInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It claims to have taken whatever number comes, as fast as it can."""
    monkeypatch.setattr("dtnode.session.meeting.STALE_INTERVAL_S", 0.0)
    books = Book(ALICE, [BOB]), Book(BOB, [ALICE], dials=False)
    books[1].highest_accepted = lambda server_name: books[0].used[BOB.server_name]  # type: ignore[method-assign]
    pair = Pair(info, *books)
    first = books[0].used[BOB.server_name]
    pair.run(25)
    used = books[0].used[BOB.server_name] - first
    assert MAX_PROMPT_DIALS <= used <= MAX_PROMPT_DIALS + 25 / 2
    assert not pair.sessions(0)


# Both


def test_a_link_that_can_carry_no_session_is_refused_at_once() -> None:
    for info in (
        LinkInfo(mtu_bytes=9, reliable=False),
        LinkInfo(mtu_bytes=13, reliable=False, checked=False),
        LinkInfo(mtu_bytes=100, reliable=False, duplex=Duplex.SIMPLEX),
        LinkInfo(mtu_bytes=9),
    ):
        with pytest.raises(LocalProtocolError):
            Pair(info)


@both_kinds
def test_a_flood_of_first_messages_costs_bounded_trials(
    info: LinkInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all links of a node together, by the names that each is tried with."""
    pair = Pair(info, Book(ALICE, []), Book(BOB, [CAROL]))
    pair.books[1].dials = False
    known = [CAROL.server_name] * 1000
    monkeypatch.setattr(pair.books[1], "candidates", lambda: known)
    trials = 0
    exchange = pair.books[1].secrets.exchange

    def counting(public_key: bytes) -> bytes:
        nonlocal trials
        trials += 1
        return exchange(public_key)

    monkeypatch.setattr(pair.books[1].secrets, "exchange", counting)
    random = Random(3)
    for number in range(2000):
        pair.now = number * 0.005
        for frame in handshake_frames(
            HandshakeKind.KK_FIRST, number % 256, random.randbytes(59), mtu_bytes=info.mtu_bytes
        ):
            pair.inject(1, frame)
    assert 1001 * trials <= TRIALS_BURST + 10 * TRIALS_PER_S + 2 * 1001
    assert trials > 10 or info.reliable
    assert silent(pair, 1)


def test_calls_out_of_turn() -> None:
    pair = Pair(TCP, start=False)
    with pytest.raises(LocalProtocolError):
        pair.ends[0].receive_frame(b"x", 0.0)
    pair.ends[0].start(0.0)
    with pytest.raises(LocalProtocolError):
        pair.ends[0].start(0.0)
