"""Two transfers over a simulated medium in virtual time: airtime, turnaround, collisions, faults.

What the tests here share; nothing is a test. All randomness comes from one seed.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from dtnode.errors import RemoteProtocolError
from dtnode.link_info import Duplex, LinkInfo
from dtnode.session.transfer import DatagramTransfer, TransferKeys


class Ccm:
    """AES-CCM-8 as sealer and opener, which insists on what the protocols promise."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESCCM(key, tag_length=8)
        self._sealed = -1
        self._opened: set[int] = set()

    def seal(self, counter: int, header: bytes, plaintext: bytes, /) -> bytes:
        assert counter > self._sealed, "a counter was used twice, or out of order"
        self._sealed = counter
        return self._aead.encrypt(counter.to_bytes(12, "big"), plaintext, header)

    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes:
        assert counter not in self._opened, "a counter was opened twice"
        try:
            plaintext = self._aead.decrypt(counter.to_bytes(12, "big"), sealed, header)
        except (InvalidTag, ValueError):
            raise RemoteProtocolError("wrong tag") from None
        self._opened.add(counter)
        return plaintext


class AckCcm(Ccm):
    """The same for acknowledgements, of which an equal one may be opened again."""

    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes:
        self._opened.discard(counter)
        return super().open(counter, header, sealed)


def key_pair() -> tuple[TransferKeys, TransferKeys]:
    keys = [bytes([n]) * 32 for n in range(4)]
    return (
        TransferKeys(
            data_sealer=Ccm(keys[0]),
            data_opener=Ccm(keys[1]),
            ack_sealer=Ccm(keys[2]),
            ack_opener=AckCcm(keys[3]),
        ),
        TransferKeys(
            data_sealer=Ccm(keys[1]),
            data_opener=Ccm(keys[0]),
            ack_sealer=Ccm(keys[3]),
            ack_opener=AckCcm(keys[2]),
        ),
    )


@dataclass(kw_only=True)
class Faults:
    """What the medium does to a frame; probabilities."""

    loss: float = 0.0
    burst_loss: int = 1
    repeat: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    echo: float = 0.0
    byte_error: float = 0.0
    cut: Callable[[float, int], bool] = field(default=lambda now, end: False)


def info_of(
    mtu: int, *, bitrate: int | None = 1200, half: bool = True, turnaround: float = 0.5
) -> LinkInfo:
    return LinkInfo(
        mtu_bytes=mtu,
        bitrate_bps=bitrate,
        duplex=Duplex.HALF if half else Duplex.FULL,
        reliable=False,
        turnaround_s=turnaround if half else 0.0,
    )


class Air:
    """Ends 0 (initiator) and 1, joined. run() moves time on until nothing is left to do."""

    def __init__(
        self, info: LinkInfo, faults: Faults | None = None, *, seed: int = 0, crc: bool = False
    ) -> None:
        self.info = info
        self.faults = faults or Faults()
        self.random = Random(seed)
        keys = key_pair()
        self.ends = [
            DatagramTransfer(info=info, keys=keys[n], initiator=n == 0, crc=crc) for n in (0, 1)
        ]
        self.now = 0.0
        self.received: list[list[bytes]] = [[], []]
        self.received_at: list[list[float]] = [[], []]
        self.sent_bytes = [0, 0]
        self.sent_frames = [0, 0]
        self.collisions = 0
        self.log: list[tuple[float, int, bytes]] = []
        self._events: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        self._free_at = [0.0, 0.0]
        self._on_air: list[list[tuple[float, float]]] = [[], []]
        self._losing = 0

    def send(self, end: int, message: bytes) -> None:
        self.ends[end].send(message)

    def heard(self, end: int, message: bytes) -> None:
        """What `end` does at once when a message comes: nothing here."""

    def run(self, until: float = 1e7, *, max_events: int = 400_000) -> Air:
        """Until `until`, or until both ends are idle and the air is empty."""
        for _ in range(max_events):
            for end in (0, 1):
                self._transmit(end)
            times = [self._events[0][0]] if self._events else []
            times += [wake for e in self.ends if (wake := e.next_wake_at()) is not None]
            if not times:
                return self
            if min(times) > until:
                self.now = until
                return self
            self.now = max(self.now, min(times))
            while self._events and self._events[0][0] <= self.now:
                _, _, end, frame = heapq.heappop(self._events)
                messages = self.ends[end].receive_frame(frame, self.now)
                self.received[end] += messages
                self.received_at[end] += [self.now] * len(messages)
                for message in messages:
                    self.heard(end, message)
        raise AssertionError(f"no end in sight after {max_events} steps, at {self.now:.0f} s")

    def _transmit(self, end: int) -> None:
        for frame in self.ends[end].frames_to_send(self.now):
            assert 0 < len(frame) <= self.info.mtu_bytes
            self.sent_bytes[end] += len(frame)
            self.sent_frames[end] += 1
            self.log.append((self.now, end, frame))
            airtime = 8 * len(frame) / self.info.bitrate_bps if self.info.bitrate_bps else 1e-5
            start = max(self._free_at[end], self.now)
            if start == self.now:
                start += self.info.turnaround_s
            stop = self._free_at[end] = start + airtime
            if self.info.duplex is Duplex.HALF and self._collides(end, start, stop):
                self.collisions += 1
                continue
            self._deliver(end, frame, stop)

    def _collides(self, end: int, start: float, stop: float) -> bool:
        self._on_air[end] = [(a, b) for a, b in self._on_air[end] if b > self.now]
        self._on_air[end].append((start, stop))
        return any(a < stop and start < b for a, b in self._on_air[1 - end])

    def _deliver(self, end: int, frame: bytes, at: float) -> None:
        faults, random = self.faults, self.random
        if faults.cut(at, end):
            return
        if self._losing:
            self._losing -= 1
            return
        if random.random() < faults.loss / faults.burst_loss:
            self._losing = faults.burst_loss - 1
            return
        if random.random() < faults.corrupt:
            at_byte = random.randrange(len(frame))
            flipped = frame[at_byte] ^ random.randrange(1, 256)
            frame = frame[:at_byte] + bytes((flipped,)) + frame[at_byte + 1 :]
        if faults.byte_error:
            frame = bytes(
                random.randrange(256) if random.random() < faults.byte_error else byte
                for byte in frame
            )
        if random.random() < faults.reorder:
            at += random.random() * 0.5
        self._arrive(at + 1e-6, 1 - end, frame)
        if random.random() < faults.repeat:
            self._arrive(at + random.random() * 5, 1 - end, frame)
        if random.random() < faults.echo:
            self._arrive(at + 1e-6, end, frame)

    def _arrive(self, at: float, end: int, frame: bytes) -> None:
        heapq.heappush(self._events, (at, next(self._order), end, frame))
