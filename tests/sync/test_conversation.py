"""Two PeerSyncs over a fake link: they come to have the same, whatever becomes of messages."""

from __future__ import annotations

import pytest

from dtnode.link_info import LinkInfo
from dtnode.sync.liveness import DEAD_S, QUIET_S
from dtnode.wire.limits import MAX_EVENTS_PDUS
from tests.sync.sync_pair import LOSSY, RELIABLE, ROOM, Medium, Pair, card, chain

BAD = Medium(loss=0.2, duplication=0.2, reordering=0.3, delay_s=0.2)


def pair_with_fork(**kwargs: object) -> Pair:
    """Both have r, m; a has 150 further events, b 130."""
    pair = Pair(**kwargs)  # type: ignore[arg-type]
    for node, count in ((pair.a, 150), (pair.b, 130)):
        chain(node.room(), "$r", "$m", *(f"${node.name}{n}" for n in range(count)))
    return pair


def test_a_contact_with_nothing_new_is_one_message_each() -> None:
    pair = Pair(RELIABLE)
    for node in (pair.a, pair.b):
        chain(node.room(), "$r")
    pair.start().run(QUIET_S - 1)
    assert pair.a.transcript == pair.b.transcript == ["Tips"]


def test_each_pushes_what_the_other_lacks() -> None:
    pair = pair_with_fork(info=RELIABLE)
    pair.start().run(10)
    assert pair.equal()
    assert len(pair.a.rooms[ROOM].parents) == 282
    assert pair.a.transcript == ["Tips", "Events", "Events", "Ack", "Ack"]
    assert pair.a.delivered - {"$m"} == {f"$a{n}" for n in range(150)}
    assert pair.a.sync.is_idle()
    assert pair.b.sync.is_idle()


def test_a_new_event_is_pushed_and_does_not_come_back() -> None:
    pair = Pair(RELIABLE)
    for node in (pair.a, pair.b):
        chain(node.room(), "$r")
    pair.start().run(1)
    pair.a.make("$new", pair.now)
    pair.run(2)
    assert pair.equal()
    # What b's node would tell of it, as of every event that became visible:
    pair.b.perform(pair.b.sync.push(ROOM, ["$new"]), pair.now)
    pair.run(3)
    assert pair.a.transcript == ["Tips", "Events"]
    assert pair.b.transcript == ["Tips", "Ack"]


@pytest.mark.parametrize("seed", range(20))
def test_losses_doubles_and_disorder_only_take_time(seed: int) -> None:
    pair = pair_with_fork(medium=BAD, seed=seed)
    pair.start().run(60)
    pair.a.make("$late", pair.now)
    pair.b.make("$later", pair.now)
    pair.run(1_500, max_messages=2_000)
    assert (pair.a.closed, pair.b.closed) == (None, None)
    assert pair.equal()
    assert len(pair.a.rooms[ROOM].parents) == 284
    assert pair.a.sync.is_idle()
    assert pair.b.sync.is_idle()


@pytest.mark.parametrize("number", range(12))
def test_any_one_message_may_be_lost(number: int) -> None:
    """The number-th message of a's, of whatever kind."""
    pair = pair_with_fork()
    real_send = pair._send
    sent: list[object] = []

    def send() -> None:
        kept = []
        for message in pair.a.out:
            sent.append(message)
            if len(sent) - 1 != number:
                kept.append(message)
        pair.a.out = kept
        real_send()

    pair._send = send  # type: ignore[method-assign]
    pair.start().run(400)
    assert pair.equal()
    assert pair.a.sync.is_idle()


def test_a_whole_room_comes_with_its_rest_after_a_cut() -> None:
    """A difference longer than is queued at once goes on after another Tips."""
    pair = Pair(RELIABLE)
    pair.a.cut_at = 250
    chain(pair.a.room(), *(f"${n}" for n in range(900)))
    pair.b.room()
    pair.start().run(30)
    assert pair.equal()
    assert pair.a.transcript.count("Tips") == 4  # the first, and one after each full queue


def test_events_come_in_batches_of_limited_size_and_number() -> None:
    pair = Pair(RELIABLE)
    chain(pair.a.room(), *(f"${n}" for n in range(1_000)))
    pair.b.room()
    pair.start()
    pair.a.receive(pair.b.out[0], 0.0)
    events = [message for message in pair.a.out if type(message).__name__ == "Events"]
    assert [len(message.pdus) for message in events] == [MAX_EVENTS_PDUS] * 4  # type: ignore[union-attr]
    assert pair.a.sync.lacks() == 1_000


def test_on_a_slow_link_half_a_minute_is_under_way_at_most() -> None:
    slow = LinkInfo(mtu_bytes=256, bitrate_bps=1_200, reliable=False)
    pair = Pair(slow)
    pair.a.filling = 1_000
    chain(pair.a.room(), *(f"${n}" for n in range(50)))
    pair.b.room()
    pair.start()
    pair.a.receive(pair.b.out[0], 0.0)
    events = [message for message in pair.a.out if type(message).__name__ == "Events"]
    assert [len(message.pdus) for message in events] == [5, 5]  # type: ignore[union-attr]
    # Nothing is repeated while it may still be on the air.
    assert pair.a.sync.next_wake_at() > 30


