"""Films for the generator's benchmark: which are asked for, how they are made, how often they are right."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.rows import row as rounded_row
from guarded_sora.generation.pipeline import GuardedSoraPipeline
from guarded_sora.generation.vocabulary import CONCEPTS, concept
from guarded_sora.training.autoencoder import to_tensor
from guarded_sora.training.drawing import caption, draw_film
from guarded_sora.training.judge import Sight
from guarded_sora.training.run import to_film
from guarded_sora.training.world import Film, combinations

KINDS = ("background", "colour", "motion", "object")
CEILING = "ceiling (real films through the autoencoder)"
row = partial(rounded_row, digits=None)


def prompts(count: int, seed: int, *, held: bool, known: int = len(CONCEPTS)) -> list[Film]:
    """``count`` films spread evenly over the combinations, each with its own drawn start and end.

    Of motions only those among the first ``known`` concepts, which the weights were trained on.
    """
    rng = np.random.default_rng(seed)
    choices = [c for c in combinations(held=held) if concept("motion", c[3]) < known]
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
    wanted = [
        dict(zip(("object", "colour", "background", "motion"), f.combination, strict=True)) for f in films
    ]
    for kind in KINDS:
        pairs = [(f[kind], getattr(s, kind)) for f, s in zip(wanted, sights, strict=True)]
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
