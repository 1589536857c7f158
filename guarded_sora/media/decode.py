"""Opens and decodes films. Everything here runs inside the worker: it parses what strangers sent.

Only a fixed list of containers, codecs and the plain file protocol is enabled, so a playlist or a
film that refers to other files or addresses cannot make the decoder open them.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError
from guarded_sora.media.colour import is_hdr
from guarded_sora.media.excerpts import Excerpts, Passage
from guarded_sora.media.files import READABLE, is_cut_off, is_picture
from guarded_sora.media.info import Box, MediaInfo, MediaLimits
from guarded_sora.media.sampling import Sampler
from guarded_sora.media.views import Chunk, Part, View, Whole

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,mpegts,mpeg,ogg,flv,asf"
CODECS = (
    "h264,hevc,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,mpeg4,mpeg2video,mpeg1video,mjpeg,prores,ffv1,gif,"
    "theora,dnxhd,rawvideo,h263,msmpeg4,wmv1,wmv2,wmv3,vc1,flv,qtrle,png"
)
AUDIO_CODECS = (
    "aac,mp3,mp3float,opus,libopus,vorbis,flac,alac,ac3,eac3,mp2,mp2float,pcm_s16le,pcm_s16be,pcm_s24le,"
    "pcm_s32le,pcm_f32le,pcm_u8,wmav2"
)
OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": FORMATS,
    "codec_whitelist": f"{CODECS},{AUDIO_CODECS}",
    "enable_drefs": "0",
}

_CHUNK_FRAMES = 64
_HEARTBEAT_FRAMES = 250  # decoded frames after which something is sent, so that a deadline means "stuck"
_FALLBACK_FPS = 25.0
RESTART = 0.5
"""Seconds by which a clock runs back at least where it has begun anew, rather than trembled."""


def probe_film(path: Path, limits: MediaLimits, *, strict: bool = True) -> MediaInfo:
    """What the headers and the first picture say. Raises MediaError."""
    with _open(path, limits, strict=strict) as (container, stream):
        frame = next(_frames(path, container.demux(stream), stream, limits, strict=False), None)
        if frame is None:
            raise MediaError(f"{path} holds no pictures; record or export it again.")
        return _info(path, container, stream, frame)


def decode_chunks(path: Path, **options: Any) -> Iterator[FrameBatch | None]:
    """The whole pictures of :func:`decode_views`, whose options it takes."""
    for item in decode_views(path, **options):
        if not isinstance(item, MediaInfo):
            yield None if item is None else item[0]


def decode_views(
    path: Path,
    *,
    limits: MediaLimits,
    max_short_side: int | None,
    sample_fps: float | None,
    chunk_bytes: int,
    strict: bool,
    threads: int,
    excerpts: Excerpts | None = None,
    part: Box | None = None,
) -> Iterator[MediaInfo | tuple[FrameBatch, ...] | None]:
    """Chunks of at most ``chunk_bytes`` (one frame at least), for what several readers want of one decoding.

    The first item says what the film is; None between chunks is a sign of life. A chunk holds the whole
    pictures and, with ``part``, that part of the same frames at its own size. Only frames in ``excerpts``
    are yielded, and where the film allows it only they are decoded. Raises MediaError, with ``strict``
    also for a film that is damaged or breaks off.
    """
    with (
        _open(path, limits, strict=strict, threads=threads) as (container, stream),
        contextlib.closing(_packets_again(path, limits)) as again,
    ):
        passage = Passage(excerpts, lambda: again)
        sampler = Sampler(sample_fps, passage.wants)
        packets = passage.needed(sampler.needed(container.demux(stream), stream), stream)
        frames = _frames(path, packets, stream, limits, strict=strict)
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{path} holds no pictures; record or export it again.")
        info = _info(path, container, stream, first)
        views: tuple[View, ...] = (Whole(info, max_short_side),)
        if part is not None:
            views = (*views, Part(info, part))
        yield info
        chunk = Chunk(views, info.fps, chunk_bytes=chunk_bytes, most=_CHUNK_FRAMES)
        silent = 0
        sampler.start = passage.start = info.start
        for time, frame in _timed(first, frames, stream, info):
            silent += 1
            passage.shown = time
            if sampler.takes(time):
                chunk.add(time, frame)
            if chunk.filled == chunk.room or silent >= _HEARTBEAT_FRAMES:
                silent = 0
                yield chunk.take() if chunk.filled else None
        if chunk.filled:
            yield chunk.take()


def first_picture(path: Path, limits: MediaLimits) -> tuple[MediaInfo, FrameBatch]:
    """What a film is, and its first picture at its own size. Raises MediaError."""
    with _open(path, limits, strict=False) as (container, stream):
        frame = next(_frames(path, container.demux(stream), stream, limits, strict=False), None)
        if frame is None:
            raise MediaError(f"{path} holds no pictures; record or export it again.")
        info = _info(path, container, stream, frame)
        pixels = np.ascontiguousarray(Whole(info, None)(frame))
        return info, FrameBatch(frames=pixels[None], times=np.zeros(1), fps=info.fps)


def _packets_again(path: Path, limits: MediaLimits) -> Generator[Any, None, None]:
    """The packets of the film once more, for whoever wants to look ahead; opened when first asked."""
    with _open(path, limits, strict=False) as (container, stream):
        yield from container.demux(stream)


@contextlib.contextmanager
def _open(path: Path, limits: MediaLimits, *, strict: bool, threads: int = 1) -> Iterator[tuple[Any, Any]]:
    """The container and its first real video stream, checked against the limits."""
    if is_picture(path):
        raise MediaError(f"{path} is a still picture, not a film; give it as an image prompt.")
    cut_off = is_cut_off(path)
    try:
        container = av.open(f"file:{path}", options=OPTIONS, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, MemoryError):
            raise
        if cut_off:
            raise MediaError(_cut(path)) from None
        raise MediaError(f"{path} is not a film we can read; convert it to {READABLE}.") from None
    with container:
        if cut_off and strict:
            raise MediaError(_cut(path))
        stream = next((video for video in container.streams.video if not _is_cover(video)), None)
        if stream is None:
            kind = "holds only sound" if container.streams.audio else "holds no pictures"
            raise MediaError(f"{path} {kind}; give a file with a video track.")
        context = stream.codec_context
        if context is None or context.name not in CODECS.split(","):
            raise MediaError(f"{path} uses a video codec we do not decode; convert it to H.264 first.")
        _check_size(path, context.width, context.height, limits)
        duration = _duration(container, stream)
        if duration > limits.max_duration:
            raise MediaError(
                f"{path} says it lasts {duration:.0f} s, more than the {limits.max_duration:.0f} s allowed;"
                " cut it first."
            )
        context.options = {"max_pixels": str(limits.max_pixels)}
        context.thread_type = "FRAME" if threads > 1 else "NONE"
        context.thread_count = threads
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        yield container, stream


def _is_cover(stream: Any) -> bool:
    """Whether a video track is only the cover picture of a song."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _frames(
    path: Path, packets: Iterable[Any], stream: Any, limits: MediaLimits, *, strict: bool
) -> Iterator[Any]:
    """Decoded frames in the order they are shown. What cannot be decoded is an error when ``strict``."""
    count, keyed = 0, False
    try:
        for packet in packets:
            try:
                decoded = stream.codec_context.decode(packet if packet.size else None)
            except EOFError:
                break
            except (av.FFmpegError, ValueError) as error:
                if isinstance(error, MemoryError):
                    raise
                # A recording may begin in the middle of a group; nothing is lost before its first frame.
                if strict and count:
                    raise MediaError(f"{path} is damaged after {count} frames; get a fresh copy.") from None
                continue
            for frame in decoded:
                count += 1
                if count > limits.max_frames:
                    raise MediaError(f"{path} has more than {limits.max_frames} frames; cut it first.")
                _check_size(path, frame.width, frame.height, limits)
                # The decoder papers over what it cannot read and says so only in this flag.
                if strict and keyed and frame.is_corrupt:
                    raise MediaError(f"{path} is damaged after {count} frames; get a fresh copy.")
                keyed = keyed or frame.key_frame
                yield frame
            if packet.size == 0:
                break
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        if strict and count:
            raise MediaError(f"{path} is damaged after {count} frames; get a fresh copy.") from None


