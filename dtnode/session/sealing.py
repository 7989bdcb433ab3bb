"""Frames sealed under a session's keys: AES-CCM with an 8-byte tag, or a tag alone.

Not the handshake that agreed on the keys (key_exchange), and not the numbering of frames or what
of it travels (transfer). LinkSession makes these objects with transfer_keys() and hands them to
the transfer, which calls seal() and open().

- `sealed`: AES-256-CCM with 8-byte tag and 12-byte nonce (RFC 6655's AES_256_CCM_8): four zeros
  and the counter. With 13 bytes CCM would take 65,535 bytes of plaintext at most, less than a frame
  may have.
- `clear`: the plaintext and 8 bytes of keyed BLAKE2b over counter, header and plaintext.

**Rekeying.** A key serves EPOCH_FRAMES counters. The next one comes from a chain by a one-way
function, at both ends alike and without a message, since both know the counter. The key and the
chain before it are forgotten, so that who reads them from memory can't open what passed earlier;
an opener keeps the last epoch's key for WINDOW_FRAMES counters more, for late frames.
Acknowledgements have nothing to hide later: their keys serve the whole session. As in
dtnode.session.noise the chains are bytearrays and are wiped; copies that the libraries made can't
be, they are only let go.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from dtnode.errors import DecodeError, LimitError, LocalProtocolError, RemoteProtocolError
from dtnode.link_info import CipherPolicy
from dtnode.session.noise import KEY_BYTES, wipe
from dtnode.session.transfer.seals import SEAL_BYTES, TransferKeys

EPOCH_FRAMES: Final = 1024
"""Counters a key serves. Deriving one costs two hashes, a thousandth of sealing what it serves; on
a radio link it is hours of traffic, on TCP at most 1 GB (CCM's own bound is far above)."""

WINDOW_FRAMES: Final = 256
"""How far behind the newest a counter may be: twice the transfer's window."""

MAX_JUMP_EPOCHS: Final = 64
"""How far ahead of the newest a counter may be, in epochs: 65,536 frames, far more than a window of
the transfer. Bounds the keys derived for one frame."""

MAX_FORGERIES: Final = 1 << 20
"""Wrong tags before a session is given up. Each guess of an 8-byte tag succeeds with 2^-64, so all
of them together with 2^-44 (RFC 9147, section 4.5.3, asks for such a limit, and for CCM-8 for a low
one). On a noisy radio without a checksum a million damaged frames are months; then a new handshake
costs 110 bytes."""

MAX_COUNTER: Final = 2**64 - 1

_WHOLE_SESSION: Final = 2**64


class BadTagError(RemoteProtocolError):
    """A frame is damaged, forged or of another session. On a link that loses frames: drop it."""


class ReplayedError(RemoteProtocolError):
    """A frame was opened before, or is too old to tell. On a link that repeats frames: drop it."""


class _Cipher(Protocol):
    """What one key does; `counter` never comes twice for sealing."""

    def seal(self, counter: int, header: bytes, plaintext: bytes, /) -> bytes: ...

    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes | None:
        """None: the tag is wrong."""
        ...


class _Ccm:
    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESCCM(key, tag_length=SEAL_BYTES)

    def seal(self, counter: int, header: bytes, plaintext: bytes, /) -> bytes:
        return self._aead.encrypt(counter.to_bytes(12, "big"), plaintext, header)

    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes | None:
        try:
            return self._aead.decrypt(counter.to_bytes(12, "big"), sealed, header)
        except InvalidTag:
            return None


class _TagOnly:
    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, counter: int, header: bytes, plaintext: bytes, /) -> bytes:
        return plaintext + self._tag(counter, header, plaintext)

    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes | None:
        plaintext = sealed[:-SEAL_BYTES]
        tag = self._tag(counter, header, plaintext)
        return plaintext if compare_digest(tag, sealed[-SEAL_BYTES:]) else None

    def _tag(self, counter: int, header: bytes, plaintext: bytes) -> bytes:
        prefix = counter.to_bytes(8, "big") + len(header).to_bytes(2, "big")
        return blake2b(prefix + header + plaintext, key=self._key, digest_size=SEAL_BYTES).digest()


class _Epochs:
    """Keys by epoch, from a chain that only goes forward."""

    def __init__(self, key: bytes, cipher: type[_Ccm] | type[_TagOnly], epoch_frames: int) -> None:
        self._cipher = cipher
        self._epoch_frames = epoch_frames
        self._chain = bytearray(key)
        self._next = 0
        self._ciphers: dict[int, _Cipher] = {}

    def cipher(self, counter: int) -> _Cipher | None:
        """What seals and opens `counter`; None: its key is forgotten."""
        epoch = counter // self._epoch_frames
        while self._next <= epoch:
            self._ciphers[self._next] = self._cipher(_derive(self._chain, b"dtnode frames"))
            following = _derive(self._chain, b"dtnode chain")
            wipe(self._chain)
            self._chain[:] = following
            self._next += 1
        return self._ciphers.get(epoch)

    def forget_before(self, counter: int) -> None:
        """Let go of the keys that serve only counters below `counter`."""
        first = counter // self._epoch_frames
        for epoch in [epoch for epoch in self._ciphers if epoch < first]:
            del self._ciphers[epoch]

    def erase(self) -> None:
        wipe(self._chain)
        self._ciphers.clear()
        self._next = MAX_COUNTER


