"""Two ends of a session: who refers to what, in any interleaving; what is lost heals."""

from __future__ import annotations

import random
from collections import deque

import pytest

from dtnode.errors import RemoteProtocolError
from dtnode.matrix.pdu import Pdu
from dtnode.testing.rooms_builder import RoomBuilder
from dtnode.wire.pdus import Form, Unreadable
from dtnode.wire.pdus.tables import PAST, Said
from tests.wire.pdus.known import End
from tests.wire.pdus.samples import CHAT, PEOPLE, TEXT_30, first_events

Flight = deque[tuple[RoomBuilder, list[Pdu], bytes]]


class Talk:
    """Two ends that write into the same rooms while batches are on their way."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.rooms = [RoomBuilder("alice", "bob", version=v) for v in ("12", "11", "3")]
        past = [pdu for room in self.rooms for pdu in room.pdus.values()]
        self.ends = (End(past), End(past))
        self.flights: tuple[Flight, Flight] = (deque(), deque())
        self.heads = [[room.heads, room.heads] for room in self.rooms]

    def write(self, side: int) -> None:
        """One end writes a few events over what it has and sends them."""
        number = self.rng.randrange(len(self.rooms))
        room = self.rooms[number]
        heads = self.heads[number][side]
        pdus = []
        for _ in range(self.rng.choice((1, 1, 2, 5))):
            body = self.rng.choice(CHAT) + str(self.rng.random())
            pdu = room.message(("alice", "bob")[side], body, parents=heads)
            heads = (pdu.event_id,)
            pdus.append(pdu)
        self.heads[number][side] = heads
        end = self.ends[side]
        for pdu in pdus:
            end.known.add(pdu)
        form = self.rng.choice((*[Form.COMPACT] * 8, Form.EXPLICIT, Form.RAW))
        data, taken = end.encoder.encode(
            room.create.room_id, room.version, pdus, end.known, form=form
        )
        assert taken == len(pdus)
        self.flights[side].append((room, pdus, data))

    def arrive(self, side: int) -> None:
        """What this end sent first comes to the other one."""
        room, pdus, data = self.flights[side].popleft()
        end = self.ends[1 - side]
        read = end.decoder.decode(room.create.room_id, room.version, data, end.known)
        assert read == [pdu.canonical() for pdu in pdus]
        for pdu in pdus:
            end.known.add(pdu)
        number = self.rooms.index(room)
        heads = self.heads[number][1 - side]
        merged = (*(h for h in heads if h not in pdus[0].prev_events), pdus[-1].event_id)
        self.heads[number][1 - side] = merged[-20:]


@pytest.mark.parametrize("seed", range(12))
def test_both_directions_interleaved(seed: int) -> None:
    talk = Talk(seed)
    for _ in range(150):
        side = talk.rng.randrange(2)
        if talk.flights[side] and talk.rng.random() < 0.55:
            talk.arrive(side)
        else:
            talk.write(side)
    for side in (0, 1):
        while talk.flights[side]:
            talk.arrive(side)


def test_the_next_of_a_chain_costs_what_it_must() -> None:
    room = first_events("12")
    here, there = End(room.pdus.values()), End(room.pdus.values())
    sizes = []
    for _ in range(3):
        pdu = room.message("alice", TEXT_30)
        data, _ = here.encoder.encode(pdu.room_id, room.version, [pdu], here.known)
        read = there.decoder.decode(pdu.room_id, room.version, data, there.known)
        assert read == [pdu.canonical()]
        sizes.append(len(data))
    assert sizes[1:] == [1 + 1 + 2 + 64 + 30] * 2
    answer = room.message("bob.radio", TEXT_30)
    room_id = answer.room_id
    data, _ = there.encoder.encode(room_id, room.version, [answer], there.known)
    assert here.decoder.decode(room_id, room.version, data, here.known) == [answer.canonical()]
    pdu = room.message("alice", TEXT_30)
    data, _ = here.encoder.encode(room_id, room.version, [pdu], here.known)
    assert there.decoder.decode(room_id, room.version, data, there.known) == [pdu.canonical()]
    assert len(data) == 99, "a parent that came from the peer is named by one byte"


def test_names_both_ends_know_cost_nothing() -> None:
    room = RoomBuilder("alice")
    args = (room.create.room_id, room.version)
    for form in (Form.COMPACT, Form.EXPLICIT):
        sizes = []
        for servers in ((), ("a.example", room.create.sender_server)):
            here, there = End(servers=servers), End(servers=servers)
            data, _ = here.encoder.encode(*args, [room.create], here.known, form=form)
            read = there.decoder.decode(*args, data, there.known)
            assert read == [room.create.canonical()]
            sizes.append(len(data))
        assert sizes[1] == sizes[0] - 32


def test_more_users_words_and_events_than_the_tables_hold() -> None:
    names = [f"user{i}" for i in range(260)]
    room = RoomBuilder("user0")
    pdus = list(room.pdus.values())
    for i in [*range(260), *range(0, 260, 7)]:
        name = names[i]
        token = f"token-of-{i}-" + "x" * (i % 9)
        pdus.append(room.make(name, "m.token", {f"key{i}": token, f"{i}": 1}, auth=()))
    here, there = End(), End()
    for start in range(0, len(pdus), 50):
        part = pdus[start : start + 50]
        args = (room.create.room_id, room.version)
        data, taken = here.encoder.encode(*args, part, here.known)
        assert taken == len(part)
        assert there.decoder.decode(*args, data, there.known) == [p.canonical() for p in part]


def test_an_event_that_cannot_be_read_leaves_the_tables_in_step() -> None:
    """Its parent isn't known there: it is unreadable, what doesn't stand on it isn't, and the
    explicit form brings it and what follows."""
    room = first_events("12")
    first = list(room.pdus.values())
    here, there = End(first), End(first)
    hidden = room.message("alice", "never sent")
    here.known.add(hidden)
    lost = [room.message("carol", f"on what is hidden {i}") for i in range(3)]
    apart = room.message("dave", "elsewhere", parents=[first[-1].event_id])
    args = (room.create.room_id, room.version)
    data, taken = here.encoder.encode(*args, [*lost, apart], here.known)
    assert taken == 4
    read = there.decoder.decode(*args, data, there.known)
    assert [type(event) for event in read] == [Unreadable] * 3 + [bytes]
    assert read[3] == apart.canonical()
    data, _ = here.encoder.encode(*args, lost, here.known, form=Form.EXPLICIT)
    assert there.decoder.decode(*args, data, there.known) == [p.canonical() for p in lost]
    after = room.message("carol", "and on", parents=[lost[-1].event_id])
    data, _ = here.encoder.encode(*args, [after], here.known)
    assert there.decoder.decode(*args, data, there.known) == [after.canonical()]
    assert len(data) < 80


def test_an_unreadable_event_is_never_put_together_wrong() -> None:
    """Also where what can't be read is named by content, auth_events, or a row of others."""
    room = first_events("12")
    first = list(room.pdus.values())
    here, there = End(first), End(first)
    hidden = room.message("alice", "never sent")
    here.known.add(hidden)
    head = first[-1].event_id
    relation = {
        "m.relates_to": {"event_id": hidden.event_id, "key": "x", "rel_type": "m.annotation"}
    }
    pdus = [
        room.event("bob.radio", "m.reaction", relation, parents=[head]),
        room.message("carol", "hi", parents=[head], auth=[hidden.event_id]),
        room.message("carol", "same auth events", parents=[head], auth=[hidden.event_id]),
        room.message("dave", "merges", parents=[hidden.event_id, head]),
    ]
    args = (room.create.room_id, room.version)
    data, _ = here.encoder.encode(*args, pdus, here.known)
    read = there.decoder.decode(*args, data, there.known)
    assert [type(event) for event in read] == [Unreadable] * 4


