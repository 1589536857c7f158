"""Decide again: what another pack would have made of recorded requests, or of a list of prompts.

A record holds no text: findings, check runs and context are enough for the engine. Comparing the
rules of two packs works on records of the log; comparing their lexicons needs the prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from guarded_sora.policies.engine import CHECK_FAILED, PolicyEngine
from guarded_sora.policies.errors import PolicyError
from guarded_sora.policies.finding import (
    Action,
    CheckRun,
    CheckState,
    Decision,
    Finding,
    Modality,
    RequestContext,
)
from guarded_sora.policies.golden import run_golden
from guarded_sora.policies.pack import Pack
from guarded_sora.policies.text.check import PromptCheck, run_prompt_check
from guarded_sora.policies.text.reading import one_request

MILLION: Final = 1_000_000
MAX_EXAMPLES: Final = 20
MAX_REFUSAL_RISE: Final = 0.005
"""A candidate may stop at most this much more (0.5 points) of benign traffic to be promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one request was judged from. ``name`` tells which (a log sequence number, a line)."""

    name: str
    findings: tuple[Finding, ...]
    context: RequestContext
    checks: tuple[CheckRun, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request that would be decided otherwise, with the rules on either side."""

    name: str
    before: Action
    after: Action
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How decisions move from one pack to another. ``matrix`` counts (before, after) pairs."""

    total: int
    matrix: Mapping[tuple[Action, Action], int]
    changes: tuple[Change, ...]
    changes_left_out: int

    @property
    def loosened(self) -> int:
        """Requests that would be treated less strictly."""
        return sum(n for (a, b), n in self.matrix.items() if b.strictness < a.strictness)

    @property
    def tightened(self) -> int:
        """Requests that would be treated more strictly."""
        return sum(n for (a, b), n in self.matrix.items() if b.strictness > a.strictness)

    def stopped_share(self, *, after: bool) -> float:
        """Share of requests that are not allowed, before or after; 0 for no requests."""
        stopped = sum(n for pair, n in self.matrix.items() if pair[after] is not Action.ALLOW)
        return stopped / self.total if self.total else 0.0


def compare_records(before: PolicyEngine, after: PolicyEngine, records: Iterable[Recorded]) -> Difference:
    """Judge every record by both engines."""
    return _difference(
        (
            record.name,
            before.decide(record.findings, record.context, record.checks),
            after.decide(record.findings, record.context, record.checks),
        )
        for record in records
    )


def compare_prompts(
    before: tuple[PolicyEngine, Sequence[PromptCheck]],
    after: tuple[PolicyEngine, Sequence[PromptCheck]],
    prompts: Iterable[tuple[str, str]],
    context: RequestContext,
) -> Difference:
    """Check and judge every prompt, given as (name, text), by both packs with their own checks."""
    return _difference(
        (name, _judge(*before, text, context), _judge(*after, text, context)) for name, text in prompts
    )


def _judge(
    engine: PolicyEngine, checks: Sequence[PromptCheck], text: str, context: RequestContext
) -> Decision:
    with one_request():
        ran = [run_prompt_check(check, text, context) for check in checks]
    findings = [finding for seen, _ in ran for finding in seen]
    return engine.decide(findings, context, [run for _, run in ran])


def _difference(pairs: Iterable[tuple[str, Decision, Decision]]) -> Difference:
    matrix: Counter[tuple[Action, Action]] = Counter()
    changes: list[Change] = []
    left_out = 0
    for name, before, after in pairs:
        matrix[before.action, after.action] += 1
        if before.action is after.action:
            continue
        # Loosened requests are what somebody has to sign off, so they are listed to the last one.
        if len(changes) >= MAX_EXAMPLES and after.action.strictness > before.action.strictness:
            left_out += 1
            continue
        changes.append(
            Change(
                name=name,
                before=before.action,
                after=after.action,
                rules_before=tuple(rule.id for rule in before.rules),
                rules_after=tuple(rule.id for rule in after.rules),
            )
        )
    return Difference(
        total=sum(matrix.values()), matrix=dict(matrix), changes=tuple(changes), changes_left_out=left_out
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Whether a candidate may take over; ``reasons`` say what stands against it."""

    allowed: bool
    reasons: tuple[str, ...]
    difference: Difference


