"""FrameStream: a film as a re-iterable stream of small batches, decoded in the worker.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.media.excerpts import Excerpts
from guarded_sora.media.files import absolute, check_file
from guarded_sora.media.info import Box, MediaInfo, MediaLimits
from guarded_sora.worker import Fault, Worker, WorkerFault

DECODE = "guarded_sora.media.decode"
CHUNK_BYTES = 24 << 20


def probe(path: Path, worker: Worker, *, limits: MediaLimits | None = None, strict: bool = True) -> MediaInfo:
    """What a film is, from its headers and its first picture. Raises MediaError.

    With ``strict`` a film that is cut off is refused, whatever could still be read of it.
    """
    limits = limits or MediaLimits()
    path = absolute(path)
    check_file(path, max_bytes=limits.max_bytes)
    try:
        info = worker.call(
            f"{DECODE}:probe_film",
            path,
            limits,
            strict=strict,
            deadline=limits.open_seconds,
            stage="probe",
        )
    except WorkerFault as fault:
        refuse(path, fault)
    assert isinstance(info, MediaInfo)
    return info


def read_image(path: Path, worker: Worker, *, limits: MediaLimits | None = None) -> NDArray[np.uint8]:
    """A picture as uint8 (H, W, 3) sRGB, upright; of an animation the first frame. Raises MediaError."""
    limits = limits or MediaLimits()
    path = absolute(path)
    check_file(path, max_bytes=limits.max_picture_bytes)
    try:
        pixels: NDArray[np.uint8] = worker.call(
            "guarded_sora.media.picture:read_picture",
            path,
            limits,
            deadline=limits.open_seconds,
            stage="read image",
        )
    except WorkerFault as fault:
        refuse(path, fault)
    return pixels


class FrameStream:
    """The frames of a film, in chunks of bounded bytes, as often as they are asked for.

    Pixels are upright, square and sRGB; ``times`` are those of the film, also where its rate varies.
    ``max_short_side`` scales down (never up) so that the shorter side has at most as many pixels;
    ``sample_fps`` yields at most so many frames a second, always the first at or after each tick.
    With ``strict`` a damaged film raises MediaError where the damage shows; without it the readable
    part is yielded. What a decoder makes of damage depends on its number of ``threads``, so more than
    one is for films whose exact pixels do not decide anything. With ``excerpts`` only these seconds are
    looked at. Memory stays flat however long the film is. Nothing is opened before first use.
    """

    def __init__(
        self,
        path: Path,
        worker: Worker,
        *,
        max_short_side: int | None = None,
        sample_fps: float | None = None,
        limits: MediaLimits | None = None,
        strict: bool = True,
        chunk_bytes: int = CHUNK_BYTES,
        threads: int = 1,
        excerpts: Excerpts | None = None,
    ) -> None:
        if max_short_side is not None and max_short_side < 1:
            raise UsageError("max_short_side must be at least 1 pixel.")
        if sample_fps is not None and not 0 < sample_fps < float("inf"):
            raise UsageError("sample_fps must be above 0.")
        self.path = absolute(path)
        self._worker = worker
        self._limits = limits or MediaLimits()
        self._options: dict[str, Any] = {
            "max_short_side": max_short_side,
            "sample_fps": sample_fps,
            "strict": strict,
            "chunk_bytes": chunk_bytes,
            "threads": threads,
            "excerpts": excerpts,
        }

    @property
    def excerpts(self) -> Excerpts | None:
        """What is looked at; None for the whole film."""
        found: Excerpts | None = self._options["excerpts"]
        return found

    @cached_property
    def info(self) -> MediaInfo:
        """What the film is; probed on first use unless frames were read before. Raises MediaError."""
        return probe(self.path, self._worker, limits=self._limits, strict=self._options["strict"])

    @property
    def audio(self) -> Path | None:
        """The file whose audio packets belong to these frames, or None."""
        return self.path if self.info.has_audio else None

    def sampled(self, *, max_short_side: int | None = None, sample_fps: float | None = None) -> FrameStream:
        """The same film seen smaller or less often, and whole; what is known of it is not read again."""
        return self._seen(max_short_side=max_short_side, sample_fps=sample_fps, excerpts=None)

    def in_part(self, excerpts: Excerpts | None) -> FrameStream:
        """The same frames, but only those of ``excerpts``; of all seconds where it is None."""
        return self._seen(excerpts=excerpts)

    def frame_by_frame(self) -> FrameStream:
        """The same frames in batches of one, for who may stop after the first."""
        return self._seen(chunk_bytes=1)

    def _seen(self, **changed: Any) -> FrameStream:
        other = FrameStream(self.path, self._worker, limits=self._limits, **{**self._options, **changed})
        if "info" in self.__dict__:
            other.__dict__["info"] = self.info
        return other

    def first_picture(self) -> FrameBatch:
        """The first picture at its own size; probes the film on the way. Raises MediaError."""
        check_file(self.path, max_bytes=self._limits.max_bytes)
        try:
            info, picture = self._worker.call(
                f"{DECODE}:first_picture",
                self.path,
                self._limits,
                deadline=self._limits.open_seconds,
                stage="probe",
            )
        except WorkerFault as fault:
            refuse(self.path, fault)
        assert isinstance(info, MediaInfo) and isinstance(picture, FrameBatch)
        self.__dict__.setdefault("info", info)
        return picture

    def __iter__(self) -> Iterator[FrameBatch]:
        for batch, *_ in self._chunks(None):
            yield batch

    def with_part(self, part: Box) -> Iterator[tuple[FrameBatch, FrameBatch]]:
        """The same batches, each with ``part`` of the same frames at the film's own size, of one decoding."""
        return ((whole, cut) for whole, cut in self._chunks(part))

    def _chunks(self, part: Box | None) -> Iterator[tuple[FrameBatch, ...]]:
        check_file(self.path, max_bytes=self._limits.max_bytes)
        until = time.monotonic() + self._limits.pass_seconds
        chunks = self._worker.stream(
            f"{DECODE}:decode_views",
            self.path,
            limits=self._limits,
            deadline_per_item=self._limits.chunk_seconds,
            stage="decode",
            part=part,
            **self._options,
        )
        with closing(chunks):  # type: ignore[type-var]  # the worker's iterator is a generator
            try:
                for item in chunks:
                    if time.monotonic() > until:
                        raise MediaError(
                            f"{self.path} takes too long to read; it may be damaged, so convert it first."
                        )
                    if isinstance(item, MediaInfo):
                        self.__dict__.setdefault("info", item)
                    elif item is not None:
                        yield item
            except WorkerFault as fault:
                refuse(self.path, fault)


