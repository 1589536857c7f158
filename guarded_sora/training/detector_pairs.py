"""Pairs: one film as the camera saw it, and the same film after a decoder, treated alike from there on.

Whatever happens to a film on its way (smaller size, noise, sharpening, one or two codecs) is drawn
once and done to both. The second of the two to be encoded is given the quality that makes its file as
large as the first one's, and chance decides which is the second, so neither codec, rate, size,
length nor number of bytes tells them apart.

Legend: T frames, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.synthetic.blocks import middle_spots
from guarded_sora.detectors.synthetic.features import FRAMES, SIDE
from guarded_sora.media.recompress import Codec, Recompressed, recompress
from guarded_sora.training.detector_camera import Photo, film
from guarded_sora.training.detector_decoders import Decoder, Film

SEEN_FPS = 8.0
_QUALITY: dict[Codec, tuple[int, int]] = {
    "h264": (18, 36),
    "vp9": (24, 50),
    "mpeg4": (2, 12),
    "mjpeg": (2, 12),
    "gif": (32, 256),
}
_RANGE: dict[Codec, tuple[int, int]] = {
    "h264": (8, 50),
    "vp9": (4, 63),
    "mpeg4": (2, 31),
    "mjpeg": (2, 31),
    "gif": (4, 256),
}

_MOST_TRIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What happens to both films of a pair. ``scale`` multiplies the side; ``codecs`` come in order."""

    side: int
    fps: float
    scale: float
    resize: int
    noise: float
    sharpen: float
    codecs: tuple[tuple[Codec, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One side of a pair as a detector gets it: uint8 (9 a window, S, S, 3) at 8 frames a second."""

    frames: Film
    synthetic: bool
    pair: int
    family: str
    photo: int
    law: Law
    bytes: int


def draw_law(rng: np.random.Generator) -> Law:
    """A law; the same distribution whatever the decoder and the photograph are."""
    side, scale = 160, float(rng.choice([0.8, 0.9, 1.0, 1.0, 1.0, 1.0, 1.25, 1.5]))
    if rng.random() < 0.2:
        side, scale = 256, float(rng.choice([0.5, 0.67, 0.75]))
    generations = 1 + int(rng.random() < 0.3)
    chosen = rng.choice(
        ["h264", "vp9", "mpeg4", "mjpeg", "gif"], generations, p=[0.68, 0.1, 0.08, 0.05, 0.09]
    )
    codecs: list[tuple[Codec, int]] = []
    for name in chosen:
        codec: Codec = name
        low, high = _QUALITY[codec]
        codecs.append((codec, int(rng.integers(low, high + 1))))
    return Law(
        side=side,
        fps=float(rng.choice([8.0, 16.0], p=[0.7, 0.3])),
        scale=scale,
        resize=int(rng.choice([cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC])),
        noise=float(rng.uniform(0.5, 4.0)) if rng.random() < 0.25 else 0.0,
        sharpen=float(rng.normal(0.2, 0.5)) if rng.random() < 0.3 else 0.0,
        codecs=tuple(codecs),
    )


def make_pair(
    photos: Sequence[Photo],
    index: int,
    decoder: Decoder,
    rng: np.random.Generator,
    *,
    pair: int,
    law: Law,
    real: Film | None = None,
    windows: int = 1,
) -> tuple[Clip, Clip]:
    """The real clip and the synthetic one, from ``photos[index]``, or from ``real`` where it is given."""
    count = round(FRAMES * windows * law.fps / SEEN_FPS)
    if real is None:
        real = film(photos, index, rng, frames=count, side=law.side)
    films = [real, decoder.apply(real, rng)]
    noise = rng.integers(1 << 62)
    films = [_treated(each, law, int(noise)) for each in films]
    *before, last = law.codecs
    first = int(rng.integers(2))
    for codec, quality in before:
        films = [recompress(each, fps=law.fps, codec=codec, quality=quality).frames for each in films]
    ended: dict[int, Recompressed] = {
        first: recompress(films[first], fps=law.fps, codec=last[0], quality=last[1])
    }
    ended[1 - first] = as_large(films[1 - first], law.fps, last[0], last[1], ended[first].bytes)
    step = round(law.fps / SEEN_FPS)
    real_clip, made_clip = (
        Clip(
            frames=ended[side].frames[::step][: FRAMES * windows],
            synthetic=bool(side),
            pair=pair,
            family=decoder.family,
            photo=index,
            law=law,
            bytes=ended[side].bytes,
        )
        for side in (0, 1)
    )
    return real_clip, made_clip


def as_large(frames: Film, fps: float, codec: Codec, quality: int, wanted: int) -> Recompressed:
    """``frames`` at the quality whose file comes closest to ``wanted`` bytes."""
    low, high = _RANGE[codec]
    more_is_larger = codec == "gif"
    at, best = quality, None
    for _ in range(_MOST_TRIES):
        tried = recompress(frames, fps=fps, codec=codec, quality=at)
        if best is None or abs(tried.bytes - wanted) < abs(best.bytes - wanted):
            best = tried
        if (tried.bytes > wanted) == more_is_larger:
            high = at - 1
        else:
            low = at + 1
        if low > high or abs(best.bytes - wanted) < 0.01 * wanted:
            break
        at = (low + high) // 2
    assert best is not None
    return best


def _treated(seen: Film, law: Law, seed: int) -> Film:
    """Size, sharpness and noise of ``law``; the noise is drawn anew from ``seed``, hence equal."""
    rng = np.random.default_rng(seed)
    side = round(law.side * law.scale) // 2 * 2
    made = []
    for frame in seen:
        if side != law.side:
            frame = np.asarray(cv2.resize(frame, (side, side), interpolation=law.resize))
        if law.sharpen or law.noise:
            real = frame.astype(np.float32)
            real += law.sharpen * (real - cv2.GaussianBlur(real, (0, 0), 1.0))
            real += law.noise * rng.standard_normal(real.shape, dtype=np.float32)
            frame = np.clip(real + 0.5, 0, 255).astype(np.uint8)
        made.append(frame)
    return np.stack(made)


def blocks(frames: Film) -> list[NDArray[np.float32]]:
    """The blocks of brightness (9, 128, 128) that the detector would look at."""
    luma = np.stack([np.asarray(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY)) for f in frames]).astype(np.float32)
    spots = middle_spots(*frames.shape[1:3])
    return [luma[:, spot.top : spot.top + SIDE, spot.left : spot.left + SIDE] for spot in spots]
