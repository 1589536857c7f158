"""Drawing films of the procedural world at random, and what a caption says of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from guarded_sora.generation.reading import FOLLOWED, TOGETHER
from guarded_sora.generation.vocabulary import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    EVENTS,
    MAX_TOKENS,
    MOTIONS,
    OBJECTS,
    PAD,
    RELATIONS,
    STYLES,
    SYNONYMS,
    TINTABLE,
    concept,
)
from guarded_sora.training.world import Film, Pose, Thing, held_out, held_out_pair, held_out_style

PAIRED, STYLED, FILMED = 0.4, 0.2, 0.8
"""Shares of drawn films that show two objects, that have a style, and of one object in which the camera moves
where it can."""
OFTEN = RELATIONS + ("hit",) * 2
"""What is drawn of two objects: a collision is the only one that must be right at one moment."""


def _colour(rng: np.random.Generator, name: str) -> str | None:
    return COLOURS[rng.integers(len(COLOURS))] if name in TINTABLE else None


def draw_film(
    rng: np.random.Generator,
    combination: tuple[str, str | None, str, str] | None = None,
    *,
    held: bool = False,
) -> Film:
    """Draw a film of one plain object; without a combination, one that is (or is not) held out.

    Objects come equally often.
    """
    while combination is None:
        name = OBJECTS[rng.integers(len(OBJECTS))]
        place, motion = BACKGROUNDS[rng.integers(len(BACKGROUNDS))], MOTIONS[rng.integers(len(MOTIONS))]
        drawn = (name, _colour(rng, name), place, motion)
        if held_out(*drawn) == held:
            combination = drawn
    name, colour, place, motion = combination
    start, end = _way(rng, motion)
    course = {"bounce": "bounce", "spin": "turning"}.get(motion, "steady")
    thing = Thing(object=name, colour=colour, start=start, end=end, course=course)
    return Film(things=(thing,), background=place, motion=motion, light=float(rng.uniform(0.95, 1.03)))


def _way(rng: np.random.Generator, motion: str) -> tuple[Pose, Pose]:
    """Where an object begins and ends that is alone."""
    size = rng.uniform(0.46, 0.50)
    x, y = rng.uniform(0.45, 0.55), rng.uniform(0.45, 0.57)
    start, end = [x, y, size, 0.0], [x, y, size, 0.0]
    half = rng.uniform(0.20, 0.24)
    if motion in ("left", "right"):
        sign = 1 if motion == "right" else -1
        start[0], end[0] = 0.5 - sign * half, 0.5 + sign * half
    elif motion in ("rise", "fall"):
        sign = 1 if motion == "fall" else -1
        start[1], end[1] = 0.5 - sign * half, 0.5 + sign * half
    elif motion in ("grow", "shrink"):
        small, large = rng.uniform(0.26, 0.31), rng.uniform(0.58, 0.66)
        start[2], end[2] = (small, large) if motion == "grow" else (large, small)
    elif motion == "spin":
        end[3] = rng.uniform(170, 200)
    elif motion == "bounce":
        start[2] = end[2] = rng.uniform(0.36, 0.40)
        start[1], end[1] = rng.uniform(0.20, 0.24), rng.uniform(0.72, 0.76)
    return (start[0], start[1], start[2], start[3]), (end[0], end[1], end[2], end[3])


def draw_pair(
    rng: np.random.Generator,
    objects: tuple[str, str] | None = None,
    relation: str | None = None,
    *,
    held: bool = False,
) -> Film:
    """Draw a film of two objects; without names, two that are (or are not) held out together."""
    while objects is None:
        a, b = (OBJECTS[i] for i in rng.integers(len(OBJECTS), size=2))
        if held_out_pair(a, b) == held:
            objects = a, b
    relation = relation or OFTEN[rng.integers(len(OFTEN))]
    colours = [_colour(rng, name) for name in objects]
    if objects[0] == objects[1] and colours[0] == colours[1]:  # two of a kind are told apart by colour
        return draw_pair(rng, None, relation, held=held)
    motion = None if relation in EVENTS else TOGETHER[rng.integers(len(TOGETHER))]
    ways = _event(rng, relation) if relation in EVENTS else _side(rng, relation, motion or "still")
    courses = ("striking", "struck") if relation == "hit" else ("steady", "steady")
    first, second = (
        Thing(object=name, colour=colour, start=start, end=end, course=course)
        for name, colour, (start, end), course in zip(objects, colours, ways, courses, strict=True)
    )
    behind = relation != "front"
    return Film(
        things=(first, second) if behind else (second, first),
        background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
        motion=motion,
        relation=relation,
        first=0 if behind else 1,
        light=float(rng.uniform(0.95, 1.03)),
    )


def _side(rng: np.random.Generator, relation: str, motion: str) -> list[tuple[Pose, Pose]]:
    """Two objects that stand side by side, or one above the other, and move together."""
    if relation == "beside":
        relation = ("left", "right")[rng.integers(2)]
    size, apart = rng.uniform(0.36, 0.40), rng.uniform(0.20, 0.23)
    sign = -1 if relation in ("left", "above") else 1
    dx, dy = {"left": (-1, 0), "right": (1, 0), "rise": (0, -1), "fall": (0, 1)}.get(motion, (0, 0))
    far = rng.uniform(0.07, 0.09)
    ways = []
    for at in (sign * apart, -sign * apart):
        upright = relation in ("above", "below")
        x = 0.5 + (0 if upright else at) + rng.uniform(-0.02, 0.02)
        y = 0.5 + (at if upright else 0) + rng.uniform(-0.02, 0.02)
        ways.append(((x - far * dx, y - far * dy, size, 0.0), (x + far * dx, y + far * dy, size, 0.0)))
    return ways


def _event(rng: np.random.Generator, relation: str) -> list[tuple[Pose, Pose]]:
    """One object that meets another, or passes it."""
    y, sign = rng.uniform(0.48, 0.58), 1 if rng.random() < 0.5 else -1
    if relation == "hit":
        size, reach = 0.30, 0.26
        first = (0.5 - sign * 0.34, y, size, 0.0), (0.5 - sign * 0.13, y, size, 0.0)
        stands = 0.5 + sign * 0.13
        return [first, ((stands, y, size, 0.0), (stands + sign * reach * 0.8, y, size, 0.0))]
    size, lift = rng.uniform(0.27, 0.30), -0.04 if relation == "behind" else 0.04
    way = (0.5 - sign * 0.34, y + lift, size, 0.0), (0.5 + sign * 0.34, y + lift, size, 0.0)
    stands_at = (0.5, y, rng.uniform(0.36, 0.39), 0.0)
    return [way, (stands_at, stands_at)]


def draw_style(rng: np.random.Generator, film: Film, *, held: bool = False) -> Film:
    """The same film in a style that its first object is (or is not) held out from; plain if there is none."""
    open_to = [s for s in STYLES if held_out_style(film.subject.object, s) == held]
    return replace(film, style=open_to[rng.integers(len(open_to))]) if open_to else film


def draw_camera(rng: np.random.Generator, film: Film) -> Film:
    """The same film with a camera that moves; as it is where none can move."""
    if film.other is not None or film.motion not in FOLLOWED:
        return film
    return replace(film, camera=CAMERAS[rng.integers(len(CAMERAS))])


def draw_any(rng: np.random.Generator) -> Film:
    """Draw a film to train on: of one object or two, plain or in a style, seen by a camera that may move."""
    film = draw_pair(rng) if rng.random() < PAIRED else draw_film(rng)
    if rng.random() < FILMED:
        film = draw_camera(rng, film)
    return draw_style(rng, film) if rng.random() < STYLED else film


# -- captions -----------------------------------------------------------------------------------

_JOIN = {
    "beach": ("over a {}", "on the {}", "at the {}"),
    "night": ("in the {}", "under the {}", "against the {}"),
    "meadow": ("over a {}", "on a {}", "above the {}"),
    "sunset": ("against the {}", "in front of a {}", "in the {}"),
    "snow": ("over a {}", "in the {}", "on the {}"),
    "sea": ("in the {}", "under the {}", "in a {}"),
}


def caption(film: Film, rng: np.random.Generator | None = None) -> str:
    """A caption of the film; without a generator the plainest one.

    For example "a red balloon rising over a beach", "a dog to the left of a blue car on a meadow".
    """

    def pick(options: tuple[str, ...]) -> str:
        return options[0] if rng is None else options[rng.integers(len(options))]

    def named(thing: Thing) -> str:
        name = pick(SYNONYMS[f"object:{thing.object}"])
        if thing.colour:
            name = f"{pick(SYNONYMS[f'colour:{thing.colour}'])} {name}"
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"

    thing = named(film.subject)
    place = pick(_JOIN[film.background]).format(pick(SYNONYMS[f"background:{film.background}"]))
    moves = pick(SYNONYMS[f"motion:{film.motion}"]) if film.motion else ""
    if film.other is not None:
        thing = f"{thing} {pick(SYNONYMS[f'relation:{film.relation}'])} {named(film.other)}"
    does = f"{thing} {moves}".strip()
    said = pick((f"{does} {place}", f"{place}, {does}", f"a video of {does} {place}", f"{does}, {place}"))
    if film.camera is not None:
        said = f"{said}, {pick(SYNONYMS[f'camera:{film.camera}'])}"
    if film.style is None:
        return said
    style = pick(SYNONYMS[f"style:{film.style}"])
    return pick((f"{said}, {style}", f"{style}: {said}"))


def tokens(film: Film, rng: np.random.Generator | None = None, *, omit: float = 0.0) -> tuple[int, ...]:
    """Concept tokens of the film's caption; each but the objects is left out with probability ``omit``.

    Captions of the grammar read back to exactly these tokens (tested), so training skips the text.
    """
    thing, other = film.subject, film.other
    said = [("colour", thing.colour), ("background", film.background), ("motion", film.motion)]
    said.append(("relation", film.relation))
    if other is not None:
        said += [("object2", other.object), ("colour2", other.colour)]
    said += [("style", film.style), ("camera", film.camera)]
    row = [concept("object", thing.object)]
    for kind, name in said:
        if name and (kind in ("relation", "object2") or rng is None or rng.random() >= omit):
            row.append(concept(kind, name))
    return tuple((row + [PAD] * MAX_TOKENS)[:MAX_TOKENS])
