"""The leg of an examination that looks at pixels for traces of synthesis, and what it may mean.

It runs only where nothing conclusive was found: a trusted signature, our mark or our fingerprint is
never averaged with a statistic. A prior is the operator's to state; without one no probability is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guarded_sora.detectors.errors import DetectorError
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic import (
    Facts,
    HeadState,
    Reading,
    SyntheticReport,
    posterior,
)
from guarded_sora.detectors.synthetic.blocks import SAMPLE_FPS, gate
from guarded_sora.detectors.synthetic.cuttings import Cuttings
from guarded_sora.evidence import Evidence
from guarded_sora.media import FrameStream
from guarded_sora.services import Services
from guarded_sora.stages import CheckSummary, StageRunner
from guarded_sora.verdicts import DetectorSign, VerdictName

OPEN = frozenset({VerdictName.NO_EVIDENCE, VerdictName.INCONCLUSIVE})
"""Verdicts that leave room for a statistic."""

_SIGNS = {
    HeadState.LIKELY: DetectorSign.LIKELY,
    HeadState.FOR_REVIEW: DetectorSign.FOR_REVIEW,
    HeadState.ABSTAINS: DetectorSign.ABSTAINS,
}


def look_for_traces(
    services: Services, runner: StageRunner, stream: FrameStream, cuttings: Cuttings | None = None
) -> tuple[Evidence, DetectorSign]:
    """What the detector says of a film, and what that is for the verdict table.

    ``cuttings``: its windows, where a pass over the film has cut them; else the film is decoded again. A
    detector that fails is evidence of its own, state ``failed``, and no sign.
    """
    settings = services.settings
    try:
        detector = services.synthetic()
    except DetectorError as error:
        return _failed(str(error))
    info = stream.info
    facts = Facts(
        width=info.width,
        height=info.height,
        fps=info.fps,
        seconds=info.duration,
        has_audio=info.has_audio,
    )
    shut = gate(width=facts.width, height=facts.height, fps=facts.fps, seconds=facts.seconds)
    frames: Iterable[FrameBatch] | Cuttings = () if shut else stream.sampled(sample_fps=SAMPLE_FPS)
    if cuttings is not None and not shut and not detector.needs_pictures:
        frames = cuttings
    outcome = runner.run_check(
        detector.name,
        detector.inspect_film,
        frames,
        facts,
        version=detector.version,
        deadline=settings.deadlines.mark,
        summary=_summary,
    )
    report = outcome.value
    if report is None:
        return _failed(outcome.run.reason)
    told = detail(report, settings.synthetic_prior)
    return Evidence(kind="detector", state=report.main.state.value, detail=told), sign(report)


def _failed(reason: str) -> tuple[Evidence, DetectorSign]:
    return Evidence(kind="detector", state="failed", detail={"reason": reason}), DetectorSign.NOT_RUN


def sign(report: SyntheticReport) -> DetectorSign:
    """The gravest thing that any head says; heads that say nothing count for nothing."""
    signs = [_SIGNS[item.state] for item in report.readings if item.state in _SIGNS]
    for gravest in (DetectorSign.LIKELY, DetectorSign.FOR_REVIEW, DetectorSign.ABSTAINS):
        if gravest in signs:
            return gravest
    looked = any(item.state is HeadState.NOTHING for item in report.readings)
    return DetectorSign.NOTHING if looked else DetectorSign.NOT_RUN


def detail(report: SyntheticReport, prior: float | None) -> dict[str, Any]:
    """What stands in the evidence: the main head, all heads, the timeline, and the sum of what counts.

    Likelihood ratios of heads of one kind rest on the same pixels, so the strongest of them counts
    once and they are not added up.
    """
    told = {**report.main.as_json(), **report.as_json()}
    told["score"] = told.get("score")
    counted = [item for item in report.readings if _counts(item)]
    if counted:
        llr = max((item.llr or 0.0 for item in counted), key=abs)
        told["llr"] = round(llr, 4)
        if prior is not None:
            told["prior"] = prior
            told["posterior"] = round(posterior(llr, prior), 4)
    return told


def _counts(item: Reading) -> bool:
    return item.llr is not None and item.state is not HeadState.UNCALIBRATED


def _summary(report: SyntheticReport) -> CheckSummary:
    main = report.main
    return CheckSummary(
        result=f"{main.state.value}{': ' + main.reason if main.reason else ''}",
        score=None if main.p_value is None else 1.0 - main.p_value,
        weights_sha256=report.weights_sha256 or None,
    )


__all__ = ["OPEN", "detail", "look_for_traces", "sign"]
