"""Films and pictures: probe, decode, encode, mux; only the credentials reader opens them too."""

from guarded_sora.media.encode import encode
from guarded_sora.media.files import sha256_file
from guarded_sora.media.info import EncodedInfo, MediaInfo, MediaLimits
from guarded_sora.media.stream import ClipFrames, FrameStream, probe, read_image

__all__ = [
    "ClipFrames",
    "EncodedInfo",
    "FrameStream",
    "MediaInfo",
    "MediaLimits",
    "encode",
    "probe",
    "read_image",
    "sha256_file",
]
