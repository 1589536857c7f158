"""A synthetic camera over photographs: the real side of the pairs that the detector learns from.

A photograph whose licence allows it becomes a film of natural texture with pan, zoom, turning,
parallax, something that passes in front, hand shake, motion blur, changing light and sensor noise.
Everything is drawn from ``rng``, so a film can be made again.

Legend: T frames, S side in pixels, H, W of the photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.errors import UsageError

Photo = NDArray[np.uint8]
_LEAST_SIDE = 256


def load_photos(folder: Path) -> dict[str, Photo]:
    """Every PNG of ``folder`` as uint8 (H, W, 3) sRGB, by its name without the ending.

    Raises:
        UsageError: there is none, or one cannot be read or is smaller than 256 pixels.
    """
    found: dict[str, Photo] = {}
    for path in sorted(folder.glob("*.png")):
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None or min(pixels.shape[:2]) < _LEAST_SIDE:
            raise UsageError(f"{path.name} is no photograph of at least {_LEAST_SIDE} pixels; remove it.")
        found[path.stem] = np.ascontiguousarray(pixels[..., ::-1])
    if not found:
        raise UsageError(f"There is no PNG in {folder}; put the photographs of the model card there.")
    return found


def film(
    photos: Sequence[Photo],
    index: int,
    rng: np.random.Generator,
    *,
    frames: int,
    side: int,
    near: bool = False,
) -> NDArray[np.uint8]:
    """A film of ``photos[index]``, uint8 (T, S, S, 3); another photograph may pass in front of it.

    ``near`` goes so close that the photograph is shown at half to more than its own size: such a film is
    real and has no detail finer than its lens gave.
    """
    paths = _paths(rng, frames)
    scene = _scene(photos[index], rng, side, *((0.5, 1.6) if near else (0.12, 0.75)))
    front = None
    if rng.random() < 0.4 and len(photos) > 1:
        other = int(rng.integers(len(photos) - 1))
        front = _scene(photos[other + (other >= index)], rng, side, 0.12, 0.75)
    speed = np.exp(rng.normal(-0.3, 0.8)) * side / 128
    sub = int(rng.integers(2, 4)) if rng.random() < 0.3 else 1
    parallax = (
        _smooth(rng, side, 3) * np.float32(side / 128 * rng.uniform(0, 2.5)) if rng.random() < 0.5 else None
    )
    mask, travel = _passer(rng, side), rng.normal(0, 1.5, 2) * speed
    light = 1.0 + 0.04 * np.cumsum(rng.normal(0, 0.5, frames)) * (rng.random() < 0.5)
    pictures = []
    for t in range(frames):
        shown = np.zeros((side, side, 3), np.float32)
        for step in range(sub):
            at = paths[t] + (paths[min(t + 1, frames - 1)] - paths[t]) * 0.5 * step / sub
            shown += _view(scene, at, speed, side, parallax)
            if front is not None:
                moved = np.array([[1, 0, travel[0] * t], [0, 1, travel[1] * t]], np.float32)
                cover = cv2.warpAffine(mask, moved, (side, side))[..., None]
                shown += cover * (_view(front, at * 0.5, speed, side, None) - shown / (step + 1)) * (step + 1)
        pictures.append(np.clip(shown / sub * light[t], 0, 255))
    return _sensor(np.stack(pictures), rng)


def _paths(rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """(T, 4): shift x, y, log zoom and angle, in units that ``speed`` scales; steady, with some shake."""
    time = np.arange(frames)[:, None]
    drift = rng.normal(0, 1.0, 4) * (rng.random(4) < 0.7) * np.array([1, 1, 0.006, 0.004])
    bend = rng.normal(0, 0.08, 4) * np.array([1, 1, 0.006, 0.004])
    shake = np.cumsum(rng.normal(0, 1, (frames, 4)), 0) * np.array([0.3, 0.3, 0.001, 0.0015])
    path: NDArray[np.float64] = drift * time + bend * time**2 / 2 + shake * (rng.random() < 0.5)
    centred: NDArray[np.float64] = path - path[len(path) // 2]
    return centred


def _scene(photo: Photo, rng: np.random.Generator, side: int, low: float, high: float) -> NDArray[np.float32]:
    """A part of the photograph at about the scale it will be seen at, float32, twice ``side`` wide."""
    least = 1.6 * side / min(photo.shape[:2])
    scale = float(np.exp(rng.uniform(np.log(max(least, low)), np.log(max(least, high)))))
    how = cv2.INTER_AREA if scale <= 1 else cv2.INTER_CUBIC
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=how)
    window = min(2 * side, *small.shape[:2])
    top = int(rng.integers(small.shape[0] - window + 1))
    left = int(rng.integers(small.shape[1] - window + 1))
    part = small[top : top + window, left : left + window]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return np.ascontiguousarray(part).astype(np.float32)


def _view(
    scene: NDArray[np.float32],
    at: NDArray[np.float64],
    speed: float,
    side: int,
    parallax: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    centre = (scene.shape[1] - 1) / 2 + at[0] * speed, (scene.shape[0] - 1) / 2 + at[1] * speed
    zoom, angle = np.exp(at[2] * speed), at[3] * speed
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) - (side - 1) / 2
    map_x = (cos * x - sin * y + centre[0]).astype(np.float32)
    map_y = (sin * x + cos * y + centre[1]).astype(np.float32)
    if parallax is not None:
        map_x += parallax * np.float32(at[0])
        map_y += parallax * np.float32(at[1])
    return cv2.remap(scene, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)  # type: ignore[return-value]


def _smooth(rng: np.random.Generator, side: int, knots: int) -> NDArray[np.float32]:
    """A smooth random field of about unit size, (S, S)."""
    coarse = rng.normal(0, 1, (knots, knots)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def _passer(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """The shape of what passes in front: an ellipse with a soft edge, (S, S) in 0 to 1."""
    mask = np.zeros((side, side), np.float32)
    centre = tuple(int(v) for v in rng.integers(side // 4, 3 * side // 4, 2))
    axes = tuple(int(v) for v in rng.integers(side // 10, side // 3, 2))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.6, 2.0)))  # type: ignore[return-value]


def _sensor(pictures: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lens, sharpening and noise of a camera; noise is new in each frame and grows with the light."""
    blur, sharpen = max(0.0, rng.normal(0.2, 0.4)), max(0.0, rng.normal(0.0, 0.5))
    noise, grain = float(np.exp(rng.normal(0.3, 0.9))), max(0.0, rng.normal(0.3, 0.3))
    for picture in pictures:
        if blur > 0.3:
            picture[:] = cv2.GaussianBlur(picture, (0, 0), blur)
        if noise > 0.5:
            drawn = rng.standard_normal(picture.shape, dtype=np.float32)
            if grain > 0.3:
                drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), grain)) * (1 + 2.5 * grain)
            picture += drawn * noise * np.sqrt(0.3 + picture / 180)
        if sharpen > 0.1:
            picture += sharpen * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2))
    seen: NDArray[np.uint8] = np.clip(pictures + 0.5, 0, 255).astype(np.uint8)
    return seen
