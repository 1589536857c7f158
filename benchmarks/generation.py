"""Does the built-in generator make what the prompt says, and how fast?

``python -m benchmarks.generation --json`` generates from held-out combinations, judges the films
analytically (nothing learned, see ``guarded_sora.training.judge``) and prints, beside each figure,
chance (the same films against shuffled prompts) and the ceiling (real films through the
autoencoder). It also measures the autoencoder against a linear block transform with as many
numbers, copying from the training data, and CPU seconds per stage.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.cpu_time import least_cpu_seconds
from benchmarks.rows import Row, print_report, print_rows
from benchmarks.rows import row as rounded_row
from guarded_sora.generation.backends.builtin import GUIDANCE, REFINE_STEPS, STEPS, BuiltinBackend
from guarded_sora.generation.cascade import refine
from guarded_sora.generation.models.autoencoder import repeat_first, to_blocks
from guarded_sora.generation.pipeline import BASE_FPS, BASE_SIDE, GuardedSoraPipeline
from guarded_sora.generation.vocabulary import read_prompt
from guarded_sora.training.autoencoder import draw_drawn, to_tensor
from guarded_sora.training.cascade import draw_film_pair
from guarded_sora.training.judge import Sight, judge
from guarded_sora.training.natural import draw_natural, photographs
from guarded_sora.training.run import to_film
from guarded_sora.training.world import FRAMES, Film, caption, combinations, draw_film, render

KINDS = ("background", "colour", "motion", "object")
row = partial(rounded_row, digits=None)


def prompts(count: int, seed: int, *, held: bool) -> list[Film]:
    """``count`` films spread evenly over the combinations, each with its own drawn start and end."""
    rng = np.random.default_rng(seed)
    choices = combinations(held=held)
    picks = np.linspace(0, len(choices) - 1, count).round().astype(int)
    return [draw_film(rng, choices[i]) for i in picks]


def generate(pipeline: GuardedSoraPipeline, films: list[Film], **options: Any) -> list[NDArray[np.uint8]]:
    made = []
    for index, film in enumerate(track(films, "generate", console=Console(stderr=True), transient=True)):
        generator = torch.Generator().manual_seed(1000 + index)
        out = pipeline(caption(film), generator=generator, output_type="uint8", **options)
        made.append(out.frames[0])
    return made


def accuracy(films: list[Film], sights: list[Sight]) -> dict[str, float]:
    """Share of films whose judged object, colour, place and motion are the asked-for ones."""
    found = {}
    for kind in KINDS:
        pairs = [(getattr(f, kind), getattr(s, kind)) for f, s in zip(films, sights, strict=True)]
        asked = [(a, b) for a, b in pairs if a is not None]
        found[kind] = float(np.mean([a == b for a, b in asked]))
    return found


def chance(films: list[Film], sights: list[Sight], seed: int = 0) -> dict[str, float]:
    """The same films judged against the prompts of others, mean of 20 shuffles."""
    rng = np.random.default_rng(seed)
    runs = [accuracy([films[i] for i in rng.permutation(len(films))], sights) for _ in range(20)]
    return {kind: float(np.mean([r[kind] for r in runs])) for kind in KINDS}


def through_autoencoder(pipeline: GuardedSoraPipeline, film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    with torch.no_grad():
        latents = pipeline.autoencoder.encode(to_tensor(film[None]))
        return to_film(pipeline.autoencoder.decode(latents)[0])


def psnr(made: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((made.astype(float) - real) ** 2)))


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
    """Each stage on real small or slow films against plain interpolation."""
    rows = []
    films = prompts(8, 15, held=True)
    draw = torch.Generator().manual_seed(0)
    for stage in ("temporal", "spatial"):
        ours, plain = [], []
        for film in films:
            with torch.no_grad():
                clean, enlarged = draw_film_pair(stage, film, pipeline.autoencoder)
                tokens = torch.tensor([read_prompt(caption(film)).tokens])
                made = refine(
                    getattr(pipeline, stage), pipeline.text_encoder, pipeline.scheduler, tokens,
                    [pipeline.autoencoder.encode(enlarged)], steps=REFINE_STEPS,
                    draw=lambda shape: torch.randn(shape, generator=draw),
                )  # fmt: skip
                out = pipeline.autoencoder.decode(torch.cat(list(made), 2))
            real = to_film(clean[0])
            ours.append(psnr(to_film(out[0]), real))
            plain.append(psnr(to_film(enlarged[0]), real))
        rows.append(row(f"cascade, {stage} stage", float(np.mean(ours)), float(np.mean(plain)),
                        "plain interpolation", "higher", "dB"))  # fmt: skip
    return rows


def long_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """The last two seconds of films of twenty seconds, beside their first two: what is still there."""
    films = [film for film in prompts(96, 16, held=True) if film.motion in ("still", "spin")][:count]
    frames = 1 + 20 * int(BASE_FPS)
    made = generate(pipeline, films, num_frames=frames, frame_rate=BASE_FPS, height=BASE_SIDE,
                    width=BASE_SIDE, **options)  # fmt: skip
    rows = []
    first = accuracy(films, [judge(film[:FRAMES]) for film in made])
    last = accuracy(films, [judge(film[-FRAMES:]) for film in made])
    for kind in ("object", "colour", "background"):
        rows.append(row(f"{kind}, last 2 s of 20 s", last[kind], first[kind], "first 2 s of the same films",
                        "higher", "share"))  # fmt: skip

    def energy(film: NDArray[np.uint8]) -> float:
        return float(np.abs(np.diff(film.astype(np.int16), axis=0)).mean())

    real = [render(film, side=BASE_SIDE)[0] for film in films]
    late, true = (float(np.mean([energy(f) for f in part])) for part in ([m[-FRAMES:] for m in made], real))
    rows.append(row("motion energy, last 2 s of 20 s", late, true, "real films", "near 1", "mean difference"))
    return rows


def thumbnails(films: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Five small frames of each film, flat: what nearness is measured on."""
    small = [
        [cv2.resize(f[i], (32, 32), interpolation=cv2.INTER_AREA)
         for i in np.linspace(0, len(f) - 1, 5).round().astype(int)]
        for f in films
    ]  # fmt: skip
    return np.asarray(small, np.float32).reshape(len(films), -1) / 255


