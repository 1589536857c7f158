"""Trains one stage of the cascade: the same network as the base model, with a guide.

A pair is drawn, not collected: the renderer gives the same film small and large, slow and fast. The
small or slow one goes through the autoencoder's round trip, since that is how a stage meets it.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from guarded_sora.generation.cascade import PIECE, noised, pieces, slower_to_faster, smaller_to_larger
from guarded_sora.generation.models.autoencoder import VideoAutoencoder
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.shapes import BASE_SIDE
from guarded_sora.training.autoencoder import to_tensor
from guarded_sora.training.base import ADAM
from guarded_sora.training.config import CascadeConfig
from guarded_sora.training.drawing import draw_any, tokens
from guarded_sora.training.optimiser import MuonAdam
from guarded_sora.training.run import Run, slope
from guarded_sora.training.world import FRAMES, Film, render

LEAST_WEIGHED = 0.3
"""Noise level below which errors of the flow count less."""
FAST = 2 * FRAMES - 1
"""Frames of a film at twice the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One piece: its latents, those of its guide, both (C, PIECE, h, w), and the film's tokens."""

    clean: Tensor
    guide: Tensor
    tokens: Tensor


def draw_film_pair(stage: str, film: Film, model: VideoAutoencoder) -> tuple[Tensor, Tensor]:
    """(what the stage should make, its enlarged guide), both (1, 3, T, S, S) in [-1, 1]."""

    def shown(side: int, frames: int) -> Tensor:
        return to_tensor(render(film, side=side, frames=frames)[0][None])

    def again(x: Tensor) -> Tensor:
        return model.decode(model.encode(x))

    if stage == "temporal":
        return shown(BASE_SIDE, FAST), next(slower_to_faster([again(shown(BASE_SIDE, FRAMES))]))
    return shown(2 * BASE_SIDE, FRAMES), smaller_to_larger(again(shown(BASE_SIDE, FRAMES)))


@torch.no_grad()
def draw_pairs(stage: str, model: VideoAutoencoder, rng: np.random.Generator) -> list[Pair]:
    """All whole pieces of one drawn film."""
    film = draw_any(rng)
    with torch.autocast("cpu", torch.bfloat16):
        clean, guide = (model.encode(x).float()[0] for x in draw_film_pair(stage, film, model))
    row = torch.tensor(tokens(film))
    return [
        Pair(clean=clean[:, a:b].half(), guide=guide[:, a:b].half(), tokens=row)
        for a, b in pieces(clean.shape[1])
        if b - a == PIECE
    ]


def stage_loss(
    network: Any, text_encoder: Any, batch: list[Pair], config: CascadeConfig, generator: torch.Generator
) -> Tensor:
    """Mean squared error of the flow; half of the pieces are given the latent frame before them."""
    clean = torch.stack([pair.clean for pair in batch]).float()
    plain = torch.stack([pair.guide for pair in batch]).float()
    rows, count = torch.stack([pair.tokens for pair in batch]), len(batch)
    level = config.noise_most * torch.rand(count, generator=generator)
    guide = noised(plain, level, torch.randn(plain.shape, generator=generator))
    mask = torch.zeros_like(clean[:, :1])
    mask[torch.rand(count, generator=generator) < config.known, :, :1] = 1
    sigma = torch.sigmoid(torch.randn(count, generator=generator) + config.time_mean)
    near = torch.rand(count, generator=generator) < 0.1
    sigma = torch.where(near, 1 - 0.03 * torch.rand(count, generator=generator), sigma)
    wide, noise = sigma[:, None, None, None, None], torch.randn(clean.shape, generator=generator)
    noisy = ((1 - wide) * clean + wide * noise) * (1 - mask) + clean * mask
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            words = text_encoder(rows)
        flow = network(noisy, sigma * 1000, *words, clean, mask, guide)
    # The flow of a correction is exact at no noise and blind at much: the error counts by the noise.
    weight = (wide / LEAST_WEIGHED).clamp_max(1).square()
    error = (flow.float() - (noise - clean)).square() * (1 - mask) * weight
    loss: Tensor = error.sum() / ((1 - mask).sum() * clean.shape[1])
    return loss


def train_cascade(out: Path, config: CascadeConfig) -> Path:
    """Train one stage, resuming where ``out`` holds a state; returns the folder of the exported model."""
    torch.manual_seed(config.seed)
    cv2.setNumThreads(1)
    run = Run(out, config)
    autoencoder = VideoAutoencoder.from_pretrained(config.autoencoder).eval()
    text_encoder = ConceptEncoder.from_pretrained(config.text_encoder).eval()
    network = SpacetimeTransformer(
        autoencoder.config.channels, config.width, config.depth, config.heads,
        config.patch or (2 if config.stage == "temporal" else 4), guide=True,
        text_width=text_encoder.config.width, correct=config.stage == "spatial",
    )  # fmt: skip
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = MuonAdam.of(network, lr=config.lr, adam=ADAM, adam_ratio=config.adam_ratio)
    step, spent = 0, 0.0
    if state := run.resume():
        network.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["seconds"]
    generator = torch.Generator().manual_seed(config.seed + step)
    rng = np.random.default_rng((config.seed, step))
    pool: list[Pair] = []
    drawn, began = 0, time.monotonic() - spent
    first = step
    with Progress() as bar:
        task = bar.add_task(config.stage, total=config.steps, completed=step)
        while step < config.steps:
            while drawn < max(config.pool_least, (step - first) * config.batch / config.reuse):
                fresh = draw_pairs(config.stage, autoencoder, rng)
                pool, drawn = (pool + fresh)[-config.pool :], drawn + len(fresh)
            picks = torch.randint(len(pool), (config.batch,), generator=generator).tolist()
            for group in optimiser.param_groups:
                group["lr"] = config.lr * slope(step, config.steps, config.warmup, config.decay_from)
            loss = stage_loss(network, text_encoder, [pool[i] for i in picks], config, generator)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            with torch.no_grad():
                keep = min(config.ema, (1 + step) / (10 + step))
                for a, b in zip(average.parameters(), network.parameters(), strict=True):
                    a.lerp_(b, 1 - keep)
            run.log(step, loss.item(), time.monotonic() - began)
            bar.update(task, advance=1, description=f"{config.stage} loss {loss.item():.3f}")
            if step % config.save_every == 0 or step == config.steps:
                seconds = time.monotonic() - began
                print(f"step {step} loss {np.mean([v for _, v, _ in run.losses[-50:]]):.4f} pieces {drawn} "
                      f"seconds {seconds:.0f}", flush=True)  # fmt: skip
                run.curve()
                run.save(model=network.state_dict(), average=average.state_dict(),
                         optimiser=optimiser.state_dict(), step=step, seconds=seconds)  # fmt: skip
                average.save_pretrained(out / "export")
    return out / "export"
