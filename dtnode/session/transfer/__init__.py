"""Messages over frames of any MTU, in order and exactly once, without I/O (sans-IO). Floor 2.

`make_transfer()` gives what LinkSession drives once there are keys; HandshakeAssembler and
handshake_frames() carry the handshake before; BroadcastAssembler and broadcast_frames() what needs
no session; describe() says what a frame is. frames.py has the layout of all of them.
"""

from __future__ import annotations

from typing import Protocol

from dtnode.link_info import LinkInfo
from dtnode.session.transfer.broadcast import BroadcastAssembler, broadcast_frames
from dtnode.session.transfer.datagram import DatagramTransfer
from dtnode.session.transfer.describe import FrameNote, describe
from dtnode.session.transfer.frames import FrameKind, kind_of
from dtnode.session.transfer.handshake_frames import (
    HandshakeAssembler,
    HandshakeFrame,
    handshake_frames,
)
from dtnode.session.transfer.seals import SEAL_BYTES, Opener, Sealer, TransferKeys
from dtnode.session.transfer.stream import StreamTransfer

__all__ = [
    "SEAL_BYTES",
    "BroadcastAssembler",
    "DatagramTransfer",
    "FrameKind",
    "FrameNote",
    "HandshakeAssembler",
    "HandshakeFrame",
    "Opener",
    "Sealer",
    "StreamTransfer",
    "Transfer",
    "TransferKeys",
    "broadcast_frames",
    "describe",
    "handshake_frames",
    "kind_of",
    "make_transfer",
]


class Transfer(Protocol):
    """Both directions of one session's messages over one link; see DatagramTransfer's methods."""

    @property
    def queued_bytes(self) -> int: ...
    @property
    def unacknowledged_bytes(self) -> int: ...
    @property
    def is_idle(self) -> bool: ...
    @property
    def dropped_frames(self) -> int: ...

    def send(self, message: bytes, /) -> None: ...
    def receive_frame(self, frame: bytes, now: float, /) -> list[bytes]: ...
    def frames_to_send(self, now: float, /, max_bytes: int | None = None) -> list[bytes]: ...
    def next_wake_at(self) -> float | None: ...
    def resume(self, now: float, /) -> None: ...


def make_transfer(
    *, info: LinkInfo, keys: TransferKeys, initiator: bool, crc: bool = False, odd: bool = False
) -> Transfer:
    """The Transfer for a link; crc and odd as for DatagramTransfer. Raises LocalProtocolError."""
    if info.reliable:
        return StreamTransfer(mtu_bytes=info.mtu_bytes, keys=keys, initiator=initiator)
    return DatagramTransfer(info=info, keys=keys, initiator=initiator, crc=crc, odd=odd)