class FrameSealer:
    """Seals one direction's frames; a transfer's Sealer."""

    def __init__(self, key: bytes, policy: CipherPolicy, epoch_frames: int = EPOCH_FRAMES) -> None:
        self._epochs = _Epochs(key, _cipher_of(policy), epoch_frames)
        self._next_counter = 0

    def seal(self, counter: int, header: bytes, plaintext: bytes, /) -> bytes:
        """Ciphertext and tag. LocalProtocolError: a counter that isn't above the last one, which
        would use a nonce twice, or the counters or the session have come to their end."""
        if not self._next_counter <= counter < MAX_COUNTER:
            raise LocalProtocolError(f"frame {counter} can't be sealed after {self._next_counter}")
        cipher = self._epochs.cipher(counter)
        if cipher is None:
            raise LocalProtocolError("the session's keys were erased")
        self._epochs.forget_before(counter)
        self._next_counter = counter + 1
        return cipher.seal(counter, header, plaintext)

    def erase(self) -> None:
        """Forget the keys; nothing can be sealed afterwards."""
        self._epochs.erase()


class FrameOpener:
    """Opens one direction's frames; a transfer's Opener.

    Counters come in any order from WINDOW_FRAMES below the highest opened to MAX_JUMP_EPOCHS above
    it. What can't be opened leaves no trace but its count in `forgeries`.
    """

    def __init__(self, key: bytes, policy: CipherPolicy, epoch_frames: int = EPOCH_FRAMES) -> None:
        self._epochs = _Epochs(key, _cipher_of(policy), epoch_frames)
        self._max_jump = MAX_JUMP_EPOCHS * epoch_frames
        self._highest = -1
        self._opened = 0  # bit n: _highest - n
        self.frames_opened = 0
        self.forgeries = 0

    @property
    def worn_out(self) -> bool:
        """MAX_FORGERIES wrong tags came: nothing is opened any more, a new handshake is needed."""
        return self.forgeries >= MAX_FORGERIES

    def open(self, counter: int, header: bytes, sealed: bytes, /) -> bytes:
        """The plaintext. Raises BadTagError, ReplayedError, DecodeError (too short), or LimitError
        (too far ahead, or worn_out)."""
        if self.worn_out:
            raise LimitError(f"{MAX_FORGERIES} frames with wrong tags came in this session")
        if len(sealed) < SEAL_BYTES:
            raise DecodeError(f"sealed frame has {len(sealed)} bytes, less than its tag")
        behind = self._highest - counter
        if behind < -self._max_jump or not 0 <= counter < MAX_COUNTER:
            raise LimitError(f"frame {counter} is too far ahead of {self._highest}")
        if behind >= WINDOW_FRAMES or (behind >= 0 and self._opened >> behind & 1):
            raise ReplayedError(f"frame {counter} was opened before, or is too old to tell")
        cipher = self._epochs.cipher(counter)
        if cipher is None:
            raise LimitError("the session's keys were erased")
        plaintext = cipher.open(counter, header, sealed)
        if plaintext is None:
            self.forgeries += 1
            raise BadTagError(f"frame {counter} has a wrong tag: damaged, forged or another's")
        self._note(counter, behind)
        return plaintext

    def erase(self) -> None:
        """Forget the keys; nothing can be opened afterwards."""
        self._epochs.erase()

    def _note(self, counter: int, behind: int) -> None:
        self.frames_opened += 1
        if behind >= 0:
            self._opened |= 1 << behind
            return
        self._highest = counter
        self._opened = (self._opened << min(-behind, WINDOW_FRAMES) | 1) & (
            (1 << WINDOW_FRAMES) - 1
        )
        self._epochs.forget_before(max(0, counter - WINDOW_FRAMES + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeys(TransferKeys):
    """One end's four keys, for the transfer; what LinkSession does with them itself is below."""

    data_sealer: FrameSealer
    data_opener: FrameOpener
    ack_sealer: FrameSealer
    ack_opener: FrameOpener

    @property
    def have_opened(self) -> bool:
        """Whether anything of the peer's was opened: it has the keys too."""
        return self.frames_opened > 0

    @property
    def frames_opened(self) -> int:
        return self.data_opener.frames_opened + self.ack_opener.frames_opened

    @property
    def worn_out(self) -> bool:
        """An opener takes nothing any more (MAX_FORGERIES): open another session."""
        return self.data_opener.worn_out or self.ack_opener.worn_out

    def erase(self) -> None:
        """Forget all of them."""
        for one in (self.data_sealer, self.data_opener, self.ack_sealer, self.ack_opener):
            one.erase()


def transfer_keys(*, send_key: bytes, receive_key: bytes, policy: CipherPolicy) -> SessionKeys:
    """One end's sealers and openers, from the handshake's two keys (32 bytes each).

    Frames and acknowledgements count apart, so they have keys apart. The policy is part of every
    key: ends that disagree on it understand nothing, and a clear frame is never taken for a sealed
    one.
    """
    return SessionKeys(
        data_sealer=FrameSealer(_purpose(send_key, b"data", policy), policy),
        data_opener=FrameOpener(_purpose(receive_key, b"data", policy), policy),
        ack_sealer=FrameSealer(_purpose(send_key, b"ack", policy), policy, _WHOLE_SESSION),
        ack_opener=FrameOpener(_purpose(receive_key, b"ack", policy), policy, _WHOLE_SESSION),
    )


def _purpose(key: bytes, purpose: bytes, policy: CipherPolicy) -> bytes:
    return _derive(key, b"dtnode " + purpose, policy.value.encode())


def _derive(key: bytes | bytearray, person: bytes, data: bytes = b"") -> bytes:
    return blake2b(data, key=key, person=person, digest_size=KEY_BYTES).digest()


def _cipher_of(policy: CipherPolicy) -> type[_Ccm] | type[_TagOnly]:
    if policy is CipherPolicy.SEALED:
        return _Ccm
    if policy is CipherPolicy.CLEAR:
        return _TagOnly
    raise LocalProtocolError("a link whose policy is open has no session and no keys")
