"""Times as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from guarded_sora.errors import UsageError

_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def iso_time(milliseconds: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def moment(words: str, now: datetime | None = None) -> int:
    """``2026-11-01``, ``2026-11-01T12:30`` (UTC unless it says otherwise) or ``90m``, ``24h``, ``7d``,
    ``2w`` ago, as milliseconds since 1970.

    Raises:
        UsageError: none of these.
    """
    ago = _AGO.fullmatch(words)
    try:
        if ago is not None:
            found = (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            found = datetime.fromisoformat(words)
            found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return int(found.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{words[:40]!r} is no time; write 2026-11-01, 2026-11-01T12:30, or 24h or 7d for that long ago."
        ) from error
