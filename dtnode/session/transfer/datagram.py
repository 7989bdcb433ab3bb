"""Messages over a link that loses, repeats, reorders or damages frames: the ARQ machine.

It puts together the two windows (sending.py, receiving.py) and decides when to speak. Not what
frames look like (frames.py, acks.py), nor any cryptography. Called by LinkSession through the
Transfer protocol.

Half duplex: the ends take turns. A transmission is a burst of frames, the last of which says "over
to you"; then this end listens until the answer, or until the answer is overdue. The answer tells
what of the burst is missing; that goes first in the next one. While the peer is in the middle of a
burst nothing is sent. Full duplex: a sliding window; a frame is lost when later ones arrived.

What only acknowledges (sending.py: unhurried) asks for no acknowledgement by itself, nor does its
sender wait for an answer. Acknowledged it is with the next frame that goes there, or after minutes;
repeated when the peer repeats what it acknowledged, when a later frame shows a gap, or after more
minutes; then without the poll bit, and acknowledged as any frame. Else a message of a conversation
would have two acknowledgements, one of the other.

In silence one frame is repeated at growing intervals, up to minutes, for ever: windows, parts of
units and of messages stay as they are, and the first frame that gets through goes on from there.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from dtnode.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from dtnode.link_info import Duplex, LinkInfo
from dtnode.session.transfer.acks import (
    MORE_FOLLOWS,
    Ack,
    AckReader,
    ack_frames,
    bitmap_bytes_for,
    form_of,
    is_selective,
    nearest_from,
    unpack_inside,
    with_more_following,
)
from dtnode.session.transfer.frames import (
    MAX_FRAME_BYTES,
    MIN_MTU_BYTES,
    MIN_MTU_WITH_CRC_BYTES,
    Flag,
    FrameKind,
    kind_of,
    polled,
)
from dtnode.session.transfer.packing import MessageUnpacker
from dtnode.session.transfer.receiving import Arrival, ReceiveWindow, Unit
from dtnode.session.transfer.round_trip import RoundTrip
from dtnode.session.transfer.seals import TransferKeys
from dtnode.session.transfer.sending import Packet, SendWindow, is_unhurried_unit
from dtnode.session.transfer.timing import UNHURRIED_ACK_S, Timing

_SIDE: Final = Flag.SESSION | Flag.RESPONDER

ACK_WINDOW_SHARE: Final = 4
"""Full duplex: an acknowledgement at least each quarter of the window, so that the sender never
stands still for it."""

TWICE_FROM_BYTES: Final = 512
"""Half duplex: an acknowledgement of about so much or more is sent twice. Its loss costs a probe
and two turnarounds, a second copy 2% of what it acknowledges."""


class DatagramTransfer:
    """One session's messages over one unreliable link, both directions.

    info: of the link (not reliable, not simplex). crc: it has no checksum of its own.
    initiator: this end began the handshake; odd: one bit that changes from a session with this
    peer to the next, equal at both ends (the handshake number's last bit, say).
    Raises LocalProtocolError for a link that can't carry a session.
    """

    def __init__(
        self,
        *,
        info: LinkInfo,
        keys: TransferKeys,
        initiator: bool,
        crc: bool = False,
        odd: bool = False,
    ) -> None:
        _check_link(info, crc=crc)
        self._timing = Timing(info=info, responder=not initiator)
        self._round_trip = RoundTrip(self._timing)
        self._side = Flag.RESPONDER if not initiator else Flag(0)
        self._side |= Flag.SESSION if odd else Flag(0)
        self._mtu_bytes = info.mtu_bytes
        self._bitmap_bytes = bitmap_bytes_for(info.mtu_bytes)
        self._ack_sealer = keys.ack_sealer
        self._acks = AckReader(keys.ack_opener)
        self._newest_ack = Ack(up_to=0)
        self._newest_ack_frame = b""
        self._unpacker = MessageUnpacker()
        self._receiving = ReceiveWindow(keys.data_opener, crc=crc)
        self._sending = SendWindow(
            keys.data_sealer,
            side=self._side,
            mtu_bytes=info.mtu_bytes,
            crc=crc,
            window_frames=self._timing.window_frames,
            unit_frames=self._timing.unit_frames,
        )
        self._outbox: deque[tuple[bytes, Packet | None]] = deque()
        self._told: tuple[Ack, list[bytes]] | None = None
        self._ack_at: float | None = None
        self._ack_is_unhurried = False  # all it would acknowledge: it may ride, nothing else
        self._unacked_arrivals = 0
        self._quiet_until = 0.0
        self._dropped = 0

    @property
    def queued_bytes(self) -> int:
        """Messages, or what is left of them, that are not in frames yet."""
        return self._sending.packer.queued_bytes

    @property
    def unacknowledged_bytes(self) -> int:
        """Frames made and not acknowledged, but for those that only acknowledge."""
        return self._sending.in_flight_bytes

    @property
    def is_idle(self) -> bool:
        """Nothing to send, to repeat or to acknowledge."""
        waits = self._outbox or self._ack_at is not None
        return not (waits or self._sending.has_unacknowledged or self.queued_bytes)

    @property
    def held_bytes(self) -> int:
        """Memory for what came early or in part."""
        return self._receiving.held_bytes + self._unpacker.held_bytes

    @property
    def dropped_frames(self) -> int:
        """Frames that were damaged, forged, echoed or of another session."""
        return self._dropped

    @property
    def spoiled_units(self) -> int:
        """Units whose tag failed after their pieces had come: damaged or forged pieces."""
        return self._receiving.spoiled_units

    def send(self, message: bytes) -> None:
        """Queue a message (1 byte to MAX_MESSAGE_BYTES). Raises LocalProtocolError: empty, too
        long, or MAX_QUEUED_BYTES wait already."""
        self._sending.packer.append(message)

    def receive_frame(self, frame: bytes, now: float) -> list[bytes]:
        """The messages that `frame` completes, in order; `now` is monotonic time in seconds.

        What is damaged, forged, repeated or of another session is dropped silently. Raises
        DecodeError or LimitError only for what was sealed with the peer's key and is a lie.
        """
        try:
            kind = kind_of(frame)
        except DecodeError:
            kind = FrameKind.HANDSHAKE
        if len(frame) > MAX_FRAME_BYTES or kind not in (FrameKind.DATA, FrameKind.ACK):
            self._dropped += 1
            return []
        if frame[0] & _SIDE != self._side ^ Flag.RESPONDER:
            self._dropped += 1
            return []
        if kind is FrameKind.ACK:
            self._on_ack_frame(frame, now)
            return []
        return self._on_data(frame, now)

    def frames_to_send(self, now: float, max_bytes: int | None = None) -> list[bytes]:
        """Frames for the link, in order: all there are now, or about `max_bytes` (at least one
        frame). To be called after every other call and at next_wake_at()."""
        if not self._outbox:
            self._plan(now)
        frames: list[bytes] = []
        given = 0
        while self._outbox and (max_bytes is None or given < max_bytes):
            frame, packet = self._outbox.popleft()
            self._round_trip.on_sent(frame, packet, now, begins=not given)
            given += len(frame)
            frames.append(frame)
        if frames and not self._outbox and self._round_trip.is_unhurried:
            self._yield_turn(now)
        return frames

    def farewell(self, _message: bytes, /) -> list[bytes]:
        """None: whoever is out of reach would miss it, and a silent end costs the peer nothing."""
        return []

    def next_wake_at(self) -> float | None:
        """When frames_to_send() must be called even if nothing happens; None: never."""
        if self._outbox:
            return 0.0
        overdue_at = self._round_trip.overdue_at
        if self._awaits_answer and overdue_at is not None:
            return max(overdue_at, self._quiet_until)
        times = [at for at in (self._ack_at, overdue_at) if at is not None]
        may_send = overdue_at is None or self._round_trip.is_unhurried
        if may_send and self._sending.has_work:
            times.append(0.0)
        if not times:
            return None
        return max(min(times), self._quiet_until)

    def resume(self, now: float) -> None:
        """The link may be back after an outage: probe at once instead of at the next interval."""
        self._round_trip.hurry(now)

    # Receiving

    def _on_data(self, frame: bytes, now: float) -> list[bytes]:
        arrival, units = self._receiving.receive(frame)
        if arrival is Arrival.DROPPED:
            self._dropped += 1
            return []
        is_poll = bool(frame[0] & Flag.POLL)
        self._listen(now, until_more=not is_poll)
        messages: list[bytes] = []
        for unit in units:
            messages += self._unpack(unit, now)
        if is_poll and len(units) == len(messages) == 1:
            if is_unhurried_unit(units[0].flags, messages[0]) and self._put_off_ack(now):
                return messages
        elif arrival is Arrival.REPEATED and self._round_trip.is_unhurried:
            # What told the peer that this had come was lost.
            self._sending.lose_all()
        self._plan_ack(now, is_poll=is_poll, is_news=arrival is Arrival.NEW)
        return messages

    def _unpack(self, unit: Unit, now: float) -> list[bytes]:
        plaintext = unit.plaintext
        if unit.flags & Flag.ACK:
            ack, plaintext = unpack_inside(plaintext)
            self._on_ack(ack, now, takes_back=False)
        return self._unpacker.feed(plaintext, lone=bool(unit.flags & Flag.LONE))

    def _on_ack_frame(self, frame: bytes, now: float) -> None:
        self._listen(now, until_more=form_of(frame) == MORE_FOLLOWS)
        whole = self._acks.join(frame)
        if whole is None:
            return
        ack = self._opened_ack(whole)
        if ack is None:
            self._dropped += 1
        elif ack.counter > self._newest_ack.counter:
            self._newest_ack, self._newest_ack_frame = ack, whole
            self._on_ack(ack, now, takes_back=True)
        elif ack.counter == self._newest_ack.counter and self._round_trip.is_silent:
            self._sending.acknowledge(ack, takes_back=True)
            self._sending.lose_all()
            self._round_trip.on_same_ack(now)

    def _opened_ack(self, whole: bytes) -> Ack | None:
        """None: forged, damaged or old."""
        if whole == self._newest_ack_frame:
            return self._newest_ack
        if not self._may_be_due(whole):
            return None
        try:
            return self._acks.open(whole, self._sending.base)
        except RemoteProtocolError:
            return None

    def _may_be_due(self, frame: bytes) -> bool:
        """Not one from long ago, which would fail its tag like a forged one."""
        at = 2 if is_selective(frame) else 1
        number = frame[at] if len(frame) > at else 0
        return nearest_from(self._sending.base, number) <= self._sending.next_number

    def _on_ack(self, ack: Ack, now: float, *, takes_back: bool) -> None:
        news = self._sending.acknowledge(ack, takes_back=takes_back)
        probe_turn = self._round_trip.on_ack(news, now)
        if self._timing.half_duplex:
            self._sending.lose_all()
        elif news:
            self._sending.lose_overtaken(news)
            if probe_turn is not None:
                self._sending.lose_all(before=probe_turn)
        if not self._sending.has_unacknowledged:
            self._round_trip.stop()

    def _listen(self, now: float, *, until_more: bool) -> None:
        """The peer spoke; it goes on, or it is this end's turn."""
        if not self._timing.half_duplex:
            return
        self._quiet_until = now + (self._timing.gap_s if until_more else 0.0)
        self._round_trip.put_off(self._quiet_until + self._timing.grace_s)

    def _plan_ack(self, now: float, *, is_poll: bool, is_news: bool) -> None:
        timing = self._timing
        self._ack_is_unhurried = False
        self._unacked_arrivals += 1
        if timing.half_duplex:
            # Put off while the peer talks: next_wake_at() and _plan() heed _quiet_until as well.
            self._ack_at = now + timing.grace_s if is_poll else self._quiet_until
            return
        soon = is_poll or not is_news or self._receiving.has_gap
        if ACK_WINDOW_SHARE * self._unacked_arrivals >= timing.window_frames:
            due = now
        else:
            due = now + (timing.grace_s if soon else timing.ack_delay_s)
        self._ack_at = due if self._ack_at is None else min(self._ack_at, due)

    def _put_off_ack(self, now: float) -> bool:
        """Whether the unhurried unit that came needs no acknowledgement for now: nothing else that
        came does, and the peer's window is far from full."""
        is_first = self._ack_at is None
        if not (is_first or self._ack_is_unhurried) or self._receiving.has_gap:
            return False
        if ACK_WINDOW_SHARE * (self._unacked_arrivals + 1) >= self._timing.window_frames:
            return False
        self._unacked_arrivals += 1
        if is_first:
            self._ack_at = now + UNHURRIED_ACK_S
            self._ack_is_unhurried = True
        return True

    # Sending

    def _plan(self, now: float) -> None:
        """Fill the outbox with what is to be sent now."""
        if self._timing.half_duplex and now < self._quiet_until:
            return
        if self._ack_at is not None and now >= self._ack_at:
            self._ack_is_unhurried = False
        overdue_at = self._round_trip.overdue_at
        if overdue_at is not None and now >= overdue_at:
            self._plan_probe()
        elif self._awaits_answer:
            return
        elif not self._round_trip.is_silent:
            self._plan_burst(now)
        elif self._ack_at is not None and now >= self._ack_at:
            self._plan_ack_alone(now)

    @property
    def _awaits_answer(self) -> bool:
        """Half duplex: it is the peer's turn until then."""
        waits = self._round_trip.overdue_at is not None and not self._round_trip.is_unhurried
        return self._timing.half_duplex and waits

    def _plan_ack_alone(self, now: float) -> None:
        self._plan_ack_frames(alone=True)
        self._yield_turn(now)

    def _yield_turn(self, now: float) -> None:
        """After acknowledgements alone it is the peer's turn: it may have more, and what it begins
        isn't heard yet."""
        if self._timing.half_duplex:
            self._quiet_until = now + self._timing.courtesy_s

    def _plan_probe(self) -> None:
        packet = self._sending.probe()
        if packet is None:
            self._round_trip.stop()
            return
        if self._ack_at is not None and not self._ack_is_unhurried:
            self._plan_ack_frames(alone=False)
        self._round_trip.on_probe()
        self._put(packet, poll=True)

    def _plan_burst(self, now: float) -> None:
        ack_first = self._ack_at is not None and now >= self._ack_at
        packets, told = self._packets_to_send()
        if not packets:
            if ack_first:
                self._plan_ack_alone(now)
            return
        asked = self._timing.half_duplex and not self._ack_is_unhurried
        if self._ack_at is not None and not told and (ack_first or asked):
            self._plan_ack_frames(alone=False)
        drained = not self.queued_bytes or not self._sending.can_make()
        for packet in packets[:-1]:
            self._put(packet, poll=False)
        self._put(packets[-1], poll=self._timing.half_duplex or drained)

    def _packets_to_send(self) -> tuple[list[Packet], bool]:
        """Lost ones, made ones, new ones, as far as a burst goes; and whether an acknowledgement
        is inside the first new one."""
        budget = self._timing.burst_frames if self._timing.half_duplex else None
        packets = (self._sending.lost() + self._sending.unsent())[:budget]
        told = False
        while self._sending.can_make() and (budget is None or len(packets) < budget):
            ack = None
            if self._ack_at is not None and not told:
                ack = self._receiving.acknowledgement(self._bitmap_bytes)
            if ack is not None and self._sending.fits_inside(ack):
                told = True
                self._ack_told()
            else:
                ack = None
            packets += self._sending.make(ack)
        return packets[:budget], told

    def _plan_ack_frames(self, *, alone: bool) -> None:
        ack = self._receiving.acknowledgement(self._bitmap_bytes)
        if self._told is None or self._told[0] != ack:
            frames = ack_frames(ack, self._ack_sealer, self._side, self._mtu_bytes)
            self._told = (ack, frames)
        frames = self._told[1]
        if len(frames) == 1:
            more = with_more_following(frames[0])
            if not alone:
                frames = [more]
            elif self._timing.half_duplex and self._acknowledges_much():
                frames = [more, *frames]
        self._outbox.extend((frame, None) for frame in frames)
        self._ack_told()

    def _acknowledges_much(self) -> bool:
        frames = self._unacked_arrivals
        return frames > 1 and frames * self._mtu_bytes >= TWICE_FROM_BYTES

    def _ack_told(self) -> None:
        self._ack_at = None
        self._ack_is_unhurried = False
        self._unacked_arrivals = 0

    def _put(self, packet: Packet, *, poll: bool) -> None:
        # An unhurried frame that is repeated is awaited: the poll bit, cleared, tells.
        poll = poll and not (packet.unhurried and packet.was_sent)
        self._sending.mark_sent(packet)
        self._outbox.append((polled(packet.frame) if poll else packet.frame, packet))


def _check_link(info: LinkInfo, *, crc: bool) -> None:
    least = MIN_MTU_WITH_CRC_BYTES if crc else MIN_MTU_BYTES
    if not least <= info.mtu_bytes <= MAX_FRAME_BYTES:
        raise LocalProtocolError(
            f"the link's MTU is {info.mtu_bytes} bytes; {least} to {MAX_FRAME_BYTES} can be used"
        )
    if info.duplex is Duplex.SIMPLEX:
        raise LocalProtocolError("a one-way link carries broadcasts, not a session")
