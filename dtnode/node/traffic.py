"""What went over one link, counted. dtnode.node.connection counts, `dtnode status` shows."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """Counted on this link since it came up. turnarounds: changes of direction."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    events_in: int = 0
    events_out: int = 0
    turnarounds: int = 0
    _last_was_in: bool | None = field(default=None, repr=False)

    def counted(self, size_bytes: int, *, incoming: bool) -> None:
        if incoming:
            self.frames_in += 1
            self.bytes_in += size_bytes
        else:
            self.frames_out += 1
            self.bytes_out += size_bytes
        if self._last_was_in is not incoming:
            self.turnarounds += self._last_was_in is not None
            self._last_was_in = incoming
