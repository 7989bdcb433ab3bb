"""What one frame is, as far as its bytes show without keys: for `dtnode link trace`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dtnode.errors import DecodeError
from dtnode.session.transfer.acks import FIRST_HALF, MORE_FOLLOWS, SECOND_HALF, form_of
from dtnode.session.transfer.acks import is_selective as ack_is_selective
from dtnode.session.transfer.broadcast import parse_broadcast
from dtnode.session.transfer.frames import (
    CRC_BYTES,
    DATA_HEADER_BYTES,
    WHOLE_UNIT,
    Flag,
    FrameKind,
    kind_of,
    needs_crc,
    strip_crc,
)
from dtnode.session.transfer.handshake_frames import (
    PIECE_HEADER_BYTES,
    SINGLE_HEADER_BYTES,
    handshake_kind,
    is_in_pieces,
    piece_index,
)
from dtnode.session.transfer.seals import SEAL_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameNote:
    """One frame, for people.

    kind: None if the first byte names none. size_bytes: all of it; header_bytes, tag_bytes (of a
    seal that ends in this frame) and crc_bytes are what framing took of that.
    number: low 8 bits of a data frame's number, or of the number an acknowledgement reaches up to.
    part: "whole", "first", "middle", "last" or "3 of 7" where the frame says so.
    words: flags as words ("over to you", "acknowledgement inside" ...), perhaps "damaged".
    """

    kind: FrameKind | None
    size_bytes: int
    header_bytes: int = 0
    tag_bytes: int = 0
    crc_bytes: int = 0
    number: int | None = None
    part: str = "whole"
    handshake_kind: int | None = None
    from_responder: bool | None = None
    words: tuple[str, ...] = ()

    @property
    def payload_bytes(self) -> int:
        return max(0, self.size_bytes - self.header_bytes - self.tag_bytes - self.crc_bytes)

    def __str__(self) -> str:
        name = "unknown" if self.kind is None else self.kind.value
        number = "" if self.number is None else f" {self.number}"
        kind = "" if self.handshake_kind is None else f" kind {self.handshake_kind}"
        sender = {None: "", False: " from initiator", True: " from responder"}[self.from_responder]
        words = "".join(f", {word}" for word in self.words)
        return (
            f"{name}{kind}{number} ({self.part}){sender}, {self.size_bytes} B: header"
            f" {self.header_bytes}, payload {self.payload_bytes}, tag {self.tag_bytes}, CRC"
            f" {self.crc_bytes}{words}"
        )


def describe(frame: bytes, *, reliable: bool = False, crc: bool = False) -> FrameNote:
    """What `frame` is on a link that is reliable, or whose frames carry checksums. Never raises."""
    try:
        kind = kind_of(frame)
    except DecodeError:
        return FrameNote(kind=None, size_bytes=len(frame), words=("not a frame of dtnode",))
    if kind is FrameKind.DATA:
        return _describe_data(frame, reliable=reliable, crc=crc)
    if kind is FrameKind.ACK:
        return _describe_ack(frame)
    if kind is FrameKind.HANDSHAKE:
        return _describe_handshake(frame, crc=crc)
    return _describe_broadcast(frame, crc=crc)


def _describe_data(frame: bytes, *, reliable: bool, crc: bool) -> FrameNote:
    flags = Flag(frame[0])
    header_bytes = 1 if reliable else DATA_HEADER_BYTES
    has_crc = crc and not reliable and needs_crc(flags)
    words: list[str] = []
    if flags & Flag.POLL:
        words.append("over to you")
    if flags & Flag.ACK:
        words.append("acknowledgement inside")
    if flags & Flag.LONE:
        words.append("one whole message")
    least = header_bytes + (SEAL_BYTES if flags & WHOLE_UNIT == WHOLE_UNIT or reliable else 1)
    if len(frame) < least or (has_crc and strip_crc(frame) is None):
        words.append("damaged")
    return FrameNote(
        kind=FrameKind.DATA,
        size_bytes=len(frame),
        header_bytes=header_bytes,
        tag_bytes=SEAL_BYTES if reliable or flags & Flag.END else 0,
        crc_bytes=CRC_BYTES if has_crc else 0,
        number=None if reliable or len(frame) < 2 else frame[1],
        part=_part(begins=bool(flags & Flag.START), ends=bool(flags & Flag.END)),
        from_responder=bool(flags & Flag.RESPONDER),
        words=tuple(words),
    )


def _describe_ack(frame: bytes) -> FrameNote:
    form = form_of(frame)
    selective = ack_is_selective(frame)
    words = ["selective"] if selective else []
    if form == MORE_FOLLOWS:
        words.append("more follows")
    second = form == SECOND_HALF
    header_bytes = 3 if selective and not second else 2
    if len(frame) < header_bytes + (0 if form in (FIRST_HALF, SECOND_HALF) else SEAL_BYTES):
        words.append("damaged")
    return FrameNote(
        kind=FrameKind.ACK,
        size_bytes=len(frame),
        header_bytes=header_bytes,
        tag_bytes=0 if form == FIRST_HALF else SEAL_BYTES,
        number=None if second or len(frame) < header_bytes else frame[header_bytes - 1],
        part={FIRST_HALF: "first", SECOND_HALF: "last"}.get(form, "whole"),
        from_responder=bool(frame[0] & Flag.RESPONDER),
        words=tuple(words),
    )


def _describe_handshake(frame: bytes, *, crc: bool) -> FrameNote:
    pieces = is_in_pieces(frame)
    header_bytes = PIECE_HEADER_BYTES if pieces else SINGLE_HEADER_BYTES
    damaged = len(frame) <= header_bytes or (pieces and crc and strip_crc(frame) is None)
    part = "whole"
    if pieces and len(frame) > header_bytes:
        index, last = piece_index(frame)
        part = f"{index + 1} of {index + 1}" if last else f"{index + 1} of more"
    return FrameNote(
        kind=FrameKind.HANDSHAKE,
        size_bytes=len(frame),
        header_bytes=header_bytes,
        crc_bytes=CRC_BYTES if pieces and crc else 0,
        part=part,
        handshake_kind=handshake_kind(frame),
        words=("damaged",) if damaged else (),
    )


def _describe_broadcast(frame: bytes, *, crc: bool) -> FrameNote:
    piece = parse_broadcast(frame, crc=crc)
    crc_bytes = CRC_BYTES if crc else 0
    if piece is None:
        return FrameNote(kind=FrameKind.BROADCAST, size_bytes=len(frame), words=("damaged",))
    return FrameNote(
        kind=FrameKind.BROADCAST,
        size_bytes=len(frame),
        header_bytes=len(frame) - len(piece.data) - crc_bytes,
        crc_bytes=crc_bytes,
        part="whole" if piece.id is None else f"{piece.index + 1} of {piece.count}",
        words=() if piece.id is None else (f"id {piece.id.hex()}",),
    )


def _part(*, begins: bool, ends: bool) -> str:
    if begins:
        return "whole" if ends else "first"
    return "last" if ends else "middle"
