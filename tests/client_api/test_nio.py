"""An unmodified matrix-nio AsyncClient talks to two nodes over HTTP: it logs in, creates a room,
invites, joins, sends and syncs.

Each node runs in a thread of its own under Trio and hypercorn, as in production; the clients run
under asyncio. Cards and events cross between the nodes by the pump of small_node.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import nio  # type: ignore[import-untyped]
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from tests.client_api.small_node import PASSWORD, SmallNode, pump

R = TypeVar("R")


class Servers:
    """Nodes behind sockets, all on one Trio thread, so that the pump runs between requests."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._end: trio.Event | None = None

    @contextmanager
    def serving(self, *nodes: SmallNode) -> Iterator[None]:
        thread = threading.Thread(target=self._run, args=nodes)
        thread.start()
        try:
            assert self._ready.wait(20), "the servers never came up"
            if self._failed is not None:
                raise self._failed
            yield
        finally:
            if self._token is not None and self._end is not None:
                self._token.run_sync_soon(self._end.set)
            thread.join(20)
            assert not thread.is_alive()

    def _run(self, *nodes: SmallNode) -> None:
        try:
            trio.run(self._serve, *nodes)
        except BaseException as error:  # handed to the test
            self._failed = error
            self._ready.set()
            raise

    async def _serve(self, *nodes: SmallNode) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        async with trio.open_nursery() as nursery:
            for node in nodes:
                config = Config()
                config.bind = ["127.0.0.1:0"]
                config.graceful_timeout = 1
                config.accesslog = None
                config.errorlog = None
                start = partial(serve, cast(Any, node.app), config, shutdown_trigger=self._end.wait)
                urls = await nursery.start(start)
                self.urls += urls
            self._ready.set()
            await self._end.wait()
            for node in nodes:
                node.shutdown()

    def pump(self, *nodes: SmallNode) -> None:
        assert self._token is not None
        trio.from_thread.run_sync(pump, *nodes, trio_token=self._token)


def checked(response: Any, kind: type[R]) -> R:
    assert isinstance(response, kind), response
    return response


async def everything_a_client_does(servers: Servers, alice: SmallNode, bob: SmallNode) -> None:
    hers = nio.AsyncClient(servers.urls[0], alice.user_id)
    his = nio.AsyncClient(servers.urls[1], bob.user_id)
    try:
        await conversation(servers, alice, bob, hers, his)
    finally:
        await hers.close()
        await his.close()


async def conversation(
    servers: Servers,
    alice: SmallNode,
    bob: SmallNode,
    hers: nio.AsyncClient,
    his: nio.AsyncClient,
) -> None:

    async def cross() -> None:
        await asyncio.to_thread(servers.pump, alice, bob)

    checked(await hers.login("wrong"), nio.LoginError)
    checked(await hers.login(PASSWORD), nio.LoginResponse)
    checked(await his.login(PASSWORD), nio.LoginResponse)
    assert checked(await hers.whoami(), nio.WhoamiResponse).user_id == alice.user_id

    room_id = checked(
        await hers.room_create(name="boat", topic="wind"), nio.RoomCreateResponse
    ).room_id
    checked(await hers.sync(timeout=0), nio.SyncResponse)
    assert hers.rooms[room_id].name == "boat"
    first_filter: dict[Any, Any] = {"room": {"timeline": {"limit": 20}}}
    checked(await his.sync(timeout=0, sync_filter=first_filter), nio.SyncResponse)

    checked(await hers.room_invite(room_id, bob.user_id), nio.RoomInviteResponse)
    poll = asyncio.create_task(his.sync(timeout=30_000))
    await asyncio.sleep(0)
    await cross()
    checked(await poll, nio.SyncResponse)
    assert his.invited_rooms[room_id].name == "boat"
    assert his.invited_rooms[room_id].inviter == alice.user_id

    checked(await his.join(room_id), nio.JoinResponse)
    sent = checked(
        await his.room_send(room_id, "m.room.message", {"msgtype": "m.text", "body": "hi"}),
        nio.RoomSendResponse,
    )
    answer = checked(await his.sync(timeout=0), nio.SyncResponse)
    assert sent.event_id in [e.event_id for e in answer.rooms.join[room_id].timeline.events]
    assert room_id not in his.invited_rooms

    await cross()
    answer = checked(await hers.sync(timeout=5_000), nio.SyncResponse)
    texts = [
        e.body
        for e in answer.rooms.join[room_id].timeline.events
        if isinstance(e, nio.RoomMessageText)
    ]
    assert texts == ["hi"]
    checked(await his.sync(timeout=5_000), nio.SyncResponse)
    for client in (hers, his):
        assert set(client.rooms[room_id].users) == {alice.user_id, bob.user_id}
        assert client.rooms[room_id].topic == "wind"

    await the_rest(room_id, alice, bob, hers, his)
    checked(await hers.room_kick(room_id, bob.user_id, "asleep"), nio.RoomKickResponse)
    await cross()
    answer = checked(await his.sync(timeout=5_000), nio.SyncResponse)
    assert room_id in answer.rooms.leave
    assert checked(await his.joined_rooms(), nio.JoinedRoomsResponse).rooms == []
    checked(await his.room_forget(room_id), nio.RoomForgetResponse)
    checked(await hers.logout(), nio.LogoutResponse)
    checked(await hers.whoami(), nio.WhoamiError)


