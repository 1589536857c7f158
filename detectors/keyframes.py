"""Parts of registered pictures inside other pictures: crops, turns, insets, overlays.

A hash of the whole frame changes when the frame does. Local features move along: corners and blobs
are described by the gradients around them (SIFT: Lowe, "Distinctive image features from
scale-invariant keypoints", 2004), and of each of the 128 numbers only whether it lies above their
median is kept. Features that agree must also agree on one affine map (RANSAC: Fischler and Bolles,
1981), and laid over each other by that map the two pictures must look alike, cell by cell: a logo, a
font or a label that two films share fits the map, not the picture.

The search is an index in memory: eight bands of 16 bits, and what shares one is compared whole.

Legend: H height, W width, N features.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.fingerprint import (
    BITS,
    CELLS,
    MIN_QUALITY,
    SIDE,
    contrasts,
    hamming,
    hash_picture,
)
from guarded_sora.detectors.frames import FrameBatch

MODEL = "sift-signs-1"
"""Stands with stored features; those of another name are not compared."""

LONGEST_SIDE = 384
"""Pixels of the longer side at which pictures are described."""

KEPT_FEATURES = 300
LOOKED_FEATURES = 800
"""Of a registered picture, and of one that is looked at, where a copy may fill a part only."""

SAME_FEATURE = 28
"""Of 128 bits, up to which two features count as the same; unrelated ones differ in about 64."""

LEAST_AGREEING = 12
"""Features that must agree on one map. Of 11,772 pairs of films, the one of strangers that was taken for a
copy (drawn figures on black) had ten."""

SAME_CELLS = 64
"""Of 256: how much of what both pictures show may look different, as for cells under a mark's placement."""

MOST_KEYFRAMES = 5_000
"""Registered pictures up to which they are searched: 130 megabytes, 130 ms of CPU a look."""

_LEAST_CELLS = 20
_LEAST_VOTES = 3
_SHORTLIST = 8
_BANDS = 8
_COMMON = 256
_HEAD = struct.Struct("<HHI32sH")
_POINT = 64.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keyframe:
    """What is kept of one picture: ``points`` float32 (N, 2) in a picture of ``width`` x ``height``, ``bits``
    uint64 (N, 2), ``cells`` 32 bytes: which of 16 x 16 cells are brighter than those around them."""

    second: float
    width: int
    height: int
    points: NDArray[np.float32]
    bits: NDArray[np.uint64]
    cells: bytes

    def packed(self) -> bytes:
        """For storage; about six kilobytes."""
        head = _HEAD.pack(self.width, self.height, round(self.second * 1000), self.cells, len(self.points))
        return head + np.round(self.points * _POINT).astype("<u2").tobytes() + self.bits.tobytes()


