"""From the bins of a folded tile to a payload with its evidence.

Legend: K bins of the band, P pilots, D data dimensions, N coded bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.clip_id import ID_BITS
from guarded_sora.provenance.payload import VERSION, MarkPayload, verify
from guarded_sora.provenance.watermark.bound import LOG10, least_x, log_tail_bound
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
    spreads,
    word_bits,
    word_of,
)

WORDS_LOG2 = float(ID_BITS)
"""Ids that pass the checks of one key: version and epoch are known, the MAC follows from them."""

LIST_SIZE = 32
TRACE_LOG10 = -3.0
"""Below this over all that was tried, a reading is a trace of a mark."""

_AT_ONCE = 32
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
    across = np.exp(2j * np.pi * np.multiply.outer(x + fine, pilots.frequencies[:, 0]))
    down = np.exp(2j * np.pi * np.multiply.outer(y + fine, pilots.frequencies[:, 1]))
    # No matrix product: the threads of a BLAS would spin between the hundreds of these small sums.
    coherence = np.einsum("yp,xp->yx", down * turned, across).real / len(turned)
    row, column = np.unravel_index(int(np.argmax(coherence)), coherence.shape)
    return (float(x + fine[column]), float(y + fine[row])), float(coherence[row, column])


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


def read_words(
    dims: Dimensions, keys: Sequence[MarkKey], shift: Shift, hypotheses: int = 1
) -> Iterator[Reading]:
    """Words with a valid MAC that any of ``keys`` (of one epoch) finds, whichever class the film starts in.

    These are ``len(keys) * DATA_CLASSES`` hypotheses, tried together. Never accepts: the caller
    compares ``log_p``. Left out is only what cannot even be a trace: the bound of the likeliest word is
    above ``TRACE_LOG10`` over all ids and the ``hypotheses`` tried so far, these included.
    """
    weights = dims.weights
    power = float(np.sum(weights**2))
    if power <= 0.0:
        return
    soft = _all_soft_bits(dims, tuple(keys))
    # Without a mark both sides agree on average; a readable one lifts the left side by a quarter.
    open_rows = np.argwhere(np.einsum("qcn,qcn->qc", soft, soft) >= _GATE * power)
    if len(open_rows) == 0:
        return
    tail_bits = known_bits(keys[0], VERSION)
    least = least_x(weights, TRACE_LOG10 * LOG10 - WORDS_LOG2 * math.log(2.0) - math.log(hypotheses))
    for block in range(0, len(open_rows), _AT_ONCE):
        rows = open_rows[block : block + _AT_ONCE]
        likeliest = CODE.best(soft[rows[:, 0], rows[:, 1]], tail_bits)
        # A thousandth of slack for sums of float32.
        for row, column in rows[likeliest >= least * 0.999]:
            reading = _listed(soft[row, column], weights, keys[row], shift, dims.pilot, tail_bits)
            if reading is not None:
                yield reading


def _all_soft_bits(dims: Dimensions, keys: tuple[MarkKey, ...]) -> NDArray[np.float32]:
    """(Q, C, N): soft bits under each key, for a film whose first part has each class."""
    spread = spreads(keys)
    total: NDArray[np.float32] | None = None
    for part, weighted in dims.parts.items():
        # Part p of a film that starts in class c is spread as class c + p.
        turned = np.roll(spread.gather(weighted), -part, axis=1)
        total = turned if total is None else total + turned
    assert total is not None
    return total


def _listed(
    soft: NDArray[np.float32],
    weights: NDArray[np.float32],
    key: MarkKey,
    shift: Shift,
    pilot: float,
    tail_bits: NDArray[np.uint8],
) -> Reading | None:
    mac_key = key.mac_key()
    for bits in CODE.words(soft, tail_bits, LIST_SIZE):
        payload = verify(word_of(bits), mac_key)
        if payload is not None:
            return _reading(payload, CODE.encode(bits), soft, weights, key, shift, pilot)
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
