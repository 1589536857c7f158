"""Blocks cut from parts of the pictures are the blocks of the whole pictures, and so is the report."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic import Facts, SyntheticDetector
from guarded_sora.detectors.synthetic.blocks import MOST_WINDOWS, Cutter, spacing
from guarded_sora.detectors.synthetic.cuttings import Cuttings
from guarded_sora.detectors.synthetic.features import FRAMES
from tests.detectors.synthetic.films import batches, model, noisy


def barred() -> np.ndarray:
    film = noisy(27, 300, 420)
    film[:, :40] = film[:, :, -30:] = 0
    return film


def cut(film: np.ndarray, *, every: int = 1) -> Cuttings:
    first, *_ = batches(film)
    cuttings = Cuttings(first, every=every)
    assert cuttings.part is not None
    top, left, height, width = cuttings.part
    for batch in batches(film, chunk=4):
        cuttings.add(
            dataclasses.replace(batch, frames=batch.frames[:, top : top + height, left : left + width])
        )
    return cuttings


@pytest.mark.parametrize("film", [noisy(27), noisy(27, 300, 420), barred()], ids=["one", "two", "barred"])
@pytest.mark.parametrize("every", [1, 2])
def test_windows_of_parts_are_those_of_the_whole(film: np.ndarray, every: int) -> None:
    cutter = Cutter(every=every)
    wanted, found = list(cutter.windows(batches(film))), list(cut(film, every=every))
    assert len(wanted) == len(found) > 0
    for one, other in zip(wanted, found, strict=True):
        assert (one.start, one.end, one.spots) == (other.start, other.end, other.spots)
        assert all(np.array_equal(a, b) for a, b in zip(one.blocks, other.blocks, strict=True))
        assert all(block.dtype == np.float32 for block in other.blocks)


def test_the_report_is_the_same() -> None:
    film = noisy(27, 300, 420)
    facts = Facts(width=420, height=300, fps=8.0, seconds=27 / 8)
    detector = SyntheticDetector(model(bias=1.5))
    assert (
        detector.inspect_film(cut(film), facts).as_json()
        == detector.inspect_film(batches(film), facts).as_json()
    )


def test_a_picture_too_small_for_a_block_has_no_part() -> None:
    assert Cuttings(batches(noisy(2, 100, 160))[0], every=1).part is None


def test_what_is_held_is_bounded_and_says_when_it_is_not_all() -> None:
    still = np.zeros((FRAMES, 128, 128, 3), np.uint8)
    batch = FrameBatch(frames=still, times=np.arange(FRAMES) / 8.0, fps=8.0)
    cuttings = Cuttings(batch, every=1)
    for _ in range(MOST_WINDOWS + 10):
        cuttings.add(batch)
    assert not cuttings.whole
    assert MOST_WINDOWS <= len(list(cuttings)) < MOST_WINDOWS + 10


@pytest.mark.parametrize(("seconds", "every"), [(0.0, 1), (10.0, 1), (45.0, 1), (46.0, 2), (3600.0, 80)])
def test_long_films_keep_one_window_of_many(seconds: float, every: int) -> None:
    assert spacing(seconds, 24.0) == every
