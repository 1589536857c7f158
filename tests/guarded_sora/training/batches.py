"""Batches of noise in the shape of encoded films."""

from __future__ import annotations

import torch

from guarded_sora.generation.vocabulary import MAX_TOKENS, PAD
from guarded_sora.training.pool import LAYOUT, Batch


def batch_of(shape: tuple[int, int, int], count: int) -> Batch:
    frames, height, width = shape
    draw = torch.Generator().manual_seed(frames)
    rows = torch.full((count, MAX_TOKENS), PAD)
    rows[:, 0] = torch.randint(2, 26, (count,), generator=draw)
    return Batch(
        clean=torch.randn(count, 4 + LAYOUT, frames, height, width, generator=draw),
        rows=rows,
        outlines=torch.rand(count, 4, frames, 2 * height, 2 * width, generator=draw),
    )
