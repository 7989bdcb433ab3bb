"""A room as JSON lines: written by export, read by import and audit (format: the vectors' README).

Line 1 is a header with room version and signing keys; every further line is one PDU, parents before
children. Files and terminals are the caller's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from dtnode.errors import FormatError
from dtnode.matrix.canonical_json import parse_json_object
from dtnode.matrix.pdu import Pdu, read_pdu
from dtnode.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from dtnode.matrix.server_names import key_from_server_name
from dtnode.matrix.unpadded_base64 import decode_unpadded_base64, encode_unpadded_base64
from dtnode.signer import KEY_ID
from dtnode.store import Store

MAX_LINE_BYTES = 1_048_576  # a PDU is at most 64 KiB; escapes can make its JSON text longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """keys: server name -> 32-byte Ed25519 key, good for `key_id` only."""

    version: RoomVersion
    key_id: str
    keys: Mapping[str, bytes]

    def key(self, server: str, key_id: str) -> bytes | None:
        """dtnode.matrix.signing.KeyLookup."""
        return self.keys.get(server) if key_id == self.key_id else None


def parse_header(line: bytes) -> Header:
    """FormatError says what is wrong with the first line."""
    header = parse_json_object(line)
    version = ROOM_VERSIONS.get(str(header.get("room_version")))
    if version is None:
        raise FormatError(
            f"room version {header.get('room_version')!r} is not one this dtnode knows"
            f" ({', '.join(ROOM_VERSIONS)}); is the first line a room file's header?"
        )
    servers, key_id = header.get("servers"), header.get("key_id")
    if not isinstance(servers, dict) or not isinstance(key_id, str):
        raise FormatError('the header needs "key_id" and "servers": {name: base64 key}')
    keys: dict[str, bytes] = {}
    for name, text in servers.items():
        key = decode_unpadded_base64(text) if isinstance(text, str) else None
        if key is None or len(key) != 32:
            raise FormatError(f"the key of {name!r} in the header is no base64 of 32 bytes")
        keys[name] = key
    return Header(version=version, key_id=key_id, keys=keys)


def create_event(line: bytes, version: RoomVersion) -> Pdu:
    """A room file's first event. FormatError: it isn't a create event."""
    pdu = read_pdu(line, version)
    if pdu.type != "m.room.create":
        raise FormatError("the first event of a room file must be its m.room.create")
    return pdu


def export_room(store: Store, room_id: str) -> Iterator[str]:
    """Every judged event (rejected ones too: others may stand on them), then held ones."""
    room = store.rooms.get(room_id)
    if room is None:
        raise FormatError(f"room {room_id} is not in this store")
    servers = {
        server
        for server in store.events.servers(room.nid)
        if key_from_server_name(server) is not None
    }
    keys = {
        server: encode_unpadded_base64(key)
        for server in sorted(servers)
        if (key := key_from_server_name(server)) is not None
    }
    header = {"room_version": room.version.identifier, "key_id": KEY_ID, "servers": keys}
    yield json.dumps(header, separators=(",", ":"))
    for event in store.events.in_nid_order(room.nid):
        yield event.pdu.canonical().decode()
    for held in store.held.of_room(room.nid):
        yield held.pdu.canonical().decode()


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Lines of a file, long ones in pieces: a few kB of gzip can unfold to a line of gigabytes."""
    while line := file.readline(MAX_LINE_BYTES + len("\r\n") + 1):  # one byte too many shows it
        yield line


def non_empty(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends; FormatError if one is absurdly long."""
    for line in lines:
        stripped = line.strip()
        if len(stripped) > MAX_LINE_BYTES:
            raise FormatError(f"a line of {len(stripped)} bytes is no event")
        if stripped:
            yield stripped
