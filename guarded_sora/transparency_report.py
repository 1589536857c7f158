"""The transparency report of a period: what was decided, how fast, by whom, and what was overturned.

Counted from the log alone, under a signed checkpoint. The counts are those that Regulation (EU)
2022/2065, Articles 15 and 24, asks for; nobody is named.
"""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

from guarded_sora.audit.entry import Entry
from guarded_sora.dossier.contents import About
from guarded_sora.services import Services

_COUNTED = {
    "asked": "request.intent",
    "released": "request.released",
    "refused": "request.blocked",
    "held": "request.held",
    "failed": "request.failed",
    "undone": "release.undone",
}


def transparency_report(services: Services, period: About) -> dict[str, Any]:
    """The report as JSON values; times in hours.

    Raises:
        AuditError: the log could not be read.
    """
    checkpoint = services.log.checkpoint()
    return {
        "period": period.id,
        "log": {
            "origin": services.log.origin,
            "size": checkpoint.size,
            "root": base64.b64encode(checkpoint.root).decode(),
        },
        "requests": _requests(services, period),
        "notices": _cases(services, period, notices=True),
        "own_initiative": _cases(services, period, notices=False),
        "appeals": _appeals(services, period),
        "measures": {
            "films_taken_down": len(
                {
                    clip["clip_id"]
                    for entry in _of(services, period, "notice.taken_down")
                    for clip in entry.body["clips"]
                }
            ),
            "refused_again": _count(services, period, "stay_down.refused"),
            "strikes_given": _count(services, period, "strike.given"),
            "strikes_removed": _count(services, period, "strike.removed"),
            "handed_to_authorities": _count(services, period, "case.handed_off"),
            "statements_of_reasons": _count(services, period, "case.reasons"),
            "people_erased": _count(services, period, "payload.erased"),
        },
        "verification": dict(
            sorted(
                Counter(
                    str(entry.body["verdict"]) for entry in _of(services, period, "clip.verified")
                ).items()
            )
        ),
    }


def as_csv(report: dict[str, Any]) -> str:
    """The report as lines of name and value, names joined by dots."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("name", "value"))
    writer.writerows(_flat(report))
    return out.getvalue()


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, "" if value is None else value


def _requests(services: Services, period: About) -> dict[str, Any]:
    counts = {name: _count(services, period, kind) for name, kind in _COUNTED.items()}
    reasons: Counter[str] = Counter()
    for entry in _of(services, period, "request.blocked"):
        reasons.update({str(rule["reason"]) for rule in entry.body["rules"] if rule["action"] == "block"})
    return {**counts, "refused_because": dict(sorted(reasons.items()))}


def _cases(services: Services, period: About, *, notices: bool) -> dict[str, Any]:
    kinds: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    hours: list[float] = []
    late = waiting = 0
    for entry in _of(services, period, "case.opened"):
        if str(entry.body["kind"]).startswith("notice.") is not notices:
            continue
        kinds[str(entry.body["kind"]).removeprefix("notice.")] += 1
        sources[str(entry.body["summary"].get("by", "checks"))] += 1
        case = services.cases.show(entry.subject)
        first = next((item for item in reversed(case.decisions) if item.stage != "appealed"), None)
        if not case.action or first is None:
            waiting += 1
            continue
        outcomes[first.action] += 1
        hours.append((first.ts - case.opened_ts) / 3_600_000)
        due = entry.body["due_ts"]
        late += due is not None and first.ts > due
    return {
        "opened": sum(kinds.values()),
        "by_kind": dict(sorted(kinds.items())),
        "by_source": dict(sorted(sources.items())),
        "decided": dict(sorted(outcomes.items())),
        "waiting": waiting,
        "median_hours": round(median(hours), 3) if hours else None,
        "after_the_clock": late,
    }


def _appeals(services: Services, period: About) -> dict[str, Any]:
    answered = Counter(str(entry.body["outcome"]) for entry in _of(services, period, "case.appeal_decided"))
    return {
        "filed": _count(services, period, "case.appealed"),
        "upheld": answered["uphold"],
        "overturned": answered["overturn"],
    }


def _count(services: Services, period: About, kind: str) -> int:
    return services.log.count(kind, since=period.start, until=period.end)


def _of(services: Services, period: About, kind: str) -> Iterator[Entry]:
    after: int | None = None
    while page := services.log.search(
        kind=kind, since=period.start, until=period.end, after=after, limit=1000
    ):
        yield from page
        after = page[-1].seq