def test_a_batch_with_the_wrong_tables_is_refused_or_reads_differently() -> None:
    """Without the batches before it: DecodeError for names never said."""
    room = first_events("12")
    here, there = End(room.pdus.values()), End(room.pdus.values())
    args = (room.create.room_id, room.version)
    for _ in range(2):
        pdu = room.message(PEOPLE[0], TEXT_30)
        data, _ = here.encoder.encode(*args, [pdu], here.known)
    with pytest.raises(RemoteProtocolError):
        there.decoder.decode(*args, data, there.known)


def test_what_the_other_end_said_meanwhile_does_not_matter() -> None:
    """An end names an event of a ring that the other end, whose batches are still on their way, has
    filled anew twice."""
    room = RoomBuilder("alice", "bob")
    past = list(room.pdus.values())
    alice, bob = End(past), End(past)
    lines = [room.message("alice", f"line {n}") for n in range(500)]
    for pdu in lines:
        alice.known.add(pdu)
    flying = [
        alice.encoder.encode(pdu.room_id, room.version, [pdu], alice.known)[0] for pdu in lines
    ]
    for n in range(100):
        bob.decoder.decode(lines[0].room_id, room.version, flying[n], bob.known)
    heads: tuple[str, ...] = (lines[99].event_id,)
    for n in range(3):
        reply = room.message("bob", f"reply {n}", parents=heads)
        data, _ = bob.encoder.encode(reply.room_id, room.version, [reply], bob.known)
        assert len(data) < 130, "its parents are named by their places"
        assert alice.decoder.decode(reply.room_id, room.version, data, alice.known) == [
            reply.canonical()
        ]
        heads = (reply.event_id,)
        for place in range(100 + 100 * n, 200 + 100 * n):
            bob.decoder.decode(lines[0].room_id, room.version, flying[place], bob.known)
        heads = (lines[199 + 100 * n].event_id, *heads)


