"""Trains the video autoencoder on films of the procedural world and on moving photographs."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from guarded_sora.generation.models.autoencoder import TIME, VideoAutoencoder, repeat_first, to_blocks
from guarded_sora.generation.models.base import split
from guarded_sora.training.config import AutoencoderConfig
from guarded_sora.training.drawing import draw_any, draw_film
from guarded_sora.training.natural import draw_natural, photographs
from guarded_sora.training.optimiser import MuonAdam
from guarded_sora.training.run import Producer, Run, slope, to_film
from guarded_sora.training.world import FRAMES, render

ADAM = ("to_latent", "to_variance", "pixels")
"""Ends of the convolutional paths: Adam trains them; Muon is meant for the matrices between."""


def draw_drawn(rng: np.random.Generator, *, side: int, frames: int, held: bool = False) -> NDArray[np.uint8]:
    """A piece of a film of the world, uint8 (T, S, S, 3): rendered at S to 2 S pixels, then cut out."""
    whole = int(rng.integers(side // 8, side // 4 + 1)) * 8
    first = int(rng.integers(0, FRAMES - frames + 1))
    drawn = draw_film(rng, held=True) if held else draw_any(rng)
    film, cover = render(drawn, side=whole, first=first, count=frames)
    # Most of the places are smooth, so the cut is laid over the object more often than not.
    room = whole - side
    top, left = (int(v) for v in rng.integers(0, room + 1, 2))
    if rng.random() < 0.7 and (seen := np.argwhere(cover[:, frames // 2].max(0) > 127)).size:
        y, x = seen[rng.integers(len(seen))]
        top, left = (int(np.clip(v - side // 2, 0, room)) for v in (y, x))
    return np.ascontiguousarray(film[:, top : top + side, left : left + side])


def draw_batch(config: AutoencoderConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Clips uint8 (B, T, S, S, 3); the share ``natural`` of them over photographs, where there are any."""
    share = config.natural if photographs() else 0.0
    kinds = [draw_natural if rng.random() < share else draw_drawn for _ in range(config.batch)]
    return np.stack([draw(rng, side=config.side, frames=config.frames) for draw in kinds])


def to_tensor(films: NDArray[np.uint8]) -> Tensor:
    """uint8 (B, T, H, W, 3) -> float32 (B, 3, T, H, W) in [-1, 1]."""
    return torch.from_numpy(films).permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)


def _picked(film: Tensor, pick: Tensor) -> Tensor:
    return split(repeat_first(film), 2, (-1, TIME))[:, :, :, pick].flatten(2, 3)


def loss_of(model: VideoAutoencoder, film: Tensor, config: AutoencoderConfig) -> Tensor:
    """Smooth L1 of pixels and of their differences to the neighbours, and the latents' divergence.

    Two random frames of each four are decoded. The latents bear noise: the posterior's own and a
    little more, so that the decoder forgives a generator's small errors.
    """
    pick = torch.randperm(TIME)[: config.decoded]
    with torch.autocast("cpu", torch.bfloat16):
        mean, variance = model.posterior(film)
        mean, variance = mean.float(), variance.float()
        if model.config.levels:
            z = model.quantise(mean)
        else:
            noise = variance.exp() + config.latent_noise**2
            z = mean + noise.sqrt() * torch.randn_like(mean)
        made = model.decode_raw(z, pick=pick).float()
    error = made - _picked(film, pick)
    across, down = error.diff(dim=-1), error.diff(dim=-2)
    pixel = (error.square() + 1e-4).sqrt().mean()
    edge = (across.square() + 1e-4).sqrt().mean() + (down.square() + 1e-4).sqrt().mean()
    divergence = 0.5 * (mean.square() + variance.exp() - variance - 1).mean()
    return (
        pixel
        + config.square_weight * error.square().mean()
        + config.edge_weight * edge
        + (config.latent_weight * divergence)
    )


@torch.no_grad()
def psnr(model: VideoAutoencoder, films: Tensor, *, linear: bool = False) -> float:
    """Mean over films (B, 3, T, H, W) in [-1, 1] of the round trip's PSNR in dB.

    ``linear`` takes the closed-form linear path alone, both ways: the baseline of the same size.
    """
    errors = []
    for film in films:
        blocks = to_blocks(repeat_first(film[None]))
        if linear:
            z = split(model.project(blocks), 0, (1, -1)).transpose(1, 2)
            made = model.preview(model.normalise(z))
        else:
            made = model.decode(model.encode(film[None]))
        errors.append(((made - film) / 2).square().mean())
    return float(-10 * torch.log10(torch.stack(errors)).mean())


