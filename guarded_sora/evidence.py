"""What verification answers with: a verdict, and the evidence it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.verdicts import VerdictName


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One leg: ``kind`` is credentials, metadata, watermark, fingerprint, registry, audit or detector."""

    kind: str
    state: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Seconds of the clip that belong to ``clip_id`` (None: to nobody we know)."""

    start: float
    end: float
    clip_id: ClipId | None
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReference:
    """``seq`` of this verification's own event; ``included``: the log holds this very file as released."""

    seq: int | None
    included: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What can be said of a file, and why. ``clause_failed``: one of the clauses asked for does not hold."""

    file: Path
    sha256: str | None
    verdict: VerdictName
    reason: str
    clip_id: ClipId | None
    notices: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    segments: tuple[Segment, ...]
    audit: AuditReference
    rules: dict[str, Any] = field(default_factory=dict)
    clause_failed: bool = False

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "file": str(self.file),
            "sha256": self.sha256,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "clip_id": str(self.clip_id) if self.clip_id else None,
            "notices": [{"code": code} for code in self.notices],
            "evidence": [
                {"kind": item.kind, "state": item.state, "detail": item.detail} for item in self.evidence
            ],
            "segments": [
                {
                    "start": round(part.start, 3),
                    "end": round(part.end, 3),
                    "clip_id": str(part.clip_id) if part.clip_id else None,
                    "state": part.state,
                }
                for part in self.segments
            ],
            "rules": self.rules,
            "audit": {"seq": self.audit.seq, "included": self.audit.included},
        }


class Gathered:
    """What the legs of one examination add to, in the order in which they ran."""

    def __init__(self) -> None:
        self.evidence: list[Evidence] = []
        self.notices: list[str] = []
        self.failed = False

    def add(self, kind: str, state: str, detail: dict[str, Any]) -> None:
        self.evidence.append(Evidence(kind=kind, state=state, detail=detail))

    def fault(self, kind: str, reason: str) -> None:
        """A leg that could not be checked: evidence of its own, and never silence."""
        self.failed = True
        self.add(kind, "failed", {"reason": reason})

    def notice(self, code: str) -> None:
        """Once, however many legs have a reason to say it."""
        if code not in self.notices:
            self.notices.append(code)

    def take(self, other: Gathered) -> None:
        """All that another one gathered, after what is here."""
        self.evidence += other.evidence
        self.failed = self.failed or other.failed
        for code in other.notices:
            self.notice(code)