def test_what_is_forgotten_is_unreadable() -> None:
    """More was said meanwhile than an end remembers: never another event in its place."""
    room = RoomBuilder("alice", "bob")
    past = list(room.pdus.values())
    alice, bob = End(past), End(past)
    first = room.message("alice", "first")
    data, _ = alice.encoder.encode(first.room_id, room.version, [first], alice.known)
    bob.decoder.decode(first.room_id, room.version, data, bob.known)
    for n in range(PAST):
        alice.encoder.tables.carried_alone(first.room_id, Said(f"${n}", 1, 1))
    reply = room.message("bob", "second", parents=(first.event_id,))
    data, _ = bob.encoder.encode(first.room_id, room.version, [reply], bob.known)
    (read,) = alice.decoder.decode(first.room_id, room.version, data, alice.known)
    assert isinstance(read, Unreadable)


def test_one_explicit_form_heals_what_follows() -> None:
    """Bob names auth events that alice doesn't hold. She gets the first event explicitly, and reads
    what he and others say after."""
    room = first_events("12")
    pdus = list(room.pdus.values())
    bob, alice = End(pdus), End(pdus[:1])
    fork = room.heads
    unreadable = []
    for n in range(6):
        pdu = room.message(PEOPLE[n // 3], f"line {n}", parents=fork)
        for form in (Form.COMPACT, Form.EXPLICIT):
            data, _ = bob.encoder.encode(pdu.room_id, room.version, [pdu], bob.known, form=form)
            (read,) = alice.decoder.decode(pdu.room_id, room.version, data, alice.known)
            if not isinstance(read, Unreadable):
                assert read == pdu.canonical()
                break
            unreadable.append(n)
            assert form is Form.COMPACT
    assert unreadable == [0, 3], "only what names events that were not said before"


def test_a_wrong_entry_heals_by_one_explicit_form() -> None:
    """The receiver took a wrong event for one that was named: so do no later ones."""
    room = first_events("12")
    bob, alice = End(room.pdus.values()), End(room.pdus.values())
    bad = []
    for n in range(4):
        pdu = room.message(PEOPLE[1], f"line {n}")
        if n == 1:
            key = (pdu.room_id, pdu.sender)
            wrong = tuple(reversed(pdu.auth_events))
            alice.decoder.tables.auth[key] = wrong
        for form in (Form.COMPACT, Form.EXPLICIT):
            data, _ = bob.encoder.encode(pdu.room_id, room.version, [pdu], bob.known, form=form)
            (read,) = alice.decoder.decode(pdu.room_id, room.version, data, alice.known)
            if read == pdu.canonical():
                break
            assert form is Form.COMPACT
            bad.append(n)
    assert bad == [1]


def test_places_survive_what_is_taken_back() -> None:
    """A batch is cut: what the event that didn't fit named is not said."""
    room = RoomBuilder("alice", "bob")
    past = list(room.pdus.values())
    alice, bob = End(past), End(past)
    lines = [room.message("alice", f"line {n}") for n in range(4)]
    data, _ = alice.encoder.encode(lines[0].room_id, room.version, lines, alice.known)
    bob.decoder.decode(lines[0].room_id, room.version, data, bob.known)
    replies = [room.message("bob", TEXT_30, parents=(line.event_id,)) for line in lines]
    while replies:
        data, taken = bob.encoder.encode(
            lines[0].room_id, room.version, replies, bob.known, max_bytes=150
        )
        assert taken < 3
        assert alice.decoder.decode(lines[0].room_id, room.version, data, alice.known) == [
            pdu.canonical() for pdu in replies[:taken]
        ]
        replies = replies[taken:]