@torch.no_grad()
def measure_latents(model: VideoAutoencoder, films: Tensor) -> None:
    """Set the buffers that give latents zero mean and unit scale overall, from films (B, 3, T, H, W).

    One scale for all channels: the strong components stay stronger, as ``fit_linear`` has left them.
    """
    model.latent_mean.zero_()
    model.latent_std.fill_(1)
    latents = torch.cat([model.encode(f[None]) for f in films])
    mean = latents.mean((0, 2, 3, 4))
    model.latent_mean.copy_(mean)
    model.latent_std.fill_(float((latents - mean[:, None, None, None]).std()))


def _report_films(config: AutoencoderConfig) -> dict[str, Tensor]:
    """Held-out films of each kind, (B, 3, T, S, S)."""
    rng = np.random.default_rng(config.seed + 1000)
    kinds = {"drawn": draw_drawn} | ({"natural": draw_natural} if photographs(held=True) else {})
    return {
        name: to_tensor(
            np.stack(
                [
                    draw(rng, side=config.side, frames=config.frames, held=True)
                    for _ in range(config.report_films)
                ]
            )
        )
        for name, draw in kinds.items()
    }


def train_autoencoder(out: Path, config: AutoencoderConfig) -> Path:
    """Train, resuming where ``out`` holds a state; returns the folder of the exported model.

    The linear path is fitted first and then stands; the convolutional paths learn what it misses.
    After ``encoder_steps`` the encoder stands too and the latents are measured, so that a
    transformer may train on ``out/export`` while the decoder goes on learning.
    """
    torch.manual_seed(config.seed)
    cv2.setNumThreads(1)
    run = Run(out, config)
    model = VideoAutoencoder(config.channels, config.width, config.detail, config.depth, config.levels)
    state = run.resume()
    if state is None:
        rng = np.random.default_rng(config.seed)
        films = to_tensor(np.concatenate([draw_batch(config, rng) for _ in range(config.fit_batches)]))
        blocks = to_blocks(repeat_first(films)).permute(0, 2, 3, 1).flatten(0, 2)
        model.fit_linear(blocks[torch.randperm(len(blocks))[:60_000]])
        state = {"step": 0, "seconds": 0.0, "model": model.state_dict(), "optimiser": None}
    model.load_state_dict(state["model"])
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.project.requires_grad_(False)
    model.expand.requires_grad_(False)
    held = _report_films(config)
    step, began = int(state["step"]), time.monotonic() - state["seconds"]
    optimiser = MuonAdam.of(model, lr=config.lr, adam=ADAM)
    if state["optimiser"] is not None:
        optimiser.load_state_dict(state["optimiser"])
    batches = Producer(partial(draw_batch, config), config.seed + step, processes=config.producer)
    encoder = [model.see, model.encode_time, model.think, model.to_latent, model.to_variance]
    with Progress() as bar:
        task = bar.add_task("autoencoder", total=config.steps, completed=step)
        while step < config.steps:
            if step >= config.encoder_steps:
                for part in encoder:
                    part.requires_grad_(False)
            film = to_tensor(next(batches))
            for group in optimiser.param_groups:
                group["lr"] = config.lr * slope(step, config.steps, config.warmup, config.decay_from)
            loss = loss_of(model, film, config)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            run.log(step, loss.item(), time.monotonic() - began)
            step += 1
            bar.update(task, advance=1, description=f"autoencoder loss {loss.item():.4f}")
            if step == config.encoder_steps or (step == config.steps < config.encoder_steps):
                rng = np.random.default_rng(config.seed + 2000)
                measure_latents(
                    model, to_tensor(np.concatenate([draw_batch(config, rng) for _ in range(16)]))
                )
            if step % config.save_every == 0 or step in (config.steps, config.encoder_steps):
                _report(run, model, held, step, time.monotonic() - began)
                saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
                run.save(step=step, seconds=time.monotonic() - began, **saved)
                model.save_pretrained(out / "export")
    batches.close()
    return out / "export"


@torch.no_grad()
def _report(run: Run, model: VideoAutoencoder, held: dict[str, Tensor], step: int, seconds: float) -> None:
    """A sheet of held-out films above their round trips, the loss curve, and the PSNR of both paths."""
    pairs, said = [], []
    for name, films in held.items():
        said.append(f"{name} {psnr(model, films):.2f} dB (linear {psnr(model, films, linear=True):.2f})")
        for film in films[:3]:
            pairs += [to_film(film), to_film(model.decode(model.encode(film[None]))[0])]
    run.sheet(f"{step:06d}", pairs, side=160)
    run.curve()
    print(
        f"step {step} loss {run.losses[-1][1]:.4f} held-out {', '.join(said)} seconds {seconds:.0f}",
        flush=True,
    )
