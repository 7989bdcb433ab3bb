"""A peer that says anything at all, in any order: PeerSync answers or ends the session with a
RemoteProtocolError, and what it remembers stays bounded.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import LimitError, RemoteProtocolError
from dtnode.link_info import LinkInfo
from dtnode.sync import PeerSync
from dtnode.sync.cards import MAX_REFUSED
from dtnode.sync.effects import Ingest
from dtnode.sync.outbox import MAX_QUEUED_IDS
from dtnode.sync.peer_sync import MAX_BAD_EVENTS, MAX_BROUGHT
from dtnode.sync.wants import MAX_FRUITLESS_ROUNDS, MAX_NOT_THERE, MAX_OUTSTANDING
from dtnode.wire.messages import (
    Ack,
    CardAck,
    CardKind,
    CardRequest,
    Events,
    JoinRefused,
    JoinRequest,
    JoinSigned,
    Message,
    NotHere,
    Ping,
    RoomKind,
    Tips,
    Want,
)
from tests.sync.sync_pair import LOSSY, RELIABLE, ROOM, Node, card, chain, pdu


def node(info: LinkInfo = RELIABLE) -> Node:
    made = Node("a", PeerSync(peer="mallory", info=info))
    chain(made.room(), *(f"$own{n}" for n in range(300)))
    made.start(0.0)
    return made


def size_of(value: object, seen: set[int] | None = None) -> int:
    """Bytes of an object with all it holds on to."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(size_of(k, seen) + size_of(v, seen) for k, v in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return size + sum(size_of(item, seen) for item in value)
    if isinstance(value, (str, bytes, int, float, LinkInfo)) or value is None:
        return size
    names = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    return size + sum(
        size_of(getattr(value, name), seen)
        for name in [*names, *getattr(value, "__dict__", ())]
        if hasattr(value, name)
    )


IDS = st.sampled_from(["$own1", "$own7", "$own299", "$x", "$y", "$z"])
ROOMS = st.sampled_from([ROOM, "!other", "!card0", "!card1"])
SOME_IDS = st.lists(IDS, max_size=4).map(tuple)
PDUS = st.lists(st.tuples(IDS, SOME_IDS).map(lambda e: pdu(*e)), max_size=4).map(tuple)
FLAGS = st.booleans()
BATCHES = st.integers(0, 6)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Tips,
        room_id=ROOMS,
        room_version=st.just("12"),
        kind=st.sampled_from(RoomKind),
        tips=SOME_IDS,
        locator=SOME_IDS,
        reply=FLAGS,
    ),
    st.builds(
        Events,
        batch=BATCHES,
        room_id=ROOMS,
        room_version=st.just("12"),
        pdus=PDUS,
        more=FLAGS,
    ),
    st.builds(Ack, batch=BATCHES, refused=SOME_IDS),
    st.builds(Want, room_id=ROOMS, event_ids=SOME_IDS, have=SOME_IDS),
    st.builds(NotHere, room_id=ROOMS, event_ids=SOME_IDS),
    st.builds(card, st.integers(0, 3), st.sampled_from(CardKind)),
    st.builds(CardRequest, room_id=ROOMS),
    st.builds(CardAck, room_id=ROOMS, event_id=IDS),
    st.builds(JoinRequest, room_id=ROOMS, event_id=IDS, pdu=st.just(b"{}")),
    st.builds(JoinSigned, room_id=ROOMS, event_id=IDS, pdu=st.just(b"{}")),
    st.builds(JoinRefused, room_id=ROOMS, event_id=IDS, reason=st.just("no")),
    st.builds(Ping, reply=FLAGS),
)


