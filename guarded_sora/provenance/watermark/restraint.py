"""How strong the mark may be before an encoder pays too much for it.

A mark costs a film quality twice: it is an error by itself, and the bits that an encoder spends on it
are missing elsewhere. So the writer asks a small model of an encoder what a codec would do: the model
codes some patches of the film with and without the mark, lowers the quantiser of the unmarked ones
until both cost the same, and compares the errors. The mark is weakened until the gap is small enough,
as far as it can be: where the picture is so smooth that a codec copies it, or where the model says that
the evidence left by strong compression is more than is needed. See ``MOST``, ``SMOOTH`` and ``ENOUGH``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.encoder_model import (
    Patches,
    coded,
    marks_of,
    patches_of,
    remains,
)
from guarded_sora.provenance.watermark.mask import MOST_LEVELS, strength, visibility

LOSS = 2.3
"""Decibels that a marked film may lose, by the model, against an unmarked one of the same size."""

SPARED_LOSS = 2.8
"""The same where evidence is given away that can be spared. The model says 0.8 dB too much on average."""

MOST = 5.0
"""Decibels by which the mark is weakened at most; below that it would not survive a re-encoding."""

SMOOTH = (42.0, 44.5)
"""Decibels at which an encoder copies the picture, by the model: from the first on the mark may be weakened.

What an encoder copies well it also leaves the mark of, so there is something to give: all of ``MOST``
from the second on.
"""

ENOUGH = -30.0
"""log10 p that two seconds coded at ``STRONG`` must keep, by the model, where the picture is not smooth.

A reader needs -9 over all ids; the rest pays for the model's error, and for attacks that are harder.
"""

STRONG = 33.0
"""Constant rate factor of the compression that the mark is meant to survive."""

LINES = (270.0, 360.0)
"""Smaller pictures than the first need all the strength there is; larger than the second, none is given."""

_CRF = 23.0
_FLOOR = 0.5
_COLOUR_FLOOR, _COLOURFUL = 1.1, 8.0
"""Squared error that no quantiser lowers: of rounding, and of the halved chroma of colourful pictures."""

_STEPS = np.arange(-15.0, 0.0, 3.0)
_DIMENSIONS = 1912
_IDS = 12.04
_HEARD = (0.63, 0.48, 0.38, 2.7)
"""Fitted on development films: factor, powers of the share left and of the mark's loudness, its limit."""

Planes = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """``loudness``: amplitude of the mark beside the picture's in a reader's median bin, before any codec.

    ``gap``: seconds from one frame to the next.
    """

    loudness: float
    gap: float = 0.125


def restrained(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    tile: NDArray[np.int16],
    psnr: float,
    colour: float = 0.0,
    heard: Heard | None = None,
) -> float:
    """The most grey levels that the mark's deviation may have anywhere in a film marked at ``psnr`` dB.

    A cap takes from textured places, where a codec drowns the mark anyway, and leaves the quiet ones,
    which carry most of the evidence, as they are: the mark is nowhere stronger than without a cap.
    ``first``, ``second``: uint8 (H, W) luma of neighbouring frames, which may be the same one;
    ``tile``: int16 (H, W) the pattern. ``colour``: mean distance of the channels from luma in levels,
    where the mark is written into RGB; 0 where it is written into a film's own luma plane. Without
    ``heard`` only smooth films are held back.
    """
    share = float(np.clip((min(first.shape) - LINES[0]) / (LINES[1] - LINES[0]), 0.0, 1.0))
    if share == 0.0:
        return MOST_LEVELS
    patches = patches_of(first, second, tile, psnr)
    floor = _FLOOR + _COLOUR_FLOOR * min(colour / _COLOURFUL, 1.0)
    alone = coded(patches, None, _CRF, floor)
    copied = 10.0 * np.log10(255.0**2 / alone[1])
    smooth = share * MOST * float(np.clip((copied - SMOOTH[0]) / (SMOOTH[1] - SMOOTH[0]), 0.0, 1.0))
    loss = _loss(patches, alone, floor)
    if loss(MOST_LEVELS) <= LOSS:
        return MOST_LEVELS
    mask = visibility(first)
    levels = mask * np.float32(strength(mask, psnr))
    if smooth > 0.0 and loss(_cap(levels, smooth)) <= LOSS:
        return _cap(levels, _between(0.0, smooth, lambda weaker: loss(_cap(levels, weaker)) > LOSS)[1])

    if heard is None:
        return _cap(levels, smooth) if smooth > 0.0 else MOST_LEVELS
    spare = heard

    def given(weaker: float) -> bool:
        """Whether the mark still costs too much when it is weakened so far, and can be spared so far."""
        cap = _cap(levels, weaker)
        return loss(cap) > SPARED_LOSS and evidence(patches, cap, spare) <= ENOUGH

    weaker = _between(smooth, share * MOST, given)[0]
    return _cap(levels, weaker) if weaker > 0.0 else MOST_LEVELS


def _between(low: float, high: float, further: Callable[[float], bool]) -> tuple[float, float]:
    """The end of the range in which ``further`` holds, from below and from above."""
    for _ in range(5):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if further(middle) else (low, middle)
    return low, high


def evidence(patches: Patches, cap: float, heard: Heard) -> float:
    """log10 p over all ids that the model expects two seconds coded at ``STRONG`` to keep under ``cap``.

    Within a factor of 1.4 (one deviation) on the films that it was fitted to.
    """
    free, marks = marks_of(patches, MOST_LEVELS), marks_of(patches, cap)
    frames = int(np.clip(round(2.0 / max(heard.gap, 1e-3)), 1, 120))
    left = remains(patches, marks, free, STRONG, frames)
    factor, of_share, of_loudness, limit = _HEARD
    loudness = heard.loudness**2 / (1.0 + (heard.loudness / limit) ** 2)
    ratio = factor * left**of_share * loudness**of_loudness
    # Each dimension agrees with the word by this much; a Rademacher sum then has this bound.
    agreement = ratio**2 / (1.0 + ratio**2)
    return float(min(_IDS - 0.5 * _DIMENSIONS * agreement / np.log(10.0), 0.0))


def _loss(patches: Patches, alone: tuple[float, float], floor: float) -> Callable[[float], float]:
    """Decibels that a film marked under a cap loses against an unmarked one of the same size."""
    curve = [*(coded(patches, None, _CRF + step, floor) for step in _STEPS), alone]
    rates, errors = np.log([rate for rate, _ in curve]), np.log([error for _, error in curve])

    def loss(cap: float) -> float:
        rate, error = coded(patches, marks_of(patches, cap), _CRF, floor)
        return float((np.log(error) - np.interp(-np.log(rate), -rates, errors)) * 10.0 / np.log(10.0))

    return loss


def _cap(levels: Planes, weaker: float) -> float:
    """Cap on ``levels`` at which their power falls by ``weaker`` dB."""
    wanted = float(np.mean(levels**2)) * 10.0 ** (-weaker / 10.0)
    low, high = 0.0, float(levels.max())
    capped = np.empty_like(levels)
    for _ in range(12):
        middle = 0.5 * (low + high)
        np.square(np.minimum(levels, np.float32(middle), out=capped), out=capped)
        low, high = (middle, high) if float(np.mean(capped)) < wanted else (low, middle)
    return high
