"""What is written into the log and printed as JSON: decisions and checks as plain values.

Log entries hold no floats (canonical JSON has no one form for them) and no text of a prompt:
scores and thresholds are integer parts per million, times are microseconds, spans are character
offsets. It is enough to decide again under another pack without the text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from guarded_sora.policies.finding import (
    Box,
    CharacterSpan,
    CheckRun,
    Decision,
    Finding,
    RequestContext,
    TimeSpan,
    Where,
)

MILLION = 1_000_000
_REGION = re.compile(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?|")
_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")
MOST_FINDINGS = 100


def ppm(value: float | None) -> int | None:
    """Integer parts per million, None kept."""
    return None if value is None else round(value * MILLION)


def check_entry(check: CheckRun) -> dict[str, Any]:
    """One check for the log."""
    return {
        "name": check.name,
        "version": check.version,
        "state": check.state.value,
        "reason": check.reason,
        "result": check.result,
        "score_ppm": ppm(check.score),
        "threshold_ppm": ppm(check.threshold),
        "us": round(check.ms * 1000),
        "weights_sha256": check.weights_sha256,
    }


def finding_entry(finding: Finding) -> dict[str, Any]:
    """One finding for the log: no evidence text, for it may repeat a term of the prompt."""
    return {
        "category": finding.category,
        "severity": finding.severity,
        "score_ppm": ppm(finding.score),
        "calibrated": finding.calibrated,
        "modality": finding.modality.value,
        "where": _where_entry(finding.where),
        "detector": finding.detector,
        "version": finding.detector_version,
        **({"registered": finding.subject} if finding.subject else {}),
    }


def context_entry(context: RequestContext) -> dict[str, Any]:
    """What of the context the engine looked at; actor and tenant stand elsewhere as pseudonyms."""
    return {
        "age_tier": context.age_tier,
        # Anything else a client wrote there is free text, and the log cannot be erased.
        "region": context.region if _REGION.fullmatch(context.region) else "unknown",
        "locale": context.locale if _LOCALE.fullmatch(context.locale) else "unknown",
        "consents": len(context.consents),
        "counters": {name: int(value) for name, value in sorted(context.counters.items())},
    }


def context_document(context: RequestContext) -> dict[str, Any]:
    """The whole context, names included, to wait encrypted in a case."""
    return {
        "actor": context.actor,
        "tenant": context.tenant,
        "age_tier": context.age_tier,
        "region": context.region,
        "locale": context.locale,
        "consents": list(context.consents),
    }


def context_from(document: Mapping[str, Any]) -> RequestContext:
    """The context that :func:`context_document` wrote."""
    return RequestContext(**{**document, "consents": tuple(document["consents"])})


def decision_entry(decision: Decision) -> dict[str, Any]:
    """A decision for the log, complete enough to decide again without the text."""
    return {
        "action": decision.action.value,
        "obligations": sorted(decision.obligations),
        "rules": [
            {"id": rule.id, "reason": rule.reason, "action": rule.action.value} for rule in decision.rules
        ],
        "pack": _pack(decision),
        "findings": [finding_entry(finding) for finding in strongest(decision.findings)],
        "findings_total": len(decision.findings),
        "checks": [check_entry(check) for check in decision.checks],
        "shadow": None
        if decision.shadow is None
        else {"action": decision.shadow.action.value, "pack": _pack(decision.shadow)},
    }


def strongest(findings: Sequence[Finding]) -> list[Finding]:
    """The findings an entry has room for: the most severe and most certain, in their own order.

    An entry has 64 KiB; a prompt made of a thousand forbidden words must still leave its record.
    """
    order = sorted(
        range(len(findings)), key=lambda at: (-findings[at].severity, -(findings[at].score or 0.0), at)
    )
    return [findings[at] for at in sorted(order[:MOST_FINDINGS])]


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as ``--json`` prints it."""
    return {
        "action": decision.action.value,
        "obligations": sorted(decision.obligations),
        "rules": [{"id": rule.id, "reason": rule.reason, "text": rule.text} for rule in decision.rules],
        "pack": _pack(decision),
    }


def check_json(check: CheckRun) -> dict[str, Any]:
    """A check as ``--json`` prints it."""
    return {
        "name": check.name,
        "version": check.version,
        "state": check.state.value,
        "reason": check.reason,
        "result": check.result,
        "score": check.score,
        "threshold": check.threshold,
        "ms": round(check.ms, 3),
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as ``--json`` prints it."""
    return {
        "category": finding.category,
        "severity": finding.severity,
        "score": finding.score,
        "modality": finding.modality.value,
        "where": _where_json(finding.where),
        "detector": finding.detector,
    }


def checks_digest(checks: Sequence[CheckRun]) -> str:
    """SHA-256 over the full record of checks; the public manifest carries only this."""
    record = orjson.dumps([check_entry(check) for check in checks], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(record).hexdigest()


def worst_first(checks: Iterable[CheckRun]) -> list[CheckRun]:
    """Checks in an order for readers: failed, unavailable, ran."""
    order = {"failed": 0, "unavailable": 1, "ran": 2}
    return sorted(checks, key=lambda check: (order[check.state.value], check.name))


def _pack(decision: Decision) -> Mapping[str, str]:
    return {"id": decision.pack.id, "version": decision.pack.version, "digest": decision.pack.digest}


def _where_entry(where: Where | None) -> dict[str, Any] | None:
    match where:
        case None:
            return None
        case CharacterSpan():
            return {"start": where.start, "end": where.end}
        case TimeSpan():
            return {"start_ms": round(where.start * 1000), "end_ms": round(where.end * 1000)}
        case Box():
            return {
                "box": [round(side) for side in (where.left, where.top, where.right, where.bottom)],
                "ms": round(where.time * 1000),
            }


def _where_json(where: Where | None) -> dict[str, Any] | None:
    match where:
        case None:
            return None
        case CharacterSpan() | TimeSpan():
            return {"start": where.start, "end": where.end}
        case Box():
            return {"box": [where.left, where.top, where.right, where.bottom], "time": where.time}
