"""The windows of a film, cut while another reader passes over it: only a part of each picture is needed.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic.blocks import MOST_WINDOWS, Cutter, Spot, Window
from guarded_sora.detectors.synthetic.features import SIDE

_SLACK = 4  # windows more than its length lets expect, as files round it


class Cuttings:
    """Holds about ``MOST_WINDOWS`` windows of one film, as bytes, however long it is.

    ``cutter`` tells what was seen of the film. ``part`` is where in the picture the blocks lie: top, left,
    height and width, None where it is too small for one.
    """

    def __init__(self, first: FrameBatch, *, every: int) -> None:
        """``first`` holds the first whole picture; ``every`` keeps one window of so many."""
        self.cutter = Cutter(every=every)
        self.cutter.look(first.frames[0])
        self.part: tuple[int, int, int, int] | None = None
        self._origin = Spot(top=0, left=0)
        if spots := self.cutter.spots:
            top, left = min(spot.top for spot in spots), min(spot.left for spot in spots)
            bottom = max(spot.top for spot in spots) + SIDE
            right = max(spot.left for spot in spots) + SIDE
            self.part = (top, left, bottom - top, right - left)
            self._origin = Spot(top=top, left=left)
        self._windows: list[Window] = []
        self.whole = True
        """False where the film is longer than it said, so that not all its windows are held."""

    def add(self, part: FrameBatch) -> None:
        """The next frames of the film, only ``part`` of their pictures: uint8 (T, height, width, 3)."""
        for window in self.cutter.windows_of_part(part, self._origin):
            if len(self._windows) == MOST_WINDOWS + _SLACK:
                self.whole = False
                return
            # Brightness is whole numbers: nothing is lost, and four times as many fit.
            blocks = tuple(block.astype(np.uint8) for block in window.blocks)
            self._windows.append(replace(window, blocks=blocks))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Window]:
        for window in self._windows:
            yield replace(window, blocks=tuple(block.astype(np.float32) for block in window.blocks))


__all__ = ["Cuttings"]
