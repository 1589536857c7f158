"""Parts of the generator on their own: autoencoder, cascade, and CPU seconds a stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.cpu_time import least_cpu_seconds
from benchmarks.generation_films import prompts, psnr, row, through_autoencoder
from benchmarks.rows import Row
from guarded_sora.generation.backends.builtin import REFINE_STEPS
from guarded_sora.generation.cascade import refine
from guarded_sora.generation.models.autoencoder import repeat_first, to_blocks
from guarded_sora.generation.pipeline import BASE_FPS, GuardedSoraPipeline
from guarded_sora.generation.shapes import BASE_SIDE
from guarded_sora.training.autoencoder import draw_drawn, to_tensor
from guarded_sora.training.cascade import draw_film_pair
from guarded_sora.training.drawing import caption, draw_film
from guarded_sora.training.natural import draw_natural, photographs
from guarded_sora.training.run import to_film
from guarded_sora.training.world import FRAMES, render


def linear_psnr(channels: int, train: list[NDArray[np.uint8]], test: list[NDArray[np.uint8]]) -> float:
    """PSNR of the best linear transform of 4x8x8 blocks to ``channels`` numbers, fitted to such films."""

    def blocks(film: NDArray[np.uint8]) -> torch.Tensor:
        return to_blocks(repeat_first(to_tensor(film[None]))).permute(0, 2, 3, 1).flatten(0, 2)

    data = torch.cat([blocks(f) for f in train])
    data = data[torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:60_000]]
    mean = data.mean(0)
    _, _, basis = torch.svd_lowrank(data - mean, q=channels, niter=6)
    scores = []
    for film in test:
        real = blocks(film)
        error = (((real - mean) @ basis @ basis.T + mean).clamp(-1, 1) - real) / 2
        scores.append(float(-10 * torch.log10(error.square().mean())))
    return float(np.mean(scores))


def autoencoder_rows(pipeline: GuardedSoraPipeline) -> list[Row]:
    """Round trips of held-out films, drawn and natural, against a linear code fitted to each kind."""
    channels, rng, rows = pipeline.autoencoder.config.channels, np.random.default_rng(14), []
    kinds: dict[str, Callable[[bool], NDArray[np.uint8]]] = {
        "drawn 128x128": lambda held: draw_drawn(rng, side=BASE_SIDE, frames=FRAMES, held=held),
        "drawn 256x256": lambda held: render(draw_film(rng, held=held))[0],
    }
    if photographs() and photographs(held=True):
        kinds["natural 128x128"] = lambda held: draw_natural(rng, side=BASE_SIDE, frames=FRAMES, held=held)
    for name, draw in kinds.items():
        some, real = [draw(False) for _ in range(60)], [draw(True) for _ in range(24)]
        ours = float(np.mean([psnr(through_autoencoder(pipeline, film), film) for film in real]))
        peer = f"best linear 4x8x8 block transform for such films, {channels} numbers a block"
        rows.append(row(f"autoencoder, held-out films, {name}", ours, linear_psnr(channels, some, real), peer,
                        "higher", "dB"))  # fmt: skip
    return rows


def cascade_rows(pipeline: GuardedSoraPipeline) -> list[Row]:
    """Each stage on real small or slow films against plain interpolation, and with twice the steps."""
    rows = []
    films = prompts(8, 15, held=True, known=pipeline.concepts)
    draw = torch.Generator().manual_seed(0)
    for stage in ("temporal", "spatial"):
        ours, more, plain = [], [], []
        for film in films:
            with torch.no_grad():
                clean, enlarged = draw_film_pair(stage, film, pipeline.autoencoder)
                tokens = torch.tensor([pipeline.read(caption(film)).tokens])
                guide = pipeline.autoencoder.encode(enlarged)
                real = to_film(clean[0])
                for steps, found in ((REFINE_STEPS, ours), (2 * REFINE_STEPS, more)):
                    made = refine(
                        getattr(pipeline, stage), pipeline.text_encoder, pipeline.scheduler, tokens, [guide],
                        steps=steps, draw=lambda shape: torch.randn(shape, generator=draw),
                    )  # fmt: skip
                    out = pipeline.autoencoder.decode(torch.cat(list(made), 2))
                    found.append(psnr(to_film(out[0]), real))
            plain.append(psnr(to_film(enlarged[0]), real))
        beside = {"plain interpolation": plain, f"{2 * REFINE_STEPS} steps": more}
        rows += [row(f"cascade, {stage} stage", float(np.mean(ours)), float(np.mean(peer)), name,
                     "higher", "dB") for name, peer in beside.items()]  # fmt: skip
    return rows


def stage_rows(pipeline: GuardedSoraPipeline, load_seconds: float) -> list[Row]:
    prompt = "a red balloon rising over a sandy beach"
    film = render(prompts(1, 5, held=True, known=pipeline.concepts)[0])[0]
    base = {"height": BASE_SIDE, "width": BASE_SIDE, "frame_rate": BASE_FPS, "num_frames": FRAMES}

    def whole(**options: Any) -> Any:
        return pipeline(prompt, output_type="uint8", generator=torch.Generator().manual_seed(0), **options)

    times = {
        "reading the weights": load_seconds,
        "two seconds at 128x128, 8 a second": least_cpu_seconds(lambda: whole(**base)),
        "two seconds at 128x128, 16 a second": least_cpu_seconds(
            lambda: whole(height=BASE_SIDE, width=BASE_SIDE)
        ),
        "encoding a video prompt": least_cpu_seconds(lambda: pipeline.encode_film(film)),
    }
    rows = [row(f"cpu seconds: {name}", value, None, "none", "lower", "s") for name, value in times.items()]
    name = "cpu seconds: two seconds at 256x256, 16 a second"
    return [*rows, row(name, least_cpu_seconds(whole), 20.0, "limit", "lower", "s")]
