"""Clause by clause: what the laws asked for say of one file, and what the conformance rubric says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from guarded_sora.errors import UsageError
from guarded_sora.media import FrameStream
from guarded_sora.provenance.conformance.check import LAWS, any_failed, check
from guarded_sora.provenance.conformance.facts import Facts, MarkFacts, Operator
from guarded_sora.provenance.credentials.metadata import Declared
from guarded_sora.provenance.credentials.rubric import RubricResult
from guarded_sora.provenance.credentials.states import Credentials
from guarded_sora.provenance.labels import survey_labels
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.services import Services
from guarded_sora.stages import StageRunner

RUBRIC = "guarded_sora.provenance.credentials.rubric:check_file"
_LABEL_SIDE = 480  # lines at which labels are looked for
_LABEL_FPS = 2.0


def known_laws(laws: Iterable[str]) -> tuple[str, ...]:
    """``laws`` as given, once each.

    Raises:
        UsageError: a law there are no clauses for.
    """
    wanted = tuple(dict.fromkeys(laws))
    for law in wanted:
        if law not in LAWS:
            raise UsageError(f"There are no rules {law[:40]!r}; use some of: {', '.join(LAWS)}.")
    return wanted


def examine_laws(
    services: Services,
    runner: StageRunner,
    laws: tuple[str, ...],
    *,
    stream: FrameStream | None,
    credentials: Credentials | None,
    declared: Declared | None,
    mark: MarkEvidence | None,
    ours: bool,
) -> tuple[dict[str, Any], bool]:
    """What ``--json`` prints under ``rules``, and whether a clause failed.

    A leg that was not examined stays None in the facts, so its clauses need a human, never pass. ``ours``:
    the film is one of this installation, so that the word of its operator counts.
    """
    labels = None
    if stream is not None:
        look = stream.sampled(max_short_side=_LABEL_SIDE, sample_fps=_LABEL_FPS)
        labels = runner.run_check(
            "labels", survey_labels, look, version="1", deadline=services.settings.deadlines.mark
        ).value
    word = services.settings.operator if ours else None
    found = check(
        laws,
        Facts(
            credentials=credentials,
            declared=declared,
            mark=None if mark is None else _mark_facts(mark),
            labels=labels,
            seconds=stream.info.duration if stream is not None else 0.0,
            operator=Operator(placed=word.placed, detector_url=word.detector_url, notice=word.notice)
            if word is not None
            else Operator(),
            looks_real=word.looks_real if word is not None else None,
            artistic=word.artistic if word is not None else None,
        ),
    )
    rules = {law: {id: result.as_json() for id, result in clauses.items()} for law, clauses in found.items()}
    return rules, any_failed(found)


def examine_rubric(services: Services, runner: StageRunner, path: Path) -> dict[str, Any]:
    """The conformance programme's rubric over the newest manifest; one failed entry where it cannot run."""
    outcome = runner.run_check_in_worker(
        "rubric", RUBRIC, path, services.trust, version="1", deadline=services.settings.deadlines.parse
    )
    results: tuple[RubricResult, ...] | None = outcome.value
    if results is None:
        return {
            "rubric": {
                "state": "needs_human",
                "title": "the rubric could not be run",
                "problems": [outcome.run.reason],
            }
        }
    return {result.id: result.as_json() for result in results}


def _mark_facts(mark: MarkEvidence) -> MarkFacts:
    return MarkFacts(present=mark.state is MarkState.PRESENT, name=mark.mark, log10_p=float(mark.log10_p))