def _timed(first: Any, rest: Iterator[Any], stream: Any, info: MediaInfo) -> Iterator[tuple[float, Any]]:
    """Frames with seconds since the first; times that are missing or run backwards are mended.

    Where a clock begins anew (films joined end to end), the times go on by one step from there.
    """
    last, step, begun = -math.inf, 1.0 / info.fps, info.start
    frame: Any = first
    while frame is not None:
        time = _time(frame, stream)
        since = last + step if time is None else time - begun
        if since < last - RESTART and time is not None:
            since = last + step
            begun = time - since
        elif since <= last:
            since = last + step / 1000
        last = 0.0 if math.isinf(since) else since
        yield last, frame
        frame = next(rest, None)


def _time(frame: Any, stream: Any) -> float | None:
    """Seconds on the file's clock. The last frames of a decoder carry no time base of their own."""
    if frame.pts is None or not stream.time_base:
        return None
    return float(frame.pts * stream.time_base)


def _info(path: Path, container: Any, stream: Any, frame: Any) -> MediaInfo:
    duration = _duration(container, stream)
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    fps = float(rate)
    if not 0.01 <= fps <= 1000.0:
        fps = stream.frames / duration if stream.frames and duration else _FALLBACK_FPS
    frames = int(stream.frames) or round(duration * fps) or 1
    aspect = stream.sample_aspect_ratio
    width, height = frame.width, frame.height
    if aspect and 1 / 8 <= aspect <= 8 and aspect != 1:
        width = max(1, round(width * aspect))
    turned = -round(frame.rotation / 90) % 4
    if turned % 2:
        width, height = height, width
    return MediaInfo(
        width=width,
        height=height,
        fps=fps,
        duration=duration or frames / fps,
        frames=frames,
        codec=stream.codec_context.codec.canonical_name,
        pixel_format=frame.format.name,
        has_audio=bool(container.streams.audio),
        rotation=90 * turned,
        container=container.format.name.split(",")[0],
        start=_time(frame, stream) or 0.0,
        coded_width=frame.width,
        coded_height=frame.height,
        audio_codecs=tuple(
            audio.codec_context.name for audio in container.streams.audio if audio.codec_context
        ),
        hdr=is_hdr(frame),
        bytes=path.stat().st_size,
        video_tracks=sum(not _is_cover(video) for video in container.streams.video),
    )


def _duration(container: Any, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return max(0.0, float(stream.duration * stream.time_base))
    return max(0.0, (container.duration or 0) / av.time_base)


def _check_size(path: Path, width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise MediaError(
            f"{path} has frames of {width} x {height} pixels, more than the {limits.max_pixels} allowed;"
            " scale it down first."
        )


def _cut(path: Path) -> str:
    return f"{path} is cut off: part of the file is missing; get the whole file."
