"""POST /_dtnode/v1/import: a room file of any length, taken in while it comes (dtnode.rooms does
the judging). Other requests and peers have their turn between two chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.requests import Request

from dtnode.client_api.api import Api
from dtnode.client_api.requests import Call, HungUp
from dtnode.client_api.routes import OWN, Route, post
from dtnode.errors import DtnodeError
from dtnode.rooms.room_file import non_empty
from dtnode.rooms.room_import import CHUNK_BYTES, CHUNK_LINES

_MAX_LINE_AHEAD = 2_097_152  # beyond any line that is an event; whoever sends more is told so


class BodyLines:
    """A request's body as lots of lines, never more than one lot and one line in memory."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._rest = b""
        self._more = True

    async def next_lot(self) -> list[bytes]:
        """[] at the end. FormatError: a line is too long. HungUp."""
        lines: list[bytes] = []
        size = 0
        while self._more and (len(lines) < 2 or (len(lines) < CHUNK_LINES and size < CHUNK_BYTES)):
            found = await self._read()
            lines += found
            size += sum(map(len, found))
        return lines

    async def _read(self) -> list[bytes]:
        self._rest += await self._receive()
        *whole, self._rest = self._rest.split(b"\n")
        if not self._more or len(self._rest) > _MAX_LINE_AHEAD:
            whole, self._rest = [*whole, self._rest], b""
        return list(non_empty(whole))

    async def _receive(self) -> bytes:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        self._more = bool(message.get("more_body", False))
        return bytes(message.get("body", b""))

    async def skip(self) -> None:
        """Reads the rest away: clients look for an answer only when they have sent all."""
        while self._more:
            await self._receive()


async def import_room(api: Api, call: Call) -> dict[str, Any]:
    """What was taken in stays where the client hangs up or a later line is none."""
    lines, started = BodyLines(call.request), api.rooms.start_import()
    try:
        while lot := await lines.next_lot():
            await api.host.run(partial(started.take, lot))
        room_id, counts = started.report()
    except HungUp:
        raise
    except DtnodeError:
        await lines.skip()
        raise
    return {"room_id": room_id, **counts}


ROUTES: Sequence[Route] = (post(f"{OWN}/import", import_room),)
