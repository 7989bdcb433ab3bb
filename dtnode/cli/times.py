"""Points in time as people type them: "2h", "3 days", "17:40", "2026-11-23", ISO 8601.

Local time unless the text says otherwise. Called by commands with --since.
"""

from __future__ import annotations

import datetime
import re

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_ago = re.compile(
    r"(\d{1,9})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)(\s+ago)?"
).fullmatch
_time_of_day = re.compile(r"(\d{1,2}):(\d{2})").fullmatch

FORMS = '"2h", "3 days", "yesterday", "17:40", "2026-11-23 17:40" or "2026-11-23T16:40Z"'


def milliseconds(text: str, now_ms: int) -> int | None:
    """`text` as milliseconds since the epoch; None: it is no time.

    A time of day is the last one that has been: "17:40" at 9:00 is yesterday's.
    """
    text = text.strip()
    ago = _ago(text.lower())
    if ago:
        return now_ms - int(ago[1]) * _UNITS_S[ago[2][0]] * 1000
    now = datetime.datetime.fromtimestamp(now_ms / 1000)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text.lower() in ("today", "yesterday"):
        return _ms(midnight - datetime.timedelta(days=text.lower() == "yesterday"))
    try:
        clock = _time_of_day(text)
        if clock:
            moment = midnight.replace(hour=int(clock[1]), minute=int(clock[2]))
            return _ms(moment if moment <= now else moment - datetime.timedelta(days=1))
        return _ms(datetime.datetime.fromisoformat(text))
    except (ValueError, OverflowError, OSError):
        return None


def _ms(moment: datetime.datetime) -> int:
    return round(moment.timestamp() * 1000)
