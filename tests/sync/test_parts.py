"""Outbox, Wants, Cards and the timing of a link, by themselves."""

from __future__ import annotations

import pytest

from dtnode.link_info import LinkInfo
from dtnode.sync.cards import MAX_FLYING_BYTES, MAX_TAKEN, Cards
from dtnode.sync.outbox import BATCH_EVENTS, MAX_QUEUED_IDS, InFlight, Outbox
from dtnode.sync.timing import (
    MAX_ATTEMPTS,
    MAX_IN_FLIGHT,
    answer_timeout_s,
    batch_bytes,
    retry_at,
    window_bytes,
)
from dtnode.sync.wants import MAX_GAPS, MAX_OUTSTANDING, MAX_ROOMS, Wants
from dtnode.wire.limits import MAX_PDUS_BYTES
from dtnode.wire.messages import Ack, CardKind, Form
from tests.sync.sync_pair import card


def fly(
    outbox: Outbox,
    batch: int,
    room_id: str,
    ids: tuple[str, ...],
    due: float = 1.0,
    form: Form = Form.COMPACT,
) -> None:
    outbox.in_flight[batch] = InFlight(
        batch=batch,
        room_id=room_id,
        room_version="12",
        event_ids=ids,
        pdus=tuple(b"x" * 10 for _ in ids),
        more=False,
        due=due,
        form=form,
    )


def test_rooms_take_turns() -> None:
    outbox = Outbox()
    outbox.add("!a", (f"$a{n}" for n in range(2 * BATCH_EVENTS)))
    outbox.add("!b", ["$b"])
    found = [outbox.next_ids() for _ in range(4)]
    assert [None if one is None else (one[0], len(one[1])) for one in found] == [
        ("!a", BATCH_EVENTS),
        ("!b", 1),
        ("!a", BATCH_EVENTS),
        None,
    ]
    assert len(outbox) == 0


def test_an_id_is_queued_once_and_not_while_it_flies() -> None:
    outbox = Outbox()
    fly(outbox, 1, "!a", ("$1",))
    outbox.add("!a", ["$1", "$2", "$2"])
    outbox.add("!a", ["$2", "$3"])
    assert outbox.next_ids() == ("!a", ("$2", "$3"), Form.COMPACT)


def test_what_was_not_sent_goes_back_to_the_front_in_order() -> None:
    outbox = Outbox()
    outbox.add("!a", ["$1", "$2", "$3", "$4"])
    taken = outbox.next_ids()
    assert taken is not None
    outbox.add("!a", ["$5"])
    outbox.put_back("!a", taken[1][1:])
    assert len(outbox) == 4
    assert outbox.next_ids() == ("!a", ("$2", "$3", "$4", "$5"), Form.COMPACT)


def test_what_the_peer_brought_leaves_the_queue() -> None:
    outbox = Outbox()
    outbox.add("!a", ["$1", "$2"])
    outbox.discard("!a", ["$1", "$9"])
    outbox.discard("!nowhere", ["$1"])
    assert (len(outbox), outbox.next_ids()) == (1, ("!a", ("$2",), Form.COMPACT))


def test_what_the_peer_could_not_read_goes_first_in_the_next_form_and_then_as_it_is() -> None:
    outbox = Outbox()
    outbox.add("!a", ["$9"])
    fly(outbox, 1, "!a", ("$1", "$2", "$3"))
    sent = outbox.in_flight.pop(1)
    ack = Ack(batch=1, refused=("$1",), unread=(1, 2, 7))
    assert sent.kept(ack) == ()
    outbox.add_unread(sent, ack.unread)
    assert outbox.is_busy("!a")
    assert len(outbox) == 3
    assert outbox.next_ids() == ("!a", ("$2", "$3"), Form.EXPLICIT)
    outbox.put_back("!a", ["$3"], Form.EXPLICIT)
    assert outbox.next_ids() == ("!a", ("$3",), Form.EXPLICIT)
    for form, then in ((Form.EXPLICIT, ("!a", ("$2",), Form.RAW)), (Form.RAW, None)):
        fly(outbox, 2, "!a", ("$2",), form=form)
        outbox.add_unread(outbox.in_flight.pop(2), (0,))
        if then is not None:
            assert outbox.next_ids() == then
    assert outbox.next_ids() == ("!a", ("$9",), Form.COMPACT)


def test_only_so_many_batches_fly() -> None:
    outbox = Outbox()
    outbox.add("!a", ["$x"])
    for batch in range(MAX_IN_FLIGHT):
        fly(outbox, batch, "!a", (f"${batch}",))
    assert outbox.next_ids() is None
    del outbox.in_flight[0]
    assert outbox.next_ids() == ("!a", ("$x",), Form.COMPACT)


def test_the_queue_is_full_at_its_bound() -> None:
    outbox = Outbox()
    outbox.add("!a", (f"${n}" for n in range(MAX_QUEUED_IDS + 1)))
    assert len(outbox) == MAX_QUEUED_IDS
    assert outbox.overflowed == {"!a"}


