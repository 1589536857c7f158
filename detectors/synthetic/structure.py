"""Measurements of how fine detail is built, whatever its strength: lattices, bands that go together, what is
new in each frame.

A generator may give back less fine detail than a camera or more; it seldom gives the same kind. Every
number here is a correlation, a ratio or a shape, so that scaling the fine detail hardly changes it.

Sources: periods in the strength of prediction errors (Popescu and Farid, IEEE TSP 2005; Gallagher, CRV
2005); scale mixtures of natural images (Portilla et al., IEEE TIP 2003).

Legend: T = 9 frames, S = 128 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
Frame = NDArray[np.float32]

_KEY = (0, 4, 8)
FRESH = (0, 4)
"""Frames that are compared with the next one along the motion."""
_MARGIN = 8


def structure(block: Block, flows: Mapping[int, NDArray[np.float32]]) -> tuple[float, ...]:
    """The numbers of the family ``structure`` in the order of its names.

    Args:
        block: brightness 0 to 255, float32 (9, 128, 128).
        flows: motion in pixels to the next frame by the number of the frame, float32 (128, 128, 2).
    """
    bands = [_bands(block[t]) for t in _KEY]
    each = np.mean([_together(block[t], band) for t, band in zip(_KEY, bands, strict=True)], axis=0)
    return (*_lattice(block), *_square(block), *each, *_fresh(block, flows))


def _lattice(block: Block) -> tuple[float, ...]:
    """Periods in the strength of prediction errors, which stand still while the content moves."""
    strength: NDArray[np.floating[Any]] = np.zeros(block.shape[1:], np.float32)
    for frame in block:
        error = frame - cv2.sepFilter2D(frame, -1, _AROUND, _AROUND)
        strength += np.log(np.abs(error) + 0.5)
    strength = strength[4:-4, 4:-4] / len(block)
    strength -= cv2.blur(strength, (9, 9))
    size = strength.shape[0]
    power = np.zeros(size // 2 + 1)
    for axis in (0, 1):
        power += np.abs(np.fft.rfft(strength.mean(axis) * np.hanning(size))) ** 2
    level = np.log(power + 1e-6)
    at = [size // period for period in (2, 4, 8)]
    peaks = [float(level[k] - np.median(level[max(0, k - 9) : k + 10])) for k in at]
    others = np.ones(len(level), bool)
    others[: size // 6] = False
    others[[k for k in range(len(level)) if min(k % (size // 8), -k % (size // 8)) <= 1]] = False
    high = level[others]
    signs = (-1.0) ** np.add.outer(np.arange(size), np.arange(size))
    chequer = abs(float((strength * signs).mean())) / (float(strength.std()) + 1e-3)
    return (*peaks, float(high.max() - np.median(high)), float(np.log(chequer + 1e-4)))


_AROUND = np.array([0.25, 0.5, 0.25], np.float32)


@cache
def _zones(size: int) -> tuple[NDArray[np.bool_], ...]:
    f = np.abs(np.fft.fftfreq(size))
    low, high = np.minimum.outer(f, f), np.maximum.outer(f, f)
    zones = []
    for inner, outer in ((0.28, 0.42), (0.14, 0.21)):
        ring = (high >= inner) & (high < outer)
        zones += [ring & (low < inner / 3), ring & (low >= inner)]
    return tuple(zones)


def _square(block: Block) -> tuple[float, float]:
    """How much emptier the corners of the spectrum are than its sides: a lens is round, a lattice square."""
    size = block.shape[1]
    window = np.outer(np.hanning(size), np.hanning(size)).astype(np.float32)
    power = sum(np.abs(np.fft.fft2((block[t] - block[t].mean()) * window)) ** 2 for t in _KEY)
    level = np.log(power + 1.0)
    means = [float(level[zone].mean()) for zone in _zones(size)]
    return means[1] - means[0], means[3] - means[2]


def _near(values: Frame) -> Frame:
    """The mean around each place, nearly as a Gaussian of two pixels weighs it."""
    return np.asarray(cv2.blur(cv2.blur(values, (5, 5)), (3, 3)))


def _bands(frame: Frame) -> tuple[Frame, Frame, Frame]:
    soft = [
        frame,
        *(np.asarray(cv2.GaussianBlur(frame, (n, n), s)) for n, s in ((5, 0.7), (7, 1.4), (13, 2.8))),
    ]
    return soft[0] - soft[1], soft[1] - soft[2], soft[2] - soft[3]


def _together(frame: Frame, bands: tuple[Frame, Frame, Frame]) -> tuple[float, ...]:
    """How fine detail goes with coarser detail of the same place, and how it is spread, (7,)."""
    fine, mid, _ = bands
    sizes = [_near(np.abs(band)) for band in bands]
    logs = [np.log(size + 0.3) for size in sizes]
    edges = sizes[2]
    strong, weak = np.quantile(edges[::2, ::2], (0.9, 0.5))
    at, off = edges >= strong, edges <= weak
    found = [alike(logs[0], logs[1]), alike(logs[1], logs[2]), alike(fine, mid)]
    for band, size in ((fine, sizes[0]), (mid, sizes[1])):
        even = band / (size + 0.3)
        square = even * even
        found.append(float(np.log(np.mean(square * square) / (np.mean(square) ** 2 + 1e-3) + 1e-3)))
    for size in sizes[:2]:
        found.append(float(np.log((size[at].mean() + 0.1) / (size[off].mean() + 0.1))))
    return tuple(found)


def _fresh(block: Block, flows: Mapping[int, NDArray[np.float32]]) -> tuple[float, ...]:
    """What a frame has that the one before did not, motion taken out: a camera's noise is white, grows
    with the light and cares little for edges."""
    rows = []
    cut = slice(_MARGIN, -_MARGIN)
    for t in FRESH:
        flow = flows[t]
        after = warped(block[t + 1], flow)
        new = after - block[t]
        mid = [cv2.GaussianBlur(f, (0, 0), 0.8) - cv2.GaussianBlur(f, (0, 0), 1.8) for f in (block[t], after)]
        ground = np.asarray(cv2.GaussianBlur(block[t], (0, 0), 2.0))
        slope = np.abs(cv2.Sobel(ground, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(ground, cv2.CV_32F, 0, 1))
        size = np.log(_near(np.abs(new)) + 0.3)[cut, cut]
        white = new - cv2.GaussianBlur(new, (0, 0), 0.8)
        rows.append(
            (
                alike(mid[0][cut, cut], mid[1][cut, cut]),
                float(np.log((white[cut, cut].std() + 0.1) / (new[cut, cut].std() + 0.2))),
                alike(size, ground[cut, cut]),
                alike(size, np.log(slope[cut, cut] + 1.0)),
            )
        )
    return tuple(float(value) for value in np.mean(rows, axis=0))


@cache
def _places(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x, y


def warped(frame: Frame, flow: NDArray[np.float32]) -> Frame:
    """``frame`` brought back along ``flow``, float32 (S, S)."""
    x, y = _places(len(frame))
    return cv2.remap(
        frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )  # type: ignore[return-value]


def alike(a: Frame, b: Frame) -> float:
    """Pearson correlation; 0 where one of them is flat."""
    x, y = a - a.mean(), b - b.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / size if size > 1e-3 else 0.0


__all__ = ["FRESH", "alike", "structure", "warped"]
