"""What the policy would decide on some words: nothing is generated, nothing logged."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.finding import Decision, RequestContext
from guarded_sora.policies.text.check import PromptCheck, run_prompt_check
from guarded_sora.policies.text.reading import one_request


def check_text(
    engine: PolicyEngine, checks: Sequence[PromptCheck], text: str, context: RequestContext
) -> Decision:
    """Run ``checks`` on ``text`` in this thread and decide; a check that raises counts as failed."""
    with one_request():
        ran = [run_prompt_check(check, text, context) for check in checks]
    findings = [finding for seen, _ in ran for finding in seen]
    return engine.decide(findings, context, [run for _, run in ran])


def text_sha256(text: str) -> str:
    """SHA-256 of the text in hex, so that a caller can match answers to questions."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
