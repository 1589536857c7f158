"""FrameBatch: sampled frames with their times, the one form in which pixels reach a detector.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameBatch:
    """``frames``: uint8 (T, H, W, 3) sRGB. ``times``: float64 (T,) seconds from the start.

    ``fps`` is the rate of the film the frames were taken from, not of the sample.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    fps: float

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[3] != 3:
            raise ValueError(
                f"frames must be uint8 (T, H, W, 3), not {self.frames.dtype} {self.frames.shape}"
            )
        if self.times.shape != (self.frames.shape[0],):
            raise ValueError(f"{self.frames.shape[0]} frames need as many times, not {self.times.shape}")

    def __len__(self) -> int:
        return int(self.frames.shape[0])
