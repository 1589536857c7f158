"""Golden prompts: the tests that stand beside the rules of a pack.

``rules/NAME.golden.yaml`` holds, for each rule of ``rules/NAME.yaml``, at least five prompts that
must fire it and five benign twins that must pass. A prompt is a string, or a mapping with what a
request needs besides its words (age tier, region, counters, findings of other detectors).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.errors import PackInvalid
from guarded_sora.policies.finding import (
    Action,
    CheckRun,
    CheckState,
    Decision,
    Finding,
    Modality,
    RequestContext,
)
from guarded_sora.policies.pack import Pack
from guarded_sora.policies.packfiles import load_yaml, validate
from guarded_sora.policies.text.check import PromptCheck, default_prompt_checks, unavailable_reason
from guarded_sora.policies.text.reading import one_request

if TYPE_CHECKING:
    from guarded_sora.policies.schema import GoldenEntry, GoldenFile

MIN_EACH: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenPrompt:
    """One test. ``kind`` ``fire``: the rule must fire and the action be ``expect``. ``pass``: it must
    not fire and the request must be allowed."""

    rule: str
    file: str
    kind: Literal["fire", "pass"]
    text: str
    expect: Action
    context: RequestContext
    findings: tuple[Finding, ...] = ()
    checks: tuple[CheckRun, ...] = ()
    overlay: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenResult:
    """What came of one test; ``problem`` is empty when it passed."""

    prompt: GoldenPrompt
    decision: Decision
    problem: str

    @property
    def passed(self) -> bool:
        return not self.problem


def load_golden(pack: Pack) -> list[GoldenPrompt]:
    """Every golden prompt of ``pack``. Raises :class:`PackInvalid` when a file does not fit a rule,
    or a rule in force has fewer than five of each kind."""
    from guarded_sora.policies.schema import GoldenFile

    rules = {rule.slug: rule for rule in pack.all_rules()}
    prompts: list[GoldenPrompt] = []
    for name in sorted(pack.files):
        if not name.endswith(".golden.yaml"):
            continue
        data: GoldenFile = validate(name, GoldenFile, load_yaml(name, pack.files[name]))
        for slug, golden in data.golden.items():
            if slug not in rules:
                raise PackInvalid(f"{name}: {slug!r} is no rule of the pack; correct the name.")
            rule = rules[slug]
            expect = golden.expect or rule.action
            for entry in golden.fire:
                prompts.append(_prompt(slug, name, "fire", entry, expect, rule.overlay))
            for entry in golden.pass_:
                prompts.append(_prompt(slug, name, "pass", entry, Action.ALLOW, rule.overlay))
    for slug, rule in rules.items():
        for kind in ("fire", "pass"):
            count = sum(prompt.rule == slug and prompt.kind == kind for prompt in prompts)
            if rule.enforced and count < MIN_EACH:
                raise PackInvalid(
                    f"{rule.file}: {slug!r} has {count} golden prompts to {kind}; write {MIN_EACH}."
                )
    return prompts


def run_golden(pack: Pack, checks: Iterable[PromptCheck] | None = None) -> list[GoldenResult]:
    """Judge every golden prompt with the shipped checks, or with ``checks``."""
    prompts = load_golden(pack)
    used = tuple(default_prompt_checks(pack) if checks is None else checks)
    engine = PolicyEngine(pack)
    return [_run(engine, pack, used, prompt) for prompt in prompts]


def _run(
    engine: PolicyEngine, pack: Pack, checks: Sequence[PromptCheck], prompt: GoldenPrompt
) -> GoldenResult:
    if prompt.overlay:
        engine = PolicyEngine(pack, [*pack.enabled_overlays, prompt.overlay])
    findings = [*prompt.findings]
    with one_request():
        for check in checks:
            if not unavailable_reason(check, prompt.text):
                findings.extend(check.check(prompt.text, prompt.context))
    decision = engine.decide(findings, prompt.context, prompt.checks)
    fired = any(rule.id == prompt.rule for rule in decision.rules)
    problem = ""
    if prompt.kind == "fire" and not fired:
        problem = "the rule did not fire"
    elif prompt.kind == "pass" and fired:
        problem = "the rule fired"
    elif prompt.kind == "fire" and decision.action.strictness < prompt.expect.strictness:
        problem = f"the action is {decision.action}, not {prompt.expect}"
    elif prompt.kind == "pass" and decision.action is not Action.ALLOW:
        problem = (
            f"the action is {decision.action} because of {', '.join(rule.id for rule in decision.rules)}"
        )
    return GoldenResult(prompt=prompt, decision=decision, problem=problem)


def _prompt(
    slug: str,
    file: str,
    kind: Literal["fire", "pass"],
    entry: GoldenEntry | str,
    expect: Action,
    overlay: str,
) -> GoldenPrompt:
    if isinstance(entry, str):
        context = RequestContext(age_tier="adult", region="US")
        return GoldenPrompt(
            rule=slug, file=file, kind=kind, text=entry, expect=expect, context=context, overlay=overlay
        )
    context = RequestContext(
        age_tier=entry.age_tier,
        region=entry.region,
        locale=entry.locale,
        consents=tuple(entry.consents),
        counters=dict(entry.counters),
    )
    findings = tuple(
        Finding(
            category=item.category,
            severity=item.severity,
            score=item.score,
            calibrated=item.score is not None,
            modality=Modality(item.modality),
            detector="golden",
            detector_version="1",
        )
        for item in entry.findings
    )
    states = ((CheckState.FAILED, entry.failed), (CheckState.UNAVAILABLE, entry.unavailable))
    checks = tuple(CheckRun(name=name, version="1", state=state) for state, names in states for name in names)
    return GoldenPrompt(
        rule=slug,
        file=file,
        kind=kind,
        text=entry.text,
        expect=expect,
        context=context,
        findings=findings,
        checks=checks,
        overlay=overlay,
    )
