"""What a mark costs the eye: PSNR, SSIM, XPSNR as FFmpeg computes it, and what is left at equal size."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from av.filter import Graph

from benchmarks.attacks import Film, decoded, encoded

CRF, PRESET = 23, "veryfast"


def quality(before: Film, after: Film) -> dict[str, float]:
    """``psnr dB`` and ``ssim`` of luma, ``rgb psnr dB`` over four frames; ``xpsnr dB`` of luma over all.

    XPSNR (Helmrich et al., ITU-T H-series supplement) weights errors by how visible they are where
    they stand, in space and in time.
    """
    return {
        **luma_quality(before, after),
        "rgb psnr dB": colour_psnr(before, after),
        "xpsnr dB": xpsnr(before, after),
    }


def luma_quality(before: Film, after: Film) -> dict[str, float]:
    """``psnr dB`` and ``ssim`` of luma over four frames."""
    from skimage.metrics import structural_similarity

    pairs = [
        [cv2.cvtColor(film.frames[index], cv2.COLOR_RGB2GRAY).astype(np.float64) for film in (before, after)]
        for index in _looked_at(before)
    ]
    error = float(np.mean([np.mean((a - b) ** 2) for a, b in pairs]))
    similar = float(np.mean([structural_similarity(a, b, data_range=255.0) for a, b in pairs]))
    return {"psnr dB": _decibels(error), "ssim": similar}


def colour_psnr(before: Film, after: Film) -> float:
    """PSNR of all three channels in dB over the same frames."""
    errors = [np.mean((before.frames[i].astype(float) - after.frames[i]) ** 2) for i in _looked_at(before)]
    return _decibels(float(np.mean(errors)))


def equal_size(film: Film, marked: Film) -> dict[str, float]:
    """``psnr dB`` and ``ssim`` by which a marked film is better than an unmarked one of as many bytes.

    Both are coded by libx264 veryfast, the marked film at CRF 23, the unmarked one between the two
    CRFs whose sizes enclose that size; both are compared with the film itself. Below zero: the mark,
    and the bits that were spent on it. ``size``: bytes beside those of the unmarked film at CRF 23.
    """
    data = encoded(marked, "libx264", crf=CRF, preset=PRESET)
    reached = luma_quality(film, decoded(data, film.fps))
    points: list[tuple[float, dict[str, float]]] = []
    for crf in (CRF + 2, *range(CRF, 0, -2)):
        plain = encoded(film, "libx264", crf=crf, preset=PRESET)
        points.append((float(np.log(len(plain))), luma_quality(film, decoded(plain, film.fps))))
        if len(points) > 2 and len(plain) >= len(data):
            break
    sizes = [size for size, _ in points]
    result = {
        name: reached[name] - float(np.interp(np.log(len(data)), sizes, [each[name] for _, each in points]))
        for name in reached
    }
    return {**result, "size": len(data) / float(np.exp(sizes[1]))}


def _looked_at(film: Film) -> list[int]:
    return [int(at) for at in np.unique(np.linspace(0, len(film.frames) - 1, 4).round())]


def _decibels(error: float) -> float:
    return 10.0 * float(np.log10(255.0**2 / max(error, 1e-9)))


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
