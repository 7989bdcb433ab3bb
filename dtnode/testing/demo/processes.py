"""Real nodes as processes with data folders of their own, for the demo and the end-to-end tests.

Whatever is done with them is done by the `dtnode` command; what is only looked at comes from the
local HTTP API, which is what the command asks as well. Nothing here imports the node.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

Json = dict[str, Any]

READY_S = 10.0  # what `dtnode run` promises, also after kill -9
STOP_S = 5.0  # what it promises for SIGTERM
_COMMAND_S = 60.0  # far more than any command takes; a hanging one must not hang the demo
_POLL_S = 0.05
_LOG_TAIL_LINES = 25
_STDERR_TAIL_LINES = 4  # errors for people are shorter; of a traceback the end is what counts


class NodeFailed(Exception):
    """A node or a command didn't do what it should. node: whose log to read."""

    def __init__(self, node: NodeProcess, text: str) -> None:
        super().__init__(f"{node.name}: {text}")
        self.node = node


class NodeProcess:
    """One node: `name` is its user and its folder below `root`. In a `with` statement it ends."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.data = root / name
        self.log_path = root / f"{name}.log"
        self.user_id = ""
        self.server_name = ""
        self.out_path = root / f"{name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        self._api: tuple[str, int, str] | None = None

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        end_all([self])

    # --- the command line

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "dtnode.cli", "--data", str(self.data), *args]

    def try_cli(
        self, *args: str, text: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`dtnode --data DATA args`, whatever its exit code. text: its standard input."""
        return subprocess.run(
            self.command(*args),
            input=text,
            capture_output=True,
            encoding="utf-8",
            timeout=_COMMAND_S,
            check=False,
            env=None if env is None else os.environ | env,
        )

    def cli(self, *args: str, text: str = "", env: dict[str, str] | None = None) -> str:
        """What the command printed. NodeFailed unless it ended with 0."""
        done = self.try_cli(*args, text=text, env=env)
        if done.returncode != 0:
            said = "\n".join(done.stderr.strip().splitlines()[-_STDERR_TAIL_LINES:])
            raise NodeFailed(
                self, f"`dtnode {' '.join(args)}` ended with {done.returncode}: {said}"
            )
        return done.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self.cli(*args, "--json"))

    def init(self, *args: str) -> None:
        self.adopt(self.json("init", "--user", self.name, *args))

    def adopt(self, identity: Json) -> None:
        """identity: what `init --json` or `restore --json` printed."""
        self.user_id, self.server_name = identity["user_id"], identity["server_name"]

    def events(self, room: str, limit: int = 100_000) -> list[Json]:
        """`dtnode read --json`: oldest first."""
        lines = self.cli("read", room, "--limit", str(limit), "--json").splitlines()
        return [json.loads(line) for line in lines]

    def texts(self, room: str) -> list[str]:
        """What was said in the room, oldest first."""
        return [
            str(event["content"].get("body"))
            for event in self.events(room)
            if event["type"] == "m.room.message"
        ]

    # --- the process

    @property
    def pid(self) -> int:
        assert self._process is not None, "start() first"
        return self._process.pid

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *args: str) -> None:
        """Starts `dtnode run`; wait_ready() says when it is there."""
        assert not self.running, "it is running already"
        self._api = None
        # A group of its own: Ctrl-C in the demo's terminal reaches the demo, which ends its nodes.
        with self.out_path.open("wb") as out, self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command("run", *args),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                process_group=0,
            )

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until the line that says it is ready. NodeFailed: it ended, or took too long."""
        assert self._process is not None, "start() first"
        end = time.monotonic() + timeout_s
        while b"\n" not in self.out_path.read_bytes():
            if not self.running:
                said = " / ".join(self.log_tail()[-_STDERR_TAIL_LINES:])
                raise NodeFailed(
                    self, f"ended with {self._process.returncode} while starting: {said}"
                )
            if time.monotonic() > end:
                raise NodeFailed(self, f"isn't ready after {timeout_s:.0f} s")
            time.sleep(_POLL_S)

    def run(self) -> NodeProcess:
        """start() and wait_ready()."""
        self.start()
        self.wait_ready()
        return self

    def stop(self) -> float:
        """SIGTERM; how many seconds it took. NodeFailed: it didn't end in time, or not well."""
        assert self._process is not None, "start() first"
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NodeFailed(self, f"didn't end within {STOP_S:.0f} s of SIGTERM") from None
        if code != 0:
            raise NodeFailed(self, f"ended with {code} after SIGTERM")
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None, "start() first"
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """SIGTERM without waiting."""
        if self._process is not None and self.running:
            self._process.terminate()

    def wait_ended(self, timeout_s: float) -> None:
        """Until it ended; after timeout_s it is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def log_tail(self) -> list[str]:
        if not self.log_path.exists():
            return []
        return self.log_path.read_text("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:]

    # --- the local HTTP API, for looking

    def get(self, path: str, timeout_s: float = 30.0) -> Any:
        """GET of the node's HTTP API: the JSON answer. NodeFailed: an error, or no answer."""
        host, port, token = self.api_address()
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NodeFailed(self, f"GET {path}: {error!r}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise NodeFailed(self, f"GET {path}: {response.status}: {answer.get('error')}")
        return answer

    def api_address(self) -> tuple[str, int, str]:
        """Host, port and access token; asked of the running node once."""
        if self._api is None:
            url = urlsplit(self.json("status")["api_url"])
            token = (self.data / "api_token").read_text().strip()
            assert url.hostname is not None
            assert url.port is not None
            self._api = (url.hostname, url.port, token)
        return self._api

    def status(self) -> Json:
        answer: Json = self.get("/_dtnode/v1/status")
        return answer

    def room(self, room_id: str) -> Json | None:
        """The room's object of `status`, None where it isn't known."""
        for room in self.status()["rooms"]:
            if room_id in (room["room_id"], room["name"]):
                found: Json = room
                return found
        return None

    def state(self, room_id: str) -> list[Json]:
        """The room's present state, as client events."""
        state: list[Json] = self.get(f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/state")
        return state

    def link(self, link_id: str) -> Json:
        """The link's object of `status`; NodeFailed where there is none."""
        for link in self.status()["links"]:
            if link["id"] == link_id:
                found: Json = link
                return found
        raise NodeFailed(self, f"status names no link {link_id}")


def introduce(one: NodeProcess, other: NodeProcess) -> None:
    """Each adds the other as a peer, under its user's name."""
    one.cli("peer", "add", other.server_name, "--name", other.name)
    other.cli("peer", "add", one.server_name, "--name", one.name)


def listen(node: NodeProcess) -> str:
    """Adds a TCP link on a free port of this machine; "127.0.0.1:PORT"."""
    address = f"127.0.0.1:{free_port()}"
    node.cli("link", "add", "tcp", "--listen", address)
    return address


def dial(node: NodeProcess, address: str) -> str:
    """Adds a TCP link to `address`; its id."""
    return node.cli("link", "add", "tcp", "--dial", address).strip()


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until(
    true: Callable[[], bool], timeout_s: float, *, every_s: float = _POLL_S
) -> float | None:
    """Seconds until `true()`, None if that took longer than timeout_s."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > timeout_s:
            return None
        time.sleep(every_s)
    return time.monotonic() - began


def start_all(nodes: Iterable[NodeProcess]) -> None:
    """All at once; returns when each is ready."""
    nodes = list(nodes)
    for node in nodes:
        node.start()
    for node in nodes:
        node.wait_ready()


def end_all(nodes: Iterable[NodeProcess]) -> None:
    """Every process of `nodes`, by its own pid: SIGTERM, then kill -9 what hasn't ended in time."""
    nodes = list(nodes)
    for node in nodes:
        node.terminate()
    end = time.monotonic() + STOP_S
    try:
        for node in nodes:
            node.wait_ended(max(0.0, end - time.monotonic()))
    finally:  # a second Ctrl-C while waiting must leave none behind either
        for node in nodes:
            if node.running:
                node.kill()
