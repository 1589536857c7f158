"""Trains the video autoencoder on short clips of the procedural world."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from guarded_sora.generation.models.autoencoder import TIME, VideoAutoencoder, repeat_first
from guarded_sora.generation.models.base import split
from guarded_sora.training.config import AutoencoderConfig
from guarded_sora.training.optimiser import MuonAdam
from guarded_sora.training.run import Producer, Run, slope, to_film
from guarded_sora.training.world import FRAMES, draw_film, render

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _batch(config: AutoencoderConfig, side: int, rng: np.random.Generator) -> Batch:
    pictures, covers = [], []
    for _ in range(config.batch):
        first = int(rng.integers(0, FRAMES - config.frames + 1))
        picture, cover = render(draw_film(rng), side=side, first=first, count=config.frames)
        pictures.append(picture)
        covers.append(cover)
    return np.stack(pictures), np.stack(covers)


def to_tensor(films: NDArray[np.uint8]) -> Tensor:
    """uint8 (B, T, H, W, 3) -> float32 (B, 3, T, H, W) in [-1, 1]."""
    return torch.from_numpy(films).permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)


def _loss(out: Tensor, film: Tensor, cover: Tensor, config: AutoencoderConfig) -> Tensor:
    """L1 and L1 of the spatial gradients; the object's pixels weigh more than the place's."""
    error = out.float() - film
    weight = 1 + config.object_weight * cover
    flat = (error.abs() * weight).mean()
    across = ((error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]).mean()
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]).mean()
    return flat + config.edge_weight * (across + down)


@torch.no_grad()
def psnr(model: VideoAutoencoder, films: Tensor) -> float:
    """Mean over films of the round trip's PSNR in dB; films (B, 3, T, H, W) in [-1, 1]."""
    errors = [((model.decode(model.encode(f[None])) - f) / 2).square().mean() for f in films]
    return float(-10 * torch.log10(torch.stack(errors)).mean())


@torch.no_grad()
def measure_latents(model: VideoAutoencoder, films: Tensor) -> None:
    """Set the buffers that give latents zero mean and unit scale, from films (B, 3, T, H, W)."""
    model.latent_mean.zero_()
    model.latent_std.fill_(1)
    latents = torch.cat([model.encode(f[None]) for f in films])
    model.latent_mean.copy_(latents.mean((0, 2, 3, 4)))
    model.latent_std.copy_(latents.std((0, 2, 3, 4)).clamp_min(1e-3))


def _step(
    model: VideoAutoencoder, film: Tensor, cover: Tensor, config: AutoencoderConfig, *, half: bool
) -> tuple[Tensor, Tensor]:
    """Loss and raw latents of one batch; two random frames of each four are decoded."""
    small = film if half else F.avg_pool3d(film, (1, 2, 2))
    pick = torch.randperm(TIME)[: config.decoded]
    with torch.autocast("cpu", torch.bfloat16):
        with torch.set_grad_enabled(half):
            z = model.encode_half(small)
        features = model.decode_trunk(z + config.latent_noise * torch.randn_like(z), pick)
        made_half = model.draw_half(features, len(z))
        made_full = None if half else model.draw_full(features, len(z))

    def picked(x: Tensor) -> Tensor:
        return split(repeat_first(x), 2, (-1, TIME))[:, :, :, pick].flatten(2, 3)

    if made_full is None:
        return _loss(made_half, picked(small), picked(cover), config) + (
            config.latent_weight * z.float().square().mean()
        ), z
    preview = (made_half.float() - picked(small)).abs().mean()
    return _loss(made_full, picked(film), picked(cover), config) + config.preview_weight * preview, z


def train_autoencoder(out: Path, config: AutoencoderConfig) -> Path:
    """Train, resuming where ``out`` holds a state; returns the folder of the exported model.

    The first ``half_steps`` train everything at half size, which is cheap; the latents are then
    measured and the encoder is frozen, and the decoder alone learns the full size. A transformer
    may train on the latents as soon as ``out/export-half`` exists.
    """
    torch.manual_seed(config.seed)
    cv2.setNumThreads(1)
    run = Run(out, config)
    model = VideoAutoencoder(channels=config.channels, width=config.width)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = run.resume() or {"step": 0, "seconds": 0.0, "model": model.state_dict(), "optimiser": None}
    model.load_state_dict(state["model"])
    rng = np.random.default_rng(config.seed + 1000)
    held = to_tensor(np.stack([render(draw_film(rng, held=True))[0] for _ in range(config.report_films)]))
    known = to_tensor(np.stack([render(draw_film(rng))[0] for _ in range(config.measure_films)]))
    began = time.monotonic() - state["seconds"]
    step = int(state["step"])
    with Progress() as bar:
        task = bar.add_task("autoencoder", total=config.half_steps + config.full_steps, completed=step)
        for half in (True, False):
            first, last = (
                (0, config.half_steps) if half else (config.half_steps, config.half_steps + config.full_steps)
            )
            if step >= last:
                continue
            optimiser = MuonAdam.of(model, lr=config.lr, adam=("place", "pixels"))
            if state["optimiser"] is not None and step > first:
                optimiser.load_state_dict(state["optimiser"])
            side = 128 if half else 256
            batches = Producer(partial(_batch, config, side), config.seed + step, processes=config.producer)
            while step < last:
                pictures, covers = next(batches)
                factor = slope(step - first, last - first, config.warmup, config.decay_from)
                for group in optimiser.param_groups:
                    group["lr"] = config.lr * factor * (1 if half else config.full_lr)
                cover = torch.from_numpy(covers)[:, None].float().div_(255)
                loss, z = _step(model, to_tensor(pictures), cover, config, half=half)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                run.log(step, loss.item(), time.monotonic() - began)
                step += 1
                bar.update(task, advance=1, description=f"autoencoder loss {loss.item():.4f}")
                if step % config.save_every == 0 or step == last:
                    _report(run, model, held, step, half=half)
                    print(f"step {step} loss {loss.item():.4f} latents {z.float().std().item():.2f} "
                          f"seconds {time.monotonic() - began:.0f}", flush=True)  # fmt: skip
                    seconds = time.monotonic() - began
                    saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
                    run.save(step=step, seconds=seconds, **saved)
                    if not half:
                        model.save_pretrained(out / "export")
            batches.close()
            if half:
                measure_latents(model, known)
                model.save_pretrained(out / "export-half")
                seconds = time.monotonic() - began
                run.save(step=step, seconds=seconds, model=model.state_dict(), optimiser=None)
    return out / "export"


@torch.no_grad()
def _report(run: Run, model: VideoAutoencoder, held: Tensor, step: int, *, half: bool) -> None:
    """A sheet of held-out films above their round trips, the loss curve, and the round trips' PSNR."""
    films = F.avg_pool3d(held, (1, 2, 2)) if half else held
    look = model.preview if half else model.decode
    made = [look(model.encode(film[None]))[0] for film in held]
    errors = torch.stack([((m - f) / 2).square().mean() for m, f in zip(made, films, strict=True)])
    pairs = [x for f, m in zip(films[:5], made, strict=False) for x in (to_film(f), to_film(m))]
    run.sheet(f"{step:06d}", pairs, side=160)
    run.curve()
    print(f"held-out psnr {float(-10 * torch.log10(errors).mean()):.2f} dB", flush=True)
