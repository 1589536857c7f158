"""Decoders in closed form: traces of a generator's last stage without a network and without steps.

A real film sent through one keeps its content and takes on a lattice, an overlap, a smoothness. Every
generator of today ends in a decoder, an up-sampler or both; networks stand in
:mod:`guarded_sora.training.detector_recipes`.

Legend: T frames, S side in pixels (a multiple of 32), P patch side, k numbers kept of a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.training.detector_camera import Photo, film

Film = NDArray[np.uint8]
Apply = Callable[[Film, np.random.Generator], Film]

CLOSED_FORM = ("linear", "resample", "interpolate")
TEXTURED = ("quantised", "restored")
_SHAPES = ((8, 1, 10), (8, 1, 24), (16, 1, 48), (8, 4, 36), (4, 1, 6), (4, 4, 16))
"""Patch side, frames together, numbers kept."""
_ROUNDED_SHAPES = ((4, 1, 6), (8, 1, 16), (8, 1, 32), (8, 4, 48))
_FITTED_FILMS, _FITTED_SIDE = 24, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """``apply`` takes a film uint8 (T, S, S, 3) and returns its round trip in the same shape."""

    family: str
    apply: Apply


def linear(
    photos: Sequence[Photo], *, patch: int, frames: int, kept: int, seed: int, steps: bool = False
) -> Decoder:
    """Principal components of patches, back by ridge regression from a patch and its eight neighbours.

    The overlap leaves no seams, as in a convolutional decoder; ``frames`` together are one latent.
    With ``steps`` the numbers are rounded coarsely, as a codebook does, so texture jumps in time.
    """
    rng = np.random.default_rng(seed)
    clips = [
        film(photos, int(rng.integers(len(photos))), rng, frames=max(frames, 2), side=_FITTED_SIDE)
        for _ in range(_FITTED_FILMS)
    ]
    blocks = np.concatenate([_patches(clip[:frames], patch, frames) for clip in clips])
    rows = blocks.reshape(-1, blocks.shape[-1])
    mean = rows.mean(0)
    _, basis = np.linalg.eigh(np.cov(rows[:: max(1, len(rows) // 4000)] - mean, rowvar=False))
    basis = basis[:, ::-1][:, :kept].astype(np.float32)
    latents = (blocks - mean) @ basis
    spread = latents.reshape(-1, kept).std(0)
    near = _neighbours(latents + rng.normal(0, 0.05, latents.shape).astype(np.float32) * spread)
    x = near.reshape(-1, near.shape[-1])
    gram = x.T @ x
    gram += np.eye(len(gram), dtype=gram.dtype) * 1e-4 * np.trace(gram) / len(gram)
    back = np.linalg.solve(gram, x.T @ (rows - mean)).astype(np.float32)

    def apply(seen: Film, draw: np.random.Generator) -> Film:
        rest = -len(seen) % frames
        whole = np.concatenate([seen, np.repeat(seen[-1:], rest, 0)]) if rest else seen
        noise, step = draw.uniform(0, 0.15), draw.uniform(0.3, 1.5)
        made = []
        for start in range(0, len(whole), frames):
            parts = _patches(whole[start : start + frames], patch, frames)
            z = (parts - mean) @ basis
            if steps:
                z = np.round(z / (step * spread)) * (step * spread)
            else:
                z += draw.normal(0, noise, z.shape).astype(np.float32) * spread
            made.append(_joined(_neighbours(z) @ back + mean, patch, frames))
        whole_again: Film = np.clip(np.concatenate(made)[: len(seen)] + 0.5, 0, 255).astype(np.uint8)
        return whole_again

    return Decoder(family="quantised" if steps else "linear", apply=apply)


def _patches(clip: Film, patch: int, frames: int) -> NDArray[np.float32]:
    """(T, S, S, 3) -> (1, S / P, S / P, T * P * P * 3) for T = ``frames``."""
    n = clip.shape[1] // patch
    x = clip.astype(np.float32).reshape(frames, n, patch, n, patch, 3)
    return x.transpose(1, 3, 0, 2, 4, 5).reshape(1, n, n, -1)


def _joined(parts: NDArray[np.float32], patch: int, frames: int) -> NDArray[np.float32]:
    n = parts.shape[1]
    x = parts.reshape(n, n, frames, patch, patch, 3).transpose(2, 0, 3, 1, 4, 5)
    return x.reshape(frames, n * patch, n * patch, 3)


def _neighbours(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, n, n, k) -> (B, n, n, 9k)."""
    padded = np.pad(z, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    n, m = z.shape[1:3]
    return np.concatenate([padded[:, i : i + n, j : j + m] for i in range(3) for j in range(3)], -1)


def resample(seen: Film, rng: np.random.Generator) -> Film:
    """A smaller film, enlarged: what the last stage of a cascade does."""
    side = seen.shape[1]
    small = int(side / rng.choice([1.5, 2.0, 2.0, 3.0, 4.0]))
    how = int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    gain = max(0.0, rng.normal(0.4, 0.6))
    made = []
    for frame in seen:
        less = cv2.resize(frame, (small, small), interpolation=cv2.INTER_AREA)
        more = np.asarray(cv2.resize(less, (side, side), interpolation=how), np.float32)
        if how == cv2.INTER_NEAREST:
            more = np.asarray(cv2.GaussianBlur(more, (0, 0), 0.8))
        made.append(more + gain * (more - cv2.GaussianBlur(more, (0, 0), 1.5)))
    return np.clip(np.stack(made) + 0.5, 0, 255).astype(np.uint8)


def restored(seen: Film, rng: np.random.Generator) -> Film:
    """Half size, doubled, smoothed between edges and sharpened at them: what a restoring network leaves."""
    side = seen.shape[1]
    reach, gain = float(rng.uniform(8, 40)), float(rng.uniform(0.6, 2.5))
    noise = max(0.0, float(rng.normal(0.5, 0.8)))
    made = []
    for frame in seen:
        less = cv2.resize(frame, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
        more = cv2.resize(less, (side, side), interpolation=cv2.INTER_LANCZOS4)
        flat = np.asarray(cv2.bilateralFilter(more, 5, reach, 2.0), np.float32)
        sharp = flat + gain * (flat - cv2.GaussianBlur(flat, (0, 0), 1.0))
        made.append(sharp + noise * rng.standard_normal(sharp.shape, dtype=np.float32))
    return np.clip(np.stack(made) + 0.5, 0, 255).astype(np.uint8)


def interpolate(seen: Film, rng: np.random.Generator) -> Film:
    """Every second frame is made anew from its neighbours, by optical flow from both sides."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    made = seen.copy()
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in seen]
    height, width = seen.shape[1:3]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for t in range(1, len(seen) - 1, 2):
        forth, back = flow.calc(grey[t - 1], grey[t + 1], None), flow.calc(grey[t + 1], grey[t - 1], None)  # type: ignore[call-overload]
        a = cv2.remap(seen[t - 1], x - forth[..., 0] / 2, y - forth[..., 1] / 2, cv2.INTER_LINEAR)
        b = cv2.remap(seen[t + 1], x - back[..., 0] / 2, y - back[..., 1] / 2, cv2.INTER_LINEAR)
        made[t] = cv2.addWeighted(a, 0.5, b, 0.5, 0.0)
    return made


def textured(photos: Sequence[Photo], *, seed: int = 0) -> list[Decoder]:
    """Decoders that put texture in: rounded latents and restoring up-samplers."""
    made = [
        linear(photos, patch=p, frames=t, kept=k, seed=seed + n, steps=True)
        for n, (p, t, k) in enumerate(_ROUNDED_SHAPES)
    ]
    return [*made, Decoder(family="restored", apply=restored)]


def closed_form(photos: Sequence[Photo], *, seed: int = 0) -> list[Decoder]:
    """All decoders that need no training by steps."""
    made = [linear(photos, patch=p, frames=t, kept=k, seed=seed + n) for n, (p, t, k) in enumerate(_SHAPES)]
    return [
        *made,
        Decoder(family="resample", apply=resample),
        Decoder(family="interpolate", apply=interpolate),
    ]
