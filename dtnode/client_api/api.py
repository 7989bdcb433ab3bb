"""What every handler works with, put together once per app, and waiting for news."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import trio
from starlette.requests import Request

from dtnode.client_api.account_data import AccountData
from dtnode.client_api.host import Host
from dtnode.client_api.redactions import Redactions
from dtnode.client_api.render import Renderer
from dtnode.client_api.requests import HungUp
from dtnode.client_api.sessions import AttemptLimit, Sessions
from dtnode.client_api.snapshots import Snapshots
from dtnode.client_api.sync import SyncSources
from dtnode.client_api.transactions import Transactions
from dtnode.errors import DtnodeError
from dtnode.rooms import Rooms
from dtnode.rooms.local import RoomNotHere
from dtnode.signer import Entropy
from dtnode.store import RoomRecord

MAX_POLL_S = 90.0  # clients ask for about 30
_LOOK_AGAIN_S = 5.0
"""News without a position (account data, a card that arrived between the look and the wait) is seen
after this at the latest."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """password: what clients log in with, read anew each time."""

    host: Host
    user_id: str
    server_name: str
    password: Callable[[], str]
    sessions: Sessions
    attempts: AttemptLimit
    transactions: Transactions
    snapshots: Snapshots
    renderer: Renderer
    account_data: AccountData

    @property
    def rooms(self) -> Rooms:
        return self.host.rooms

    @property
    def sync_sources(self) -> SyncSources:
        return SyncSources(
            rooms=self.rooms,
            snapshots=self.snapshots,
            renderer=self.renderer,
            account_data=self.account_data,
        )

    def room(self, room_id: str) -> RoomRecord:
        """On the store's thread. RoomNotHere."""
        room = self.rooms.room(room_id)
        if room is None:
            raise RoomNotHere(f"room {room_id[:100]} is not known here: see dtnode room list")
        return room


def make_api(
    host: Host,
    *,
    user_id: str,
    server_name: str,
    access_token: str,
    password: Callable[[], str],
    entropy: Entropy,
) -> Api:
    rooms = host.rooms
    snapshots = Snapshots(rooms)
    transactions = Transactions(rooms.store)
    return Api(
        host=host,
        user_id=user_id,
        server_name=server_name,
        password=password,
        sessions=Sessions(access_token, entropy),
        attempts=AttemptLimit(trio.current_time),
        transactions=transactions,
        snapshots=snapshots,
        renderer=Renderer(rooms, Redactions(rooms), transactions),
        account_data=AccountData(rooms.store, snapshots, user_id),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look for news. position: up to where it went."""

    position: int
    news: bool


async def poll(
    api: Api,
    request: Request,
    timeout_s: float,
    look: Callable[[], Awaitable[tuple[T, Look]]],
) -> T:
    """Looks until there is news, the time is over, the node ends or the client hangs up; gives the
    last look's result. `look` raises DtnodeErrors as a handler would."""
    return await unless_hung_up(request, lambda: _look_until_news(api, timeout_s, look))


async def unless_hung_up(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """`work()`, which may take long, and may raise DtnodeErrors; cancelled with HungUp when nobody
    waits for it any more."""
    failure: DtnodeError | None = None
    found: list[T] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_disconnect, request, nursery.cancel_scope)
        try:
            found.append(await work())
        except DtnodeError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not found:
        raise HungUp
    return found[0]


async def _look_until_news(
    api: Api, timeout_s: float, look: Callable[[], Awaitable[tuple[T, Look]]]
) -> T:
    deadline = trio.current_time() + min(timeout_s, MAX_POLL_S)
    woken_at: int | None = None
    while True:
        found, seen = await look()
        left_s = deadline - trio.current_time()
        if seen.news or left_s <= 0 or woken_at == seen.position:
            return found
        wait_s = min(left_s, _LOOK_AGAIN_S)
        started = trio.current_time()
        await api.host.wait_for_news(seen.position, wait_s)
        # Woken early, and nothing to see: the node is ending. Answer, the client asks again.
        early = trio.current_time() - started < wait_s
        woken_at = seen.position if early else None


async def _cancel_on_disconnect(request: Request, scope: trio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
