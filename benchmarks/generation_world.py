"""What prompts say beyond one object: pairs, styles, the camera, shapes, physics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.generation_films import (
    CEILING,
    KINDS,
    accuracy,
    generate,
    prompts,
    row,
    through_autoencoder,
)
from benchmarks.rows import Row
from guarded_sora.generation.pipeline import GuardedSoraPipeline
from guarded_sora.generation.reading import FOLLOWED
from guarded_sora.generation.shapes import BASE_SHAPES
from guarded_sora.generation.vocabulary import CAMERAS, EVENTS, RELATIONS, SIDES, concept
from guarded_sora.training.drawing import draw_film, draw_pair, draw_style
from guarded_sora.training.judge import course_error, judge
from guarded_sora.training.judge_pairs import PairSight, judge_pair
from guarded_sora.training.world import Film, combinations, held_out_style, render

Films = list[NDArray[np.uint8]]


def _pair_shares(films: list[Film], made: Films) -> dict[str, float]:
    sights = [judge_pair(shown, film) for shown, film in zip(made, films, strict=True)]

    def share(of: Any, among: tuple[str, ...] = RELATIONS) -> float:
        return float(np.mean([of(s) for s, f in zip(sights, films, strict=True) if f.relation in among]))

    def coloured(sight: PairSight) -> float:
        return float(np.mean(sight.colours))

    return {
        "both objects of a pair": share(lambda s: np.mean(s.objects)),
        "colours of a pair": share(coloured),
        "relation (left, right, above, below, beside)": share(lambda s: s.relation, SIDES),
        "collision: goes, stops, the other goes on": share(lambda s: s.relation, ("hit",)),
        "passing behind or in front": share(lambda s: s.relation, ("behind", "front")),
        "permanence: both there at the end, none doubled": share(lambda s: s.kept),
    }


def _shuffled(films: list[Film]) -> list[Film]:
    """The same pairs asked for with each other's relations."""
    others = np.random.default_rng(0).permutation(len(films))
    return [replace(film, relation=films[other].relation) for film, other in zip(films, others, strict=True)]


def pair_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """Held-out pairs of objects in every relation."""
    rng = np.random.default_rng(21)
    count = max(count, len(RELATIONS))
    films = [draw_pair(rng, None, RELATIONS[i % len(RELATIONS)], held=True) for i in range(count)]
    made = generate(pipeline, films, **options)
    real = [through_autoencoder(pipeline, render(film)[0]) for film in films]
    ours, ceiling, chance = (
        _pair_shares(asked, shown)
        for asked, shown in ((films, made), (films, real), (_shuffled(films), made))
    )
    rows = [row(f"{name}, held-out pairs", ours[name], ceiling[name], CEILING) for name in ours]
    name = next(name for name in ours if name.startswith("relation"))
    return [*rows, row(f"{name}, held-out pairs", ours[name], chance[name], "chance (relations shuffled)")]


def style_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """Objects in styles that they were never trained in."""
    rng, films = np.random.default_rng(22), []
    while len(films) < count:
        film = draw_style(rng, draw_film(rng), held=True)
        if film.style is not None and held_out_style(film.subject.object, film.style):
            films.append(film)
    made = [judge(film) for film in generate(pipeline, films, **options)]
    real = [judge(through_autoencoder(pipeline, render(film)[0])) for film in films]
    rows = []
    for kind in ("style", "background", "motion", "object"):
        ours, ceiling = (
            float(
                np.mean(
                    [_named(film, kind) == getattr(s, kind) for film, s in zip(films, sights, strict=True)]
                )
            )
            for sights in (made, real)
        )
        rows.append(row(f"{kind}, objects in styles not trained together", ours, ceiling, CEILING))
    return rows


def camera_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """Held-out combinations before a camera that moves; none where the weights never learned that."""
    if concept("camera", CAMERAS[-1]) >= pipeline.concepts:
        return []
    rng = np.random.default_rng(29)
    held = [c for c in combinations(held=True) if c[3] in FOLLOWED]
    picks = np.linspace(0, len(held) - 1, count).astype(int)
    films = [
        replace(draw_film(rng, held[at]), camera=CAMERAS[index % len(CAMERAS)])
        for index, at in enumerate(picks)
    ]
    made = [judge(film) for film in generate(pipeline, films, **options)]
    real = [judge(through_autoencoder(pipeline, render(film)[0])) for film in films]
    rows = []
    for kind in ("camera", "background", "motion", "object"):
        ours, ceiling = (
            float(np.mean([_named(f, kind) == getattr(s, kind) for f, s in zip(films, sights, strict=True)]))
            for sights in (made, real)
        )
        rows.append(row(f"{kind}, the camera moving, held-out prompts", ours, ceiling, CEILING))
    return [*rows, row("camera, the camera moving, held-out prompts", rows[0].ours, 1 / (1 + len(CAMERAS)),
                       "chance")]  # fmt: skip


def _named(film: Film, kind: str) -> str | None:
    name, _, place, motion = film.combination
    said = {"style": film.style, "background": place, "motion": motion, "object": name, "camera": film.camera}
    return said[kind]


def shape_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """Held-out prompts in each shape that is no square."""
    rows = []
    for index, (height, width) in enumerate(BASE_SHAPES[1:]):
        films = prompts(count, 23 + index, held=True)
        shape = 2 * height, 2 * width
        made = generate(pipeline, films, height=shape[0], width=shape[1], **options)
        ours = accuracy(films, [judge(film) for film in made])
        real = [through_autoencoder(pipeline, render(film, side=shape)[0]) for film in films]
        ceiling = accuracy(films, [judge(film) for film in real])
        for kind in KINDS:
            rows.append(row(f"{kind}, {shape[1]}x{shape[0]}", ours[kind], ceiling[kind], CEILING))
    return rows


def course_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """How far what falls and what bounces is from its law."""
    rows = []
    for index, motion in enumerate(("fall", "bounce")):
        rng = np.random.default_rng(26 + index)
        held = [c for c in combinations(held=True) if c[3] == motion]
        films = [draw_film(rng, held[i]) for i in np.linspace(0, len(held) - 1, count).astype(int)]
        made = generate(pipeline, films, **options)
        right = float(np.mean([judge(film).motion == motion for film in made]))
        ours = float(np.mean([course_error(film, motion) for film in made]))
        real = float(np.mean([course_error(render(film)[0], motion) for film in films]))
        rows.append(row(f"motion {motion}, held-out prompts", right, 1 / 9, "chance"))
        rows.append(row(f"{motion}: error against the law of motion", ours, real, "real films", "lower",
                        "of the height"))  # fmt: skip
    return rows


def world_rows(pipeline: GuardedSoraPipeline, count: int, **options: Any) -> list[Row]:
    """All of it; ``count`` prompts for pairs, half as many for styles and the camera, fewer for the rest."""
    few = max(2, count // 4)
    return [
        *pair_rows(pipeline, count, **options),
        *style_rows(pipeline, max(2, count // 2), **options),
        *camera_rows(pipeline, max(4, count // 2), **options),
        *shape_rows(pipeline, few, **options),
        *course_rows(pipeline, few, **options),
    ]


assert set(SIDES) | set(EVENTS) == set(RELATIONS)
