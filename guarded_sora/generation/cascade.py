"""The cascade: a film made small and slow is made twice as fast (temporal) and twice as large (spatial).

Both stages are the same network as the base model, with a guide: the film before, enlarged by plain
interpolation, encoded, and noised a little, so that a stage trusts its guide no more than the base
model deserves (noise conditioning augmentation: Ho et al. 2021, Cascaded Diffusion Models). A film of
any length is made in pieces of three latent frames, each of which is given the last of the piece
before (masked-latent conditioning), so memory does not grow with length.

Legend: B clips, T frames, H, W pixels, C latent channels, K latent frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from guarded_sora.generation.conditioning import StepCall, solve
from guarded_sora.generation.models.base import split

PIECE = 3
"""Latent frames of one piece."""
NOISE = 0.03
"""Level of the noise on the guide when a film is made."""


def slower_to_faster(parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """Parts (B, 3, T, H, W) of a film -> parts at twice the rate, 2T - 1 frames in all.

    Between two frames stands their mean.
    """
    last: Tensor | None = None
    for part in parts:
        film = part if last is None else torch.cat([last, part], 2)
        between = (film[:, :, :-1] + film[:, :, 1:]) / 2
        pairs = torch.stack([between, film[:, :, 1:]], 3).flatten(2, 3)
        yield pairs if last is not None else torch.cat([film[:, :, :1], pairs], 2)
        last = part[:, :, -1:]


def smaller_to_larger(film: Tensor) -> Tensor:
    """(B, 3, T, H, W) -> (B, 3, T, 2H, 2W), bicubic, clamped to [-1, 1]."""
    flat = film.transpose(1, 2).flatten(0, 1)
    large = F.interpolate(flat, scale_factor=2, mode="bicubic", align_corners=False).clamp(-1, 1)
    return split(large, 0, (film.shape[0], -1)).transpose(1, 2)


def noised(latents: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """A guide (B, C + 1, K, h, w): ``latents`` with noise of ``level`` (B,) in [0, 1], and the level."""
    wide = level[:, None, None, None, None].to(latents.dtype)
    told = wide.expand(-1, 1, *latents.shape[2:])
    return torch.cat([(1 - wide) * latents + wide * noise, told], 1)


def pieces(total: int) -> Iterator[tuple[int, int]]:
    """(first, end) of each piece of ``total`` latent frames; each but the first begins one frame early."""
    first = 0
    while True:
        end = min(first + PIECE, total)
        yield first, end
        if end == total:
            return
        first = end - 1


def _gather(parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """Latents that come in parts of any length -> the overlapping pieces of ``pieces``."""
    held: Tensor | None = None
    for part in parts:
        held = part if held is None else torch.cat([held, part], 2)
        # The last piece may be shorter, so one is only cut off when more than it is there.
        while held.shape[2] > PIECE:
            yield held[:, :, :PIECE]
            held = held[:, :, PIECE - 1 :]
    if held is not None:
        yield held


def refine(
    network: Any,
    text_encoder: Any,
    scheduler: Any,
    tokens: Tensor,
    enlarged: Iterable[Tensor],
    *,
    steps: int,
    draw: Callable[[tuple[int, ...]], Tensor],
    on_step: StepCall | None = None,
) -> Iterator[Tensor]:
    """Latents of a stage, in parts (B, C, 1 to 3, h, w), from the enlarged film's latents, in parts too.

    ``draw`` gives noise of a shape. No guidance is used: the guide says enough.
    """
    last: Tensor | None = None
    for part in _gather(enlarged):
        level = torch.full((len(part),), NOISE, device=part.device)
        guide = noised(part, level, draw(tuple(part.shape)))
        known, mask = torch.zeros_like(part), torch.zeros_like(part[:, :1])
        if last is not None:
            known[:, :, :1], mask[:, :, :1] = last, 1
        made = solve(
            network, text_encoder, scheduler, tokens, draw(tuple(part.shape)), steps=steps, guidance=1.0,
            known=known, mask=mask, guide=guide, on_step=on_step,
        )  # fmt: skip
        yield made if last is None else made[:, :, 1:]
        last = made[:, :, -1:]
