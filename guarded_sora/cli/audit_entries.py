"""How entries of the log are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from guarded_sora.audit.entry import Entry
from guarded_sora.cli.output import print_json, print_table


def show(entries: Sequence[Entry], *, as_json: bool) -> None:
    """A JSON object a line, or a table."""
    if as_json:
        for entry in entries:
            print_json(
                {
                    "seq": entry.seq,
                    "id": entry.id,
                    "time": datetime.fromtimestamp(entry.ts / 1000, UTC).isoformat(timespec="milliseconds"),
                    "kind": entry.kind,
                    "actor": entry.actor,
                    "subject": entry.subject,
                    "body": dict(entry.body),
                }
            )
        return
    print_table(
        "",
        ("seq", "time", "kind", "subject", "what"),
        [(entry.seq, _time(entry.ts), entry.kind, entry.subject, _gist(entry.body)) for entry in entries],
    )


def _gist(body: Any) -> str:
    """The few words of an entry that a reader looks for first."""
    wanted = ("action", "verdict", "reason", "stage", "clip_id", "case_id")
    return ", ".join(str(body[name]) for name in wanted if body.get(name))


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
