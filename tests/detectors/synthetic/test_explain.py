"""The picture shows what was measured where."""

from __future__ import annotations

import numpy as np

from guarded_sora.detectors.synthetic import Facts, SyntheticDetector, SyntheticReport
from guarded_sora.detectors.synthetic.explain import heat_map, picture
from guarded_sora.detectors.synthetic.report import Moment
from tests.detectors.synthetic.films import batches, model, noisy


def test_the_heat_map_covers_what_was_measured_and_nothing_else() -> None:
    film = noisy(18, 300, 280)
    facts = Facts(width=280, height=300, fps=8.0, seconds=2.25)
    report = SyntheticDetector(model(bias=1.5)).inspect_film(batches(film), facts, whole_picture=True)
    heat = heat_map(report)
    assert heat.shape == (300, 280)
    assert np.allclose(heat[:256, :256], 1.5)
    assert np.isnan(heat[256:]).all() and np.isnan(heat[:, 256:]).all()


def test_places_are_averaged_over_time() -> None:
    moments = tuple(
        Moment(start=t, end=t + 1.0, score=s, blocks=(s,), places=((0, 0),))
        for t, s in ((0.0, 1.0), (1.0, 3.0))
    )
    report = SyntheticReport(readings=(), moments=moments, size=(128, 128))
    assert np.allclose(heat_map(report), 2.0)
    assert [entry["score"] for entry in report.timeline()] == [1.0, 3.0]


def test_a_picture_can_be_drawn_of_anything() -> None:
    film = noisy()
    facts = Facts(width=192, height=160, fps=8.0, seconds=2.25)
    for bias in (-50.0, 0.0, 50.0):
        report = SyntheticDetector(model(bias=bias)).inspect_film(batches(film), facts)
        assert picture(report, film[0]).size[0] == 640
    silent = SyntheticDetector(model()).inspect_film([], facts)
    assert picture(silent, film[0]).size[0] == 640
    assert picture(silent, np.zeros((1, 2, 3), np.uint8)).size[0] == 640


def test_the_picture_turns_red_where_the_score_is_high() -> None:
    film = np.full((18, 160, 192, 3), 128, np.uint8)
    film[:] = noisy()
    facts = Facts(width=192, height=160, fps=8.0, seconds=2.25)
    drawn = {
        bias: np.asarray(
            picture(SyntheticDetector(model(bias=bias)).inspect_film(batches(film), facts), film[0])
        )[:400].astype(float)
        for bias in (-6.0, 6.0)
    }
    assert drawn[6.0][..., 0].mean() > drawn[-6.0][..., 0].mean() + 3
    assert drawn[6.0][..., 2].mean() < drawn[-6.0][..., 2].mean() - 3