@given(
    st.lists(st.tuples(st.floats(0, 100), MESSAGES), max_size=60),
    st.sampled_from([LOSSY, RELIABLE]),
)
def test_any_messages_are_answered_or_refused(
    script: list[tuple[float, Message]], info: LinkInfo
) -> None:
    it = node(info)
    it.owed = [card(0), card(1)]
    it.perform(it.sync.owe_cards(it.owed, 0.0), 0.0)
    now = 0.0
    for wait_s, message in script:
        until, now = now + wait_s, max(now, it.sync.next_wake_at())
        while it.closed is None and now <= until:
            it.wake(now)
            assert it.closed or it.sync.next_wake_at() > now, "no progress"
            now = it.sync.next_wake_at()
        now = until
        if it.closed is not None:
            return
        try:
            it.receive(message, now)
        except RemoteProtocolError:
            return
    assert len(it.sync._outbox.in_flight) <= 4
    assert it.sync.lacks() <= len(it.rooms[ROOM].parents)
    assert set(it.sync._rooms) <= {ROOM}
    assert size_of(it.sync) < 300_000
    assert len(it.out) <= 200 + 30 * len(script)


def test_rooms_that_a_peer_just_names_are_not_remembered() -> None:
    it = node()
    before = size_of(it.sync)
    for number in range(5_000):
        room_id = f"!{number}"
        it.receive(Tips(room_id=room_id, room_version="12", kind=RoomKind.COMPLETE, tips=()), 1.0)
        it.receive(Want(room_id=room_id, event_ids=("$x",)), 1.0)
        it.receive(NotHere(room_id=room_id, event_ids=("$x",) * 500), 1.0)
        it.receive(CardRequest(room_id=room_id), 1.0)
        it.receive(CardAck(room_id=room_id, event_id="$x"), 1.0)
        it.receive(Ack(batch=number + 10, refused=("$x",)), 1.0)
        it.out.clear()
    assert size_of(it.sync) < before + 5_000


def test_tips_of_unknown_rooms_are_answered_with_nothing() -> None:
    it = node()
    it.out.clear()
    it.receive(
        Tips(room_id="!no", room_version="12", kind=RoomKind.COMPLETE, tips=(), reply=True), 1.0
    )
    assert it.out == []


def test_wanting_everything_over_and_over_queues_it_once() -> None:
    it = node()
    for _ in range(1_000):
        it.receive(Want(room_id=ROOM, event_ids=("$own299",)), 1.0)
        assert it.sync.lacks() <= 300
    assert sum(isinstance(message, Events) for message in it.out) <= 4


def test_the_queue_is_bounded_and_its_overflow_found_again() -> None:
    it = node()
    it.receive(Tips(room_id=ROOM, room_version="12", kind=RoomKind.COMPLETE, tips=()), 0.0)
    assert it.sync.lacks() == 300
    it.sync.push(ROOM, (f"$far{n}" for n in range(MAX_QUEUED_IDS + 10)))
    assert it.sync.lacks() <= MAX_QUEUED_IDS + 300
    assert ROOM in it.sync._outbox.overflowed


def endless_chain(it: Node, room_id: str = ROOM) -> int:
    """Answers every Want with an event that has another unknown parent; how many were asked."""
    for number in range(10_000):
        it.out.clear()
        event = pdu(f"$bad{number}", [f"$bad{number + 1}"])
        it.receive(Events(batch=number, room_id=room_id, room_version="12", pdus=(event,)), 1.0)
        if not any(isinstance(message, Want) for message in it.out):
            return number
    raise AssertionError("it asks for ever")


def test_an_endless_chain_of_unknown_parents_is_followed_a_bounded_way() -> None:
    it = node()
    assert endless_chain(it) == MAX_FRUITLESS_ROUNDS


def test_progress_allows_further_steps() -> None:
    it = node()
    endless_chain(it)
    good = pdu("$good", ["$own299"])
    it.receive(Events(batch=1, room_id=ROOM, room_version="12", pdus=(good,)), 1.0)
    it.out.clear()
    bad = pdu("$bad", ["$unknown"])
    it.receive(Events(batch=2, room_id=ROOM, room_version="12", pdus=(bad,)), 1.0)
    assert any(isinstance(message, Want) for message in it.out)


def test_invented_parents_are_asked_for_in_bounded_numbers() -> None:
    it = node()
    for batch in range(50):
        event = pdu(f"$bad{batch}", [f"$no{batch}.{n}" for n in range(100)])
        it.receive(Events(batch=batch, room_id=ROOM, room_version="12", pdus=(event,)), 1.0)
    assert len(it.sync.asked(ROOM)) == MAX_OUTSTANDING


