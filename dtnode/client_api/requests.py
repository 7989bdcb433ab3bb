"""Requests taken apart: bodies within their limits, JSON of the right types, query parameters.

Whatever a client sends is either what a handler asked for or a ClientApiError with status 400 or
413, never a crash. Called by the handlers of dtnode.client_api.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from starlette.requests import Request

from dtnode.client_api.sessions import Session
from dtnode.errors import ClientApiError, DtnodeError
from dtnode.matrix.identifiers import is_user_id

MAX_BODY_BYTES = 524_288  # eight of the largest events, or 1000 short messages for one `send`
_READ_BEYOND_BYTES = 16_777_216  # read and thrown away, as clients look for an answer afterwards
MAX_JSON_LEVELS = 100  # events may have 127; clients' other requests have about five

JsonObject = dict[str, Any]
T = TypeVar("T", str, bool, int, JsonObject, "list[Any]")

_NAMES: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "an integer",
    dict: "an object",
    list: "an array",
}


class HungUp(DtnodeError):
    """The client went away before it was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way to a handler. params: from the path, decoded."""

    request: Request
    params: Mapping[str, str]
    session: Session = field(default_factory=Session)

    def query(self, name: str) -> str | None:
        return self.request.query_params.get(name)

    def query_int(self, name: str, default: int, low: int, high: int) -> int:
        """An integer parameter; beyond `low` and `high` those count."""
        text = self.query(name)
        if text is None:
            return default
        try:
            value = int(text[:20])
        except ValueError:
            raise bad_parameter(f"{name} has to be a whole number") from None
        return max(low, min(high, value))

    async def body(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """ClientApiError 413 beyond `limit` bytes; never buffers more."""
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                raise HungUp
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= limit:
                chunks.append(chunk)
            more = message.get("more_body", False) and size <= limit + _READ_BEYOND_BYTES
        if size > limit:
            raise ClientApiError(413, "M_TOO_LARGE", f"more than {limit} bytes in one request")
        return b"".join(chunks)

    async def json(self) -> JsonObject:
        """The body as an object; an empty body is an empty one."""
        data = await self.body()
        if not data.strip():
            return {}
        return parse_object(data)


def parse_object(data: bytes | str) -> JsonObject:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ClientApiError(400, "M_NOT_JSON", f"the request is not JSON: {error}") from None
    if type(value) is not dict:
        raise bad_json("the request has to be a JSON object")
    _check_levels(value)
    return value


def _check_levels(value: object) -> None:
    level: list[object] = [value]
    for _ in range(MAX_JSON_LEVELS):
        deeper: list[object] = []
        for item in level:
            if type(item) is dict:
                deeper += item.values()
            elif type(item) is list:
                deeper += item
        if not deeper:
            return
        level = deeper
    raise bad_json(f"JSON nested deeper than {MAX_JSON_LEVELS} levels")


# --- fields of JSON objects


def optional(body: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """body[name] if it is of that type; None where it is missing or null."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not kind:
        raise bad_json(f"{name!r} has to be {_NAMES[kind]}")
    return value


def required(body: Mapping[str, Any], name: str, kind: type[T]) -> T:
    value = optional(body, name, kind)
    if value is None:
        raise ClientApiError(400, "M_MISSING_PARAM", f"{name!r} is missing")
    return value


def texts(body: Mapping[str, Any], name: str) -> list[str] | None:
    """An array of texts."""
    values = optional(body, name, list)
    if values is not None and not all(type(value) is str for value in values):
        raise bad_json(f"{name!r} has to be an array of texts")
    return values


def user_id_of(body: Mapping[str, Any], name: str = "user_id") -> str:
    user_id = required(body, name, str)
    if not is_user_id(user_id):
        raise bad_parameter(f"{user_id[:80]!r} is not a user id; one looks like @name:server")
    return user_id


# --- errors


def bad_json(message: str) -> ClientApiError:
    return ClientApiError(400, "M_BAD_JSON", message)


def bad_parameter(message: str) -> ClientApiError:
    return ClientApiError(400, "M_INVALID_PARAM", message)


def not_found(message: str) -> ClientApiError:
    return ClientApiError(404, "M_NOT_FOUND", message)


def forbidden(message: str) -> ClientApiError:
    return ClientApiError(403, "M_FORBIDDEN", message)
