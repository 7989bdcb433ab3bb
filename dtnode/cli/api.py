"""The running node as the commands see it: its local HTTP API.

Over http.client: httpx alone takes longer to import than a whole `status` call may take, and one
loopback connection needs none of what it adds. Requests are never repeated: the node may have done
what was asked even if its answer didn't arrive.
"""

from __future__ import annotations

import http.client
import json
import shlex
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from dtnode.errors import DtnodeError
from dtnode.node.data_folder import DataFolder

JsonObject = dict[str, Any]

CLIENT_API = "/_matrix/client/v3"
OWN_API = "/_dtnode/v1"

TIMEOUT_S = 120.0
"""For one answer. A send waits for the disk, which may be an SD card behind a long queue."""
_FRESH_S = 1.0
"""A kept connection older than this is replaced: the node closes idle ones, and a request on such a
one would be lost without a word."""


class NoNodeError(DtnodeError):
    """No node is running on the data folder, or it doesn't answer."""


class RequestFailedError(DtnodeError):
    """The node answered with an error; the text is the node's, for a person."""

    def __init__(self, status: int, errcode: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.errcode = errcode


class NodeApi:
    """A connection to the node that runs on `folder`; use it in a `with` statement.

    Raises NoNodeError where none runs, before anything is sent.
    """

    def __init__(self, folder: DataFolder) -> None:
        folder.open()
        if not folder.is_running():
            raise NoNodeError(
                "No node is running for this folder. Start it with:"
                f" dtnode --data {shlex.quote(str(folder.path))} run"
            )
        config = folder.read_config()
        self._host, self._port = config.api_host, config.api_port
        self._headers = {"Authorization": f"Bearer {folder.read_api_token()}"}
        self._connection: http.client.HTTPConnection | None = None
        self._last_used = 0.0

    def __enter__(self) -> NodeApi:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, *, timeout_s: float = TIMEOUT_S, **query: object) -> Any:
        """The JSON answer. RequestFailedError, NoNodeError."""
        if query:
            path += "?" + urlencode({key: str(value) for key, value in query.items()})
        return self._request("GET", path, None, timeout_s)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        return self._request("POST", path, json.dumps(body).encode(), TIMEOUT_S)

    def put(self, path: str, body: Mapping[str, object]) -> Any:
        return self._request("PUT", path, json.dumps(body).encode(), TIMEOUT_S)

    def delete(self, path: str) -> Any:
        return self._request("DELETE", path, None, TIMEOUT_S)

    def post_stream(self, path: str, chunks: Iterable[bytes]) -> Any:
        """POST a body of unknown length; there is no time limit on judging what may be a room."""
        return self._request("POST", path, chunks, None)

    def room_id(self, text: str) -> str:
        """The id of the room that a person calls `text`."""
        return str(self.get(f"{OWN_API}/resolve", room=text)["room_id"])

    def user_id(self, text: str) -> str:
        """The user id of the person that the user calls `text`."""
        return str(self.get(f"{OWN_API}/resolve", user=text)["user_id"])

    def labels(self) -> dict[str, str]:
        """Names to show people by; equal ones are told apart by the node."""
        people = self.get(f"{OWN_API}/people")["people"]
        return {person["user_id"]: person["label"] for person in people}

    def _request(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, timeout_s: float | None
    ) -> Any:
        connection = self._connect(timeout_s)
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)  # chunked if its length isn't known
            response = connection.getresponse()
            data = response.read()
        except TimeoutError as error:
            self.close()
            raise NoNodeError(
                f"The node didn't answer within {timeout_s:.0f} s. It may still do what was asked;"
                " look with `dtnode status` or `dtnode read` before you try again."
            ) from error
        except ConnectionRefusedError as error:
            self.close()
            raise NoNodeError(
                "The node of this folder isn't answering yet: it is starting or ending. Try again"
                " in a few seconds."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoNodeError(
                "The node went away before it answered; whether it did what was asked isn't known."
                " Look at the output of `dtnode run`, and start it again."
            ) from error
        self._last_used = time.monotonic()
        return _answer(response.status, data)

    def _connect(self, timeout_s: float | None) -> http.client.HTTPConnection:
        if time.monotonic() - self._last_used > _FRESH_S:
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port)
        self._connection.timeout = timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        return self._connection


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return quote(text, safe="")


def room_path(room_id: str, rest: str) -> str:
    """The Client-Server API's path for a room: room_path("!abc", "invite")."""
    return f"{CLIENT_API}/rooms/{segment(room_id)}/{rest}"


def own_room_path(room_id: str, rest: str) -> str:
    return f"{OWN_API}/rooms/{segment(room_id)}/{rest}"


def _answer(status: int, data: bytes) -> Any:
    try:
        value = json.loads(data) if data else {}
    except ValueError:
        value = None
    if status < 400 and value is not None:
        return value
    error = value if isinstance(value, dict) else {}
    errcode = str(error.get("errcode", "M_UNKNOWN"))
    if status == 401:
        message = (
            "The node doesn't take this folder's access token, which has changed since it started."
            " End it and start it again."
        )
    else:
        message = str(error.get("error") or f"The node answered with HTTP status {status}.")
    raise RequestFailedError(status, errcode, message)
