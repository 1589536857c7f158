"""What one training step of the base model asks of it: the flow at unknown places of a packed row.

Legend: B clips, C channels, K latent frames, h, w latent sides, N tokens, L tokens of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import PackedClip, SpacetimeTransformer, to_patches
from guarded_sora.generation.vocabulary import CONCEPTS, MAX_TOKENS, OBJECTS, PAD, UNKNOWN
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.pool import LAYOUT, PLACED, Batch

MASK = 2 * 16
"""Numbers of a token's share of the object's outline: 4x4 cells of its first and of its last frame."""
ALIGN = MASK + len(OBJECTS)


def teacher(rows: Tensor, outlines: Tensor) -> Tensor:
    """What the middle of the network should know of each token (B, N, ALIGN), all in [0, 1].

    The renderer's own truth: where the objects' outlines run and which objects they are. It says the
    shape apart from the colour, which the pixels alone only say together.
    """
    first, second = to_patches(outlines[:, :2], 4), to_patches(outlines[:, 2:], 4)
    kinds = torch.zeros(*first.shape[:2], len(OBJECTS))
    for mask, group in ((first, "object"), (second, "object2")):
        begin = CONCEPTS.index(f"{group}:{OBJECTS[0]}")
        named = (rows[..., None] == begin + torch.arange(len(OBJECTS))).any(1)
        inside = (mask.mean(-1, keepdim=True) > 0.1).to(mask.dtype)
        kinds = torch.maximum(kinds, inside * named[:, None].to(mask.dtype))
    return torch.cat([torch.maximum(first, second), kinds], -1)


def drop_words(rows: Tensor, config: BaseConfig, generator: torch.Generator) -> Tensor:
    """Leave out single words now and then, and the whole prompt for guidance.

    A dropped prompt is all padding, or the unknown word alone: both mean "no idea what".
    """
    out = []
    for row in rows.tolist():
        chance = torch.rand(MAX_TOKENS + 2, generator=generator).tolist()
        kept = [w for i, w in enumerate(row) if w != PAD and (i == 0 or chance[i] >= config.omit)]
        if chance[-1] < config.text_drop:
            kept = [UNKNOWN] if chance[-2] < 0.25 else []
        out.append((kept + [PAD] * MAX_TOKENS)[:MAX_TOKENS])
    return torch.tensor(out)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Mean squared error of the flow, of films and of stills, and how far the middle is from its teacher."""

    films: Tensor
    stills: Tensor
    apart: Tensor


def flow_losses(
    transformer: SpacetimeTransformer,
    text_encoder: ConceptEncoder,
    parts: Sequence[Noised],
    config: BaseConfig,
    generator: torch.Generator,
) -> Losses:
    """One packed row of all clips of ``parts``, films and stills of any shape and length side by side."""
    rows = torch.cat([part.batch.rows for part in parts])
    seen: list[Tensor] = []
    with torch.autocast("cpu", torch.bfloat16):
        text, pooled = text_encoder(drop_words(rows, config, generator))
        counts = [len(part.batch) for part in parts]
        words = zip(text.split(counts), pooled.split(counts), strict=True)
        clips = [clip for part, told in zip(parts, words, strict=True) for clip in part.clips(*told)]
        flows = iter(transformer.packed(clips, seen=seen))
    sums = {True: torch.zeros(2), False: torch.zeros(2)}
    for part in parts:
        flow = torch.stack([next(flows) for _ in range(len(part.batch))]).float()
        error = (flow - (part.noise - part.batch.clean)).square() * (1 - part.mask)
        looks, places = error[:, :-LAYOUT].sum(), error[:, -LAYOUT:].sum()
        still = part.batch.clean.shape[2] == 1
        sums[still] = sums[still] + torch.stack([looks + places / PLACED, (1 - part.mask).sum()])
    told = torch.cat(seen).float()
    truth = torch.cat([teacher(part.batch.rows, part.batch.outlines).flatten(0, 1) for part in parts])
    outline = F.binary_cross_entropy_with_logits(told[:, :MASK], truth[:, :MASK])
    kind = F.binary_cross_entropy_with_logits(told[:, MASK:], truth[:, MASK:])
    films, stills = (sums[still][0] / sums[still][1].clamp_min(1) for still in (False, True))
    return Losses(films=films, stills=stills, apart=outline + 4 * kind)
