"""From frames to the bins of the tile: whiten, add up, fold.

Legend: h, w working size (short side at most 360), K bins of the band.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.contract import Geometry
from guarded_sora.provenance.watermark.tile import CANONICAL_LINES, TILE, band

MIN_SIDE = 48
"""Shorter pictures hold less than half a tile; nothing is read from them."""

_CLIP = 2.5


def working_size(shape: tuple[int, int]) -> tuple[int, int]:
    """(h, w) to which a picture of ``shape`` (H, W) is scaled down."""
    short = min(shape)
    if short <= CANONICAL_LINES:
        return shape
    factor = CANONICAL_LINES / short
    return max(round(shape[0] * factor), 1), max(round(shape[1] * factor), 1)


def working_luma(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (h, w): luma scaled down to 360 lines; smaller pictures are never scaled up."""
    size = working_size((frame.shape[0], frame.shape[1]))
    if size != frame.shape[:2]:
        frame = np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if frame.ndim == 2:
        return frame
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def whiten(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 (h, w): the picture without its low frequencies, at even local contrast, clipped."""
    plane = luma.astype(np.float32)
    high = plane - cv2.GaussianBlur(plane, (0, 0), 4.5)
    spread = np.sqrt(cv2.GaussianBlur(high * high, (0, 0), 6.0)) + 2.0
    return np.asarray(np.clip(high / spread, -_CLIP, _CLIP), dtype=np.float32)


def placement(shape: tuple[int, int], geometry: Geometry) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """2 x 3 matrix from canonical to working pixels, and the canvas (width, height) that covers the picture.

    Only ``scale``, ``aspect``, ``angle`` and ``flip`` count; the shift is found after folding.
    Without rotation or flip the upper left corners agree, as they do in an uncropped picture.
    """
    height, width = shape
    scale = min(height, width) / CANONICAL_LINES * geometry.scale
    sx, sy = scale * geometry.aspect, scale
    if geometry.angle == 0.0:
        canvas = (int(np.ceil(width / sx)), int(np.ceil(height / sy)))
        matrix = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]], dtype=np.float64)
        if geometry.flip:
            matrix[0] = [-sx, 0, width - 1 - (sx - 1) / 2]
        return matrix, canvas
    turn = np.deg2rad(geometry.angle)
    linear = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ np.diag([sx, sy])
    if geometry.flip:
        linear = np.diag([-1.0, 1.0]) @ linear
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    mapped = (corners - [width / 2, height / 2]) @ np.linalg.inv(linear).T
    span = mapped.max(axis=0) - mapped.min(axis=0)
    canvas = (int(np.ceil(span[0])), int(np.ceil(span[1])))
    centre = np.array([(canvas[0] - 1) / 2, (canvas[1] - 1) / 2])
    offset = np.array([(width - 1) / 2, (height - 1) / 2]) - linear @ centre
    return np.column_stack([linear, offset]), canvas


def fold(plane: NDArray[np.float32], geometry: Geometry) -> NDArray[np.complex64]:
    """complex64 (K,): bins of the mean of all tiles of a whitened plane laid out as ``geometry``.

    Linear in ``plane``.
    """
    shape = (plane.shape[0], plane.shape[1])
    tile = _sum_of_tiles(plane, geometry) * _inverse_coverage(shape, geometry)
    at_rows, at_columns, _ = band()
    return np.fft.rfft2(tile)[at_rows, at_columns].astype(np.complex64)


def _sum_of_tiles(plane: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    matrix, canvas = placement((plane.shape[0], plane.shape[1]), geometry)
    if matrix[0, 0] == 1.0 and matrix[1, 1] == 1.0 and geometry.angle == 0.0:
        flat = plane
    else:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        flat = np.asarray(
            cv2.warpAffine(plane, matrix, canvas, flags=flags, borderMode=cv2.BORDER_CONSTANT), np.float32
        )
    height, width = flat.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((rows * TILE, columns * TILE), dtype=np.float32)
    padded[:height, :width] = flat
    return np.asarray(padded.reshape(rows, TILE, columns, TILE).sum(axis=(0, 2)), dtype=np.float32)


@lru_cache(maxsize=32)
def _inverse_coverage(shape: tuple[int, int], geometry: Geometry) -> NDArray[np.float32]:
    """1 / how often each pixel of the tile was seen.

    A picture is no whole number of tiles. Left uneven, the sum would be the tile under a window, and
    the strong pilots would leak into the data beside them.
    """
    if geometry.angle == 0.0:
        # Lines and columns do not mix: two short profiles say the same as a picture of ones.
        matrix, (width, height) = placement(shape, geometry)
        across = _profile(width, float(matrix[0, 0]), float(matrix[0, 2]), shape[1])
        down = _profile(height, float(matrix[1, 1]), float(matrix[1, 2]), shape[0])
        seen = np.outer(down, across)
    else:
        seen = _sum_of_tiles(np.ones(shape, dtype=np.float32), geometry)
    return np.asarray(np.where(seen > 0.25, 1.0 / np.maximum(seen, 0.25), 0.0), dtype=np.float32)


def _profile(canvas: int, scale: float, offset: float, size: int) -> NDArray[np.float32]:
    """(TILE,): how often each line of the tile was seen along one axis, under linear interpolation."""
    source = scale * np.arange(canvas) + offset
    weight = np.clip(np.minimum(source + 1.0, size - source), 0.0, 1.0)
    padded = np.zeros(-(-canvas // TILE) * TILE, dtype=np.float32)
    padded[:canvas] = weight
    return np.asarray(padded.reshape(-1, TILE).sum(axis=0), dtype=np.float32)
