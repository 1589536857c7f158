"""Writing the mark: pattern of a segment, mask of a frame, sum.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark.keys import DATA_CLASSES, MarkKey
from guarded_sora.provenance.watermark.mask import (
    PATTERN_ONE,
    add_to_rgb,
    delta,
    fixed_point,
    luma_of,
    strength,
    visibility,
)
from guarded_sora.provenance.watermark.receive import MIN_SIDE
from guarded_sora.provenance.watermark.tile import CANONICAL_LINES, CODE, TILE, synthesize, word_bits

SEGMENT_SECONDS = 8.0
"""Seconds after which the data key changes. Shorter segments cost a codec more and a reader some pooling."""


def class_at(seconds: float, first: int) -> int:
    """Data class of a moment of a film whose first segment has class ``first``."""
    return (first + int(max(seconds, 0.0) // SEGMENT_SECONDS)) % DATA_CLASSES


def pattern(tile: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.int16]:
    """int16 (H, W): ``tile`` repeated over a picture of ``shape``, in units of 1 / ``PATTERN_ONE``."""
    height, width = shape
    factor = CANONICAL_LINES / min(height, width)
    # Repeated by hand with a margin: warpAffine's BORDER_WRAP is right only near the tile (OpenCV 5.0).
    rows = int(np.ceil(height * factor / TILE)) + 2
    columns = int(np.ceil(width * factor / TILE)) + 2
    repeated = np.tile((tile * PATTERN_ONE).astype(np.float32), (rows, columns))
    offset = (factor - 1) / 2 + TILE
    matrix = np.array([[factor, 0, offset], [0, factor, offset]], dtype=np.float64)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.rint(cv2.warpAffine(repeated, matrix, (width, height), flags=flags)).astype(np.int16)


class Embedder:
    """Marks the frames of one film with one payload."""

    def __init__(self, key: MarkKey, payload: MarkPayload, psnr: float) -> None:
        if payload.epoch != key.epoch:
            raise UsageError("The payload's epoch must be the key's; take it from MarkKey.epoch.")
        self._key, self._psnr = key, psnr
        self._coded = CODE.encode(word_bits(payload, key))
        self._first = key.first_class(payload.id)
        self._cache: tuple[int, tuple[int, int], NDArray[np.int16]] | None = None

    def run(self, frames: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """Marked copies of the batches."""
        for batch in frames:
            marked = np.empty_like(batch.frames)
            for index, (frame, time) in enumerate(zip(batch.frames, batch.times, strict=True)):
                marked[index] = self.mark(frame, float(time))
            yield FrameBatch(frames=marked, times=batch.times, fps=batch.fps)

    def mark(self, frame: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
        """uint8 (H, W, 3): one frame with the mark. Raises ``ProvenanceError`` below 48 pixels a side."""
        return add_to_rgb(frame, self.levels(luma_of(frame), seconds))

    def levels(self, luma: NDArray[np.uint8], seconds: float) -> NDArray[np.int16]:
        """int16 (H, W): what to add to the luma of the frame at ``seconds``."""
        height, width = luma.shape
        if min(height, width) < MIN_SIDE:
            raise ProvenanceError(f"A film must be at least {MIN_SIDE} pixels a side to carry the mark.")
        mask = visibility(luma)
        levels = fixed_point(mask, strength(mask, self._psnr), (height, width))
        return delta(levels, self._pattern(class_at(seconds, self._first), (height, width)))

    def _pattern(self, data_class: int, shape: tuple[int, int]) -> NDArray[np.int16]:
        if self._cache is None or self._cache[:2] != (data_class, shape):
            tile = synthesize(self._key, data_class, self._coded)
            self._cache = (data_class, shape, pattern(tile, shape))
        return self._cache[2]
