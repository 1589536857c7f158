"""The benchmark's suite: every cell runs, and the names that were published stay."""

import numpy as np
import pytest

from benchmarks.attacks import Film, cells
from tests.guarded_sora.provenance.watermark.films import textured

FILM = Film(frames=textured(count=9, size=(96, 160)), fps=8.0)
CELLS = cells()


def test_suite_is_frozen() -> None:
    names = [cell.name for cell in CELLS]
    assert len(names) == len(set(names)) == 46
    assert {cell.kind for cell in CELLS} == {"single", "combined", "severe"}
    assert {"h264-33", "social", "hard", "picture-in-picture", "gif"} <= set(names)


QUICK = [cell for cell in CELLS if not any(step["op"] == "encode" for step in cell.steps)]


@pytest.mark.parametrize("cell", QUICK, ids=lambda cell: cell.name)
def test_cell_gives_a_film(cell) -> None:  # type: ignore[no-untyped-def]
    before = FILM.frames.copy()
    result = cell.run(FILM)
    assert result.frames.dtype == np.uint8
    assert result.frames.ndim == 4
    assert len(result.frames) > 0
    assert np.array_equal(before, FILM.frames)
    if cell.name not in {"none", "speed-2x", "speed-half"}:
        assert result.frames.shape != before.shape or not np.array_equal(result.frames, before)
