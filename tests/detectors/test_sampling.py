"""Sampling: the grid lets no flash of 0.3 s through, and what stands out between two looks is added."""

from __future__ import annotations

import math

import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.sampling import RATE, looks


def film(levels: list[int], fps: float) -> FrameBatch:
    frames = np.stack([np.full((16, 16, 3), level, dtype=np.uint8) for level in levels])
    return FrameBatch(frames=frames, times=np.arange(len(levels)) / fps, fps=fps)


@pytest.mark.parametrize("fps", [10.0, 12.0, 23.976, 25.0, 30.0, 60.0])
def test_no_flash_of_three_tenths_of_a_second_is_missed_by_the_grid_alone(fps: float) -> None:
    length = round(0.3 * fps)
    for first in range(round(fps)):
        levels = [0] * round(2 * fps)
        levels[first : first + length] = [200] * length
        seen = [int(look.frame[0, 0, 0]) for look in looks([film(levels, fps)], stands_out=math.inf)]
        assert 200 in seen, first
        assert len(seen) <= 2 * RATE + 1


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_no_more_is_added_than_allowed_and_the_change_comes_first(extra: int) -> None:
    # Half a second that jumps twice: furthest from its first frame in the middle, moving most at the end.
    levels = [0, 0, 120, 120, 60, 60, 60, 60]
    found = list(looks([film(levels, 16.0)], rate=2.0, most_extra=extra))
    assert [look.why for look in found] == ["grid", "change", "motion"][: len(found)]
    assert len(found) <= 1 + extra
    assert bool(extra) == any(look.frame[0, 0, 0] == 120 for look in found)


def test_frames_without_a_time_are_left_out() -> None:
    batch = film([0, 200, 0], 4.0)
    batch.times[1] = math.nan
    assert [int(look.frame[0, 0, 0]) for look in looks([batch])] == [0, 0]
    assert list(looks([])) == []
