"""What the command line's tests share: a data folder, the command, and a node that plays canned
answers over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from click.testing import CliRunner, Result

from dtnode.cli.root import dtnode
from dtnode.node.data_folder import DataFolder

ALICE, BOB = "@alice:aliceskey", "@bob:bobskey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str  # decoded
    query: dict[str, str]
    body: Any
    token: str


@dataclass
class FakeNode:
    """Answers by (method, path): a value, an error as (status, errcode, text), InTurn (one
    after another), or a function of the request."""

    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    hang_up_on: str = ""

    def on(self, method: str, path: str, answer: Any) -> None:
        self.answers[method, path] = answer

    def answer(self, request: Request) -> tuple[int, Any]:
        self.requests.append(request)
        answer = self.answers.get((request.method, request.path))
        if isinstance(answer, InTurn):
            answer = answer.items.pop(0)
        if callable(answer):
            answer = answer(request)
        if answer is None:
            return 404, {"errcode": "M_NOT_FOUND", "error": f"no answer for {request.path}"}
        if isinstance(answer, tuple):
            status, errcode, text = answer
            return status, {"errcode": errcode, "error": text}
        return 200, answer

    def body(self, method: str, path: str) -> Any:
        """Of the one request of this kind that was made."""
        (body,) = [r.body for r in self.requests if (r.method, r.path) == (method, path)]
        return body


@dataclass
class InTurn:
    """Answers given one after another."""

    items: list[Any]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    node: FakeNode

    def _serve(self) -> None:
        data = self._body()
        url = urlsplit(self.path)
        path = unquote(url.path)
        if self.node.hang_up_on and path.endswith(self.node.hang_up_on):
            self.close_connection = True
            return
        try:
            body = json.loads(data) if data else None
        except ValueError:
            body = data.decode()
        status, answer = self.node.answer(
            Request(
                method=self.command,
                path=path,
                query=dict(parse_qsl(url.query)),
                body=body,
                token=self.headers.get("Authorization", ""),
            )
        )
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what some tests are about."""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "alice")
    made.create("alice", None, lambda size: bytes(range(size)))
    return made


@pytest.fixture
def node(folder: DataFolder) -> Iterator[FakeNode]:
    """A node that runs on `folder`."""
    fake = FakeNode()
    fake.on("GET", "/_dtnode/v1/resolve", _resolve)
    fake.on("GET", "/_dtnode/v1/people", {"people": [{"user_id": BOB, "label": "bob"}]})
    handler = type("BoundHandler", (Handler,), {"node": fake})
    with folder.lock(), Server(("127.0.0.1", 0), handler) as server:
        port = server.server_address[1]
        folder.edit_config(lambda config: replace(config, api_port=port))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


def _resolve(request: Request) -> Any:
    known = {"boat": "!boat", "!boat": "!boat", "bob": BOB, BOB: BOB}
    (kind,) = request.query
    text = request.query[kind]
    if text not in known:
        return 404, "M_NOT_FOUND", f"There is no {kind} {text!r} here. See: dtnode room list"
    return {f"{kind}_id": known[text], "label": text}


Command = Callable[..., Result]


@pytest.fixture
def run(folder: DataFolder) -> Command:
    """run("room", "list") is `dtnode --data FOLDER room list`; input="..." is standard input."""

    def invoke(*args: str, **options: Any) -> Result:
        result = CliRunner().invoke(dtnode, ["--data", str(folder.path), *args], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
