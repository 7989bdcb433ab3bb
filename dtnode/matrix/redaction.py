"""The redaction algorithm of each room version (specification, "Redactions" of the version).

Pure JSON to JSON; whether a redaction event applies to its target is decided in event_auth.
"""

from __future__ import annotations

from typing import Any

from dtnode.matrix.room_versions import RoomVersion


def redact(json: dict[str, Any], version: RoomVersion) -> dict[str, Any]:
    """A redacted copy of an event in federation format: `type` is text, `content` an object.

    Values are shared with the original, not copied. `unsigned` goes.
    """
    allowed = version.redaction_keys
    redacted = {key: value for key, value in json.items() if key in allowed}
    event_type = json["type"]
    redacted["content"] = _redact_content(event_type, json["content"], version)
    if version.room_id_is_create_hash and event_type == "m.room.create":
        redacted.pop("room_id", None)
    return redacted


def _redact_content(
    event_type: str, content: dict[str, Any], version: RoomVersion
) -> dict[str, Any]:
    if event_type == "m.room.create" and version.redaction_keeps_create_content:
        return content
    allowed = version.redaction_content_keys.get(event_type)
    if allowed is None:
        return {}
    redacted = {key: value for key, value in content.items() if key in allowed}
    if version.redaction_keeps_third_party_signed and event_type == "m.room.member":
        invite = content.get("third_party_invite")
        if type(invite) is dict:
            # The specification allows "the signed key of the third_party_invite key"; deployed
            # servers keep the emptied object where there is none, and ids depend on it.
            redacted["third_party_invite"] = (
                {"signed": invite["signed"]} if "signed" in invite else {}
            )
    return redacted
