"""The vocabulary everybody reports in: what was seen, what ran, what was decided.

A detector returns :class:`Finding` objects and never decides. A stage records what really
happened to it as a :class:`CheckRun`. Only the engine makes a :class:`Decision`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class Action(StrEnum):
    """What is done with a request. Ordered: the strictest of several wins."""

    ALLOW = "allow"
    REWRITE = "rewrite"
    REVIEW = "review"
    BLOCK = "block"

    @property
    def strictness(self) -> int:
        """0 for allow up to 3 for block."""
        return _STRICTNESS[self]


_STRICTNESS: Mapping[Action, int] = {action: rank for rank, action in enumerate(Action)}


def strictest(actions: Iterable[Action]) -> Action:
    """The strictest of ``actions``; ``ALLOW`` when there is none."""
    return max(actions, key=lambda action: action.strictness, default=Action.ALLOW)


class Modality(StrEnum):
    """Where a finding was seen."""

    PROMPT = "prompt"
    IMAGE = "image"
    VIDEO = "video"


class CheckState(StrEnum):
    """What really happened to a check.

    ``UNAVAILABLE``: no model or extra installed, known at start. ``FAILED``: configured, but it
    raised, timed out or its weights had the wrong hash. Neither ever means "nothing found".
    """

    RAN = "ran"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterSpan:
    """Half-open range of character offsets in the original text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpan:
    """Range of seconds in a clip."""

    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Rectangle in pixels, with the second at which it was seen."""

    left: float
    top: float
    right: float
    bottom: float
    time: float = 0.0


Where = CharacterSpan | TimeSpan | Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One observation of one detector.

    ``category`` is an id of :mod:`guarded_sora.policies.taxonomy`; ``severity`` is 0 (none) to
    3 (high); ``score`` is 0 to 1 or None for detectors that only say yes; ``calibrated`` tells
    whether ``score`` is a probability. ``evidence`` is short text for reviewers: it may name a
    term of our own lexicon, never more of the prompt. ``subject`` is the registry's id of the person,
    character, brand or work that was recognised, so that a consent can be looked up; never a name.
    """

    category: str
    severity: int
    detector: str
    detector_version: str
    modality: Modality = Modality.PROMPT
    score: float | None = None
    calibrated: bool = False
    where: Where | None = None
    evidence: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= 3:
            raise ValueError(f"severity must be 0 to 3, not {self.severity}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score must be 0 to 1, not {self.score}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """What really happened to one check: the record that makes silence impossible."""

    name: str
    version: str
    state: CheckState
    reason: str = ""
    result: str = ""
    score: float | None = None
    threshold: float | None = None
    ms: float = 0.0
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredRule:
    """A rule whose condition held: its slug, what it asks for, and what the user is told."""

    id: str
    reason: str
    text: str
    action: Action
    uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReference:
    """Exactly which pack decided: ``digest`` is SHA-256 over all its files, in hex."""

    id: str
    version: str
    digest: str


AgeTier = Literal["minor", "adult", "verified_adult", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Who asks, from where. Unknown age or region takes the strictest overlay that is enabled.

    ``region`` is an ISO 3166 code, ``EU`` or empty for unknown. ``counters`` are numbers the
    log keeps about the actor, such as ``actor.blocks_24h``; a missing counter counts as 0.
    """

    actor: str = "local"
    tenant: str = "local"
    age_tier: AgeTier = "unknown"
    region: str = ""
    locale: str = "en"
    consents: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the engine decided, and everything it decided from."""

    action: Action
    pack: PackReference
    obligations: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    checks: tuple[CheckRun, ...] = ()
    rules: tuple[FiredRule, ...] = ()
    shadow: Decision | None = None

    @property
    def decisive(self) -> tuple[FiredRule, ...]:
        """The rules that led to the action; others fired with a milder wish."""
        return tuple(rule for rule in self.rules if rule.action is self.action)
