"""Sends frames through a codec and back, in memory: what a platform does to a film on its way.

Only for frames of our own: what is decoded here is what was encoded a moment before, so it needs no
worker. Legend: T frames, H height, W width.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from guarded_sora.errors import MediaError, UsageError
from guarded_sora.media.colour import ToRgb

Codec = Literal["h264", "vp9", "mpeg4", "mjpeg", "gif"]
CODECS: tuple[Codec, ...] = ("h264", "vp9", "mpeg4", "mjpeg", "gif")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recompressed:
    """``frames`` uint8 (T, H, W, 3) sRGB as a viewer gets them; ``bytes`` is the size of the file."""

    frames: NDArray[np.uint8]
    bytes: int


def recompress(frames: NDArray[np.uint8], *, fps: float, codec: Codec, quality: int) -> Recompressed:
    """``frames`` uint8 (T, H, W, 3) with even H and W, after one generation of ``codec``.

    ``quality`` is what the codec calls it: crf for h264 (0 to 51) and vp9 (0 to 63), the quantiser of
    mpeg4 and mjpeg (2 to 31), the number of colours of gif (2 to 256).

    Raises:
        UsageError: frames of another form. MediaError: the codec refused.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise UsageError(f"Frames must be uint8 (T, H, W, 3), not {frames.dtype} {frames.shape}.")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise UsageError("Frames to recompress need even sides.")
    try:
        if codec == "gif":
            return _gif(frames, fps, quality)
        return _film(frames, fps, codec, quality)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"The codec {codec} refused the frames; try another quality.") from error


def _film(frames: NDArray[np.uint8], fps: float, codec: Codec, quality: int) -> Recompressed:
    name, options = {
        # x264's macroblock tree gives other bits now and then for the same frames, even in one thread.
        "h264": ("libx264", {"crf": str(quality), "preset": "veryfast", "x264-params": "mbtree=0"}),
        "vp9": ("libvpx-vp9", {"crf": str(quality), "b": "0", "deadline": "realtime", "cpu-used": "8"}),
        "mpeg4": ("mpeg4", {}),
        "mjpeg": ("mjpeg", {}),
    }[codec]
    buffer, scaler = io.BytesIO(), VideoReformatter()
    with av.open(buffer, "w", format="matroska") as out:
        stream: Any = out.add_stream(name, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        context = stream.codec_context
        context.thread_count = 1
        if codec in ("mpeg4", "mjpeg"):
            context.qmin = context.qmax = quality
        for frame in frames:
            out.mux(stream.encode(_to_yuv(frame, scaler, stream.pix_fmt)))
        out.mux(stream.encode(None))
    size = buffer.tell()
    buffer.seek(0)
    to_rgb = ToRgb(frames.shape[2], frames.shape[1])
    with av.open(buffer, "r") as source:
        source.streams.video[0].codec_context.thread_count = 1
        seen = [to_rgb(frame).copy() for frame in source.decode(video=0)]
    return Recompressed(frames=np.stack(seen[: len(frames)]), bytes=size)


def _to_yuv(frame: NDArray[np.uint8], scaler: VideoReformatter, form: str) -> Any:
    """BT.601, which untagged films of this size are taken for; left to itself the scaler's guess varies."""
    return scaler.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
        format=form,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if form.startswith("yuvj") else ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU601,
        interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
        threads=1,
    )


def _gif(frames: NDArray[np.uint8], fps: float, colours: int) -> Recompressed:
    pictures = [
        Image.fromarray(frame).quantize(colours, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames
    ]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), optimize=False
    )
    # A GIF keeps its indexed pixels as they are, so reading the file again would give just these.
    seen = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return Recompressed(frames=seen, bytes=buffer.tell())


__all__ = ["CODECS", "Codec", "Recompressed", "recompress"]
