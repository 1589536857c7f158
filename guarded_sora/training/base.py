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
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from guarded_sora.generation.conditioning import solve
from guarded_sora.generation.models.autoencoder import SPACE, TIME, VideoAutoencoder, latent_frames
from guarded_sora.generation.models.base import euler_scheduler
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer, to_patches
from guarded_sora.generation.shapes import BASE_SHAPES, BASE_SIDE
from guarded_sora.generation.vocabulary import CONCEPTS, MAX_TOKENS, OBJECTS, PAD, UNKNOWN
from guarded_sora.training.autoencoder import to_tensor
from guarded_sora.training.config import BaseConfig
from guarded_sora.training.drawing import draw_any, draw_film, draw_pair, draw_style, tokens
from guarded_sora.training.grow import grow
from guarded_sora.training.optimiser import MuonAdam
from guarded_sora.training.run import Producer, Run, slope, to_film
from guarded_sora.training.world import FRAMES, combinations, layout, render

Encoded = tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.uint8]]
ADAM = ("table", "enter", "leave", "look", "modulate", "time", "kind")
"""Parameters that Adam trains: tables, ends and modulation; Muon is meant for the matrices between."""
LAYOUT = 8
"""Channels that say where each of two objects is: two coordinates in the first and in the last of four
frames; zero where there is no second."""
PLACED = 4.0
"""Scale of the layout: it stands out of the noise before appearance does, so the place is settled first."""
MASK = 2 * 16
"""Numbers of a token's share of the object's outline: 4x4 cells of its first and of its last frame."""
ALIGN = MASK + len(OBJECTS)


