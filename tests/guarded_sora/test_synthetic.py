"""The detector in an examination: asked only where provenance leaves room, and never more than it knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from guarded_sora import GuardedSora, VerdictName
from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.synthetic import Head, HeadState, Reading, SyntheticDetector, SyntheticReport
from guarded_sora.evidence import Verdict
from guarded_sora.synthetic import detail, sign
from guarded_sora.verdicts import DetectorSign
from guarded_sora.verification import verify
from tests.detectors.synthetic.films import card, model


def examined(
    sora: GuardedSora, path: Path, detector: SyntheticDetector, prior: float | None = None
) -> Verdict:
    settings = sora.services.settings.model_copy(update={"synthetic_prior": prior})
    return verify(
        dataclasses.replace(sora.services, synthetic=lambda: detector, settings=settings), path, depth="full"
    )


def said(verdict: Verdict) -> tuple[str, dict[str, object]]:
    return next((item.state, item.detail) for item in verdict.evidence if item.kind == "detector")


@pytest.mark.parametrize(
    ("detector", "verdict", "reason", "state"),
    [
        (SyntheticDetector(model(bias=-3.0)), VerdictName.NO_EVIDENCE, "nothing_found", "nothing"),
        (
            SyntheticDetector(model(bias=3.0)),
            VerdictName.INCONCLUSIVE,
            "detector_ranks_for_review",
            "for_review",
        ),
        (
            SyntheticDetector(model(bias=3.0, calibration=card(sources=3))),
            VerdictName.INCONCLUSIVE,
            "detector_abstains",
            "abstains",
        ),
        (
            SyntheticDetector(model(bias=3.0, calibration=card(real_clips=299))),
            VerdictName.LIKELY_SYNTHETIC,
            "detector",
            "likely",
        ),
    ],
    ids=["nothing", "ranks", "abstains", "likely"],
)
def test_what_a_score_does_to_the_verdict(
    sora: GuardedSora,
    film: Callable[..., Path],
    detector: SyntheticDetector,
    verdict: VerdictName,
    reason: str,
    state: str,
) -> None:
    found = examined(sora, film(), detector)
    assert (found.verdict, found.reason, said(found)[0]) == (verdict, reason, state)
    assert said(found)[1]["head"] == "fully_synthetic"
    assert "posterior" not in said(found)[1]


def test_a_probability_is_told_only_with_a_prior(sora: GuardedSora, film: Callable[..., Path]) -> None:
    told = said(examined(sora, film(), SyntheticDetector(model(bias=1.0)), prior=0.1))[1]
    assert told["prior"] == 0.1
    assert told["posterior"] == pytest.approx(1 / (1 + 9 / 2.718281828), abs=1e-3)


def test_our_own_film_is_not_asked_about(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate("a red balloon", seconds=2, output=tmp_path / "own.mp4")
    detector = SyntheticDetector(model(bias=9.0, calibration=card(real_clips=299)))
    found = examined(sora, Path(release.path), detector)
    assert found.verdict is VerdictName.OURS_INTACT
    assert said(found)[0] == "not_needed"


def test_no_pixels_are_measured_at_a_lesser_depth(sora: GuardedSora, film: Callable[..., Path]) -> None:
    found = sora.verify(film(), depth="provenance")
    assert not [item for item in found.evidence if item.kind == "detector"]


class Broken(SyntheticDetector):
    def inspect_film(self, *_: object, **__: object) -> SyntheticReport:
        raise RuntimeError("no")


def test_a_detector_that_fails_is_never_silence(sora: GuardedSora, film: Callable[..., Path]) -> None:
    found = examined(sora, film(), Broken(model()))
    assert (found.verdict, said(found)[0]) == (VerdictName.INCONCLUSIVE, "failed")


def test_weights_that_are_not_the_pinned_ones_are_never_silence(
    sora: GuardedSora, film: Callable[..., Path]
) -> None:
    def refuse() -> SyntheticDetector:
        raise WeightsInvalid("not the pinned ones")

    found = verify(dataclasses.replace(sora.services, synthetic=refuse), film())
    assert (found.verdict, said(found)[0]) == (VerdictName.INCONCLUSIVE, "failed")


def reading(state: HeadState, llr: float | None = None, head: Head = Head.FULLY_SYNTHETIC) -> Reading:
    return Reading(head=head, state=state, llr=llr, score=0.0)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((HeadState.NOT_APPLICABLE, HeadState.UNSUPPORTED), DetectorSign.NOT_RUN),
        ((HeadState.NOTHING, HeadState.UNSUPPORTED), DetectorSign.NOTHING),
        ((HeadState.NOTHING, HeadState.UNCALIBRATED), DetectorSign.NOTHING),
        ((HeadState.UNCALIBRATED, HeadState.NOT_APPLICABLE), DetectorSign.NOT_RUN),
        ((HeadState.NOTHING, HeadState.ABSTAINS), DetectorSign.ABSTAINS),
        ((HeadState.FOR_REVIEW, HeadState.ABSTAINS), DetectorSign.FOR_REVIEW),
        ((HeadState.FOR_REVIEW, HeadState.LIKELY), DetectorSign.LIKELY),
    ],
    ids=["silent", "nothing", "uncalibrated", "alone", "abstains", "review", "likely"],
)
def test_the_gravest_head_counts(states: tuple[HeadState, ...], expected: DetectorSign) -> None:
    assert sign(SyntheticReport(readings=tuple(map(reading, states)))) is expected


def test_heads_that_share_pixels_are_not_added_up() -> None:
    report = SyntheticReport(
        readings=(
            reading(HeadState.NOTHING, -0.5),
            reading(HeadState.FOR_REVIEW, 1.5),
            reading(HeadState.FOR_REVIEW, 1.4),
            reading(HeadState.UNCALIBRATED, 9.0),
        )
    )
    assert detail(report, None)["llr"] == 1.5
