"""Decodes a film without leaving its own colour space. Runs inside the worker.

Legend: T frames, H height, W width of luma.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guarded_sora.errors import MediaError
from guarded_sora.media.decode import _frames, _info, _open, _timed
from guarded_sora.media.info import MediaLimits
from guarded_sora.media.planes import PIXEL_FORMATS, Plane, PlaneBatch, PlaneFormat

_CHUNK_FRAMES = 32
_FULL_RANGE = 2
_FULL = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}


def decode_planes(
    path: Path, *, limits: MediaLimits, chunk_bytes: int
) -> Iterator[PlaneFormat | PlaneBatch | None]:
    """The format, then chunks of at most ``chunk_bytes`` (one frame at least). Raises MediaError."""
    with _open(path, limits, strict=True) as (container, stream):
        frames = _frames(path, container.demux(stream), stream, limits, strict=True)
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{path} holds no pictures; record or export it again.")
        info = _info(path, container, stream, first)
        form = _format(path, stream, first, info.fps)
        yield form
        size = 1 if form.bits == 8 else 2
        room = max(1, min(_CHUNK_FRAMES, chunk_bytes // max(3 * size * form.width * form.height, 1)))
        planes: list[tuple[Plane, Plane, Plane]] = []
        times: list[float] = []
        for time, frame in _timed(first, frames, stream, info):
            if (frame.width, frame.height, _name(frame)) != (form.width, form.height, form.pixel_format):
                raise MediaError(f"{path} changes its size or format on the way; convert it first.")
            luma, blue, red = (_plane(plane, size) for plane in frame.planes)
            planes.append((luma, blue, red))
            times.append(time)
            if len(planes) == room:
                yield _batch(planes, times)
                planes, times = [], []
        if planes:
            yield _batch(planes, times)


def _batch(planes: list[tuple[Plane, Plane, Plane]], times: list[float]) -> PlaneBatch:
    luma, blue, red = (np.stack(column) for column in zip(*planes, strict=True))
    return PlaneBatch(luma=luma, chroma=(blue, red), times=np.array(times))


def _plane(plane: Any, size: int) -> Plane:
    kind = np.uint8 if size == 1 else np.dtype("<u2")
    rows: NDArray[Any] = np.frombuffer(plane, kind).reshape(-1, plane.line_size // size)
    return rows[: plane.height, : plane.width].copy()


def _name(frame: Any) -> str:
    return _FULL.get(frame.format.name, str(frame.format.name))


def _format(path: Path, stream: Any, frame: Any, fps: float) -> PlaneFormat:
    name = _name(frame)
    aspect = stream.sample_aspect_ratio
    odd = frame.width % 2 or frame.height % 2
    if name not in PIXEL_FORMATS or (aspect and aspect != 1) or odd:
        raise MediaError(f"{path} is coded as {frame.format.name}; its planes cannot be kept as they are.")
    mastering, light = _hdr(frame)
    full = frame.format.name in _FULL or frame.color_range == _FULL_RANGE
    return PlaneFormat(
        pixel_format=name,
        width=frame.width,
        height=frame.height,
        fps=fps,
        turns=-round(frame.rotation / 90) % 4,
        colour_range=_FULL_RANGE if full else int(frame.color_range),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        mastering=mastering,
        light=light,
    )


def _hdr(frame: Any) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Mastering display (AVMasteringDisplayMetadata) and content light (AVContentLightMetadata)."""
    mastering: tuple[tuple[int, int], ...] = ()
    light: tuple[int, ...] = ()
    for item in frame.side_data:  # iterates over items, not over keys
        data, kind = bytes(item), item.type.name
        if kind == "MASTERING_DISPLAY_METADATA" and len(data) >= 88:
            numbers = struct.unpack("<22i", data[:88])
            if numbers[20] and numbers[21] and all(numbers[1:20:2]):
                mastering = tuple((numbers[at], numbers[at + 1]) for at in range(0, 20, 2))
        elif kind == "CONTENT_LIGHT_LEVEL" and len(data) >= 8:
            light = struct.unpack("<2I", data[:8])
    return mastering, light
