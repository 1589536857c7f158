"""Run the checks on words and on pictures; each leaves a record of what really happened to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from guarded_sora.detectors.check import FilmCheck, FilmReport, FrameCheck
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import CheckRun, Finding
from guarded_sora.policies.text.check import PromptCheck, unavailable_reason, weights_of
from guarded_sora.policies.text.reading import one_request
from guarded_sora.stages import CheckSummary, StageRunner
from guarded_sora.stay_down import check_stay_down
from guarded_sora.store.grants import Scope


def check_prompt(passage: Passage, text: str) -> None:
    """Run every prompt check on ``text`` and note findings and records in ``passage``."""
    passage.progress.stage("prompt_checks")
    findings: list[Finding] = []
    checks: list[CheckRun] = []
    with passage.runner.here("prompt_checks"), one_request():
        for check in passage.services.prompt_checks:
            seen, run = _run_prompt_check(passage, check, text)
            findings += seen
            checks.append(run)
    for run in passage.consents.runs:
        checks.append(passage.runner.record(run))
    passage.note(passage.consents.cover(findings, "generate"), checks)
    passage.shadow_words = _shadow_findings(passage, text)


def check_frames(
    passage: Passage, batches: Iterable[FrameBatch], *, stage: str, scope: Scope = "generate"
) -> None:
    """Run every frame check on all ``batches`` (a re-iterable), as one stage."""
    passage.progress.stage(stage)
    with passage.runner.here(stage):
        findings, checks = inspect_frames(passage, batches, passage.services.frame_checks, scope=scope)
    passage.note(findings, checks)
    check_stay_down(passage, batches)


def inspect_frames(
    passage: Passage,
    batches: Iterable[FrameBatch],
    frame_checks: Sequence[FrameCheck],
    *,
    scope: Scope = "generate",
) -> tuple[list[Finding], list[CheckRun]]:
    """What the frame checks see, as far as no consent covers ``scope``, and how each of them went."""
    findings: list[Finding] = []
    checks: list[CheckRun] = []
    for check in frame_checks:
        if check.unavailable:
            checks.append(
                passage.runner.unavailable(check.name, version=check.version, reason=check.unavailable)
            )
            continue
        outcome = passage.runner.run_check(
            check.name,
            _inspect_all,
            check,
            batches,
            version=check.version,
            deadline=passage.services.settings.deadlines.mark,
            summary=_tell,
        )
        findings += outcome.value.findings if outcome.value else ()
        checks.append(outcome.run)
    return passage.consents.cover(findings, scope), checks


def _shadow_findings(passage: Passage, text: str) -> tuple[Finding, ...]:
    """What the checks of a pack on trial see; one that fails there sees nothing and stops nothing."""
    if passage.services.shadow is None:
        return ()
    aside = StageRunner()  # its records are the trial's own and not part of the request's
    findings: list[Finding] = []
    for check in passage.services.shadow.checks:
        if unavailable_reason(check, text):
            continue
        outcome = aside.run_check(
            check.name,
            lambda check=check: tuple(check.check(text, passage.context)),
            version=check.version,
            deadline=passage.services.settings.deadlines.check,
        )
        findings += outcome.value or ()
    return tuple(findings)


def _run_prompt_check(passage: Passage, check: PromptCheck, text: str) -> tuple[Sequence[Finding], CheckRun]:
    if reason := unavailable_reason(check, text):
        return (), passage.runner.unavailable(check.name, version=check.version, reason=reason)
    outcome = passage.runner.run_check(
        check.name,
        lambda: tuple(check.check(text, passage.context)),
        version=check.version,
        deadline=passage.services.settings.deadlines.check,
        summary=lambda seen: replace(_summarise(seen), weights_sha256=weights_of(check)),
    )
    return outcome.value or (), outcome.run


def _inspect_all(check: FrameCheck, batches: Iterable[FrameBatch]) -> FilmReport:
    if isinstance(check, FilmCheck):
        return check.inspect_film(batches)
    return FilmReport(findings=tuple(finding for batch in batches for finding in check.inspect(batch)))


def _tell(report: FilmReport) -> CheckSummary:
    said = _summarise(report.findings)
    return CheckSummary(
        result="; ".join(part for part in (said.result, report.result) if part),
        score=report.score if report.score is not None else said.score,
        threshold=report.threshold,
        weights_sha256=report.weights_sha256,
    )


def _summarise(findings: Sequence[Finding]) -> CheckSummary:
    scores = [finding.score for finding in findings if finding.score is not None]
    return CheckSummary(
        result=f"{len(findings)} findings" if findings else "nothing found",
        score=max(scores, default=None),
    )
