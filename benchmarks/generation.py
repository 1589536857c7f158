"""Does the built-in generator make what the prompt says, and how fast?

``python -m benchmarks.generation --json`` generates from held-out combinations, judges the films
analytically (nothing learned, see ``guarded_sora.training.judge``) and prints, beside each figure,
chance (the same films against shuffled prompts) and the ceiling (real films through the
autoencoder): one object; two and what happens between them; styles; shapes; falling and bouncing. It
also measures the autoencoder against a linear block transform with as many numbers, copying from the
training data, diversity over seeds, and CPU seconds per stage.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.cpu_time import least_cpu_seconds
from benchmarks.generation_films import (
    CEILING,
    KINDS,
    accuracy,
    chance,
    generate,
    prompts,
    row,
    through_autoencoder,
)
from benchmarks.generation_long import long_rows, memory_rows
from benchmarks.generation_prompts import prompt_rows
from benchmarks.generation_stages import autoencoder_rows, cascade_rows, stage_rows
from benchmarks.generation_world import world_rows
from benchmarks.rows import Row, print_report, print_rows
from guarded_sora.generation.backends.builtin import FAST_STEPS, STEPS, BuiltinBackend
from guarded_sora.generation.pipeline import GuardedSoraPipeline
from guarded_sora.generation.vocabulary import CONCEPTS
from guarded_sora.training.drawing import caption, draw_film
from guarded_sora.training.judge import judge
from guarded_sora.training.world import render


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


def diversity_rows(pipeline: GuardedSoraPipeline, **options: Any) -> list[Row]:
    """How much four films of one prompt differ, beside four real films of the same caption."""
    ours, real = [], []
    for index, film in enumerate(prompts(4, 17, held=True, known=pipeline.concepts)):
        generator = torch.Generator().manual_seed(index)
        out = pipeline([caption(film)] * 4, generator=generator, output_type="uint8", **options)
        rng = np.random.default_rng(index)
        drawn = [render(draw_film(rng, film.combination))[0] for _ in range(4)]
        for found, films in ((ours, list(out.frames)), (real, drawn)):
            small = thumbnails(films)
            found += [float(np.abs(small[i] - small[j]).mean()) for i in range(4) for j in range(i)]
    return [row("diversity: films of one prompt, four seeds", float(np.mean(ours)), float(np.mean(real)),
                "real films of one caption", "near 1", "mean difference")]  # fmt: skip


def following_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """Held-out prompts against chance and the ceiling."""
    held = prompts(count, 11, held=True, known=pipeline.concepts)
    sights = [judge(film) for film in generate(pipeline, held, **options)]
    ours, by_chance = accuracy(held, sights), chance(held, sights)
    round_trips = [through_autoencoder(pipeline, render(film)[0]) for film in held]
    ceiling = accuracy(held, [judge(film) for film in round_trips])
    rows = []
    for kind in KINDS:
        rows.append(row(f"{kind}, held-out prompts", ours[kind], by_chance[kind], "chance (shuffled prompts)",
                        "higher", "share"))  # fmt: skip
        rows.append(row(f"{kind}, held-out prompts", ours[kind], ceiling[kind],
                        CEILING, "higher", "share"))  # fmt: skip
    return rows


def fast_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """The same held-out prompts with the distilled base model, and what two seconds then cost."""
    held = prompts(count, 11, held=True, known=pipeline.concepts)
    distilled = BuiltinBackend(fast=True).load()
    name, beside = f"--fast, {FAST_STEPS} evaluations a pass", f"{2 * STEPS} evaluations"

    def make(films: int) -> list[Callable[[], list[NDArray[np.uint8]]]]:
        return [
            lambda: generate(distilled, held[:films], num_inference_steps=FAST_STEPS),
            lambda: generate(pipeline, held[:films], **options),
        ]

    few, whole = (accuracy(held, [judge(film) for film in work()]) for work in make(count))
    rows = [row(f"{kind}, {name}", few[kind], whole[kind], beside, "higher", "share") for kind in KINDS]
    hurried, unhurried = (least_cpu_seconds(work) for work in make(1))
    return [*rows, row(f"cpu seconds: two seconds, {name}", hurried, unhurried, beside, "lower", "s")]


def trained_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """Trained combinations: how well they are followed, and how near they are to training films."""
    trained = prompts(max(1, count // 4), 12, held=False, known=pipeline.concepts)
    made = generate(pipeline, trained, **options)
    seen = accuracy(trained, [judge(film) for film in made])
    rows = [row(f"{kind}, trained combinations", seen[kind], None, "none", "higher", "share")
            for kind in KINDS]  # fmt: skip
    rng = np.random.default_rng(13)
    library = thumbnails([render(draw_film(rng), side=64)[0] for _ in range(2000)])
    fresh = [render(draw_film(rng), side=64)[0] for _ in range(48)]
    return [*rows, row("distance to the nearest of 2,000 training films", nearest(made, library),
                       nearest(fresh, library), "fresh real films", "higher", "mean difference")]  # fmt: skip


PARTS = (
    "following", "fast", "trained", "prompts", "world", "diversity", "autoencoder", "cascade", "long",
    "memory", "stages",
)  # fmt: skip


def measure(count: int, parts: Sequence[str] = PARTS, **options: Any) -> list[Row]:
    """The rows of ``parts``, in their order."""
    start = time.process_time()
    pipeline = BuiltinBackend().load()
    load_seconds = time.process_time() - start
    making: dict[str, Callable[[], list[Row]]] = {
        "following": lambda: following_rows(pipeline, count, **options),
        "fast": lambda: fast_rows(pipeline, min(48, count), **options),
        "trained": lambda: trained_rows(pipeline, count, **options),
        "prompts": lambda: prompt_rows(pipeline, min(12, count), **options),
        "world": lambda: world_rows(pipeline, count, **options),
        "diversity": lambda: diversity_rows(pipeline, **options),
        "autoencoder": lambda: autoencoder_rows(pipeline),
        "cascade": lambda: cascade_rows(pipeline),
        "long": lambda: long_rows(pipeline, min(8, count), **options),
        "memory": memory_rows,
        "stages": lambda: stage_rows(pipeline, load_seconds),
    }
    if pipeline.concepts != len(CONCEPTS):
        del making["world"]
    return [row for part in making if part in parts for row in making[part]()]


def environment(steps: int, guidance: float) -> dict[str, Any]:
    import diffusers

    return {
        "python": platform.python_version(), "machine": platform.machine(), "torch": torch.__version__,
        "diffusers": diffusers.__version__, "threads": torch.get_num_threads(),
        "weights_sha256": BuiltinBackend().info.weights_sha256, "steps": steps, "guidance": guidance,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--count", type=int, default=96, help="held-out prompts (default 96)")
    parser.add_argument("--part", action="append", choices=PARTS, help="only these parts (default: all)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, help="scale of guidance (default: what suits the weights)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = measure(
        options.count,
        options.part or PARTS,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
    )
    if options.json:
        guidance = options.guidance or BuiltinBackend().load().guidance()
        print_report("generation", environment(options.steps, guidance), rows)
    else:
        print_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
