"""A node's data folder: its key, settings, secrets, and where its store lies.

It opens no store and no socket but the probe for a free API port. The command line uses it with and
without a running node, so importing it stays light (the crypto is loaded when a key is).

    config.toml       settings and links (dtnode.config)
    identity.key      the Ed25519 seed; without it the folder isn't a node's     0600
    api_token         the command line's access token to the running node       0600
    client_password   what a Matrix client logs in with                         0600
    node.db           the store (dtnode.store)
    lock              held (flock) by the running node, so a killed one leaves nothing to clean up
"""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dtnode.config import (
    DEFAULT_API_HOST,
    NodeConfig,
    check_domain,
    check_user,
    parse_config,
    render_config,
)
from dtnode.errors import ConfigError

if TYPE_CHECKING:  # not against a cycle: `dtnode status` must not load the crypto
    from dtnode.signer import Ed25519Signer, Entropy

FIRST_API_PORT, API_PORTS = 20_000, 10_000
"""API ports are picked here: below the ephemeral range of Linux (32768) and of the IANA (49152), so
that no outgoing connection takes a node's port while it is down."""

_LOCK_TRIES, _LOCK_PAUSE_S = 10, 0.02
"""`is_running` holds the lock for microseconds; 0.2 s outlast many of them."""

_PASSWORD_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike on a screen
_PASSWORD_GROUPS, _PASSWORD_GROUP_CHARS = 5, 4  # 99 bits