def unpacked(data: bytes) -> Keyframe:
    """What :meth:`Keyframe.packed` wrote. Raises ``ValueError`` for anything else."""
    try:
        width, height, milliseconds, cells, count = _HEAD.unpack_from(data)
    except struct.error as error:
        raise ValueError("these are no features of a picture") from error
    if len(data) != _HEAD.size + count * 20:
        raise ValueError("these are no features of a picture")
    places = np.frombuffer(data, dtype="<u2", count=2 * count, offset=_HEAD.size)
    return Keyframe(
        second=milliseconds / 1000,
        width=width,
        height=height,
        points=(places.astype(np.float32) / _POINT).reshape(-1, 2),
        bits=np.frombuffer(data, dtype=np.uint64, offset=_HEAD.size + 4 * count).reshape(-1, 2),
        cells=cells,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Still:
    """One picture of a film: ``luma`` uint8 (H, W), its longer side at most 384 pixels."""

    second: float
    luma: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A registered picture seen in another: ``owner`` as it was indexed, ``agreeing`` features, ``distance``
    0 to 256 between cells, ``scale`` of the copy (1 = the same share of the frame), ``mirrored``."""

    owner: int
    second: float
    agreeing: int
    distance: float
    scale: float
    mirrored: bool


class Stills:
    """Passes a film on, and keeps one picture of each second on the way, at most ``most`` evenly spread."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._every = 1
        self._due = -math.inf
        self._kept: list[Still] = []

    def watching(self, frames: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """The same batches, looked at as they pass."""
        for batch in frames:
            for frame, moment in zip(batch.frames, batch.times, strict=True):
                time = float(moment)
                if math.isfinite(time) and time >= self._due and frame.size:
                    self._keep(frame, time)
            yield batch

    def taken(self) -> Sequence[Still]:
        """What was kept, in order of time."""
        return self._kept

    def _keep(self, frame: NDArray[np.uint8], time: float) -> None:
        # The first picture, then the middle of each second, which is what its hash describes.
        self._due = math.floor(time + 0.5) + self._every - 0.5
        self._kept.append(Still(second=time, luma=_luma(frame)))
        if len(self._kept) > self._most:
            self._kept = self._kept[::2]
            self._every *= 2


def describe(still: Still, *, features: int = KEPT_FEATURES) -> Keyframe:
    """The strongest ``features`` of a picture."""
    # Half of the usual contrast bound: films are softer than photographs.
    sift = cv2.SIFT.create(nfeatures=features, contrastThreshold=0.02)
    found, numbers = sift.detectAndCompute(still.luma, None)
    height, width = still.luma.shape
    if numbers is None:
        found, numbers = (), np.zeros((0, 128), dtype=np.float32)
    signs = numbers > np.median(numbers, axis=1, keepdims=True) if len(numbers) else numbers > 0
    return Keyframe(
        second=still.second,
        width=width,
        height=height,
        points=np.array([point.pt for point in found], dtype=np.float32).reshape(-1, 2),
        bits=np.packbits(signs, axis=1).view(np.uint64).reshape(-1, 2),
        cells=np.packbits((_contrasts(still.luma) > 0).ravel()).tobytes(),
    )


def telling_stills(stills: Sequence[Still], *, changed: int = 40, seconds: float = 4.0) -> list[Still]:
    """Those worth registering: busy enough to tell, and unlike the last one kept in more than ``changed`` of
    256 bits of its hash, or some ``seconds`` later."""
    kept: list[Still] = []
    last = b""
    for still in stills:
        own = hash_picture(np.repeat(still.luma[..., None], 3, axis=2))
        if own.quality < MIN_QUALITY:
            continue
        if not kept or hamming(own.bits, last) > changed or still.second - kept[-1].second >= seconds:
            kept.append(still)
            last = own.bits
    return kept


class KeyframeIndex:
    """Registered pictures, searched by their features. ``owners[i]`` says whose ``keyframes[i]`` is."""

    def __init__(self, keyframes: Sequence[Keyframe], owners: Sequence[int]) -> None:
        self._keyframes = keyframes
        self._owners = owners
        counts = [len(item.bits) for item in keyframes]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._frame = np.repeat(np.arange(len(keyframes), dtype=np.int32), counts)
        self._bits = (
            np.concatenate([item.bits for item in keyframes])
            if keyframes
            else np.zeros((0, 2), dtype=np.uint64)
        )
        bands = self._bits.view(np.uint16).reshape(-1, _BANDS)
        self._orders = [np.argsort(bands[:, band], kind="stable").astype(np.int32) for band in range(_BANDS)]
        self._values = [bands[order, band] for band, order in enumerate(self._orders)]

    def __len__(self) -> int:
        return len(self._keyframes)

    def shown(self, still: Still) -> list[Shown]:
        """The registered pictures of which ``still`` shows a part, mirrored or not; the surest first."""
        looked = describe(still, features=LOOKED_FEATURES)
        if not len(looked.bits) or not len(self._bits):
            return []
        found = [*self._shown(looked, still.luma, mirrored=False)]
        luma = np.ascontiguousarray(still.luma[:, ::-1])
        found += self._shown(_mirrored(looked), luma, mirrored=True)
        return sorted(found, key=lambda item: -item.agreeing)

    def _shown(self, looked: Keyframe, luma: NDArray[np.uint8], *, mirrored: bool) -> Iterator[Shown]:
        for number in self._shortlist(looked.bits):
            kept = self._keyframes[number]
            placed = _placed(kept, looked)
            if placed is None:
                continue
            matrix, agreeing = placed
            distance = _distance(kept, luma, matrix)
            if distance > SAME_CELLS:
                continue
            across = math.sqrt(abs(np.linalg.det(matrix[:, :2]))) * kept.width / looked.width
            yield Shown(
                owner=self._owners[number],
                second=kept.second,
                agreeing=agreeing,
                distance=distance,
                scale=across,
                mirrored=mirrored,
            )

    def _shortlist(self, bits: NDArray[np.uint64]) -> list[int]:
        """The pictures with which the most features agree, at least three."""
        bands = bits.view(np.uint16).reshape(-1, _BANDS)
        votes: list[NDArray[np.int64]] = []
        for band in range(_BANDS):
            values, order = self._values[band], self._orders[band]
            first = np.searchsorted(values, bands[:, band], side="left")
            count = np.searchsorted(values, bands[:, band], side="right") - first
            # A value that many share says little and costs most.
            count[count > _COMMON] = 0
            asked = np.repeat(np.arange(len(bits)), count)
            offset = np.arange(len(asked)) - np.repeat(np.cumsum(count) - count, count)
            rows = order[first[asked] + offset]
            near = np.bitwise_count(self._bits[rows] ^ bits[asked]).sum(axis=1) <= SAME_FEATURE
            votes.append(self._frame[rows[near]].astype(np.int64) * len(bits) + asked[near])
        # The same pair may share several bands.
        pairs = np.unique(np.concatenate(votes))
        tally = np.bincount(pairs // len(bits), minlength=len(self._keyframes))
        best = np.argsort(-tally, kind="stable")[:_SHORTLIST]
        return [int(number) for number in best if tally[number] >= _LEAST_VOTES]


def _placed(kept: Keyframe, looked: Keyframe) -> tuple[NDArray[np.float64], int] | None:
    """The affine map (2, 3) from places in ``kept`` to places in ``looked``, and how many features agree."""
    every = np.bitwise_count(looked.bits[:, None] ^ kept.bits[None]).sum(axis=2, dtype=np.uint16)
    nearest = every.argmin(axis=1)
    close = every[np.arange(len(nearest)), nearest] <= SAME_FEATURE
    if np.count_nonzero(close) < LEAST_AGREEING:
        return None
    source, target = kept.points[nearest[close]], looked.points[close]
    matrix, agreeing = cv2.estimateAffine2D(source, target, ransacReprojThreshold=4.0, maxIters=2000)
    if matrix is None:
        return None
    # One point described for several directions is one witness.
    witnesses = len(np.unique(np.round(source[agreeing.ravel() > 0]), axis=0))
    if witnesses < LEAST_AGREEING:
        return None
    stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if stretch[1] < 0.1 or stretch[0] > 8.0 or stretch[0] > 2.0 * stretch[1]:
        return None
    if np.linalg.det(matrix[:, :2]) <= 0:
        return None
    return np.asarray(matrix, dtype=np.float64), witnesses


def _distance(kept: Keyframe, luma: NDArray[np.uint8], matrix: NDArray[np.float64]) -> float:
    """How much of what both show looks different, 0 to 256; 256 where they share too little."""
    size = (kept.width, kept.height)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(luma, matrix, size, flags=flags)
    cover = cv2.warpAffine(np.ones(luma.shape, dtype=np.float32), matrix, size, flags=flags)
    shown = cv2.resize(cover, (CELLS, CELLS), interpolation=cv2.INTER_AREA) > 0.95
    # A cell is judged by the nine around it; at the frame's own edge the border is repeated.
    whole = cv2.blur(shown.astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE) > 0.99
    difference = _contrasts(np.asarray(laid, dtype=np.uint8))
    # Plain ground says nothing, however much of it there is.
    if np.count_nonzero(whole & (np.abs(difference) > 1.0)) < _LEAST_CELLS:
        return float(BITS)
    weights = np.minimum(np.abs(difference), 8.0) * whole
    total = float(weights.sum())
    signs = np.unpackbits(np.frombuffer(kept.cells, dtype=np.uint8)).reshape(CELLS, CELLS) > 0
    return BITS * float(weights[(difference > 0) != signs].sum()) / total


def _contrasts(luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = cv2.resize(luma.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return contrasts(np.asarray(small, dtype=np.float64))


def _luma(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    factor = LONGEST_SIDE / max(height, width)
    if factor < 1.0:
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _mirrored(looked: Keyframe) -> Keyframe:
    """The features of the mirrored picture: places swap sides, and so do the parts of each description."""
    bits = np.unpackbits(looked.bits.view(np.uint8).reshape(-1, 16), axis=1)
    bits = np.packbits(np.ascontiguousarray(bits[:, _mirror()]), axis=1)
    points = looked.points.copy()
    points[:, 0] = looked.width - 1 - points[:, 0]
    return Keyframe(
        second=looked.second,
        width=looked.width,
        height=looked.height,
        points=points,
        bits=bits.view(np.uint64).reshape(-1, 2),
        cells=looked.cells,
    )


@lru_cache(maxsize=1)
def _mirror() -> NDArray[np.int64]:
    """A description is 4 x 4 places with 8 directions each, along the feature's own direction: in a mirror
    the rows across it change places and every turn goes the other way."""
    places = np.arange(128).reshape(4, 4, 8)
    return np.ascontiguousarray(places[::-1][:, :, (-np.arange(8)) % 8]).ravel()
