"""What the detector answers: heads that stay apart, when, why, and what may be made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Head(StrEnum):
    """Kinds of synthetic media that are told apart; a detector of one is blind to another."""

    FULLY_SYNTHETIC = "fully_synthetic"
    FACE_MANIPULATED = "face_manipulated"
    LIP_OR_AUDIO_EDITED = "lip_or_audio_edited"
    PARTLY_EDITED = "partly_edited"


class HeadState(StrEnum):
    """What a head can say of a film."""

    LIKELY = "likely"  # above a threshold that was shown to hold in public
    FOR_REVIEW = "for_review"  # rarer than alpha among real films; ranks for review, proves nothing
    NOTHING = "nothing"
    ABSTAINS = "abstains"  # too few real films of this quality to hold alpha
    NOT_APPLICABLE = "not_applicable"  # its precondition does not hold for this film
    UNSUPPORTED = "unsupported"  # no head of this kind that beats its bound is installed
    UNCALIBRATED = "uncalibrated"  # a score without a card; it counts for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One head. ``score`` is the model's own, ``llr`` the natural-log likelihood ratio it is worth."""

    head: Head
    state: HeadState
    detector: str = ""
    reason: str = ""
    score: float | None = None
    llr: float | None = None
    p_value: float | None = None
    quality: str = ""

    def as_json(self) -> dict[str, Any]:
        """For evidence and reports."""
        told: dict[str, Any] = {"head": self.head.value, "state": self.state.value}
        for name in ("detector", "reason", "quality"):
            if getattr(self, name):
                told[name] = getattr(self, name)
        for name in ("score", "llr", "p_value"):
            value = getattr(self, name)
            if value is not None:
                told[name] = round(value, 4)
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Score of the seconds from ``start`` to ``end``, each block's in ``blocks``, places as spots."""

    start: float
    end: float
    score: float
    blocks: tuple[float, ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    """Top and left of each block in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticReport:
    """``contributions`` are what each family of measurements adds to the score, additive with ``bias``."""

    readings: tuple[Reading, ...]
    moments: tuple[Moment, ...] = ()
    contributions: Mapping[str, float] = field(default_factory=dict)
    bias: float = 0.0
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels."""
    version: str = ""
    weights_sha256: str = ""

    @property
    def main(self) -> Reading:
        """The reading that ranks: the one most telling of fully synthetic films."""
        whole = [item for item in self.readings if item.head is Head.FULLY_SYNTHETIC]
        order = list(HeadState)
        return min(whole, key=lambda item: order.index(item.state))

    def timeline(self) -> list[dict[str, float]]:
        """The mean score of each second of the film that was looked at."""
        seconds: dict[int, list[float]] = {}
        for moment in self.moments:
            for second in range(int(moment.start), max(int(moment.start), int(moment.end - 1e-6)) + 1):
                seconds.setdefault(second, []).append(moment.score)
        return [
            {"second": second, "score": round(sum(scores) / len(scores), 3)}
            for second, scores in sorted(seconds.items())
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, for ``--json``."""
        return {
            "heads": [item.as_json() for item in self.readings],
            "timeline": self.timeline(),
            "contributions": {name: round(value, 3) for name, value in self.contributions.items()},
            "bias": round(self.bias, 3),
            "version": self.version,
            "weights_sha256": self.weights_sha256,
        }


__all__ = ["Head", "HeadState", "Moment", "Reading", "SyntheticReport"]
