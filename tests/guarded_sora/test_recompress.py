"""A film through a codec and back stays the film, and stranger calls are refused."""

from __future__ import annotations

import numpy as np
import pytest

from guarded_sora.errors import UsageError
from guarded_sora.media.recompress import CODECS, Codec, recompress
from tests.guarded_sora.conftest import moving_scene

QUALITY: dict[Codec, tuple[int, int]] = {
    "h264": (20, 40),
    "vp9": (20, 60),
    "mpeg4": (2, 28),
    "mjpeg": (2, 28),
    "gif": (256, 8),
}


@pytest.mark.parametrize("codec", CODECS)
def test_worse_quality_is_smaller_and_further_from_the_film(codec: Codec) -> None:
    film = moving_scene(1, frames=9, size=(96, 64))
    fine, poor = (recompress(film, fps=8.0, codec=codec, quality=q) for q in QUALITY[codec])
    assert fine.frames.shape == poor.frames.shape == film.shape
    assert fine.frames.dtype == np.uint8
    away = [float(np.abs(each.frames.astype(int) - film).mean()) for each in (fine, poor)]
    assert away[0] < 12 and away[0] < away[1]
    assert poor.bytes < fine.bytes


def test_the_same_call_gives_the_same_film_but_for_the_scalers_rounding_of_colour() -> None:
    film = moving_scene(2, frames=9, size=(64, 64))
    one, other = (recompress(film, fps=8.0, codec="h264", quality=30) for _ in range(2))
    assert float(np.abs(one.frames.astype(int) - other.frames).mean()) < 2
    assert one.bytes == pytest.approx(other.bytes, rel=0.02)


@pytest.mark.parametrize(
    "film",
    [
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((9, 63, 64, 3), np.uint8),
        np.zeros((9, 64, 64), np.uint8),
        np.zeros((9, 64, 64, 3), np.float32),
    ],
    ids=["empty", "odd", "grey", "float"],
)
def test_frames_of_another_form_are_refused(film: np.ndarray) -> None:
    with pytest.raises(UsageError):
        recompress(film, fps=8.0, codec="h264", quality=23)
