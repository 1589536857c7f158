"""Interpretable measurements of one block of a film: motion, up-sampling traces, DCT, noise in time.

A block is nine frames of brightness, 128 x 128 pixels at the film's own resolution; nothing is scaled,
since scaling leaves the very traces that are looked for. No colour and no metadata: both follow the
taste of whoever collected the films and not the way they were made.

Sources: neighbouring-pixel relations (Tan et al., CVPR 2024), spectra of up-sampling (Durall et al.,
CVPR 2020), DCT statistics (Frank et al., ICML 2020), second differences in time (Zheng et al., ICCV 2025).

Legend: T = 9 frames, S = 128 pixels, F features.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.synthetic.structure import FRESH, alike, structure, warped

FRAMES = 9
SIDE = 128

Block = NDArray[np.float32]

FAMILIES: dict[str, tuple[str, ...]] = {
    "motion": (
        "speed",
        "speed_spread",
        "bend",
        "speed_change",
        "warp_error",
        "warp_error_to_speed",
        "light_change",
    ),
    "upsampling": (
        "npr_across",
        "npr_down",
        "npr_both",
        "npr_ratio",
        "grid_2",
        "grid_4",
        "grid_8",
        "slope_1",
        "slope_2",
        "slope_3",
        "slope_4",
        "slope_5",
    ),
    "prediction": (
        "near_1",
        "near_2",
        "near_4",
        "near_5",
        "near_8",
        "unpredicted",
        "across_2",
        "across_3",
        "across_4",
        "down_2",
        "down_3",
        "down_4",
    ),
    "structure": (
        "lattice_2",
        "lattice_4",
        "lattice_8",
        "lattice_any",
        "chequer",
        "square_2",
        "square_4",
        "joint_fine",
        "joint_mid",
        "phase_fine",
        "tails_fine",
        "tails_mid",
        "edges_fine",
        "edges_mid",
        "moved_mid",
        "fresh_white",
        "fresh_in_light",
        "fresh_at_edges",
    ),
    "dct": ("dct_1", "dct_2", "dct_3", "dct_4", "dct_6", "dct_8", "dct_10", "dct_12", "blockiness"),
    "noise": (
        "noise",
        "noise_tails",
        "noise_flat",
        "noise_to_edges",
        "noise_in_shadow",
        "noise_still",
        "noise_still_spread",
        "noise_moved",
        "flicker",
        "second_difference",
        "rhythm_2",
        "rhythm_4",
    ),
}
NAMES: tuple[str, ...] = tuple(name for family in FAMILIES.values() for name in family)
FAMILY_OF: dict[str, str] = {name: family for family, names in FAMILIES.items() for name in names}

_KEY_FRAMES = (0, 4, 8)
_MOVES = (0, 2, 4, 6)  # frames whose motion to the next is measured
_BANDS = np.array([2, 6, 14, 24, 34, 44, 54, 63]) / 64.0  # of the highest frequency along an axis


def measure(block: Block) -> NDArray[np.float32]:
    """The features of one block in the order of ``NAMES``, float32 (F,), always finite.

    Args:
        block: brightness 0 to 255, float32 (9, 128, 128).

    Raises:
        ValueError: a block of another shape.
    """
    if block.shape != (FRAMES, SIDE, SIDE):
        raise ValueError(f"a block is ({FRAMES}, {SIDE}, {SIDE}), not {block.shape}")
    bytes_ = block.astype(np.uint8)
    flows = {t: _flow(bytes_[t], bytes_[t + 1]) for t in _MOVES}
    values = (
        *_motion(block, flows),
        *_upsampling(block),
        *_prediction(block),
        *structure(block, flows),
        *_dct(block),
        *_noise(block, flows),
    )
    return np.nan_to_num(np.array(values, np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _motion(block: Block, flows: dict[int, NDArray[np.float32]]) -> tuple[float, ...]:
    speeds, spreads, bends, errors = [], [], [], []
    for t, flow in flows.items():
        size = np.hypot(flow[..., 0], flow[..., 1])
        speeds.append(float(size.mean()))
        spreads.append(float(size.std()))
        bends.append(float(np.abs(np.diff(flow, 2, axis=0)).mean()))
        errors.append(float(np.abs(warped(block[t + 1], flow) - block[t])[8:-8, 8:-8].mean()))
    speed, error = float(np.mean(speeds)), float(np.mean(errors))
    light = block.mean((1, 2))
    return (
        np.log1p(speed),
        np.log1p(np.mean(spreads)),
        np.log(np.mean(bends) + 1e-3),
        np.log1p(np.abs(np.diff(speeds)).mean()),
        np.log1p(error),
        np.log(error / (speed + 0.3) + 0.05),
        np.log(np.abs(np.diff(light, 2)).mean() + 0.02),
    )


def _flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 2, 5, 1.1, 0)  # type: ignore[call-overload,no-any-return]


def _upsampling(block: Block) -> tuple[float, ...]:
    across, down, both = [], [], []
    power = np.zeros((SIDE, SIDE))
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE))
    for t in _KEY_FRAMES:
        frame = block[t]
        corner = frame[::2, ::2]
        across.append(float(np.abs(frame[::2, 1::2] - corner).mean()))
        down.append(float(np.abs(frame[1::2, ::2] - corner).mean()))
        both.append(float(np.abs(frame[1::2, 1::2] - corner).mean()))
        power += np.abs(np.fft.fft2(_residual(frame) * window)) ** 2
    level = np.fft.fftshift(np.log(power + 1e-1))
    a, d, b = float(np.mean(across)), float(np.mean(down)), float(np.mean(both))
    return (
        np.log(a + 0.05),
        np.log(d + 0.05),
        np.log(b + 0.05),
        b / (a + d + 1e-3),
        *(_grid(level, period) for period in (2, 4, 8)),
        *_slopes(level),
    )


def _residual(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = np.asarray(cv2.medianBlur(frame, 3))
    return frame - smooth


@cache
def _rings() -> tuple[NDArray[np.bool_], ...]:
    y, x = np.mgrid[0:SIDE, 0:SIDE] - SIDE // 2
    radius = np.hypot(x, y) / (SIDE // 2)
    return tuple((radius >= low) & (radius < high) for low, high in pairwise(_BANDS))


def _slopes(level: NDArray[np.float64]) -> tuple[float, ...]:
    rings = [float(level[ring].mean()) for ring in _rings()]
    return tuple(ring - rings[1] for ring in rings[2:])


def _grid(level: NDArray[np.float64], period: int) -> float:
    """How far the spectrum stands out where a lattice of ``period`` pixels would show."""
    centre, step = SIDE // 2, SIDE // period
    peaks = []
    for dy, dx in ((0, step), (step, 0), (step, step)):
        rows = (np.arange(centre + dy - 4, centre + dy + 5)) % SIDE
        columns = (np.arange(centre + dx - 4, centre + dx + 5)) % SIDE
        near = level[np.ix_(rows, columns)]
        peaks.append(float(near[4, 4] - np.median(near)))
    return float(np.mean(peaks))


def _prediction(block: Block) -> tuple[float, ...]:
    """How a pixel follows from its neighbours where there is texture, and how differences of rising
    order shrink: shapes of the fine detail, whatever its strength and whatever it shows."""
    return (*np.mean([_neighbours(block[t]) for t in _KEY_FRAMES], axis=0), *_orders(block[FRAMES // 2]))


@cache
def _rings_near() -> tuple[tuple[tuple[int, int], ...], ...]:
    """Offsets of the 24 neighbours by their squared distance: 1, 2, 4, 5, 8."""
    places = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
    return tuple(tuple(p for p in places if p[0] ** 2 + p[1] ** 2 == d) for d in (1, 2, 4, 5, 8))


def _neighbours(frame: NDArray[np.float32]) -> NDArray[np.float64]:
    """Least-squares weight of each ring of neighbours, and the error over the strength of edges, (6,)."""
    centre = frame[2:-2, 2:-2]
    edges = np.abs(frame[2:-2, 3:-1] - frame[2:-2, 1:-3]) + np.abs(frame[3:-1, 2:-2] - frame[1:-3, 2:-2])
    textured = edges >= np.median(edges)
    level = centre.mean()
    rings = [
        np.sum([frame[2 + y : SIDE - 2 + y, 2 + x : SIDE - 2 + x] for y, x in ring], axis=0)[textured]
        - len(ring) * level
        for ring in _rings_near()
    ]
    x, y = np.column_stack(rings).astype(np.float64), (centre[textured] - level).astype(np.float64)
    gram = x.T @ x
    gram += np.eye(5) * (1e-3 * np.trace(gram) / 5 + 1e-6)
    weights = np.linalg.solve(gram, x.T @ y)
    error = np.log(float((y - x @ weights).std()) + 0.1) - np.log(float(edges[textured].mean()) + 0.5)
    return np.append(weights * [len(ring) for ring in _rings_near()], error)


def _orders(frame: NDArray[np.float32]) -> tuple[float, ...]:
    """Logarithm of the mean n-th difference over the one before, across and down."""
    ratios = []
    for axis in (1, 0):
        sizes = [float(np.abs(np.diff(frame, n, axis=axis)).mean()) + 0.2 for n in (1, 2, 3, 4)]
        ratios += [float(np.log(later / earlier)) for earlier, later in pairwise(sizes)]
    return tuple(ratios)


@cache
def _cosines() -> NDArray[np.float32]:
    k, n = np.mgrid[0:8, 0:8]
    basis = np.cos(np.pi * (2 * n + 1) * k / 16) * np.sqrt(np.where(k == 0, 1, 2) / 8)
    rounded: NDArray[np.float32] = basis.astype(np.float32)
    return rounded


@cache
def _diagonals() -> NDArray[np.int_]:
    return np.add.outer(np.arange(8), np.arange(8))


def _dct(block: Block) -> tuple[float, ...]:
    frame = block[FRAMES // 2]
    tiles = (frame - 128).reshape(SIDE // 8, 8, SIDE // 8, 8).transpose(0, 2, 1, 3)
    basis = _cosines()
    size = np.log(np.abs(basis @ tiles @ basis.T).mean((0, 1)) + 0.01)
    ones = [float(size[_diagonals() == k].mean()) for k in (1, 2, 3, 4, 6, 8, 10, 12)]
    steps = np.abs(np.diff(frame, axis=1))
    return (*ones, float(np.log((steps[:, 7::8].mean() + 0.05) / (steps.mean() + 0.05))))


def _noise(block: Block, flows: dict[int, NDArray[np.float32]]) -> tuple[float, ...]:
    fine = np.stack([_residual(block[t]) for t in _KEY_FRAMES])
    spread = float(fine.std())
    tails = float((fine**4).mean() / (spread**4 + 1e-4))
    edges = float(np.abs(np.diff(block[4], axis=0)).mean())
    dark = block[list(_KEY_FRAMES)] < 70
    shadow = float(np.abs(fine[dark]).mean()) if dark.sum() > 500 else spread * 0.5
    rough = np.stack([frame - cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in block])
    still = np.array([alike(a, b) for a, b in pairwise(rough)])
    moved = [
        alike(rough[t][8:-8, 8:-8], warped(rough[t + 1], flow)[8:-8, 8:-8])
        for t, flow in flows.items()
        if t in FRESH
    ]
    sharp = np.log(np.abs(rough).mean((1, 2)) + 0.05)
    first, second = np.diff(block, axis=0), np.diff(block, 2, axis=0)
    wave = sharp - sharp.mean()
    phase = np.exp(-2j * np.pi * np.arange(FRAMES) / 4)
    return (
        np.log(spread + 0.05),
        np.log(tails + 1.0),
        float((np.abs(fine) < 0.5).mean()),
        np.log((spread + 0.05) / (edges + 0.2)),
        np.log(shadow + 0.05) - np.log(spread + 0.05),
        float(still.mean()),
        float(still.std()),
        float(np.mean(moved)),
        float(sharp.std()),
        np.log((float(second.std()) + 0.2) / (float(first.std()) + 0.2)),
        np.log(abs(float((wave * (-1.0) ** np.arange(FRAMES)).sum())) + 0.01),
        np.log(abs(complex((wave * phase).sum())) + 0.01),
    )


__all__ = ["FAMILIES", "FAMILY_OF", "FRAMES", "NAMES", "SIDE", "Block", "measure"]