class ClipFrames:
    """Frames that are already in memory, uint8 (T, H, W, 3) sRGB, in the shape of a stream."""

    def __init__(self, frames: NDArray[np.uint8], fps: float, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise UsageError(f"Frames must be uint8 (T, H, W, 3), not {frames.dtype} {frames.shape}.")
        if not 0 < fps < float("inf"):
            raise UsageError("fps must be above 0.")
        self._frames, self.fps = frames, fps
        self._room = max(1, chunk_bytes // max(1, frames[:1].nbytes))

    def __len__(self) -> int:
        return int(self._frames.shape[0])

    def __iter__(self) -> Iterator[FrameBatch]:
        for start in range(0, len(self), self._room):
            part = self._frames[start : start + self._room]
            times = (start + np.arange(part.shape[0], dtype=np.float64)) / self.fps
            yield FrameBatch(frames=part, times=times, fps=self.fps)


def refuse(path: Path, fault: WorkerFault) -> NoReturn:
    """Raise what a fault of the worker means to somebody who handed in ``path``."""
    if fault.fault is Fault.BUSY:
        raise fault
    sentence = {
        Fault.TIMEOUT: "takes too long to read; it may be damaged, so convert it first",
        Fault.MEMORY: "needs too much memory to read; scale it down first",
    }.get(fault.fault, "makes the decoder fail and was refused; convert it first")
    raise MediaError(f"{path} {sentence}.") from fault
