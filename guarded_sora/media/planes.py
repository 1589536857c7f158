"""A film as it was coded: luma and chroma planes, 8 or 10 bits, with everything that must not be lost.

Legend: T frames, H height, W width of luma; h, w of chroma.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guarded_sora.media.files import absolute, check_file
from guarded_sora.media.info import MediaLimits
from guarded_sora.media.stream import CHUNK_BYTES, refuse
from guarded_sora.worker import Worker, WorkerFault

PIXEL_FORMATS = {
    "yuv420p": 8,
    "yuv422p": 8,
    "yuv444p": 8,
    "yuv420p10le": 10,
    "yuv422p10le": 10,
    "yuv444p10le": 10,
}
"""What can be carried plane by plane, and its bits. Full-range yuvj formats arrive as these."""

Plane = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneFormat:
    """How a film is coded. Colour numbers are those of ITU-T H.273, 2 where the film says nothing.

    ``turns``: quarter turns clockwise that make the coded picture upright. ``fps`` average rate.
    ``mastering``: ten pairs of numerator and denominator (red, green, blue, white as x and y, least
    and most luminance in cd/m2) or empty. ``light``: MaxCLL and MaxFALL in cd/m2 or empty.
    """

    pixel_format: str
    width: int
    height: int
    fps: float
    turns: int = 0
    colour_range: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    mastering: tuple[tuple[int, int], ...] = ()
    light: tuple[int, ...] = ()

    @property
    def bits(self) -> int:
        return PIXEL_FORMATS[self.pixel_format]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlaneBatch:
    """``luma`` (T, H, W) and ``chroma`` two of (T, h, w): uint8, or uint16 below 1024. ``times`` (T,) s."""

    luma: Plane
    chroma: tuple[Plane, Plane]
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)


class PlaneStream:
    """The planes of a film, decoded in the worker, as often as they are asked for; memory stays flat.

    Raises MediaError on first use where the film cannot be carried this way: another pixel format,
    pixels that are not square, a size that changes.
    """

    def __init__(self, path: Path, worker: Worker, *, limits: MediaLimits | None = None) -> None:
        self.path = absolute(path)
        self._worker = worker
        self._limits = limits or MediaLimits()

    @cached_property
    def format(self) -> PlaneFormat:
        """How the film is coded; read on first use."""
        with closing(self._items()) as items:  # type: ignore[type-var]
            first = next(items)
        assert isinstance(first, PlaneFormat)
        return first

    def __iter__(self) -> Iterator[PlaneBatch]:
        with closing(self._items()) as items:  # type: ignore[type-var]
            for item in items:
                if isinstance(item, PlaneBatch):
                    yield item

    def _items(self) -> Iterator[PlaneFormat | PlaneBatch | None]:
        check_file(self.path, max_bytes=self._limits.max_bytes)
        try:
            yield from self._worker.stream(
                "guarded_sora.media.decode_planes:decode_planes",
                self.path,
                limits=self._limits,
                chunk_bytes=CHUNK_BYTES,
                deadline_per_item=self._limits.chunk_seconds,
                stage="decode",
            )
        except WorkerFault as fault:
            refuse(self.path, fault)
