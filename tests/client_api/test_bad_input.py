"""Garbage at every call: an answer below 500 that says what is wrong, and a node that goes on."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from dtnode.client_api import accounts, own_api, room_acts, room_reads
from dtnode.client_api.requests import parse_object
from dtnode.client_api.routes import Route, Routes
from dtnode.client_api.snapshots import StreamToken, parse_token
from dtnode.errors import ClientApiError, DtnodeError, StoreError
from tests.client_api.small_node import CLIENT, Client, SmallNode

ROUTES = [
    route
    for routes in (accounts.ROUTES, room_acts.ROUTES, room_reads.ROUTES, own_api.ROUTES)
    for route in routes
]
FIELDS = (
    *("name", "topic", "preset", "visibility", "room_version", "invite", "initial_state"),
    *("creation_content", "power_level_content_override", "is_direct", "user_id", "reason"),
    *("type", "identifier", "user", "password", "device_id", "displayname", "events", "peer"),
    *("blocked", "room", "account_data", "event_format", "limit", "types"),
)
PARAMETERS = (
    *("since", "filter", "full_state", "dir", "from", "to", "limit", "after", "room", "user"),
    *("membership", "not_membership", "format"),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4).map(lambda value: _encode(value)),
    VALUES.map(lambda value: _encode(value)),
    st.binary(max_size=40),
)
QUERIES = st.dictionaries(
    st.sampled_from(PARAMETERS),
    st.one_of(
        st.text(max_size=8), st.sampled_from(["0", "-1", "9" * 30, "s1_1", "{}", '{"room":1}'])
    ),
    max_size=3,
)


def _encode(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, a lone surrogate
        return b"[1e400]"


@st.composite
def requests(draw: st.DrawFn) -> tuple[Route, list[str], bytes, dict[str, str]]:
    route = draw(st.sampled_from([r for r in ROUTES if not r.path.endswith("/shutdown")]))
    params = [
        draw(st.one_of(st.text(max_size=6), st.sampled_from(["ROOM", "USER"])))
        for part in route.path.split("/")
        if part.startswith("{")
    ]
    return route, params, draw(BODIES), draw(QUERIES)


@given(st.lists(requests(), max_size=4))
def test_every_call_answers_garbage(
    asked: list[tuple[Route, list[str], bytes, dict[str, str]]],
) -> None:
    async def run() -> None:
        alice = SmallNode("alice")
        client = alice.client()
        room_id = await client.create_room(name="boat")
        for route, params, body, query in asked:
            values = iter({"ROOM": room_id, "USER": alice.user_id}.get(p, p) for p in params)
            path = "/".join(
                quote(next(values), safe="") if part.startswith("{") else part
                for part in route.path.split("/")
            )
            response = await client.http.request(route.method, path, content=body, params=query)
            assert response.status_code < 500, (route, response.text)
            if response.status_code >= 400:
                assert set(response.json()) >= {"errcode", "error"}
        assert await client.create_room(name="still here")

    trio.run(run)


@given(st.binary(max_size=60))
def test_any_path_is_found_or_refused(path: bytes) -> None:
    routes = Routes(ROUTES)
    with pytest.raises(ClientApiError) as caught:
        routes.find("GET", b"/" + path.replace(b"/", b"") + b"/x")
    assert caught.value.status in (400, 404, 405)


@given(st.integers(0, 10**14), st.none() | st.integers(0, 10**14))
def test_tokens_round_trip(position: int, number: int | None) -> None:
    token = StreamToken(position=position, number=number)
    assert parse_token(str(token)) == token


@given(st.text(max_size=20))
def test_any_token_is_read_or_refused(text: str) -> None:
    try:
        token = parse_token(text)
    except ClientApiError:
        return
    assert token.position >= 0


def test_json_nested_beyond_reason_is_refused() -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        for levels in (101, 5_000, 200_000):
            inner = opening * levels + "1" + closing * levels
            with pytest.raises(ClientApiError):
                parse_object(f'{{"x": {inner}}}')


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreError("the disk that holds x is full: make room"), 507),
        (StoreError("the store is damaged"), 500),
        (DtnodeError("odd"), 500),
        (RuntimeError("a bug"), 500),
    ],
)
async def test_failures_of_the_node_are_told(
    alice: SmallNode,
    at_alice: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    async def fail(_work: object) -> Any:
        raise error

    monkeypatch.setattr(alice, "run", fail)
    response = await at_alice.ask("POST", f"{CLIENT}/createRoom", {})
    assert response.status_code == status
    assert response.json()["errcode"] == "M_UNKNOWN"
    assert ("a bug" in response.text) is False
