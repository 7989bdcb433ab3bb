"""What a node tells of its links: the rows of a tally are the link's bytes, and no trace says what
anybody said."""

from __future__ import annotations

import base64
import random

import pytest
import trio

from dtnode.link_info import CipherPolicy, Duplex, LinkInfo
from dtnode.node import tally as kinds
from dtnode.node.connection import Connection
from dtnode.node.link_record import LinkRecord
from dtnode.node.tally import Tally
from dtnode.node.trace import MAX_ANSWER, MAX_ENTRIES, Layer, Trace, TraceEntry
from dtnode.session.transfer import broadcast_frames
from dtnode.session.transfer.frames import Flag
from dtnode.testing import LinkFaults, memory_link_pair
from dtnode.wire.messages import Ack, JoinRefused
from dtnode.wire.packed import PackedEvents
from tests.node.harness import World

SECRET = "nobody else may read this line"
STREAM = LinkInfo(mtu_bytes=60_000)
RADIO = LinkInfo(
    mtu_bytes=51,
    reliable=False,
    checked=False,
    bitrate_bps=9_600,
    duplex=Duplex.HALF,
    turnaround_s=0.1,
)
CLEAN, BAD = LinkFaults(), LinkFaults(loss=0.1, duplication=0.05, reordering=0.05)
WAYS = [
    pytest.param(STREAM, None, id="stream"),
    pytest.param(RADIO, CLEAN, id="radio"),
    pytest.param(RADIO, BAD, id="bad radio"),
]


class Talk:
    """Two nodes over one link, and what they say."""

    def __init__(self, nursery: trio.Nursery, info: LinkInfo, faults: LinkFaults | None) -> None:
        self.world = World(nursery, random.Random(7))
        self.info, self.faults = info, faults
        for name in ("a", "b"):
            self.world.add(name)
        self.ends: list[Connection] = []

    async def run(self, messages: int) -> str:
        world = self.world
        await world.know("a", "b")
        room_id = await world.create("a", name="boat")
        await world.member("a", room_id, "b", "invite")
        pair = memory_link_pair(self.info, faults=self.faults, random=world.rng.random)
        for name, link, initiator in (("a", pair[0], True), ("b", pair[1], False)):
            end = world.nodes[name].connection(link, link_id="radio", initiator=initiator)
            self.ends.append(end)
            world.nursery.start_soon(end.run)
        await world.settle(lambda: world.membership("b", room_id) == "invite", within_s=3600)
        await world.act("b", lambda node: node.rooms.join(room_id))
        for number in range(messages):
            await world.send("ab"[number % 2], room_id, f"{SECRET} {number}")
            await trio.sleep(2)
        await world.settle(
            lambda: (
                all(len(world.texts(name, room_id)) == messages for name in "ab")
                and world.equal(room_id, "a", "b")
            ),
            within_s=7200,
        )
        return room_id


def sums(tally: Tally) -> tuple[int, int]:
    """(bytes out, bytes in)"""
    rows = tally.rows()
    assert all(row.size_bytes >= 0 and row.count >= 0 for row in rows)
    return (
        sum(row.size_bytes for row in rows if not row.incoming),
        sum(row.size_bytes for row in rows if row.incoming),
    )


def size(tally: Tally, kind: str, *, incoming: bool) -> int:
    return sum(r.size_bytes for r in tally.rows() if r.kind == kind and r.incoming is incoming)


def count(tally: Tally, kind: str, *, incoming: bool) -> int:
    return sum(r.count for r in tally.rows() if r.kind == kind and r.incoming is incoming)


