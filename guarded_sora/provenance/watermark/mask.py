"""Where the eye forgives: a visibility mask, and the fixed-point addition of a pattern.

Legend: H height, W width of a luma plane.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.tile import CANONICAL_LINES, TILE

PATTERN_ONE = 32
"""Fixed-point unit of a pattern of standard deviation 1 (int16)."""

MASK_ONE = 64
"""Fixed-point unit of a mask in grey levels (int16)."""

MOST_LEVELS = 62.5
"""Grey levels that the mark's deviation never exceeds anywhere."""

_BOX = (5, 5)


def visibility(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 at a quarter of the size: how much a unit of noise may be amplified at each place.

    About 0.55 in flat areas, up to 2.5 in texture; lower in shadows, a little higher in highlights.
    """
    small = _quarter(luma).astype(np.float32)
    mean = cv2.boxFilter(small, -1, _BOX)
    power = cv2.boxFilter(small * small, -1, _BOX)
    texture = np.sqrt(np.maximum(power - mean * mean, 0.0))
    mask = 0.55 + np.minimum(0.11 * texture, 1.9)
    mask *= 1.0 - 0.5 * np.clip((40.0 - mean) / 40.0, 0, 1) + 0.25 * np.clip((mean - 180.0) / 75.0, 0, 1)
    return np.asarray(cv2.boxFilter(mask, -1, (3, 3)), dtype=np.float32)


def _quarter(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 at a quarter of the size; up to three lines and columns at the far ends are not looked at."""
    height, width = (max(side // 4 * 4, 4) for side in luma.shape)
    if luma.shape[0] < height or luma.shape[1] < width:
        luma = np.pad(luma, [(0, max(4 - side, 0)) for side in luma.shape], mode="edge")
    whole = luma[:height, :width]
    # Two exact halvings: 20 times quicker than the same by an uneven factor.
    for part in (2, 4):
        size = (width // part, height // part)
        whole = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return whole


def strength(mask: NDArray[np.float32], psnr: float) -> float:
    """Factor on ``mask`` at which a pattern of unit deviation changes luma by ``psnr`` dB."""
    # A tenth of a dB pays for what the pattern and its mask have in common.
    target = 255.0 * 10.0 ** (-(psnr + 0.1) / 20.0)
    # Rounding to whole levels adds the noise of a uniform error; take it off the budget.
    budget = np.sqrt(max(target * target - 1.0 / 12.0, 0.25 * target * target))
    return float(budget / max(float(np.sqrt(np.mean(mask * mask))), 1e-6))


def fixed_point(
    mask: NDArray[np.float32], factor: float, shape: tuple[int, int], cap: float = MOST_LEVELS
) -> NDArray[np.int16]:
    """int16 (H, W): the mask in grey levels, at most ``cap``, times ``MASK_ONE``, at full size."""
    levels = np.clip(mask * (factor * MASK_ONE), 0, cap * MASK_ONE).astype(np.int16)
    return np.asarray(cv2.resize(levels, shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.int16)


def pattern(tile: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.int16]:
    """int16 (H, W): ``tile`` repeated over a picture of ``shape``, in units of 1 / ``PATTERN_ONE``."""
    height, width = shape
    factor = CANONICAL_LINES / min(height, width)
    # Repeated by hand with a margin: warpAffine's BORDER_WRAP is right only near the tile (OpenCV 5.0).
    rows = int(np.ceil(height * factor / TILE)) + 2
    columns = int(np.ceil(width * factor / TILE)) + 2
    repeated = np.tile((tile * PATTERN_ONE).astype(np.float32), (rows, columns))
    if factor == 1.0:
        return np.rint(repeated[:height, :width]).astype(np.int16)
    offset = (factor - 1) / 2 + TILE
    matrix = np.array([[factor, 0, offset], [0, factor, offset]], dtype=np.float64)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.rint(cv2.warpAffine(repeated, matrix, (width, height), flags=flags)).astype(np.int16)


def delta(mask: NDArray[np.int16], pattern: NDArray[np.int16]) -> NDArray[np.int16]:
    """int16 (H, W): levels to add to luma."""
    product = cv2.multiply(mask, pattern, scale=1.0 / (MASK_ONE * PATTERN_ONE), dtype=cv2.CV_16S)
    return np.asarray(product, dtype=np.int16)


def add_to_rgb(
    frame: NDArray[np.uint8], levels: NDArray[np.int16], out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """uint8 (H, W, 3): the same levels added to all three channels, so that chroma stays; saturating.

    ``out``: where to write it, contiguous and not ``frame`` itself; a new array by default.
    """
    # Up and down apart, in bytes: the same sum, at half the price of mixing two widths.
    up, down = (part.clip(0, 255).astype(np.uint8) for part in (levels, -levels))
    raised = cv2.add(frame, cv2.cvtColor(up, cv2.COLOR_GRAY2RGB), dst=out)
    return np.asarray(cv2.subtract(raised, cv2.cvtColor(down, cv2.COLOR_GRAY2RGB), dst=out), dtype=np.uint8)


def luma_of(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (H, W) luma of an RGB frame."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
