"""A film cut into quarter seconds of whitened picture, a bounded piece of film at a time.

Legend: h, w working size; S slots of a piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.watermark.receive import MIN_SIDE, whiten, working_luma

SLOT_SECONDS = 0.25
PIECE_SECONDS = 16.0
ANALYSED_FPS = 8.0
"""Frames of a second that are looked at. Neighbouring frames say nearly the same."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """``planes``: one sum of whitened frames, float32 (h, w), for each slot from ``start`` on.

    None for a slot without a frame. ``end``: end of the last frame, seconds.
    """

    start: float
    end: float
    planes: tuple[NDArray[np.float32] | None, ...]
    frames: int

    @property
    def total(self) -> NDArray[np.float32]:
        """Sum over all slots."""
        present = [plane for plane in self.planes if plane is not None]
        return np.asarray(np.sum(present, axis=0), dtype=np.float32)


def pieces(frames: Iterable[FrameBatch], limit: float = ANALYSED_FPS) -> Iterator[Piece]:
    """The film in pieces of 16 s; memory does not grow with its length.

    Raises ``ProvenanceError`` where the frame size changes or a time is no number.
    """
    gatherer: _Gatherer | None = None
    size: tuple[int, int] | None = None
    due = -math.inf
    latest = -math.inf
    for batch in frames:
        if len(batch) == 0:
            continue
        height, width = batch.frames.shape[1:3]
        if size is None:
            size = (height, width)
        elif size != (height, width):
            raise ProvenanceError("The frames change their size; read each part of the film on its own.")
        if min(size) < MIN_SIDE:
            return
        length = 1.0 / batch.fps if math.isfinite(batch.fps) and batch.fps > 0 else 0.0
        for frame, moment in zip(batch.frames, batch.times, strict=True):
            time = float(moment)
            if not math.isfinite(time):
                raise ProvenanceError("A frame has no time; decode the film again with its time stamps.")
            # Times that run backwards belong to damaged files: keep their pictures, not their order.
            latest = time = max(time, latest)
            if gatherer is not None and time - gatherer.start >= PIECE_SECONDS:
                yield gatherer.finish()
                gatherer = None
            if gatherer is None:
                gatherer = _Gatherer(time)
            gatherer.end = time + length
            # A tenth of a frame of slack keeps 8 frames a second from becoming 4.
            if time + 0.1 * length < due:
                continue
            due = max(due + 1.0 / limit, time + 0.5 / limit)
            gatherer.add(time, whiten(working_luma(frame)))
    if gatherer is not None and gatherer.frames:
        yield gatherer.finish()


class _Gatherer:
    def __init__(self, start: float) -> None:
        self.start = self.end = start
        self.frames = 0
        self._planes: list[NDArray[np.float32] | None] = []

    def add(self, time: float, plane: NDArray[np.float32]) -> None:
        slot = int((time - self.start + 1e-6) / SLOT_SECONDS)
        while len(self._planes) <= slot:
            self._planes.append(None)
        known = self._planes[slot]
        self._planes[slot] = plane if known is None else known + plane
        self.frames += 1

    def finish(self) -> Piece:
        return Piece(start=self.start, end=self.end, planes=tuple(self._planes), frames=self.frames)
