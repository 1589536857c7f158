"""Encoded films of the procedural world in memory, and the pieces of them that a training step takes.

Legend: B clips, C channels, K latent frames, h, w latent sides, H, W pixels, L tokens of text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guarded_sora.generation.models.autoencoder import SPACE, TIME, VideoAutoencoder
from guarded_sora.generation.shapes import BASE_SHAPES, BASE_SIDE
from guarded_sora.generation.vocabulary import MAX_TOKENS
from guarded_sora.generation.windows import WINDOW
from guarded_sora.training.autoencoder import to_tensor
from guarded_sora.training.drawing import draw_any, tokens
from guarded_sora.training.world import FRAMES, layout, render

Encoded = tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.uint8]]
LAYOUT = 8
"""Channels that say where each of two objects is: two coordinates in the first and in the last of four
frames; zero where there is no second."""
PLACED = 4.0
"""Scale of the layout: it stands out of the noise before appearance does, so the place is settled first."""
LONG = 2 * FRAMES - 1
"""Frames of a film in a pool: longer than a window, so that there is something to go on from."""


def encode_films(
    model: VideoAutoencoder,
    count: int,
    rng: np.random.Generator,
    *,
    frames: int = FRAMES,
    shape: tuple[int, int] = (BASE_SIDE, BASE_SIDE),
) -> Encoded:
    """Draw films, render their first ``frames`` frames at (H, W) ``shape`` and encode them.

    Gives latents (B, C + LAYOUT, K, h, w), tokens (B, L) and the objects' outlines (B, 4, K, H/4, W/4):
    coverage by the first object in the first and the last frame of each latent frame, then by the
    second. The last channels are the layout in those two frames.
    """
    films = [draw_any(rng) for _ in range(count)]
    pictures, covers = zip(*(render(film, side=shape, count=frames) for film in films), strict=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        latents = model.encode(to_tensor(np.stack(pictures))).float()
    height, width = shape
    outline = np.stack(covers).reshape(count, 2, frames, height // 4, 4, width // 4, 4).mean((4, 6))
    firsts, lasts = [0, *range(1, frames, TIME)], [0, *range(TIME, frames, TIME)]
    where = [layout(film, height // SPACE, width // SPACE, count=frames) for film in films]
    placed = PLACED * np.stack(where).transpose(0, 2, 1, 3, 4)
    told = [placed[:, :2, firsts], placed[:, :2, lasts], placed[:, 2:, firsts], placed[:, 2:, lasts]]
    whole = np.concatenate([latents.numpy(), *told], 1)
    outlines = np.stack([outline[:, i][:, at] for i in (0, 1) for at in (firsts, lasts)], 1)
    rows = np.array([tokens(film) for film in films])
    return whole.astype(np.float16), rows, outlines.round().astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Clips of one shape and length: latents (B, C + LAYOUT, K, h, w), tokens (B, L), outlines
    (B, 4, K, H/4, W/4) in [0, 1]."""

    clean: Tensor
    rows: Tensor
    outlines: Tensor

    def __len__(self) -> int:
        return len(self.clean)


class Pool:
    """Encoded films of one shape in memory; the oldest makes room for the newest."""

    def __init__(
        self, size: int, channels: int, frames: int, shape: tuple[int, int] = BASE_SHAPES[0]
    ) -> None:
        height, width = shape
        self.latents = torch.empty(
            size, channels, frames, height // SPACE, width // SPACE, dtype=torch.float16
        )
        self.tokens = torch.empty(size, MAX_TOKENS, dtype=torch.long)
        self.outlines = torch.empty(size, 4, frames, height // 4, width // 4, dtype=torch.uint8)
        self.shape = shape
        self.made = self.used = 0

    def __len__(self) -> int:
        return min(self.made, len(self.latents))

    def add(self, encoded: Encoded) -> None:
        for latents, row, outline in zip(*encoded, strict=True):
            at = self.made % len(self.latents)
            self.latents[at], self.tokens[at] = torch.from_numpy(latents), torch.from_numpy(row)
            self.outlines[at] = torch.from_numpy(outline)
            self.made += 1

    def draw(self, count: int, generator: torch.Generator, piece: slice = slice(None)) -> Batch:
        """Some films at random, of each the latent frames ``piece``."""
        picks = torch.randint(len(self), (count,), generator=generator)
        self.used += count
        return Batch(
            clean=self.latents[picks, :, piece].float(),
            rows=self.tokens[picks],
            outlines=self.outlines[picks, :, piece].float() / 255,
        )


def draw_piece(frames: int, inside: float, generator: torch.Generator) -> slice:
    """Which latent frames of a film of ``frames`` a step sees.

    Mostly the first window. With probability ``inside`` a window from later on, as long films are made,
    and half as often any other length, from two latent frames to the whole film.
    """
    chance = float(torch.rand((), generator=generator))
    if chance < inside:
        start = int(torch.randint(1, frames - WINDOW + 1, (), generator=generator))
        return slice(start, start + WINDOW)
    if chance < 1.5 * inside:
        return slice(0, int(torch.randint(2, frames + 1, (), generator=generator)))
    return slice(0, WINDOW)
