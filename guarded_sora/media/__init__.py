"""Films and pictures: probe, decode, encode, mux; only the credentials reader opens them too."""

from typing import TYPE_CHECKING, Any

from guarded_sora.media.excerpts import Excerpts
from guarded_sora.media.files import sha256_file
from guarded_sora.media.info import Box, EncodedInfo, MediaInfo, MediaLimits
from guarded_sora.media.stream import ClipFrames, FrameStream, probe, read_image

if TYPE_CHECKING:
    from guarded_sora.media.encoder import encode

__all__ = [
    "Box",
    "ClipFrames",
    "EncodedInfo",
    "Excerpts",
    "FrameStream",
    "MediaInfo",
    "MediaLimits",
    "encode",
    "probe",
    "read_image",
    "sha256_file",
]


def __getattr__(name: str) -> Any:
    # The encoder brings FFmpeg, which nothing else in this process needs and which loads slowly.
    if name == "encode":
        from guarded_sora.media.encoder import encode

        return encode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
