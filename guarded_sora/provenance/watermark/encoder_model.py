"""A small model of an encoder: what a film costs, and what it keeps of a mark.

Some patches of two neighbouring frames are coded in blocks of 8 x 8 cosines, once as they are (a key
frame) and once as what motion from the frame before leaves over (all others), with a quantiser that is
finer where the picture is flat and where later frames build on it, as x264 does with adaptive
quantisation and its macroblock tree. Bits are counted, not written.

Legend: H height, W width of a frame; N patches, B = 16 blocks of a patch, 64 coefficients of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.mask import (
    MASK_ONE,
    PATTERN_ONE,
    fixed_point,
    strength,
    visibility,
)
from guarded_sora.provenance.watermark.receive import working_luma

_SIDE = 32
_PATCHES = 24
_KEY_FRAMES = 1.0 / 16.0
_KEY_OFFSET = 2.9
_TREE = (1.4, 6.0)
"""How much finer blocks are coded that later frames are predicted from, and how many of those there are."""

_COLUMN = np.arange(8)
_COSINES = np.sqrt(0.25) * np.cos(np.pi * (2 * _COLUMN[None] + 1) * _COLUMN[:, None] / 16.0)
_COSINES[0] /= np.sqrt(2.0)
_COSINES = _COSINES.astype(np.float32)

Planes = NDArray[np.float32]
Coefficients = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spots:
    """The mark in patches (N, 32, 32): its deviation in grey levels before any cap, and its pattern."""

    levels: Planes
    pattern: Planes

    def capped(self, cap: float) -> Planes:
        """Levels added where the deviation is at most ``cap``."""
        return np.minimum(self.levels, np.float32(cap)) * self.pattern


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """Coefficients (N, B, 64) of patches: ``still`` as they are, ``moving`` after prediction from before.

    ``before``, ``after``: the mark in the two frames; ``carried``: the one that prediction brings along.
    ``variance`` (N,): mean variance of the patches' macroblocks.
    """

    still: Coefficients
    moving: Coefficients
    before: Spots
    after: Spots
    carried: Spots
    variance: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marks:
    """What a mark adds to the coefficients (N, B, 64) of ``Patches``, and to the second frame itself."""

    still: Coefficients
    moving: Coefficients
    mark: Coefficients


def marks_of(patches: Patches, cap: float) -> Marks:
    """What the mark adds where its deviation is at most ``cap`` grey levels."""
    before, after, carried = (spots.capped(cap) for spots in (patches.before, patches.after, patches.carried))
    mark = _cosines(after)
    return Marks(still=_cosines(before), moving=mark - _cosines(carried), mark=mark)


def patches_of(
    first: NDArray[np.uint8], second: NDArray[np.uint8], tile: NDArray[np.int16], psnr: float
) -> Patches:
    """What the model looks at: uint8 (H, W) neighbouring frames and int16 (H, W) the mark's pattern."""
    shape = (first.shape[0], first.shape[1])
    top, left = _places(shape)
    masks = [visibility(luma) for luma in (first, second)]
    before, after = (fixed_point(mask, strength(mask, psnr), shape) for mask in masks)
    still, now = _cut(first, top, left), _cut(second, top, left)
    guess, carried = _predicted(first, (before, tile), now, _motion(first, second, top, left), top, left)
    blocks = still.reshape(len(still), 2, 16, 2, 16)
    key = _cosines(still)
    key[:, :, 0] = 0.0
    return Patches(
        still=key,
        moving=_cosines(now - guess),
        before=_spots(_cut(before, top, left), _cut(tile, top, left)),
        after=_spots(_cut(after, top, left), _cut(tile, top, left)),
        carried=carried,
        variance=blocks.var(axis=(2, 4)).mean(axis=(1, 2)).astype(np.float64),
    )


def _spots(levels: Planes, pattern: Planes) -> Spots:
    return Spots(levels=levels / np.float32(MASK_ONE), pattern=pattern / np.float32(PATTERN_ONE))


