"""Perceptual fingerprints: one 256-bit hash of every second of film.

The hash is of the PDQ class, written from its published description (Facebook, "The TMK+PDQF
video-hashing algorithm and the PDQ image-hashing algorithm", 2019): luma, smoothed and sampled to
64 x 64, the 16 x 16 lowest cosine frequencies without the constant, one bit each for lying above
their median. A second is hashed as the mean of its pictures, which forgives other frame rates
and cuts of a fraction of a second.

Frequencies of the whole picture change when it is cropped. Each hash therefore also carries 16 x 16
``cells``: one bit each for being brighter than the cells around it. Where a mark has told how the
picture was cropped, the cells that are left can be compared one by one.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch

SIDE = 64
FREQUENCIES = 16
BITS = FREQUENCIES * FREQUENCIES
CELLS = 16

SAME = 60
"""Hamming distance up to which two seconds count as the same content. See ``docs/watermark.md``."""

MIN_QUALITY = 20
"""Below this quality (of 100) a hash says little: black, white, or a bare gradient."""

PLACED_SAME = 64
"""The same for cells compared under a known placement: a quarter of what is seen may differ."""

_PLACED_CELLS = 40
_PLACED_CONTRAST = 0.25
_FRAMES_PER_SECOND = 8.0

Placement = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Where a copy lies: from places in the original to places in the copy, both 0 to 1 across the frame.

``((xx, xy, x0), (yx, yy, y0))``: x' = xx * x + xy * y + x0, y' = yx * x + yy * y + y0.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondHash:
    """``second``: where the hashed second begins. ``bits``: 32 bytes. ``quality``: 0 (flat) to 100.

    ``cells``: 32 bytes, row by row, or empty for hashes made without them.
    """

    second: float
    bits: bytes
    quality: int
    cells: bytes = b""

    def __post_init__(self) -> None:
        if len(self.bits) != BITS // 8 or len(self.cells) not in (0, BITS // 8):
            raise ValueError(f"a hash has {BITS // 8} bytes, not {len(self.bits)} and {len(self.cells)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FingerprintMatch:
    """How much of film ``a`` is found in film ``b``.

    ``matched_seconds`` of ``usable_seconds`` hashes of ``a`` have a like one in ``b``; ``similarity`` is
    their share, 0 to 1. ``offset``: seconds to add to a time in ``a`` to find it in ``b``, None without
    a match. ``flipped``: ``a`` is mirrored. ``distance``: mean Hamming distance of what matched, or of
    the nearest second of all where nothing did. ``flat``: no hash of ``a`` or of ``b`` was good enough,
    so poor ones were compared: a match then means little.
    """

    matched_seconds: int
    usable_seconds: int
    similarity: float
    offset: float | None = None
    flipped: bool = False
    distance: float = float(BITS)
    flat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SecondPicture:
    """The mean picture of one second: ``luma`` float64 (64, 64), 0 to 255, the whole frame squeezed in."""

    second: float
    luma: NDArray[np.float64]


def fingerprint(frames: Iterable[FrameBatch]) -> tuple[SecondHash, ...]:
    """Hashes of the seconds of a film, in order; a clip shorter than a second has one.

    One pass; holds one picture of 64 x 64. Frames without a finite time are left out.
    """
    hasher = Hasher()
    for batch in frames:
        hasher.add(batch)
    return hasher.finish()


def pictures(frames: Iterable[FrameBatch]) -> Iterator[SecondPicture]:
    """The mean picture of every second, from which hashes are made."""
    seconds = _Seconds()
    for batch in frames:
        yield from seconds.add(batch)
    yield from seconds.finish()


class Hasher:
    """Hashes of a film whose batches come one by one, for a reader that others share a pass with."""

    def __init__(self) -> None:
        self._seconds = _Seconds()
        self._hashes: list[SecondHash] = []

    def add(self, batch: FrameBatch) -> None:
        """The next frames of the film."""
        self._hashes += [_hash(item.luma, item.second) for item in self._seconds.add(batch)]

    def finish(self) -> tuple[SecondHash, ...]:
        """All hashes, once the film has ended."""
        self._hashes += [_hash(item.luma, item.second) for item in self._seconds.finish()]
        return tuple(self._hashes)


class _Seconds:
    """Gathers frames into the mean pictures of their seconds."""

    def __init__(self) -> None:
        self._total = np.zeros((SIDE, SIDE), dtype=np.float64)
        self._count, self._current, self._due = 0, 0, -math.inf

    def add(self, batch: FrameBatch) -> Iterator[SecondPicture]:
        for frame, moment in zip(batch.frames, batch.times, strict=True):
            time = float(moment)
            if not math.isfinite(time) or frame.size == 0:
                continue
            second = max(math.floor(time + 1e-6), self._current)
            if second != self._current:
                yield from self.finish()
                self._current, self._due = second, -math.inf
            if time < self._due:
                continue
            self._due = time + 0.9 / _FRAMES_PER_SECOND
            self._total += _thumbnail(frame)
            self._count += 1

    def finish(self) -> Iterator[SecondPicture]:
        if self._count:
            yield SecondPicture(second=float(self._current), luma=self._total / self._count)
        self._total[:], self._count = 0.0, 0


def hash_picture(frame: NDArray[np.uint8]) -> SecondHash:
    """The hash of one picture, uint8 (H, W, 3), as second 0."""
    return _hash(_thumbnail(frame), 0.0)


def hamming(a: bytes, b: bytes) -> int:
    """Number of bits in which two hashes differ. Raises ``ValueError`` for other lengths than 32 bytes."""
    if len(a) != BITS // 8 or len(b) != BITS // 8:
        raise ValueError(f"hashes have {BITS // 8} bytes")
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def mirrored(bits: bytes) -> bytes:
    """The hash of the picture mirrored left to right: odd horizontal frequencies change their sign."""
    return (int.from_bytes(bits) ^ int.from_bytes(_mirror_mask())).to_bytes(BITS // 8)


def to_pdq(bits: bytes) -> str:
    """The hash in the order in which PDQ tools write theirs: 64 hexadecimal digits, last frequency first."""
    if len(bits) != BITS // 8:
        raise ValueError(f"a hash has {BITS // 8} bytes, not {len(bits)}")
    return _reversed(bits).hex()


def from_pdq(text: str) -> bytes:
    """The 32 bytes of a hash that a PDQ tool wrote. Raises ``ValueError`` for anything else."""
    cleaned = text.strip()
    if len(cleaned) != BITS // 4:
        raise ValueError(f"a PDQ hash has {BITS // 4} hexadecimal digits, not {len(cleaned)}")
    return _reversed(bytes.fromhex(cleaned))


def match(
    a: Sequence[SecondHash], b: Sequence[SecondHash], same: int = SAME, min_quality: int = MIN_QUALITY
) -> FingerprintMatch:
    """How much of ``a`` is in ``b``, whatever the order of its seconds; ``a`` may be mirrored."""
    good_a = [item for item in a if item.quality >= min_quality]
    good_b = [item for item in b if item.quality >= min_quality]
    flat = bool(a and b) and not (good_a and good_b)
    if flat:
        good_a, good_b = list(a), list(b)
    if not good_a or not good_b:
        return FingerprintMatch(matched_seconds=0, usable_seconds=len(good_a), similarity=0.0)
    best: FingerprintMatch | None = None
    for flipped in (False, True):
        found = _compare(good_a, good_b, same, flipped=flipped, flat=flat)
        if best is None or (found.matched_seconds, -found.distance) > (best.matched_seconds, -best.distance):
            best = found
    assert best is not None
    return best


def match_placed(
    a: Sequence[SecondPicture], b: Sequence[SecondHash], placements: Sequence[Placement]
) -> FingerprintMatch:
    """How much of film ``a``, a cropped or turned copy, is in film ``b``, given where it may lie.

    Only the cells of ``b`` that ``a`` still shows are compared, each weighted by how clearly ``a``
    shows it. ``distance`` is on the scale of ``match``: 256 times the share of cells that differ.
    With several placements the best one counts, and chance is allowed for by ``PLACED_SAME``.
    """
    references = [(item, _cell_signs(item.cells)) for item in b if item.cells]
    best = FingerprintMatch(matched_seconds=0, usable_seconds=len(a), similarity=0.0)
    if not references:
        return best
    for placement in placements:
        matched, distances, offsets, nearest = 0, [], [], float(BITS)
        for picture in a:
            contrast, seen = _placed(picture.luma, placement)
            weights = np.minimum(np.abs(contrast), 8.0) * seen
            total = float(weights.sum())
            if seen.sum() < _PLACED_CELLS or total < _PLACED_CONTRAST * seen.sum():
                continue
            shares = [float(weights[(contrast > 0) != signs].sum()) / total for _, signs in references]
            place = int(np.argmin(shares))
            nearest = min(nearest, BITS * shares[place])
            if BITS * shares[place] <= PLACED_SAME:
                matched += 1
                distances.append(BITS * shares[place])
                offsets.append(references[place][0].second - picture.second)
        found = FingerprintMatch(
            matched_seconds=matched,
            usable_seconds=len(a),
            similarity=matched / max(len(a), 1),
            offset=float(np.median(offsets)) if offsets else None,
            flipped=placement[0][0] < 0,
            distance=float(np.mean(distances)) if distances else nearest,
        )
        if (found.matched_seconds, -found.distance) > (best.matched_seconds, -best.distance):
            best = found
    return best


def _placed(luma: NDArray[np.float64], placement: Placement) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Contrasts (16, 16) of a picture laid where it was in the original, and which cells it shows."""
    (xx, xy, x0), (yx, yy, y0) = placement
    matrix = np.array(
        [
            [xx, xy, SIDE * x0 + 0.5 * (xx + xy) - 0.5],
            [yx, yy, SIDE * y0 + 0.5 * (yx + yy) - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(luma.astype(np.float32), matrix, (SIDE, SIDE), flags=flags)
    shown = cv2.warpAffine(np.ones((SIDE, SIDE), dtype=np.float32), matrix, (SIDE, SIDE), flags=flags)
    side = SIDE // CELLS
    cover = shown.reshape(CELLS, side, CELLS, side).mean(axis=(1, 3))
    cells = laid.reshape(CELLS, side, CELLS, side).mean(axis=(1, 3)) / np.maximum(cover, 1e-6)
    full = (cover > 0.95).astype(np.float64)
    # A cell is judged by the nine around it, so all nine must be in sight; at the frame's own edge
    # the border is repeated, as it was for the original.
    whole = cv2.blur(full, (3, 3), borderType=cv2.BORDER_REPLICATE) > 0.99
    around = cv2.blur(cells.astype(np.float64), (3, 3), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cells - around, dtype=np.float64), np.asarray(whole, dtype=np.bool_)


def _cell_signs(cells: bytes) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(cells, dtype=np.uint8)).reshape(CELLS, CELLS).astype(bool)


def _compare(
    a: Sequence[SecondHash], b: Sequence[SecondHash], same: int, *, flipped: bool, flat: bool
) -> FingerprintMatch:
    rows = _matrix([mirrored(item.bits) if flipped else item.bits for item in a])
    columns = _matrix([item.bits for item in b])
    matched, distances, offsets = 0, [], []
    nearest = float(BITS)
    for item, row in zip(a, rows, strict=True):
        distance = np.bitwise_count(columns ^ row).sum(axis=1)
        smallest = int(distance.min())
        nearest = min(nearest, float(smallest))
        if smallest <= same:
            matched += 1
            distances.append(smallest)
            # Among equal ones (still pictures) the one nearest in time tells the offset.
            ties = np.flatnonzero(distance == smallest)
            gaps = [b[int(tie)].second - item.second for tie in ties]
            offsets.append(min(gaps, key=abs))
    return FingerprintMatch(
        matched_seconds=matched,
        usable_seconds=len(a),
        similarity=matched / len(a),
        offset=float(np.median(offsets)) if offsets else None,
        flipped=flipped,
        distance=float(np.mean(distances)) if distances else nearest,
        flat=flat,
    )


def _reversed(bits: bytes) -> bytes:
    return np.packbits(np.unpackbits(np.frombuffer(bits, dtype=np.uint8))[::-1]).tobytes()


def _matrix(hashes: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(hashes), dtype=np.uint64).reshape(len(hashes), BITS // 64)


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(64, 64) luma 0 to 255, smoothed by two box filters before it is sampled."""
    height, width = frame.shape[:2]
    factor = min(1.0, 512.0 / max(height, width))
    if factor < 1.0:
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    # Window: the picture divided by twice the samples, rounded up, as published.
    window = (max(-(-luma.shape[1] // (2 * SIDE)), 1), max(-(-luma.shape[0] // (2 * SIDE)), 1))
    for _ in range(2):
        luma = np.asarray(cv2.blur(luma, window, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)
    shrink = luma.shape[0] >= SIDE and luma.shape[1] >= SIDE
    mode = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(luma, (SIDE, SIDE), interpolation=mode), dtype=np.float64)


def _hash(picture: NDArray[np.float64], second: float) -> SecondHash:
    basis = _cosines()
    block = basis @ picture @ basis.T
    bits = np.packbits((block > np.median(block)).ravel())
    return SecondHash(
        second=second,
        bits=bits.tobytes(),
        quality=_quality(picture),
        cells=np.packbits((contrasts(picture) > 0).ravel()).tobytes(),
    )


def contrasts(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """(16, 16): how much brighter each cell of a (64, 64) picture is than the 3 x 3 cells around it."""
    cells = picture.reshape(CELLS, SIDE // CELLS, CELLS, SIDE // CELLS).mean(axis=(1, 3))
    around = cv2.blur(cells, (3, 3), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cells - around, dtype=np.float64)


def _quality(picture: NDArray[np.float64]) -> int:
    """0 to 100: how much happens in the picture, from the differences of neighbours in per cent."""
    percent = picture * (100.0 / 255.0)
    steps = [float(np.abs(np.trunc(np.diff(percent, axis=axis))).sum()) for axis in (0, 1)]
    return int(min(sum(steps) / 90.0, 100.0))


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """(16, 64): cosine frequencies 1 to 16 of 64 samples."""
    frequency = np.arange(1, FREQUENCIES + 1)[:, None]
    place = np.arange(SIDE)[None, :]
    return np.asarray(np.sqrt(2.0 / SIDE) * np.cos(np.pi / (2 * SIDE) * frequency * (2 * place + 1)))


@lru_cache(maxsize=1)
def _mirror_mask() -> bytes:
    odd = (np.arange(1, FREQUENCIES + 1) % 2).astype(bool)
    return np.packbits(np.tile(odd, FREQUENCIES)).tobytes()
