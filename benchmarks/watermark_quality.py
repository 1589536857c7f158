"""What a mark costs the eye: PSNR, SSIM, and XPSNR as FFmpeg computes it."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from av.filter import Graph

from benchmarks.attacks import Film


def quality(before: Film, after: Film) -> dict[str, float]:
    """``psnr dB`` and ``ssim`` of luma, ``rgb psnr dB`` over four frames; ``xpsnr dB`` of luma over all.

    XPSNR (Helmrich et al., ITU-T H-series supplement) weights errors by how visible they are where
    they stand, in space and in time.
    """
    from skimage.metrics import structural_similarity

    chosen = np.unique(np.linspace(0, len(before.frames) - 1, 4).round().astype(int))
    pairs = [
        [cv2.cvtColor(film.frames[index], cv2.COLOR_RGB2GRAY).astype(np.float64) for film in (before, after)]
        for index in chosen
    ]
    error = float(np.mean([np.mean((a - b) ** 2) for a, b in pairs]))
    similar = float(np.mean([structural_similarity(a, b, data_range=255.0) for a, b in pairs]))
    colour = float(
        np.mean([np.mean((before.frames[i].astype(float) - after.frames[i]) ** 2) for i in chosen])
    )
    return {
        "rgb psnr dB": 10.0 * float(np.log10(255.0**2 / max(colour, 1e-9))),
        "psnr dB": 10.0 * float(np.log10(255.0**2 / max(error, 1e-9))),
        "ssim": similar,
        "xpsnr dB": xpsnr(before, after),
    }


def xpsnr(before: Film, after: Film) -> float:
    """Perceptually weighted PSNR of luma in dB, pooled over the frames' errors."""
    height, width = (side // 2 * 2 for side in before.frames.shape[1:3])
    clock = Fraction(1, 1000)
    graph = Graph()
    inputs = [graph.add_buffer(width=width, height=height, format="yuv420p", time_base=clock) for _ in "ab"]
    measure, sink = graph.add("xpsnr"), graph.add("buffersink")
    for place, entry in enumerate(inputs):
        entry.link_to(measure, 0, place)
    measure.link_to(sink)
    graph.configure()
    scores: list[float] = []
    for index, pair in enumerate(zip(before.frames, after.frames, strict=True)):
        for entry, picture in zip(inputs, pair, strict=True):
            even = np.ascontiguousarray(picture[:height, :width])
            frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(index * 1000 / before.fps), clock
            entry.push(frame)
        scores += _ready(sink)
    for entry in inputs:
        entry.push(None)
    scores += _ready(sink)
    errors = [10.0 ** (-score / 10.0) for score in scores]
    return -10.0 * float(np.log10(max(float(np.mean(errors)), 1e-9)))


def _ready(sink: object) -> list[float]:
    found: list[float] = []
    while True:
        try:
            frame = sink.pull()  # type: ignore[attr-defined]
        except (av.BlockingIOError, av.EOFError):
            return found
        found.append(float(frame.metadata["lavfi.xpsnr.xpsnr.y"]))
