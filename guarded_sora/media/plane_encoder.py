"""Writes planes back as they came: 8 bits as H.264, 10 bits as HEVC, with colour, times and rotation kept.

Legend: T frames, H height, W width of luma.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np

from guarded_sora.errors import MediaError
from guarded_sora.media.encoder import (
    _CLOCK,
    _KEYFRAME_SECONDS,
    _add_audio,
    _movflags,
    _rate,
    _whole_or_nothing,
)
from guarded_sora.media.files import absolute, sha256_file
from guarded_sora.media.info import EncodedInfo, MediaLimits
from guarded_sora.media.planes import Plane, PlaneBatch, PlaneFormat
from guarded_sora.worker import Worker


def encode_planes(
    batches: Iterable[PlaneBatch],
    form: PlaneFormat,
    path: Path,
    *,
    audio_from: Path | None = None,
    worker: Worker | None = None,
    crf: int = 18,
    preset: str = "veryfast",
    metadata: Mapping[str, str] = MappingProxyType({}),
    limits: MediaLimits | None = None,
) -> EncodedInfo:
    """Write ``batches`` of one ``form`` into the mp4 file ``path``; every frame keeps its own time.

    Chroma goes to the encoder untouched; colour description, HDR metadata and rotation are those of
    ``form``; audio packets are copied. On any error nothing is left at ``path``. Raises MediaError, and
    whatever ``batches`` raises.
    """
    path = absolute(path)
    pictures = path if audio_from is None else path.with_name(f"{path.name}.pictures")
    options = {"movflags": _movflags(True, metadata)}
    has_audio = False
    with _whole_or_nothing(path, pictures):
        frames, duration = _write(
            batches, form, pictures, crf, preset, {} if audio_from else metadata, options
        )
        if audio_from is not None:
            has_audio = _add_audio(pictures, audio_from, path, metadata, options, worker, limits)
        size, sha256 = path.stat().st_size, sha256_file(path)
    turned = form.turns % 2
    return EncodedInfo(
        width=form.height if turned else form.width,
        height=form.width if turned else form.height,
        fps=form.fps,
        frames=frames,
        duration=duration,
        has_audio=has_audio,
        bytes=size,
        sha256=sha256,
    )


def _write(
    batches: Iterable[PlaneBatch],
    form: PlaneFormat,
    path: Path,
    crf: int,
    preset: str,
    metadata: Mapping[str, str],
    options: Mapping[str, str],
) -> tuple[int, float]:
    rate = _rate(form.fps)
    last, frames = -1, 0
    with av.open(str(path), "w", format="mp4", options=dict(options)) as container:
        container.metadata.update(metadata)
        codec = "libx264" if form.bits == 8 else "libx265"
        stream: Any = container.add_stream(codec, rate=rate, options=_options(form, crf, preset))
        _describe(stream, form, rate)
        for batch in batches:
            for index in range(len(batch)):
                frame = _frame(form, batch, index)
                last = max(last + 1, round(float(batch.times[index]) * _CLOCK))
                frame.pts, frame.time_base = last, stream.codec_context.time_base
                container.mux(stream.encode(frame))
                frames += 1
        if not frames:
            raise MediaError("There are no frames to write; the film would be empty.")
        container.mux(stream.encode(None))
    return frames, float(Fraction(last, _CLOCK) + 1 / rate)


def _options(form: PlaneFormat, crf: int, preset: str) -> dict[str, str]:
    options = {"crf": str(crf), "preset": preset}
    if form.bits > 8:
        parameters = ["log-level=error"]
        if form.mastering:
            parameters.append(f"master-display={_display(form)}")
        if form.light:
            parameters.append(f"max-cll={form.light[0]},{form.light[1]}")
        options["x265-params"] = ":".join(parameters)
        options["tag"] = "hvc1"
    return options


def _display(form: PlaneFormat) -> str:
    """x265's text: chromaticities in units of 0.00002, luminances in 0.0001 cd/m2."""
    values = [Fraction(top, bottom) for top, bottom in form.mastering]
    red, green, blue, white = (
        f"({round(values[at] * 50_000)},{round(values[at + 1] * 50_000)})" for at in (0, 2, 4, 6)
    )
    least, most = round(values[8] * 10_000), round(values[9] * 10_000)
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"


def _describe(stream: Any, form: PlaneFormat, rate: Fraction) -> None:
    stream.width, stream.height, stream.pix_fmt = form.width, form.height, form.pixel_format
    context = stream.codec_context
    context.time_base = Fraction(1, _CLOCK)
    context.gop_size = max(1, round(_KEYFRAME_SECONDS * rate))
    context.color_range, context.colorspace = form.colour_range, form.matrix
    context.color_primaries, context.color_trc = form.primaries, form.transfer
    if form.turns:
        # FFmpeg counts counter-clockwise, players turn the other way round.
        stream.set_display_rotation(-90.0 * form.turns)


def _frame(form: PlaneFormat, batch: PlaneBatch, index: int) -> Any:
    frame: Any = av.VideoFrame(form.width, form.height, form.pixel_format)
    for plane, values in zip(
        frame.planes, (batch.luma[index], *(part[index] for part in batch.chroma)), strict=True
    ):
        _fill(plane, values)
    frame.color_range, frame.colorspace = form.colour_range, form.matrix
    frame.color_primaries, frame.color_trc = form.primaries, form.transfer
    return frame


def _fill(plane: Any, values: Plane) -> None:
    line = plane.line_size // values.itemsize
    rows = np.zeros((plane.height, line), dtype=values.dtype)
    rows[:, : values.shape[1]] = values
    plane.update(rows.tobytes()[: plane.buffer_size].ljust(plane.buffer_size, b"\0"))