def _places(shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Top and left of the patches, evenly over the picture."""
    height, width = shape
    rows = max(round((_PATCHES * height / width) ** 0.5), 1)
    columns = max(_PATCHES // rows, 1)
    top, left = np.meshgrid(
        np.linspace(0, height - _SIDE, rows).astype(np.intp),
        np.linspace(0, width - _SIDE, columns).astype(np.intp),
        indexing="ij",
    )
    return top.ravel(), left.ravel()


def _cut(
    plane: NDArray[np.uint8] | NDArray[np.int16], top: NDArray[np.intp], left: NDArray[np.intp]
) -> Planes:
    parts = [plane[y : y + _SIDE, x : x + _SIDE] for y, x in zip(top, left, strict=True)]
    return np.stack(parts).astype(np.float32)


def _motion(
    first: NDArray[np.uint8], second: NDArray[np.uint8], top: NDArray[np.intp], left: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(3, N, 2): where each patch may come from: its own motion, that of the picture, and none."""
    before, after = working_luma(first), working_luma(second)
    scale = first.shape[0] / before.shape[0]
    if min(before.shape) < 64 or np.array_equal(before, after):
        return np.zeros((1, len(top), 2))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = search.calc(after, before, None) * scale  # type: ignore[call-overload]
    own = []
    for y, x in zip(top / scale, left / scale, strict=True):
        part = flow[int(y) : int(y + _SIDE / scale) + 1, int(x) : int(x + _SIDE / scale) + 1]
        own.append(np.median(part.reshape(-1, 2), axis=0))
    whole = np.broadcast_to(np.median(flow[::4, ::4].reshape(-1, 2), axis=0), (len(top), 2))
    vectors = np.stack([np.zeros((len(top), 2)), np.array(own), whole])
    # Encoders move blocks by quarters of a pixel.
    return np.asarray(np.round(vectors * 4.0) / 4.0, dtype=np.float64)


def _predicted(
    picture: NDArray[np.uint8],
    mark: tuple[NDArray[np.int16], NDArray[np.int16]],
    now: Planes,
    vectors: NDArray[np.float64],
    top: NDArray[np.intp],
    left: NDArray[np.intp],
) -> tuple[Planes, Spots]:
    """The best guess at ``now`` from the frame before, and the mark (levels, pattern) that comes with it."""
    side = np.arange(_SIDE)
    best = np.full(len(top), np.inf)
    taken = np.zeros((len(top), 2))
    guess = np.zeros_like(now)

    def seen(plane: NDArray[np.uint8] | NDArray[np.int16], move: NDArray[np.float64]) -> Planes:
        x = np.repeat((left + move[:, 0])[:, None, None] + side[None, None, :], _SIDE, axis=1)
        y = np.repeat((top + move[:, 1])[:, None, None] + side[None, :, None], _SIDE, axis=2)
        columns, rows = (np.ascontiguousarray(at.reshape(-1, _SIDE), dtype=np.float32) for at in (x, y))
        part = cv2.remap(plane, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(part.reshape(now.shape), dtype=np.float32)

    for move in vectors:
        part = seen(picture, move)
        error = np.abs(now - part).mean(axis=(1, 2))
        # Standing still costs no vector and comes first, so that it wins where motion gains nothing.
        better = error < best - 0.15
        best[better], taken[better], guess[better] = error[better], move[better], part[better]
    return guess, _spots(*(seen(plane, taken) for plane in mark))


def _cosines(parts: Planes) -> Coefficients:
    """(N, B, 64) from (N, 32, 32)."""
    count, per = len(parts), _SIDE // 8
    blocks = parts.reshape(count, per, 8, per, 8).transpose(0, 1, 3, 2, 4)
    turned = _COSINES @ blocks @ _COSINES.T
    return np.asarray(turned.reshape(count, per * per, 64), dtype=np.float32)


def coded(patches: Patches, marks: Marks | None, quality: float, floor: float) -> tuple[float, float]:
    """Bits a patch, and squared error against the unmarked picture, with or without a mark.

    ``quality``: a constant rate factor. ``floor``: squared error that no quantiser lowers.
    """
    still, moving = patches.still, patches.moving
    if marks is not None:
        still, moving = still + marks.still, moving + marks.moving
    offset = _offset(patches, marks)
    key_rate, lost, _ = _quantised(still, quality - _KEY_OFFSET + offset, 1.0 / 3.0)
    rate, error, zero = _quantised(moving, quality + offset, 1.0 / 6.0)
    key_error = lost
    if marks is not None:
        key_error, error = lost + marks.still, error + marks.mark
    # What is not coded again keeps the error of the frame it was copied from.
    kept = float(np.mean(zero * np.mean(lost**2, axis=1, keepdims=True)))
    mean = _KEY_FRAMES * key_rate + (1.0 - _KEY_FRAMES) * rate
    squared = _KEY_FRAMES * float(np.mean(key_error**2))
    squared += (1.0 - _KEY_FRAMES) * (float(np.mean(error**2)) + kept)
    return mean + 1e-3, squared + floor


def remains(patches: Patches, marks: Marks, uncapped: Marks, quality: float, frames: int) -> float:
    """Share of the mark (0 to 1) that a reader still hears after ``frames`` frames coded at ``quality``.

    A key frame keeps what its quantiser leaves. In every later frame the mark that prediction carries
    along has moved with the picture, away from the place where the reader looks for it, and the
    quantiser lets part of the difference through. Places count as a reader that evens out local
    contrast weighs them, beside ``uncapped``, the mark before any cap and without a codec.
    """
    offset = _offset(patches, marks)
    contrast = np.sqrt(np.mean(patches.still**2, axis=2)) + 2.0
    level = np.sqrt(np.mean(marks.mark**2, axis=2)) + 1e-3
    free = np.sqrt(np.mean(uncapped.mark**2, axis=2)) + 1e-3
    whole = float(np.sum(np.sum(uncapped.mark**2, axis=2) / (free * contrast))) + 1e-9
    kept = _kept(patches.still, marks.still, quality - _KEY_OFFSET + offset, 1.0 / 3.0)
    share = float(np.sum(np.sum(kept * marks.still, axis=2) / (level * contrast))) / whole
    let = _kept(patches.moving, marks.moving, quality + offset, 1.0 / 6.0)
    renewed = float(np.sum(let * marks.moving)) / (float(np.sum(marks.moving**2)) + 1e-9)
    carried = float(np.sum((marks.mark - marks.moving) * marks.mark)) / (float(np.sum(marks.mark**2)) + 1e-9)
    share, renewed, carried = (float(np.clip(part, 0.0, 1.0)) for part in (share, renewed, carried))
    here = float(np.sum(np.sum(marks.mark**2, axis=2) / (level * contrast))) / whole
    total = 0.0
    for _ in range(frames):
        total += share
        share = carried * share * (1.0 - renewed) + renewed * here
    return min(total / frames, 1.0)


def _kept(
    values: Coefficients, mark: Coefficients, quantiser: NDArray[np.float64], rounding: float
) -> Coefficients:
    """What a quantiser leaves of ``mark`` on top of ``values``."""
    with_mark = _quantised(values + mark, quantiser, rounding)[1]
    return np.asarray(mark + with_mark - _quantised(values, quantiser, rounding)[1], dtype=np.float32)


def _offset(patches: Patches, marks: Marks | None) -> NDArray[np.float64]:
    """(N,): how much coarser than asked the quantiser of each patch is."""
    still, moving, variance = patches.still, patches.moving, patches.variance
    if marks is not None:
        still, moving = still + marks.still, moving + marks.moving
        variance = variance + np.mean(marks.still**2, axis=(1, 2))
    offset = 1.04 * (np.log2(np.maximum(256.0 * variance, 1.0)) - 14.43)
    alone, after = (np.abs(values).sum(axis=(1, 2)) + 64.0 for values in (still, moving))
    gain, frames = _TREE
    return np.asarray(offset - gain * np.log2(1.0 + frames * np.clip(1.0 - after / alone, 0.0, 1.0)))


def _quantised(
    values: Coefficients, quantiser: NDArray[np.float64], rounding: float
) -> tuple[float, Coefficients, NDArray[np.bool_]]:
    """Bits a patch, the error, and which coefficients were not coded."""
    step = (2.0 ** ((np.maximum(quantiser, 4.0) - 4.0) / 6.0)).astype(np.float32)[:, None, None]
    level = np.floor(np.abs(values) / step + np.float32(rounding))
    coded = level > 0
    bits = 2.5 * float(np.count_nonzero(coded)) + 2.0 * float(np.sum(np.log2(level[coded])))
    error = np.copysign(level * step, values) - values
    return bits / len(values), error, ~coded