def test_a_forgotten_room_is_gone_altogether() -> None:
    outbox = Outbox()
    outbox.add("!a", ["$1"])
    outbox.add("!b", ["$2"])
    fly(outbox, 1, "!a", ("$0",))
    assert outbox.is_busy("!a")
    outbox.forget("!a")
    assert not outbox.is_busy("!a")
    assert (len(outbox), outbox.in_flight) == (1, {})


def test_batches_are_repeated_at_growing_intervals_then_given_up() -> None:
    outbox = Outbox()
    fly(outbox, 1, "!a", ("$1",))
    fly(outbox, 2, "!a", ("$2",), due=1e9)
    now, intervals = 0.0, []
    for _ in range(MAX_ATTEMPTS - 1):
        due = outbox.in_flight[1].due
        intervals.append(due - now)
        now = due
        assert [sent.batch for sent in outbox.overdue(now, 5.0) or ()] == [1]
    assert intervals[1:] == sorted(intervals[1:])
    assert outbox.overdue(outbox.in_flight[1].due, 5.0) is None


def test_want_rooms_are_bounded() -> None:
    wants = Wants()
    for number in range(MAX_ROOMS):
        assert wants.new(f"!{number}", ["$x"], (), 1.0) == ("$x",)
    assert wants.new("!more", ["$x"], (), 1.0) == ()
    assert wants.new("!1", ["$y"], (), 1.0) == ("$y",)


def test_others_gaps_leave_room_for_what_the_peer_has() -> None:
    wants = Wants()
    inventions = [f"$no{n}" for n in range(2 * MAX_OUTSTANDING)]
    assert len(wants.new("!a", ["$1"], (), 1.0, gaps=inventions)) == MAX_GAPS
    assert wants.new("!a", ["$2"], (), 1.0, gaps=inventions) == ("$2",)
    assert len(wants.new("!a", inventions, (), 1.0)) == MAX_OUTSTANDING - MAX_GAPS - 1


def test_wants_are_settled_by_what_comes_and_by_refusals() -> None:
    wants = Wants()
    wants.new("!a", ["$1", "$2", "$3"], ("$0",), 1.0)
    wants.came("!a", ["$1"])
    wants.not_there("!a", ["$2", "$invented"])
    assert wants.outstanding("!a") == {"$3"}
    assert wants.new("!a", ["$2", "$3", "$invented"], (), 1.0) == ("$invented",)


def test_cards_under_way_are_bounded_in_bytes_but_one_always_goes() -> None:
    cards = Cards()
    large = [card(n, size_bytes=MAX_FLYING_BYTES * 2 // 3) for n in range(3)]
    assert cards.choose(large) == large[:1]
    cards.sent(large[0], 1.0)
    assert cards.choose(large) == []
    assert cards.acknowledged(("!card0", "$card0"))
    assert not cards.acknowledged(("!card0", "$card0"))
    assert cards.choose(large[1:]) == large[1:2]


def test_a_card_nobody_acknowledges_is_given_up_for_the_contact() -> None:
    cards = Cards()
    cards.sent(card(), 0.0)
    for repeated in range(MAX_ATTEMPTS - 1):
        assert cards.overdue(1e6 * (repeated + 1), 1.0) == [card()]
    assert cards.overdue(1e9, 1.0) == []
    assert len(cards) == 0
    assert cards.choose([card()]) == []


def test_cards_taken_are_remembered_up_to_a_bound() -> None:
    cards = Cards()
    for number in range(MAX_TAKEN + 10):
        assert cards.is_worth_a_look(card(number))
    assert not cards.is_worth_a_look(card(MAX_TAKEN))
    assert cards.is_worth_a_look(card(0))
    assert len(cards._taken) == MAX_TAKEN


def test_a_request_nobody_answers_is_forgotten() -> None:
    cards = Cards()
    cards.ask("!card0", 5.0)
    assert cards.dues() == [5.0]
    asked_again = [room for second in range(1_000) for room in cards.ask_again(second, 1.0)]
    assert asked_again == ["!card0"] * (MAX_ATTEMPTS - 1)
    assert cards.dues() == []
    assert not cards.is_worth_a_look(card(0, CardKind.PUBLIC))


@pytest.mark.parametrize("bitrate_bps", [300, 1_200, 9_600, 50_000, None])
def test_an_answer_is_not_overdue_while_it_can_be_on_the_air(bitrate_bps: int | None) -> None:
    info = LinkInfo(mtu_bytes=256, bitrate_bps=bitrate_bps, reliable=False, turnaround_s=1.0)
    size = batch_bytes(info)
    assert 0 < size <= MAX_PDUS_BYTES
    both_ways_s = 0.0 if bitrate_bps is None else 2 * 8 * size / bitrate_bps
    assert answer_timeout_s(info, size) > both_ways_s + 2.0
    assert window_bytes(info) <= MAX_IN_FLIGHT * MAX_PDUS_BYTES


def test_retries_stay_finite() -> None:
    assert retry_at(0.0, 5.0, 10_000) == retry_at(0.0, 5.0, MAX_ATTEMPTS) < 300