def nearest(made: list[NDArray[np.uint8]], train: NDArray[np.float32]) -> float:
    """Mean over films of the mean difference to the nearest training film."""
    small = thumbnails(made)
    return float(np.mean([np.abs(train - s).mean(1).min() for s in small]))


def stage_rows(pipeline: GuardedSoraPipeline, load_seconds: float) -> list[Row]:
    prompt = "a red balloon rising over a sandy beach"
    film = render(prompts(1, 5, held=True)[0])[0]
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


def measure(count: int, *, quick: bool = False, **options: Any) -> list[Row]:
    start = time.process_time()
    pipeline = BuiltinBackend().load()
    load_seconds = time.process_time() - start
    held, trained = prompts(count, 11, held=True), prompts(max(1, count // 4), 12, held=False)
    made = generate(pipeline, held, **options)
    sights = [judge(film) for film in made]
    ours, by_chance = accuracy(held, sights), chance(held, sights)
    real = [render(film)[0] for film in held]
    round_trips = [through_autoencoder(pipeline, film) for film in real]
    ceiling = accuracy(held, [judge(film) for film in round_trips])
    rows = []
    for kind in KINDS:
        rows.append(row(f"{kind}, held-out prompts", ours[kind], by_chance[kind], "chance (shuffled prompts)",
                        "higher", "share"))  # fmt: skip
        rows.append(row(f"{kind}, held-out prompts", ours[kind], ceiling[kind],
                        "ceiling (real films through the autoencoder)", "higher", "share"))  # fmt: skip
    if quick:
        return rows
    made_trained = generate(pipeline, trained, **options)
    seen = accuracy(trained, [judge(film) for film in made_trained])
    for kind in KINDS:
        name = "trained combinations (a gap shows learning by heart)"
        rows.append(row(f"{kind}, held-out prompts", ours[kind], seen[kind], name, "higher", "share"))
    rng = np.random.default_rng(13)
    library = thumbnails([render(draw_film(rng), side=64)[0] for _ in range(2000)])
    fresh = [render(draw_film(rng), side=64)[0] for _ in range(48)]
    rows.append(row("distance to the nearest of 2,000 training films", nearest(made_trained, library),
                    nearest(fresh, library), "fresh real films", "higher", "mean difference"))  # fmt: skip
    rows += autoencoder_rows(pipeline) + cascade_rows(pipeline)
    rows += long_rows(pipeline, min(8, count), **options)
    return rows + stage_rows(pipeline, load_seconds)


def environment() -> dict[str, Any]:
    import diffusers

    return {
        "python": platform.python_version(), "machine": platform.machine(), "torch": torch.__version__,
        "diffusers": diffusers.__version__, "threads": torch.get_num_threads(),
        "weights_sha256": BuiltinBackend().info.weights_sha256, "steps": STEPS, "guidance": GUIDANCE,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--count", type=int, default=96, help="held-out prompts (default 96)")
    parser.add_argument("--quick", action="store_true", help="prompt following only")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = measure(
        options.count, quick=options.quick, num_inference_steps=options.steps, guidance_scale=options.guidance
    )
    if options.json:
        print_report("generation", environment(), rows)
    else:
        print_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
