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
from guarded_sora.generation.models.transformer import SpacetimeTransformer, to_patches
from guarded_sora.generation.vocabulary import CONCEPTS, MAX_TOKENS, OBJECTS, PAD, UNKNOWN
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.guided import Guide
from guarded_sora.training.noised import Noised, told_clips
from guarded_sora.training.pool import LAYOUT, PLACED

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
    guide: Guide | None = None,
) -> Losses:
    """One packed row of all clips of ``parts``, films and stills of any shape and length side by side.

    What is learned is the flow to the clean clips, or that of a ``guide``.
    """
    rows = torch.cat([part.batch.rows for part in parts])
    seen: list[Tensor] = []
    with torch.autocast("cpu", torch.bfloat16):
        words = drop_words(rows, config, generator)
        flows = iter(transformer.packed(told_clips(parts, *text_encoder(words)), seen=seen))
    guided = None if guide is None else iter(guide.flows(parts, words))
    sums = {True: torch.zeros(2), False: torch.zeros(2)}
    for part in parts:
        flow = torch.stack([next(flows) for _ in range(len(part.batch))]).float()
        wanted = part.noise - part.batch.clean
        if guided is not None:
            wanted = torch.stack([next(guided) for _ in range(len(part.batch))])
        error = (flow - wanted).square() * (1 - part.mask)
        looks, places = error[:, :-LAYOUT].sum(), error[:, -LAYOUT:].sum()
        still = part.batch.clean.shape[2] == 1
        sums[still] = sums[still] + torch.stack([looks + places / PLACED, (1 - part.mask).sum()])
    told = torch.cat(seen).float()
    truth = torch.cat([teacher(part.batch.rows, part.batch.outlines).flatten(0, 1) for part in parts])
    outline = F.binary_cross_entropy_with_logits(told[:, :MASK], truth[:, :MASK])
    kind = F.binary_cross_entropy_with_logits(told[:, MASK:], truth[:, MASK:])
    films, stills = (sums[still][0] / sums[still][1].clamp_min(1) for still in (False, True))
    return Losses(films=films, stills=stills, apart=outline + 4 * kind)