def test_missing_parents_are_pulled() -> None:
    """b was pushed an event whose parents it lacks: it asks, and a answers in order."""
    pair = Pair(RELIABLE)
    chain(pair.a.room(), *(f"${n}" for n in range(10)))
    chain(pair.b.room(), "$0")
    pair.a.perform(pair.a.sync.push(ROOM, ["$9"]), 0.0)
    pair.run(10)
    assert pair.equal()
    assert pair.b.transcript == ["Ack", "Want", "Ack"]


def test_what_the_peer_has_not_is_not_asked_again() -> None:
    pair = Pair(RELIABLE)
    chain(pair.a.room(), "$0")
    chain(pair.b.room(), "$0")
    pair.start().run(1)
    for _ in range(3):
        pair.b.perform(pair.b.sync.want(ROOM, ["$nowhere"], (), pair.now), pair.now)
        pair.run(pair.now + 1)
    assert pair.b.transcript.count("Want") == 1
    assert pair.b.not_found == [(ROOM, ("$nowhere",))]


def test_who_does_not_share_the_room_stops_the_push() -> None:
    pair = Pair(RELIABLE)
    chain(pair.a.room(), *(f"${n}" for n in range(2_000)))
    pair.start().run(100)
    # No Tips came back, so a tries by what it knows; b has no such room.
    assert pair.a.transcript.count("Events") <= 4
    assert pair.a.sync.is_idle()
    assert ROOM not in pair.b.rooms


def test_silence_is_asked_about_each_minute_and_ends_the_session() -> None:
    pair = Pair(RELIABLE, Medium(loss=1.0))
    chain(pair.a.room(), "$0")
    chain(pair.b.room(), "$0")
    pair.start().run(1_000)
    assert pair.a.closed == f"nothing heard for {DEAD_S:.0f} s"
    assert pair.a.transcript.count("Ping") == 2


def test_on_the_air_nobody_pings_and_silence_ends_nothing() -> None:
    pair = Pair(LOSSY)
    for node in (pair.a, pair.b):
        chain(node.room(), "$0")
    pair.start().run(86_400)
    assert (pair.a.closed, pair.b.closed) == (None, None)
    assert "Ping" not in pair.a.transcript + pair.b.transcript


def test_an_idle_link_lives_on_by_pings_one_a_minute() -> None:
    pair = Pair(RELIABLE)
    for node in (pair.a, pair.b):
        chain(node.room(), "$0")
    pair.start().run(3_600)
    assert (pair.a.closed, pair.b.closed) == (None, None)
    pings = pair.a.transcript.count("Ping") + pair.b.transcript.count("Ping")
    assert 60 <= pings <= 4 * 60


def test_who_listens_and_never_acknowledges_is_given_up() -> None:
    """Pings are answered, batches aren't."""
    pair = Pair()
    chain(pair.a.room(), "$0")
    pair.a.start(0.0)
    pair.a.perform(pair.a.sync.push(ROOM, ["$0"]), 0.0)
    now = 0.0
    while pair.a.closed is None:
        now = pair.a.sync.next_wake_at()
        pair.a.wake(now)
        pair.a.sync.heard(now)
    assert pair.a.closed == "events were never acknowledged"
    assert now < 1_200


def test_a_probed_link_proves_itself_or_ends() -> None:
    pair = Pair(RELIABLE)
    chain(pair.a.room(), "$0")
    chain(pair.b.room(), "$0")
    pair.start().run(5)
    pair.a.perform(pair.a.sync.probe(pair.now), pair.now)
    pair.run(50)
    assert pair.a.closed is None
    pair.medium.loss = 1.0
    pair.a.perform(pair.a.sync.probe(pair.now), pair.now)
    pair.run(100)
    assert pair.a.closed == "nothing heard for 65 s"


def test_withheld_tips_are_asked_for_a_few_times_then_done_without() -> None:
    """b is in the room for a, but doesn't see that a is: it says nothing of it, and learns."""
    pair = Pair(LOSSY)
    chain(pair.a.room(), "$0", "$joins")
    chain(pair.b.room(), "$0")
    pair.b.shared.clear()
    pair.start().run(300)
    assert pair.equal()
    assert pair.a.transcript.count("Tips") == 4
    assert pair.a.sync.is_idle()


def test_a_room_shared_later_is_told() -> None:
    pair = Pair(RELIABLE)
    pair.start().run(1)
    chain(pair.a.room(), *(f"${n}" for n in range(5)))
    chain(pair.b.room(), "$0")
    told = pair.a.tips(ROOM, reply=True)
    pair.a.perform(pair.a.sync.tips_known(told, pair.now), pair.now)
    pair.run(5)
    assert pair.equal()
    assert pair.b.transcript[0] == "Tips"


def test_cards_are_repeated_until_acknowledged() -> None:
    pair = Pair(medium=Medium(loss=0.5), seed=3)
    pair.a.owed = [card(n) for n in range(5)]
    pair.start().run(600)
    assert pair.a.owed == []
    assert sorted(taken.event_id for taken in pair.b.cards) == [f"$card{n}" for n in range(5)]
    assert pair.a.sync.is_idle()


def test_large_cards_follow_one_another() -> None:
    pair = Pair(RELIABLE)
    pair.a.owed = [card(n, size_bytes=600_000) for n in range(6)]
    pair.start()
    assert pair.a.transcript == ["RoomCard"]
    pair.run(10)
    assert pair.a.owed == []
    assert len(pair.b.cards) == 6
