"""What one decoded frame is turned into: the whole picture at some size, or a part of it at its own.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.media.colour import ToRgb, is_hdr, matrix_of
from guarded_sora.media.info import Box, MediaInfo

_MARGIN = 16
"""Pixels around a part that are converted with it: more than any filter of the scaler reaches."""
_PLANAR = ("yuv420p", "yuvj420p")
_TICK = Fraction(1, 1000)


class View(Protocol):
    """Turns the decoded frames of one film into pixels of one ``shape``."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) sRGB, upright."""
        ...


class Whole:
    """The whole picture, scaled down (never up) to a shorter side of ``max_short_side``."""

    def __init__(self, info: MediaInfo, max_short_side: int | None) -> None:
        width, height = _target(info, max_short_side)
        self.shape = (height, width)
        self._turns = -info.rotation // 90
        self._convert = ToRgb(height, width) if self._turns % 2 else ToRgb(width, height)

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        return np.rot90(self._convert(frame), self._turns)


class Part:
    """``box`` of the whole picture at its own size: the same pixels, without converting the rest.

    Only upright films of square pixels, even sides, 8 bits and chroma of half size are cut before they
    are converted; of others the whole picture is converted and then cut. A box that reaches over the edge
    is cut there.
    """

    def __init__(self, info: MediaInfo, box: Box) -> None:
        self._top, self._left = min(box.top, info.height - 1), min(box.left, info.width - 1)
        height, width = min(box.height, info.height - self._top), min(box.width, info.width - self._left)
        self.shape = (height, width)
        self._whole = Whole(info, None)
        upright = info.rotation == 0 and info.width % 2 == 0 and info.height % 2 == 0
        self._size = (info.width, info.height) if upright else (0, 0)
        # Even edges, where a sample of chroma begins too.
        self._y, self._x = (max(0, edge - _MARGIN) // 2 * 2 for edge in (self._top, self._left))
        self._down = min(info.height, (self._top + height + _MARGIN + 1) // 2 * 2) - self._y
        self._across = min(info.width, (self._left + width + _MARGIN + 1) // 2 * 2) - self._x
        self._convert = ToRgb(self._across, self._down)
        self._scissors: Graph | None = None
        self._form = ""

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        height, width = self.shape
        plain = (frame.width, frame.height) == self._size and frame.format.name in _PLANAR
        if not plain or is_hdr(frame):
            return self._whole(frame)[self._top : self._top + height, self._left : self._left + width]
        y, x = self._top - self._y, self._left - self._x
        return self._convert(self._cut(frame))[y : y + height, x : x + width]

    def _cut(self, frame: Any) -> Any:
        """The part and its margin. The filter copies nothing and keeps where chroma is sited."""
        if self._scissors is None or self._form != frame.format.name:
            self._form = frame.format.name
            self._scissors = graph = Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
            )
            crop = graph.add("crop", f"{self._across}:{self._down}:{self._x}:{self._y}:exact=1")
            sink = graph.add("buffersink")
            source.link_to(crop)
            crop.link_to(sink)
            graph.configure()
        self._scissors.push(frame)
        part: Any = self._scissors.pull()
        part.colorspace = matrix_of(frame)  # told, so that it is not guessed from the size of the part
        return part


class Chunk:
    """Frames of one film gathered until there are enough to send, seen in every one of ``views``."""

    def __init__(self, views: tuple[View, ...], fps: float, *, chunk_bytes: int, most: int) -> None:
        self._views, self._fps = views, fps
        size = sum(height * width * 3 for height, width in (view.shape for view in views))
        self.room = max(1, min(most, chunk_bytes // size))
        self._begin()

    def _begin(self) -> None:
        self._pixels = [np.empty((self.room, *view.shape, 3), np.uint8) for view in self._views]
        self._times = np.empty(self.room, np.float64)
        self.filled = 0

    def add(self, time: float, frame: Any) -> None:
        for pixels, view in zip(self._pixels, self._views, strict=True):
            pixels[self.filled] = view(frame)
        self._times[self.filled] = time
        self.filled += 1

    def take(self) -> tuple[FrameBatch, ...]:
        """A batch for each view; the chunk is empty afterwards."""
        times = self._times[: self.filled]
        batches = tuple(
            FrameBatch(frames=pixels[: self.filled], times=times, fps=self._fps) for pixels in self._pixels
        )
        self._begin()
        return batches


def _target(info: MediaInfo, max_short_side: int | None) -> tuple[int, int]:
    short = min(info.width, info.height)
    if max_short_side is None or short <= max_short_side:
        return info.width, info.height
    scale = max_short_side / short
    return max(1, round(info.width * scale)), max(1, round(info.height * scale))
