"""What a link can do, as plain values. Floor 0: session, sync and transports all read it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Duplex(enum.Enum):
    FULL = "full"
    HALF = "half"
    SIMPLEX = "simplex"


class CipherPolicy(enum.Enum):
    """How frames are protected (DESIGN section 6). SEALED: encrypted and authenticated. CLEAR:
    authenticated, readable by all (amateur bands). OPEN: neither; there is no session, each event
    proves itself (one-way broadcast)."""

    SEALED = "sealed"
    CLEAR = "clear"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """Properties of one live hop.

    mtu_bytes: largest frame `send` takes.
    bitrate_bps: bits per second, declared or measured; None where it doesn't matter (TCP).
    reliable: frames arrive once, whole and in order until the link closes.
    checked: the medium drops damaged frames by itself (a checksum, error correction).
    turnaround_s: seconds to switch between sending and receiving (0 on full duplex).
    """

    mtu_bytes: int
    bitrate_bps: int | None = None
    duplex: Duplex = Duplex.FULL
    reliable: bool = True
    checked: bool = True
    turnaround_s: float = 0.0
    cipher: CipherPolicy = CipherPolicy.SEALED
