"""DataFolder: what is made, who may read it, what is refused, the lock, the API port."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dtnode.config import LinkConfig, NodeConfig, new_link_id
from dtnode.errors import ConfigError
from dtnode.matrix.server_names import key_from_server_name
from dtnode.node import data_folder
from dtnode.node.data_folder import DataFolder, write_atomically


def counting_entropy() -> Callable[[int], bytes]:
    """Different bytes at every call, the same in every run."""
    calls = iter(range(1 << 30))
    return lambda size: hashlib.shake_256(str(next(calls)).encode()).digest(size)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A node with a key, and so an API port, that no other test has."""
    made = DataFolder(tmp_path / "alice")
    made.create("alice", None, os.urandom)
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_node_has_a_name_that_is_its_key(folder: DataFolder) -> None:
    identity = folder.identity
    assert identity.user_id == f"@alice:{identity.server_name}"
    assert key_from_server_name(identity.server_name) == identity.signer.public_key
    assert identity.signer.server_name == identity.server_name


def test_the_domain_stands_behind_the_key(tmp_path: Path) -> None:
    identity = DataFolder(tmp_path / "a").create("alice", "mesh.example.org", counting_entropy())
    assert identity.server_name.endswith(".mesh.example.org")
    assert DataFolder(tmp_path / "a").identity.user_id == identity.user_id


def test_two_nodes_differ_in_all_that_is_secret(tmp_path: Path) -> None:
    entropy = counting_entropy()
    one, two = DataFolder(tmp_path / "one"), DataFolder(tmp_path / "two")
    one.create("alice", None, entropy)
    two.create("alice", None, entropy)
    assert one.identity.server_name != two.identity.server_name
    assert one.read_api_token() != two.read_api_token()
    assert one.read_client_password() != two.read_client_password()


def test_secrets_are_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = DataFolder(tmp_path / "deep" / "alice")
        folder.create("alice", None, counting_entropy())
    finally:
        os.umask(before)
    assert mode(folder.path) == 0o700
    for path in (folder.identity_path, folder.token_path, folder.password_path):
        assert mode(path) == 0o600


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir(mode=0o755)
    DataFolder(path).create("alice", None, counting_entropy())
    assert mode(path) == 0o700


def test_init_never_overwrites_a_key(folder: DataFolder) -> None:
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(ConfigError, match="never overwritten"):
        folder.create("mallory", None, counting_entropy())
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_init_leaves_other_peoples_files_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        DataFolder(tmp_path).create("alice", None, counting_entropy())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_key_without_settings_is_no_reason_to_make_a_new_one(folder: DataFolder) -> None:
    folder.config_path.unlink()
    with pytest.raises(ConfigError, match="never overwritten"):
        folder.create("alice", None, counting_entropy())


def test_an_interrupted_init_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = DataFolder(tmp_path / "alice")

    def cut(path: Path, text: str, *, replace_existing: bool = True) -> None:
        if path == folder.identity_path:
            raise OSError(28, "No space left on device", str(path))
        write_atomically(path, text, replace_existing=replace_existing)

    with monkeypatch.context() as patch:
        patch.setattr(data_folder, "write_atomically", cut)
        with pytest.raises(ConfigError, match="No space left"):
            folder.create("alice", None, counting_entropy())
    assert not folder.exists
    (folder.path / ".identity.key.0123.tmp").write_bytes(b"half")
    folder.create("bob", None, counting_entropy())
    assert folder.identity.user_id.startswith("@bob:")


def test_a_key_that_appears_meanwhile_wins(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    path.write_text("first")
    with pytest.raises(ConfigError, match="never overwritten"):
        write_atomically(path, "second", replace_existing=False)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_node_open_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="init --user"):
        DataFolder(tmp_path / "nothing").open()


@pytest.mark.parametrize("text", ["", "ed25519 AAAA", "rsa " + "A" * 43 + "=", "\xff", "a b c"])
def test_a_damaged_key_is_reported_without_its_content(folder: DataFolder, text: str) -> None:
    folder.identity_path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"identity\.key") as caught:
        _ = folder.identity
    assert "A" * 20 not in str(caught.value)


