"""Joins that need the peer's signature: asked for until answered, whatever is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dtnode.errors import LimitError
from dtnode.sync import PeerSync
from dtnode.sync.joins import MAX_REFUSED
from dtnode.sync.timing import MAX_ATTEMPTS
from dtnode.wire.limits import MAX_REASON_BYTES
from dtnode.wire.messages import JoinRefused, JoinRequest, JoinSigned
from tests.sync.sync_pair import LOSSY, RELIABLE, ROOM, Medium, Node, Pair

REQUEST = JoinRequest(room_id=ROOM, room_version="12", event_id="$join", pdu=b"{}")
SIGNED = JoinSigned(room_id=ROOM, room_version="12", event_id="$join", pdu=b"{} signed")


def ask(pair: Pair) -> None:
    pair.a.perform(pair.a.sync.request_join(REQUEST, pair.now), pair.now)


def test_one_round_trip_where_nothing_is_lost() -> None:
    pair = Pair(RELIABLE).start()
    pair.b.signs.add("$join")
    ask(pair)
    assert not pair.a.sync.is_idle()
    pair.run(1)
    assert pair.a.answers == [SIGNED]
    assert pair.a.transcript == ["JoinRequest"]
    assert pair.b.transcript == ["JoinSigned"]
    assert pair.a.sync.is_idle()


@pytest.mark.parametrize("seed", range(10))
def test_lost_and_doubled_messages_only_take_time(seed: int) -> None:
    medium = Medium(loss=0.4, duplication=0.3, reordering=0.3, delay_s=0.2)
    pair = Pair(LOSSY, medium, seed).start()
    pair.b.signs.add("$join")
    ask(pair)
    pair.run(300)
    assert pair.a.answers == [SIGNED]  # once, however often it came
    assert pair.a.sync.is_idle()


def test_a_refusal_says_why_in_one_line() -> None:
    pair = Pair(RELIABLE).start()
    ask(pair)
    pair.run(1)
    assert pair.a.answers == [JoinRefused(room_id=ROOM, event_id="$join", reason="not for you")]


def test_a_reason_is_cut_to_what_a_message_holds() -> None:
    sync = PeerSync(peer="b", info=RELIABLE)
    request = JoinRequest(room_id=ROOM, room_version="12", event_id="$join", pdu=b"{}")
    (send,) = sync.co_signed(request, None, "ä" * 500)
    refused = send.message  # type: ignore[union-attr]
    assert isinstance(refused, JoinRefused)
    assert refused.reason == "ä" * (MAX_REASON_BYTES // 2)


def test_nobody_is_asked_for_ever() -> None:
    pair = Pair(LOSSY, Medium(loss=1.0)).start()
    ask(pair)
    now, sent = 0.0, 0
    for _ in range(100):
        now = pair.a.sync.next_wake_at()
        pair.a.wake(now)
        sent = pair.a.transcript.count("JoinRequest")
        pair.a.sync.heard(now)
    assert sent == MAX_ATTEMPTS
    assert pair.a.sync.is_idle()


def test_answers_nobody_asked_for_are_nothing() -> None:
    node = Node("a", PeerSync(peer="mallory", info=RELIABLE))
    node.start(0.0)
    node.receive(SIGNED, 1.0)
    node.receive(JoinRefused(room_id=ROOM, event_id="$join", reason="no"), 1.0)
    assert node.answers == []


def test_asking_in_vain_without_end_is_a_flood() -> None:
    node = Node("a", PeerSync(peer="mallory", info=RELIABLE))
    node.start(0.0)
    for number in range(MAX_REFUSED):
        node.receive(replace(REQUEST, event_id=f"$x{number}"), 1.0)
    assert len(node.asked) == MAX_REFUSED
    with pytest.raises(LimitError, match="joins were no good"):
        node.receive(replace(REQUEST, event_id="$one more"), 1.0)