_KEY_COMMENT = (
    "# dtnode: the secret key of this node. Whoever has it can speak as you, for ever: keep it\n"
    "# to yourself. `dtnode backup` makes a sealed copy.\n"
)
_PARTS = frozenset({"config.toml", "identity.key", "api_token", "client_password", "lock"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the node is: "@user:server_name", and the key that proves it."""

    user_id: str
    server_name: str
    signer: Ed25519Signer


class DataFolder:
    """One data folder. Nothing is read or made until a method is called."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.config_path = self.path / "config.toml"
        self.identity_path = self.path / "identity.key"
        self.token_path = self.path / "api_token"
        self.password_path = self.path / "client_password"
        self.store_path = self.path / "node.db"
        self.lock_path = self.path / "lock"

    @property
    def exists(self) -> bool:
        """Is there a node in this folder?"""
        return os.path.lexists(self.identity_path)

    def open(self) -> DataFolder:
        """Itself, if there is a node in it; else ConfigError that says how to make one."""
        try:
            self.identity_path.stat()
        except PermissionError as error:
            raise ConfigError(
                f"{self.path} belongs to another user of this machine. Name your own folder with"
                " --data DIR."
            ) from error
        except OSError as error:
            raise ConfigError(
                f"There is no node in {self.path}. Make one with:"
                f" dtnode --data {self.path} init --user NAME"
                " (or bring one back from its backup: dtnode restore FILE)"
            ) from error
        return self

    def create(self, user: str, domain: str | None, entropy: Entropy) -> Identity:
        """Make the folder (0700) and a new node in it: a key from `entropy`, a free API port.

        Refuses, with ConfigError, a folder that has anything but the leftovers of an interrupted
        `create`; a key is never replaced. The key is written last, so that half a node is none.
        """
        if domain is not None:
            check_domain(domain)
        check_user(user, domain)
        self.check_empty()
        seed = entropy(32)
        identity = _identity(seed, user, domain)
        port = _free_port(DEFAULT_API_HOST, identity.signer.public_key)
        config = NodeConfig(user=user, domain=domain, api_port=port)
        with _writing(self.path):
            make_private_folder(self.path)
            self.write_config(config)
            self.new_api_token(entropy)
            self.new_client_password(entropy)
            write_atomically(self.identity_path, render_seed(seed), replace_existing=False)
        return identity

    def check_empty(self) -> None:
        """ConfigError if a new node (from `init` or `restore`) would touch somebody's files."""
        if self.exists:
            raise ConfigError(
                f"{self.path} has a node already, and its key is never overwritten. Choose another"
                " folder with --data DIR."
            )
        try:
            found = sorted(entry.name for entry in self.path.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(
                f"{self.path} can't be used: {error.strerror}. Choose another with --data DIR."
            ) from error
        others = [name for name in found if name not in _PARTS and not _is_temporary(name)]
        if others:
            raise ConfigError(
                f"{self.path} isn't empty ({others[0]} is in it). Choose another folder with"
                " --data DIR."
            )

    # --- identity and settings

    @property
    def identity(self) -> Identity:
        """Read from disk each time. ConfigError if the key or the settings can't be used."""
        config = self.read_config()
        return _identity(self.read_seed(), config.user, config.domain)

    def read_seed(self) -> bytes:
        """The 32-byte Ed25519 seed."""
        return parse_seed(_read(self.identity_path), self.identity_path)

    def read_config(self) -> NodeConfig:
        return parse_config(_read(self.config_path))

    def write_config(self, config: NodeConfig) -> None:
        write_atomically(self.config_path, render_config(config))

    def edit_config(self, edit: Callable[[NodeConfig], NodeConfig]) -> NodeConfig:
        """Write `edit(current settings)`; two editors at once wait for each other."""
        self.open()
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            config = edit(self.read_config())
            self.write_config(config)
        finally:
            os.close(folder)
        return config

    def claim_api_port(self) -> int:
        """The API port for a node that starts now: the one it always had, unless something else
        holds it; then another free one, written to config.toml. Call it with the lock held."""
        config = self.read_config()
        if _is_free(config.api_host, config.api_port):
            return config.api_port
        port = _free_port(config.api_host, self.identity.signer.public_key)
        self.edit_config(lambda current: replace(current, api_port=port))
        return port

    # --- secrets

    def read_api_token(self) -> str:
        return _read(self.token_path).strip()

    def new_api_token(self, entropy: Entropy) -> str:
        token = entropy(32).hex()
        write_atomically(self.token_path, token + "\n")
        return token

    def read_client_password(self) -> str:
        return _read(self.password_path).strip()

    def new_client_password(self, entropy: Entropy) -> str:
        """A new password such as "k3fw-9dqa-...", written to disk and returned."""
        chars = _pick(_PASSWORD_ALPHABET, _PASSWORD_GROUPS * _PASSWORD_GROUP_CHARS, entropy)
        size = _PASSWORD_GROUP_CHARS
        password = "-".join(chars[i : i + size] for i in range(0, len(chars), size))
        write_atomically(self.password_path, password + "\n")
        return password

    # --- the running node

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder as its running node. ConfigError if another process does.

        The kernel frees it with the process, however that ends.
        """
        try:
            fd = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _cannot_write_here(self.path, error) from error
        try:
            if not _try_lock(fd):
                owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise ConfigError(
                    f"A node is already running on {self.path} (process {owner}). Use it, or stop"
                    " it first; for a second node give another folder with --data DIR."
                )
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(fd)

    def is_running(self) -> bool:
        """Does some process hold the lock?

        Asked before anything is sent to the API port: another user's program may have taken the
        port of a stopped node, and must not be handed the token.
        """
        try:
            fd = os.open(self.lock_path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            raise _cannot_lock(self.lock_path, error) from error
        finally:
            os.close(fd)
        return False


def default_data_path() -> Path:
    """The platform's folder for dtnode's data (DTNODE_DATA is the command line's business)."""
    import platformdirs

    return platformdirs.user_data_path("dtnode")


def make_private_folder(path: Path) -> None:
    """`path` with its parents, for this user only (0700), also where it was there before."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def write_atomically(path: Path, text: str | bytes, *, replace_existing: bool = True) -> None:
    """Old content or new, never half, 0600, and on disk when this returns.

    Raises ConfigError where the file is there and `replace_existing` is False.
    """
    data = text.encode() if isinstance(text, str) else text
    temporary = temporary_beside(path)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        if replace_existing:
            temporary.replace(path)
        else:
            _link_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """A free name in the same folder, known to `check_empty` as a leftover."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def sync_folder(path: Path) -> None:
    """Make renames in the folder durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def render_seed(seed: bytes) -> str:
    return f"{_KEY_COMMENT}ed25519 {base64.b64encode(seed).decode()}\n"


def parse_seed(text: str, path: Path) -> bytes:
    """The seed in the text of an identity.key. ConfigError that names `path`, never the content."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        (line,) = lines
        algorithm, encoded = line.split()
        seed = base64.b64decode(encoded, validate=True)
    except ValueError:
        algorithm, seed = "", b""
    if algorithm != "ed25519" or len(seed) != 32:
        raise ConfigError(
            f"{path} doesn't hold a dtnode key. Bring it back from a backup: dtnode restore FILE"
        )
    return seed


def _identity(seed: bytes, user: str, domain: str | None) -> Identity:
    from dtnode.matrix.server_names import server_name_from_key
    from dtnode.signer import Ed25519Signer

    public_key = Ed25519Signer(seed, "").public_key
    server_name = server_name_from_key(public_key, domain)
    return Identity(
        user_id=f"@{user}:{server_name}",
        server_name=server_name,
        signer=Ed25519Signer(seed, server_name),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing. Make a node with `dtnode init`, or bring yours back with"
            " `dtnode restore`."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}. Look at its owner and mode.") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path} can't be written: {error.strerror}. Free some space or"
            " choose another folder with --data DIR."
        ) from error


def _link_new(temporary: Path, path: Path) -> None:
    """Give `temporary` the name `path` unless that is taken, in one step."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already and is never overwritten.") from error
    except OSError as error:
        # FAT and some network folders have no hard links; there O_EXCL is as good as it gets
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if path.exists():
            raise ConfigError(f"{path} is there already and is never overwritten.") from error
        temporary.replace(path)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _pick(alphabet: str, count: int, entropy: Entropy) -> str:
    """`count` even picks; bytes beyond the largest multiple of the alphabet are thrown away."""
    limit = 256 - 256 % len(alphabet)
    picked: list[str] = []
    while len(picked) < count:
        picked += [alphabet[byte % len(alphabet)] for byte in entropy(count) if byte < limit]
    return "".join(picked[:count])


def _free_port(host: str, key: bytes) -> int:
    """The first free port, starting from a place that depends on the key."""
    start = int.from_bytes(hashlib.sha256(key).digest()[:4], "big")
    for step in range(API_PORTS):
        port = FIRST_API_PORT + (start + step) % API_PORTS
        if _is_free(host, port):
            return port
    raise ConfigError(
        f"No port from {FIRST_API_PORT} to {FIRST_API_PORT + API_PORTS - 1} is free on {host}."
        " Set api.port in config.toml to one that is."
    )


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # as the server does: the remains of old connections don't count as taken
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise ConfigError(
                f"The API can't listen on {host}: {error.strerror}. Set api.host in config.toml to"
                f" {DEFAULT_API_HOST}."
            ) from error
    return True


def _try_lock(fd: int) -> bool:
    for attempt in range(_LOCK_TRIES):
        if attempt:
            time.sleep(_LOCK_PAUSE_S)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError as error:
            raise _cannot_lock(Path("lock"), error) from error
        return True
    return False


def _cannot_write_here(path: Path, error: OSError) -> ConfigError:
    if error.errno == errno.EROFS:
        return ConfigError(
            f"{path} is on a read-only disk or file system, and a node has to write there. Make it"
            " writable, or copy the data folder to another disk and name that with --data DIR."
        )
    return ConfigError(
        f"{path} can't be written: {error.strerror}. Look at its owner and mode, and at the disk."
    )


def _cannot_lock(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} can't be locked: {error.strerror}. Keep the data folder on a local disk."
    )
