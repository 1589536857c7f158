"""Does the built-in generator make what the prompt says, and how fast?

``python -m benchmarks.generation --json`` generates from held-out combinations, judges the films
analytically (nothing learned, see ``guarded_sora.training.judge``) and prints, beside each figure,
chance (the same films against shuffled prompts) and the ceiling (real films through the
autoencoder). It also measures the autoencoder against a linear block transform with as many
numbers, copying from the training data, and CPU seconds per stage.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from guarded_sora.generation.backends.builtin import GUIDANCE, STEPS, BuiltinBackend
from guarded_sora.generation.models.autoencoder import SPACE, TIME, repeat_first
from guarded_sora.generation.pipeline import GuardedSoraPipeline
from guarded_sora.training.autoencoder import to_tensor
from guarded_sora.training.judge import Sight, judge
from guarded_sora.training.run import to_film
from guarded_sora.training.world import FRAMES, Film, caption, combinations, draw_film, render

KINDS = ("background", "colour", "motion", "object")
Row = dict[str, Any]


def row(metric: str, ours: float, peer: float | None, peer_name: str, better: str, unit: str) -> Row:
    ratio = ours / peer if peer else None
    return {"metric": metric, "ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio,
            "better": better, "unit": unit}  # fmt: skip


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
    """PSNR of the best linear transform of 4x32x32 blocks to ``channels`` numbers each."""

    def blocks(film: NDArray[np.uint8]) -> torch.Tensor:
        x = repeat_first(to_tensor(film[None]))[0]
        x = x.unflatten(1, (-1, TIME)).unflatten(3, (-1, SPACE)).unflatten(5, (-1, SPACE))
        return x.permute(1, 3, 5, 0, 2, 4, 6).flatten(3).flatten(0, 2)

    data = torch.cat([blocks(f)[::3] for f in train])
    mean = data.mean(0)
    _, _, basis = torch.svd_lowrank(data - mean, q=channels, niter=2)
    scores = []
    for film in test:
        real = blocks(film)
        error = (((real - mean) @ basis @ basis.T + mean).clamp(-1, 1) - real) / 2
        scores.append(float(-10 * torch.log10(error.square().mean())))
    return float(np.mean(scores))


def thumbnails(films: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Five small frames of each film, flat: what nearness is measured on."""
    picks = np.linspace(0, FRAMES - 1, 5).astype(int)
    small = [[cv2.resize(f[i], (32, 32), interpolation=cv2.INTER_AREA) for i in picks] for f in films]
    return np.asarray(small, np.float32).reshape(len(films), -1) / 255


def nearest(made: list[NDArray[np.uint8]], train: NDArray[np.float32]) -> float:
    """Mean over films of the mean difference to the nearest training film."""
    small = thumbnails(made)
    return float(np.mean([np.abs(train - s).mean(1).min() for s in small]))


def seconds(function: Callable[[], Any], repetitions: int = 3) -> float:
    """Least CPU seconds of ``repetitions`` calls."""
    found = []
    for _ in range(repetitions):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return min(found)


def stage_rows(pipeline: GuardedSoraPipeline, load_seconds: float) -> list[Row]:
    prompt = "a red balloon rising over a sandy beach"
    film = render(prompts(1, 5, held=True)[0])[0]
    latents = pipeline(prompt, output_type="latent").frames
    times = {
        "reading the weights": load_seconds,
        "two seconds of film, latents": seconds(lambda: pipeline(prompt, output_type="latent")),
        "two seconds of film, decoding": seconds(lambda: pipeline.decode_latents(latents)),
        "two seconds of film, encoding a video prompt": seconds(lambda: pipeline.encode_film(film)),
    }
    whole = times["two seconds of film, latents"] + times["two seconds of film, decoding"]
    rows = [row(f"cpu seconds: {name}", value, None, "none", "lower", "s") for name, value in times.items()]
    return [*rows, row("cpu seconds: two seconds of film", whole, 20.0, "limit", "lower", "s")]


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
    ours_psnr = float(np.mean([psnr(a, b) for a, b in zip(round_trips, real, strict=True)]))
    channels = pipeline.autoencoder.config.channels
    some = [render(draw_film(rng))[0] for _ in range(60)]
    linear = linear_psnr(channels, some, real[:24])
    peer = f"best linear 4x32x32 block transform, {channels} numbers a block"
    rows.append(row("autoencoder, held-out films", ours_psnr, linear, peer, "higher", "dB"))
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
    report = {"name": "generation", "environment": environment(), "rows": rows}
    if options.json:
        print(json.dumps(report, indent=2))
        return 0
    table = Table("metric", "ours", "peer", "peer name", "better", "unit")
    for item in rows:
        peer = "" if item["peer"] is None else f"{item['peer']:.3f}"
        table.add_row(
            item["metric"], f"{item['ours']:.3f}", peer, item["peer_name"], item["better"], item["unit"]
        )
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
