"""The tile: which frequencies carry pilots and data, and the pattern made from a coded word.

The picture is thought of as scaled to 360 lines (the canonical frame) and covered with one
periodic tile of 128 x 128 canonical pixels. A reader adds all tiles up, whatever part of the picture
it was left with.

Legend: K bins in the band, P pilots, D = 2 * (K - P) real dimensions, N coded bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from guarded_sora.provenance.clip_id import ID_BITS
from guarded_sora.provenance.payload import EPOCH_BITS, MAC_BITS, VERSION_BITS, MarkPayload, pack
from guarded_sora.provenance.watermark.code import ConvolutionalCode
from guarded_sora.provenance.watermark.keys import DATA_CLASSES, MarkKey

TILE = 128
CANONICAL_LINES = 360
BAND = (0.035, 0.20)
PILOT_BAND = (0.05, 0.16)
PILOTS = 40
PILOT_POWER = 0.28
RING_WIDTH = 0.02
CODE = ConvolutionalCode()
BITS = VERSION_BITS + EPOCH_BITS + ID_BITS + MAC_BITS
CODED_BITS = BITS * CODE.rate


@lru_cache(maxsize=1)
def band() -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Rows, columns (of ``rfft2`` of a tile) and radius in cycles per pixel of the K bins in the band."""
    fy = np.fft.fftfreq(TILE)[:, None]
    fx = np.fft.rfftfreq(TILE)[None, :]
    radius = np.hypot(fy, fx)
    # Column 0 holds every frequency twice, with its conjugate: keep one half.
    once = (fx > 0) | (fy > 0)
    rows, columns = np.nonzero((radius >= BAND[0]) & (radius <= BAND[1]) & once)
    return rows, columns, radius[rows, columns]


