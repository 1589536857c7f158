"""Where a distorted copy lies in its original, from the geometry that the mark told.

The pilots fix scale, angle, mirror image and squeeze, and the shift modulo the tile of 128 canonical
pixels. A crop may start in any tile, so a copy has one placement for every tile of the original.
"""

from __future__ import annotations

import math

import numpy as np

from guarded_sora.detectors.fingerprint import Placement
from guarded_sora.provenance.watermark.contract import Geometry
from guarded_sora.provenance.watermark.receive import placement as canonical_placement
from guarded_sora.provenance.watermark.receive import working_size
from guarded_sora.provenance.watermark.tile import CANONICAL_LINES, TILE

MOST = 400


def placements(geometry: Geometry, copy: tuple[int, int], original: tuple[int, int]) -> tuple[Placement, ...]:
    """All placements of a ``copy`` (H, W) in its ``original`` (H, W), for ``detectors.fingerprint``.

    ``geometry`` as the reader reports it. At most ``MOST``, nearest to the middle first.
    """
    height, width = working_size(copy)
    matrix, canvas = canonical_placement((height, width), geometry)
    lines = CANONICAL_LINES / min(original)
    full = np.array([original[1] * lines, original[0] * lines])
    # Canonical pixel p of the reader's canvas is pixel p - shift (modulo the tile) of the original.
    linear, offset = matrix[:, :2], matrix[:, 2]
    result: list[tuple[float, Placement]] = []
    reach = [range(-math.ceil(canvas[axis] / TILE) - 1, math.ceil(full[axis] / TILE) + 2) for axis in (0, 1)]
    size = np.array([width, height], dtype=np.float64)
    middle = np.array(canvas) / 2.0
    for right in reach[0]:
        for down in reach[1]:
            start = np.array([right * TILE - geometry.shift[0], down * TILE - geometry.shift[1]])
            # ``start``: original pixel at the reader's canonical origin.
            place = start + middle
            if not np.all((place > 0.1 * full) & (place < 0.9 * full)):
                continue
            # original (0..1) -> canonical -> canvas -> working -> copy (0..1)
            scale = linear * full[None, :] / size[:, None]
            shift = (linear @ (-start) + offset + 0.5 - 0.5 * linear.sum(axis=1)) / size
            placement: Placement = (
                (float(scale[0, 0]), float(scale[0, 1]), float(shift[0])),
                (float(scale[1, 0]), float(scale[1, 1]), float(shift[1])),
            )
            result.append((float(np.linalg.norm(place - full / 2)), placement))
    result.sort(key=lambda item: item[0])
    return tuple(placement for _, placement in result[:MOST])
