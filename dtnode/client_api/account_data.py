"""Account data: what clients keep on their server, for all rooms or for one, and the filters they
named. Every change has a number of the snapshots', so that other clients' syncs tell it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson

from dtnode.client_api.filters import EventFilter, SyncFilter, parse_sync_filter
from dtnode.client_api.push_rules import push_rules
from dtnode.client_api.requests import JsonObject, bad_parameter, not_found
from dtnode.client_api.snapshots import Snapshots
from dtnode.errors import ClientApiError
from dtnode.store import Store

MAX_TYPES = 200  # of account data, global or of one room; clients have about ten
MAX_FILTERS = 500  # different ones; a client has one or two
MAX_VALUE_BYTES = 65_536  # of one type of account data, or one filter
SERVER_MANAGED = frozenset({"m.push_rules", "m.fully_read"})
_FILTERS = "filters"


class AccountData:
    """Methods run on the store's thread. room_id: "" for account data of all rooms."""

    def __init__(self, store: Store, snapshots: Snapshots, user_id: str) -> None:
        self._store = store
        self._user_id = user_id
        self._snapshots = snapshots

    def get(self, room_id: str, type_: str) -> JsonObject:
        if type_ == "m.push_rules" and not room_id:
            return push_rules(self._user_id)
        value = self._store.client_values.get(_scope(room_id), type_)
        if value is None:
            raise not_found(f"no account data of type {type_[:80]!r}")
        content: JsonObject = orjson.loads(value)[1]
        return content

    def write(self, room_id: str, type_: str, content: JsonObject) -> None:
        if type_ in SERVER_MANAGED:
            raise ClientApiError(405, "M_BAD_JSON", f"{type_} is not set as account data")
        if not type_ or len(type_.encode()) > 255:
            raise bad_parameter("the type of account data has 1 to 255 bytes")
        values, scope = self._store.client_values, _scope(room_id)
        if values.get(scope, type_) is None and len(values.items(scope)) >= MAX_TYPES:
            raise bad_parameter(f"there are {MAX_TYPES} types of account data already")
        number = self._snapshots.write_next_number()
        values.put(scope, type_, _dump([number, content]))
        values.put("sync", "account data", str(number).encode())

    def changed_since(
        self, room_id: str, number: int | None, only: EventFilter
    ) -> list[dict[str, Any]]:
        """As events; None: everything. Push rules are the same for ever, so told at first only."""
        if number is not None and number >= self._last_change():
            return []
        found: list[dict[str, Any]] = []
        if number is None and not room_id:
            found.append({"type": "m.push_rules", "content": push_rules(self._user_id)})
        for type_, value in self._store.client_values.items(_scope(room_id)):
            changed_at, content = orjson.loads(value)
            if number is None or changed_at > number:
                found.append({"type": type_, "content": content})
        return [event for event in found if only.allows_type(event["type"])][: only.limit]

    def _last_change(self) -> int:
        value = self._store.client_values.get("sync", "account data")
        return 0 if value is None else int(value)

    # --- filters

    def write_filter(self, json: JsonObject) -> str:
        """The id of a filter; equal ones have equal ids, so that uploading it again costs
        nothing."""
        parse_sync_filter(json)
        data = _dump(json)
        filter_id = sha256(data).hexdigest()[:16]
        values = self._store.client_values
        if values.get(_FILTERS, filter_id) is None:
            if len(values.items(_FILTERS)) >= MAX_FILTERS:
                raise bad_parameter(
                    f"{MAX_FILTERS} filters are stored already: give this one inline instead"
                )
            values.put(_FILTERS, filter_id, data)
        return filter_id

    def filter_json(self, filter_id: str) -> JsonObject:
        value = self._store.client_values.get(_FILTERS, filter_id)
        if value is None:
            raise not_found(f"there is no filter {filter_id[:80]!r}: upload it again")
        json: JsonObject = orjson.loads(value)
        return json

    def sync_filter(self, filter_id: str) -> SyncFilter:
        return parse_sync_filter(self.filter_json(filter_id))


def _scope(room_id: str) -> str:
    return f"account data {room_id}"


def _dump(value: object) -> bytes:
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if len(data) > MAX_VALUE_BYTES:
        raise ClientApiError(413, "M_TOO_LARGE", f"more than {MAX_VALUE_BYTES} bytes to be kept")
    return data
