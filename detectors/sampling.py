"""Which frames of a film a slow network looks at: a steady grid, plus whatever differs from it.

A grid alone misses a flash that falls between two of its frames. So every interval of the grid also
yields the frame least like the one the grid took (a scene cut, a flash) and the one that moved most,
where either stands out. ``benchmarks/sampling.py`` measures what that costs and what it still misses.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch

RATE = 4.0
"""Frames a second of the grid: its step of 0.25 s lets no flash of 0.3 s through, whatever else moves."""

STANDS_OUT = 10.0
"""Mean absolute difference of two thumbnails (0 to 255) from which a frame counts as another picture."""

_SIDE = 16

Why = Literal["grid", "change", "motion"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """One frame to look at: uint8 (H, W, 3) sRGB, its time in seconds, and why it was taken."""

    frame: NDArray[np.uint8]
    time: float
    why: Why


def looks(
    batches: Iterable[FrameBatch],
    *,
    rate: float = RATE,
    stands_out: float = STANDS_OUT,
    most_extra: int = 2,
) -> Iterator[Look]:
    """The frames of ``batches`` to look at, in one pass, interval by interval; holds three of them.

    Within an interval the order is grid, then change, then motion, so times may step back. Frames
    without a finite time are left out. ``stands_out`` of infinity leaves the grid alone. ``most_extra``:
    how many looks an interval may have besides the grid's, 0 to 2; the change comes before the motion.
    """
    interval: _Interval | None = None
    before: NDArray[np.int16] | None = None
    for batch in batches:
        for frame, moment in zip(batch.frames, batch.times, strict=True):
            time = float(moment)
            if not math.isfinite(time) or frame.size == 0:
                continue
            small = _thumbnail(frame)
            number = math.floor(time * rate + 1e-6)
            if interval is None or number != interval.number:
                if interval is not None:
                    yield from islice(interval.outstanding(stands_out), most_extra)
                interval = _Interval(number, small)
                yield Look(frame=frame, time=time, why="grid")
            else:
                interval.offer(frame, time, small, before)
            before = small
    if interval is not None:
        yield from islice(interval.outstanding(stands_out), most_extra)


class _Interval:
    """What one interval of the grid has shown so far."""

    def __init__(self, number: int, first: NDArray[np.int16]) -> None:
        self.number = number
        self._first = first
        self._change: tuple[float, Look] | None = None
        self._motion: tuple[float, Look] | None = None

    def offer(
        self,
        frame: NDArray[np.uint8],
        time: float,
        small: NDArray[np.int16],
        before: NDArray[np.int16] | None,
    ) -> None:
        change = _difference(small, self._first)
        if self._change is None or change > self._change[0]:
            self._change = change, Look(frame=frame, time=time, why="change")
        motion = _difference(small, before) if before is not None else 0.0
        if self._motion is None or motion > self._motion[0]:
            self._motion = motion, Look(frame=frame, time=time, why="motion")

    def outstanding(self, stands_out: float) -> Iterator[Look]:
        taken = -1.0
        if self._change is not None and self._change[0] >= stands_out:
            taken = self._change[1].time
            yield self._change[1]
        if self._motion is not None and self._motion[0] >= stands_out and self._motion[1].time != taken:
            yield self._motion[1]


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.int16]:
    return np.asarray(cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), dtype=np.int16)


def _difference(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    return float(np.abs(a - b).mean())
