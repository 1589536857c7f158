"""Films are cut where there is a picture, and those that cannot be judged are named."""

from __future__ import annotations

import numpy as np
import pytest

from guarded_sora.detectors.synthetic.blocks import (
    QUALITIES,
    Cutter,
    Spot,
    all_spots,
    content_box,
    gate,
    middle_spots,
    quality_class,
)
from guarded_sora.detectors.synthetic.features import FRAMES, SIDE
from tests.detectors.synthetic.films import batches, noisy


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"width": 127}, "short side"),
        ({"height": 100}, "short side"),
        ({"fps": 5.0}, "frames a second"),
        ({"seconds": 1.0}, "shorter"),
        ({"seconds": 0.0}, "shorter"),
    ],
    ids=["fine", "narrow", "low", "slow", "short", "empty"],
)
def test_the_gate_names_what_is_wrong(facts: dict[str, float], reason: str) -> None:
    given = {"width": 640, "height": 360, "fps": 25.0, "seconds": 4.0} | facts
    assert reason in gate(**given)  # type: ignore[arg-type]
    assert bool(gate(**given)) == bool(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("height", "width", "count"), [(127, 400, 0), (128, 128, 1), (255, 400, 2), (720, 1280, 2)]
)
def test_blocks_lie_inside_and_on_the_lattice(height: int, width: int, count: int) -> None:
    spots = middle_spots(height, width)
    assert len(spots) == count
    for spot in spots:
        assert spot.top % 8 == spot.left % 8 == 0
        assert 0 <= spot.top <= height - SIDE and 0 <= spot.left <= width - SIDE


def test_blocks_all_over_cover_the_picture_without_overlap() -> None:
    spots = all_spots(300, 400)
    assert len(spots) == len(set(spots)) == 6


def test_black_bars_are_left_out() -> None:
    frame = noisy(1)[0]
    frame[:20] = 0
    frame[:, -30:] = 5
    assert content_box(frame) == (20, 160, 0, 162)
    assert content_box(np.zeros_like(frame)) == (0, 160, 0, 192)


def test_windows_are_nine_frames_and_chunks_do_not_matter() -> None:
    film = noisy(30)
    one, other = Cutter(), Cutter()
    small = list(one.windows(batches(film, chunk=1)))
    large = list(other.windows(batches(film, chunk=30)))
    assert len(small) == len(large) == 30 // FRAMES
    for a, b in zip(small, large, strict=True):
        assert (a.start, a.end, a.spots) == (b.start, b.end, b.spots)
        assert np.array_equal(a.blocks[0], b.blocks[0])
        assert a.blocks[0].shape == (FRAMES, SIDE, SIDE)
    assert small[1].start == pytest.approx(9 / 8)


def test_every_second_window_is_left_out_when_asked() -> None:
    windows = list(Cutter(every=2).windows(batches(noisy(36))))
    assert [window.start for window in windows] == [0.0, pytest.approx(18 / 8)]


def test_a_film_with_too_small_a_picture_gives_no_window() -> None:
    film = noisy(18)
    film[:, 100:] = 0
    cutter = Cutter()
    assert list(cutter.windows(batches(film))) == []
    assert cutter.frames == 18


def test_a_still_picture_is_seen_to_be_one() -> None:
    still = np.repeat(noisy(1), 9, 0)
    assert next(iter(Cutter().windows(batches(still)))).still
    assert not next(iter(Cutter().windows(batches(noisy(9))))).still


def test_quality_classes_are_ordered() -> None:
    assert [quality_class(share) for share in (0.0, 1.0)] == list(QUALITIES)
    assert Spot(top=0, left=8) in middle_spots(128, 144)
