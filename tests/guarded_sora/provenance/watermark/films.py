"""Films for the tests of the mark, drawn by code: textured pans and flat cartoons."""

from __future__ import annotations

import io
from collections.abc import Iterable

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import KeyedTileMark, MarkKey

Frames = NDArray[np.uint8]
KEY = MarkKey(secret=bytes(range(32)), epoch=3, tenant="studio")
OTHER = MarkKey(secret=bytes(range(1, 33)), epoch=3, tenant="studio")
PAYLOAD = MarkPayload(id=0x123456789A, epoch=3)


def textured(count: int = 16, size: tuple[int, int] = (270, 480), seed: int = 1, pan: float = 3.0) -> Frames:
    """A pan over a picture whose spectrum falls like that of photographs. uint8 (T, H, W, 3)."""
    rng = np.random.default_rng(seed)
    height, width = size[0] + 40, size[1] + int(abs(pan) * count) + 40
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    falloff = 1.0 / (np.hypot(fy, fx) + 0.004) ** 1.1
    channels = []
    base = rng.standard_normal((height, width))
    for _ in range(3):
        noise = base + 0.3 * rng.standard_normal((height, width))
        plane = np.fft.ifft2(np.fft.fft2(noise) * falloff).real
        channels.append(np.clip(128 + 45 * plane / plane.std(), 0, 255))
    scene = np.stack(channels, axis=2).astype(np.uint8)
    starts = [int(index * abs(pan)) for index in range(count)]
    return np.stack([scene[20 : 20 + size[0], 20 + x : 20 + x + size[1]] for x in starts])


def soft(count: int = 12, size: tuple[int, int] = (360, 480), contrast: float = 45.0) -> Frames:
    """A pan over a picture with little fine detail, like a photograph enlarged. uint8 (T, H, W, 3), grey."""
    rng = np.random.default_rng(2)
    pan = 2.3
    height, width = size[0] + 40, size[1] + int(pan * count) + 40
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    noise = np.fft.fft2(rng.standard_normal((height, width)))
    plane = np.fft.ifft2(noise / (radius + 0.004) ** 1.6).real
    scene = np.clip(128 + contrast * plane / plane.std(), 0, 255).astype(np.float32)
    frames = []
    for index in range(count):
        matrix = np.array([[1, 0, -20 - pan * index], [0, 1, -20]], dtype=np.float64)
        grey = cv2.warpAffine(scene, matrix, size[::-1], flags=cv2.INTER_CUBIC)
        frames.append(np.clip(grey, 0, 255).astype(np.uint8))
    return np.repeat(np.stack(frames)[..., None], 3, axis=3)


def flat(count: int = 17, size: tuple[int, int] = (256, 256), seed: int = 1) -> Frames:
    """A disc that rises before a plain sky and sand, like a small generated clip."""
    rng = np.random.default_rng(seed)
    sky, sand, disc = (tuple(int(v) for v in rng.integers(60, 220, 3)) for _ in range(3))
    height, width = size
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    for index in range(count):
        frame = np.full((height, width, 3), sky, dtype=np.uint8)
        cv2.rectangle(frame, (0, height * 3 // 4), (width, height), sand, -1)
        centre = (width // 2, int(height * (0.7 - 0.4 * index / count)))
        cv2.circle(frame, centre, height // 8, disc, -1, cv2.LINE_AA)
        frames[index] = cv2.GaussianBlur(frame, (0, 0), 0.8)
    return frames


def batches(
    frames: Frames, fps: float = 8.0, sizes: Iterable[int] = (5,), start: float = 0.0
) -> list[FrameBatch]:
    """The frames as batches whose lengths repeat ``sizes``."""
    times = start + np.arange(len(frames)) / fps
    lengths = list(sizes)
    result, at, turn = [], 0, 0
    while at < len(frames):
        size = lengths[turn % len(lengths)]
        result.append(FrameBatch(frames=frames[at : at + size], times=times[at : at + size], fps=fps))
        at, turn = at + size, turn + 1
    return result


def joined(stream: Iterable[FrameBatch]) -> Frames:
    """All frames of a stream."""
    return np.concatenate([batch.frames for batch in stream])


def marked(frames: Frames, fps: float = 8.0, payload: MarkPayload = PAYLOAD, key: MarkKey = KEY) -> Frames:
    """Frames with the default mark."""
    return joined(KeyedTileMark(key).embed(batches(frames, fps), payload))


def recoded(frames: Frames, crf: int, fps: int = 8, codec: str = "libx264") -> Frames:
    """Encoded and decoded again, in memory."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        for frame in frames:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def psnr(a: Frames, b: Frames) -> float:
    """Peak signal to noise ratio of luma in dB."""
    weights = np.array([0.299, 0.587, 0.114])
    difference = (a.astype(np.float64) - b) @ weights
    return float(10 * np.log10(255.0**2 / np.mean(difference**2)))
