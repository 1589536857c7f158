"""Trains the diffusion transformer and its text encoder on encoded films of the procedural world."""

from __future__ import annotations

import copy
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.progress import Progress
from torch import nn

from guarded_sora.generation.conditioning import solve
from guarded_sora.generation.models.autoencoder import SPACE, VideoAutoencoder, latent_frames
from guarded_sora.generation.models.base import euler_scheduler
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.shapes import BASE_SHAPES, BASE_SIDE
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.drawing import draw_film, draw_pair, draw_style, tokens
from guarded_sora.training.earlier import earlier
from guarded_sora.training.flow import ALIGN, flow_losses
from guarded_sora.training.grow import grow
from guarded_sora.training.guided import Guide
from guarded_sora.training.noised import Noised, noised
from guarded_sora.training.optimiser import MuonAdam
from guarded_sora.training.pool import LAYOUT, LONG, Pool, draw_piece, encode_films
from guarded_sora.training.run import Producer, Run, slope, to_film
from guarded_sora.training.world import FRAMES, combinations

ADAM = ("table", "enter", "leave", "look", "modulate", "time", "kind")
"""Parameters that Adam trains: tables, ends and modulation; Muon is meant for the matrices between."""


class Supply:
    """The films and stills of every shape, and the packed row that each step takes of them."""

    def __init__(self, autoencoder: VideoAutoencoder, config: BaseConfig, step: int) -> None:
        channels = autoencoder.config.channels + LAYOUT
        self.autoencoder, self.config = autoencoder, config
        self.films, self.stills = (
            [Pool(config.pool // (4 if i else 1), channels, k, shape) for i, shape in enumerate(BASE_SHAPES)]
            for k in (latent_frames(LONG), 1)
        )
        make = partial(encode_films, autoencoder, 8, frames=LONG)
        self.made = Producer(make, config.seed + 7 * step + 1, processes=config.producer)
        self.generator = torch.Generator().manual_seed(config.seed + step)

    def row(self) -> list[Noised]:
        """The clips of one row: films one by one, each a piece of its own, and stills by shape."""
        config, generator = self.config, self.generator
        parts = []
        for shape in self._shapes(config.films):
            pool = self.films[shape]
            self._fill(pool, LONG, 8, config.reuse)
            piece = draw_piece(latent_frames(LONG), config.inside, generator)
            batch = pool.draw(1, generator, piece)
            parts.append(noised(batch, config, generator, later=piece.start > 0))
        shapes = self._shapes(config.stills)
        for shape in sorted(set(shapes)):
            pool = self.stills[shape]
            self._fill(pool, 1, 64, config.still_reuse)
            parts.append(noised(pool.draw(shapes.count(shape), generator), config, generator))
        return parts

    def _shapes(self, count: int) -> list[int]:
        share = self.config.square_share
        others = (1 - share) / (len(BASE_SHAPES) - 1)
        chances = torch.tensor([share, *[others] * (len(BASE_SHAPES) - 1)])
        drawn: list[int] = torch.multinomial(
            chances, count, replacement=True, generator=self.generator
        ).tolist()
        return drawn

    def _fill(self, pool: Pool, frames: int, count: int, reuse: int) -> None:
        """Take what the producer has ready; make the rest here, so that no film is seen too often."""
        square = pool.shape == BASE_SHAPES[0]
        for encoded in self.made.ready() if self.config.producer and square and frames > 1 else []:
            pool.add(encoded)
        while pool.made < max(self.config.pool_least // (1 if square else 4), pool.used / reuse):
            rng = np.random.default_rng((self.config.seed, frames, *pool.shape, pool.used, pool.made))
            pool.add(encode_films(self.autoencoder, count, rng, frames=frames, shape=pool.shape))

    def told(self) -> str:
        films, stills = (sum(pool.made for pool in pools) for pools in (self.films, self.stills))
        return f"made {films} {stills}"


def train_base(out: Path, config: BaseConfig) -> Path:
    """Train, resuming where ``out`` holds a state; returns the folder of the exported models."""
    torch.manual_seed(config.seed)
    cv2.setNumThreads(1)
    autoencoder = earlier(VideoAutoencoder, Path(config.autoencoder), "autoencoder")
    channels = autoencoder.config.channels + LAYOUT
    transformer = SpacetimeTransformer(
        channels, config.width, config.depth, config.heads, config.patch, layout=LAYOUT,
        text_width=config.width, align=ALIGN, shapes=BASE_SHAPES,
        guidance=config.guidance if config.guide else 1.0,
    )  # fmt: skip
    text_encoder = ConceptEncoder(config.width)
    if config.start:
        grow(Path(config.start), transformer, text_encoder, looks=autoencoder.config.channels)
    guide = Guide.load(Path(config.guide), config.guidance) if config.guide else None
    run = Run(out, config)
    both = nn.ModuleList([transformer, text_encoder])
    average = copy.deepcopy(both).requires_grad_(False)
    optimiser = MuonAdam.of(both, lr=config.lr, adam=ADAM, adam_ratio=config.adam_ratio)
    step, spent, seen = 0, 0.0, {"films": 0, "stills": 0}
    if state := run.resume():
        both.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, seen = state["step"], state["seconds"], dict(state["seen"])
    supply = Supply(autoencoder, config, step)
    began = time.monotonic() - spent
    with Progress() as bar:
        task = bar.add_task("base", total=config.steps, completed=step)
        while step < config.steps:
            parts = supply.row()
            for group in optimiser.param_groups:
                group["lr"] = config.lr * slope(step, config.steps, config.warmup, config.decay_from)
            losses = flow_losses(transformer, text_encoder, parts, config, supply.generator, guide)
            optimiser.zero_grad()
            whole = losses.films + losses.stills + config.align_weight * losses.apart
            whole.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimiser.step()
            step += 1
            seen["films"] += config.films
            seen["stills"] += config.stills
            with torch.no_grad():
                keep = min(config.ema, (1 + step) / (10 + step))
                for a, b in zip(average.parameters(), both.parameters(), strict=True):
                    a.lerp_(b, 1 - keep)
            run.log(step, losses.films.item(), time.monotonic() - began)
            bar.update(task, advance=1, description=f"base loss {losses.films.item():.3f}")
            if step % config.save_every == 0 or step == config.steps:
                seconds = time.monotonic() - began
                mean = float(np.mean([v for _, v, _ in run.losses[-50:]]))
                print(
                    f"step {step} loss {mean:.4f} still {losses.stills.item():.4f} "
                    f"apart {losses.apart.item():.4f} seen {seen} {supply.told()} seconds {seconds:.0f}",
                    flush=True,
                )
                run.curve()
                run.save(
                    model=both.state_dict(),
                    average=average.state_dict(),
                    optimiser=optimiser.state_dict(),
                    step=step,
                    seconds=seconds,
                    seen=seen,
                )
                export(
                    average,
                    out / "export",
                    {"step": step, **seen, "seconds": seconds},
                )
            if step % config.sample_every == 0 or step == config.steps:
                _samples(run, average, autoencoder, config, f"{step:06d}")
    supply.made.close()
    return out / "export"


def export(average: Any, folder: Path, facts: dict[str, Any]) -> None:
    """Write the averaged models and what they have seen."""
    average[0].save_pretrained(folder / "transformer")
    average[1].save_pretrained(folder / "text_encoder")
    (folder / "facts.json").write_text(json.dumps(facts) + "\n")


@torch.no_grad()
def _samples(run: Run, average: Any, autoencoder: VideoAutoencoder, config: BaseConfig, name: str) -> None:
    """A sheet of held-out prompts with the averaged weights: one object, two, and styles."""
    rng = np.random.default_rng(4)
    held, count = combinations(held=True), config.sample_rows
    films = [draw_film(rng, held[i]) for i in np.linspace(0, len(held) - 1, count).astype(int)]
    for index in range(1, count, 2):
        films[index] = draw_pair(rng, held=True)
    films[2::4] = [draw_style(rng, film) for film in films[2::4]]
    rows = torch.tensor([tokens(film) for film in films])
    grid = BASE_SIDE // SPACE
    looks = autoencoder.config.channels
    shape = (config.sample_rows, looks + LAYOUT, latent_frames(FRAMES), grid, grid)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    scheduler = euler_scheduler(shift=3.0)
    options: dict[str, Any] = {"steps": 12, "guidance": 2.5}
    first = solve(average[0], average[1], scheduler, rows, noise[:, :, :1], **options)
    known, mask = torch.zeros_like(noise), torch.zeros_like(noise[:, :1])
    known[:, :, :1], mask[:, :, :1] = first, 1
    latents = solve(average[0], average[1], scheduler, rows, noise, known=known, mask=mask, **options)
    shown = [to_film(autoencoder.decode(x[None, :looks])[0]) for x in latents]
    run.sheet(name, shown, columns=5, side=128)
