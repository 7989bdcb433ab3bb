"""The ASGI app: finds the handler, checks host and token, turns errors into Matrix's, adds CORS.

Served by dtnode.node under hypercorn on Trio. It binds nothing itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from ipaddress import ip_address

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dtnode.client_api import accounts, own_api, room_acts, room_reads, room_story
from dtnode.client_api.answers import encode_json
from dtnode.client_api.api import Api, make_api
from dtnode.client_api.host import Host
from dtnode.client_api.requests import Call, HungUp
from dtnode.client_api.routes import Routes
from dtnode.client_api.sessions import Session
from dtnode.errors import (
    AuthRuleError,
    ClientApiError,
    ConfigError,
    DtnodeError,
    FormatError,
    SignatureError,
    StoreError,
)
from dtnode.rooms.local import RoomNotHere
from dtnode.rooms.names import NameAmbiguous, NameNotFound
from dtnode.rooms.permission import RoomIsEncrypted
from dtnode.signer import Entropy

log = logging.getLogger(__name__)

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
}
"""Client-server API, "Web Browser Clients". Any page may ask, only one with a token is answered."""
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?")


def create_app(
    host: Host,
    *,
    user_id: str,
    server_name: str,
    access_token: str,
    password: Callable[[], str],
    entropy: Entropy,
    host_names: Collection[str] = (),
) -> Starlette:
    """The client API of one node.

    access_token: the command line's. password: gives what clients log in with. host_names: names
    under which the API may be called, besides localhost, the server name and any IP address.
    """
    api = make_api(
        host,
        user_id=user_id,
        server_name=server_name,
        access_token=access_token,
        password=password,
        entropy=entropy,
    )
    names = frozenset(name.lower() for name in (server_name, "localhost", *host_names))
    app = Starlette()
    app.router.default = _Endpoint(api, names)  # a Mount would miss paths with a line feed in them
    return app


class _Endpoint:
    def __init__(self, api: Api, host_names: frozenset[str]) -> None:
        self._api = api
        self._host_names = host_names
        self._routes = Routes(
            (
                *accounts.ROUTES,
                *room_acts.ROUTES,
                *room_reads.ROUTES,
                *own_api.ROUTES,
                *room_story.ROUTES,
            )
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a WebSocket; nothing here is one
            await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive)
        response = await self._respond(request)
        if not request.url.path.startswith("/_dtnode"):
            response.headers.update(_CORS)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except HungUp:
            return Response(status_code=499)  # nobody reads it
        except DtnodeError as error:
            return _error_response(as_client_error(error))
        except Exception:  # the edge of this request's task: the node goes on
            path = request.url.path
            log.exception("%s %s failed; please report this", request.method, path)
            return _error_response(
                ClientApiError(500, "M_UNKNOWN", "dtnode failed here: its log says how")
            )

    async def _answer(self, request: Request) -> Response:
        self._check_host(request)
        raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        if request.method == "OPTIONS":
            return Response(status_code=204)
        route, params = self._routes.find(request.method, raw_path)
        session = Session() if route.open else await self._session(request)
        call = Call(request=request, params=params, session=session)
        answer = await route.handler(self._api, call)
        data = answer if isinstance(answer, bytes) else encode_json(answer)
        return Response(data, media_type="application/json")

    def _check_host(self, request: Request) -> None:
        """A page from elsewhere whose name was made to point here (DNS rebinding) has that name in
        the Host header, never an address."""
        found = _HOST.fullmatch(request.headers.get("host", ""))
        name = found["name"].strip("[]").lower().rstrip(".") if found else ""
        if name not in self._host_names and not _is_address(name):
            raise ClientApiError(
                403, "M_FORBIDDEN", f"{name[:80]!r} is not a name of this server: use its address"
            )

    async def _session(self, request: Request) -> Session:
        token = _token(request)
        sessions, store = self._api.sessions, self._api.rooms.store
        found = sessions.find_known(token)
        if found is None:
            found = await self._api.host.read(lambda: sessions.find(store, token))
        if found is None:
            raise ClientApiError(401, "M_UNKNOWN_TOKEN", "this access token is not valid: log in")
        return found


def _token(request: Request) -> str:
    """From the header; some clients still put it into the query."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    token = request.query_params.get("access_token", "")
    if not token:
        raise ClientApiError(401, "M_MISSING_TOKEN", "this call needs an access token: log in")
    return token


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def as_client_error(error: DtnodeError) -> ClientApiError:
    """What a client is told of an error of dtnode's."""
    status, errcode = 500, "M_UNKNOWN"
    match error:
        case ClientApiError():
            return error
        case RoomNotHere() | NameNotFound():
            status, errcode = 404, "M_NOT_FOUND"
        case NameAmbiguous():
            status, errcode = 400, "M_INVALID_PARAM"
        case AuthRuleError() | RoomIsEncrypted():
            status, errcode = 403, "M_FORBIDDEN"
        case FormatError() | SignatureError():
            status, errcode = 400, "M_BAD_JSON"
        case ConfigError():
            status, errcode = 400, "M_UNKNOWN"
        case StoreError():
            status = 507 if "is full" in str(error) else 500
        case _:
            log.error("a request failed: %s", error)
    return ClientApiError(status, errcode, str(error))


def _error_response(error: ClientApiError) -> Response:
    body: dict[str, object] = {"errcode": error.errcode, "error": str(error)}
    if isinstance(error, accounts.TooManyAttempts):
        body["retry_after_ms"] = error.retry_after_ms
    return Response(orjson.dumps(body), status_code=error.status, media_type="application/json")
