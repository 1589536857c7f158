"""Trains one stage of the cascade: the same network as the base model, with a guide.

A pair is drawn, not collected: the renderer gives the same film small and large, slow and fast. The
small or slow one goes through the autoencoder's round trip, since that is how a stage meets it.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from guarded_sora.generation.cascade import PIECE, noised, pieces, slower_to_faster, smaller_to_larger
from guarded_sora.generation.models.autoencoder import VideoAutoencoder
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import PackedClip, SpacetimeTransformer
from guarded_sora.generation.shapes import BASE_SHAPES
from guarded_sora.training.autoencoder import to_tensor
from guarded_sora.training.base import ADAM
from guarded_sora.training.config import CascadeConfig
from guarded_sora.training.drawing import draw_any, tokens
from guarded_sora.training.earlier import earlier
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


def draw_film_pair(
    stage: str, film: Film, model: VideoAutoencoder, shape: tuple[int, int] = BASE_SHAPES[0]
) -> tuple[Tensor, Tensor]:
    """(what the stage should make, its enlarged guide), both (1, 3, T, H, W) in [-1, 1]."""

    def shown(scale: int, frames: int) -> Tensor:
        side = scale * shape[0], scale * shape[1]
        return to_tensor(render(film, side=side, frames=frames)[0][None])

    def again(x: Tensor) -> Tensor:
        return model.decode(model.encode(x))

    if stage == "temporal":
        return shown(1, FAST), next(slower_to_faster([again(shown(1, FRAMES))]))
    return shown(2, FRAMES), smaller_to_larger(again(shown(1, FRAMES)))


@torch.no_grad()
def draw_pairs(
    stage: str, model: VideoAutoencoder, rng: np.random.Generator, square_share: float = 1.0
) -> list[Pair]:
    """All whole pieces of one drawn film, of any of the base model's shapes."""
    film = draw_any(rng)
    square = rng.random() < square_share
    shape = BASE_SHAPES[0 if square else int(rng.integers(1, len(BASE_SHAPES)))]
    with torch.autocast("cpu", torch.bfloat16):
        clean, guide = (model.encode(x).float()[0] for x in draw_film_pair(stage, film, model, shape))
    row = torch.tensor(tokens(film))
    return [
        Pair(clean=clean[:, a:b].half(), guide=guide[:, a:b].half(), tokens=row)
        for a, b in pieces(clean.shape[1])
        if b - a == PIECE
    ]


def stage_loss(
    network: SpacetimeTransformer,
    text_encoder: ConceptEncoder,
    batch: list[Pair],
    config: CascadeConfig,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of the flow over one packed row; half of the pieces are given the latent frame
    before them."""
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        text, pooled = text_encoder(torch.stack([pair.tokens for pair in batch]))
    clips, wanted = [], []
    for index, pair in enumerate(batch):
        clean, plain = pair.clean.float(), pair.guide.float()
        level, known, near, time_ = torch.rand(4, generator=generator).tolist()
        guide = noised(
            plain[None],
            torch.tensor([config.noise_most * level]),
            torch.randn(plain.shape, generator=generator)[None],
        )[0]
        mask = torch.zeros_like(clean[:1])
        mask[:, :1] = float(known < config.known)
        sigma = torch.sigmoid(torch.randn((), generator=generator) + config.time_mean)
        sigma = torch.tensor(1 - 0.03 * time_) if near < 0.1 else sigma
        noise = torch.randn(clean.shape, generator=generator)
        noisy = ((1 - sigma) * clean + sigma * noise) * (1 - mask) + clean * mask
        clips.append(
            PackedClip(latents=noisy, timestep=1000 * sigma, text=text[index], pooled=pooled[index],
                       known=clean, mask=mask, guide=guide)
        )  # fmt: skip
        wanted.append((noise - clean, mask, sigma))
    with torch.autocast("cpu", torch.bfloat16):
        flows = network.packed(clips)
    errors, asked = torch.zeros(()), torch.zeros(())
    for flow, (true, mask, sigma) in zip(flows, wanted, strict=True):
        # The flow of a correction is exact at no noise and blind at much: the error counts by the noise.
        weight = (sigma / LEAST_WEIGHED).clamp_max(1).square()
        errors = errors + (weight * (flow.float() - true).square() * (1 - mask)).sum()
        asked = asked + (1 - mask).sum() * len(true)
    return errors / asked


def train_cascade(out: Path, config: CascadeConfig) -> Path:
    """Train one stage, resuming where ``out`` holds a state; returns the folder of the exported model."""
    torch.manual_seed(config.seed)
    cv2.setNumThreads(1)
    autoencoder = earlier(VideoAutoencoder, Path(config.autoencoder), "autoencoder")
    text_encoder = earlier(ConceptEncoder, Path(config.text_encoder), "text_encoder")
    network = SpacetimeTransformer(
        autoencoder.config.channels, config.width, config.depth, config.heads,
        config.patch or (2 if config.stage == "temporal" else 4), guide=True,
        text_width=text_encoder.config.width, correct=True,
    )  # fmt: skip
    if config.start:
        network.load_state_dict(earlier(SpacetimeTransformer, Path(config.start), "start").state_dict())
    run = Run(out, config)
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
                fresh = draw_pairs(config.stage, autoencoder, rng, config.square_share)
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
