"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_time(milliseconds: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
