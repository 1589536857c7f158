"""Clips on their way to noise, and what of them is given: what a training step starts from.

Legend: B clips, C channels, K latent frames, h, w latent sides, L tokens of text, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guarded_sora.generation.models.transformer import PackedClip
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.pool import LAYOUT, Batch


def draw_mask(latents: Tensor, config: BaseConfig, generator: torch.Generator) -> Tensor:
    """(B, C, K, h, w): 1 on the latent frames that are given; many rows are given none.

    A film that goes on knows its layout too; an image or a video prompt shows only how things look.
    """
    mask = torch.zeros_like(latents)
    if latents.shape[2] == 1:
        return mask  # a still given whole would teach nothing
    more = config.known_one + config.known_more
    for row, chance in enumerate(torch.rand(len(latents), generator=generator).tolist()):
        if chance < config.known_one:
            mask[row, :, :1] = 1
        elif chance < more:
            mask[row, :, : min(2 + row % 2, latents.shape[2] - 1)] = 1
        elif chance < more + config.known_other:
            mask[row] = _other_mask(latents[row], generator)
    blind = torch.rand(len(latents), generator=generator) < config.layout_unknown
    mask[blind, -LAYOUT:] = 0
    return mask


def draw_later_mask(latents: Tensor, config: BaseConfig, generator: torch.Generator) -> Tensor:
    """The mask of pieces from inside a film: two latent frames are given, and what else may be.

    That is how a long film goes on. With less, a piece in which what rose comes down again would teach that
    "rising" says nothing.
    """
    mask = draw_mask(latents, config, generator)
    mask[:, :, :2] = 1
    return mask


def _other_mask(latents: Tensor, generator: torch.Generator) -> Tensor:
    """(C, K, h, w): the end is given, or both ends, or everything but a box that lasts the whole film."""
    mask = torch.zeros_like(latents)
    kind, length = torch.randint(3, (2,), generator=generator).tolist()
    if kind == 2:
        height, width = latents.shape[-2:]
        tall, wide = (
            int(torch.randint(side // 4, side * 3 // 4 + 1, (1,), generator=generator))
            for side in (height, width)
        )
        top = int(torch.randint(height - tall + 1, (1,), generator=generator))
        left = int(torch.randint(width - wide + 1, (1,), generator=generator))
        mask[:] = 1
        mask[..., top : top + tall, left : left + wide] = 0
        return mask
    if latents.shape[1] > 1 + length % 2 + (kind == 1) * (1 + length // 2):
        mask[:, -(1 + length % 2) :] = 1
        if kind == 1:
            mask[:, : 1 + length // 2] = 1
    return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Noised:
    """A batch on its way to noise: ``noise``, ``mask``, ``known`` are like its latents, ``sigma`` is (B,)."""

    batch: Batch
    sigma: Tensor
    noise: Tensor
    mask: Tensor
    known: Tensor

    def clips(self, text: Tensor, pooled: Tensor) -> list[PackedClip]:
        """The clips as the network takes them, with their words (B, Nt, D) and (B, D)."""
        clean, mask, known = self.batch.clean, self.mask, self.known
        wide = self.sigma[:, None, None, None, None]
        noisy = ((1 - wide) * clean + wide * self.noise) * (1 - mask) + known * mask
        return [
            PackedClip(
                latents=noisy[i],
                timestep=1000 * self.sigma[i],
                text=text[i],
                pooled=pooled[i],
                known=known[i],
                mask=mask[i],
            )
            for i in range(len(clean))
        ]


def told_clips(parts: Sequence[Noised], text: Tensor, pooled: Tensor) -> list[PackedClip]:
    """The clips of all ``parts`` as the network takes them, with the words of all."""
    counts = [len(part.batch) for part in parts]
    words = zip(torch.split(text, counts), torch.split(pooled, counts), strict=True)
    return [clip for part, told in zip(parts, words, strict=True) for clip in part.clips(*told)]


def noised(batch: Batch, config: BaseConfig, generator: torch.Generator, *, later: bool = False) -> Noised:
    """Noise at logit-normal times, a few of them near pure noise.

    ``later``: pieces from inside a film. What they go on from is spoiled a little, as what a network made
    is: it learns to mend what it takes over, or a long film fades window by window.
    """
    clean = batch.clean
    mean = config.still_time_mean if clean.shape[2] == 1 else config.time_mean
    sigma = torch.sigmoid(torch.randn(len(clean), generator=generator) + mean)
    near = torch.rand(len(clean), generator=generator) < 0.04
    sigma = torch.where(near, 1 - 0.03 * torch.rand(len(clean), generator=generator), sigma)
    noise = torch.randn(clean.shape, generator=generator)
    mask, known = (draw_later_mask if later else draw_mask)(clean, config, generator), clean
    if later:
        level = config.known_noise * torch.rand(len(clean), 1, 1, 1, 1, generator=generator)
        known = clean + level * torch.randn(clean.shape, generator=generator)
    return Noised(batch=batch, sigma=sigma, noise=noise, mask=mask, known=known)
