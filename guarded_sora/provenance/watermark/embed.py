"""Writing the mark: pattern of a segment, mask of a frame, sum.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark.informed import SAMPLES, gains
from guarded_sora.provenance.watermark.keys import DATA_CLASSES, MarkKey
from guarded_sora.provenance.watermark.mask import (
    MOST_LEVELS,
    add_to_rgb,
    delta,
    fixed_point,
    luma_of,
    pattern,
    strength,
    visibility,
)
from guarded_sora.provenance.watermark.receive import MIN_SIDE, working_luma
from guarded_sora.provenance.watermark.restraint import Heard, restrained
from guarded_sora.provenance.watermark.tile import CODE, synthesize, word_bits

SEGMENT_SECONDS = 8.0
"""Seconds after which the data key changes. Shorter segments cost a codec more and a reader some pooling."""


def class_at(seconds: float, first: int) -> int:
    """Data class of a moment of a film whose first segment has class ``first``."""
    return (first + int(max(seconds, 0.0) // SEGMENT_SECONDS)) % DATA_CLASSES


_AHEAD_FRAMES = 8
_GAP = 0.125
_AHEAD_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LumaBatch:
    """``frames`` uint8 (T, H, W): luma, upright. ``times`` (T,) seconds. ``origin``: the caller's own."""

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    origin: object = None

    def __len__(self) -> int:
        return len(self.times)