def test_what_was_asked_in_vain_is_given_up() -> None:
    """Nothing is wanted any more after the last repetition, and the timers end."""
    it = node(LOSSY)
    bad = pdu("$bad", ["$unknown"])
    it.receive(Events(batch=1, room_id=ROOM, room_version="12", pdus=(bad,)), 1.0)
    assert it.sync.asked(ROOM) == {"$unknown"}
    now, wants = 1.0, 0
    while it.sync.asked(ROOM):
        now = it.sync.next_wake_at()
        it.out.clear()
        it.wake(now)
        wants += sum(isinstance(message, Want) for message in it.out)
        it.sync.heard(now)
        assert now < 1_000
    assert wants == 7


def test_not_here_counts_only_for_what_was_asked() -> None:
    """A peer can't keep this node from asking later by denying everything beforehand."""
    it = node()
    for number in range(0, MAX_NOT_THERE + 1_000, 500):
        ids = tuple(f"$x{n}" for n in range(number, number + 500))
        it.receive(NotHere(room_id=ROOM, event_ids=ids), 1.0)
    it.out.clear()
    it.perform(it.sync.want(ROOM, ["$x1"], (), 1.0), 1.0)
    assert it.out == [Want(room_id=ROOM, event_ids=("$x1",), have=())]


def test_what_the_peer_brought_is_remembered_up_to_a_bound() -> None:
    it = node()
    for batch in range(MAX_BROUGHT // 100 + 10):
        pdus = tuple(pdu(f"$e{batch}.{n}", ["$own299"]) for n in range(100))
        it.receive(Events(batch=batch, room_id=ROOM, room_version="12", pdus=pdus), 1.0)
    assert len(it.sync._brought) == MAX_BROUGHT


@pytest.mark.parametrize("between", [False, True])
def test_a_flood_of_bad_events_ends_the_session(between: bool) -> None:
    """Also when a batch that is neither good nor bad comes now and then."""
    it = node()
    received = it.sync.receive(Events(batch=1, room_id=ROOM, room_version="12", pdus=(b"x",)), 1.0)[
        0
    ]
    assert isinstance(received, Ingest)

    def flood() -> None:
        for number in range(MAX_BAD_EVENTS):
            it.sync.ingested(
                received,
                event_ids=(),
                missing=(),
                refused=(),
                judged=False,
                dropped=0 if between and number % 2 else 100,
                have=(),
                now=1.0,
            )

    with pytest.raises(LimitError, match="events in a row were no good"):
        flood()


def test_a_flood_of_events_for_unknown_rooms_ends_the_session() -> None:
    it = node()
    pdus = tuple(pdu(f"$e{n}", []) for n in range(100))

    def send(number: int) -> None:
        room_id = f"!no{number}"
        it.receive(Events(batch=1, room_id=room_id, room_version="12", pdus=pdus), 1.0)

    for number in range(10):
        send(number)
    assert it.out[-1] == NotHere(room_id="!no9", event_ids=())
    with pytest.raises(LimitError):
        send(10)


def test_a_flood_of_bad_cards_ends_the_session() -> None:
    it = node()
    for number in range(MAX_REFUSED):
        it.sync.card_taken(card(number), (), (), 1.0, refused=True)
    with pytest.raises(LimitError, match="cards were no good"):
        it.sync.card_taken(card(MAX_REFUSED), (), (), 1.0, refused=True)


def test_the_same_card_is_looked_at_once() -> None:
    it = node()
    for _ in range(10):
        it.receive(card(), 1.0)
    assert it.cards == [card()]
    assert sum(isinstance(message, CardAck) for message in it.out) == 10


def test_public_cards_nobody_asked_for_are_not_looked_at() -> None:
    it = node()
    it.receive(card(0, CardKind.PUBLIC), 1.0)
    assert it.cards == []
    it.perform(it.sync.request_card("!card0", 1.0), 1.0)
    it.receive(card(0, CardKind.PUBLIC), 2.0)
    assert it.cards == [card(0, CardKind.PUBLIC)]


def test_forged_acknowledgements_count_for_nothing() -> None:
    it = node()
    it.receive(Ack(batch=1), 1.0)
    it.receive(CardAck(room_id="!card0", event_id="$card0"), 1.0)
    assert it.delivered == set()