def judge_promotion(candidate: Pack, difference: Difference, *, signed_off: Iterable[str] = ()) -> Promotion:
    """Whether ``candidate`` may be promoted after ``difference`` was measured on benign traffic.

    All its golden prompts must pass, it may stop at most 0.5 points more, and every request that it
    would treat less strictly must be named in ``signed_off``.
    """
    reasons: list[str] = []
    failed = sum(not result.passed for result in run_golden(candidate))
    if failed:
        reasons.append(f"{failed} golden prompts fail; run policy test.")
    rise = difference.stopped_share(after=True) - difference.stopped_share(after=False)
    if rise > MAX_REFUSAL_RISE:
        reasons.append(f"{100 * rise:.2f} points more would be stopped, 0.5 are allowed.")
    signed = set(signed_off)
    open_changes = [
        change.name
        for change in difference.changes
        if change.after.strictness < change.before.strictness and change.name not in signed
    ]
    if open_changes:
        reasons.append(f"{len(open_changes)} requests would be treated less strictly; sign them off by name.")
    return Promotion(allowed=not reasons, reasons=tuple(reasons), difference=difference)


def record_from_log(name: str, decision: Mapping[str, Any], context: Mapping[str, Any]) -> Recorded:
    """What the log keeps of a decision, read back. Scores stand there in parts per million.

    ``decision`` has ``findings`` and ``checks``, ``context`` has ``age_tier``, ``region``, ``locale``
    and ``counters``. Findings that the engine itself added for failed checks are left out: it adds
    them again. Raises :class:`PolicyError` for an entry that does not hold what it must.
    """
    try:
        failed = {check["name"] for check in decision["checks"] if check["state"] == CheckState.FAILED}
        findings = tuple(
            _finding(entry)
            for entry in decision["findings"]
            if not (entry["category"] == CHECK_FAILED and entry["detector"] in failed)
        )
        checks = tuple(_check(entry) for entry in decision["checks"])
        read = RequestContext(
            age_tier=context["age_tier"],
            region=context["region"],
            locale=context.get("locale", "en"),
            counters=dict(context.get("counters", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PolicyError(
            f"The entry {name} holds no decision to replay ({type(error).__name__}); leave it out."
        ) from error
    return Recorded(name=name, findings=findings, context=read, checks=checks)


def _finding(entry: Mapping[str, Any]) -> Finding:
    return Finding(
        category=str(entry["category"]),
        severity=int(entry["severity"]),
        detector=str(entry["detector"]),
        detector_version=str(entry.get("version", "")),
        modality=Modality(entry.get("modality", "prompt")),
        score=_from_ppm(entry.get("score_ppm")),
        calibrated=bool(entry.get("calibrated", False)),
    )


def _check(entry: Mapping[str, Any]) -> CheckRun:
    return CheckRun(
        name=str(entry["name"]),
        version=str(entry["version"]),
        state=CheckState(entry["state"]),
        score=_from_ppm(entry.get("score_ppm")),
        threshold=_from_ppm(entry.get("threshold_ppm")),
    )


def _from_ppm(value: int | None) -> float | None:
    return None if value is None else value / MILLION


def as_recorded(name: str, decision: Decision, context: RequestContext) -> Recorded:
    """The record of a decision just made, for tests and for shadow runs in memory."""
    failed = {check.name for check in decision.checks if check.state is CheckState.FAILED}
    findings = tuple(
        replace(finding, where=None, evidence="")
        for finding in decision.findings
        if not (finding.category == CHECK_FAILED and finding.detector in failed)
    )
    return Recorded(name=name, findings=findings, context=context, checks=decision.checks)
