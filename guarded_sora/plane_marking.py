"""The mark in a film's own luma: chroma, bit depth, colour and times stay what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.media.planes import Plane, PlaneBatch, PlaneFormat, PlaneStream
from guarded_sora.provenance.watermark.embed import Embedder, LumaBatch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarkedPlanes:
    """Re-iterable: the planes of ``stream`` with a mark; ``writer`` makes the embedder of one pass.

    The mark is laid over the upright picture, as a reader sees it, whatever way the film is coded.
    """

    stream: PlaneStream
    writer: Callable[[], Embedder]

    def __iter__(self) -> Iterator[PlaneBatch]:
        form = self.stream.format
        marked: list[Plane] = []
        for part, index, levels in self.writer().over_luma(self._upright(form)):
            batch = part.origin
            assert isinstance(batch, PlaneBatch)
            marked.append(_added(batch.luma[index], np.rot90(levels, form.turns), form.bits))
            if index == len(batch) - 1:
                luma: Any = np.stack(marked)
                yield PlaneBatch(luma=luma, chroma=batch.chroma, times=batch.times)
                marked = []

    def _upright(self, form: PlaneFormat) -> Iterator[LumaBatch]:
        for batch in self.stream:
            eight = (batch.luma >> (form.bits - 8)).astype(np.uint8)
            upright = np.ascontiguousarray(np.rot90(eight, -form.turns, axes=(1, 2)))
            yield LumaBatch(frames=upright, times=batch.times, origin=batch)


def _added(luma: Plane, levels: NDArray[np.int16], bits: int) -> Plane:
    """``luma`` plus 8-bit ``levels`` at its own depth, saturating."""
    levels = np.ascontiguousarray(levels)
    if bits == 8:
        return np.asarray(cv2.add(luma, levels, dtype=cv2.CV_8U), dtype=np.uint8)
    deeper = luma.astype(np.int32) + (levels.astype(np.int32) << (bits - 8))
    return np.clip(deeper, 0, (1 << bits) - 1).astype(np.uint16)
