"""Host-aware embedding: spend the mark's energy where this picture lets it be heard.

A picture that stands still disturbs the same frequencies of the tile in every frame, and adding
frames up does not help the reader. The writer knows the picture: it measures how loud each
frequency already is, drives quiet ones harder and does not waste energy on hopeless ones, and
keeps the total the same. Against a reader that limits loud bins, a bin with mark a and host h
contributes about u / sqrt(1 + u^2), u = a / h; the gains maximise the sum of that.

Driving weak *bits* harder instead was tried: it raises the correlation with the code word and lowers
the evidence of the reader's bound, which counts every dimension by itself.

Legend: h, w working size; K bins of the band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.contract import Geometry
from guarded_sora.provenance.watermark.keys import MarkKey
from guarded_sora.provenance.watermark.mask import delta, fixed_point, pattern, strength, visibility
from guarded_sora.provenance.watermark.receive import fold
from guarded_sora.provenance.watermark.tile import (
    data_amplitude,
    pilot_layout,
    ring_medians,
    rings,
    synthesize,
)

SAMPLES = 3
_CLIP = 2.5
_CHOICES = np.linspace(0.4, 2.2, 46)
_CODEC_NOISE = 0.6
"""Noise that re-encoding will add, in parts of a ring's median: keeps quiet bins from being overrated."""

_LEFT = 1.0 / 3.0
"""Share of the mark's amplitude that the gains are chosen for: about what strong compression leaves.

Where the mark is loud, more of it tells a reader nothing more; gains chosen for an untouched film
therefore serve the hopeless frequencies, and these are the first that a codec drowns.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gains:
    """``factors`` (K,): on the amplitude of each bin; pilots keep 1.

    ``loudness``: amplitude of the mark with them, beside the picture's, in the median bin.
    """

    factors: NDArray[np.float64]
    loudness: float


def gains(
    key: MarkKey, data_class: int, coded: NDArray[np.int8], samples: Sequence[NDArray[np.uint8]], psnr: float
) -> Gains:
    """What suits a segment.

    ``samples``: working luma (h, w), a few frames of the segment.
    """
    shape = (samples[0].shape[0], samples[0].shape[1])
    tile = pattern(synthesize(key, data_class, coded), shape)
    seen = [whitened(luma) for luma in samples]
    mask = visibility(samples[0])
    levels = delta(fixed_point(mask, strength(mask, psnr), shape), tile)
    marked = whitened(np.asarray(cv2.add(samples[0], levels, dtype=cv2.CV_8U), dtype=np.uint8))
    # The mark is much the same in all of them; the picture is not, where it moves.
    host = fold(np.asarray(np.sum(seen, axis=0), dtype=np.float32), Geometry())
    mark = len(seen) * fold(marked - seen[0], Geometry())
    data = pilot_layout(key).data
    ring = rings()[data]
    counts = np.maximum(np.bincount(ring), 1)
    power = np.bincount(ring, np.abs(mark)[data] ** 2) / counts
    loudness = np.abs(host)
    noise = np.hypot(loudness, _CODEC_NOISE * ring_medians(loudness))[data]
    ratio = np.sqrt(power)[ring] / np.maximum(noise, 1e-9)
    result = np.ones(len(loudness))
    result[data] = _allocate(_LEFT * ratio, data_amplitude()[data] ** 2)
    return Gains(factors=result, loudness=float(np.median(ratio * result[data])))


def whitened(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ``receive.whiten`` gives, closely, at a third of its price: both means are taken at a quarter."""
    height, width = luma.shape
    small = (max(width // 4, 1), max(height // 4, 1))
    plane = luma.astype(np.float32)
    mean = cv2.GaussianBlur(cv2.resize(plane, small, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    high = plane - cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)
    power = cv2.GaussianBlur(cv2.resize(high * high, small, interpolation=cv2.INTER_AREA), (0, 0), 1.42)
    spread = cv2.resize(np.sqrt(power) + 2.0, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(high / spread, -_CLIP, _CLIP), dtype=np.float32)


def _allocate(ratio: NDArray[np.float64], energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gains that maximise the sum of u / sqrt(1 + u^2), u = gain * ratio, at equal total energy."""
    heard = _CHOICES * ratio[:, None]
    heard = heard / np.sqrt(1.0 + heard**2)
    price = _CHOICES**2 * (energy / energy.mean())[:, None]
    low, high = 1e-6, 1e3
    result = np.ones(len(ratio))
    left = np.empty_like(heard)
    for _ in range(30):
        middle = float(np.sqrt(low * high))
        np.subtract(heard, np.multiply(price, middle, out=left), out=left)
        result = _CHOICES[np.argmax(left, axis=1)]
        if float(np.sum(result**2 * energy)) > float(energy.sum()):
            low = middle
        else:
            high = middle
    return np.asarray(result, dtype=np.float64)
