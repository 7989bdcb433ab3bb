"""What the client API needs of the node that serves it. dtnode.node implements it; tests bring a
small one of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from dtnode.rooms import Rooms

T = TypeVar("T")


class Host(Protocol):
    """Everything that touches `rooms` or its store happens inside `run` or `read`."""

    @property
    def rooms(self) -> Rooms: ...

    async def run(self, work: Callable[[], T], /) -> T:
        """`work()` on the store's thread, in one durable transaction: returns after fsync. What it
        raises comes out, and that work is rolled back."""
        ...

    async def read(self, work: Callable[[], T], /) -> T:
        """`work()` on the same thread; it writes nothing, and sees nothing that isn't durable."""
        ...

    async def join(self, room_id: str, /) -> str:
        """The join's event id; peers are asked for the room's card, or to let this user in, if need
        be. RoomNotHere."""
        ...

    async def knock(self, room_id: str, reason: str | None, /) -> str:
        """Asks to be let into a room: the knock's event id, likewise. RoomNotHere."""
        ...

    async def wait_for_news(self, after_position: int, timeout_s: float, /) -> None:
        """Returns when something is visible beyond `after_position`, when an invite or a removal
        arrived, when the node is ending, or after `timeout_s`."""
        ...

    def now_ms(self) -> int: ...

    async def status(self) -> dict[str, Any]:
        """The answer to GET /_dtnode/v1/status."""
        ...

    def links(self) -> Sequence[dict[str, Any]]:
        """The status objects of the links alone, which cost nothing."""
        ...

    async def trace(
        self, after: int | None, timeout_s: float, link_id: str | None, /
    ) -> dict[str, Any]:
        """The answer to GET /_dtnode/v1/trace."""
        ...

    def tallies(self, link_id: str, /) -> Sequence[dict[str, Any]]:
        """The connections of a link, with where their bytes went."""
        ...

    async def asked(self, room_id: str, /) -> Mapping[str, Sequence[str]]:
        """Missing event -> server names of the peers that were asked for it."""
        ...

    async def reload_links(self) -> list[dict[str, Any]]:
        """Reads config.toml again, starts and stops links; their status objects."""
        ...

    async def peers_changed(self) -> None:
        """To be called after store.peers was changed."""
        ...

    async def permissions_changed(self) -> None:
        """To be called after a room was permitted for clear links, or isn't any more."""
        ...

    def shutdown(self) -> None: ...
