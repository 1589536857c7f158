"""What the policy would decide on some words: nothing is generated, nothing logged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.finding import CheckRun, CheckState, Decision, Finding, RequestContext
from guarded_sora.policies.text.check import PromptCheck
from guarded_sora.stages import describe


def check_text(
    engine: PolicyEngine, checks: Sequence[PromptCheck], text: str, context: RequestContext
) -> Decision:
    """Run ``checks`` on ``text`` in this thread and decide; a check that raises counts as failed."""
    findings: list[Finding] = []
    runs: list[CheckRun] = []
    for check in checks:
        start = time.perf_counter()
        state, reason = CheckState.RAN, ""
        seen: tuple[Finding, ...] = ()
        try:
            seen = tuple(check.check(text, context))
        except Exception as error:
            state, reason = CheckState.FAILED, describe(error)
        findings += seen
        runs.append(
            CheckRun(
                name=check.name,
                version=check.version,
                state=state,
                reason=reason,
                result=f"{len(seen)} findings" if seen else "",
                ms=1000.0 * (time.perf_counter() - start),
            )
        )
    return engine.decide(findings, context, runs)


def text_sha256(text: str) -> str:
    """SHA-256 of the text in hex, so that a caller can match answers to questions."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
