"""The analytic judge of the camera: where it goes is what makes the known place stand still.

Each move is tried: the frames are brought back to the place as if the camera had made it, and the move is
believed under which they differ least from the place. Nothing is learned.

Legend: T frames, H, W height and width in pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.generation.vocabulary import CAMERAS
from guarded_sora.training.world import view

STRENGTHS = (0.5, 0.75, 1.0, 1.25)
"""How far the camera may have gone, of the way that the world's goes."""
BETTER = 0.95
"""What is left of the difference at most where a camera that moves is believed."""
MOST = 0.1
"""Most that one pixel counts: an object differs from the place whatever the camera does."""


def camera_of(
    small: NDArray[np.float32], place: NDArray[np.float32]
) -> tuple[str | None, NDArray[np.float32]]:
    """How the camera moves in frames float32 (T, H, W, 3), and the frames as a standing one would show them.

    ``place`` (H, W, 3) is what the standing camera sees behind all; it fills what the frames do not show.
    """
    weight = _structure(place)
    best, found = BETTER * _apart(small, np.ones(small.shape[:3], bool), place, weight), None
    for camera in CAMERAS:
        for strength in STRENGTHS:
            error = _apart(*_steadied(small, place, camera, strength), place, weight)
            if error < best:
                best, found = error, (camera, strength)
    return (None, small) if found is None else (found[0], _steadied(small, place, *found)[0])


def _structure(place: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W): how much a place changes there; where it does not, no move can be seen."""
    across, down = cv2.Sobel(place, -1, 1, 0), cv2.Sobel(place, -1, 0, 1)
    return np.asarray(cv2.blur(np.hypot(across, down).max(-1), (5, 5)), np.float32)


def _apart(
    frames: NDArray[np.float32],
    shown: NDArray[np.bool_],
    place: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> float:
    """Weighted mean difference to the place, over what the frames show of it."""
    weights = weight * shown
    differs = np.minimum(np.abs(frames - place).mean(-1), MOST)
    return float((weights * differs).sum() / max(1e-6, weights.sum()))


def _steadied(
    small: NDArray[np.float32], place: NDArray[np.float32], camera: str, strength: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The frames on the place, and which of its pixels (T, H, W) they show."""
    count, height, width = small.shape[:3]
    frames, shown = [], []
    for k, frame in enumerate(small):
        matrix = view(camera, k / max(1, count - 1), strength=strength).matrix(height, width)
        there = cv2.warpAffine(frame, matrix, (width, height))
        inside = cv2.warpAffine(np.ones((height, width), np.float32), matrix, (width, height)) > 0.99
        frames.append(np.where(inside[..., None], there, place))
        shown.append(inside)
    return np.stack(frames), np.stack(shown)