@pytest.mark.parametrize(("info", "faults"), WAYS)
async def test_the_rows_are_the_links_bytes(
    info: LinkInfo, faults: LinkFaults | None, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        talk = Talk(nursery, info, faults)
        await talk.run(6)
        for end in talk.ends:
            traffic, tally = end.record.traffic, end.record.tally
            assert sums(tally) == (traffic.bytes_out, traffic.bytes_in)
            for kind in ("events", kinds.HANDSHAKES, kinds.HEADERS, kinds.TAGS):
                assert size(tally, kind, incoming=True) > 0, kind
                assert size(tally, kind, incoming=False) > 0, kind
            acks = [row.count for row in tally.rows() if row.kind == "acks"]
            assert len(acks) == 2
            assert all(acks)
            rest = size(tally, kinds.REST, incoming=False)
            assert rest < 0.1 * traffic.bytes_out
            resent = size(tally, kinds.REPEATS, incoming=False)
            assert (resent > 0) == (faults is BAD)
            assert (size(tally, kinds.CRC, incoming=False) > 0) == (not info.reliable)
        nursery.cancel_scope.cancel()


async def test_both_ends_count_the_same_over_a_link_that_loses_nothing(
    autojump_clock: object,
) -> None:
    async with trio.open_nursery() as nursery:
        talk = Talk(nursery, STREAM, None)
        await talk.run(4)
        a, b = (end.record.tally for end in talk.ends)
        for kind in ("events", "acks", "tips", "cards", kinds.HANDSHAKES, kinds.TAGS):
            for incoming in (False, True):
                assert size(a, kind, incoming=incoming) == size(b, kind, incoming=not incoming)
                assert count(a, kind, incoming=incoming) == count(b, kind, incoming=not incoming)
        nursery.cancel_scope.cancel()


async def test_the_rows_add_up_at_every_moment(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        talk = Talk(nursery, RADIO, BAD)

        async def look() -> None:
            while True:
                for end in talk.ends:
                    traffic = end.record.traffic
                    assert sums(end.record.tally) == (traffic.bytes_out, traffic.bytes_in)
                await trio.sleep(0.05)

        nursery.start_soon(look)
        await talk.run(3)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("info", "faults"), WAYS)
async def test_a_trace_tells_no_content_and_no_key(
    info: LinkInfo, faults: LinkFaults | None, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        talk = Talk(nursery, info, faults)
        trace = talk.world.nodes["a"].trace
        begin = (await trace.since(None, 1e9)).next_number
        room_id = await talk.run(4)
        part = await trace.since(begin, 0.0)
        shown = "\n".join(repr(entry) for entry in part.entries)
        layers = {entry.layer for entry in part.entries}
        assert layers == {Layer.FRAME, Layer.MESSAGE, Layer.SESSION}
        assert "nobody" not in shown
        assert "boat" not in shown
        live = talk.ends[0]._session._live
        assert live is not None
        keys = [live.established.send_key, live.established.receive_key]
        for key in keys:
            assert key.hex() not in shown
            assert base64.b64encode(key).decode().rstrip("=") not in shown
        events = [entry for entry in part.entries if entry.text.startswith("events ")]
        assert {entry.incoming for entry in events} == {False, True}
        assert any(f"room_id={room_id}" in entry.text for entry in events)
        assert all(entry.peer == talk.world.server("b") for entry in events)
        frames = [e.size_bytes for e in part.entries if e.layer is Layer.FRAME and not e.incoming]
        if part.lost == 0 and len(part.entries) < MAX_ANSWER:
            assert sum(frames) == live_bytes_out(talk)
        nursery.cancel_scope.cancel()


def live_bytes_out(talk: Talk) -> int:
    return talk.ends[0].record.traffic.bytes_out


async def test_nothing_is_put_into_words_while_nobody_looks(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        talk = Talk(nursery, STREAM, None)
        trace = talk.world.nodes["a"].trace
        await talk.run(2)
        assert (await trace.since(0, 0.0)).entries == []
        nursery.cancel_scope.cancel()


def record(trace: Trace, link_id: str = "tcp-1", info: LinkInfo = STREAM) -> LinkRecord:
    return LinkRecord(link_id, info, trace)


def texts(entries: list[TraceEntry]) -> list[str]:
    return [entry.text for entry in entries]


async def test_a_reader_waits_for_its_link_alone(autojump_clock: object) -> None:
    trace = Trace(lambda: 0)
    at = (await trace.since(None, 0)).next_number
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def happen() -> None:
            await trio.sleep(5)
            record(trace, "tcp-2").note("not this one")
            await trio.sleep(5)
            record(trace, "tcp-1").note("this one")

        part = await trace.since(at, 60, "tcp-1")
        assert texts(part.entries) == ["this one"]
        assert trio.current_time() == 10
    assert part.next_number == at + 2
    empty = await trace.since(part.next_number, 30)
    assert (empty.entries, empty.next_number, empty.lost) == ([], part.next_number, 0)
    assert trio.current_time() == 40


async def test_what_went_by_is_counted_as_lost(autojump_clock: object) -> None:
    trace = Trace(lambda: 0)
    at = (await trace.since(None, 0)).next_number
    for number in range(MAX_ENTRIES + 7):
        record(trace).note(str(number))
    part = await trace.since(at, 0)
    assert part.lost == 7
    assert texts(part.entries) == [str(number) for number in range(7, 7 + MAX_ANSWER)]
    part = await trace.since(part.next_number, 0)
    assert part.lost == 0
    assert part.entries[0].text == str(7 + MAX_ANSWER)
    ahead = await trace.since(10**9, 0)  # of another life of this node
    assert (ahead.entries, ahead.next_number) == ([], at + MAX_ENTRIES + 7)


async def test_who_waits_is_let_go_when_the_node_ends(autojump_clock: object) -> None:
    trace = Trace(lambda: 0)
    at = (await trace.since(None, 0)).next_number
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def end() -> None:
            await trio.sleep(1)
            trace.close()

        assert (await trace.since(at, 60)).entries == []
    assert trio.current_time() == 1


async def test_a_peers_own_words_stay_on_one_line(autojump_clock: object) -> None:
    trace = Trace(lambda: 0)
    at = (await trace.since(None, 0)).next_number
    message = JoinRefused(room_id="!a", event_id="$b", reason="no\x1b[2J\nyes")
    record(trace).message(message, 20, incoming=True)
    (entry,) = (await trace.since(at, 0)).entries
    assert entry.text == "join refusals room_id=!a event_id=$b reason=no?[2J?yes"
    record(trace).message(Ack(batch=4, refused=tuple(f"${n}" for n in range(5))), 20, incoming=True)
    entry = (await trace.since(at, 0)).entries[-1]
    assert entry.text == "acks batch=4 refused=[$0, $1, $2, 2 more]"


async def test_a_broadcast_heard_twice_is_a_repeat(autojump_clock: object) -> None:
    info = LinkInfo(mtu_bytes=40, reliable=False, cipher=CipherPolicy.OPEN, duplex=Duplex.SIMPLEX)
    heard = record(Trace(lambda: 0), info=info)
    frames = broadcast_frames(b"abcd", bytes(100), mtu_bytes=40)
    message = PackedEvents(batch=0, room_id="!a", room_version="12", data=bytes(90))
    for frame in frames:
        heard.frame(frame, True)
    heard.message(message, 100, incoming=True)
    for frame in (*frames, b"", b"\xff" * 9):
        heard.frame(frame, True)
    rows = {row.kind: row.size_bytes for row in heard.tally.rows()}
    assert rows["events"] == 100
    assert rows[kinds.REPEATS] == sum(map(len, frames))
    assert rows[kinds.DAMAGED] == 9
    assert sum(rows.values()) == heard.traffic.bytes_in


@pytest.mark.parametrize("incoming", [False, True])
async def test_on_a_stream_each_message_has_its_own_bytes(
    incoming: bool, autojump_clock: object
) -> None:
    """Frames are read ahead, and one says its message by being there alone."""
    link = record(Trace(lambda: 0))
    ack = Ack(batch=1)
    events = PackedEvents(batch=1, room_id="!a", room_version="12", data=bytes(90))
    start, end = Flag.START, Flag.END
    pieces = [(start, 60), (end, 40), (start | end, 0), (start | end, 50), (start, 7)]

    def frames() -> None:
        for flags, payload in pieces:
            link.frame(bytes((flags,)) + bytes(payload + 8), incoming)

    def messages() -> None:
        for message, size_bytes in ((events, 100), (ack, 1), (events, 50)):
            link.message(message, size_bytes, incoming=incoming)

    for step in (frames, messages) if incoming else (messages, frames):
        step()
    rows = {row.kind: (row.count, row.size_bytes) for row in link.tally.rows()}
    rest = rows.pop(kinds.REST)
    assert rest[1] == 7, "a message on its way"
    assert rows == {"events": (2, 150), "acks": (1, 0), kinds.HEADERS: (5, 5), kinds.TAGS: (5, 40)}
