"""What is known of a film, and what one may be: the values that cross to and from the worker."""

from __future__ import annotations

import math
from dataclasses import dataclass

from guarded_sora.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """Bounds held before and while a file is decoded. ``seconds`` fields are wall-clock deadlines."""

    max_bytes: int = 16 << 30
    max_pixels: int = 8192 * 4320
    """Of one frame."""
    max_side: int = 16384
    max_duration: float = 4 * 3600.0
    max_frames: int = 2_000_000
    max_picture_pixels: int = 100_000_000
    max_picture_bytes: int = 512 << 20
    open_seconds: float = 30.0
    chunk_seconds: float = 60.0
    pass_seconds: float = math.inf
    """Of one pass over a whole film, the consumer's own time between chunks included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """A film as a viewer sees it: ``width`` and ``height`` in square pixels after rotation.

    ``fps`` is the average rate; ``duration`` seconds and ``frames`` are what the file says, or an
    estimate where it says nothing. ``rotation`` is 0, 90, 180 or 270 degrees clockwise, already
    applied to what :class:`FrameStream` yields. ``start`` is the time of the first picture on the
    file's own clock, which audio refers to. ``hdr`` tells that pixels are tone-mapped to sRGB.
    ``video_tracks`` counts films, not cover pictures; only the first is read.
    """

    width: int
    height: int
    fps: float
    duration: float
    frames: int
    codec: str
    pixel_format: str
    has_audio: bool
    rotation: int
    container: str
    start: float
    coded_width: int
    coded_height: int
    audio_codecs: tuple[str, ...] = ()
    hdr: bool = False
    bytes: int = 0
    video_tracks: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedInfo:
    """What was written: even ``width`` and ``height``, ``duration`` seconds, size and SHA-256 in hex."""

    width: int
    height: int
    fps: float
    frames: int
    duration: float
    has_audio: bool
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of the upright picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise UsageError(f"A part of {self.width} x {self.height} at {self.left}, {self.top} is no part.")
