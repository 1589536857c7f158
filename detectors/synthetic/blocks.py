"""Cuts a film into the blocks that are measured, and says when a film cannot be judged at all.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic.features import FRAMES, SIDE, Block

SAMPLE_FPS = 8.0
LEAST_FPS = 7.5
"""Below it nothing is said: a low rate alone tells collections of generated films from others."""
MOST_WINDOWS = 40
_DARK, _STILL = 24.0, 0.25
_FINE = 0.5
QUALITIES = ("fine", "coarse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a block lies in the picture: its top left corner in pixels."""

    top: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """Nine frames at one place in time: ``blocks`` stand at ``spots``; ``start`` and ``end`` in seconds."""

    start: float
    end: float
    spots: tuple[Spot, ...]
    blocks: tuple[Block, ...]

    @property
    def still(self) -> bool:
        """Whether nothing moves: a still picture tells nothing about a film."""
        return all(float(np.abs(np.diff(block, axis=0)).mean()) < _STILL for block in self.blocks)


@dataclass(slots=True)
class Cutter:
    """Cuts one film into windows, in one pass; memory does not grow with its length.

    ``every`` keeps one window of so many. ``whole`` puts blocks all over the picture, for a heat map.
    What was seen of the film on the way stands in the attributes afterwards.
    """

    every: int = 1
    whole: bool = False
    width: int = 0
    height: int = 0
    frames: int = 0
    content: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, bottom, left, right of the picture without black bars."""
    spots: tuple[Spot, ...] = ()
    _count: int = 0
    _held: list[NDArray[np.uint8]] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)

    def windows(self, batches: Iterable[FrameBatch]) -> Iterator[Window]:
        """The windows of a film whose frames come at 8 a second or fewer, in order.

        May be called again with the frames that follow.
        """
        for batch in batches:
            for frame, time in zip(batch.frames, batch.times, strict=True):
                if not self.width:
                    self.look(frame)
                yield from self._next(frame, float(time), Spot(top=0, left=0))

    def windows_of_part(self, batch: FrameBatch, origin: Spot) -> Iterator[Window]:
        """The same from frames that hold only a part of the picture, which begins at ``origin`` and holds
        all ``spots``. The first whole picture must have been looked at."""
        for frame, time in zip(batch.frames, batch.times, strict=True):
            yield from self._next(frame, float(time), origin)

    def _next(self, frame: NDArray[np.uint8], time: float, origin: Spot) -> Iterator[Window]:
        self.frames += 1
        if not self.spots:
            return
        if self._count % self.every == 0:
            self._held.append(np.stack([self._grey(frame, spot, origin) for spot in self.spots]))
        self._times.append(time)
        if len(self._times) == FRAMES:
            if self._held:
                yield self._window()
            self._count += 1
            self._held, self._times = [], []

    def look(self, frame: NDArray[np.uint8]) -> None:
        """Choose the spots by the first whole picture."""
        self.height, self.width = frame.shape[:2]
        self.content = content_box(frame)
        top, bottom, left, right = self.content
        places = all_spots if self.whole else middle_spots
        self.spots = tuple(
            Spot(top=top + spot.top, left=left + spot.left) for spot in places(bottom - top, right - left)
        )

    def _grey(self, frame: NDArray[np.uint8], spot: Spot, origin: Spot) -> NDArray[np.uint8]:
        top, left = spot.top - origin.top, spot.left - origin.left
        part = frame[top : top + SIDE, left : left + SIDE]
        return cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]

    def _window(self) -> Window:
        films = np.stack(self._held).astype(np.float32)
        return Window(
            start=self._times[0],
            end=self._times[-1],
            spots=self.spots,
            blocks=tuple(films[:, number] for number in range(len(self.spots))),
        )


def spacing(seconds: float, fps: float) -> int:
    """One of how many windows is kept of a film, so that at most ``MOST_WINDOWS`` are."""
    return max(1, math.ceil(seconds * min(fps, SAMPLE_FPS) / FRAMES / MOST_WINDOWS))


def middle_spots(height: int, width: int) -> tuple[Spot, ...]:
    """One block in the middle; two, diagonally, where there is room for four; none in a smaller picture.

    They lie on the eight-pixel lattice of the codecs.
    """
    if min(height, width) < SIDE:
        return ()
    rows, columns = _starts(height), _starts(width)
    first, last = Spot(top=rows[0], left=columns[0]), Spot(top=rows[-1], left=columns[-1])
    return (first,) if first == last else (first, last)


def all_spots(height: int, width: int) -> tuple[Spot, ...]:
    """Blocks side by side over the whole picture."""
    rows, columns = range(0, height - SIDE + 1, SIDE), range(0, width - SIDE + 1, SIDE)
    return tuple(Spot(top=row, left=column) for row in rows for column in columns)


def _starts(length: int) -> tuple[int, ...]:
    if length < 2 * SIDE:
        return ((length - SIDE) // 2 // 8 * 8,)
    return (length // 2 // 8 * 8 - SIDE, length // 2 // 8 * 8)


def content_box(frame: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is not a black bar; the whole frame where it is all dark."""
    rows = np.flatnonzero(frame.max((1, 2)) > _DARK)
    columns = np.flatnonzero(frame.max((0, 2)) > _DARK)
    height, width = frame.shape[:2]
    if not len(rows) or not len(columns):
        return 0, height, 0, width
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def quality_class(share_flat: float) -> str:
    """``fine`` or ``coarse``, by the share of pixels without fine detail (``noise_flat``)."""
    return "fine" if share_flat < _FINE else "coarse"


def gate(*, width: int, height: int, fps: float, seconds: float) -> str:
    """Why a film cannot be judged, in one clause; empty when it can. From its size, rate and length."""
    if min(width, height) < SIDE:
        return f"its short side has fewer than {SIDE} pixels"
    if fps < LEAST_FPS:
        return f"it has fewer than {LEAST_FPS:g} frames a second"
    if seconds * min(fps, SAMPLE_FPS) < FRAMES - 0.5:
        return f"it is shorter than {FRAMES / SAMPLE_FPS:.1f} s"
    return ""


__all__ = [
    "LEAST_FPS",
    "MOST_WINDOWS",
    "QUALITIES",
    "SAMPLE_FPS",
    "Cutter",
    "Spot",
    "Window",
    "all_spots",
    "content_box",
    "gate",
    "middle_spots",
    "quality_class",
    "spacing",
]
