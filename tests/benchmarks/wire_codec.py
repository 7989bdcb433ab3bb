"""Table B of the notes, measured: one event of each kind in JSON, CBOR, MSC3079's CBOR and ours.

Beside them the floor (what nobody can send less of) and the prototype's bytes as its notes have
them. Called by wire.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import cbor2
import orjson

from dtnode.matrix.pdu import Pdu
from dtnode.wire.effort import Effort
from dtnode.wire.pdus import TextCoder
from tests.benchmarks.report import Table
from tests.wire.pdus.samples import first_events, hundred_messages, rows, samples

_ONE_BYTE_KEYS = """event_id type content state_key room_id sender user_id origin_server_ts
unsigned prev_content state timeline events limited prev_batch transaction_id age redacted_because
next_batch presence avatar_url account_data rooms"""

_TWO_BYTE_KEYS = """membership displayname body msgtype hashes signatures depth prev_events
auth_events creator join_rule history_visibility ban events_default kick redact state_default users
users_default reason name topic invite room_version device_id algorithm sender_key session_id
ciphertext"""

_MSC3079 = {
    **{key: number for number, key in enumerate(_ONE_BYTE_KEYS.split(), 1)},
    **{key: number for number, key in enumerate(_TWO_BYTE_KEYS.split(), 24)},
}
"""Keys that MSC3079 numbers, as far as events have them: with 1 to 23, one byte, or beyond, two.
Which number of its size a key has makes no difference here."""

_TIME_BYTES = 3
_SIGNATURE_BYTES = 64


def codec_table(version: str, model: TextCoder) -> Table:
    events = _events(version)
    lines = []
    for row in rows(version, model):
        pdus = events[row.name]
        json = [orjson.loads(pdu.canonical()) for pdu in pdus]
        plain, modelled = (f"{size:,}" if size else "" for size in row.prototype)
        assert row.with_model is not None
        lines.append(
            [
                row.name,
                f"{row.json:,}",
                f"{sum(len(cbor2.dumps(event)) for event in json):,}",
                f"{sum(len(cbor2.dumps(_numbered(event))) for event in json):,}",
                plain,
                f"**{row.ours:,}**",
                _floor(pdus, None),
                modelled,
                f"**{row.with_model:,}**",
                _floor(pdus, model),
            ]
        )
    return Table(
        title=f"Bytes of one event, room version {version}",
        columns=(
            "event",
            "JSON",
            "CBOR",
            "MSC3079",
            "prototype",
            "ours",
            "floor",
            "prototype, text model",
            "ours, text model",
            "floor, text model",
        ),
        rows=lines,
        note="Floor: 64 B of signature, 3 B of time and the text, shortened by the model in the"
        " last column; where there is a text. The prototype's bytes are quoted from its notes, all"
        " others measured, and what was encoded was decoded again and compared. MSC3079: CBOR with"
        " that proposal's integer keys.",
    )


def _events(version: str) -> dict[str, list[Pdu]]:
    """The events of each row of tests.wire.pdus.samples.rows."""
    room = first_events(version)
    first = list(room.pdus.values())
    found = {name: [pdu] for name, pdu in samples(room).items()}
    found["power levels"] = [pdu for pdu in first if pdu.type == "m.room.power_levels"]
    found["create"] = first[:1]
    found["100 messages together"] = hundred_messages(room)
    found["14-event room from nothing"] = found["14-event room, servers known"] = first
    return found


def _numbered(value: object) -> object:
    if isinstance(value, dict):
        return {_MSC3079.get(key, key): _numbered(item) for key, item in value.items()}
    return [_numbered(item) for item in value] if isinstance(value, list) else value


def _floor(pdus: Sequence[Pdu], model: TextCoder | None) -> str:
    texts = [pdu.content.get("body") for pdu in pdus]
    if not all(isinstance(text, str) and pdus[0].content["msgtype"] == "m.text" for text in texts):
        return ""
    size = 0
    for text in texts:
        data = str(text).encode()
        short = model.compress(data, Effort()) if model is not None else None
        size += _SIGNATURE_BYTES + _TIME_BYTES + len(data if short is None else short)
    return f"{size:,}"
