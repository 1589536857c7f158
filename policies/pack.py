"""Policy packs: a folder of rules, lexicons, overlays and golden prompts, loaded as one value.

    pack.yaml                   id, semantic version, default action, overlays in force
    rules/*.yaml                rules; beside each file NAME.golden.yaml with its tests
    overlays/*.yaml             stricter rules for regions or age tiers
    lexicons/  names/  sequences/
        *.txt                   terms and word groups (:mod:`guarded_sora.policies.text.terms`)
        *.yaml                  combinations of word groups
    rewrites.yaml               safer words for categories that may be rewritten

Everything is checked at load; a pack that loads can decide. Overlays can only tighten: they add
rules, raise an action, widen a condition or add obligations, and nothing else can be written down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from guarded_sora.policies.condition import Condition, compile_condition
from guarded_sora.policies.errors import ConditionInvalid, PackInvalid
from guarded_sora.policies.finding import Action, PackReference, RequestContext
from guarded_sora.policies.packfiles import (
    DEFAULT_PACK,
    digest_files,
    load_yaml,
    read_pack_files,
    validate,
)
from guarded_sora.policies.vocabulary import Vocabulary, Wording, read_vocabulary, read_wordings

if TYPE_CHECKING:
    from guarded_sora.policies.schema import OverlayFile, PackFile, RuleFile

_REGION = re.compile(r"^(?!XX|ZZ)[A-Z]{2}(?:-[A-Z0-9]{1,3})?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a pack, ready to run. ``file`` is where it stands; ``overlay`` is its id or empty."""

    uuid: str
    slug: str
    title: str
    status: str
    level: str
    category: str
    condition: Condition
    action: Action
    yields: bool
    obligations: frozenset[str]
    reason: str
    texts: Mapping[str, str]
    references: tuple[str, ...]
    falsepositives: tuple[str, ...]
    file: str
    overlay: str = ""

    @property
    def enforced(self) -> bool:
        """Deprecated rules stay in the pack for the record and are not run."""
        return self.status != "deprecated"

    def text_for(self, locale: str) -> str:
        """What the user is told, in the language of ``locale`` where the pack has it."""
        wanted = locale.replace("_", "-").lower()
        for language, text in self.texts.items():
            if language.lower() == wanted:
                return text
        return self.texts.get(wanted.partition("-")[0], self.texts["en"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tightening:
    """What an overlay adds to one rule; ``action`` is never below the rule's own."""

    rule: str
    action: Action | None
    also_when: Condition | None
    obligations: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Stricter rules for some regions or age tiers; an empty set means all."""

    id: str
    title: str
    regions: frozenset[str]
    age_tiers: frozenset[str]
    tighten: Mapping[str, Tightening]
    rules: tuple[Rule, ...]

    def applies(self, context: RequestContext) -> bool:
        """Whether it holds for this request. Unknown age or region counts as in scope."""
        region = context.region.upper()
        known_region = region == "EU" or bool(_REGION.match(region))
        # A country without its part is unknown for an overlay that holds for the part.
        part_unknown = any(item.startswith(f"{region}-") for item in self.regions)
        wanted = {region, region.partition("-")[0]}
        in_region = not self.regions or not known_region or part_unknown or bool(self.regions & wanted)
        in_tier = not self.age_tiers or context.age_tier == "unknown" or context.age_tier in self.age_tiers
        return in_region and in_tier


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPolicy:
    """What a check that did not run leads to."""

    unavailable: Action
    unavailable_by_name: Mapping[str, Action]
    optional: frozenset[str]

    def on_unavailable(self, name: str) -> Action:
        return self.unavailable_by_name.get(name, self.unavailable)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pack:
    """A policy pack. Two packs are the same exactly when their digests are."""

    id: str
    title: str
    version: str
    digest: str
    default_action: Action
    rules: tuple[Rule, ...]
    overlays: Mapping[str, Overlay]
    enabled_overlays: tuple[str, ...]
    checks: CheckPolicy
    lexicons: Vocabulary
    names: Vocabulary
    sequences: Vocabulary
    wordings: Mapping[str, Wording]
    files: Mapping[str, bytes]
    path: Path

    @property
    def reference(self) -> PackReference:
        """What a decision records about the pack."""
        return PackReference(id=self.id, version=self.version, digest=self.digest)

    def rule(self, slug: str) -> Rule:
        """The rule called ``slug``, in the pack or in an overlay. Raises ``KeyError``."""
        for rule in self.all_rules():
            if rule.slug == slug:
                return rule
        raise KeyError(slug)

    def all_rules(self) -> tuple[Rule, ...]:
        """The rules of the pack, then those of every overlay, in force or not."""
        return self.rules + tuple(rule for overlay in self.overlays.values() for rule in overlay.rules)


def load_pack(path: Path | None = None) -> Pack:
    """Load and check the pack in folder ``path``; None loads the pack that ships with the project.

    The shipped pack is read once a process. Raises :class:`PackInvalid` or :class:`ConditionInvalid`.
    """
    if path is None:
        return _default_pack()
    return _load(Path(path))


@lru_cache(maxsize=1)
def _default_pack() -> Pack:
    return _load(DEFAULT_PACK)


def _load(folder: Path) -> Pack:
    from guarded_sora.policies.schema import OverlayFile, PackFile, RulesFile

    files = read_pack_files(folder)
    if "pack.yaml" not in files:
        raise PackInvalid(f"{folder} holds no pack.yaml; give the folder of a policy pack.")
    head: PackFile = validate("pack.yaml", PackFile, load_yaml("pack.yaml", files["pack.yaml"]))
    rules: list[Rule] = []
    overlay_files: list[tuple[str, OverlayFile]] = []
    for name, data in files.items():
        top, _, rest = name.partition("/")
        if name.endswith(".golden.yaml") or not rest:
            continue
        if top == "rules" and name.endswith(".yaml"):
            for rule in validate(name, RulesFile, load_yaml(name, data)).rules:
                rules.append(_rule(rule, name))
        elif top == "overlays" and name.endswith(".yaml"):
            overlay_files.append((name, validate(name, OverlayFile, load_yaml(name, data))))
    overlays = _overlays(overlay_files, rules)
    _refuse_doubles(rules, overlays)
    missing = [overlay for overlay in head.overlays if overlay not in overlays]
    if missing:
        raise PackInvalid(f"pack.yaml enables the overlay {missing[0]!r}, which is not in overlays/.")
    return Pack(
        id=head.id,
        title=head.title,
        version=head.version,
        digest=digest_files(files),
        default_action=head.default_action,
        rules=tuple(rules),
        overlays=MappingProxyType(overlays),
        enabled_overlays=tuple(head.overlays),
        checks=CheckPolicy(
            unavailable=head.checks.unavailable,
            unavailable_by_name=MappingProxyType(dict(head.checks.unavailable_by_name)),
            optional=frozenset(head.checks.optional),
        ),
        lexicons=read_vocabulary("lexicons", files),
        names=read_vocabulary("names", files),
        sequences=read_vocabulary("sequences", files),
        wordings=MappingProxyType(read_wordings(files)),
        files=MappingProxyType(files),
        path=folder,
    )


def _condition(source: str, where: str) -> Condition:
    try:
        return compile_condition(source)
    except ConditionInvalid as error:
        raise ConditionInvalid(f"{where}: {error}") from error


def _rule(data: RuleFile, file: str, overlay: str = "") -> Rule:
    return Rule(
        uuid=str(data.id),
        slug=data.slug,
        title=data.title,
        status=data.status,
        level=data.level,
        category=data.category,
        condition=_condition(data.when, f"{file}: {data.slug}"),
        action=data.action,
        yields=data.yields,
        obligations=frozenset(data.obligations),
        reason=data.reason,
        texts=MappingProxyType(dict(data.text)),
        references=tuple(data.references),
        falsepositives=tuple(data.falsepositives),
        file=file,
        overlay=overlay,
    )


def _overlays(parsed: list[tuple[str, OverlayFile]], rules: list[Rule]) -> dict[str, Overlay]:
    by_slug = {rule.slug: rule for rule in rules}
    overlays: dict[str, Overlay] = {}
    for name, data in parsed:
        if data.id in overlays:
            raise PackInvalid(f"{name}: the overlay {data.id!r} exists already; give it another id.")
        tighten: dict[str, Tightening] = {}
        for item in data.tighten:
            base = by_slug.get(item.rule)
            if base is None or item.rule in tighten:
                why = "is tightened twice" if base else "is not a rule of the pack"
                raise PackInvalid(f"{name}: {item.rule!r} {why}; correct the overlay.")
            if item.action is not None and item.action.strictness < base.action.strictness:
                raise PackInvalid(
                    f"{name}: {item.rule!r} would go from {base.action} to {item.action}; overlays tighten."
                )
            also = _condition(item.also_when, f"{name}: {item.rule}") if item.also_when is not None else None
            tighten[item.rule] = Tightening(
                rule=item.rule, action=item.action, also_when=also, obligations=frozenset(item.obligations)
            )
        overlays[data.id] = Overlay(
            id=data.id,
            title=data.title,
            regions=frozenset(data.regions),
            age_tiers=frozenset(data.age_tiers),
            tighten=MappingProxyType(tighten),
            rules=tuple(_rule(rule, name, data.id) for rule in data.rules),
        )
    return overlays


def _refuse_doubles(rules: list[Rule], overlays: Mapping[str, Overlay]) -> None:
    seen: dict[str, str] = {}
    for rule in [*rules, *(rule for overlay in overlays.values() for rule in overlay.rules)]:
        for key in (rule.slug, rule.uuid):
            if key in seen:
                raise PackInvalid(
                    f"{rule.file}: {key!r} is used already in {seen[key]}; each rule needs its own."
                )
            seen[key] = rule.file
