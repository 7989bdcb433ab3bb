"""Configured links of whole nodes over a switchboard of memory links, and a little real TCP."""

from __future__ import annotations

import logging
import random
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio

from dtnode.config import LinkConfig
from dtnode.link import Link
from dtnode.link_info import LinkInfo
from dtnode.node import connection as connection_module
from dtnode.node import links as links_module
from dtnode.node.contacts import LinkContacts
from dtnode.node.links import MAX_BACKOFF_S, MAX_STRANGERS, MIN_BACKOFF_S, LinkManager, _Backoff
from dtnode.node.node import MAX_LINKS_A_PEER
from dtnode.node.peer_work import PeerWork
from dtnode.session import LinkSession
from dtnode.session.opening import HandshakeKind
from dtnode.session.transfer import handshake_frames
from dtnode.store import PeerRecord
from dtnode.testing import memory_link_pair
from dtnode.testing.rooms_builder import signer_for
from dtnode.wire.messages import Tips
from tests.node.harness import START_MS, World
from tests.node.raw_peer import meet, put_room, room_of, strangers
from tests.node.switchboard import Wire, dial, listen, net


async def test_nodes_meet_over_configured_links(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        await it.set("a", listen("here"))
        await it.set("b", dial("here"))
        await it.talks("hello")
        assert it.state("a") == ["listening"]
        assert it.state("b") == ["connected"]


async def test_links_are_added_changed_and_removed_while_the_node_runs(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        await it.set("a", listen("one"))
        await it.set("b", dial("one"))
        await it.talks("over one")
        first = next(iter(it.world.nodes["a"].connections))
        # Another link beside it leaves the first alone.
        await it.set("a", listen("one"), listen("two"))
        assert first in it.world.nodes["a"].connections
        # The same id with other options is another link.
        await it.set("b", LinkConfig(id="to-one", kind="wire", options={"dial": "two"}))
        await it.talks("over two")
        assert first not in it.world.nodes["a"].connections
        await it.set("a", listen("two"))
        assert list(it.board.listening) == ["two"]
        await it.set("b")
        await it.until(lambda: not it.world.nodes["a"].connections)
        assert it.links["b"].statuses() == []


async def test_a_listener_in_use_says_so_and_comes_up_by_itself(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with net(monkeypatch) as it:
        await it.set("a", listen("here"))
        await it.until(lambda: "here" in it.board.listening)
        await it.set("b", listen("here"))
        await it.until(lambda: it.state("b") == ["failed"])
        assert it.detail("b") == "here is in use: stop what uses it, or take another"
        states = set()
        for _ in range(1_000):
            await trio.sleep(0.1)
            states.add(it.state("b")[0])
        assert states == {"failed"}  # it doesn't flicker at each try
        assert caplog.text.count("is in use") == 1  # nor repeat itself
        await it.set("a", dial("here"))
        await it.until(lambda: it.state("b") == ["listening"])
        assert it.detail("b") is None
        await it.talks("at last")


async def test_a_tcp_port_in_use_says_what_to_do_and_comes_up_by_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery, random.Random(3))
        manager = LinkManager(world.add("a"), nursery)
        (other,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = other.socket.getsockname()[1]
        config = LinkConfig(id="tcp-1", kind="tcp", options={"listen": f"127.0.0.1:{port}"})
        await manager.apply([config])
        await trio.sleep(5)
        (status,) = manager.statuses()
        assert status.state == "failed"
        assert str(port) in (status.detail or "")
        await other.aclose()
        await trio.sleep(60)
        assert (status.state, status.detail) == ("listening", None)
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_a_link_that_can_not_work_says_why_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        bad = LinkConfig(id="bad", kind="wire", options={"speed": 3})
        await it.set("a", bad, listen("here"))
        await it.set("b", dial("here"))
        await it.talks("hello")
        details = {s.config.id: (s.state, s.detail) for s in it.links["a"].statuses()}
        assert details["bad"] == ("failed", "wires either listen or dial")


async def test_a_transport_with_a_bug_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Wire):
        async def run(self, links: trio.MemorySendChannel[Link], /) -> None:
            raise ZeroDivisionError("a bug")

    async with net(monkeypatch) as it:
        make = it.board.transport
        monkeypatch.setattr(
            links_module,
            "load_transport",
            lambda kind, options: (
                Broken(it.board, options)
                if options.get("listen") == "broken"
                else make(kind, options)
            ),
        )
        await it.set("a", listen("broken"), listen("here"))
        await it.set("b", dial("here"))
        await it.talks("hello")
        assert it.state("a") == ["failed", "listening"]
        assert "ZeroDivisionError: a bug" in caplog.text


# --- dialling again


def test_backoff_grows_to_a_bound_with_jitter() -> None:
    backoff = _Backoff(random.Random(1).randbytes)
    waits = [backoff.next_s() for _ in range(200)]
    assert MIN_BACKOFF_S / 2 <= waits[0] <= MIN_BACKOFF_S
    assert waits[:4] == sorted(waits[:4])
    late = waits[20:]
    assert MAX_BACKOFF_S / 2 <= min(late) < 0.6 * MAX_BACKOFF_S
    assert 0.9 * MAX_BACKOFF_S < max(late) <= MAX_BACKOFF_S
    backoff.reset()
    assert backoff.next_s() <= MIN_BACKOFF_S


async def test_who_does_not_answer_is_dialled_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        await it.set("b", dial("nowhere"))
        await trio.sleep(600)
        times = [at for _, at in it.board.dialled]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert gaps[0] <= MIN_BACKOFF_S
        assert 15 <= min(gaps[12:]) <= max(gaps[12:]) <= MAX_BACKOFF_S
        assert len(set(gaps[12:])) > 5
        assert it.state("b") == ["dialling"]
        assert it.detail("b") == "nowhere doesn't answer: nobody there"


async def test_after_a_steady_contact_it_is_dialled_again_at_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        await it.set("b", dial("here"))
        await trio.sleep(300)  # long waits by now
        await it.set("a", listen("here"))
        await it.until(lambda: it.connected("b", "a"))
        await trio.sleep(60)
        dialled = len(it.board.dialled)
        await it.board.made[-1][0].aclose()
        await it.until(lambda: len(it.board.dialled) > dialled, within_s=MIN_BACKOFF_S + 0.5)
        await it.talks("again")


async def test_who_hangs_up_each_time_is_not_dialled_at_once_for_ever(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Both prove their keys, then something ends it: a fault that trying again doesn't mend."""

    def fault(self: PeerWork) -> object:
        raise RuntimeError("a bug at each contact")

    async with net(monkeypatch) as it:
        monkeypatch.setattr(PeerWork, "contact", fault)
        await it.set("a", listen("here"))
        await it.set("b", dial("here"))
        await trio.sleep(600)
        assert 10 < len(it.board.dialled) < 50


async def test_a_bug_on_one_link_ends_that_link_alone(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mallory = signer_for("mallory").server_name
    real = PeerWork.compare

    def compare(self: PeerWork, tips: Tips) -> Any:
        if self._peer == mallory:
            raise RuntimeError("a bug with this peer")
        return real(self, tips)

    async with net(monkeypatch) as it:
        monkeypatch.setattr(PeerWork, "compare", compare)
        await it.set("a", listen("here"))
        await it.set("b", dial("here"))
        await it.talks("before")
        it.world.add("m", signer=signer_for("mallory"))
        await put_room(it.world, "m", room_of("a", "b", "mallory"))
        it.links["m"] = LinkManager(it.world.nodes["m"], it.world.nursery)
        await it.world.know("a", "m")
        await it.set("m", dial("here"))
        await it.until(lambda: "RuntimeError: a bug with this peer" in caplog.text)
        assert "ended by an error of this program" in caplog.text
        await it.talks("after")
        assert it.state("a") == ["listening"]
        monkeypatch.setattr(PeerWork, "compare", real)
        await it.until(lambda: it.world.equal(it.room_id, "a", "m"))


async def test_a_link_no_session_can_use_ends_alone(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """An MTU too small for frames: a fault of the transport, found when the link comes up."""
    async with net(monkeypatch) as it:
        await it.set("a", listen("here"))
        await it.until(lambda: "here" in it.board.listening)
        here, there = memory_link_pair(LinkInfo(mtu_bytes=9))
        await it.board.listening["here"].send(there)
        with trio.fail_after(5), pytest.raises(trio.EndOfChannel):
            await here.receive()
        await it.set("b", dial("here"))
        await it.talks("unharmed")


# --- several links to a peer


async def test_a_standby_takes_over_when_the_first_link_breaks(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        await it.set("a", listen("one"), listen("two"))
        await it.set("b", dial("one"), dial("two"))
        await it.until(lambda: len(it.world.nodes["a"].connections) == 2)
        await it.talks("over the first")
        active = next(c for c in it.world.nodes["a"].connections if c.is_active)
        (spare,) = (c for c in it.world.nodes["a"].connections if not c.is_active)
        await it.set("b", dial("two" if active.link_id == "at-one" else "one"))
        await it.until(lambda: spare.is_active, within_s=1)
        await it.talks("over the second")


async def test_a_peer_that_was_cut_off_is_served_on_its_new_link_soon(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Its old link looks alive here: nothing says that the other end is gone."""
    async with net(monkeypatch) as it:
        old = await meet(it.world, "a", signer_for("b"), known=False)
        await old.proved.wait()
        await old.until_heard(Tips)
        old.reading = False
        await trio.sleep(30)
        new = await meet(it.world, "a", signer_for("b"), known=False)
        await new.proved.wait()
        active = [new.connection.is_active]
        await new.until_heard(Tips)
        active.append(new.connection.is_active)
        assert active == [False, True]
        assert old.connection.close_reason is not None
        assert "nothing heard" in old.connection.close_reason


async def test_links_of_one_peer_are_bounded(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        peers = [
            await meet(it.world, "a", signer_for("mallory")) for _ in range(3 * MAX_LINKS_A_PEER)
        ]
        await trio.sleep(5)
        assert len(it.world.nodes["a"].connections) == MAX_LINKS_A_PEER
        assert not peers[0].ended.is_set()  # the one in use
        assert not peers[-1].ended.is_set()
        assert peers[1].closed == f"{MAX_LINKS_A_PEER} other links lead to you"


# --- strangers


def first_message(number: int) -> bytes:
    """Nobody's."""
    made = random.Random(number).randbytes(64)
    return handshake_frames(HandshakeKind.KK_FIRST, made[-1], made, mtu_bytes=1_500)[0]


async def test_strangers_are_bounded_and_do_not_keep_honest_nodes_out(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        await it.set("a", listen("here"))
        await it.until(lambda: "here" in it.board.listening)
        ended: list[int] = []

        async def stranger(number: int) -> None:
            link = await Wire(it.board, {}).dial("here")
            await link.send(first_message(number))
            try:
                await link.receive()
            except trio.EndOfChannel:
                ended.append(number)

        for number in range(MAX_STRANGERS + 40):
            it.world.nursery.start_soon(stranger, number)
            await trio.sleep(0.01)
        (status,) = it.links["a"].statuses()
        assert len(status.unproved) <= MAX_STRANGERS
        await it.set("b", dial("here"))
        await it.until(lambda: it.connected("a", "b"), within_s=5)
        await it.talks("between strangers")
        await trio.sleep(60)
        assert len(status.unproved) == 0


async def test_what_strangers_cause_in_the_log_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with net(monkeypatch) as it:
        await it.set("a", listen("here"))
        await it.until(lambda: "here" in it.board.listening)
        for _ in range(100):
            link = await Wire(it.board, {}).dial("here")
            await link.send(b"\xff" * 30)
            await trio.sleep(0.1)
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert 0 < len(warnings) <= 10
        assert "0xff, which names no kind" in warnings[0].getMessage()


async def test_nor_by_those_who_say_who_they_are(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Names cost nothing: 100 of them, each turned away."""
    async with net(monkeypatch) as it:
        await it.set("a", listen("here"))
        await it.until(lambda: "here" in it.board.listening)
        for number in range(100):
            link = await Wire(it.board, {}).dial("here")
            name = f"stranger {number}"
            contacts = LinkContacts(strangers(signer_for(name)), expected=it.world.server("a"))
            session = LinkSession(
                contacts=contacts,
                entropy=random.Random(number).randbytes,
                info=link.info,
                initiator=True,
                wall_ms=lambda: START_MS,
            )
            session.start(trio.current_time())
            for frame in session.frames_to_send(trio.current_time()):
                await link.send(frame)
            await trio.sleep(0.1)
        told = [r for r in caplog.records if "dtnode peer add" in r.getMessage()]
        assert 0 < len(told) <= 10
        assert signer_for("stranger 0").server_name in told[0].getMessage()


async def test_a_peer_added_while_it_keeps_dialling_gets_in(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        it.world.add("c")
        it.links["c"] = LinkManager(it.world.nodes["c"], it.world.nursery)
        await it.world.put_peer("c", PeerRecord(server_name=it.world.server("a"), added=True))
        await it.set("a", listen("here"))
        await it.set("c", dial("here"))
        await trio.sleep(120)
        assert not it.world.nodes["a"].connections
        assert it.state("c") == ["dialling"]
        assert "is this node added there?" in (it.detail("c") or "")
        await it.world.put_peer("a", PeerRecord(server_name=it.world.server("c"), added=True))
        await it.until(lambda: it.connected("a", "c"), within_s=MAX_BACKOFF_S + 1)


async def test_a_removed_peer_is_let_go_unless_the_link_takes_anyone(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with net(monkeypatch) as it:
        it.world.add("c")
        it.links["c"] = LinkManager(it.world.nodes["c"], it.world.nursery)
        await it.world.know("a", "c")
        await it.set("a", listen("here"), listen("open", accept="anyone"))
        a = it.world.nodes["a"]
        for where, stays in (("here", False), ("open", True)):
            await it.set("c", dial(where))
            await it.until(lambda: it.connected("a", "c"), within_s=MAX_BACKOFF_S + 1)
            await a.worker.run(partial(a.rooms.store.peers.remove, it.world.server("c")))
            await a.peers_changed()
            await trio.sleep(60)
            assert it.connected("a", "c") is stays
            await it.world.know("a", "c")


# --- pressure


async def test_much_both_ways_at_once_over_tiny_buffers(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """2,500 events each way that both push as fast as they can, two frames on the wire: nobody
    waits for the other to read first."""
    count = 2_500
    async with net(monkeypatch) as it:
        it.board.buffer_frames = 2

        def say(name: str) -> None:
            rooms = it.world.nodes[name].rooms
            for number in range(count):
                rooms.send(it.room_id, "m.room.message", {"body": f"{name} {number}"})

        for name in ("a", "b"):
            await it.world.nodes[name].worker.run(partial(say, name))
        await it.set("a", listen("here"))
        await it.set("b", dial("here"))
        await it.until(lambda: it.world.equal(it.room_id, "a", "b"), within_s=300)
        for name in ("a", "b"):
            assert len(it.world.texts(name, it.room_id)) == 2 * count
        (traffic,) = (c.traffic for c in it.world.nodes["a"].connections)
        assert count <= traffic.events_in < 1.05 * count
        assert count <= traffic.events_out < 1.05 * count


async def test_missed_news_are_made_up_for(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """More commits than a connection keeps in mind while it is busy: it looks at all anew."""
    monkeypatch.setattr(connection_module, "_MAX_NEWS", 3)
    async with net(monkeypatch) as it:
        await it.set("a", listen("here"))
        await it.set("b", dial("here"))
        await it.talks("before")
        (there,) = it.world.nodes["a"].connections
        gate = trio.Event()
        real = there._on_one_news

        async def slow(news: Any) -> None:
            await gate.wait()
            await real(news)

        monkeypatch.setattr(there, "_on_one_news", slow)
        for number in range(20):
            await it.world.send("a", it.room_id, f"{number}")
        assert len(there._news) <= 3
        gate.set()
        await it.until(lambda: it.world.equal(it.room_id, "a", "b"), within_s=10)
