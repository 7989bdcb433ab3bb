"""Moves frames between a Link and its LinkSession: one task reads, one writes.

Not what they mean: dtnode.node.connection takes the frames from the inbox one by one, and owns
both. The link itself pushes back where the store is slower.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf

import trio

from dtnode.link import Link
from dtnode.session import LinkSession

_INBOX_FRAMES = 32  # read ahead of the store; then the link itself pushes back
_WRITE_BYTES = 65_536  # handed to the link at a time, so that urgent frames needn't wait long
_STALL_S = 180.0  # for one frame, beyond its airtime: the link, or the peer, takes nothing any more
_REST_S = 5.0  # for what had come before a link broke
_FAREWELL_S, _FAREWELL_STEP_S = 2.0, 0.01  # for the last frames of a session that ends


class LinkPump:
    """on_frame(frame, incoming): each that came or went. on_end(reason): the link is over.
    on_drained(): all that the session had to send is out."""

    def __init__(
        self,
        link: Link,
        session: LinkSession,
        *,
        on_frame: Callable[[bytes, bool], None],
        on_end: Callable[[str], None],
        on_drained: Callable[[], None],
    ) -> None:
        self._link = link
        self._session = session
        self._on_frame = on_frame
        self._on_end = on_end
        self._on_drained = on_drained
        self._inbox_send, self._inbox = trio.open_memory_channel[bytes | None](_INBOX_FRAMES)
        self._writable = trio.Event()
        self._ended = False
        self._writing = False

    @property
    def is_over(self) -> bool:
        """Nothing came any more, and all that had come was taken."""
        return self._ended and self._inbox.statistics().current_buffer_used == 0

    def poke(self) -> None:
        """Lets next_input return."""
        # Where it doesn't fit, whoever takes inputs is awake anyway, or gone.
        with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._inbox_send.send_nowait(None)

    def flush(self) -> None:
        """The session may have something to send."""
        self._writable.set()

    async def next_input(self, until: float) -> bytes | None:
        """The next frame; None: poked, over, or it is `until`."""
        with trio.move_on_at(until):
            try:
                return await self._inbox.receive()
            except trio.EndOfChannel:
                return None
        return None

    async def read(self) -> None:
        """Until the link is over."""
        try:
            while True:
                frame = await self._link.receive()
                self._on_frame(frame, True)
                await self._inbox_send.send(frame)
        except trio.EndOfChannel:
            self._on_end("the other end closed the link")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._on_end(f"the link broke: {exc}")
        self._ended = True
        self._inbox_send.close()

    async def write(self, scope: trio.CancelScope) -> None:
        """What the session has to send, when flushed and by its timers. Until the link is over;
        `scope` is then cancelled soon. RemoteProtocolError: the peer let a time limit pass."""
        try:
            while True:
                self._writing = False
                wake_at = self._session.next_wake_at()
                with trio.move_on_at(inf if wake_at is None else wake_at):
                    await self._writable.wait()
                self._writable, self._writing = trio.Event(), True
                while frames := self._session.frames_to_send(trio.current_time(), _WRITE_BYTES):
                    for frame in frames:
                        await self._send(frame)
                self._on_drained()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._on_end(f"the link broke: {exc}")
            scope.deadline = trio.current_time() + _REST_S

    async def farewell(self) -> None:
        """Waits for the last frames (a Bye), if the link still takes them."""
        if self._ended:
            return
        with trio.move_on_after(_FAREWELL_S):
            self._writable.set()
            while self._writing or self._writable.is_set():
                await trio.sleep(_FAREWELL_STEP_S)

    async def close(self) -> None:
        with trio.move_on_after(_FAREWELL_S, shield=True):
            await self._link.aclose()

    async def _send(self, frame: bytes) -> None:
        """BrokenResourceError: also where the link takes nothing for minutes."""
        bitrate_bps = self._link.info.bitrate_bps
        patience_s = _STALL_S + (8 * len(frame) / bitrate_bps if bitrate_bps else 0.0)
        with trio.move_on_after(patience_s) as patience:
            await self._link.send(frame)
        if patience.cancelled_caught:
            raise trio.BrokenResourceError(f"it took nothing for {patience_s:.0f} s")
        self._on_frame(frame, False)