def encode_films(
    model: VideoAutoencoder,
    count: int,
    rng: np.random.Generator,
    *,
    frames: int = FRAMES,
    shape: tuple[int, int] = (BASE_SIDE, BASE_SIDE),
) -> Encoded:
    """Draw films, render their first ``frames`` frames at (H, W) ``shape`` and encode them.

    Gives latents (B, C + LAYOUT, K, h, w), tokens (B, L) and the objects' outlines (B, 4, K, H/4, W/4):
    coverage by the first object in the first and the last frame of each latent frame, then by the
    second. The last channels are the layout in those two frames.
    """
    films = [draw_any(rng) for _ in range(count)]
    pictures, covers = zip(*(render(film, side=shape, count=frames) for film in films), strict=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        latents = model.encode(to_tensor(np.stack(pictures))).float()
    height, width = shape
    outline = np.stack(covers).reshape(count, 2, frames, height // 4, 4, width // 4, 4).mean((4, 6))
    firsts, lasts = [0, *range(1, frames, TIME)], [0, *range(TIME, frames, TIME)]
    where = [layout(film, height // SPACE, width // SPACE, count=frames) for film in films]
    placed = PLACED * np.stack(where).transpose(0, 2, 1, 3, 4)
    told = [placed[:, :2, firsts], placed[:, :2, lasts], placed[:, 2:, firsts], placed[:, 2:, lasts]]
    whole = np.concatenate([latents.numpy(), *told], 1)
    outlines = np.stack([outline[:, i][:, at] for i in (0, 1) for at in (firsts, lasts)], 1)
    rows = np.array([tokens(film) for film in films])
    return whole.astype(np.float16), rows, outlines.round().astype(np.uint8)


class Pool:
    """Encoded films of one shape in memory; the oldest makes room for the newest."""

    def __init__(
        self, size: int, channels: int, frames: int, shape: tuple[int, int] = (BASE_SIDE, BASE_SIDE)
    ) -> None:
        height, width = shape
        self.latents = torch.empty(
            size, channels, frames, height // SPACE, width // SPACE, dtype=torch.float16
        )
        self.tokens = torch.empty(size, MAX_TOKENS, dtype=torch.long)
        self.outlines = torch.empty(size, 4, frames, height // 4, width // 4, dtype=torch.uint8)
        self.shape = shape
        self.made = self.used = 0

    def __len__(self) -> int:
        return min(self.made, len(self.latents))

    def add(self, encoded: Encoded) -> None:
        for latents, row, outline in zip(*encoded, strict=True):
            at = self.made % len(self.latents)
            self.latents[at], self.tokens[at] = torch.from_numpy(latents), torch.from_numpy(row)
            self.outlines[at] = torch.from_numpy(outline)
            self.made += 1

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        picks = torch.randint(len(self), (count,), generator=generator)
        self.used += count
        return self.latents[picks].float(), self.tokens[picks], self.outlines[picks].float() / 255


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
            mask[row, :, : 2 + row % 2] = 1
        elif chance < more + config.known_other:
            mask[row] = _other_mask(latents[row], generator)
    blind = torch.rand(len(latents), generator=generator) < config.layout_unknown
    mask[blind, -LAYOUT:] = 0
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
    mask[:, -(1 + length % 2) :] = 1
    if kind == 1:
        mask[:, : 1 + length // 2] = 1
    return mask


def flow_loss(
    transformer: Any,
    text_encoder: Any,
    clean: Tensor,
    rows: Tensor,
    outlines: Tensor,
    config: BaseConfig,
    generator: Any,
) -> tuple[Tensor, Tensor]:
    """Mean squared error of the flow at unknown places, and how far the middle is from its teacher.

    Times are logit-normal, a few near pure noise.
    """
    mean = config.still_time_mean if clean.shape[2] == 1 else config.time_mean
    sigma = torch.sigmoid(torch.randn(len(clean), generator=generator) + mean)
    near = torch.rand(len(clean), generator=generator) < 0.04
    sigma = torch.where(near, 1 - 0.03 * torch.rand(len(clean), generator=generator), sigma)
    noise = torch.randn(clean.shape, generator=generator)
    mask = draw_mask(clean, config, generator)
    wide = sigma[:, None, None, None, None]
    noisy = ((1 - wide) * clean + wide * noise) * (1 - mask) + clean * mask
    seen: list[Tensor] = []
    with torch.autocast("cpu", torch.bfloat16):
        words = text_encoder(drop_words(rows, config, generator))
        flow = transformer(noisy, sigma * 1000, *words, clean, mask, seen=seen)
    error = (flow.float() - (noise - clean)).square() * (1 - mask)
    error[:, -LAYOUT:] /= PLACED
    loss = error.sum() / (1 - mask).sum()
    told, truth = seen[0].float(), teacher(rows, outlines)
    outline = F.binary_cross_entropy_with_logits(told[..., :MASK], truth[..., :MASK])
    kind = F.binary_cross_entropy_with_logits(told[..., MASK:], truth[..., MASK:])
    return loss, outline + 4 * kind


def train_base(out: Path, config: BaseConfig) -> Path:
    """Train, resuming where ``out`` holds a state; returns the folder of the exported models."""
    torch.manual_seed(config.seed)
    cv2.setNumThreads(1)
    run = Run(out, config)
    autoencoder = VideoAutoencoder.from_pretrained(config.autoencoder).eval()
    channels = autoencoder.config.channels + LAYOUT
    transformer = SpacetimeTransformer(
        channels, config.width, config.depth, config.heads, config.patch, layout=LAYOUT,
        text_width=config.width, align=ALIGN, shapes=BASE_SHAPES,
    )  # fmt: skip
    text_encoder = ConceptEncoder(config.width)
    if config.start:
        grow(Path(config.start), transformer, text_encoder, looks=autoencoder.config.channels)
    both = nn.ModuleList([transformer, text_encoder])
    average = copy.deepcopy(both).requires_grad_(False)
    optimiser = MuonAdam.of(both, lr=config.lr, adam=ADAM, adam_ratio=config.adam_ratio)
    step, spent, seen = 0, 0.0, {"films": 0, "stills": 0}
    if state := run.resume():
        both.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, seen = state["step"], state["seconds"], dict(state["seen"])
    generator = torch.Generator().manual_seed(config.seed + step)
    made = Producer(
        partial(encode_films, autoencoder, 8), config.seed + 7 * step + 1, processes=config.producer
    )
    pools, stills = (
        [Pool(config.pool // (4 if i else 1), channels, frames, shape) for i, shape in enumerate(BASE_SHAPES)]
        for frames in (latent_frames(FRAMES), 1)
    )
    chance = np.random.default_rng((config.seed, step))
    began = time.monotonic() - spent
    network = (torch.compile(transformer, dynamic=False) if config.compile else transformer, text_encoder)
    with Progress() as bar:
        task = bar.add_task("base", total=config.steps, completed=step)
        while step < config.steps:
            still = chance.random() < config.still_share
            shape = 0 if chance.random() < config.square_share else int(chance.integers(1, len(BASE_SHAPES)))
            if still:
                _fill_stills(stills[shape], autoencoder, config)
                batch = stills[shape].draw(config.still_batch, generator)
            else:
                _fill(pools[shape], made, autoencoder, config)
                batch = pools[shape].draw(config.batch, generator)
            for group in optimiser.param_groups:
                group["lr"] = config.lr * slope(step, config.steps, config.warmup, config.decay_from)
            loss, apart = flow_loss(*network, *batch, config, generator)
            optimiser.zero_grad()
            (loss + config.align_weight * apart).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimiser.step()
            step += 1
            seen["stills" if still else "films"] += len(batch[0])
            with torch.no_grad():
                keep = min(config.ema, (1 + step) / (10 + step))
                for a, b in zip(average.parameters(), both.parameters(), strict=True):
                    a.lerp_(b, 1 - keep)
            if not still:
                run.log(step, loss.item(), time.monotonic() - began)
            bar.update(task, advance=1, description=f"base loss {loss.item():.3f}")
            if step % config.save_every == 0 or step == config.steps:
                seconds = time.monotonic() - began
                mean = float(np.mean([v for _, v, _ in run.losses[-50:]]))
                made_so_far = f"made {sum(p.made for p in pools)} {sum(p.made for p in stills)}"
                print(
                    f"step {step} loss {mean:.4f} apart {apart.item():.4f} seen {seen} {made_so_far} "
                    f"seconds {seconds:.0f}",
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
    made.close()
    return out / "export"


def export(average: Any, folder: Path, facts: dict[str, Any]) -> None:
    """Write the averaged models and what they have seen."""
    average[0].save_pretrained(folder / "transformer")
    average[1].save_pretrained(folder / "text_encoder")
    (folder / "facts.json").write_text(json.dumps(facts) + "\n")


def _fill(pool: Pool, made: Producer, autoencoder: VideoAutoencoder, config: BaseConfig) -> None:
    """Take what the producer has ready; make the rest here, so that no film is seen too often."""
    square = pool.shape == BASE_SHAPES[0]
    for encoded in made.ready() if config.producer and square else []:
        pool.add(encoded)
    while pool.made < max(config.pool_least // (1 if square else 4), pool.used / config.reuse):
        rng = np.random.default_rng((config.seed, *pool.shape, pool.used, pool.made))
        pool.add(encode_films(autoencoder, 8, rng, shape=pool.shape))


def _fill_stills(pool: Pool, autoencoder: VideoAutoencoder, config: BaseConfig) -> None:
    least = config.pool_least // (1 if pool.shape == BASE_SHAPES[0] else 4)
    while pool.made < max(least, pool.used / config.still_reuse):
        rng = np.random.default_rng((config.seed, 1, *pool.shape, pool.used, pool.made))
        pool.add(encode_films(autoencoder, 64, rng, frames=1, shape=pool.shape))


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
