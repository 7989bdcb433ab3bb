"""Answers as bytes. For every handler of dtnode.client_api that encodes JSON with events in it."""

from __future__ import annotations

import json

import orjson


def encode_json(value: object) -> bytes:
    """Rooms of versions 3 to 5 may hold integers beyond 64 bits, which orjson refuses."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
