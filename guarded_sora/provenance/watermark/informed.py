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

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.watermark.contract import Geometry
from guarded_sora.provenance.watermark.keys import MarkKey
from guarded_sora.provenance.watermark.mask import delta, fixed_point, pattern, strength, visibility
from guarded_sora.provenance.watermark.receive import fold, whiten
from guarded_sora.provenance.watermark.tile import (
    data_amplitude,
    pilot_layout,
    ring_medians,
    rings,
    synthesize,
)

SAMPLES = 3
_CHOICES = np.linspace(0.4, 2.2, 46)
_CODEC_NOISE = 0.6
"""Noise that re-encoding will add, in parts of a ring's median: keeps quiet bins from being overrated."""


def gains(
    key: MarkKey, data_class: int, coded: NDArray[np.int8], samples: Sequence[NDArray[np.uint8]], psnr: float
) -> NDArray[np.float64]:
    """(K,): factor on the amplitude of each bin; pilots keep 1.

    ``samples``: working luma (h, w), a few frames of the segment.
    """
    shape = (samples[0].shape[0], samples[0].shape[1])
    tile = pattern(synthesize(key, data_class, coded), shape)
    plain = np.zeros(shape, dtype=np.float32)
    marked = np.zeros(shape, dtype=np.float32)
    for luma in samples:
        mask = visibility(luma)
        levels = delta(fixed_point(mask, strength(mask, psnr), shape), tile)
        plain += whiten(luma)
        marked += whiten(np.asarray(cv2.add(luma, levels, dtype=cv2.CV_8U), dtype=np.uint8))
    host = fold(plain, Geometry())
    data = pilot_layout(key).data
    ring = rings()[data]
    counts = np.maximum(np.bincount(ring), 1)
    power = np.bincount(ring, np.abs(fold(marked, Geometry()) - host)[data] ** 2) / counts
    loudness = np.abs(host)
    noise = np.hypot(loudness, _CODEC_NOISE * ring_medians(loudness))[data]
    ratio = np.sqrt(power)[ring] / np.maximum(noise, 1e-9)
    result = np.ones(len(loudness))
    result[data] = _allocate(ratio, data_amplitude()[data] ** 2)
    return result


def _allocate(ratio: NDArray[np.float64], energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gains that maximise the sum of u / sqrt(1 + u^2), u = gain * ratio, at equal total energy."""
    heard = _CHOICES * ratio[:, None]
    heard = heard / np.sqrt(1.0 + heard**2)
    price = _CHOICES**2 * (energy / energy.mean())[:, None]
    low, high = 1e-6, 1e3
    result = np.ones(len(ratio))
    for _ in range(30):
        middle = float(np.sqrt(low * high))
        result = _CHOICES[np.argmax(heard - middle * price, axis=1)]
        if float(np.sum(result**2 * energy)) > float(energy.sum()):
            low = middle
        else:
            high = middle
    return np.asarray(result, dtype=np.float64)
