"""Which parts of the picture carry a mark that was read: an object pasted over a marked film has none.

Asked once a mark is accepted. The word is known then, a far weaker question than reading one, so a
sixth of the picture can answer it over a few seconds.

Legend: h, w working size; S slots of a piece; D data dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.bound import LOG10, log_tail_bound
from guarded_sora.provenance.watermark.contract import Geometry, MarkBlock, MarkState
from guarded_sora.provenance.watermark.decode import Shift, dimensions
from guarded_sora.provenance.watermark.keys import MarkKey
from guarded_sora.provenance.watermark.receive import fold
from guarded_sora.provenance.watermark.slots import Piece
from guarded_sora.provenance.watermark.tile import CANONICAL_LINES, TILE, data_layout, pilot_layout

GRID = (2, 3)
"""Blocks down and across; turned for upright films."""

_LEAST_TILES = 8.0
_PRESENT_LOG10 = -4.0
_WEAK = 0.35
_QUIET = 0.3


def read_blocks(
    piece: Piece,
    geometry: Geometry,
    shift: Shift,
    key: MarkKey,
    coded: NDArray[np.float32],
    classes: Sequence[int | None],
) -> tuple[MarkBlock, ...]:
    """The blocks of a piece; ``classes`` (S,): data class of each slot, None where the mark is not.

    Empty for pictures below ``_LEAST_TILES`` tiles, where a block is too small to answer. A block
    without the mark is ``ABSENT``; one that would be too quiet to carry it is ``INCONCLUSIVE``.
    """
    totals = _totals(piece, classes)
    if not totals:
        return ()
    shape = next(iter(totals.values())).shape
    height, width = shape
    scale = min(shape) / CANONICAL_LINES * geometry.scale
    if height * width / scale**2 < _LEAST_TILES * TILE * TILE:
        return ()
    rows, columns = GRID if width >= height else GRID[::-1]
    boxes = [
        (row * height // rows, (row + 1) * height // rows, column * width // columns,
         (column + 1) * width // columns)
        for row in range(rows)
        for column in range(columns)
    ]  # fmt: skip
    heard = [_heard(totals, box, geometry, shift, key, coded) for box in boxes]
    usual = float(np.median([score for score, log10_p, _ in heard if log10_p <= _PRESENT_LOG10] or [0.0]))
    loud = float(np.median([power for _, _, power in heard]))
    end = piece.start + len(classes) * (piece.end - piece.start) / max(len(piece.planes), 1)
    return tuple(
        MarkBlock(
            left=box[2] / width,
            top=box[0] / height,
            right=box[3] / width,
            bottom=box[1] / height,
            start=piece.start,
            end=end,
            state=_state(score, log10_p, power, usual, loud),
            log10_p=log10_p,
        )
        for box, (score, log10_p, power) in zip(boxes, heard, strict=True)
    )


def _totals(piece: Piece, classes: Sequence[int | None]) -> dict[int, NDArray[np.float32]]:
    """One whitened plane for each data class, over the slots that carry the mark."""
    totals: dict[int, NDArray[np.float32]] = {}
    for plane, data_class in zip(piece.planes, classes, strict=True):
        if plane is not None and data_class is not None:
            known = totals.get(data_class)
            totals[data_class] = plane if known is None else known + plane
    return totals


def _heard(
    totals: dict[int, NDArray[np.float32]],
    box: tuple[int, int, int, int],
    geometry: Geometry,
    shift: Shift,
    key: MarkKey,
    coded: NDArray[np.float32],
) -> tuple[float, float, float]:
    """Score in standard deviations, log10 of its bound, and how loud the block is."""
    top, bottom, left, right = box
    parts = {}
    power = 0.0
    for data_class, plane in totals.items():
        alone = np.zeros_like(plane)
        alone[top:bottom, left:right] = plane[top:bottom, left:right]
        # The median: the edge of a black bar stands still and adds up, and says nothing of the bar.
        power += float(np.median(np.abs(plane[top:bottom, left:right])))
        parts[data_class] = fold(alone, geometry)
    dims = dimensions(parts, pilot_layout(key), shift)
    x = sum(
        float(values @ data_layout(key, data_class).spread(coded))
        for data_class, values in dims.parts.items()
    )
    norm = math.sqrt(float(np.sum(dims.weights**2)))
    return x / max(norm, 1e-9), log_tail_bound(dims.weights, x) / LOG10, power


def _state(score: float, log10_p: float, power: float, usual: float, loud: float) -> MarkState:
    if log10_p <= _PRESENT_LOG10:
        return MarkState.PRESENT
    if power < _QUIET * loud or score > _WEAK * usual:
        return MarkState.INCONCLUSIVE
    return MarkState.ABSENT
