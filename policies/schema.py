"""How the files of a policy pack must look: the pydantic edge. Unknown keys are refused."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from guarded_sora.policies.finding import Action
from guarded_sora.policies.taxonomy import CATEGORIES, TAXONOMY_VERSION

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=64)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+(?:[.-][a-z0-9_]+)*$", max_length=64)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$")]
Obligation = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(?::[a-z0-9_.-]+)?$", max_length=64)]
Severity = Annotated[int, Field(ge=0, le=3)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=400, strip_whitespace=True)]

SEMVER = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?$")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_category(value: str) -> str:
    if value not in CATEGORIES:
        raise ValueError(f"{value!r} is not a category of the taxonomy")
    return value


class RuleFile(Strict):
    """One rule. The header follows the Sigma rule specification 2.1 (id, status, level, ...).

    A rule that ``yields`` gives way to a rewrite rule that fires with it: the safer wording is tried, and has
    to pass this rule too.
    """

    id: UUID
    slug: Slug
    title: Line
    status: Literal["experimental", "test", "stable", "deprecated"]
    level: Literal["informational", "low", "medium", "high", "critical"]
    category: str
    when: str
    action: Action
    yields: bool = False
    obligations: list[Obligation] = []
    reason: Name
    text: dict[Language, Line]
    references: list[Line] = []
    falsepositives: list[Line] = []

    @field_validator("category")
    @classmethod
    def _category(cls, value: str) -> str:
        return _known_category(value)

    @model_validator(mode="after")
    def _english_text(self) -> RuleFile:
        if "en" not in self.text:
            raise ValueError("text needs at least 'en', the language everybody falls back to")
        return self


class RulesFile(Strict):
    rules: list[RuleFile]


class TightenFile(Strict):
    """How an overlay makes one rule of the pack stricter; what is left out stays as it is."""

    rule: Slug
    action: Action | None = None
    also_when: str | None = None
    obligations: list[Obligation] = []


class OverlayFile(Strict):
    id: Slug
    title: Line
    regions: list[Annotated[str, StringConstraints(pattern=r"^(?:EU|[A-Z]{2}(?:-[A-Z0-9]{1,3})?)$")]] = []
    age_tiers: list[Literal["minor", "adult", "verified_adult"]] = []
    tighten: list[TightenFile] = []
    rules: list[RuleFile] = []

    @model_validator(mode="after")
    def _has_scope(self) -> OverlayFile:
        if not self.regions and not self.age_tiers:
            raise ValueError("an overlay needs regions or age_tiers; put rules for everybody into rules/")
        return self


class CombinationFile(Strict):
    """Word groups that mean something only together, within ``within`` characters (0 = anywhere)."""

    id: Slug
    category: str
    severity: Severity
    groups: Annotated[list[str | list[str]], Field(min_length=2, max_length=5)]
    unless: list[str] = []
    within: Annotated[int, Field(ge=0, le=2000)] = 60
    ordered: bool = False

    @field_validator("category")
    @classmethod
    def _category(cls, value: str) -> str:
        return _known_category(value)


class CombinationsFile(Strict):
    combinations: list[CombinationFile]


class RewriteFile(Strict):
    """Safer words for one category: ``terms`` by what stands in the prompt, else ``default``."""

    category: str
    default: Annotated[str, StringConstraints(max_length=120)] = ""
    terms: dict[str, Annotated[str, StringConstraints(max_length=120)]] = {}

    @field_validator("category")
    @classmethod
    def _category(cls, value: str) -> str:
        return _known_category(value)


class RewritesFile(Strict):
    rewrites: list[RewriteFile]


class ChecksFile(Strict):
    """What a check that did not run leads to. ``optional`` checks may fail without consequence."""

    unavailable: Action = Action.ALLOW
    unavailable_by_name: dict[str, Action] = {}
    optional: list[str] = []


class PackFile(Strict):
    id: Slug
    title: Line
    version: str
    taxonomy: str
    licence: Line = "Apache-2.0"
    default_action: Action = Action.ALLOW
    overlays: list[Slug] = []
    checks: ChecksFile = ChecksFile()

    @field_validator("version")
    @classmethod
    def _semantic(cls, value: str) -> str:
        if not SEMVER.match(value):
            raise ValueError("version must be semantic, such as 1.2.0")
        return value

    @field_validator("taxonomy")
    @classmethod
    def _same_major(cls, value: str) -> str:
        if value.partition(".")[0] != TAXONOMY_VERSION.partition(".")[0]:
            raise ValueError(f"taxonomy {value} does not fit ours, {TAXONOMY_VERSION}; update the pack")
        return value


class GoldenFinding(Strict):
    category: str
    severity: Severity = 2
    score: float | None = None
    modality: Literal["prompt", "image", "video"] = "prompt"

    @field_validator("category")
    @classmethod
    def _category(cls, value: str) -> str:
        return _known_category(value)


class GoldenEntry(Strict):
    """A prompt, and beside it what a request needs that a prompt cannot say."""

    text: str
    why: Line | None = None
    age_tier: Literal["minor", "adult", "verified_adult", "unknown"] = "adult"
    region: str = "US"
    locale: str = "en"
    consents: list[str] = []
    counters: dict[str, int] = {}
    findings: list[GoldenFinding] = []
    failed: list[str] = []
    unavailable: list[str] = []


class GoldenRule(Strict):
    expect: Action | None = None
    fire: list[GoldenEntry | str]
    pass_: Annotated[list[GoldenEntry | str], Field(alias="pass")]


class GoldenFile(Strict):
    golden: dict[Slug, GoldenRule]


def parse(model: type[Any], data: object) -> Any:
    """Validate ``data``; a plain name so that callers need no pydantic."""
    return model.model_validate(data)
