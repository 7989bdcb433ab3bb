"""An open link: new events go out to whoever listens, and those of others are taken in.

No session, no peer, no answer: each event proves itself (DESIGN section 6), and only rooms that may
be read by all go over it. What is lost is found over other links. Each event is a message of its
own, so that one lost frame costs one event.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable

import trio

from dtnode.errors import LocalProtocolError, RemoteProtocolError, StoreError
from dtnode.link import Link
from dtnode.node.link_record import LinkRecord
from dtnode.node.peer_log import one_line
from dtnode.node.trace import Trace
from dtnode.node.worker import News, StoreWorker
from dtnode.rooms import Rooms
from dtnode.session.transfer import BroadcastAssembler, broadcast_frames
from dtnode.signer import Entropy
from dtnode.wire.codec import MessageDecoder, MessageEncoder
from dtnode.wire.effort import MAX_BROADCAST_SYMBOLS
from dtnode.wire.messages import Events, Form
from dtnode.wire.packed import PackedEvents
from dtnode.wire.packing import Packer
from dtnode.wire.pdus import NothingKnown, TextCoder

_MAX_WAITING = 1_000  # events to be sent; older ones are dropped, other links bring them
_MAX_HEARD = 4_096  # ids that came over this link and needn't go out there again
_ID_BYTES = 4

logger = logging.getLogger(__name__)


class Broadcasts:
    """Everything over one open link, until it ends. Takes the link over."""

    def __init__(
        self,
        *,
        link: Link,
        link_id: str,
        rooms: Rooms,
        worker: StoreWorker,
        entropy: Entropy,
        text_coder: TextCoder,
        shortens: bool,
        trace: Trace,
        on_close: Callable[[Broadcasts], None],
    ) -> None:
        """shortens: texts go through the text model."""
        self.link_id = link_id
        self.record = LinkRecord(link_id, link.info, trace)
        self.traffic = self.record.traffic
        self.close_reason: str | None = None
        self._link = link
        self._rooms = rooms
        self._worker = worker
        self._entropy = entropy
        self._text_coder = text_coder
        self._shortens = shortens
        self._on_close = on_close
        self._assembler = BroadcastAssembler(crc=not link.info.checked)
        self._waiting: deque[tuple[str, str]] = deque(maxlen=_MAX_WAITING)
        self._heard: OrderedDict[str, None] = OrderedDict()
        self._news = trio.Event()
        self._scope = trio.CancelScope()

    def notify(self, news: News) -> None:
        """Something became visible here."""
        for room_id, event_ids in news.events.items():
            self._waiting.extend((room_id, event_id) for event_id in event_ids)
        self._news.set()

    def close(self, reason: str) -> None:
        self.close_reason = self.close_reason or reason
        self._scope.cancel()

    async def run(self) -> None:
        """Until the link or the node ends it."""
        self.record.note(f"{self._link!r} is up")
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._receive, nursery.cancel_scope)
                    nursery.start_soon(self._send_news)
        except* (trio.BrokenResourceError, trio.ClosedResourceError) as broken:
            self.close_reason = self.close_reason or f"the link broke: {broken.exceptions[0]}"
        finally:
            self.record.note(f"{self._link!r} ends: {one_line(self.close_reason or '')}")
            self._on_close(self)
            await trio.aclose_forcefully(self._link)

    async def _receive(self, scope: trio.CancelScope) -> None:
        async for frame in self._link:
            self.record.frame(frame, incoming=True)
            message = self._assembler.receive(frame)
            if message is None:
                continue
            try:
                await self._take(message)
            except RemoteProtocolError as exc:  # anyone can send anything here
                logger.info(
                    "link %s: a broadcast was no good: %s", self.link_id, one_line(str(exc))
                )
            except StoreError as exc:
                logger.error("link %s: a broadcast couldn't be kept: %s", self.link_id, exc)
        scope.cancel()

    async def _take(self, data: bytes) -> None:
        message = MessageDecoder().decode(data)
        if not isinstance(message, PackedEvents):
            return
        self.record.message(message, len(data), incoming=True)

        def receive() -> list[str]:
            # Anyone can send anything here: what the room is comes before what reading it costs.
            room = self._rooms.room(message.room_id)
            if room is None or self._rooms.standing(room).membership != "join":
                return []
            packer = Packer(self._text_coder, used=False, symbols=MAX_BROADCAST_SYMBOLS)
            unpacked = packer.unpack(message, NothingKnown())
            assert isinstance(unpacked, Events)
            received = self._rooms.receive_broadcast(
                unpacked.room_id, unpacked.pdus, source=f"link {self.link_id}"
            )
            outcomes = () if received is None else received.outcomes
            return [one.event_id for one in outcomes if one.event_id is not None]

        event_ids = await self._worker.run(receive)
        self.traffic.events_in += len(event_ids)
        for event_id in event_ids:
            self._heard[event_id] = None
            if len(self._heard) > _MAX_HEARD:
                self._heard.popitem(last=False)

    async def _send_news(self) -> None:
        while True:
            while self._waiting:
                room_id, event_id = self._waiting.popleft()
                if event_id not in self._heard:
                    await self._send(room_id, event_id)
            await self._news.wait()
            self._news = trio.Event()

    async def _send(self, room_id: str, event_id: str) -> None:
        def look_up() -> PackedEvents | None:
            room = self._rooms.room(room_id)
            found = self._rooms.sharing.broadcast(room_id, [event_id])
            if room is None or not found:
                return None
            events = Events(
                batch=0,
                room_id=room_id,
                room_version=room.version.identifier,
                pdus=tuple(pdu for _, pdu in found),
                form=Form.EXPLICIT,
            )
            packer = Packer(self._text_coder, used=self._shortens, symbols=MAX_BROADCAST_SYMBOLS)
            packed = packer.pack(events, NothingKnown())
            assert isinstance(packed, PackedEvents)
            return packed

        try:
            message = await self._worker.run(look_up)
        except StoreError as exc:
            logger.error("link %s: an event can't be looked up: %s", self.link_id, exc)
            return
        if message is None or event_id in self._heard:  # perhaps it came while it was looked up
            return
        data = MessageEncoder().encode(message)
        info = self._link.info
        try:
            frames = broadcast_frames(
                self._entropy(_ID_BYTES), data, mtu_bytes=info.mtu_bytes, crc=not info.checked
            )
        except LocalProtocolError as exc:  # too large for frames as small as this link's
            logger.error("link %s: event %s can't be sent: %s", self.link_id, event_id, exc)
            return
        self.record.message(message, len(data), incoming=False)
        for frame in frames:
            await self._link.send(frame)
            self.record.frame(frame, incoming=False)
        self.traffic.events_out += 1
