"""Solving the flow from noise to latents, with known latents held fixed (masked-latent conditioning).

Text, image and video prompts and the continuation of a film differ only in which latent frames are
known: none, the first, or the first few.

Legend: B rows, C latent channels, K latent frames, h, w latent sides, L tokens, D features.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from guarded_sora.generation.models.text import ConceptEncoder, empty_tokens
from guarded_sora.generation.models.transformer import SpacetimeTransformer

StepCall = Callable[[int, Tensor, Tensor], Tensor | None]
"""Called after each step with (index, latents, predicted clean latents); may return new latents."""


def set_times(scheduler: Any, steps: int, device: torch.device) -> None:
    """Spread the steps evenly from pure noise to the clean end, before the scheduler shifts the time.

    The schedulers' own times end just before the clean end, so that their last step changes next to nothing:
    one step of twelve is lost, one of four in a stage. A scheduler that takes no times keeps its own.
    """
    if "sigmas" in inspect.signature(scheduler.set_timesteps).parameters:
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), device=device)
    else:
        scheduler.set_timesteps(steps, device=device)


def eased(guidance: float, mask: Tensor) -> float:
    """The guidance of a pass of which ``mask`` is given: half of the excess over 1 if anything is.

    The first frame settles what the thing is; going on from what is given needs half the push.
    """
    return 1 + (guidance - 1) / 2 if mask.any() else guidance


@torch.no_grad()
def solve(
    transformer: SpacetimeTransformer,
    text_encoder: ConceptEncoder,
    scheduler: Any,
    tokens: Tensor,
    noise: Tensor,
    *,
    steps: int,
    guidance: float,
    guided_steps: int | None = None,
    known: Tensor | None = None,
    mask: Tensor | None = None,
    avoid: Tensor | None = None,
    guide: Tensor | None = None,
    on_step: StepCall | None = None,
) -> Tensor:
    """Clean latents (B, C, K, h, w) for ``tokens`` (B, L) from ``noise`` of that shape.

    ``known`` holds clean latents where ``mask`` (B, 1 or C, K, h, w) is 1. ``guidance`` is the scale of
    classifier-free guidance (1 = none) away from ``avoid`` (B, L), by default the empty prompt; only the
    first ``guided_steps`` have it (None: all), for it settles early what a film shows (guidance in a limited
    interval: Kynkäänniemi et al. 2024) and doubles the cost of a step.
    ``guide`` (B, C + 1, K, h, w) belongs to a stage of the cascade, see the transformer.
    ``scheduler`` is any of diffusers' flow-matching schedulers.
    """
    rows = noise.shape[0]
    mask = torch.zeros_like(noise[:, :1]) if mask is None else mask
    known = torch.zeros_like(noise) if known is None else known
    guided = guidance != 1.0
    text, pooled = text_encoder(tokens)
    if guided:
        away = empty_tokens(rows).to(tokens.device) if avoid is None else avoid
        text_away, pooled_away = text_encoder(away)
        both, both_pooled = torch.cat([text, text_away]), torch.cat([pooled, pooled_away])
    set_times(scheduler, steps, noise.device)
    latents = noise
    for index, timestep in enumerate(scheduler.timesteps):
        latents = latents * (1 - mask) + known * mask
        t = timestep.to(noise.dtype).expand(rows)
        if guided and (guided_steps is None or index < guided_steps):
            pair = [torch.cat([x, x]) for x in (latents, t, known, mask)]
            guides = None if guide is None else torch.cat([guide, guide])
            halves = transformer(pair[0], pair[1], both, both_pooled, pair[2], pair[3], guides)
            flow, flow_away = halves.chunk(2)
            flow = flow_away + guidance * (flow - flow_away)
        else:
            flow = transformer(latents, t, text, pooled, known, mask, guide)
        clean = latents - (timestep / 1000) * flow
        latents = scheduler.step(flow, timestep, latents, return_dict=False)[0]
        if on_step is not None:
            changed = on_step(index, latents, clean * (1 - mask) + known * mask)
            latents = latents if changed is None else changed
    return latents * (1 - mask) + known * mask
