"""Which handler serves a request: by method and path, segment by segment.

Paths are split before they are decoded (a room alias or state key may hold an encoded slash), which
is why this isn't Starlette's router.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote

from dtnode.client_api.api import Api
from dtnode.client_api.requests import Call, bad_parameter
from dtnode.errors import ClientApiError

CLIENT = "/_matrix/client/v3"
OWN = "/_dtnode/v1"
_SAME_AS_V3 = "/_matrix/client/r0"  # older clients' name for the same calls
_MAX_PATH_CHARS = 8_192

Answer: TypeAlias = "dict[str, Any] | bytes"
"""A JSON object, or one encoded already."""
Handler: TypeAlias = Callable[[Api, Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """path: segments in braces are parameters. open: no access token needed."""

    method: str
    path: str
    handler: Handler
    open: bool = False


def get(path: str, handler: Handler, *, open_: bool = False) -> Route:
    return Route(method="GET", path=path, handler=handler, open=open_)


def post(path: str, handler: Handler, *, open_: bool = False) -> Route:
    return Route(method="POST", path=path, handler=handler, open=open_)


def put(path: str, handler: Handler) -> Route:
    return Route(method="PUT", path=path, handler=handler)


def delete(path: str, handler: Handler) -> Route:
    return Route(method="DELETE", path=path, handler=handler)


class Routes:
    """Fixed segments win over parameters."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for route in routes:
            self._add(route.path, route)
            if route.path.startswith(CLIENT):
                self._add(_SAME_AS_V3 + route.path.removeprefix(CLIENT), route)
        for entries in self._by_length.values():
            entries.sort(key=lambda entry: sum(_is_parameter(part) for part in entry[0]))

    def _add(self, path: str, route: Route) -> None:
        pattern = tuple(path.split("/")[1:])
        entries = self._by_length.setdefault(len(pattern), [])
        for known, methods in entries:
            if known == pattern:
                methods[route.method] = route
                return
        entries.append((pattern, {route.method: route}))

    def find(self, method: str, raw_path: bytes) -> tuple[Route, Mapping[str, str]]:
        """(route, parameters). ClientApiError 404 or 405."""
        segments = _segments(raw_path)
        for pattern, methods in self._by_length.get(len(segments), ()):
            params = _match(pattern, segments)
            if params is None:
                continue
            route = methods.get(method)
            if route is None:
                allowed = ", ".join(sorted(methods))
                raise ClientApiError(405, "M_UNRECOGNIZED", f"{method}: only {allowed} here")
            return route, params
        raise ClientApiError(404, "M_UNRECOGNIZED", "this server doesn't offer that call")


def _segments(raw_path: bytes) -> list[str]:
    if len(raw_path) > _MAX_PATH_CHARS:
        raise ClientApiError(414, "M_TOO_LARGE", "the path is too long")
    try:
        text = raw_path.partition(b"?")[0].decode("ascii")
        return [unquote(part, errors="strict") for part in text.split("/")[1:]]
    except UnicodeDecodeError:
        raise bad_parameter("the path is not UTF-8 in percent encoding") from None


def _is_parameter(part: str) -> bool:
    return part.startswith("{")


def _match(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for part, segment in zip(pattern, segments, strict=True):
        if _is_parameter(part):
            params[part[1:-1]] = segment
        elif part != segment:
            return None
    return params
