"""Which part of a piece is looked at, and a piece seen in one geometry.

Legend: S slots of a piece, K bins of the band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.contract import Geometry
from guarded_sora.provenance.watermark.decode import Shift
from guarded_sora.provenance.watermark.embed import SEGMENT_SECONDS
from guarded_sora.provenance.watermark.receive import fold
from guarded_sora.provenance.watermark.slots import SLOT_SECONDS, Piece
from guarded_sora.provenance.watermark.tile import TILE

_LENGTHS = ((4.0, 2.0), (2.0, 1.0))
"""Seconds of a window, and from one window to the next."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A piece seen in one geometry: bins of every slot (S, K), and their running sums."""

    geometry: Geometry
    spectra: NDArray[np.complex64]
    filled: NDArray[np.bool_]
    sums: NDArray[np.complex128]

    @classmethod
    def of(cls, piece: Piece, geometry: Geometry) -> View:
        bins = [None if plane is None else fold(plane, geometry) for plane in piece.planes]
        size = next(len(row) for row in bins if row is not None)
        spectra = np.stack([np.zeros(size, np.complex64) if row is None else row for row in bins])
        sums = np.concatenate([np.zeros((1, size)), np.cumsum(spectra, axis=0, dtype=np.complex128)])
        filled = np.array([row is not None for row in bins])
        return cls(geometry=geometry, spectra=spectra, filled=filled, sums=sums)

    def between(self, first: int, last: int) -> NDArray[np.complex64]:
        """Bins (K,) of slots ``first`` to ``last`` - 1."""
        return np.asarray(self.sums[last] - self.sums[first], dtype=np.complex64)


def windows(slots: int) -> list[tuple[int, int]]:
    """Slot ranges that are read on their own: all, then 4 s every 2 s and 2 s every second."""
    result = [(0, slots)]
    for length, hop in _LENGTHS:
        size, step = round(length / SLOT_SECONDS), round(hop / SLOT_SECONDS)
        if slots > size:
            starts = [*range(0, slots - size, step), slots - size]
            result += [(start, start + size) for start in starts]
    return list(dict.fromkeys(result))


def search_ranges(missing: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Slot ranges whose geometry is searched: the whole piece if nothing is known, and 4 s at a time."""
    slots = len(missing)
    if missing.sum() * SLOT_SECONDS < min(1.0, 0.5 * slots * SLOT_SECONDS):
        return []
    result = [(0, slots)] if missing.all() else []
    size = round(_LENGTHS[0][0] / SLOT_SECONDS)
    if slots > 1.5 * size or not missing.all():
        starts = range(0, slots, size)
        result += [
            (start, min(start + size, slots))
            for start in starts
            if missing[start : start + size].sum() * 2 >= min(size, slots - start)
        ]
    return result


def apart(a: Shift, b: Shift) -> bool:
    """Whether two shifts differ by more than a pixel, modulo the tile."""
    gaps = [abs((one - other + TILE / 2) % TILE - TILE / 2) for one, other in zip(a, b, strict=True)]
    return max(gaps) > 1.0


def schedules(first: int, last: int) -> list[list[int]]:
    """Where the data class may change inside a window: nowhere, or every 8 s at one of four phases."""
    period = round(SEGMENT_SECONDS / SLOT_SECONDS)
    if last - first <= period // 2:
        return [[first, last]]
    result = [[first, last]] if last - first <= period else []
    for phase in range(period // 4, period + 1, period // 4):
        inside = list(range(first + phase, last, period))
        if inside:
            result.append([first, *inside, last])
    return result