@lru_cache(maxsize=1)
def rings() -> NDArray[np.intp]:
    """(K,): the ring of ``RING_WIDTH`` cycles per pixel in which each bin lies, from 0."""
    radius = band()[2]
    return ((radius - BAND[0]) / RING_WIDTH).astype(np.intp)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PilotLayout:
    """``bins`` (P,): indices into the band. ``phases`` (P,): radians. ``data`` (K - P,): the other bins.

    ``frequencies`` (P, 2): x, y in cycles per canonical pixel.
    """

    bins: NDArray[np.intp]
    phases: NDArray[np.float64]
    data: NDArray[np.intp]
    frequencies: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataLayout:
    """For each of D dimensions the coded bit (``bits``) it carries and its sign (``signs``)."""

    bits: NDArray[np.intp]
    signs: NDArray[np.float32]

    def gather(self, weighted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Soft bits (N,) from weighted dimensions (D,)."""
        return np.bincount(self.bits, self.signs * weighted, CODED_BITS).astype(np.float32)

    def spread(self, coded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Dimensions (D,) from coded bits (N,)."""
        return self.signs * coded[self.bits].astype(np.float32)


@lru_cache(maxsize=64)
def pilot_layout(key: MarkKey) -> PilotLayout:
    """Pilots of the key's installation and epoch."""
    rows, columns, radius = band()
    stream = key.pilot_stream()
    order = stream.shuffled(len(radius))
    usable = (radius[order] > PILOT_BAND[0]) & (radius[order] < PILOT_BAND[1])
    bins = order[usable][:PILOTS]
    fy, fx = np.fft.fftfreq(TILE)[rows[bins]], columns[bins] / TILE
    return PilotLayout(
        bins=bins,
        phases=stream.phases(PILOTS),
        data=np.setdiff1d(np.arange(len(radius)), bins),
        frequencies=np.stack([fx, fy], axis=1),
    )


@lru_cache(maxsize=2048)
def data_layout(key: MarkKey, data_class: int) -> DataLayout:
    """How the key's tenant spreads coded bits in segments of ``data_class``."""
    dimensions = 2 * (len(band()[2]) - PILOTS)
    stream = key.data_stream(data_class)
    bits = (np.arange(dimensions) % CODED_BITS)[stream.shuffled(dimensions)]
    return DataLayout(bits=bits, signs=stream.signs(dimensions).astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spreads:
    """The data layouts of Q keys in all C data classes, for all of them to be gathered at once.

    ``places`` int32 (Q, C, N, M): the dimensions of each coded bit, D where there is none.
    ``signs`` float32 (Q, C, N, M).
    """

    places: NDArray[np.int32]
    signs: NDArray[np.float32]

    def gather(self, weighted: NDArray[np.float32]) -> NDArray[np.float32]:
        """Soft bits (Q, C, N) from weighted dimensions (D,)."""
        padded = np.append(weighted, np.float32(0.0)).astype(np.float32)
        return np.asarray(np.einsum("qcnm,qcnm->qcn", padded[self.places], self.signs), dtype=np.float32)


@lru_cache(maxsize=32)
def spreads(keys: tuple[MarkKey, ...]) -> Spreads:
    """What ``data_layout`` says of ``keys``, in one piece."""
    layouts = [[data_layout(key, data_class) for data_class in range(DATA_CLASSES)] for key in keys]
    dimensions = len(layouts[0][0].bits)
    most = -(-dimensions // CODED_BITS)
    places = np.full((len(keys), DATA_CLASSES, CODED_BITS * most), dimensions, dtype=np.int32)
    signs = np.zeros(places.shape, dtype=np.float32)
    for row, classes in enumerate(layouts):
        for column, layout in enumerate(classes):
            order = np.argsort(layout.bits, kind="stable")
            ranked = layout.bits[order]
            seat = ranked * most + np.arange(dimensions) - np.searchsorted(ranked, ranked)
            places[row, column, seat] = order
            signs[row, column, seat] = layout.signs[order]
    shape = (len(keys), DATA_CLASSES, CODED_BITS, most)
    return Spreads(places=places.reshape(shape), signs=signs.reshape(shape))


def ring_medians(sizes: NDArray[np.float32]) -> NDArray[np.float64]:
    """(K,): for each bin the median of ``sizes`` (K,) in its ring."""
    ring = rings()
    medians = np.array([np.median(sizes[ring == index]) for index in range(int(ring.max()) + 1)])
    return np.asarray(medians[ring], dtype=np.float64)


def data_amplitude() -> NDArray[np.float64]:
    """(K,): how strongly a data bin is driven. Low frequencies survive codecs."""
    return np.asarray(1.0 / (0.05 + band()[2]), dtype=np.float64)


def known_bits(key: MarkKey, version: int) -> NDArray[np.uint8]:
    """The bits a reader knows before it decodes, in the order in which they end the word."""
    return _bits(version << EPOCH_BITS | key.epoch, VERSION_BITS + EPOCH_BITS)


def word_bits(payload: MarkPayload, key: MarkKey) -> NDArray[np.uint8]:
    """uint8 (64,): id and MAC first, then what the reader knows."""
    word = pack(payload, key.mac_key())
    free = ID_BITS + MAC_BITS
    head = _bits(word & ((1 << free) - 1), free)
    return np.concatenate([head, _bits(word >> free, BITS - free)])


def word_of(bits: NDArray[np.uint8]) -> int:
    """The packed 64-bit word whose bits ``word_bits`` gave."""
    value = int.from_bytes(np.packbits(bits).tobytes())
    known = VERSION_BITS + EPOCH_BITS
    return (value & ((1 << known) - 1)) << (BITS - known) | value >> known


def synthesize(
    key: MarkKey, data_class: int, coded: NDArray[np.int8], gains: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """The tile, float32 (128, 128), mean 0 and standard deviation 1.

    ``coded`` (N,) of +1 and -1; ``gains`` (K,) drives single bins harder (1 by default).
    """
    rows, columns, _ = band()
    pilots = pilot_layout(key)
    dimensions = data_layout(key, data_class).spread(coded.astype(np.float32))
    amplitude = data_amplitude() if gains is None else data_amplitude() * gains
    spectrum = np.zeros((TILE, TILE // 2 + 1), dtype=np.complex128)
    spectrum[rows[pilots.data], columns[pilots.data]] = amplitude[pilots.data] * (
        dimensions[0::2] + 1j * dimensions[1::2]
    )
    data = _plane(spectrum)
    spectrum[:] = 0
    spectrum[rows[pilots.bins], columns[pilots.bins]] = np.exp(1j * pilots.phases)
    pilot = _plane(spectrum)
    tile = np.sqrt(1 - PILOT_POWER) * data + np.sqrt(PILOT_POWER) * pilot
    return np.asarray(tile / tile.std(), dtype=np.float32)


def _plane(spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Standardised inverse transform; column 0 is made Hermitian first."""
    full = spectrum.copy()
    column = full[:, 0]
    full[1:, 0] = column[1:] + np.conj(column[1:][::-1])
    plane = np.fft.irfft2(full, s=(TILE, TILE))
    deviation = float(plane.std())
    return np.asarray(plane / deviation if deviation > 0 else plane, dtype=np.float64)


def _bits(value: int, count: int) -> NDArray[np.uint8]:
    return np.array([value >> shift & 1 for shift in range(count - 1, -1, -1)], dtype=np.uint8)
