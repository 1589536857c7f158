"""Small films for the tests, made on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from guarded_sora.media import (
    FrameStream,
)
from guarded_sora.worker import Worker

FPS = 10.0


def numbered(count: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """A soft colour that says which of at most 30 frames it is, and a bright patch at the top left."""
    frames = np.empty((count, height, width, 3), np.uint8)
    level = (20 + 7 * (np.arange(count) % 30))[:, None, None]
    frames[..., 0] = frames[..., 1] = level
    frames[..., 2] = 30 + level // 2
    frames[:, : height // 4, : width // 4] = 250
    return frames


def number_of(frame: NDArray[np.uint8]) -> int:
    height, width = frame.shape[:2]
    return round((float(frame[height // 2, width // 2, 0]) - 20) / 7)


def read(path: Path, worker: Worker, **options: Any) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    batches = list(FrameStream(path, worker, **options))
    return np.concatenate([b.frames for b in batches]), np.concatenate([b.times for b in batches])


def write_with(path: Path, codec: str, pix_fmt: str, frames: NDArray[np.uint8], **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=int(FPS), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.mux(stream.encode(None))
    return path


def sound(
    path: Path, seconds: float, *, pictures: NDArray[np.uint8] | None = None, late: float = 0.0
) -> Path:
    """A film with a tone, or only the tone; the pictures may begin ``late``."""
    with av.open(str(path), "w") as container:
        if pictures is not None:
            video = container.add_stream("libx264", rate=int(FPS), options={"bf": "0"})
            video.height, video.width = pictures.shape[1:3]
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("aac", rate=48000)
        audio.layout = "mono"
        audio.codec_context.time_base = Fraction(1, 48000)
        for index in range(int(seconds * 48000 / 1024)):
            wave = 0.3 * np.sin(2 * np.pi * 440 * (index * 1024 + np.arange(1024)) / 48000)
            samples = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, index * 1024
            container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
        if pictures is not None:
            for index, pixels in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = round(1000 * (late + index / FPS)), Fraction(1, 1000)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
    return path


def packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [
            (round(float(packet.pts * packet.time_base), 5), bytes(packet))
            for packet in container.demux(container.streams.audio[0])
            if packet.size
        ]