def test_a_missing_file_is_named(folder: DataFolder) -> None:
    folder.token_path.unlink()
    with pytest.raises(ConfigError, match="api_token is missing"):
        folder.read_api_token()


def test_a_new_password_replaces_the_old_one(folder: DataFolder) -> None:
    old = folder.read_client_password()
    new = folder.new_client_password(os.urandom)
    assert new != old
    assert folder.read_client_password() == new
    assert len(new) == 24
    assert mode(folder.password_path) == 0o600


# --- settings


def add_link(config: NodeConfig) -> NodeConfig:
    link = LinkConfig(id=new_link_id(config, "tcp"), kind="tcp")
    return replace(config, links=(*config.links, link))


def test_editors_at_the_same_time_lose_nothing(folder: DataFolder) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: folder.edit_config(add_link), range(24)))
    ids = {link.id for link in folder.read_config().links}
    assert ids == {f"tcp-{number}" for number in range(1, 25)}


def test_an_edit_that_fails_changes_nothing(folder: DataFolder) -> None:
    def fail(config: NodeConfig) -> NodeConfig:
        raise ConfigError("no such link")

    before = folder.config_path.read_bytes()
    with pytest.raises(ConfigError):
        folder.edit_config(fail)
    assert folder.config_path.read_bytes() == before
    folder.edit_config(add_link)  # and nothing stays locked


# --- the lock


def test_a_second_node_is_refused_and_told_who_runs(folder: DataFolder) -> None:
    with (
        folder.lock(),
        pytest.raises(ConfigError, match=f"already running .*process {os.getpid()}"),
        DataFolder(folder.path).lock(),
    ):
        pass
    with folder.lock():
        pass


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EROFS, "read-only disk.*--data DIR"), (errno.EACCES, "owner and mode")],
)
def test_a_folder_that_cannot_be_written_is_told(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(ConfigError, match=words), folder.lock():
            pass


def test_is_running_says_who_holds_the_lock(folder: DataFolder) -> None:
    assert not folder.is_running()
    with folder.lock():
        assert folder.is_running()
    assert not folder.is_running()


@pytest.fixture
def killed_node(folder: DataFolder) -> DataFolder:
    """A folder whose node was killed with -9 while it held the lock."""
    code = (
        "import sys\nfrom dtnode.node.data_folder import DataFolder\n"
        "with DataFolder(sys.argv[1]).lock():\n    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert folder.is_running()
        process.kill()
    return folder


def test_a_killed_node_leaves_no_lock_behind(killed_node: DataFolder) -> None:
    assert not killed_node.is_running()
    with killed_node.lock():
        assert killed_node.is_running()


# --- the API port


def occupy(port: int) -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", port))
    taken.listen()
    return taken


def test_the_port_is_below_the_ephemeral_range_and_kept(folder: DataFolder) -> None:
    port = folder.read_config().api_port
    assert 20_000 <= port < 30_000
    assert folder.claim_api_port() == port


def test_a_taken_port_is_replaced_and_written_down(folder: DataFolder) -> None:
    folder.edit_config(add_link)
    port = folder.read_config().api_port
    with occupy(port):
        other = folder.claim_api_port()
    assert other != port
    assert folder.read_config().api_port == other
    assert len(folder.read_config().links) == 1
    assert folder.claim_api_port() == other


def test_the_same_key_elsewhere_does_not_get_a_taken_port(tmp_path: Path) -> None:
    one, two = DataFolder(tmp_path / "one"), DataFolder(tmp_path / "two")
    one.create("alice", None, lambda size: b"x" * size)
    with occupy(one.read_config().api_port):
        two.create("alice", None, lambda size: b"x" * size)
    assert two.read_config().api_port != one.read_config().api_port


def test_an_address_that_is_not_here_is_explained(folder: DataFolder) -> None:
    folder.edit_config(lambda config: replace(config, api_host="192.0.2.1"))
    with pytest.raises(ConfigError, match=r"api\.host"):
        folder.claim_api_port()
