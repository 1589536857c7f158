"""Self-check of a file against the conformance programme's rubric: ``verify --rubric``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_sora.errors import MediaError
from guarded_sora.provenance.credentials.container import inspect
from guarded_sora.provenance.credentials.read import read_library
from guarded_sora.provenance.credentials.rubric_rules import RULES, Manifest, Severity
from guarded_sora.provenance.credentials.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class RubricResult:
    """One rule: ``problems`` is empty when it holds. Picklable; all text is cleaned."""

    id: str
    title: str
    severity: Severity
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints under ``rubric``."""
        return {
            "state": "pass" if self.holds else "fail" if self.severity == "error" else "warning",
            "title": self.title,
            "problems": list(self.problems),
        }


def check_file(path: Path, trust: Trust, *, sidecar: bytes | None = None) -> tuple[RubricResult, ...]:
    """Every rule over the newest manifest of ``path``; made to run in a worker, as ``read`` is.

    Raises ``MediaError`` when the container guard refuses the file or it holds no readable manifest.
    """
    container = inspect(path)
    if container.refused or container.kind == "unknown":
        reason = container.refused or "the file is no film or picture"
        raise MediaError(f"The rubric cannot be run: {reason}.")
    reading = read_library(path, trust, container, sidecar, precise=True)
    manifests = reading.precise.get("manifests")
    if reading.error or not isinstance(manifests, list) or not manifests:
        raise MediaError("The rubric cannot be run: the file holds no readable manifest.")
    return check_report(manifests[0])


def check_report(manifest: Mapping[str, Any]) -> tuple[RubricResult, ...]:
    """Every rule over one manifest of the library's precise (crJSON) report."""
    view = Manifest(manifest)
    return tuple(
        RubricResult(id=name, title=title, severity=severity, problems=tuple(rule(view)))
        for name, title, severity, rule in RULES
    )
