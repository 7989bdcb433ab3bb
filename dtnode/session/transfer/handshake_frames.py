"""Temporary."""
from dtnode.session.opening import HandshakeKind, HandshakeMessage


def handshake_frames(message: HandshakeMessage, *, tag: bytes, mtu_bytes: int, crc: bool) -> list[bytes]:
    return [bytes([0xA0 | (message.kind & 7) << 2]) + message.data]


class HandshakeAssembler:
    def __init__(self, *, crc: bool) -> None: ...

    def receive(self, frame: bytes) -> HandshakeMessage | None:
        return HandshakeMessage(kind=HandshakeKind((frame[0] >> 2) & 7 or 8), data=frame[1:])
