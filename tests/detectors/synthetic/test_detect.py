"""The detector says what its card supports, keeps its heads apart, and knows when to be silent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic import Calibration, Facts, Head, HeadState, SyntheticDetector
from guarded_sora.detectors.synthetic.detect import SyntheticPlugin
from tests.detectors.synthetic.films import batches, card, model, noisy

FACTS = Facts(width=192, height=160, fps=8.0, seconds=2.25)


class Plugin:
    name, version = "plugin", "1"

    def __init__(
        self, score: float, calibration: Calibration | None, head: Head = Head.FULLY_SYNTHETIC
    ) -> None:
        self._score, self.card, self.head = score, calibration, head
        self.seen: FrameBatch | None = None

    def score(self, frames: FrameBatch) -> float:
        self.seen = frames
        return self._score


@pytest.mark.parametrize(
    ("bias", "calibration", "state"),
    [
        (-3.0, card(), HeadState.NOTHING),
        (3.0, card(), HeadState.FOR_REVIEW),
        (3.0, card(sources=18), HeadState.ABSTAINS),
        (3.0, card(real_clips=999, held_out=0.69), HeadState.UNSUPPORTED),
        (3.0, dataclasses.replace(card(real_clips=999), withheld="it errs elsewhere"), HeadState.UNSUPPORTED),
        (3.0, card(real_clips=299), HeadState.LIKELY),
        (3.0, card(real_clips=298), HeadState.FOR_REVIEW),
        (3.0, card(real_clips=1000, above=1), HeadState.FOR_REVIEW),
        (1.9, card(real_clips=299, threshold=2.0), HeadState.FOR_REVIEW),
        (-3.0, card(real_clips=299), HeadState.NOTHING),
    ],
    ids=[
        "low",
        "high",
        "few",
        "unproven",
        "withheld",
        "public",
        "public-298",
        "public-above",
        "public-below",
        "public-low",
    ],
)
def test_what_is_said_follows_from_the_card(bias: float, calibration: Calibration, state: HeadState) -> None:
    report = SyntheticDetector(model(bias=bias, calibration=calibration)).inspect_film(
        batches(noisy()), FACTS
    )
    assert report.main.state is state
    assert report.main.score == pytest.approx(bias)
    assert calibration.least <= (report.main.llr or 0) <= calibration.most
    assert (report.main.llr is None) is (state is HeadState.UNSUPPORTED)


def test_heads_stay_apart() -> None:
    detector = SyntheticDetector(model())
    silent = {item.head: item.state for item in detector.inspect_film(batches(noisy()), FACTS).readings}
    assert silent[Head.FACE_MANIPULATED] is HeadState.UNSUPPORTED
    assert silent[Head.LIP_OR_AUDIO_EDITED] is HeadState.NOT_APPLICABLE
    loud = detector.inspect_film(batches(noisy()), dataclasses.replace(FACTS, has_audio=True))
    assert {item.head: item.state for item in loud.readings}[
        Head.LIP_OR_AUDIO_EDITED
    ] is HeadState.UNSUPPORTED


@pytest.mark.parametrize(
    ("film", "facts", "reason"),
    [
        (noisy(), dataclasses.replace(FACTS, width=100), "short side"),
        (noisy(), dataclasses.replace(FACTS, fps=4.0), "frames a second"),
        (noisy(), dataclasses.replace(FACTS, seconds=0.5), "shorter"),
        (noisy(5), FACTS, "too few frames"),
        (np.repeat(noisy(1), 18, 0), FACTS, "nothing moves"),
        (np.zeros((18, 160, 192, 3), np.uint8), FACTS, "nothing moves"),
    ],
    ids=["narrow", "slow", "short", "lies", "still", "black"],
)
def test_films_that_cannot_be_judged_are_said_to_be_so(film: np.ndarray, facts: Facts, reason: str) -> None:
    report = SyntheticDetector(model(bias=9.0)).inspect_film(batches(film), facts)
    assert report.main.state is HeadState.NOT_APPLICABLE
    assert reason in report.main.reason
    assert report.main.score is None and report.main.llr is None


def test_an_empty_film_is_not_judged() -> None:
    assert SyntheticDetector(model()).inspect_film([], FACTS).main.state is HeadState.NOT_APPLICABLE


def test_a_film_unlike_all_that_was_measured_is_not_judged() -> None:
    narrow = dataclasses.replace(model(bias=9.0), knots=model().knots * 1e-6)
    report = SyntheticDetector(narrow).inspect_film(batches(noisy()), FACTS)
    assert "unlike" in report.main.reason


def test_a_plugin_without_a_card_counts_for_nothing() -> None:
    report = SyntheticDetector(model(bias=-3.0), plugins=[Plugin(99.0, None)]).inspect_film(
        batches(noisy()), FACTS
    )
    assert report.main.detector != "plugin"
    told = next(item for item in report.readings if item.detector == "plugin")
    assert (told.state, told.llr) == (HeadState.UNCALIBRATED, None)


def test_a_plugin_with_a_card_fills_its_head_and_sees_the_middle() -> None:
    plugin = Plugin(3.0, card(real_clips=299), Head.FACE_MANIPULATED)
    assert isinstance(plugin, SyntheticPlugin)
    report = SyntheticDetector(model(bias=-3.0), plugins=[plugin]).inspect_film(
        batches(noisy(40)), dataclasses.replace(FACTS, seconds=5.0)
    )
    faces = [item for item in report.readings if item.head is Head.FACE_MANIPULATED]
    assert [item.state for item in faces] == [HeadState.LIKELY]
    assert report.main.head is Head.FULLY_SYNTHETIC
    assert plugin.seen is not None and len(plugin.seen) == 16
    assert 1.9 < plugin.seen.times.mean() < 3.1


def test_long_films_are_looked_at_in_part_and_held_in_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_sora.detectors.synthetic.blocks.MOST_WINDOWS", 4)
    drawn = []

    def endless() -> Iterator[FrameBatch]:
        chunk = noisy(9)
        for number in range(100):
            drawn.append(number)
            times = (np.arange(9) + 9 * number) / 8
            yield FrameBatch(frames=chunk, times=times, fps=8.0)

    report = SyntheticDetector(model()).inspect_film(
        endless(), dataclasses.replace(FACTS, seconds=100 * 9 / 8)
    )
    assert len(drawn) == 100
    assert len(report.moments) == 4
    assert report.timeline()[-1]["second"] > 80


def test_the_report_is_plain_json() -> None:
    import json

    report = SyntheticDetector(model()).inspect_film(batches(noisy()), FACTS)
    document = json.loads(json.dumps(report.as_json()))
    assert {"heads", "timeline", "contributions", "bias", "version", "weights_sha256"} == set(document)
    assert [entry["second"] for entry in document["timeline"]] == [0, 1, 2]


def test_real_texture_with_the_packaged_model_gives_a_finite_score() -> None:
    report = SyntheticDetector().inspect_film(batches(noisy()), FACTS)
    assert report.main.state in (HeadState.UNSUPPORTED, HeadState.NOT_APPLICABLE)
    assert report.main.score is None or np.isfinite(report.main.score)
