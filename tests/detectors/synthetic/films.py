"""Small films and cards for the tests of the detector, made on the spot."""

from __future__ import annotations

from datetime import date

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic import Calibration, PublicTest
from guarded_sora.detectors.synthetic.features import NAMES
from guarded_sora.detectors.synthetic.model import TriageModel

REALS = tuple((-1.0 + 0.02 * n,) for n in range(40))


def noisy(frames: int = 18, height: int = 160, width: int = 192, seed: int = 0) -> NDArray[np.uint8]:
    """A textured film that moves, with noise that is new in each frame."""
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.uniform(0, 255, (2 * height, 2 * width, 3)).astype(np.float32), (0, 0), 1.5)
    ground = (ground - ground.mean()) * 4 + 128
    film = [
        ground[t : t + height, 2 * t : 2 * t + width] + rng.normal(0, 4, (height, width, 3))
        for t in range(frames)
    ]
    return np.clip(np.stack(film), 0, 255).astype(np.uint8)


def batches(film: NDArray[np.uint8], *, fps: float = 8.0, chunk: int = 5) -> list[FrameBatch]:
    times = np.arange(len(film)) / fps
    return [
        FrameBatch(frames=film[i : i + chunk], times=times[i : i + chunk], fps=fps)
        for i in range(0, len(film), chunk)
    ]


def card(
    *, real_clips: int = 0, above: int = 0, threshold: float = 2.0, sources: int = 40, held_out: float = 0.8
) -> Calibration:
    reals = REALS[:sources]
    return Calibration(
        set_sha256="a" * 64,
        made=date(2026, 1, 1),
        sources=("one",),
        per_generator_auc={"some": 0.8},
        held_out_auc=held_out,
        slope=1.0,
        offset=0.0,
        least=-2.0,
        most=3.0,
        reals={"fine": reals, "coarse": reals, "any": reals},
        public=PublicTest(real_clips=real_clips, above=above, threshold=threshold),
    )


def model(*, bias: float = 0.0, calibration: Calibration | None = None) -> TriageModel:
    """A model that scores every block with ``bias`` and finds nothing strange."""
    count = len(NAMES)
    return TriageModel(
        version="test",
        knots=np.tile(np.array([-100.0, 100.0]), (count, 1)),
        normal=np.array([-2.0, 2.0]),
        weights=np.zeros(count),
        bias=bias,
        calibration=calibration or card(),
        sha256="b" * 64,
    )