async def the_rest(
    room_id: str, alice: SmallNode, bob: SmallNode, hers: nio.AsyncClient, his: nio.AsyncClient
) -> None:
    """Calls that change nothing for the other side."""
    members = checked(await hers.joined_members(room_id), nio.JoinedMembersResponse).members
    assert {member.user_id for member in members} == {alice.user_id, bob.user_id}
    state = checked(await hers.room_get_state(room_id), nio.RoomGetStateResponse)
    assert "m.room.create" in [event["type"] for event in state.events]
    topic = checked(
        await his.room_get_state_event(room_id, "m.room.topic"), nio.RoomGetStateEventResponse
    )
    assert topic.content == {"topic": "wind"}
    checked(
        await hers.room_put_state(room_id, "m.room.topic", {"topic": "rain"}),
        nio.RoomPutStateResponse,
    )
    page = checked(
        await hers.room_messages(room_id, hers.next_batch, limit=3), nio.RoomMessagesResponse
    )
    assert len(page.chunk) == 3
    event = checked(
        await his.room_get_event(room_id, page.chunk[-1].event_id), nio.RoomGetEventResponse
    )
    assert event.event.event_id == page.chunk[-1].event_id
    mine = page.chunk[0]
    checked(await hers.room_redact(room_id, mine.event_id, "typo"), nio.RoomRedactResponse)
    checked(await hers.set_displayname("Alice"), nio.ProfileSetDisplayNameResponse)
    name = checked(await hers.get_displayname(), nio.ProfileGetDisplayNameResponse)
    assert name.displayname == "Alice"
    checked(await hers.sync(timeout=0), nio.SyncResponse)
    assert hers.rooms[room_id].user_name(alice.user_id) == "Alice"
    uploaded = checked(
        await hers.upload_filter(room={"timeline": {"limit": 1}}), nio.UploadFilterResponse
    )
    checked(await hers.sync(timeout=0, sync_filter=uploaded.filter_id), nio.SyncResponse)


@pytest.mark.slow
def test_nio(tmp_path: Path) -> None:
    alice = SmallNode("alice", tmp_path / "alice.db")
    bob = SmallNode("bob", tmp_path / "bob.db")
    servers = Servers()
    with ExitStack() as stack:
        stack.callback(alice.rooms.store.close)
        stack.callback(bob.rooms.store.close)
        stack.enter_context(servers.serving(alice, bob))
        asyncio.run(everything_a_client_does(servers, alice, bob))
