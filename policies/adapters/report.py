"""What an adapter makes of a model's scores: findings in our categories, never a decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from guarded_sora.policies.errors import ModelInvalid
from guarded_sora.policies.finding import Finding
from guarded_sora.policies.taxonomy import CATEGORIES, Scheme, from_scheme

LEAST_SCORE: Final = 0.05
_FIRST_CHOICE: Final[Mapping[str, str]] = {
    "illicit": "illicit.crime",
    "illicit/violent": "dangerous.weapons",
    "S2": "illicit.crime",
    "S5": "deception.defamation",
    "S7": "privacy.pii",
    "S8": "ip.character",
    "S9": "dangerous.weapons",
    "S13": "deception.elections",
}
"""Where a label of another scheme covers several of ours, the one it means most often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one output is read: from score ``at`` upwards it counts as ``severity`` of ``category``."""

    category: str
    at: float = 0.5
    severity: int = 2

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ModelInvalid(f"{self.category!r} is no category of the taxonomy; correct the card.")


def category_for(scheme: Scheme, label: str) -> str | None:
    """Our category for a label of another scheme; None when it has no word for it."""
    if label in _FIRST_CHOICE:
        return _FIRST_CHOICE[label]
    ours = from_scheme(scheme, label) or from_scheme(scheme, label.partition("/")[0])
    return ours[0] if ours else None


def findings_of(detector: str, version: str, scores: Iterable[tuple[str, float, Reading]]) -> list[Finding]:
    """One finding for each (output, score 0 to 1, reading) from 0.05 upwards; below ``at`` severity is 0."""
    found = []
    for label, score, reading in scores:
        if not 0.0 <= score <= 1.0:  # also false for a number that is none
            raise ModelInvalid(f"{detector} gave a score that is not between 0 and 1; do not use this model.")
        if score >= LEAST_SCORE or score >= reading.at:
            found.append(
                Finding(
                    category=reading.category,
                    severity=reading.severity if score >= reading.at else 0,
                    score=score,
                    detector=detector,
                    detector_version=version,
                    evidence=f"{label} {score:.2f}",
                )
            )
    return found
