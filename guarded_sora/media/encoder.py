"""Writes the finished film: H.264 in mp4, tagged BT.709, playable everywhere.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import GuardedSoraError, MediaError
from guarded_sora.media.files import absolute, cannot_write, check_file, sha256_file
from guarded_sora.media.info import EncodedInfo, MediaLimits
from guarded_sora.media.stream import refuse
from guarded_sora.worker import Worker, WorkerFault

_CLOCK = 90_000  # ticks a second for films whose rate varies
_BT709 = 1
_LIMITED = 1
_KEYFRAME_SECONDS = 2.0
_COMMON_TAGS = frozenset({"title", "artist", "album", "comment", "copyright", "date", "description", "genre"})


@dataclass(slots=True)
class _Written:
    width: int = 0
    height: int = 0
    frames: int = 0
    duration: float = 0.0


def encode(
    frames: Iterable[FrameBatch],
    path: Path,
    *,
    fps: float | None = None,
    audio_from: Path | None = None,
    worker: Worker | None = None,
    crf: int = 18,
    preset: str = "veryfast",
    faststart: bool = True,
    metadata: Mapping[str, str] = MappingProxyType({}),
    limits: MediaLimits | None = None,
) -> EncodedInfo:
    """Write ``frames`` as H.264 (yuv420p, BT.709, limited range) into the mp4 file ``path``.

    With ``fps`` frames are evenly spaced; without it each keeps its own time, so a variable rate
    stays one. Odd sizes are made even by repeating the last column or row: nothing is cut away.
    ``audio_from`` names a film whose audio packets are copied as they are, by the ``worker`` where
    one is given. On any error nothing is left at ``path``. Raises MediaError, and whatever
    ``frames`` raises.
    """
    path = absolute(path)
    pictures = path if audio_from is None else path.with_name(f"{path.name}.pictures")
    options = {"movflags": _movflags(faststart, metadata)}
    has_audio = False
    with _whole_or_nothing(path, pictures):
        written = _write(frames, pictures, fps, crf, preset, {} if audio_from else metadata, options)
        if audio_from is not None:
            has_audio = _add_audio(pictures, audio_from, path, metadata, options, worker, limits)
        size, sha256 = path.stat().st_size, sha256_file(path)
    return EncodedInfo(
        width=written.width,
        height=written.height,
        fps=fps or written.frames / max(written.duration, 1e-9),
        frames=written.frames,
        duration=written.duration,
        has_audio=has_audio,
        bytes=size,
        sha256=sha256,
    )


@contextmanager
def _whole_or_nothing(path: Path, pictures: Path) -> Iterator[None]:
    """On any error nothing is left at ``path``; ``pictures``, written on the way to it, goes in any case.

    Raises MediaError for errors of the encoder and of the disk.
    """
    try:
        yield
    except BaseException as error:
        if path.is_file():
            path.unlink()
        if isinstance(error, av.FFmpegError | OSError) and not isinstance(error, GuardedSoraError):
            raise MediaError(cannot_write(path, error)) from error
        raise
    finally:
        if pictures != path:
            pictures.unlink(missing_ok=True)


def _write(
    batches: Iterable[FrameBatch],
    path: Path,
    fps: float | None,
    crf: int,
    preset: str,
    metadata: Mapping[str, str],
    options: Mapping[str, str],
) -> _Written:
    iterator = iter(batches)
    first = next((batch for batch in iterator if len(batch)), None)
    if first is None:
        raise MediaError("There are no frames to write; the film would be empty.")
    rate = _rate(fps or first.fps or 25.0)
    height, width = first.frames.shape[1:3]
    even_width, even_height = width + width % 2, height + height % 2
    written = _Written(width=even_width, height=even_height)
    scaler = VideoReformatter()
    with av.open(str(path), "w", format="mp4", options=dict(options)) as container:
        container.metadata.update(metadata)
        stream: Any = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": preset})
        _describe(stream, even_width, even_height, rate, varies=fps is None)
        last = -1
        batch: FrameBatch | None = first
        while batch is not None:
            if batch.frames.shape[1:3] != (height, width):
                raise MediaError("All frames of a film must have one size; scale them first.")
            for index in range(len(batch)):
                if fps is None:
                    tick = max(last + 1, round(float(batch.times[index]) * _CLOCK))
                else:
                    tick = written.frames
                frame = _to_yuv(_even(batch.frames[index]), scaler)
                frame.pts, frame.time_base = tick, stream.codec_context.time_base
                container.mux(stream.encode(frame))
                last = tick
                written.frames += 1
            batch = next(iterator, None)
        container.mux(stream.encode(None))
        written.duration = float(last * stream.codec_context.time_base + 1 / rate)
    return written


def _rate(fps: float) -> Fraction:
    """The exact rate meant by a decimal: 23.976 is 24000/1001, as broadcasters write it."""
    if not 0 < fps < math.inf:
        raise MediaError("The frame rate must be above 0.")
    broadcast = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(float(broadcast) - fps) < 5e-4:
        return broadcast
    return max(Fraction(1, 1001), Fraction(fps).limit_denominator(1001))


def _describe(stream: Any, width: int, height: int, rate: Fraction, *, varies: bool) -> None:
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, _CLOCK) if varies else 1 / rate
    context.gop_size = max(1, round(_KEYFRAME_SECONDS * rate))
    context.color_range = _LIMITED
    context.colorspace = context.color_primaries = context.color_trc = _BT709


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)


def _to_yuv(frame: NDArray[np.uint8], scaler: VideoReformatter) -> Any:
    return scaler.reformat(
        av.VideoFrame.from_ndarray(frame, format="rgb24"),
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU709,
        # Averages the four pixels that share a colour: closer and quicker than the other filters.
        interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
        threads=1,
    )


def _add_audio(
    pictures: Path,
    audio_from: Path,
    path: Path,
    metadata: Mapping[str, str],
    options: Mapping[str, str],
    worker: Worker | None,
    limits: MediaLimits | None,
) -> bool:
    limits = limits or MediaLimits()
    audio_from = absolute(audio_from)
    check_file(audio_from, max_bytes=limits.max_bytes)
    arguments = {"metadata": dict(metadata), "options": dict(options)}
    if worker is None:
        from guarded_sora.media.mux import mux_audio

        return mux_audio(pictures, audio_from, path, **arguments) > 0
    try:
        name = "guarded_sora.media.mux:mux_audio"
        tracks = worker.call(
            name, pictures, audio_from, path, deadline=limits.chunk_seconds * 10, stage="mux", **arguments
        )
    except WorkerFault as fault:
        refuse(audio_from, fault)
    return bool(tracks)


def _movflags(faststart: bool, metadata: Mapping[str, str]) -> str:
    """Tags that mp4 has no place of its own for go into a list of named ones."""
    flags = ["+faststart"] if faststart else []
    if set(metadata) - _COMMON_TAGS:
        flags.append("+use_metadata_tags")
    return "".join(flags)
