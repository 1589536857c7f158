"""From the bins of a folded tile to a payload with its evidence.

Legend: K bins of the band, P pilots, D data dimensions, N coded bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.clip_id import ID_BITS
from guarded_sora.provenance.payload import VERSION, MarkPayload, verify
from guarded_sora.provenance.watermark.bound import log_tail_bound
from guarded_sora.provenance.watermark.keys import MarkKey
from guarded_sora.provenance.watermark.tile import (
    CODE,
    CODED_BITS,
    TILE,
    PilotLayout,
    band,
    data_layout,
    known_bits,
    ring_medians,
    word_bits,
    word_of,
)

WORDS_LOG2 = float(ID_BITS)
"""Ids that pass the checks of one key: version and epoch are known, the MAC follows from them."""

LIST_SIZE = 32
_GATE = 1.08
_RIDGE = (0.1, 0.02)

Shift = tuple[float, float]
Parts = Mapping[int, NDArray[np.complex64]]
"""Bins (K,) added up separately for the seconds of each data class."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dimensions:
    """Weighted dimensions (D,) of every data class, and the coherence of the pilots (-1 to 1)."""

    parts: Mapping[int, NDArray[np.float32]]
    pilot: float

    @property
    def weights(self) -> NDArray[np.float32]:
        """All weights of the Rademacher sum."""
        return np.asarray(np.abs(np.concatenate(list(self.parts.values()))), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """A word that was read. ``log_p``: natural logarithm of the bound for this one word."""

    key: MarkKey
    payload: MarkPayload
    shift: Shift
    log_p: float
    rho: float
    pilot: float
    bit_errors: float


def shift_of(spectrum: NDArray[np.complex64], pilots: PilotLayout) -> tuple[Shift, float]:
    """Where the tile begins, in canonical pixels, and the pilots' coherence there (phase correlation)."""
    rows, columns, _ = band()
    surface = np.zeros((TILE, TILE // 2 + 1), dtype=np.complex64)
    turned = _unit(spectrum[pilots.bins]) * np.exp(-1j * pilots.phases)
    surface[rows[pilots.bins], columns[pilots.bins]] = turned
    # Column 0 is read once by irfft2 and every other twice.
    surface[:, 0] *= 2
    plane = np.fft.irfft2(surface, s=(TILE, TILE))
    y, x = np.unravel_index(int(np.argmax(plane)), plane.shape)
    fine = np.arange(-0.625, 0.626, 0.125)
    offsets = np.stack(np.meshgrid(x + fine, y + fine), axis=-1).reshape(-1, 2)
    ramps = np.exp(2j * np.pi * (offsets @ pilots.frequencies.T))
    coherence = (ramps @ turned).real / len(turned)
    best = int(np.argmax(coherence))
    return (float(offsets[best, 0]), float(offsets[best, 1])), float(coherence[best])


def dimensions(parts: Parts, pilots: PilotLayout, shift: Shift) -> Dimensions:
    """Data dimensions, weighted by how far pilots near them in frequency can be trusted."""
    rows, columns, radius = band()
    frequencies = np.stack([columns / TILE, np.fft.fftfreq(TILE)[rows]], axis=1)
    ramp = np.exp(2j * np.pi * (frequencies @ np.array(shift))).astype(np.complex64)
    total = np.sum(list(parts.values()), axis=0) * ramp
    # A few bins carry railings, bars and letters: they are limited to what is usual in their ring.
    size = np.abs(total)
    level = np.maximum(np.maximum(ring_medians(size), 1e-12), size)

    aligned = np.cos(np.angle(total[pilots.bins]) - pilots.phases)
    offset = radius[pilots.bins] - 0.1
    design = np.stack([np.ones_like(offset), offset], axis=1)
    gram = design.T @ design + len(offset) * np.diag(_RIDGE) * np.array([0.0, 1.0])
    fit = np.linalg.solve(gram, design.T @ aligned)
    trust = np.clip(fit[0] + fit[1] * (radius - 0.1), 0.08, 0.97)
    weight = (trust / (1.0 - trust**2 + 0.05) / level)[pilots.data]

    result: dict[int, NDArray[np.float32]] = {}
    for data_class, spectrum in parts.items():
        values = (spectrum * ramp)[pilots.data] * weight
        flat = np.empty(2 * len(values), dtype=np.float32)
        flat[0::2], flat[1::2] = values.real, values.imag
        result[data_class] = flat
    return Dimensions(parts=result, pilot=float(np.mean(aligned)))


def soft_bits(dims: Dimensions, key: MarkKey, classes: Mapping[int, int]) -> NDArray[np.float32]:
    """Soft bits (N,) where part ``p`` of ``dims`` is spread as data class ``classes[p]`` of ``key``."""
    soft = np.zeros(CODED_BITS, dtype=np.float32)
    for part, weighted in dims.parts.items():
        soft += data_layout(key, classes[part]).gather(weighted)
    return soft


def read_word(dims: Dimensions, key: MarkKey, classes: Mapping[int, int], shift: Shift) -> Reading | None:
    """The likeliest word with a valid MAC, or None. Never accepts: the caller compares ``log_p``."""
    soft = soft_bits(dims, key, classes)
    weights = dims.weights
    power = float(np.sum(weights**2))
    # Without a mark both sides agree on average; a readable one lifts the left side by a quarter.
    if power <= 0.0 or float(np.sum(soft**2)) < _GATE * power:
        return None
    mac_key = key.mac_key()
    for bits in islice(CODE.words(soft, known_bits(key, VERSION)), LIST_SIZE):
        payload = verify(word_of(bits), mac_key)
        if payload is not None:
            return _reading(payload, CODE.encode(bits), soft, weights, key, shift, dims.pilot)
    return None


def read_known(
    dims: Dimensions, key: MarkKey, classes: Mapping[int, int], shift: Shift, payload: MarkPayload
) -> Reading:
    """How well a given ``payload`` fits: the bound is over one word only."""
    soft = soft_bits(dims, key, classes)
    return _reading(payload, CODE.encode(word_bits(payload, key)), soft, dims.weights, key, shift, dims.pilot)


def _reading(
    payload: MarkPayload,
    coded: NDArray[np.int8],
    soft: NDArray[np.float32],
    weights: NDArray[np.float32],
    key: MarkKey,
    shift: Shift,
    pilot: float,
) -> Reading:
    products = soft * coded
    x = float(np.sum(products))
    norm = float(np.linalg.norm(soft)) * np.sqrt(len(soft))
    return Reading(
        key=key,
        payload=payload,
        shift=shift,
        log_p=log_tail_bound(weights, x),
        rho=x / norm if norm > 0 else 0.0,
        pilot=pilot,
        bit_errors=float(np.mean(products <= 0)),
    )


def _unit(values: NDArray[np.complex64]) -> NDArray[np.complex64]:
    return np.asarray(values / np.maximum(np.abs(values), 1e-12), dtype=np.complex64)
