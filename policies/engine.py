"""The engine: findings and context in, decision out. It reads no text and no pixels.

The strictest action of all rules that fire wins and obligations are united, so the order of rules
never matters; only a rule that yields asks for no more than the rewrite that another one offers.
Whatever cannot be judged is reviewed: a condition that raises, a check that failed, a finding in a
category that no rule can name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from guarded_sora.policies.condition import build_context
from guarded_sora.policies.errors import PackInvalid
from guarded_sora.policies.finding import (
    Action,
    CheckRun,
    CheckState,
    Decision,
    Finding,
    FiredRule,
    RequestContext,
    strictest,
)
from guarded_sora.policies.pack import Overlay, Pack, Rule
from guarded_sora.policies.taxonomy import CATEGORIES

ENGINE_VERSION: Final = "1.0.0"
CHECK_FAILED: Final = "check.failed"

_FALLBACK_TEXT: Final = {
    "en": "A safety check could not be completed, so a person has to look first.",
    "ja": "安全確認を完了できなかったため、担当者による確認が必要です。",
}


class PolicyEngine:
    """Decides by one pack. Immutable and safe to share between threads.

    ``overlays`` names the overlays in force; None takes those that ``pack.yaml`` enables. Raises
    :class:`PackInvalid` for a name that the pack does not have.
    """

    def __init__(self, pack: Pack, overlays: Iterable[str] | None = None) -> None:
        names = tuple(pack.enabled_overlays if overlays is None else overlays)
        unknown = [name for name in names if name not in pack.overlays]
        if unknown:
            known = ", ".join(sorted(pack.overlays)) or "none"
            raise PackInvalid(f"The pack has no overlay {unknown[0]!r}; it has {known}.")
        self._pack = pack
        self._overlays = tuple(pack.overlays[name] for name in names)
        self._yielding = frozenset(rule.uuid for rule in pack.all_rules() if rule.yields)

    @property
    def pack(self) -> Pack:
        """The pack that decides."""
        return self._pack

    def decide(
        self,
        findings: Sequence[Finding],
        context: RequestContext,
        checks: Sequence[CheckRun] = (),
        shadow: PolicyEngine | None = None,
    ) -> Decision:
        """Judge everything that was found in one request, over all modalities together.

        ``checks`` tells what ran: a check that failed becomes a finding ``check.failed``, one that
        is unavailable leads to what the pack says. ``shadow`` judges the same input by another
        pack; its decision is stored in the result and has no effect, not even by failing.
        """
        all_findings = (*findings, *self._failed_findings(findings, checks))
        fired = self._fire(all_findings, context, checks)
        fired.extend(self._unavailable(checks, context))
        fired = self._give_way(fired)
        fired.sort(key=lambda item: (-item[0].action.strictness, item[0].id))
        obligations = {obligation for _, wanted in fired for obligation in wanted}
        return Decision(
            action=strictest([self._pack.default_action, *(rule.action for rule, _ in fired)]),
            pack=self._pack.reference,
            obligations=frozenset(obligations),
            findings=all_findings,
            checks=tuple(checks),
            rules=tuple(rule for rule, _ in fired),
            shadow=_shadow_decision(shadow, findings, context, checks),
        )

    def _failed_findings(self, findings: Sequence[Finding], checks: Sequence[CheckRun]) -> list[Finding]:
        failed = [
            _failed_finding(check.name, check.version)
            for check in checks
            if check.state is CheckState.FAILED and check.name not in self._pack.checks.optional
        ]
        strangers = {
            (finding.detector, finding.detector_version)
            for finding in findings
            if finding.category not in CATEGORIES
        }
        failed.extend(_failed_finding(name, version) for name, version in sorted(strangers))
        return failed

    def _fire(
        self, findings: Sequence[Finding], context: RequestContext, checks: Sequence[CheckRun]
    ) -> list[tuple[FiredRule, frozenset[str]]]:
        active = [overlay for overlay in self._overlays if overlay.applies(context)]
        rules = list(self._pack.rules)
        for overlay in active:
            rules.extend(overlay.rules)
        try:
            cel_context = build_context(findings, context, checks)
        except Exception:
            # Nothing can be judged, so the request is treated as if every condition had raised.
            return [(_condition_error(Action.REVIEW, "engine", context), frozenset())]
        fired: list[tuple[FiredRule, frozenset[str]]] = []
        for rule in rules:
            if rule.enforced:
                fired.extend(self._try_rule(rule, active, cel_context, context))
        answered = any(
            rule.category == CHECK_FAILED
            and not rule.overlay
            and any(item.id == rule.slug for item, _ in fired)
            for rule in rules
        )
        if not answered and any(finding.category == CHECK_FAILED for finding in findings):
            fired.append((_fallback(Action.REVIEW, "check-failed", CHECK_FAILED, context), frozenset()))
        return fired

    @staticmethod
    def _try_rule(
        rule: Rule, active: Sequence[Overlay], cel_context: Any, context: RequestContext
    ) -> list[tuple[FiredRule, frozenset[str]]]:
        tightenings = [overlay.tighten[rule.slug] for overlay in active if rule.slug in overlay.tighten]
        try:
            holds = rule.condition.holds(cel_context) or any(
                item.also_when is not None and item.also_when.holds(cel_context) for item in tightenings
            )
        except Exception:
            # Fail closed: a condition that cannot be evaluated is never taken as false.
            return [(_condition_error(Action.REVIEW, rule.slug, context), frozenset())]
        if not holds:
            return []
        action = strictest([rule.action, *(item.action for item in tightenings if item.action is not None)])
        obligations = rule.obligations.union(*(item.obligations for item in tightenings))
        fired = FiredRule(
            id=rule.slug,
            reason=rule.reason,
            text=rule.text_for(context.locale),
            action=action,
            uuid=rule.uuid,
        )
        return [(fired, obligations)]

    def _give_way(
        self, fired: list[tuple[FiredRule, frozenset[str]]]
    ) -> list[tuple[FiredRule, frozenset[str]]]:
        """Where a rewrite is offered, rules that yield ask for it too: the safer wording is judged anew.

        A score says that a prompt reads badly and not which words do; with the words gone it may read well.
        """
        if all(rule.action is not Action.REWRITE for rule, _ in fired):
            return fired
        return [
            (replace(rule, action=Action.REWRITE), wanted)
            if rule.uuid in self._yielding and rule.action.strictness > Action.REWRITE.strictness
            else (rule, wanted)
            for rule, wanted in fired
        ]

    def _unavailable(
        self, checks: Sequence[CheckRun], context: RequestContext
    ) -> list[tuple[FiredRule, frozenset[str]]]:
        fired: list[tuple[FiredRule, frozenset[str]]] = []
        for check in checks:
            if check.state is not CheckState.UNAVAILABLE:
                continue
            action = self._pack.checks.on_unavailable(check.name)
            if action is not Action.ALLOW:
                fired.append(
                    (_fallback(action, "check-unavailable", "check.unavailable", context), frozenset())
                )
        return fired


def _failed_finding(name: str, version: str) -> Finding:
    return Finding(
        category=CHECK_FAILED,
        severity=2,
        detector=name,
        detector_version=version,
        evidence=f"{name} did not finish",
    )


def _fallback(action: Action, id: str, reason: str, context: RequestContext) -> FiredRule:
    language = context.locale.replace("_", "-").partition("-")[0].lower()
    return FiredRule(
        id=id, reason=reason, text=_FALLBACK_TEXT.get(language, _FALLBACK_TEXT["en"]), action=action
    )


def _condition_error(action: Action, slug: str, context: RequestContext) -> FiredRule:
    return _fallback(action, slug, "policy.condition_failed", context)


def _shadow_decision(
    shadow: PolicyEngine | None,
    findings: Sequence[Finding],
    context: RequestContext,
    checks: Sequence[CheckRun],
) -> Decision | None:
    if shadow is None:
        return None
    try:
        return shadow.decide(findings, context, checks)
    except Exception:
        return None