class Embedder:
    """Marks the frames of one film with one payload."""

    def __init__(self, key: MarkKey, payload: MarkPayload, psnr: float) -> None:
        if payload.epoch != key.epoch:
            raise UsageError("The payload's epoch must be the key's; take it from MarkKey.epoch.")
        self._key = key
        self._psnr = self._film_psnr = psnr
        self._cap = MOST_LEVELS
        self._coded = CODE.encode(word_bits(payload, key))
        self._first = key.first_class(payload.id)
        self._cache: tuple[int, tuple[int, int], NDArray[np.int16]] | None = None

    def run(self, frames: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """Marked copies of the batches. Looks ahead at most a second, 8 frames or 64 MB."""
        ahead = _Lookahead(frames)
        while (batch := ahead.next()) is not None:
            marked = np.empty(batch.frames.shape, dtype=np.uint8)
            for index, (frame, time) in enumerate(zip(batch.frames, batch.times, strict=True)):
                seconds = float(time)
                data_class = class_at(seconds, self._first)
                if self._cache is None or self._cache[:2] != (data_class, frame.shape[:2]):
                    self._adapt(data_class, ahead.samples(batch, index), ahead.after(batch, index))
                add_to_rgb(frame, self.levels(luma_of(frame), seconds), marked[index])
            yield FrameBatch(frames=marked, times=batch.times, fps=batch.fps)

    def over_luma(self, frames: Iterable[LumaBatch]) -> Iterator[tuple[LumaBatch, int, NDArray[np.int16]]]:
        """For every frame its batch, its place there, and the levels (H, W) to add to its luma."""
        ahead = _Lookahead(frames)
        while (batch := ahead.next()) is not None:
            for index, (luma, time) in enumerate(zip(batch.frames, batch.times, strict=True)):
                seconds = float(time)
                data_class = class_at(seconds, self._first)
                if self._cache is None or self._cache[:2] != (data_class, luma.shape):
                    self._adapt(data_class, ahead.samples(batch, index), ahead.after(batch, index))
                yield batch, index, self.levels(luma, seconds)

    def _adapt(
        self, data_class: int, samples: list[NDArray[np.uint8]], after: tuple[NDArray[np.uint8], float]
    ) -> None:
        """Prepare the pattern of a segment, and its strength, for what its first second shows.

        ``samples`` begin with the first frame; ``after``: the frame after it, and seconds to there.
        """
        shape = (samples[0].shape[0], samples[0].shape[1])
        _check(shape)
        lumas = [working_luma(_luma(frame)) for frame in samples]
        self._film_psnr = self._psnr - small_picture_allowance(lumas)
        driven = gains(self._key, data_class, self._coded, lumas, self._film_psnr)
        tile = synthesize(self._key, data_class, self._coded, driven.factors)
        laid = pattern(tile, shape)
        colour = _colour(samples[0])
        second, gap = after
        heard = Heard(loudness=driven.loudness, gap=gap)
        self._cap = restrained(_luma(samples[0]), _luma(second), laid, self._film_psnr, colour, heard)
        self._cache = (data_class, shape, laid)

    def mark(self, frame: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
        """uint8 (H, W, 3): one frame with the mark. Raises ``ProvenanceError`` below 48 pixels a side."""
        return add_to_rgb(frame, self.levels(luma_of(frame), seconds))

    def levels(self, luma: NDArray[np.uint8], seconds: float) -> NDArray[np.int16]:
        """int16 (H, W): what to add to the luma of the frame at ``seconds``."""
        height, width = luma.shape
        _check((height, width))
        mask = visibility(luma)
        levels = fixed_point(mask, strength(mask, self._film_psnr), (height, width), self._cap)
        return delta(levels, self._pattern(class_at(seconds, self._first), (height, width)))

    def _pattern(self, data_class: int, shape: tuple[int, int]) -> NDArray[np.int16]:
        if self._cache is None or self._cache[:2] != (data_class, shape):
            tile = synthesize(self._key, data_class, self._coded)
            self._cache = (data_class, shape, pattern(tile, shape))
        return self._cache[2]


def small_picture_allowance(samples: Sequence[NDArray[np.uint8]]) -> float:
    """Decibels below the quality asked for that a small, richly textured picture is given: 0 to 3.

    At 256 lines a tile is seen but a few times and texture drowns it after any re-encoding; the same
    texture hides the stronger mark. Flat pictures and those above 270 lines keep the full quality.
    """
    small = np.clip((270.0 - min(samples[0].shape)) / 14.0, 0.0, 1.0)
    if small == 0.0:
        return 0.0
    texture = float(np.mean([visibility(luma).mean() for luma in samples]))
    return float(3.0 * small * np.clip((texture - 0.8) / 0.4, 0.0, 1.0))


Batch = TypeVar("Batch", FrameBatch, LumaBatch)


class _Lookahead(Generic[Batch]):
    """Batches one by one, with a look at the frames that follow."""

    def __init__(self, frames: Iterable[Batch]) -> None:
        self._source: Iterator[Batch] = iter(frames)
        self._waiting: deque[Batch] = deque()

    def next(self) -> Batch | None:
        """The next batch, or None after the last."""
        if self._waiting:
            return self._waiting.popleft()
        return next(self._source, None)

    def samples(self, batch: Batch, index: int) -> list[NDArray[np.uint8]]:
        """A few frames of the second that begins at frame ``index`` of ``batch``, which is first."""
        start = float(batch.times[index])
        shape = batch.frames.shape[1:]
        found = [
            frame
            for frame, time in zip(batch.frames[index:], batch.times[index:], strict=True)
            if float(time) - start < 1.0
        ]
        limit = max(1, min(_AHEAD_FRAMES, _AHEAD_BYTES // max(batch.frames[index].nbytes, 1)))
        for waiting in self._waiting:
            found += self._fitting(waiting, start, shape)
        while len(found) < limit:
            following = next(self._source, None)
            if following is None:
                break
            self._waiting.append(following)
            more = self._fitting(following, start, shape)
            found += more
            if len(following) and not more:
                break
        chosen = np.unique(np.linspace(0, min(len(found), limit) - 1, SAMPLES).round().astype(int))
        return [found[place] for place in chosen]

    def after(self, batch: Batch, index: int) -> tuple[NDArray[np.uint8], float]:
        """The frame after ``index`` of ``batch`` and the seconds to it, as far as ``samples`` has looked.

        Else that frame itself; an eighth of a second where times do not tell.
        """
        frame, start = batch.frames[index], float(batch.times[index])
        parts: list[Batch] = [batch]
        parts.extend(self._waiting)
        for part in parts:
            place = index + 1 if part is batch else 0
            if len(part) > place:
                following, gap = part.frames[place], float(part.times[place]) - start
                if following.shape != frame.shape:
                    break
                return np.asarray(following, dtype=np.uint8), gap if 0.0 < gap < 10.0 else _GAP
        return np.asarray(frame, dtype=np.uint8), _GAP

    @staticmethod
    def _fitting(
        batch: FrameBatch | LumaBatch, start: float, shape: tuple[int, ...]
    ) -> list[NDArray[np.uint8]]:
        if batch.frames.shape[1:] != shape:
            return []
        return [
            frame for frame, time in zip(batch.frames, batch.times, strict=True) if float(time) - start < 1.0
        ]


def _luma(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return frame if frame.ndim == 2 else luma_of(frame)


def _colour(frame: NDArray[np.uint8]) -> float:
    """Mean distance of the channels from luma in levels; 0 for a luma plane."""
    if frame.ndim == 2:
        return 0.0
    few = np.ascontiguousarray(frame[::8, ::8])
    return float(np.mean(np.abs(few.astype(np.int16) - luma_of(few)[..., None])))


def _check(shape: tuple[int, int]) -> None:
    if min(shape) < MIN_SIDE:
        raise ProvenanceError(f"A film must be at least {MIN_SIDE} pixels a side to carry the mark.")
