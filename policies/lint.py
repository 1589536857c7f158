"""Looks for what loads and still is wrong: rules that cannot fire, lists that nobody uses.

Whatever would make a decision unsafe is refused when the pack is loaded; here stand the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from guarded_sora.policies.condition import sample_truth
from guarded_sora.policies.errors import PackInvalid
from guarded_sora.policies.finding import Action
from guarded_sora.policies.golden import load_golden
from guarded_sora.policies.pack import Pack, Rule
from guarded_sora.policies.text.normalise import surface_text
from guarded_sora.policies.text.terms import Section
from guarded_sora.policies.vocabulary import Vocabulary

_DEPENDS_ON_WHO_ASKS: Final = re.compile(r"\b(?:age_tier|region|locale|tenant|consents|failed|unavailable)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend. An ``error`` fails ``policy lint``; a ``warning`` is shown."""

    level: Literal["error", "warning"]
    where: str
    message: str


def lint_pack(pack: Pack) -> list[Problem]:
    """Everything wrong with a pack that could be loaded, errors first."""
    problems = [*_rules(pack), *_overlays(pack), *_sections(pack), *_golden(pack)]
    for words in (pack.lexicons, pack.names, pack.sequences):
        problems.extend(_terms(words))
    return sorted(problems, key=lambda problem: (problem.level, problem.where, problem.message))


def _rules(pack: Pack) -> Iterator[Problem]:
    for rule in pack.all_rules():
        truth = sample_truth(rule.condition)
        if not truth["everything"] and not _DEPENDS_ON_WHO_ASKS.search(rule.condition.source):
            yield _error(rule, "can never fire; correct its condition")
        if truth["nothing"] and rule.action is not Action.ALLOW and rule.enforced:
            yield _error(rule, f"asks for {rule.action} when nothing was found; correct its condition")
        if rule.action is Action.REWRITE and rule.category not in pack.wordings:
            yield _error(rule, f"rewrites, but rewrites.yaml has no words for {rule.category}")
        if rule.yields and rule.action in (Action.ALLOW, Action.REWRITE):
            yield _error(rule, f"yields, but {rule.action} stands in nothing's way; leave yields out")
        if rule.action is Action.ALLOW and not rule.obligations:
            yield _warning(rule, "allows without obligations, so it does nothing")
        if "ja" not in rule.texts and rule.action is not Action.ALLOW:
            yield _warning(rule, "has no text in Japanese")
        if not rule.references and rule.category != "check.failed" and rule.status == "stable":
            yield _warning(rule, "is stable and gives no reference")


def _overlays(pack: Pack) -> Iterator[Problem]:
    actions = {rule.slug: rule.action for rule in pack.rules}
    for overlay in pack.overlays.values():
        for slug, item in overlay.tighten.items():
            same = item.action is None or item.action is actions[slug]
            if same and item.also_when is None and not item.obligations:
                yield Problem(
                    level="warning",
                    where=f"overlays/{overlay.id}",
                    message=f"{slug} is not made any stricter",
                )


def _sections(pack: Pack) -> Iterator[Problem]:
    for words in (pack.lexicons, pack.names, pack.sequences):
        used = {name for item in words.combinations for group in item.groups for name in group}
        used |= {name for item in words.combinations for name in item.unless}
        for section in words.sections:
            if section.role == "group" and section.name not in used:
                message = "is a group that no combination uses; remove it"
                yield Problem(level="error", where=section.name, message=message)


def _terms(words: Vocabulary) -> Iterator[Problem]:
    reported: dict[str, Section] = {}
    exempt = {
        surface_text(term) for section in words.sections if section.role == "exempt" for term in section.terms
    }
    for section in words.sections:
        if section.role != "report":
            continue
        for term in section.terms:
            text = surface_text(term)
            if text in exempt:
                yield Problem(
                    level="error", where=section.name, message=f"{term!r} is exempt, so it never reports"
                )
            other = reported.setdefault(text, section)
            if other is not section and other.category == section.category:
                yield Problem(
                    level="warning", where=section.name, message=f"{term!r} stands in {other.name} too"
                )


def _golden(pack: Pack) -> Iterator[Problem]:
    try:
        load_golden(pack)
    except PackInvalid as error:
        yield Problem(level="error", where="golden prompts", message=str(error))


def _error(rule: Rule, message: str) -> Problem:
    return Problem(level="error", where=f"{rule.file}: {rule.slug}", message=message)


def _warning(rule: Rule, message: str) -> Problem:
    return Problem(level="warning", where=f"{rule.file}: {rule.slug}", message=message)
